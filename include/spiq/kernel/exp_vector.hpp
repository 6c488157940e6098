/// @file
/// Exponentials of vectors in every rung, with an affine map of the input folded into their constants.
#pragma once

#include <spiq/kernel/accuracy.hpp>
#include <spiq/simd/simd.hpp>

#include <cstdint>
#include <limits>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// What an exponential is asked for: exp(x), exp(-x), exp(scale x) or exp(scale x + shift).
enum class ExpInput { plain, negated, scaled, affine };
/// Which arguments occur: with `nonpositive` (after scale and shift, up to rounding: a softmax) no guard against
/// overflow is needed.
enum class ExpDomain { all, nonpositive };

namespace detail {
inline constexpr double log2_e = 1.4426950408889634074;

/// c[0] + c[1] x + ... by Horner's rule.
template <class V, int N>
SPIQ_INLINE V polynomial(V x, const float (&c)[N]) {
  V sum = V::broadcast(c[N - 1]);
  SPIQ_UNROLL
  for (int i = N - 2; i >= 0; --i) sum = fma(sum, x, V::broadcast(c[i]));
  return sum;
}

// Least relative error for 2^f, f in [0, 1). Odd degrees meet at powers of two by themselves.
inline constexpr float exp2_degree2[] = {1.00172476f, 0.657636276f, 0.337189435f};
inline constexpr float exp2_degree3[] = {0.999925219f, 0.695833541f, 0.226067155f, 0.0780245227f};
// Least relative error for e^r, |r| <= ln(2) / 2: 2.6e-6, 7.5e-8, and 2.6e-9 among those that are 1 at 0.
inline constexpr float exp_degree4[] = {0.999999261f, 0.9999633904f, 0.500043604f, 0.1679093189f, 0.04145856666f};
inline constexpr float exp_degree5[] = {1.000000072f,  0.9999996918f,  0.4999889441f,
                                        0.1666757509f, 0.04191543143f, 0.008297647959f};
inline constexpr float exp_degree6[] = {1.0f,          1.00000005f,     0.5000000435f, 0.1666636531f,
                                        0.0416647765f, 0.008379020735f, 0.001406127674f};

/// p 2^n for an integer n and p in about [1/2, 2], or `top` where `over` says that this leaves the floats; below the
/// normal floats zero or something smaller than they are. By adding to the exponent's bits.
template <ExpDomain D, class V, class M>
SPIQ_INLINE V scale_pow2(V p, V n, M over, V top) {
  // n is held where the addition cannot carry into the sign; what it gives there is replaced.
  const V low = V::broadcast(-126.0f);
  V m = max(n, low);
  if constexpr (D == ExpDomain::all) m = min(m, V::broadcast(128.0f));
  const V y = select(n < low, V::zero(), from_bits(bits_of(p) + simd::shift_left<23>(round_i32(m))));
  if constexpr (D == ExpDomain::all)
    return select(over, top, y);
  else
    return y;
}
/// p 2^n for every n that a float exponential can meet, with gradual underflow: two factors, each a normal power.
template <class V>
SPIQ_INLINE V scale_pow2_gradual(V p, V n) {
  using I = decltype(bits_of(p));
  const I k = round_i32(max(min(n, V::broadcast(250.0f)), V::broadcast(-250.0f)));
  const I half = simd::shift_right<1>(k);
  const I bias = I::broadcast(127);
  return p * from_bits(simd::shift_left<23>(half + bias)) * from_bits(simd::shift_left<23>(k - half + bias));
}
}  // namespace detail

/// exp(scale * x + shift) of vectors of floats in the accuracy of `Rung`; the constants are made once.
template <accuracy::Rung Rung, class Arch = simd::best, ExpInput Input = ExpInput::plain,
          ExpDomain Domain = ExpDomain::all>
class Exp {
public:
  using V = typename simd::traits<Arch>::f32;

  /// What a scale is multiplied by inside: the steps of the rung's own exponent in a step of x.
  static constexpr double unit = [] {
    if constexpr (requires { Rung::order; })
      return 8388608.0 * detail::log2_e;  // 2^23 / ln 2
    else
      return Rung::degree <= 3 ? detail::log2_e : 1.0;
  }();

  SPIQ_INLINE explicit Exp(float scale = Input == ExpInput::negated ? -1 : 1, float shift = 0) {
    if constexpr (requires { Rung::order; }) {
      constexpr double bias = 127.0 * 8388608.0;
      double c1 = bias + double{shift} * unit;
      if constexpr (Rung::order == 1) c1 -= Rung::offset;
      scale_ = V::broadcast(static_cast<float>(double{scale} * unit));
      shift_ = V::broadcast(static_cast<float>(c1));
    } else {
      scale_ = V::broadcast(static_cast<float>(double{scale} * unit));
      shift_ = V::broadcast(static_cast<float>(double{shift} * unit));
    }
  }

  [[nodiscard]] SPIQ_INLINE V operator()(V x) const {
    V y;
    if constexpr (requires { Rung::order; })
      y = by_bits(x);
    else if constexpr (Rung::degree <= 3)
      y = by_fraction(x);
    else
      y = by_remainder(x);
    if constexpr (Rung::nan == accuracy::Nan::propagate && !nan_survives) y = select(x == x, y, x);
    return y;
  }

  /// exp(x factor / unit + shift): a scale of its own for each lane.
  [[nodiscard]] SPIQ_INLINE V operator()(V x, V factor) const
    requires(Input == ExpInput::scaled || Input == ExpInput::affine)
  {
    Exp scaled = *this;
    scaled.scale_ = factor;
    return scaled(x);
  }

private:
  /// The scaling instruction hands NaN on by itself (saturation does not, its minimum drops it).
  static constexpr bool nan_survives = [] {
    if constexpr (requires { Rung::order; })
      return false;
    else
      return simd::scales_by_exponent<Arch> &&
             (Rung::overflow == accuracy::Overflow::ieee || Domain == ExpDomain::nonpositive);
  }();
  /// The largest float below the bit pattern of +inf, and that pattern itself, as numbers.
  static constexpr std::int32_t largest_pattern = 2139094912, infinity_pattern = 2139095040;

  /// QuAKE: the bits of the result as an integer (arXiv 2412.00408).
  [[nodiscard]] SPIQ_INLINE V by_bits(V x) const {
    const V v = max(fma(x, scale_, shift_), V::zero());  // NaN gives 0: conversion of NaN would be undefined
    const auto i = [&]() SPIQ_LAMBDA_INLINE {
      if constexpr (Domain == ExpDomain::nonpositive)
        return to_i32(v);
      else
        return to_i32_capped(v, Rung::overflow == accuracy::Overflow::ieee ? infinity_pattern : largest_pattern);
    }();
    if constexpr (Rung::order == 1) {
      return from_bits(i);
    } else {
      using I = decltype(i + i);
      const V e = from_bits(i & I::broadcast(0x7f800000));
      const V m = from_bits((i & I::broadcast(0x007fffff)) | I::broadcast(0x3f800000));
      // The bracket first: e times m^2 + 2 would leave the floats near the top.
      return e * mantissa(m);
    }
  }
  /// 1 + (1 - a) f + a f^2 at m = 1 + f, times the factor.
  [[nodiscard]] static SPIQ_INLINE V mantissa(V m) {
    constexpr double a = Rung::a, k = Rung::factor;
    if constexpr (a == 1.0 / 3.0) {  // no linear term
      return fma(m, m, V::broadcast(2.0f)) * V::broadcast(static_cast<float>(k / 3));
    } else {
      const float c[] = {static_cast<float>(2 * a * k), static_cast<float>((1 - 3 * a) * k), static_cast<float>(a * k)};
      return detail::polynomial(m, c);
    }
  }
  /// 2^t = 2^fraction(t) 2^floor(t).
  [[nodiscard]] SPIQ_INLINE V by_fraction(V x) const {
    const V t = Input == ExpInput::affine ? fma(x, scale_, shift_) : x * scale_;
    const auto power = [](V f) SPIQ_LAMBDA_INLINE {
      if constexpr (Rung::degree == 2)
        return detail::polynomial(f, detail::exp2_degree2);
      else
        return detail::polynomial(f, detail::exp2_degree3);
    };
    if constexpr (simd::scales_by_exponent<Arch>) {
      return capped(scale_by_exponent(power(fraction(t)), t));
    } else {
      // Bounded so that the conversion to an integer stays defined; NaN gives an end.
      V bounded = max(t, V::broadcast(-200.0f));
      if constexpr (Domain == ExpDomain::all) bounded = min(bounded, V::broadcast(200.0f));
      const V n = floor(bounded);
      return detail::scale_pow2<Domain>(power(bounded - n), n, n > V::broadcast(127.0f), V::broadcast(top));
    }
  }
  /// e^y = e^r 2^n with n the nearest integer to y / ln 2.
  [[nodiscard]] SPIQ_INLINE V by_remainder(V x) const {
    V y = x;
    if constexpr (Input == ExpInput::affine) y = fma(x, scale_, shift_);
    if constexpr (Input == ExpInput::scaled) y = x * scale_;
    // The sign costs nothing where the constants below take it.
    constexpr bool sign_later =
        Input == ExpInput::negated && requires { Rung::one_step; } && simd::scales_by_exponent<Arch>;
    if constexpr (Input == ExpInput::negated && !sign_later) y = V::zero() - x;
    if constexpr (!simd::scales_by_exponent<Arch>) {  // keeps conversions of n defined; NaN passes
      if constexpr (Domain == ExpDomain::all) y = min(V::broadcast(100.0f), y);
      y = max(V::broadcast(-110.0f), y);
    }
    const V n = round_nearest(y * V::broadcast(static_cast<float>(sign_later ? -detail::log2_e : detail::log2_e)));
    // ln 2 in two parts, the first of so few bits that its products with n are exact; in one where an error of 2e-7
    // does not matter (2e-9 n) and the product is not rounded.
    V r;
    constexpr bool coarse = Rung::degree == 4 || requires { Rung::one_step; };
    if constexpr (sign_later) {
      r = fnms(n, V::broadcast(0.693147182f), x);
    } else if constexpr (coarse && simd::fuses_multiply_add<Arch>) {
      r = fma(n, V::broadcast(-0.693147182f), y);
    } else {
      r = fma(n, V::broadcast(2.12194440e-4f), fma(n, V::broadcast(-0.693359375f), y));
    }
    // Far out, where n is no longer exact, and at infinities r means nothing. Without the highest bit of its exponent
    // it is finite and small, so that p is a positive number and the scaling gives 0, inf or NaN, as n is.
    if constexpr (simd::scales_by_exponent<Arch>) {
      using I = decltype(bits_of(r));
      r = from_bits(bits_of(r) & I::broadcast(~0x40000000));
    }
    V p;
    if constexpr (Rung::degree == 4) p = detail::polynomial(r, detail::exp_degree4);
    if constexpr (Rung::degree == 5) p = detail::polynomial(r, detail::exp_degree5);
    if constexpr (Rung::degree == 6) p = detail::polynomial(r, detail::exp_degree6);
    if constexpr (simd::scales_by_exponent<Arch>)
      return capped(scale_by_exponent(p, n));
    else if constexpr (Rung::degree == 6)
      return capped(detail::scale_pow2_gradual(p, n));
    else
      return detail::scale_pow2<Domain>(p, n, y > V::broadcast(88.7228394f), V::broadcast(top));
  }
  /// Brings +inf down to the largest float where the rung saturates.
  [[nodiscard]] static SPIQ_INLINE V capped(V y) {
    if constexpr (Domain == ExpDomain::all && Rung::overflow == accuracy::Overflow::saturate)
      return min(y, V::broadcast(top));
    else
      return y;
  }
  static constexpr float top = Rung::overflow == accuracy::Overflow::ieee ? std::numeric_limits<float>::infinity()
                                                                          : std::numeric_limits<float>::max();

  V scale_, shift_;
};

}  // namespace kernel

SPIQ_END_NAMESPACE
