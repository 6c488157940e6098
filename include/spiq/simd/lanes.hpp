/// @file
/// Sums and maxima over the lanes that stay in a register, and partial loads with a filling of one's choice.
#pragma once

#include <spiq/simd/scalar.hpp>
#include <spiq/simd/xsimd.hpp>

#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace simd {

/// Lanes [0, n) from memory, the others from `fill`; reads nothing beyond p[n - 1]. 0 <= n <= width.
SPIQ_INLINE vec<float, scalar> load_first_or(const float* p, int n, vec<float, scalar> fill) {
  return n > 0 ? vec<float, scalar>{*p} : fill;
}
template <vectorised Arch>
SPIQ_INLINE vec<float, Arch> load_first_or(const float* p, int n, vec<float, Arch> fill) {
  using V = vec<float, Arch>;
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>)
    return {typename V::native(_mm512_mask_loadu_ps(fill.v, static_cast<__mmask16>((1u << n) - 1u), p))};
#endif
#if defined(SPIQ_SIMD_AVX2)
  if constexpr (std::is_same_v<Arch, avx2>) {
    const __m256i lanes = detail::first_lanes(n);
    return {typename V::native(_mm256_blendv_ps(fill.v, _mm256_maskload_ps(p, lanes), _mm256_castsi256_ps(lanes)))};
  }
#endif
  alignas(64) float lanes[static_cast<std::size_t>(V::width)];
  fill.v.store_aligned(lanes);
  for (int i = 0; i < n; ++i) lanes[i] = p[i];
  return {V::native::load_aligned(lanes)};
}

/// Lane 0.
SPIQ_INLINE float first_lane(vec<float, scalar> a) { return a.v; }
template <vectorised Arch>
SPIQ_INLINE float first_lane(vec<float, Arch> a) {
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>) return _mm512_cvtss_f32(a.v);
#endif
#if defined(SPIQ_SIMD_AVX2)
  if constexpr (std::is_same_v<Arch, avx2>) return _mm256_cvtss_f32(a.v);
#endif
#if defined(SPIQ_SIMD_SSE2)
  if constexpr (std::is_same_v<Arch, sse2>) return _mm_cvtss_f32(a.v);
#endif
  alignas(64) float lanes[static_cast<std::size_t>(vec<float, Arch>::width)];
  a.v.store_aligned(lanes);
  return lanes[0];
}

namespace detail {
/// The lanes combined by `f`, in every lane: by exchanging halves, quarters and so on. `f` must commute.
template <vectorised Arch, class F>
SPIQ_INLINE vec<float, Arch> butterfly(vec<float, Arch> a, const F& f) {
  using V = vec<float, Arch>;
  using B = typename V::native;
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>) {
    a = f(a, V{B(_mm512_maskz_shuffle_f32x4(all_lanes, a.v, a.v, 0x4e))});
    a = f(a, V{B(_mm512_maskz_shuffle_f32x4(all_lanes, a.v, a.v, 0xb1))});
    a = f(a, V{B(_mm512_maskz_permute_ps(all_lanes, a.v, 0x4e))});
    return f(a, V{B(_mm512_maskz_permute_ps(all_lanes, a.v, 0xb1))});
  }
#endif
#if defined(SPIQ_SIMD_AVX2)
  if constexpr (std::is_same_v<Arch, avx2>) {
    a = f(a, V{B(_mm256_permute2f128_ps(a.v, a.v, 0x01))});
    a = f(a, V{B(_mm256_permute_ps(a.v, 0x4e))});
    return f(a, V{B(_mm256_permute_ps(a.v, 0xb1))});
  }
#endif
#if defined(SPIQ_SIMD_SSE2)
  if constexpr (std::is_same_v<Arch, sse2>) {
    a = f(a, V{B(_mm_shuffle_ps(a.v, a.v, 0x4e))});
    return f(a, V{B(_mm_shuffle_ps(a.v, a.v, 0xb1))});
  }
#endif
  alignas(64) float lanes[static_cast<std::size_t>(V::width)];
  a.v.store_aligned(lanes);
  V result = V::broadcast(lanes[0]);
  for (int i = 1; i < V::width; ++i) result = f(result, V::broadcast(lanes[i]));
  return result;
}
}  // namespace detail

/// The largest lane in every lane; NaN must not occur.
SPIQ_INLINE vec<float, scalar> max_all(vec<float, scalar> a) { return a; }
template <vectorised Arch>
SPIQ_INLINE vec<float, Arch> max_all(vec<float, Arch> a) {
  return detail::butterfly(a, [](auto u, auto v) SPIQ_LAMBDA_INLINE { return max(u, v); });
}
/// The sum of the lanes in every lane.
SPIQ_INLINE vec<float, scalar> sum_all(vec<float, scalar> a) { return a; }
template <vectorised Arch>
SPIQ_INLINE vec<float, Arch> sum_all(vec<float, Arch> a) {
  return detail::butterfly(a, [](auto u, auto v) SPIQ_LAMBDA_INLINE { return u + v; });
}

namespace detail {
template <class Arch>
struct narrower {
  using type = scalar;
};
#if defined(SPIQ_SIMD_AVX2)
template <>
struct narrower<avx2> {
  using type = sse2;
};
#endif
#if defined(SPIQ_SIMD_AVX512)
template <>
struct narrower<avx512> {
  using type = avx2;
};
#endif
template <class Arch, int Lanes>
struct of_lanes : std::conditional_t<(traits<Arch>::width <= Lanes), std::type_identity<Arch>,
                                     of_lanes<typename narrower<Arch>::type, Lanes>> {};
template <int Lanes>
struct of_lanes<scalar, Lanes> : std::type_identity<scalar> {};
}  // namespace detail

/// The widest architecture up to `Arch` whose vectors have at most `Lanes` lanes of 32 bits.
template <class Arch, int Lanes>
using at_most = typename detail::of_lanes<Arch, Lanes>::type;

}  // namespace simd

SPIQ_END_NAMESPACE
