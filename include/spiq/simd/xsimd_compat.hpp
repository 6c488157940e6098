/// @file
/// What differs between architectures and versions of xsimd (8.1 to 14). The only header that includes xsimd.
#pragma once

#include <spiq/simd/arch.hpp>

#include <xsimd/xsimd.hpp>

#include <cstddef>
#include <cstdint>

SPIQ_BEGIN_NAMESPACE

namespace simd {

namespace detail {
#if defined(SPIQ_SIMD_AVX512)
// The unmasked AVX-512 intrinsics of g++ 12 read an undefined register by design and warn about it (GCC bug 105593);
// the zero-masked forms with all lanes set compile to the same instructions in silence.
inline constexpr __mmask16 all_lanes = 0xffff;
#endif
#if defined(SPIQ_SIMD_AVX2)
/// All bits set in the first n of eight lanes.
SPIQ_INLINE __m256i first_lanes(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#endif
template <class Arch>
struct xsimd_arch;
#if defined(SPIQ_SIMD_SSE2)
template <>
struct xsimd_arch<sse2> {
  using type = xsimd::sse2;
};
#endif
#if defined(SPIQ_SIMD_AVX2)
template <>
struct xsimd_arch<avx2> {
  using type = xsimd::fma3<xsimd::avx2>;
};
#endif
#if defined(SPIQ_SIMD_AVX512)
template <>
struct xsimd_arch<avx512> {
  using type = xsimd::avx512bw;
};
#endif
#if defined(SPIQ_SIMD_NEON64)
template <>
struct xsimd_arch<neon64> {
  using type = xsimd::neon64;
};
#endif
template <class T, class Arch>
using batch_of = xsimd::batch<T, typename xsimd_arch<Arch>::type>;

// xsimd 8.1 spells these differently from its successors; unqualified calls let lookup find what exists.
template <class B>
SPIQ_INLINE auto batch_sum(const B& b) {
  if constexpr (requires { reduce_add(b); })
    return reduce_add(b);
  else
    return hadd(b);
}
/// The same bits as a batch of `To`.
template <class To, class T, class A>
SPIQ_INLINE xsimd::batch<To, A> batch_bits(const xsimd::batch<T, A>& b) {
#if XSIMD_VERSION_MAJOR >= 9
  return xsimd::bitwise_cast<To>(b);
#else
  return xsimd::bitwise_cast<xsimd::batch<To, A>>(b);
#endif
}
template <class B>
SPIQ_INLINE std::uint32_t bool_bits(const B& b) {
  if constexpr (requires { b.mask(); }) {
    return static_cast<std::uint32_t>(b.mask());
  } else {
    alignas(64) bool lanes[B::size];
    b.store_aligned(lanes);
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < B::size; ++i) bits |= (lanes[i] ? 1u : 0u) << i;
    return bits;
  }
}
}  // namespace detail

}  // namespace simd

SPIQ_END_NAMESPACE
