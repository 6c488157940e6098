/// @file
/// Sums that grow under the bits of a word: 64 lanes, a number added to those whose bit is set.
#pragma once

#include <spiq/simd/bits.hpp>
#include <spiq/simd/narrow.hpp>
#include <spiq/simd/scalar.hpp>
#include <spiq/simd/xsimd.hpp>

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace simd {

template <class T>
concept word_summand = std::same_as<T, float> || std::same_as<T, std::int16_t>;

namespace detail {
// a where `lanes` is all ones, 0 where it is 0; and sums that wrap around.
template <class Arch>
SPIQ_INLINE vec<float, Arch> where(vec<float, Arch> a, const std::int32_t* lanes) {
  return from_bits(bits_of(a) & vec<std::int32_t, Arch>::load(lanes));
}
template <class Arch>
SPIQ_INLINE vec<float, Arch> wrapping_sum(vec<float, Arch> a, vec<float, Arch> b) {
  return a + b;
}
#if defined(SPIQ_SIMD_SSE2)
SPIQ_INLINE narrow<std::int16_t, sse2> where(narrow<std::int16_t, sse2> a, const std::int16_t* lanes) {
  return {_mm_and_si128(a.v, _mm_loadu_si128(reinterpret_cast<const __m128i*>(lanes)))};
}
SPIQ_INLINE narrow<std::int16_t, sse2> wrapping_sum(narrow<std::int16_t, sse2> a, narrow<std::int16_t, sse2> b) {
  return {_mm_add_epi16(a.v, b.v)};
}
#endif
#if defined(SPIQ_SIMD_AVX2)
SPIQ_INLINE narrow<std::int16_t, avx2> where(narrow<std::int16_t, avx2> a, const std::int16_t* lanes) {
  return {_mm256_and_si256(a.v, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes)))};
}
SPIQ_INLINE narrow<std::int16_t, avx2> wrapping_sum(narrow<std::int16_t, avx2> a, narrow<std::int16_t, avx2> b) {
  return {_mm256_add_epi16(a.v, b.v)};
}
#endif
#if defined(SPIQ_SIMD_NEON64)
SPIQ_INLINE narrow<std::int16_t, neon64> where(const narrow<std::int16_t, neon64>& a, const std::int16_t* lanes) {
  return narrow<std::int16_t, neon64>::each(
      [&](std::size_t i) { return static_cast<std::int16_t>(a.v[i] & lanes[i]); });
}
SPIQ_INLINE narrow<std::int16_t, neon64> wrapping_sum(const narrow<std::int16_t, neon64>& a,
                                                      const narrow<std::int16_t, neon64>& b) {
  return narrow<std::int16_t, neon64>::each([&](std::size_t i) { return static_cast<std::int16_t>(a.v[i] + b.v[i]); });
}
#endif
}  // namespace detail

/// Accumulators, in registers, of `lanes` of a word's 64 lanes (`lanes` divides 64). An architecture keeps a word in
/// the form under which it adds fastest: `stored` values of type `form`, written by `expand`. Sums of integers wrap
/// around, those of floats have the order of the additions; a lane whose bit is not set keeps its bits.
///
/// Here, for architectures without masks: all ones or zero in every lane.
template <word_summand T, class Arch>
class WordSums {
  using V = std::conditional_t<std::is_same_v<T, float>, vec<float, Arch>, narrow<std::int16_t, Arch>>;
  static constexpr std::size_t width = static_cast<std::size_t>(V::width);

public:
  using form = std::conditional_t<std::is_same_v<T, float>, std::int32_t, std::int16_t>;
  static constexpr std::size_t lanes = width >= 8 ? 64 : 32;
  static constexpr std::size_t stored = 64;

  static SPIQ_INLINE void expand(std::uint64_t word, form* to) {
    for (std::size_t i = 0; i < 64; ++i) to[i] = static_cast<form>(-static_cast<std::int32_t>(word >> i & 1));
  }
  SPIQ_INLINE WordSums() {
    for (V& s : sums_) s = V::broadcast(T{});
  }
  /// Adds x to lane i where bit first + i of the word at `at` is set; `first` is a multiple of `lanes`.
  SPIQ_INLINE void add(T x, const form* at, std::size_t first) {
    const V value = V::broadcast(x);
    for (std::size_t i = 0; i < count; ++i)
      sums_[i] = detail::wrapping_sum(sums_[i], detail::where(value, at + first + i * width));
  }
  SPIQ_INLINE void store(T* to) const {
    for (std::size_t i = 0; i < count; ++i) sums_[i].store(to + i * width);
  }

private:
  static constexpr std::size_t count = lanes / width;
  V sums_[count];
};

template <word_summand T>
class WordSums<T, scalar> {
public:
  using form = std::uint64_t;
  static constexpr std::size_t lanes = 64;
  static constexpr std::size_t stored = 1;

  static SPIQ_INLINE void expand(std::uint64_t word, form* to) { *to = word; }
  SPIQ_INLINE void add(T x, const form* at, std::size_t) {
    for (std::size_t i = 0; i < 64; ++i)
      if ((*at >> i & 1) != 0) sums_[i] = static_cast<T>(sums_[i] + x);
  }
  SPIQ_INLINE void store(T* to) const {
    for (std::size_t i = 0; i < 64; ++i) to[i] = sums_[i];
  }

private:
  T sums_[64] = {};
};

#if defined(SPIQ_SIMD_AVX512)
namespace detail {
// From memory straight into a mask register: through a general register, which is how g++ 12 translates the intrinsic
// for 16 bits, an addition takes twice as long.
SPIQ_INLINE __mmask16 mask16(const unsigned char* p) {
  __mmask16 m;
  asm("kmovw %1, %0" : "=k"(m) : "m"(*reinterpret_cast<const unsigned char(*)[2]>(p)));
  return m;
}
SPIQ_INLINE __mmask32 mask32(const unsigned char* p) {
  __mmask32 m;
  asm("kmovd %1, %0" : "=k"(m) : "m"(*reinterpret_cast<const unsigned char(*)[4]>(p)));
  return m;
}
}  // namespace detail

// The word is the mask.
template <>
class WordSums<float, avx512> {
public:
  using form = std::uint64_t;
  static constexpr std::size_t lanes = 64;
  static constexpr std::size_t stored = 1;

  static SPIQ_INLINE void expand(std::uint64_t word, form* to) { *to = word; }
  SPIQ_INLINE WordSums() : a_(_mm512_setzero_ps()), b_(a_), c_(a_), d_(a_) {}
  SPIQ_INLINE void add(float x, const form* at, std::size_t) {
    const __m512 value = _mm512_set1_ps(x);
    const auto* const part = reinterpret_cast<const unsigned char*>(at);
    a_ = _mm512_mask_add_ps(a_, detail::mask16(part), a_, value);
    b_ = _mm512_mask_add_ps(b_, detail::mask16(part + 2), b_, value);
    c_ = _mm512_mask_add_ps(c_, detail::mask16(part + 4), c_, value);
    d_ = _mm512_mask_add_ps(d_, detail::mask16(part + 6), d_, value);
  }
  SPIQ_INLINE void store(float* to) const {
    _mm512_storeu_ps(to, a_);
    _mm512_storeu_ps(to + 16, b_);
    _mm512_storeu_ps(to + 32, c_);
    _mm512_storeu_ps(to + 48, d_);
  }

private:
  __m512 a_, b_, c_, d_;
};
template <>
class WordSums<std::int16_t, avx512> {
public:
  using form = std::uint64_t;
  static constexpr std::size_t lanes = 64;
  static constexpr std::size_t stored = 1;

  static SPIQ_INLINE void expand(std::uint64_t word, form* to) { *to = word; }
  SPIQ_INLINE WordSums() : a_(_mm512_setzero_si512()), b_(a_) {}
  SPIQ_INLINE void add(std::int16_t x, const form* at, std::size_t) {
    const __m512i value = _mm512_set1_epi16(x);
    const auto* const part = reinterpret_cast<const unsigned char*>(at);
    a_ = _mm512_mask_add_epi16(a_, detail::mask32(part), a_, value);
    b_ = _mm512_mask_add_epi16(b_, detail::mask32(part + 4), b_, value);
  }
  SPIQ_INLINE void store(std::int16_t* to) const {
    _mm512_storeu_si512(to, a_);
    _mm512_storeu_si512(to + 32, b_);
  }

private:
  __m512i a_, b_;
};
#endif

/// Adds x to at[i] where bit i of the word is set; Lanes: 16, 32 or 64, the bits of `Word`. Integers wrap around.
template <class Arch, word_summand T, class Word>
requires(sizeof(Word) >= 2) SPIQ_INLINE void add_where(T* at, T x, const Word* word) {
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>) {
    const auto* const part = reinterpret_cast<const unsigned char*>(word);
    if constexpr (std::is_same_v<T, float>) {
      const __m512 value = _mm512_set1_ps(x);
      SPIQ_UNROLL
      for (std::size_t i = 0; i < sizeof(Word) / 2; ++i) {
        const __m512 sum = _mm512_loadu_ps(at + 16 * i);
        _mm512_storeu_ps(at + 16 * i, _mm512_mask_add_ps(sum, detail::mask16(part + 2 * i), sum, value));
      }
    } else if constexpr (sizeof(Word) == 2) {
      const __m256i sum = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(at),
                          _mm256_mask_add_epi16(sum, detail::mask16(part), sum, _mm256_set1_epi16(x)));
    } else {
      const __m512i value = _mm512_set1_epi16(x);
      SPIQ_UNROLL
      for (std::size_t i = 0; i < sizeof(Word) / 4; ++i) {
        const __m512i sum = _mm512_loadu_si512(at + 32 * i);
        _mm512_storeu_si512(at + 32 * i, _mm512_mask_add_epi16(sum, detail::mask32(part + 4 * i), sum, value));
      }
    }
    return;
  }
#endif
  for (std::uint64_t bits = *word; bits != 0; bits &= bits - 1) {
    T& sum = at[std::countr_zero(bits)];
    sum = static_cast<T>(sum + x);
  }
}

/// The packed values under bits [lane, lane + width) of the word at `word` in their lanes, zeros in the others;
/// `values` moves on behind those taken. `lane` is a multiple of the width. May read a vector's worth of values.
template <class Arch>
SPIQ_INLINE vec<float, Arch> expand(const unsigned char* word, std::size_t lane, const float*& values) {
  using V = vec<float, Arch>;
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>) {
    std::uint16_t bits;
    std::memcpy(&bits, word + lane / 8, 2);
    __m512 all = _mm512_loadu_ps(values);
    asm("" : "+v"(all));  // expanding straight from memory is slower
    values += std::popcount(bits);
    return {typename V::native(_mm512_maskz_expand_ps(detail::mask16(word + lane / 8), all))};
  }
#endif
  alignas(64) float lanes[static_cast<std::size_t>(V::width)];
  for (std::size_t i = 0; i < static_cast<std::size_t>(V::width); ++i) {
    const bool here = (word[(lane + i) / 8] >> (lane + i) % 8 & 1) != 0;
    lanes[i] = here ? *values : 0.0f;
    values += here;
  }
  return V::load(lanes);
}

}  // namespace simd

SPIQ_END_NAMESPACE
