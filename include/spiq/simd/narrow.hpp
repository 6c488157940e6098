/// @file
/// Vectors of 8- and 16-bit integers whose sums saturate: membranes of integer neurons.
#pragma once

#include <spiq/simd/scalar.hpp>
#include <spiq/simd/xsimd.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace simd {

template <class T>
concept narrow_integer = std::same_as<T, std::int8_t> || std::same_as<T, std::int16_t>;

/// Lanes of int8 or int16. Loads and stores are unaligned; `bits()` of a mask has lane i in bit i.
template <narrow_integer T, class Arch>
struct narrow;
template <narrow_integer T, class Arch>
struct narrow_mask;

template <narrow_integer T>
struct narrow_mask<T, scalar> {
  bool v;
  [[nodiscard]] SPIQ_INLINE std::uint64_t bits() const { return v ? 1u : 0u; }
};
template <narrow_integer T>
struct narrow<T, scalar> {
  static constexpr std::size_t width = 1;
  T v;
  static SPIQ_INLINE narrow broadcast(T x) { return {x}; }
  static SPIQ_INLINE narrow load(const T* p) { return {*p}; }
  SPIQ_INLINE void store(T* p) const { *p = v; }
  friend SPIQ_INLINE narrow_mask<T, scalar> operator>=(narrow a, narrow b) { return {a.v >= b.v}; }
};

namespace detail {
template <narrow_integer T>
SPIQ_INLINE T saturated(int x) {
  return static_cast<T>(std::clamp<int>(x, std::numeric_limits<T>::min(), std::numeric_limits<T>::max()));
}
}  // namespace detail

/// a + b and a - b, at the ends of the range where they leave it.
template <narrow_integer T>
SPIQ_INLINE narrow<T, scalar> add_saturated(narrow<T, scalar> a, narrow<T, scalar> b) {
  return {detail::saturated<T>(int{a.v} + int{b.v})};
}
template <narrow_integer T>
SPIQ_INLINE narrow<T, scalar> subtract_saturated(narrow<T, scalar> a, narrow<T, scalar> b) {
  return {detail::saturated<T>(int{a.v} - int{b.v})};
}
/// m ? a : b, per lane.
template <narrow_integer T>
SPIQ_INLINE narrow<T, scalar> select(narrow_mask<T, scalar> m, narrow<T, scalar> a, narrow<T, scalar> b) {
  return m.v ? a : b;
}
/// floor(a / 2^count); 0 <= count < bits of T.
template <narrow_integer T>
SPIQ_INLINE narrow<T, scalar> shift_right(narrow<T, scalar> a, int count) {
  return {static_cast<T>(a.v >> count)};
}

/// How many lanes of T the registers of an architecture hold.
template <class T, class Arch>
inline constexpr std::size_t narrow_width = static_cast<std::size_t>(traits<Arch>::width) * 4 / sizeof(T);

#if defined(SPIQ_SIMD_SSE2)
template <narrow_integer T>
struct narrow_mask<T, sse2> {
  __m128i v;
  [[nodiscard]] SPIQ_INLINE std::uint64_t bits() const {
    // Of 16-bit lanes: narrowed to bytes, which keeps all ones and zero.
    const __m128i bytes = sizeof(T) == 1 ? v : _mm_packs_epi16(v, _mm_setzero_si128());
    return static_cast<std::uint32_t>(_mm_movemask_epi8(bytes));
  }
};
template <narrow_integer T>
struct narrow<T, sse2> {
  static constexpr std::size_t width = narrow_width<T, sse2>;
  __m128i v;
  static SPIQ_INLINE narrow broadcast(T x) {
    if constexpr (sizeof(T) == 1)
      return {_mm_set1_epi8(x)};
    else
      return {_mm_set1_epi16(x)};
  }
  static SPIQ_INLINE narrow load(const T* p) { return {_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))}; }
  SPIQ_INLINE void store(T* p) const { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), v); }
  friend SPIQ_INLINE narrow_mask<T, sse2> operator>=(narrow a, narrow b) {
    const __m128i below = sizeof(T) == 1 ? _mm_cmpgt_epi8(b.v, a.v) : _mm_cmpgt_epi16(b.v, a.v);
    return {_mm_xor_si128(below, _mm_set1_epi32(-1))};
  }
};
template <narrow_integer T>
SPIQ_INLINE narrow<T, sse2> add_saturated(narrow<T, sse2> a, narrow<T, sse2> b) {
  return {sizeof(T) == 1 ? _mm_adds_epi8(a.v, b.v) : _mm_adds_epi16(a.v, b.v)};
}
template <narrow_integer T>
SPIQ_INLINE narrow<T, sse2> subtract_saturated(narrow<T, sse2> a, narrow<T, sse2> b) {
  return {sizeof(T) == 1 ? _mm_subs_epi8(a.v, b.v) : _mm_subs_epi16(a.v, b.v)};
}
template <narrow_integer T>
SPIQ_INLINE narrow<T, sse2> select(narrow_mask<T, sse2> m, narrow<T, sse2> a, narrow<T, sse2> b) {
  return {_mm_or_si128(_mm_and_si128(m.v, a.v), _mm_andnot_si128(m.v, b.v))};
}
template <narrow_integer T>
SPIQ_INLINE narrow<T, sse2> shift_right(narrow<T, sse2> a, int count) {
  const __m128i n = _mm_cvtsi32_si128(count);
  if constexpr (sizeof(T) == 2) {
    return {_mm_sra_epi16(a.v, n)};
  } else {
    // No shift of bytes: those of a + 128, which has no sign, without the bits of the neighbour; 2^count divides 128.
    const __m128i high = _mm_set1_epi8(std::numeric_limits<std::int8_t>::min());
    const __m128i moved =
        _mm_and_si128(_mm_srl_epi16(_mm_xor_si128(a.v, high), n), _mm_set1_epi8(static_cast<char>(255 >> count)));
    return {_mm_sub_epi8(moved, _mm_set1_epi8(static_cast<char>(128 >> count)))};
  }
}
#endif

#if defined(SPIQ_SIMD_AVX2)
template <narrow_integer T>
struct narrow_mask<T, avx2> {
  __m256i v;
  [[nodiscard]] SPIQ_INLINE std::uint64_t bits() const {
    if constexpr (sizeof(T) == 1)
      return static_cast<std::uint32_t>(_mm256_movemask_epi8(v));
    else
      return static_cast<std::uint32_t>(
          _mm_movemask_epi8(_mm_packs_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1))));
  }
};
template <narrow_integer T>
struct narrow<T, avx2> {
  static constexpr std::size_t width = narrow_width<T, avx2>;
  __m256i v;
  static SPIQ_INLINE narrow broadcast(T x) {
    if constexpr (sizeof(T) == 1)
      return {_mm256_set1_epi8(x)};
    else
      return {_mm256_set1_epi16(x)};
  }
  static SPIQ_INLINE narrow load(const T* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
  SPIQ_INLINE void store(T* p) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
  friend SPIQ_INLINE narrow_mask<T, avx2> operator>=(narrow a, narrow b) {
    // Not the complement of b > a: with AVX-512 about, g++ 12 blends by such a mask the wrong way round.
    if constexpr (sizeof(T) == 1)
      return {_mm256_cmpeq_epi8(_mm256_max_epi8(a.v, b.v), a.v)};
    else
      return {_mm256_cmpeq_epi16(_mm256_max_epi16(a.v, b.v), a.v)};
  }
};
template <narrow_integer T>
SPIQ_INLINE narrow<T, avx2> add_saturated(narrow<T, avx2> a, narrow<T, avx2> b) {
  return {sizeof(T) == 1 ? _mm256_adds_epi8(a.v, b.v) : _mm256_adds_epi16(a.v, b.v)};
}
template <narrow_integer T>
SPIQ_INLINE narrow<T, avx2> subtract_saturated(narrow<T, avx2> a, narrow<T, avx2> b) {
  return {sizeof(T) == 1 ? _mm256_subs_epi8(a.v, b.v) : _mm256_subs_epi16(a.v, b.v)};
}
template <narrow_integer T>
SPIQ_INLINE narrow<T, avx2> select(narrow_mask<T, avx2> m, narrow<T, avx2> a, narrow<T, avx2> b) {
  return {_mm256_blendv_epi8(b.v, a.v, m.v)};
}
template <narrow_integer T>
SPIQ_INLINE narrow<T, avx2> shift_right(narrow<T, avx2> a, int count) {
  const __m128i n = _mm_cvtsi32_si128(count);
  if constexpr (sizeof(T) == 2) {
    return {_mm256_sra_epi16(a.v, n)};
  } else {
    const __m256i high = _mm256_set1_epi8(std::numeric_limits<std::int8_t>::min());
    const __m256i moved = _mm256_and_si256(_mm256_srl_epi16(_mm256_xor_si256(a.v, high), n),
                                           _mm256_set1_epi8(static_cast<char>(255 >> count)));
    return {_mm256_sub_epi8(moved, _mm256_set1_epi8(static_cast<char>(128 >> count)))};
  }
}
#endif

#if defined(SPIQ_SIMD_AVX512)
template <narrow_integer T>
struct narrow_mask<T, avx512> {
  std::uint64_t v;
  [[nodiscard]] SPIQ_INLINE std::uint64_t bits() const { return v; }
};
template <narrow_integer T>
struct narrow<T, avx512> {
  static constexpr std::size_t width = narrow_width<T, avx512>;
  __m512i v;
  static SPIQ_INLINE narrow broadcast(T x) {
    if constexpr (sizeof(T) == 1)
      return {_mm512_set1_epi8(x)};
    else
      return {_mm512_set1_epi16(x)};
  }
  static SPIQ_INLINE narrow load(const T* p) { return {_mm512_loadu_si512(p)}; }
  SPIQ_INLINE void store(T* p) const { _mm512_storeu_si512(p, v); }
  friend SPIQ_INLINE narrow_mask<T, avx512> operator>=(narrow a, narrow b) {
    if constexpr (sizeof(T) == 1)
      return {_mm512_cmpge_epi8_mask(a.v, b.v)};
    else
      return {_mm512_cmpge_epi16_mask(a.v, b.v)};
  }
};
template <narrow_integer T>
SPIQ_INLINE narrow<T, avx512> add_saturated(narrow<T, avx512> a, narrow<T, avx512> b) {
  return {sizeof(T) == 1 ? _mm512_adds_epi8(a.v, b.v) : _mm512_adds_epi16(a.v, b.v)};
}
template <narrow_integer T>
SPIQ_INLINE narrow<T, avx512> subtract_saturated(narrow<T, avx512> a, narrow<T, avx512> b) {
  return {sizeof(T) == 1 ? _mm512_subs_epi8(a.v, b.v) : _mm512_subs_epi16(a.v, b.v)};
}
template <narrow_integer T>
SPIQ_INLINE narrow<T, avx512> select(narrow_mask<T, avx512> m, narrow<T, avx512> a, narrow<T, avx512> b) {
  if constexpr (sizeof(T) == 1)
    return {_mm512_mask_blend_epi8(m.v, b.v, a.v)};
  else
    return {_mm512_mask_blend_epi16(static_cast<__mmask32>(m.v), b.v, a.v)};
}
template <narrow_integer T>
SPIQ_INLINE narrow<T, avx512> shift_right(narrow<T, avx512> a, int count) {
  const __m128i n = _mm_cvtsi32_si128(count);
  if constexpr (sizeof(T) == 2) {
    return {_mm512_sra_epi16(a.v, n)};
  } else {
    const __m512i high = _mm512_set1_epi8(std::numeric_limits<std::int8_t>::min());
    const __m512i moved = _mm512_and_si512(_mm512_srl_epi16(_mm512_xor_si512(a.v, high), n),
                                           _mm512_set1_epi8(static_cast<char>(255 >> count)));
    return {_mm512_sub_epi8(moved, _mm512_set1_epi8(static_cast<char>(128 >> count)))};
  }
}
#endif

#if defined(SPIQ_SIMD_NEON64)
// Lane by lane, which compilers vectorise; no machine of ours has tested anything faster.
template <narrow_integer T>
struct narrow_mask<T, neon64> {
  std::uint64_t v;
  [[nodiscard]] SPIQ_INLINE std::uint64_t bits() const { return v; }
};
template <narrow_integer T>
struct narrow<T, neon64> {
  static constexpr std::size_t width = narrow_width<T, neon64>;
  T v[width];
  template <class F>
  static SPIQ_INLINE narrow each(const F& f) {
    narrow r;
    for (std::size_t i = 0; i < width; ++i) r.v[i] = f(i);
    return r;
  }
  static SPIQ_INLINE narrow broadcast(T x) {
    return each([&](std::size_t) { return x; });
  }
  static SPIQ_INLINE narrow load(const T* p) {
    return each([&](std::size_t i) { return p[i]; });
  }
  SPIQ_INLINE void store(T* p) const {
    for (std::size_t i = 0; i < width; ++i) p[i] = v[i];
  }
  friend SPIQ_INLINE narrow_mask<T, neon64> operator>=(const narrow& a, const narrow& b) {
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < width; ++i) bits |= std::uint64_t{a.v[i] >= b.v[i]} << i;
    return {bits};
  }
};
template <narrow_integer T>
SPIQ_INLINE narrow<T, neon64> add_saturated(const narrow<T, neon64>& a, const narrow<T, neon64>& b) {
  return narrow<T, neon64>::each([&](std::size_t i) { return detail::saturated<T>(int{a.v[i]} + int{b.v[i]}); });
}
template <narrow_integer T>
SPIQ_INLINE narrow<T, neon64> subtract_saturated(const narrow<T, neon64>& a, const narrow<T, neon64>& b) {
  return narrow<T, neon64>::each([&](std::size_t i) { return detail::saturated<T>(int{a.v[i]} - int{b.v[i]}); });
}
template <narrow_integer T>
SPIQ_INLINE narrow<T, neon64> select(narrow_mask<T, neon64> m, const narrow<T, neon64>& a, const narrow<T, neon64>& b) {
  return narrow<T, neon64>::each([&](std::size_t i) { return (m.v >> i & 1) != 0 ? a.v[i] : b.v[i]; });
}
template <narrow_integer T>
SPIQ_INLINE narrow<T, neon64> shift_right(const narrow<T, neon64>& a, int count) {
  return narrow<T, neon64>::each([&](std::size_t i) { return static_cast<T>(a.v[i] >> count); });
}
#endif

}  // namespace simd

SPIQ_END_NAMESPACE
