/// @file
/// bfloat16 in vectors: widening loads, rounding stores, and products of pairs where the machine has them.
///
/// A vector of pairs holds two bfloat16 per lane of 32 bits, the first of each in the lower half.
#pragma once

#include <spiq/core/bfloat16.hpp>
#include <spiq/simd/bits.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(SPIQ_SIMD_AVX512) && defined(__AVX512BF16__)
#define SPIQ_SIMD_BF16_DOT 1
#endif

SPIQ_BEGIN_NAMESPACE

namespace simd {

/// True where `dot_bf16` is one instruction.
template <class Arch>
inline constexpr bool has_bf16_dot = false;
#if defined(SPIQ_SIMD_BF16_DOT)
template <>
inline constexpr bool has_bf16_dot<avx512> = true;
#endif

/// The first n of a vector's values (all from n = width on), widened; the others are zero.
template <class Arch>
SPIQ_INLINE vec<float, Arch> load_bf16(const bfloat16* p, int n) {
  using V = vec<float, Arch>;
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>) {
    const auto m = static_cast<__mmask16>(n >= 16 ? 0xffffu : (1u << (n > 0 ? n : 0)) - 1u);
    const __m512i wide = _mm512_maskz_cvtepu16_epi32(detail::all_lanes, _mm256_maskz_loadu_epi16(m, p));
    return {typename V::native(_mm512_castsi512_ps(_mm512_maskz_slli_epi32(detail::all_lanes, wide, 16)))};
  }
#endif
  alignas(64) float lanes[static_cast<std::size_t>(V::width)] = {};
  const int count = std::min(n, V::width);
  for (int i = 0; i < count; ++i) lanes[i] = static_cast<float>(p[i]);
  return V::load(lanes);
}

namespace detail {
/// The bits of a rounded to bfloat16 in the upper half of each lane; the lower half is rubbish.
template <class Arch>
SPIQ_INLINE vec<std::int32_t, Arch> rounded_bf16(vec<float, Arch> a) {
  using I = vec<std::int32_t, Arch>;
  const I bits = bits_of(a);
  const I up = bits + (shift_right<16>(bits) & I::broadcast(1)) + I::broadcast(0x7fff);
  // Rounding could carry a NaN's bits into the sign; made quiet instead, it keeps its upper bits.
  return bits_of(select(a == a, from_bits(up), from_bits(bits | I::broadcast(0x400000))));
}
}  // namespace detail

/// Lanes of a and b as pairs, rounded to nearest even. NaN stays NaN; subnormal values may become zero.
template <class Arch>
SPIQ_INLINE vec<std::int32_t, Arch> pair_bf16(vec<float, Arch> a, vec<float, Arch> b) {
  using I = vec<std::int32_t, Arch>;
#if defined(SPIQ_SIMD_BF16_DOT)
  if constexpr (std::is_same_v<Arch, avx512>) {
    const __m512i low =
        _mm512_maskz_cvtepu16_epi32(detail::all_lanes, (__m256i)_mm512_maskz_cvtneps_pbh(detail::all_lanes, a.v));
    const __m512i high =
        _mm512_maskz_cvtepu16_epi32(detail::all_lanes, (__m256i)_mm512_maskz_cvtneps_pbh(detail::all_lanes, b.v));
    return {typename I::native(_mm512_or_si512(low, _mm512_maskz_slli_epi32(detail::all_lanes, high, 16)))};
  }
#endif
  return (shift_right<16>(detail::rounded_bf16(a)) & I::broadcast(0xffff)) |
         (detail::rounded_bf16(b) & I::broadcast(static_cast<std::int32_t>(0xffff0000u)));
}

/// Writes the first n lanes, rounded to nearest even.
template <class Arch>
SPIQ_INLINE void store_bf16(vec<float, Arch> a, bfloat16* p, int n) {
  const auto bits = detail::rounded_bf16(a);
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>) {
    const auto m = static_cast<__mmask16>(n >= 16 ? 0xffffu : (1u << (n > 0 ? n : 0)) - 1u);
    _mm512_mask_cvtepi32_storeu_epi16(p, m, _mm512_maskz_srli_epi32(detail::all_lanes, bits.v, 16));
    return;
  }
#endif
  alignas(64) std::int32_t lanes[static_cast<std::size_t>(vec<float, Arch>::width)];
  bits.store(lanes);
  const int count = std::min(n, vec<float, Arch>::width);
  for (int i = 0; i < count; ++i)
    p[i] = bfloat16::from_bits(static_cast<std::uint16_t>(static_cast<std::uint32_t>(lanes[i]) >> 16));
}

/// acc + a.first * b.first + a.second * b.second of pairs. The instruction takes subnormal inputs and sums as zero.
template <class Arch>
SPIQ_INLINE vec<float, Arch> dot_bf16(vec<float, Arch> acc, vec<std::int32_t, Arch> a, vec<std::int32_t, Arch> b) {
#if defined(SPIQ_SIMD_BF16_DOT)
  if constexpr (std::is_same_v<Arch, avx512>) {
    __m512i first = a.v, second = b.v;
#if defined(__clang__)
    // Where it sees a broadcast become a vector of bfloat, clang 16's estimate of costs recurses until the stack ends.
    asm("" : "+v"(first), "+v"(second));
#endif
    return {typename vec<float, Arch>::native(_mm512_dpbf16_ps(acc.v, (__m512bh)first, (__m512bh)second))};
  }
#endif
  using I = vec<std::int32_t, Arch>;
  const I upper = I::broadcast(static_cast<std::int32_t>(0xffff0000u));
  return fma(from_bits(shift_left<16>(a)), from_bits(shift_left<16>(b)),
             fma(from_bits(a & upper), from_bits(b & upper), acc));
}

}  // namespace simd

SPIQ_END_NAMESPACE
