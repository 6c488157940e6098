/// @file
/// Vectors of floats from and to arrays of 16-bit numbers: float16, bfloat16, and patterns of bits.
#pragma once

#include <spiq/core/bfloat16.hpp>
#include <spiq/core/float16.hpp>
#include <spiq/simd/bf16.hpp>
#include <spiq/simd/bits.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace simd {

/// True where a vector of float16 is widened and narrowed by one instruction each.
template <class Arch>
inline constexpr bool converts_float16 = false;
#if defined(SPIQ_SIMD_AVX2) && defined(__F16C__)
template <>
inline constexpr bool converts_float16<avx2> = true;
#endif
#if defined(SPIQ_SIMD_AVX512)
template <>
inline constexpr bool converts_float16<avx512> = true;
#endif

/// Stores the lanes as 16-bit patterns; they must lie in [0, 65535].
template <class Arch>
SPIQ_INLINE void store_u16(vec<std::int32_t, Arch> a, std::uint16_t* p) {
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_maskz_cvtepi32_epi16(detail::all_lanes, a.v));
    return;
  } else
#endif
#if defined(SPIQ_SIMD_AVX2)
  if constexpr (std::is_same_v<Arch, avx2>) {
    const __m256i pairs = _mm256_permute4x64_epi64(_mm256_packus_epi32(a.v, a.v), 0x08);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(pairs));
    return;
  } else
#endif
  {
    alignas(64) std::int32_t lanes[static_cast<std::size_t>(vec<std::int32_t, Arch>::width)];
    a.store(lanes);
    for (int i = 0; i < vec<std::int32_t, Arch>::width; ++i) p[i] = static_cast<std::uint16_t>(lanes[i]);
  }
}
/// 16-bit patterns as integers.
template <class Arch>
SPIQ_INLINE vec<std::int32_t, Arch> load_u16(const std::uint16_t* p) {
  using I = vec<std::int32_t, Arch>;
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>) {
    return {typename I::native(
        _mm512_maskz_cvtepu16_epi32(detail::all_lanes, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))))};
  } else
#endif
#if defined(SPIQ_SIMD_AVX2)
  if constexpr (std::is_same_v<Arch, avx2>) {
    return {typename I::native(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
  } else
#endif
  {
    alignas(64) std::int32_t lanes[static_cast<std::size_t>(I::width)];
    for (int i = 0; i < I::width; ++i) lanes[i] = p[i];
    return I::load(lanes);
  }
}

/// A vector of floats from as many numbers of 16 bits.
template <class Arch>
SPIQ_INLINE vec<float, Arch> load_wide(const bfloat16* p) {
  static_assert(sizeof(bfloat16) == 2);
  return from_bits(shift_left<16>(load_u16<Arch>(&p->bits)));
}
template <class Arch>
SPIQ_INLINE vec<float, Arch> load_wide(const float16* p) {
  static_assert(sizeof(float16) == 2);
  using V = vec<float, Arch>;
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>) {
    return {typename V::native(
        _mm512_maskz_cvtph_ps(detail::all_lanes, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))))};
  } else
#endif
#if defined(SPIQ_SIMD_AVX2) && defined(__F16C__)
  if constexpr (std::is_same_v<Arch, avx2>) {
    return {typename V::native(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
  } else
#endif
  {
    // The bits in place are the number times 2^-112, subnormal ones too (as long as the machine does not flush them).
    using I = vec<std::int32_t, Arch>;
    const I bits = load_u16<Arch>(&p->bits);
    const I magnitude = shift_left<13>(bits & I::broadcast(0x7fff));
    const V value = from_bits(magnitude) * V::broadcast(5.192296858534828e33f);
    const V special = from_bits(magnitude | I::broadcast(0x7f800000));
    const V a = select(as_f32(magnitude >= I::broadcast(0x7c00 << 13)), special, value);
    return from_bits(bits_of(a) | shift_left<16>(bits & I::broadcast(0x8000)));
  }
}
/// Stores a vector of floats as numbers of 16 bits, rounded to nearest even; NaN stays NaN.
template <class Arch>
SPIQ_INLINE void store_narrow(vec<float, Arch> a, bfloat16* p) {
  using I = vec<std::int32_t, Arch>;
  store_u16<Arch>(shift_right<16>(detail::rounded_bf16(a)) & I::broadcast(0xffff), &p->bits);
}
template <class Arch>
SPIQ_INLINE void store_narrow(vec<float, Arch> a, float16* p) {
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_maskz_cvtps_ph(detail::all_lanes, a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    return;
  } else
#endif
#if defined(SPIQ_SIMD_AVX2) && defined(__F16C__)
  if constexpr (std::is_same_v<Arch, avx2>) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
    return;
  } else
#endif
  {
    alignas(64) float lanes[static_cast<std::size_t>(vec<float, Arch>::width)];
    a.store(lanes);
    for (int i = 0; i < vec<float, Arch>::width; ++i) p[i] = float16(lanes[i]);
  }
}

}  // namespace simd

SPIQ_END_NAMESPACE
