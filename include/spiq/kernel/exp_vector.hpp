/// @file
/// Exponentials of vectors in every rung, with an affine map of the input folded into their constants.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/kernel/accuracy.hpp>
#include <spiq/simd/simd.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// Largest magnitude of a scale or shift folded into an exponential: inside, they are multiplied by up to 2^23 / ln 2,
/// which must not leave the floats.
inline constexpr float max_exp_map = 1e30f;

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

// Least relative error for 2^f, f in [0, 1), and the same as polynomials in 1 + f. Odd degrees meet at powers of two by
// themselves.
inline constexpr float exp2_degree2[] = {1.00172476f, 0.657636276f, 0.337189435f};
inline constexpr float exp2_degree3[] = {0.999925219f, 0.695833541f, 0.226067155f, 0.0780245227f};
inline constexpr float mantissa_degree2[] = {0.681277894f, -0.0167425812f, 0.337189439f};
inline constexpr float mantissa_degree3[] = {0.452134318f, 0.477772789f, -0.00800641098f, 0.0780245233f};
// Least relative error for e^r, |r| <= ln(2) / 2: 2.6e-6, 7.5e-8, and 2.6e-9 among those that are 1 at 0.
inline constexpr float exp_degree4[] = {0.999999261f, 0.9999633904f, 0.500043604f, 0.1679093189f, 0.04145856666f};
inline constexpr float exp_degree5[] = {1.000000072f,  0.9999996918f,  0.4999889441f,
                                        0.1666757509f, 0.04191543143f, 0.008297647959f};
inline constexpr float exp_degree6[] = {1.0f,          1.00000005f,     0.5000000435f, 0.1666636531f,
                                        0.0416647765f, 0.008379020735f, 0.001406127674f};
// q of e^r = 1 + r q(r), |r| <= ln(2) / (2 entries): 4.2e-7, 5.3e-8, 3.4e-6 and 2.5e-8. The error's odd and even parts
// are Chebyshev polynomials, so the coefficients are those of Taylor moved by multiples of the squared range.
template <int Entries, int Degree>
inline constexpr float exp_quotient[] = {0};
template <>
inline constexpr float exp_quotient<16, 2>[] = {1.000058649f, 0.500016f};
template <>
inline constexpr float exp_quotient<32, 2>[] = {1.0000146623f, 0.500004f};
template <>
inline constexpr float exp_quotient<8, 2>[] = {1.000234596f, 0.500065f};
template <>
inline constexpr float exp_quotient<8, 3>[] = {1.0f, 0.50006478f, 0.1666862f};
// 2^(j / entries).
template <int Entries>
inline constexpr float exp2_table[Entries] = {};
template <>
inline constexpr float exp2_table<8>[] = {
    1.0f, 1.09050775f, 1.18920708f, 1.29683959f, 1.41421354f, 1.54221082f, 1.68179286f, 1.8340081f};
template <>
inline constexpr float exp2_table<16>[] = {
    1.0f, 1.04427373f, 1.09050775f, 1.13878858f, 1.18920708f, 1.24185777f, 1.29683959f, 1.35425556f,
    1.41421354f, 1.47682619f, 1.54221082f, 1.61049032f, 1.68179286f, 1.75625217f, 1.8340081f, 1.91520655f};
template <>
inline constexpr float exp2_table<32>[] = {
    1.0f, 1.0218972f, 1.04427373f, 1.06714046f, 1.09050775f, 1.1143868f, 1.13878858f, 1.1637249f,
    1.18920708f, 1.21524739f, 1.24185777f, 1.26905096f, 1.29683959f, 1.32523668f, 1.35425556f, 1.38390994f,
    1.41421354f, 1.44518077f, 1.47682619f, 1.50916445f, 1.54221082f, 1.5759809f, 1.61049032f, 1.64575553f,
    1.68179286f, 1.71861935f, 1.75625217f, 1.79470909f, 1.8340081f, 1.87416768f, 1.91520655f, 1.95714414f};

inline constexpr std::int32_t one_bits = 0x3f800000, infinity_bits = 0x7f800000, largest_bits = 0x7f7fffff;
}  // namespace detail

/// exp(scale * x + shift) of vectors of floats in the accuracy of `Rung`; the constants are made once. Scale and shift
/// must not exceed `max_exp_map` in magnitude.
template <accuracy::Rung Rung, class Arch = simd::best, ExpInput Input = ExpInput::plain,
          ExpDomain Domain = ExpDomain::all>
class Exp {
public:
  using V = typename simd::traits<Arch>::f32;

private:
  /// The exponent is kept as a bit pattern, in units of 2^-23 with the bias of floats.
  static constexpr bool in_patterns = [] {
    if constexpr (requires { Rung::order; })
      return true;
    else
      return Rung::degree <= 3 && !simd::scales_by_exponent<Arch>;
  }();

public:
  /// For loops over arrays: order 1 takes so few registers and cycles that a loop's own instructions are felt.
  static constexpr std::size_t at_once = [] {
    if constexpr (requires { Rung::order; })
      return Rung::order == 1 && simd::traits<Arch>::registers >= 32 ? std::size_t{8} : std::size_t{4};
    else
      return std::size_t{4};
  }();

  /// What a scale is multiplied by inside: the steps of the rung's own exponent in a step of x.
  static constexpr double unit = [] {
    if constexpr (in_patterns)
      return 8388608.0 * detail::log2_e;  // 2^23 / ln 2
    else
      return Rung::degree <= 3 ? detail::log2_e : 1.0;
  }();

  SPIQ_INLINE explicit Exp(float scale = Input == ExpInput::negated ? -1 : 1, float shift = 0) {
    SPIQ_ASSERT(scale >= -max_exp_map && scale <= max_exp_map && shift >= -max_exp_map && shift <= max_exp_map);
    double offset = double{shift} * unit;
    if constexpr (in_patterns) offset += 127.0 * 8388608.0;
    if constexpr (requires { Rung::offset; }) offset -= Rung::offset;
    scale_ = V::broadcast(static_cast<float>(double{scale} * unit));
    shift_ = V::broadcast(static_cast<float>(offset));
  }

  /// This function of x - origin at no cost per value, for a softmax. What the product of origin and scale loses in
  /// rounding is a factor common to all values.
  [[nodiscard]] SPIQ_INLINE Exp relative_to(V origin) const
    requires(Input == ExpInput::affine)
  {
    Exp moved = *this;
    moved.shift_ = fma(V::zero() - origin, scale_, shift_);
    return moved;
  }

  [[nodiscard]] SPIQ_INLINE V operator()(V x) const {
    V y;
    if constexpr (requires { Rung::order; })
      y = by_bits(x);
    else if constexpr (Rung::degree <= 3 && simd::scales_by_exponent<Arch>)
      y = by_fraction(x);
    else if constexpr (Rung::degree <= 3)
      y = by_mantissa(x);
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
  static constexpr bool ieee = Rung::overflow == accuracy::Overflow::ieee;
  static constexpr float largest = std::numeric_limits<float>::max();
  /// Most ways hand NaN on by themselves; where they do not there is a selection at the end.
  static constexpr bool nan_survives = [] {
    if constexpr (requires { Rung::order; })
      return false;
    else
      return ieee || Domain == ExpDomain::nonpositive;
  }();
  /// The largest float below the bit pattern of +inf, and that pattern itself, as numbers.
  static constexpr std::int32_t largest_pattern = 2139094912, infinity_pattern = 2139095040;

  /// a b + c, rounded once or twice on all architectures of a unit alike, as suits the best of them: they agree bit for
  /// bit. Twice in order 1 where sums have pipes of their own (AVX-512): there product and sum cost less than a
  /// multiply-add, which reads three registers.
  [[nodiscard]] static SPIQ_INLINE V times_plus(V a, V b, V c) {
    constexpr bool twice = Rung::order == 1 && simd::limits_in_integers<simd::best>;
    if constexpr (twice && std::is_same_v<Arch, simd::scalar>)
      return fma(a, b, V::zero()) + c;  // a product that is not contracted; unlike `rounded` it leaves loops to vectors
    else if constexpr (twice)
      return rounded(a * b) + c;
    else
      return fma_of_unit(a, b, c);
  }
  /// QuAKE: the bits of the result as an integer (arXiv 2412.00408).
  [[nodiscard]] SPIQ_INLINE V by_bits(V x) const {
    constexpr std::int32_t cap = ieee ? infinity_pattern : largest_pattern;
    const auto i = [&]() SPIQ_LAMBDA_INLINE {
      if constexpr (Rung::order == 1 && simd::limits_in_integers<Arch>) {
        // Positive floats are ordered as their bits are, and all above the negative ones; what cannot be converted,
        // -inf and (by its sign) NaN, becomes the most negative integer.
        using I = typename simd::traits<Arch>::i32;
        V v = times_plus(x, scale_, shift_);
        if constexpr (Domain == ExpDomain::all)
          v = from_bits(min_i32(bits_of(v), I::broadcast(std::bit_cast<std::int32_t>(static_cast<float>(cap)))));
        return max_i32(to_i32(v), I::zero());
      } else {
        const V v = max(times_plus(x, scale_, shift_), V::zero());  // NaN gives 0: its conversion would be undefined
        if constexpr (Domain == ExpDomain::nonpositive)
          return to_i32(v);
        else
          return to_i32_capped(v, cap);
      }
    }();
    if constexpr (Rung::order == 1) {
      return from_bits(i);
    } else {
      using I = decltype(i + i);
      const V e = from_bits(i & I::broadcast(0x7f800000));
      const V m = from_bits((i & I::broadcast(0x007fffff)) | I::broadcast(detail::one_bits));
      // The bracket first: e times m^2 + 2 would leave the floats near the top.
      return e * mantissa(m);
    }
  }
  /// 1 + (1 - a) f + a f^2 at m = 1 + f, times the factor.
  [[nodiscard]] static SPIQ_INLINE V mantissa(V m) {
    constexpr double a = Rung::a, k = Rung::factor;
    if constexpr (a == 1.0 / 3.0) {  // no linear term
      return times_plus(m, m, V::broadcast(2.0f)) * V::broadcast(static_cast<float>(k / 3));
    } else {
      constexpr float c[] = {static_cast<float>(2 * a * k), static_cast<float>((1 - 3 * a) * k),
                             static_cast<float>(a * k)};
      return times_plus(times_plus(V::broadcast(c[2]), m, V::broadcast(c[1])), m, V::broadcast(c[0]));
    }
  }
  /// 2^t = 2^fraction(t) 2^floor(t), by the scaling instruction.
  [[nodiscard]] SPIQ_INLINE V by_fraction(V x) const {
    const V t = Input == ExpInput::affine ? fma(x, scale_, shift_) : x * scale_;
    const V f = fraction(t);
    if constexpr (Rung::degree == 2)
      return capped(scale_by_exponent(detail::polynomial(f, detail::exp2_degree2), t));
    else
      return capped(scale_by_exponent(detail::polynomial(f, detail::exp2_degree3), t));
  }
  /// As QuAKE, but with a polynomial of the mantissa whose bits then take the exponent by one addition.
  [[nodiscard]] SPIQ_INLINE V by_mantissa(V x) const {
    using I = typename simd::traits<Arch>::i32;
    const V v = fma(x, scale_, shift_);
    // The pattern of the result is negative below, where 0 replaces it (already at v = 0 if p(1) < 1), and beyond that
    // of +inf above: there by a limit, or by what the instructions of vectors make of numbers that are no integers.
    I i = I::zero();
    if constexpr (Rung::degree == 3 && !std::is_same_v<Arch, simd::scalar>)
      i = to_i32(max(v, V::zero()));
    else
      i = to_i32(simd::limited(v, -8388608.0f, Domain == ExpDomain::all ? 2139160576.0f : 2139095040.0f));
    const I m = (i & I::broadcast(0x007fffff)) | I::broadcast(detail::one_bits);
    V p;
    if constexpr (Rung::degree == 2)
      p = detail::polynomial(from_bits(m), detail::mantissa_degree2);
    else
      p = detail::polynomial(from_bits(m), detail::mantissa_degree3);
    const V y = from_bits(max_i32(limited_above(bits_of(p) + (i - m)), I::zero()));
    if constexpr (Rung::nan == accuracy::Nan::any || !nan_survives)
      return y;
    else if constexpr (Input == ExpInput::plain)
      return max(y, x);  // exp(x) is above x: the second operand only where that is NaN (or inf)
    else
      return max(y, v - V::broadcast(largest));
  }
  /// Exponents added as integers are in order even where they leave the floats: above +inf, or below 0.
  [[nodiscard]] static SPIQ_INLINE auto limited_above(typename simd::traits<Arch>::i32 bits) {
    if constexpr (Domain == ExpDomain::nonpositive)
      return bits;
    else
      return min_i32(bits, decltype(bits)::broadcast(ieee ? detail::infinity_bits : detail::largest_bits));
  }

  /// Entries of the table of 2^(j / entries) that shortens the remainder; 1: none.
  static constexpr int entries = [] {
    if constexpr (!simd::fuses_multiply_add<Arch> || simd::lookup_entries<Arch> == 0)
      return 1;
    else
      return Rung::degree == 4 && simd::lookup_entries<Arch> > 16 ? 16 : simd::lookup_entries<Arch>;
  }();

  /// e^y = e^r 2^s with s the multiple of 1 / entries nearest to y / ln 2.
  [[nodiscard]] SPIQ_INLINE V by_remainder(V x) const {
    using I = typename simd::traits<Arch>::i32;
    constexpr bool negated = Input == ExpInput::negated;  // the constants below take the sign
    V y = x;
    if constexpr (Input == ExpInput::affine) y = fma(x, scale_, shift_);
    if constexpr (Input == ExpInput::scaled) y = x * scale_;
    [[maybe_unused]] const V argument = y;
    if constexpr (!simd::scales_by_exponent<Arch>) {  // results are 0 or infinite beyond
      constexpr float low = Rung::degree == 6 ? -105.0f : -88.5f, high = 89.0f;
      y = simd::limited(y, negated ? -high : low, negated ? -low : high);
    }
    // Rounded by adding a number whose last bit has the value 1 / entries: the bits of t count in that unit.
    constexpr float magic = 12582912.0f / static_cast<float>(entries);
    constexpr float octaves = static_cast<float>(negated ? -detail::log2_e : detail::log2_e);
    const V t = fma(y, V::broadcast(octaves), V::broadcast(magic));
    const V s = t - V::broadcast(magic);
    // ln 2 in two parts, the first of so few bits that its products with s are exact; in one where an error of 2e-7
    // does not matter (2e-9 s) and the product is not rounded.
    const auto less = [&](float ln2) SPIQ_LAMBDA_INLINE {
      if constexpr (negated)
        return fnms(s, V::broadcast(ln2), y);
      else
        return fnma(s, V::broadcast(ln2), y);
    };
    V r;
    constexpr bool coarse = Rung::degree == 4 || requires { Rung::one_step; };
    if constexpr (coarse && simd::fuses_multiply_add<Arch>)
      r = less(0.693147182f);
    else
      r = fma(s, V::broadcast(2.12194440e-4f), less(0.693359375f));
    // Far out, where s is no longer exact, and at infinities r means nothing. Without the highest bit of its exponent
    // it is finite and small, so that p is a positive number and the scaling gives 0, inf or NaN, as s is.
    if constexpr (simd::scales_by_exponent<Arch>) r = from_bits(bits_of(r) & I::broadcast(~0x40000000));
    const V p = power(r, bits_of(t));
    if constexpr (simd::scales_by_exponent<Arch>) {
      return capped(scale_by_exponent(p, s));
    } else {
      const V e = scaled(p, shift_left<23>(shift_right<std::countr_zero(static_cast<unsigned>(entries))>(bits_of(t))));
      // exp(x) is above x: the maximum is its second operand only where that is NaN (or inf).
      if constexpr (Rung::nan == accuracy::Nan::propagate && nan_survives)
        return max(e, negated ? V::zero() - argument : argument);
      else
        return e;
    }
  }
  /// e^r 2^(j / entries).
  [[nodiscard]] static SPIQ_INLINE V power(V r, [[maybe_unused]] typename simd::traits<Arch>::i32 j) {
    if constexpr (entries > 1) {
      const V factor = lookup(detail::exp2_table<entries>, j);
      // Two terms are positive for every r. They suffice from 16 entries on.
      constexpr int degree = Rung::degree == 4 || entries > 16 ? 2 : 3;
      return fma(factor * r, detail::polynomial(r, detail::exp_quotient<entries, degree>), factor);
    } else if constexpr (Rung::degree == 4) {
      return detail::polynomial(r, detail::exp_degree4);
    } else if constexpr (Rung::degree == 5) {
      return detail::polynomial(r, detail::exp_degree5);
    } else {
      return detail::polynomial(r, detail::exp_degree6);
    }
  }
  /// p 2^n for p in about [0.7, 2] and e = n 2^23, n from -152 to 128.
  [[nodiscard]] static SPIQ_INLINE V scaled(V p, typename simd::traits<Arch>::i32 e) {
    using I = typename simd::traits<Arch>::i32;
    if constexpr (Rung::degree == 6) {  // the part below the normal floats as a factor: gradual underflow
      const I normal = max_i32(e, I::broadcast(-125 * 8388608));
      return from_bits(limited_above(bits_of(p) + normal)) * from_bits(e - normal + I::broadcast(detail::one_bits));
    } else {
      return from_bits(max_i32(limited_above(bits_of(p) + e), I::zero()));
    }
  }
  /// Brings +inf down to the largest float where the rung saturates.
  [[nodiscard]] static SPIQ_INLINE V capped(V y) {
    if constexpr (Domain == ExpDomain::all && !ieee)
      return min(y, V::broadcast(largest));
    else
      return y;
  }
  V scale_, shift_;
};

}  // namespace kernel

SPIQ_END_NAMESPACE
