/// @file
/// Small integers: products of bytes, tables of bytes, set bits, and words of spikes as bytes or as lists.
#pragma once

#include <spiq/simd/bits.hpp>

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace simd {

/// `width` int16 values as int32 lanes.
template <class Arch>
SPIQ_INLINE vec<std::int32_t, Arch> load_s16(const std::int16_t* p) {
  using I = vec<std::int32_t, Arch>;
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>)
    return {typename I::native(
        _mm512_maskz_cvtepi16_epi32(detail::all_lanes, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))))};
#endif
#if defined(SPIQ_SIMD_AVX2)
  if constexpr (std::is_same_v<Arch, avx2>)
    return {typename I::native(_mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
#endif
#if defined(SPIQ_SIMD_SSE2)
  if constexpr (std::is_same_v<Arch, sse2>) {
    const __m128i x = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return {typename I::native(_mm_srai_epi32(_mm_unpacklo_epi16(x, x), 16))};
  }
#endif
  alignas(64) std::int32_t lanes[static_cast<std::size_t>(I::width)];
  for (int i = 0; i < I::width; ++i) lanes[i] = p[i];
  return I::load(lanes);
}

/// acc + the sum of the four products of bytes in each lane, unsigned ones of `a` by signed ones of `b`; modulo 2^32.
SPIQ_INLINE vec<std::int32_t, scalar> dot_u8s8(vec<std::int32_t, scalar> acc, vec<std::int32_t, scalar> a,
                                               vec<std::int32_t, scalar> b) {
  std::uint32_t sum = static_cast<std::uint32_t>(acc.v);
  for (int i = 0; i < 32; i += 8)
    sum += static_cast<std::uint32_t>(std::int32_t{static_cast<std::uint8_t>(a.v >> i)} *
                                      std::int32_t{static_cast<std::int8_t>(b.v >> i)});
  return {static_cast<std::int32_t>(sum)};
}
template <vectorised Arch>
SPIQ_INLINE vec<std::int32_t, Arch> dot_u8s8(vec<std::int32_t, Arch> acc, vec<std::int32_t, Arch> a,
                                             vec<std::int32_t, Arch> b) {
  using B = typename vec<std::int32_t, Arch>::native;
  // Without an instruction for it: even and odd bytes apart, as pairs of 16 bits, whose sums cannot saturate. What
  // belongs to `b` alone is the same for all rows of a tile.
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>) {
#if defined(__AVX512VNNI__)
    return {B(_mm512_dpbusd_epi32(acc.v.data, a.v.data, b.v.data))};
#else
    constexpr __mmask32 all = 0xffffffff;
    const __m512i even = _mm512_madd_epi16(_mm512_and_si512(a.v.data, _mm512_set1_epi32(0x00ff00ff)),
                                           _mm512_maskz_srai_epi16(all, _mm512_maskz_slli_epi16(all, b.v.data, 8), 8));
    const __m512i odd =
        _mm512_madd_epi16(_mm512_maskz_srli_epi16(all, a.v.data, 8), _mm512_maskz_srai_epi16(all, b.v.data, 8));
    return {B(_mm512_add_epi32(acc.v.data, _mm512_add_epi32(even, odd)))};
#endif
  }
#endif
#if defined(SPIQ_SIMD_AVX2)
  if constexpr (std::is_same_v<Arch, avx2>) {
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
    return {B(_mm256_dpbusd_epi32(acc.v.data, a.v.data, b.v.data))};
#elif defined(__AVXVNNI__)
    return {B(_mm256_dpbusd_avx_epi32(acc.v.data, a.v.data, b.v.data))};
#else
    const __m256i even = _mm256_madd_epi16(_mm256_and_si256(a.v.data, _mm256_set1_epi32(0x00ff00ff)),
                                           _mm256_srai_epi16(_mm256_slli_epi16(b.v.data, 8), 8));
    const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(a.v.data, 8), _mm256_srai_epi16(b.v.data, 8));
    return {B(_mm256_add_epi32(acc.v.data, _mm256_add_epi32(even, odd)))};
#endif
  }
#endif
#if defined(SPIQ_SIMD_SSE2)
  if constexpr (std::is_same_v<Arch, sse2>) {
    const __m128i even = _mm_madd_epi16(_mm_and_si128(a.v.data, _mm_set1_epi32(0x00ff00ff)),
                                        _mm_srai_epi16(_mm_slli_epi16(b.v.data, 8), 8));
    const __m128i odd = _mm_madd_epi16(_mm_srli_epi16(a.v.data, 8), _mm_srai_epi16(b.v.data, 8));
    return {B(_mm_add_epi32(acc.v.data, _mm_add_epi32(even, odd)))};
  }
#endif
  const B byte(255);
  B sum = acc.v + (a.v & byte) * ((b.v << 24) >> 24) + ((a.v >> 8) & byte) * ((b.v << 16) >> 24);
  return {sum + ((a.v >> 16) & byte) * ((b.v << 8) >> 24) + ((a.v >> 24) & byte) * (b.v >> 24)};
}

/// Set bits of each lane.
SPIQ_INLINE vec<std::int32_t, scalar> popcount(vec<std::int32_t, scalar> a) {
  return {std::popcount(static_cast<std::uint32_t>(a.v))};
}
template <vectorised Arch>
SPIQ_INLINE vec<std::int32_t, Arch> popcount(vec<std::int32_t, Arch> a) {
  using I = vec<std::int32_t, Arch>;
#if defined(SPIQ_SIMD_AVX512) && defined(__AVX512VPOPCNTDQ__)
  if constexpr (std::is_same_v<Arch, avx512>) return {typename I::native(_mm512_popcnt_epi32(a.v.data))};
#endif
#if defined(SPIQ_SIMD_AVX2)
  if constexpr (std::is_same_v<Arch, avx2>) {                                               // by halves of bytes
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                           0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i half = _mm256_set1_epi8(15);
    const __m256i bytes =
        _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(a.v.data, half)),
                        _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(a.v.data, 4), half)));
    const __m256i pairs = _mm256_maddubs_epi16(bytes, _mm256_set1_epi8(1));
    return {typename I::native(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))};
  }
#endif
  // Sums within 2, 4 and 8 bits, then of the four bytes.
  const auto bits = [](std::int32_t m) { return I::broadcast(m); };
  const I twos = a - (shift_right<1>(a) & bits(0x55555555));
  const I fours = (twos & bits(0x33333333)) + (shift_right<2>(twos) & bits(0x33333333));
  const I eights = (fours + shift_right<4>(fours)) & bits(0x0f0f0f0f);
  const I sixteens = eights + shift_right<8>(eights);
  return (sixteens + shift_right<16>(sixteens)) & bits(0x3f);
}

/// Writes `first` + position of each set bit, ascending, and returns how many there are. Writes up to 64 values more.
template <class Arch>
SPIQ_INLINE int list_bits(std::uint64_t word, std::uint32_t first, std::uint32_t* out) {
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>) {
    const int all = std::popcount(word);
#if defined(__AVX512VBMI2__)
    // As bytes at once, then as many of them widened as there are.
    alignas(64) static constexpr auto places = [] {
      std::array<std::uint8_t, 64> p{};
      for (std::size_t i = 0; i < 64; ++i) p[i] = static_cast<std::uint8_t>(i);
      return p;
    }();
    alignas(64) std::uint8_t found[64];
    _mm512_store_si512(found, _mm512_maskz_compress_epi8(word, _mm512_load_si512(places.data())));
    for (int i = 0; i < all; i += 16)
      _mm512_storeu_si512(out + i, _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(first)),
                                                    _mm512_maskz_cvtepu8_epi32(
                                                        detail::all_lanes,
                                                        _mm_load_si128(reinterpret_cast<const __m128i*>(found + i)))));
    return all;
#else
    __m512i at = _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(first)),
                                  _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    int n = 0;
    SPIQ_UNROLL
    for (int part = 0; part < 4; ++part) {
      const auto mask = static_cast<__mmask16>(word >> (16 * part));
      _mm512_storeu_si512(out + n, _mm512_maskz_compress_epi32(mask, at));
      n += std::popcount(static_cast<std::uint32_t>(mask));
      at = _mm512_add_epi32(at, _mm512_set1_epi32(16));
    }
    return all;
#endif
  }
#endif
  // Four at a time whether they are there or not: fewer branches that nobody can foresee.
  const int n = std::popcount(word);
  for (int i = 0; i < n; i += 4) {
    SPIQ_UNROLL
    for (int k = 0; k < 4; ++k) {
      out[i + k] = first + static_cast<std::uint32_t>(std::countr_zero(word));
      word &= word - 1;
    }
  }
  return n;
}

/// Bit k of the last eight of `bits` as the k-th byte, 0 or 1, lowest first.
constexpr std::uint64_t spread_bits(std::uint64_t bits) noexcept {
  // Byte k of the product is the byte looked at; its bit k moves to the lowest place.
  const std::uint64_t one_bit_each = (bits & 0xff) * 0x0101010101010101U & 0x8040201008040201U;
  return (one_bit_each + 0x7f7f7f7f7f7f7f7fU) >> 7 & 0x0101010101010101U;
}
/// Bit i as byte i, 0 or 1, of all 64 bits.
template <class Arch>
SPIQ_INLINE void spread_bits(std::uint64_t word, std::uint8_t* out) {
#if defined(SPIQ_SIMD_AVX512)
  if constexpr (std::is_same_v<Arch, avx512>) {
    _mm512_storeu_si512(out, _mm512_maskz_set1_epi8(word, 1));
    return;
  }
#endif
#if defined(SPIQ_SIMD_AVX2)
  if constexpr (std::is_same_v<Arch, avx2>) {
    const __m256i from = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,  //
                                          2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i bit = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201));
    SPIQ_UNROLL
    for (int half = 0; half < 2; ++half) {
      const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int>(word >> (32 * half))), from);
      const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 32 * half), _mm256_and_si256(set, _mm256_set1_epi8(1)));
    }
    return;
  }
#endif
  for (int i = 0; i < 8; ++i) {
    const std::uint64_t ones = spread_bits(word >> (8 * i));
    if constexpr (std::endian::native == std::endian::little)
      std::memcpy(out + 8 * i, &ones, 8);
    else
      for (int k = 0; k < 8; ++k) out[8 * i + k] = static_cast<std::uint8_t>(ones >> (8 * k));
  }
}

}  // namespace simd

SPIQ_END_NAMESPACE
