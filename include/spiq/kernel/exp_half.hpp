/// @file
/// exp over arrays of float16 and bfloat16, computed in float.
#pragma once

#include <spiq/kernel/convert_half.hpp>
#include <spiq/kernel/exp.hpp>
#include <spiq/simd/half.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

namespace detail {
/// What QuAKE needs to know of a format of 16 bits.
template <class Half>
struct half_format;
template <>
struct half_format<float16> {
  static constexpr int mantissa = 10, bias = 15, largest = 0x7bff, not_a_number = 0x7e00;
};
template <>
struct half_format<bfloat16> {
  static constexpr int mantissa = 7, bias = 127, largest = 0x7f7f, not_a_number = 0x7fc0;
};

/// One vector of exponentials from `x` to `y`. The order-1 rungs convert the multiply-add to the pattern of the result
/// itself; a float's precision is ample for it. Order 2 does the same in float16, with two more bits of mantissa than
/// the format has and gradual underflow; the other rungs, and order 2 in bfloat16, round the float's result.
template <class Rung, class Half, class Arch>
class ExpHalf {
public:
  using V = typename simd::traits<Arch>::f32;
  using I = typename simd::traits<Arch>::i32;
  using Format = half_format<Half>;

  SPIQ_INLINE ExpHalf(float scale, float shift) : exp_(scale, shift) {
    constexpr double unit = static_cast<double>(1 << bits) * log2_e;
    double c1 = static_cast<double>(base) * (1 << bits) + double{shift} * unit;
    if constexpr (order == 1) c1 -= static_cast<double>(offset) / (1 << (23 - bits));
    scale_ = V::broadcast(static_cast<float>(double{scale} * unit));
    shift_ = V::broadcast(static_cast<float>(c1));
  }
  /// What `store` takes: the float result, or the bits of the 16-bit one.
  [[nodiscard]] SPIQ_INLINE V operator()(const Half* from) const {
    const V x = simd::load_wide<Arch>(from);
    if constexpr (order == 1) {
      constexpr bool ieee = Rung::overflow == accuracy::Overflow::ieee;
      const V v = max(fma(x, scale_, shift_), V::zero());  // NaN gives 0
      const I i = to_i32(min(v, V::broadcast(static_cast<float>(ieee ? Format::largest + 1 : Format::largest))));
      if constexpr (Rung::nan == accuracy::Nan::propagate)
        return select(x == x, from_bits(i), from_bits(I::broadcast(Format::not_a_number)));
      else
        return from_bits(i);
    } else if constexpr (in_half) {
      // Octaves counted from 2^-(base); what lies below rounds to 0, what lies above to inf.
      V v = max(fma(x, scale_, shift_), V::zero());
      v = min(v, V::broadcast(static_cast<float>((base + 17) << bits)));
      const I i = shift_left<23 - bits>(to_i32(v)) + I::broadcast((127 - base) << 23);
      const V e = from_bits(i & I::broadcast(0x7f800000));
      const V m = from_bits((i & I::broadcast(0x007fffff)) | I::broadcast(one_bits));
      constexpr double a = Rung::a, k = Rung::factor;
      const float c[] = {static_cast<float>(2 * a * k), static_cast<float>((1 - 3 * a) * k), static_cast<float>(a * k)};
      V y = e * polynomial(m, c);
      if constexpr (Rung::overflow == accuracy::Overflow::saturate) y = min(y, V::broadcast(65504.0f));
      if constexpr (Rung::nan == accuracy::Nan::propagate) y = select(x == x, y, x);
      return y;
    } else {
      V y = exp_(x);
      if constexpr (Rung::overflow == accuracy::Overflow::saturate)  // NaN stays: min takes its second operand
        y = min(V::broadcast(std::is_same_v<Half, float16> ? 65504.0f : 3.38953139e38f), y);
      return y;
    }
  }
  SPIQ_INLINE void store(V y, Half* to) const {
    if constexpr (order == 1)
      simd::store_u16<Arch>(bits_of(y), &to->bits);
    else
      simd::store_narrow(y, to);
  }

private:
  static constexpr int order = [] {
    if constexpr (requires { Rung::order; }) return Rung::order;
    else return 0;
  }();
  static constexpr int offset = [] {
    if constexpr (order == 1) return Rung::offset;
    else return 0;
  }();
  static constexpr bool in_half = order == 2 && std::is_same_v<Half, float16>;
  static constexpr int bits = in_half ? 12 : Format::mantissa;
  static constexpr int base = in_half ? 30 : Format::bias;

  V scale_, shift_;
  Exp<Rung, Arch, ExpInput::affine> exp_;
};
}  // namespace detail

/// y[i] = exp(scale x[i] + shift) for i < n, of float16 or bfloat16; y may be x.
template <class Rung, class Arch = simd::best, class Half>
  requires(std::is_same_v<Half, float16> || std::is_same_v<Half, bfloat16>)
void exp(const Half* x, Half* y, std::size_t n, float scale = 1, float shift = 0, int threads = 1) noexcept {
  detail::map_16<Arch>(x, y, n, detail::ExpHalf<Rung, Half, Arch>(scale, shift), threads);
}
}  // namespace kernel

namespace math {

/// y[i] = exp(scale x[i] + shift) in float16; y may be x. Relative errors where the result is a normal number (x from
/// -9.70 to 11.09): `quake` -3.05 to +2.99 % (x from -9.67 on), `quake2` -0.254 to +0.37 %: +0.341 % and half a
/// unit in the last place of float16 (0.049 %), which the other rungs add to theirs as well. `quake` below that loses
/// accuracy progressively and is 0 from x = -10.37 on; the others underflow gradually.
/// Throws `spiq::Error` if the spans differ in length, or if scale or shift is not finite or beyond 1e30 in magnitude.
/// Source: QuAKE, arXiv 2412.00408.
template <accuracy::Rung Rung, class Arch = simd::best>
void exp(std::span<const float16> x, std::span<float16> y, ExpOptions options = {}) {
  kernel::detail::check_exp(x.size(), y.size(), options);
  kernel::exp<Rung, Arch>(x.data(), y.data(), x.size(), options.scale, options.shift, options.threads);
}
/// The same in bfloat16: `quake` -3.55 to +2.98 %, other rungs their error and half a unit in the last place (0.391 %).
template <accuracy::Rung Rung, class Arch = simd::best>
void exp(std::span<const bfloat16> x, std::span<bfloat16> y, ExpOptions options = {}) {
  kernel::detail::check_exp(x.size(), y.size(), options);
  kernel::exp<Rung, Arch>(x.data(), y.data(), x.size(), options.scale, options.shift, options.threads);
}

}  // namespace math

SPIQ_END_NAMESPACE
