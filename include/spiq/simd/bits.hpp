/// @file
/// Vectors as bit patterns, scaling by powers of two, reciprocal estimates and stores past the caches.
#pragma once

#include <spiq/simd/scalar.hpp>
#include <spiq/simd/xsimd.hpp>

#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace simd {

/// True where `fma` rounds once.
template <class Arch>
inline constexpr bool fuses_multiply_add =
#if defined(__FMA__) || defined(__aarch64__)
    !std::is_same_v<Arch, sse2>;
#else
    false;
#endif

/// The bits of a float as an integer, and back; no instruction.
SPIQ_INLINE vec<std::int32_t, scalar> bits_of(vec<float, scalar> a) { return {std::bit_cast<std::int32_t>(a.v)}; }
SPIQ_INLINE vec<float, scalar> from_bits(vec<std::int32_t, scalar> a) { return {std::bit_cast<float>(a.v)}; }
template <vectorised Arch>
SPIQ_INLINE vec<std::int32_t, Arch> bits_of(vec<float, Arch> a) {
  return {detail::batch_bits<std::int32_t>(a.v)};
}
template <vectorised Arch>
SPIQ_INLINE vec<float, Arch> from_bits(vec<std::int32_t, Arch> a) {
  return {detail::batch_bits<float>(a.v)};
}

SPIQ_INLINE vec<std::int32_t, scalar> operator&(vec<std::int32_t, scalar> a, vec<std::int32_t, scalar> b) {
  return {a.v & b.v};
}
SPIQ_INLINE vec<std::int32_t, scalar> operator|(vec<std::int32_t, scalar> a, vec<std::int32_t, scalar> b) {
  return {a.v | b.v};
}
template <vectorised Arch>
SPIQ_INLINE vec<std::int32_t, Arch> operator&(vec<std::int32_t, Arch> a, vec<std::int32_t, Arch> b) {
  return {a.v & b.v};
}
template <vectorised Arch>
SPIQ_INLINE vec<std::int32_t, Arch> operator|(vec<std::int32_t, Arch> a, vec<std::int32_t, Arch> b) {
  return {a.v | b.v};
}

/// Shifts every lane; the right shift keeps the sign.
template <int N>
SPIQ_INLINE vec<std::int32_t, scalar> shift_left(vec<std::int32_t, scalar> a) {
  return {static_cast<std::int32_t>(static_cast<std::uint32_t>(a.v) << N)};
}
template <int N>
SPIQ_INLINE vec<std::int32_t, scalar> shift_right(vec<std::int32_t, scalar> a) {
  return {a.v >> N};
}
template <int N, vectorised Arch>
SPIQ_INLINE vec<std::int32_t, Arch> shift_left(vec<std::int32_t, Arch> a) {
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>)
    return {typename vec<std::int32_t, Arch>::native(_mm512_maskz_slli_epi32(detail::all_lanes, a.v, N))};
  else
#endif
    return {a.v << N};
}
template <int N, vectorised Arch>
SPIQ_INLINE vec<std::int32_t, Arch> shift_right(vec<std::int32_t, Arch> a) {
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>)
    return {typename vec<std::int32_t, Arch>::native(_mm512_maskz_srai_epi32(detail::all_lanes, a.v, N))};
  else
#endif
    return {a.v >> N};
}

/// Minimum and maximum of integers, in one instruction where there is one.
SPIQ_INLINE vec<std::int32_t, scalar> min_i32(vec<std::int32_t, scalar> a, vec<std::int32_t, scalar> b) { return min(a, b); }
SPIQ_INLINE vec<std::int32_t, scalar> max_i32(vec<std::int32_t, scalar> a, vec<std::int32_t, scalar> b) { return max(a, b); }
template <vectorised Arch>
SPIQ_INLINE vec<std::int32_t, Arch> min_i32(vec<std::int32_t, Arch> a, vec<std::int32_t, Arch> b) {
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>)
    return {typename vec<std::int32_t, Arch>::native(_mm512_maskz_min_epi32(detail::all_lanes, a.v, b.v))};
  else
#endif
#if defined(SPIQ_SIMD_AVX2)
  if constexpr (std::is_same_v<Arch, avx2>)
    return {typename vec<std::int32_t, Arch>::native(_mm256_min_epi32(a.v, b.v))};
  else
#endif
    return select(a < b, a, b);
}
template <vectorised Arch>
SPIQ_INLINE vec<std::int32_t, Arch> max_i32(vec<std::int32_t, Arch> a, vec<std::int32_t, Arch> b) {
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>)
    return {typename vec<std::int32_t, Arch>::native(_mm512_maskz_max_epi32(detail::all_lanes, a.v, b.v))};
  else
#endif
#if defined(SPIQ_SIMD_AVX2)
  if constexpr (std::is_same_v<Arch, avx2>)
    return {typename vec<std::int32_t, Arch>::native(_mm256_max_epi32(a.v, b.v))};
  else
#endif
    return select(a > b, a, b);
}
/// `low` <= a <= `high` for low < 0 < high, where NaN gives one of them or stays.
SPIQ_INLINE vec<float, scalar> limited(vec<float, scalar> a, float low, float high) {
  return max(min(a, vec<float, scalar>{high}), vec<float, scalar>{low});
}
template <vectorised Arch>
SPIQ_INLINE vec<float, Arch> limited(vec<float, Arch> a, float low, float high) {
  using V = vec<float, Arch>;
  // As integers, beside the float units: bits of positive floats are in order, and below them all negative ones;
  // without a sign those of negative floats are above all others, the larger the further down.
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>) {
    const __m512i top = min_i32(bits_of(a), bits_of(V::broadcast(high))).v;
    return from_bits(vec<std::int32_t, Arch>{typename vec<std::int32_t, Arch>::native(
        _mm512_maskz_min_epu32(detail::all_lanes, top, bits_of(V::broadcast(low)).v))});
  } else
#endif
    return max(min(a, V::broadcast(high)), V::broadcast(low));
}
/// True where whole numbers are compared beside the float units, so that limits are best kept there.
template <class Arch>
inline constexpr bool limits_in_integers = false;
#if defined(SPIQ_SIMD_AVX512)
template <>
inline constexpr bool limits_in_integers<avx512> = true;
#endif

/// Entries of the largest table of floats that one instruction looks up; 0 where there is none.
template <class Arch>
inline constexpr int lookup_entries = 0;
#if defined(SPIQ_SIMD_AVX2)
template <>
inline constexpr int lookup_entries<avx2> = 8;
#endif
#if defined(SPIQ_SIMD_AVX512)
template <>
inline constexpr int lookup_entries<avx512> = 32;
#endif
/// table[index mod N] for N a power of two.
template <int N>
SPIQ_INLINE vec<float, scalar> lookup(const float (&table)[N], vec<std::int32_t, scalar> index) {
  return {table[index.v & (N - 1)]};
}
template <int N, vectorised Arch>
SPIQ_INLINE vec<float, Arch> lookup(const float (&table)[N], vec<std::int32_t, Arch> index) {
  using V = vec<float, Arch>;
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512> && N == 16) {
    return {typename V::native(_mm512_maskz_permutexvar_ps(detail::all_lanes, index.v, V::load(table).v))};
  } else if constexpr (std::is_same_v<Arch, avx512> && N == 32) {
    return {typename V::native(_mm512_permutex2var_ps(V::load(table).v, index.v, V::load(table + 16).v))};
  } else
#endif
#if defined(SPIQ_SIMD_AVX2)
  if constexpr (std::is_same_v<Arch, avx2> && N == 8) {
    return {typename V::native(_mm256_permutevar8x32_ps(V::load(table).v, index.v))};
  } else
#endif
  {
    alignas(64) std::int32_t place[static_cast<std::size_t>(V::width)];
    alignas(64) float value[static_cast<std::size_t>(V::width)];
    index.store(place);
    for (int i = 0; i < V::width; ++i) value[i] = table[place[i] & (N - 1)];
    return V::load(value);
  }
}

/// Truncation of non-negative floats, +inf too, to integers of at most `cap`, which must be a float as well. Where the
/// integer minimum runs beside the float units it is taken there.
SPIQ_INLINE vec<std::int32_t, scalar> to_i32_capped(vec<float, scalar> a, std::int32_t cap) {
  return to_i32(min(a, vec<float, scalar>{static_cast<float>(cap)}));
}
template <vectorised Arch>
SPIQ_INLINE vec<std::int32_t, Arch> to_i32_capped(vec<float, Arch> a, std::int32_t cap) {
  // What leaves int32 is converted to the pattern of 2^31, which as an unsigned number is above every cap.
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>)
    return {typename vec<std::int32_t, Arch>::native(_mm512_maskz_min_epu32(
        detail::all_lanes, _mm512_maskz_cvttps_epi32(detail::all_lanes, a.v), _mm512_set1_epi32(cap)))};
#endif
#if defined(SPIQ_SIMD_AVX2)
  if constexpr (std::is_same_v<Arch, avx2>)
    return {typename vec<std::int32_t, Arch>::native(_mm256_min_epu32(_mm256_cvttps_epi32(a.v), _mm256_set1_epi32(cap)))};
#endif
  return to_i32(min(a, vec<float, Arch>::broadcast(static_cast<float>(cap))));
}

/// Nearest int32, ties to even; the values must be representable.
SPIQ_INLINE vec<std::int32_t, scalar> round_i32(vec<float, scalar> a) {
#if defined(SPIQ_SIMD_SSE2)
  return {_mm_cvtss_si32(_mm_set_ss(a.v))};
#else
  return {static_cast<std::int32_t>(std::lrint(a.v))};
#endif
}
template <vectorised Arch>
SPIQ_INLINE vec<std::int32_t, Arch> round_i32(vec<float, Arch> a) {
  using I = vec<std::int32_t, Arch>;
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>)
    return {typename I::native(_mm512_maskz_cvtps_epi32(detail::all_lanes, a.v))};
#endif
#if defined(SPIQ_SIMD_AVX2)
  if constexpr (std::is_same_v<Arch, avx2>) return {typename I::native(_mm256_cvtps_epi32(a.v))};
#endif
#if defined(SPIQ_SIMD_SSE2)
  if constexpr (std::is_same_v<Arch, sse2>) return {typename I::native(_mm_cvtps_epi32(a.v))};
#endif
  return {xsimd::to_int(xsimd::nearbyint(a.v))};
}
/// Nearest integer as a float, ties to even. NaN stays NaN and infinities stay on every architecture but sse2 and
/// scalar, where the values must be representable as int32.
SPIQ_INLINE vec<float, scalar> round_nearest(vec<float, scalar> a) { return to_f32(round_i32(a)); }
template <vectorised Arch>
SPIQ_INLINE vec<float, Arch> round_nearest(vec<float, Arch> a) {
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>)
    return {typename vec<float, Arch>::native(_mm512_maskz_roundscale_ps(
        detail::all_lanes, a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))};
#endif
#if defined(SPIQ_SIMD_AVX2)
  if constexpr (std::is_same_v<Arch, avx2>)
    return {typename vec<float, Arch>::native(_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))};
#endif
  return to_f32(round_i32(a));
}
/// t - floor(t), in [0, 1], rounded (exact but right below 0) for |t| < 2^23.
SPIQ_INLINE vec<float, scalar> fraction(vec<float, scalar> t) { return t - floor(t); }
template <vectorised Arch>
SPIQ_INLINE vec<float, Arch> fraction(vec<float, Arch> t) {
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>)
    return {typename vec<float, Arch>::native(
        _mm512_maskz_reduce_ps(detail::all_lanes, t.v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC))};
#endif
  return t - floor(t);
}

/// c - a * b, rounded as `fma` rounds.
SPIQ_INLINE vec<float, scalar> fnma(vec<float, scalar> a, vec<float, scalar> b, vec<float, scalar> c) {
  return fma(vec<float, scalar>{-a.v}, b, c);
}
template <vectorised Arch>
SPIQ_INLINE vec<float, Arch> fnma(vec<float, Arch> a, vec<float, Arch> b, vec<float, Arch> c) {
#if defined(SPIQ_SIMD_SSE2)
  if constexpr (std::is_same_v<Arch, sse2>) return c - rounded(a * b);
#endif
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>) return {typename vec<float, Arch>::native(_mm512_fnmadd_ps(a.v, b.v, c.v))};
#endif
  return {xsimd::fnma(a.v, b.v, c.v)};
}
/// -c - a * b, rounded as `fma` rounds.
SPIQ_INLINE vec<float, scalar> fnms(vec<float, scalar> a, vec<float, scalar> b, vec<float, scalar> c) {
  return fma(vec<float, scalar>{-a.v}, b, vec<float, scalar>{-c.v});
}
template <vectorised Arch>
SPIQ_INLINE vec<float, Arch> fnms(vec<float, Arch> a, vec<float, Arch> b, vec<float, Arch> c) {
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>) return {typename vec<float, Arch>::native(_mm512_fnmsub_ps(a.v, b.v, c.v))};
#endif
  return fnma(a, b, vec<float, Arch>::zero() - c);
}
/// a * b + c in one rounding on every architecture of a unit whose flags have an instruction for it: on sse2 too, whose
/// `fma` always has two. For results that must not depend on the architecture.
SPIQ_INLINE vec<float, scalar> fma_of_unit(vec<float, scalar> a, vec<float, scalar> b, vec<float, scalar> c) {
  return fma(a, b, c);
}
template <vectorised Arch>
SPIQ_INLINE vec<float, Arch> fma_of_unit(vec<float, Arch> a, vec<float, Arch> b, vec<float, Arch> c) {
#if defined(SPIQ_SIMD_SSE2) && defined(__FMA__)
  if constexpr (std::is_same_v<Arch, sse2>) return {typename vec<float, Arch>::native(_mm_fmadd_ps(a.v, b.v, c.v))};
#endif
  return fma(a, b, c);
}
/// -|a|.
template <class Arch>
SPIQ_INLINE vec<float, Arch> negative_magnitude(vec<float, Arch> a) {
  return from_bits(bits_of(a) | vec<std::int32_t, Arch>::broadcast(std::numeric_limits<std::int32_t>::min()));
}

/// True where p * 2^floor(t) is one instruction (`scale_by_exponent`), with gradual underflow, infinity and NaN.
template <class Arch>
inline constexpr bool scales_by_exponent = false;
#if defined(SPIQ_SIMD_AVX512)
template <>
inline constexpr bool scales_by_exponent<avx512> = true;
/// p * 2^floor(t).
SPIQ_INLINE vec<float, avx512> scale_by_exponent(vec<float, avx512> p, vec<float, avx512> t) {
  return {vec<float, avx512>::native(_mm512_maskz_scalef_ps(detail::all_lanes, p.v, t.v))};
}
#endif

/// 1 / x to within `reciprocal_estimate_error`, for normal x whose reciprocal is normal too.
template <class Arch>
inline constexpr double reciprocal_estimate_error = 6e-8;  // a division
#if defined(SPIQ_SIMD_AVX512)
template <>
inline constexpr double reciprocal_estimate_error<avx512> = 6.2e-5;  // 2^-14
#endif
#if defined(SPIQ_SIMD_AVX2)
template <>
inline constexpr double reciprocal_estimate_error<avx2> = 3.7e-4;  // 1.5 * 2^-12
#endif
SPIQ_INLINE vec<float, scalar> reciprocal_estimate(vec<float, scalar> x) { return {1.0f / x.v}; }
template <vectorised Arch>
SPIQ_INLINE vec<float, Arch> reciprocal_estimate(vec<float, Arch> x) {
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>)
    return {typename vec<float, Arch>::native(_mm512_maskz_rcp14_ps(detail::all_lanes, x.v))};
#endif
#if defined(SPIQ_SIMD_AVX2)
  if constexpr (std::is_same_v<Arch, avx2>) return {typename vec<float, Arch>::native(_mm256_rcp_ps(x.v))};
#endif
  return vec<float, Arch>::broadcast(1.0f) / x;
}
/// True where the estimate of a power of two is exact, as that of AVX-512 is and that of AVX2 is not.
template <class Arch>
inline constexpr bool estimates_powers_exactly = reciprocal_estimate_error<Arch> < 3e-4;
/// 1 / x by the estimate and one Newton step: the square of its error, and a rounding. x = +inf gives 0, NaN gives NaN;
/// where 1 / x is no normal float, the result is smaller than 2^-124.
template <class Arch>
SPIQ_INLINE vec<float, Arch> reciprocal_newton(vec<float, Arch> x) {
  using V = vec<float, Arch>;
  // The estimate is that of x, so that infinity gives 0; the step's factor is held where it cannot meet 0 * inf.
  const V r = reciprocal_estimate(x);
  const V bounded = min(V::broadcast(8.5070592e37f), x);
  return fma(r, fnma(bounded, r, V::broadcast(1.0f)), r);
}
/// 1 / x to a relative error of 2^-Bits at most, 23 at best, by the estimate and as many Newton steps as that takes
/// (none, one, or a true division). Range as above.
template <int Bits, class Arch>
SPIQ_INLINE vec<float, Arch> reciprocal(vec<float, Arch> x) {
  constexpr double estimate = reciprocal_estimate_error<Arch>, error = 1.0 / (1 << Bits);
  if constexpr (estimate <= error)
    return reciprocal_estimate(x);
  else if constexpr (estimate * estimate + 1.2e-7 <= error)
    return reciprocal_newton(x);
  else
    return vec<float, Arch>::broadcast(1.0f) / x;
}

/// Stores a whole vector past the caches; `p` is aligned to the vector. The data are visible to other threads after
/// `stream_fence`.
SPIQ_INLINE void stream(vec<float, scalar> a, float* p) { *p = a.v; }
template <vectorised Arch>
SPIQ_INLINE void stream(vec<float, Arch> a, float* p) {
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>) {
    _mm512_stream_ps(p, a.v);
    return;
  }
#endif
#if defined(SPIQ_SIMD_AVX2)
  if constexpr (std::is_same_v<Arch, avx2>) {
    _mm256_stream_ps(p, a.v);
    return;
  }
#endif
#if defined(SPIQ_SIMD_SSE2)
  if constexpr (std::is_same_v<Arch, sse2>) {
    _mm_stream_ps(p, a.v);
    return;
  }
#endif
  a.store(p);
}
/// Orders streamed stores before whatever follows.
SPIQ_INLINE void stream_fence() {
#if defined(SPIQ_SIMD_SSE2)
  _mm_sfence();
#else
  std::atomic_thread_fence(std::memory_order_release);
#endif
}

}  // namespace simd

SPIQ_END_NAMESPACE
