/// @file
/// Namespace, compiler attributes and configuration shared by every header.
///
/// All of spiq lives in `spiq::abi…`, an inline namespace named after the compile flags of the translation unit.
/// Two units compiled with different instruction sets therefore never share an inline function by accident.
///
/// Configuration macros a user may define before including spiq:
/// - `SPIQ_ALLOW_FAST_MATH`: accept `-ffast-math` (rounding-sensitive kernels lose their bounds).
#pragma once

#if defined(__FAST_MATH__) && !defined(SPIQ_ALLOW_FAST_MATH)
#error "spiq: -ffast-math breaks rounding-sensitive kernels; compile without it or define SPIQ_ALLOW_FAST_MATH"
#endif

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__) && defined(__FMA__)
#if defined(__AVX512VNNI__)
#define SPIQ_ABI_ISA _avx512vnni
#else
#define SPIQ_ABI_ISA _avx512
#endif
#elif defined(__AVX2__) && defined(__FMA__)
#define SPIQ_ABI_ISA _avx2
#elif defined(__AVX2__)
#define SPIQ_ABI_ISA _avx2nofma
#elif defined(__AVX__)
#define SPIQ_ABI_ISA _avx
#elif defined(__SSE4_2__)
#define SPIQ_ABI_ISA _sse4_2
#elif defined(__SSE4_1__)
#define SPIQ_ABI_ISA _sse4_1
#elif defined(__SSSE3__)
#define SPIQ_ABI_ISA _ssse3
#elif defined(__SSE3__)
#define SPIQ_ABI_ISA _sse3
#elif defined(__SSE2__) || defined(_M_X64)
#define SPIQ_ABI_ISA _sse2
#elif defined(__aarch64__) && defined(__ARM_NEON)
#define SPIQ_ABI_ISA _neon64
#else
#define SPIQ_ABI_ISA _scalar
#endif

#if defined(__AVX512BF16__)
#define SPIQ_ABI_BF16 _avx512bf16
#else
#define SPIQ_ABI_BF16
#endif

#if defined(_OPENMP)
#define SPIQ_ABI_THREADS _omp
#else
#define SPIQ_ABI_THREADS
#endif

#if defined(__cpp_exceptions)
#define SPIQ_ABI_EXCEPTIONS
#else
#define SPIQ_ABI_EXCEPTIONS _noexc
#endif

#if defined(NDEBUG)
#define SPIQ_ABI_CHECKS
#else
#define SPIQ_ABI_CHECKS _checked
#endif

#if defined(SPIQ_WITH_ZLIB)
#define SPIQ_ABI_ZLIB _z
#else
#define SPIQ_ABI_ZLIB
#endif

#define SPIQ_JOIN7_(a, b, c, d, e, f, g) a##b##c##d##e##f##g
#define SPIQ_JOIN7(a, b, c, d, e, f, g) SPIQ_JOIN7_(a, b, c, d, e, f, g)
#define SPIQ_ABI                                                                                          \
  SPIQ_JOIN7(abi1, SPIQ_ABI_ISA, SPIQ_ABI_BF16, SPIQ_ABI_THREADS, SPIQ_ABI_EXCEPTIONS, SPIQ_ABI_CHECKS, \
             SPIQ_ABI_ZLIB)

/// Every header opens and closes the library's namespace through this pair, never by hand.
#define SPIQ_BEGIN_NAMESPACE \
  namespace spiq {           \
  inline namespace SPIQ_ABI {
#define SPIQ_END_NAMESPACE \
  }                        \
  }

#if defined(__GNUC__)
#define SPIQ_INLINE inline __attribute__((always_inline))
#define SPIQ_LAMBDA_INLINE __attribute__((always_inline))
#define SPIQ_NOINLINE __attribute__((noinline))
#define SPIQ_RESTRICT __restrict__
#else
#define SPIQ_INLINE inline
#define SPIQ_LAMBDA_INLINE
#define SPIQ_NOINLINE
#define SPIQ_RESTRICT
#endif

/// Unrolls the following loop completely; its trip count must be a compile-time constant of at most 64.
#if defined(__clang__)
#define SPIQ_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define SPIQ_UNROLL _Pragma("GCC unroll 64")
#else
#define SPIQ_UNROLL
#endif
