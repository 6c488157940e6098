/// @file
/// The vectors of all architectures but scalar, over xsimd.
#pragma once

#include <spiq/simd/scalar.hpp>
#include <spiq/simd/xsimd_compat.hpp>

#include <algorithm>
#include <cstring>

SPIQ_BEGIN_NAMESPACE

namespace simd {

template <class T, class Arch>
struct mask {
  using native = typename detail::batch_of<T, Arch>::batch_bool_type;
  native v;
  [[nodiscard]] SPIQ_INLINE std::uint32_t bits() const {
#if defined(SPIQ_SIMD_AVX512)
    if constexpr (std::is_same_v<Arch, avx512>) return static_cast<std::uint32_t>(v.data);
#endif
#if defined(SPIQ_SIMD_AVX2)
    if constexpr (std::is_same_v<Arch, avx2>) {
      if constexpr (std::is_same_v<T, float>)
        return static_cast<std::uint32_t>(_mm256_movemask_ps(v.data));
      else
        return static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(v.data)));
    }
#endif
#if defined(SPIQ_SIMD_SSE2)
    if constexpr (std::is_same_v<Arch, sse2>) {
      if constexpr (std::is_same_v<T, float>)
        return static_cast<std::uint32_t>(_mm_movemask_ps(v.data));
      else
        return static_cast<std::uint32_t>(_mm_movemask_ps(_mm_castsi128_ps(v.data)));
    }
#endif
    return detail::bool_bits(v);
  }
  friend SPIQ_INLINE mask operator&(mask a, mask b) { return {a.v & b.v}; }
  friend SPIQ_INLINE mask operator|(mask a, mask b) { return {a.v | b.v}; }
};

template <class T, class Arch>
struct vec {
  using native = detail::batch_of<T, Arch>;
  static constexpr int width = static_cast<int>(native::size);
  using mask_type = mask<T, Arch>;
  native v;

  static SPIQ_INLINE vec zero() { return {native(T{})}; }
  static SPIQ_INLINE vec broadcast(T x) { return {native(x)}; }
  static SPIQ_INLINE vec load(const T* p) { return {native::load_unaligned(p)}; }
  static SPIQ_INLINE vec load_first(const T* p, int n) {
#if defined(SPIQ_SIMD_AVX512)
    if constexpr (std::is_same_v<Arch, avx512>) {
      const auto m = static_cast<__mmask16>(n >= 16 ? 0xffffu : (1u << (n > 0 ? n : 0)) - 1u);
      if constexpr (std::is_same_v<T, float>)
        return {native(_mm512_maskz_loadu_ps(m, p))};
      else
        return {native(_mm512_maskz_loadu_epi32(m, p))};
    }
#endif
#if defined(SPIQ_SIMD_AVX2)
    if constexpr (std::is_same_v<Arch, avx2>) {
      if constexpr (std::is_same_v<T, float>)
        return {native(_mm256_maskload_ps(p, detail::first_lanes(n)))};
      else
        return {native(_mm256_maskload_epi32(p, detail::first_lanes(n)))};
    }
#endif
    alignas(64) T lanes[static_cast<std::size_t>(width)] = {};
    const int count = std::min(n, width);
    for (int i = 0; i < count; ++i) lanes[i] = p[i];
    return {native::load_aligned(lanes)};
  }
  SPIQ_INLINE void store(T* p) const { v.store_unaligned(p); }
  SPIQ_INLINE void store_first(T* p, int n) const {
#if defined(SPIQ_SIMD_AVX512)
    if constexpr (std::is_same_v<Arch, avx512>) {
      const auto m = static_cast<__mmask16>(n >= 16 ? 0xffffu : (1u << (n > 0 ? n : 0)) - 1u);
      if constexpr (std::is_same_v<T, float>)
        _mm512_mask_storeu_ps(p, m, v);
      else
        _mm512_mask_storeu_epi32(p, m, v);
      return;
    }
#endif
#if defined(SPIQ_SIMD_AVX2)
    if constexpr (std::is_same_v<Arch, avx2>) {
      if constexpr (std::is_same_v<T, float>)
        _mm256_maskstore_ps(p, detail::first_lanes(n), v);
      else
        _mm256_maskstore_epi32(p, detail::first_lanes(n), v);
      return;
    }
#endif
    alignas(64) T lanes[static_cast<std::size_t>(width)];
    v.store_aligned(lanes);
    const int count = std::min(n, width);
    for (int i = 0; i < count; ++i) p[i] = lanes[i];
  }
  static SPIQ_INLINE vec load_u8(const std::uint8_t* p) {
#if defined(SPIQ_SIMD_AVX512)
    if constexpr (std::is_same_v<Arch, avx512>) {
      const __m512i wide = _mm512_maskz_cvtepu8_epi32(detail::all_lanes, _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
      if constexpr (std::is_same_v<T, float>)
        return {native(_mm512_maskz_cvtepi32_ps(detail::all_lanes, wide))};
      else
        return {native(wide)};
    }
#endif
#if defined(SPIQ_SIMD_AVX2)
    if constexpr (std::is_same_v<Arch, avx2>) {
      const __m256i wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
      if constexpr (std::is_same_v<T, float>)
        return {native(_mm256_cvtepi32_ps(wide))};
      else
        return {native(wide)};
    }
#endif
    alignas(64) T lanes[static_cast<std::size_t>(width)];
    for (int i = 0; i < width; ++i) lanes[i] = static_cast<T>(p[i]);
    return {native::load_aligned(lanes)};
  }
  SPIQ_INLINE void store_u8(std::uint8_t* p) const
    requires std::is_same_v<T, std::int32_t>
  {
#if defined(SPIQ_SIMD_AVX512)
    if constexpr (std::is_same_v<Arch, avx512>) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_maskz_cvtepi32_epi8(detail::all_lanes, v));
      return;
    }
#endif
    alignas(64) T lanes[static_cast<std::size_t>(width)];
    v.store_aligned(lanes);
    for (int i = 0; i < width; ++i) p[i] = static_cast<std::uint8_t>(lanes[i]);
  }

  friend SPIQ_INLINE vec operator+(vec a, vec b) { return {a.v + b.v}; }
  friend SPIQ_INLINE vec operator-(vec a, vec b) { return {a.v - b.v}; }
  friend SPIQ_INLINE vec operator*(vec a, vec b) {
#if defined(SPIQ_SIMD_SSE2)
    // SSE2 has no such instruction, and xsimd's loop over the lanes overflows: the even and the odd products apart.
    if constexpr (std::is_same_v<Arch, sse2> && std::is_same_v<T, std::int32_t>) {
      const __m128i even = _mm_mul_epu32(a.v, b.v);
      const __m128i odd = _mm_mul_epu32(_mm_srli_si128(a.v, 4), _mm_srli_si128(b.v, 4));
      return {native(_mm_unpacklo_epi32(_mm_shuffle_epi32(even, _MM_SHUFFLE(0, 0, 2, 0)),
                                        _mm_shuffle_epi32(odd, _MM_SHUFFLE(0, 0, 2, 0))))};
    }
#endif
    return {a.v * b.v};
  }
  friend SPIQ_INLINE vec operator/(vec a, vec b)
    requires std::is_floating_point_v<T>
  {
    return {a.v / b.v};
  }
  friend SPIQ_INLINE mask_type operator>=(vec a, vec b) { return {a.v >= b.v}; }
  friend SPIQ_INLINE mask_type operator>(vec a, vec b) { return {a.v > b.v}; }
  friend SPIQ_INLINE mask_type operator<(vec a, vec b) { return {a.v < b.v}; }
  friend SPIQ_INLINE mask_type operator<=(vec a, vec b) { return {a.v <= b.v}; }
  friend SPIQ_INLINE mask_type operator==(vec a, vec b) { return {a.v == b.v}; }
};

template <class Arch>
concept vectorised = !std::is_same_v<Arch, scalar>;

// min and max are written as comparisons so that NaN gives the second operand in every xsimd version.
template <class T, vectorised Arch>
SPIQ_INLINE vec<T, Arch> min(vec<T, Arch> a, vec<T, Arch> b) {
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512> && std::is_same_v<T, float>)
    return {typename vec<T, Arch>::native(_mm512_maskz_min_ps(detail::all_lanes, a.v, b.v))};
#endif
#if defined(SPIQ_SIMD_AVX2)
  if constexpr (std::is_same_v<Arch, avx2> && std::is_same_v<T, float>)
    return {typename vec<T, Arch>::native(_mm256_min_ps(a.v, b.v))};
#endif
#if defined(SPIQ_SIMD_SSE2)
  if constexpr (std::is_same_v<Arch, sse2> && std::is_same_v<T, float>)
    return {typename vec<T, Arch>::native(_mm_min_ps(a.v, b.v))};
#endif
  return select(a < b, a, b);
}
template <class T, vectorised Arch>
SPIQ_INLINE vec<T, Arch> max(vec<T, Arch> a, vec<T, Arch> b) {
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512> && std::is_same_v<T, float>)
    return {typename vec<T, Arch>::native(_mm512_maskz_max_ps(detail::all_lanes, a.v, b.v))};
#endif
#if defined(SPIQ_SIMD_AVX2)
  if constexpr (std::is_same_v<Arch, avx2> && std::is_same_v<T, float>)
    return {typename vec<T, Arch>::native(_mm256_max_ps(a.v, b.v))};
#endif
#if defined(SPIQ_SIMD_SSE2)
  if constexpr (std::is_same_v<Arch, sse2> && std::is_same_v<T, float>)
    return {typename vec<T, Arch>::native(_mm_max_ps(a.v, b.v))};
#endif
  return select(a > b, a, b);
}
template <class T, vectorised Arch>
SPIQ_INLINE vec<T, Arch> select(mask<T, Arch> m, vec<T, Arch> a, vec<T, Arch> b) {
#if defined(SPIQ_SIMD_AVX512)
  // Of int32, xsimd 8.1's own does not compile without optimisation, where g++'s intrinsics are macros.
  if constexpr (std::is_same_v<Arch, avx512> && std::is_same_v<T, std::int32_t>)
    return {typename vec<T, Arch>::native(_mm512_mask_blend_epi32(static_cast<__mmask16>(m.v.data), b.v, a.v))};
  else
#endif
    return {xsimd::select(m.v, a.v, b.v)};
}
template <vectorised Arch>
SPIQ_INLINE vec<float, Arch> fma(vec<float, Arch> a, vec<float, Arch> b, vec<float, Arch> c) {
#if defined(SPIQ_SIMD_SSE2)
  // Without an instruction of its own: two roundings, always, whatever the flags of the unit let the compiler contract.
  if constexpr (std::is_same_v<Arch, sse2>) return rounded(a * b) + c;
#endif
#if defined(SPIQ_SIMD_AVX512)
  // xsimd 8.1 writes a product and a sum here, and leaves it to the compiler whether they are fused.
  if constexpr (std::is_same_v<Arch, avx512>) return {typename vec<float, Arch>::native(_mm512_fmadd_ps(a.v, b.v, c.v))};
#endif
  return {xsimd::fma(a.v, b.v, c.v)};
}
template <vectorised Arch>
SPIQ_INLINE vec<float, Arch> rounded(vec<float, Arch> a) {
  SPIQ_SIMD_ROUND(a.v.data);
  return a;
}
template <vectorised Arch>
SPIQ_INLINE vec<float, Arch> floor(vec<float, Arch> a) {
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>)
    return {typename vec<float, Arch>::native(_mm512_maskz_roundscale_ps(detail::all_lanes, a.v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC))};
#endif
  return {xsimd::floor(a.v)};
}
template <vectorised Arch>
SPIQ_INLINE vec<float, Arch> sqrt(vec<float, Arch> a) {
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>)
    return {typename vec<float, Arch>::native(_mm512_maskz_sqrt_ps(detail::all_lanes, a.v))};
#endif
  return {xsimd::sqrt(a.v)};
}
template <vectorised Arch>
SPIQ_INLINE vec<std::int32_t, Arch> to_i32(vec<float, Arch> a) {
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>)
    return {typename vec<std::int32_t, Arch>::native(_mm512_maskz_cvttps_epi32(detail::all_lanes, a.v))};
#endif
  return {xsimd::to_int(a.v)};
}
template <vectorised Arch>
SPIQ_INLINE vec<float, Arch> to_f32(vec<std::int32_t, Arch> a) {
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>)
    return {typename vec<float, Arch>::native(_mm512_maskz_cvtepi32_ps(detail::all_lanes, a.v))};
#endif
  return {xsimd::to_float(a.v)};
}
template <vectorised Arch>
SPIQ_INLINE mask<float, Arch> as_f32(mask<std::int32_t, Arch> m) {
  if constexpr (requires { batch_bool_cast<float>(m.v); })
    return {batch_bool_cast<float>(m.v)};
  else
    return {bool_cast(m.v)};
}
template <vectorised Arch>
SPIQ_INLINE mask<std::int32_t, Arch> as_i32(mask<float, Arch> m) {
  if constexpr (requires { batch_bool_cast<std::int32_t>(m.v); })
    return {batch_bool_cast<std::int32_t>(m.v)};
  else
    return {bool_cast(m.v)};
}
template <class T, vectorised Arch>
SPIQ_INLINE T reduce_add(vec<T, Arch> a) {
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>) {
    alignas(64) T lanes[16];
    a.v.store_aligned(lanes);
    const auto half = vec<T, avx2>::load(lanes) + vec<T, avx2>::load(lanes + 8);
    return detail::batch_sum(half.v);
  }
#endif
  return detail::batch_sum(a.v);
}
template <class T, vectorised Arch>
SPIQ_INLINE T reduce_max(vec<T, Arch> a) {
  alignas(64) T lanes[static_cast<std::size_t>(vec<T, Arch>::width)];
  a.v.store_aligned(lanes);
  return *std::max_element(lanes, lanes + vec<T, Arch>::width);
}
template <vectorised Arch>
SPIQ_INLINE vec<std::int32_t, Arch> dot_s16(vec<std::int32_t, Arch> acc, vec<std::int32_t, Arch> a,
                                            vec<std::int32_t, Arch> b) {
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>) {
#if defined(__AVX512VNNI__)
    return {typename vec<std::int32_t, Arch>::native(_mm512_dpwssd_epi32(acc.v, a.v, b.v))};
#else
    return {typename vec<std::int32_t, Arch>::native(_mm512_add_epi32(acc.v, _mm512_madd_epi16(a.v, b.v)))};
#endif
  }
#endif
#if defined(SPIQ_SIMD_AVX2)
  if constexpr (std::is_same_v<Arch, avx2>)
    return {typename vec<std::int32_t, Arch>::native(_mm256_add_epi32(acc.v, _mm256_madd_epi16(a.v, b.v)))};
#endif
#if defined(SPIQ_SIMD_SSE2)
  if constexpr (std::is_same_v<Arch, sse2>)
    return {typename vec<std::int32_t, Arch>::native(_mm_add_epi32(acc.v, _mm_madd_epi16(a.v, b.v)))};
#endif
  const auto low = [](auto x) { return (x << 16) >> 16; };
  return {acc.v + low(a.v) * low(b.v) + (a.v >> 16) * (b.v >> 16)};
}

namespace detail {
template <class Arch, int Registers>
struct vector_traits {
  static constexpr const char* name = Arch::name;
  static constexpr int registers = Registers;
  using f32 = vec<float, Arch>;
  using i32 = vec<std::int32_t, Arch>;
  static constexpr int width = f32::width;
};
}  // namespace detail

#if defined(SPIQ_SIMD_SSE2)
template <>
struct traits<sse2> : detail::vector_traits<sse2, 16> {};
#endif
#if defined(SPIQ_SIMD_AVX2)
template <>
struct traits<avx2> : detail::vector_traits<avx2, 16> {};
#endif
#if defined(SPIQ_SIMD_AVX512)
template <>
struct traits<avx512> : detail::vector_traits<avx512, 32> {};
#endif
#if defined(SPIQ_SIMD_NEON64)
template <>
struct traits<neon64> : detail::vector_traits<neon64, 32> {};
#endif

}  // namespace simd

SPIQ_END_NAMESPACE
