/// @file
/// Architecture tags and the one list of back-ends that library, tests and benches share.
#pragma once

#include <spiq/core/abi.hpp>

SPIQ_BEGIN_NAMESPACE

namespace simd {

/// Plain C++, one lane. Always present; the twin of every test oracle.
struct scalar {
  static constexpr const char* name = "scalar";
};
/// 128-bit x86 (every x86-64).
struct sse2 {
  static constexpr const char* name = "sse2";
};
/// 256-bit x86 with FMA (x86-64-v3).
struct avx2 {
  static constexpr const char* name = "avx2";
};
/// 512-bit x86 with F, BW, DQ, VL (x86-64-v4); uses VNNI where the flags allow.
struct avx512 {
  static constexpr const char* name = "avx512";
};
/// 128-bit ARM (AArch64).
struct neon64 {
  static constexpr const char* name = "neon64";
};

/// List of architecture tags.
template <class... Arch>
struct arch_list {};

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__) && defined(__FMA__)
#define SPIQ_SIMD_AVX512 1
#endif
#if defined(__AVX2__) && defined(__FMA__)
#define SPIQ_SIMD_AVX2 1
#endif
#if defined(__SSE2__)
#define SPIQ_SIMD_SSE2 1
#endif
#if defined(__aarch64__) && defined(__ARM_NEON)
#define SPIQ_SIMD_NEON64 1
#endif

/// All architectures that the compile flags of this unit allow, `best` last.
#if defined(SPIQ_SIMD_AVX512)
using best = avx512;
using compiled = arch_list<scalar, sse2, avx2, avx512>;
#elif defined(SPIQ_SIMD_AVX2)
using best = avx2;
using compiled = arch_list<scalar, sse2, avx2>;
#elif defined(SPIQ_SIMD_SSE2)
using best = sse2;
using compiled = arch_list<scalar, sse2>;
#elif defined(SPIQ_SIMD_NEON64)
using best = neon64;
using compiled = arch_list<scalar, neon64>;
#else
using best = scalar;
using compiled = arch_list<scalar>;
#endif

}  // namespace simd

SPIQ_END_NAMESPACE
