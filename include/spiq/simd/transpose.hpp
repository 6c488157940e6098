/// @file
/// Transposition of a square of lanes in registers.
#pragma once

#include <spiq/simd/simd.hpp>

#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace simd {

namespace detail {
/// The lower, or the upper, halves of a and b interleaved lane by lane: a0 b0 a1 b1 ...
template <bool Upper, class Arch>
SPIQ_INLINE vec<float, Arch> zip(vec<float, Arch> a, vec<float, Arch> b) {
  if constexpr (std::is_same_v<Arch, scalar>) {
    return Upper ? b : a;
  } else {
    using Native = typename vec<float, Arch>::native;
#if defined(SPIQ_SIMD_AVX512)
    if constexpr (std::is_same_v<Arch, avx512>) {
      const __m512i order = Upper ? _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
                                  : _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      return {Native(_mm512_permutex2var_ps(a.v, order, b.v))};
    } else
#endif
#if defined(SPIQ_SIMD_AVX2)
        if constexpr (std::is_same_v<Arch, avx2>) {
      const __m256 low = _mm256_unpacklo_ps(a.v, b.v), high = _mm256_unpackhi_ps(a.v, b.v);
      return {Native(Upper ? _mm256_permute2f128_ps(low, high, 0x31) : _mm256_permute2f128_ps(low, high, 0x20))};
    } else
#endif
      return {Native(Upper ? xsimd::zip_hi(a.v, b.v) : xsimd::zip_lo(a.v, b.v))};
  }
}
}  // namespace detail

/// rows[i] lane j becomes rows[j] lane i, for as many rows as a vector has lanes (a perfect shuffle per bit of the
/// lane number).
template <class Arch>
SPIQ_INLINE void transpose(vec<float, Arch> (&rows)[static_cast<std::size_t>(vec<float, Arch>::width)]) {
  constexpr int width = vec<float, Arch>::width;
  for (int stage = 1; stage < width; stage *= 2) {
    vec<float, Arch> mixed[static_cast<std::size_t>(width)];
    SPIQ_UNROLL
    for (int i = 0; i < width / 2; ++i) {
      mixed[2 * i] = detail::zip<false>(rows[i], rows[i + width / 2]);
      mixed[2 * i + 1] = detail::zip<true>(rows[i], rows[i + width / 2]);
    }
    SPIQ_UNROLL
    for (int i = 0; i < width; ++i) rows[i] = mixed[i];
  }
}

}  // namespace simd

SPIQ_END_NAMESPACE
