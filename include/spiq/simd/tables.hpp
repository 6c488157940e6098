/// @file
/// Tables of bytes in registers, sums of the bytes that they give, and the fields of words that choose them.
#pragma once

#include <spiq/simd/bytes.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace simd {

/// A table of 2^table_bits bytes fits a register and is looked up for all bytes of a vector at once.
template <class Arch>
inline constexpr int table_bits = 4;
#if defined(SPIQ_SIMD_AVX512) && defined(__AVX512VBMI__)
template <>
inline constexpr int table_bits<avx512> = 6;
#endif

/// A table in a register. Indices must be below 2^table_bits.
template <class Arch>
struct byte_table {
  static constexpr int entries = 1 << table_bits<Arch>;
  using bytes = vec<std::uint8_t, Arch>;
#if defined(SPIQ_SIMD_SSE2) && !defined(__SSSE3__)
  static constexpr bool in_register = std::is_same_v<Arch, avx2> || std::is_same_v<Arch, avx512>;
#elif defined(SPIQ_SIMD_SSE2)
  static constexpr bool in_register = !std::is_same_v<Arch, scalar>;
#else
  static constexpr bool in_register = false;
#endif
  std::conditional_t<in_register, bytes, const std::uint8_t*> v;

  static SPIQ_INLINE byte_table load(const std::uint8_t* p) {
#if defined(SPIQ_SIMD_AVX512)
    if constexpr (std::is_same_v<Arch, avx512>) {
#if defined(__AVX512VBMI__)
      return kept(bytes::load(p));
#else
      return {{typename bytes::native(
          _mm512_maskz_broadcast_i32x4(detail::all_lanes, _mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))}};
#endif
    }
#endif
#if defined(SPIQ_SIMD_AVX2)
    if constexpr (std::is_same_v<Arch, avx2>)
      return {
          {typename bytes::native(_mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))}};
#endif
    if constexpr (in_register)
      return {bytes::load(p)};
    else
      return {p};
  }
  // In a register: g++ would load the table again for every lookup.
  static SPIQ_INLINE byte_table kept(bytes table) {
    SPIQ_SIMD_ROUND(table.v.data);
    return {table};
  }
  SPIQ_INLINE bytes operator[](bytes index) const {
#if defined(SPIQ_SIMD_AVX512)
    if constexpr (std::is_same_v<Arch, avx512>) {
      constexpr __mmask64 all = ~__mmask64{0};
#if defined(__AVX512VBMI__)
      return {typename bytes::native(_mm512_maskz_permutexvar_epi8(all, index.v.data, v.v.data))};
#else
      return {typename bytes::native(_mm512_maskz_shuffle_epi8(all, v.v.data, index.v.data))};
#endif
    }
#endif
#if defined(SPIQ_SIMD_AVX2)
    if constexpr (std::is_same_v<Arch, avx2>)
      return {typename bytes::native(_mm256_shuffle_epi8(v.v.data, index.v.data))};
#endif
#if defined(SPIQ_SIMD_SSE2) && defined(__SSSE3__)
    if constexpr (std::is_same_v<Arch, sse2>) return {typename bytes::native(_mm_shuffle_epi8(v.v.data, index.v.data))};
#endif
    if constexpr (!in_register) {
      std::uint8_t lanes[static_cast<std::size_t>(bytes::width)];
      index.store(lanes);
      for (std::uint8_t& lane : lanes) lane = v[lane];
      return bytes::load(lanes);
    }
  }
};

/// 16-bit sums of every byte of a vector, modulo 2^16. `place(i)`: the byte that sum i belongs to.
template <class Arch>
class byte_sums {
  using bytes = vec<std::uint8_t, Arch>;
  using words = vec<std::uint16_t, Arch>;

public:
  static constexpr int width = bytes::width;
  static constexpr int place(int i) { return width == 1 ? i : i < width / 2 ? 2 * i : 2 * (i - width / 2) + 1; }

  static SPIQ_INLINE byte_sums zero() { return {words::zero(), words::zero()}; }
  SPIQ_INLINE void add(bytes x) {
    if constexpr (width == 1) {
      both_ = both_ + words{x.v};
    } else {
      // Both bytes of a pair in one sum, the upper ones in another: what the lower ones add up to is the difference.
      const words pair{detail::batch_bits<std::uint16_t>(x.v)};
      both_ = both_ + pair;
      upper_ = upper_ + words{pair.v >> 8};
    }
  }
  /// Writes `width` sums.
  SPIQ_INLINE void store(std::uint16_t* to) const {
    if constexpr (width == 1) {
      both_.store(to);
    } else {
      (both_ - words{upper_.v << 8}).store(to);
      upper_.store(to + width / 2);
    }
  }

private:
  SPIQ_INLINE byte_sums(words both, words upper) : both_(both), upper_(upper) {}
  words both_, upper_;
};

/// out[i] = bits [shift, shift + table_bits) of words[i], for as many words as a vector has bytes.
template <class Arch>
SPIQ_INLINE void table_fields(const std::uint64_t* words, int shift, std::uint8_t* out) {
  constexpr int width = vec<std::uint8_t, Arch>::width;
  constexpr std::uint64_t mask = (std::uint64_t{1} << table_bits<Arch>)-1;
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>) {
    const __m128i by = _mm_cvtsi32_si128(shift);
    SPIQ_UNROLL
    for (int i = 0; i < width; i += 8) {
      const __m512i field = _mm512_and_si512(_mm512_maskz_srl_epi64(0xff, _mm512_loadu_si512(words + i), by),
                                             _mm512_set1_epi64(static_cast<long long>(mask)));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out + i), _mm512_maskz_cvtepi64_epi8(0xff, field));
    }
    return;
  }
#endif
  for (int i = 0; i < width; ++i) out[i] = static_cast<std::uint8_t>((words[i] >> shift) & mask);
}

}  // namespace simd

SPIQ_END_NAMESPACE
