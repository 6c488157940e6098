/// @file
/// Packed activations as lanes of numbers: whole rows into scratch, or one vector at a time.
#pragma once

#include <spiq/core/packing.hpp>
#include <spiq/simd/simd.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// Writes the first `channels` values of a row of packing P as T; spikes become 0 and 1.
template <class P, class T>
SPIQ_INLINE void unpack_row(const typename P::word* row, T* out, int channels) noexcept {
  const auto n = static_cast<std::size_t>(channels);
  if constexpr (std::is_same_v<P, packing::by_channel>) {
    for (std::size_t c = 0; c < n; c += 64) {
      const std::uint64_t word = row[c / 64];
      const std::size_t m = n - c < 64 ? n - c : 64;
      for (std::size_t i = 0; i < m; ++i) out[c + i] = static_cast<T>((word >> i) & 1U);
    }
  } else {
    for (std::size_t c = 0; c < n; ++c) out[c] = static_cast<T>(row[c]);
  }
}

/// The reverse; what is not 0 is a spike. Bytes hold the whole part of 0 to 255, the nearer end of it for other numbers
/// and 0 for NaN.
template <class P>
  requires(!std::is_same_v<P, packing::sums> && !std::is_same_v<P, packing::pixels>)
void pack_row(const float* in, typename P::word* row, int channels) noexcept {
  const auto n = static_cast<std::size_t>(channels);
  if constexpr (std::is_same_v<P, packing::by_channel>) {
    for (std::size_t c = 0; c < n; c += 64) row[c / 64] = 0;
    for (std::size_t c = 0; c < n; ++c) row[c / 64] |= std::uint64_t{in[c] != 0} << (c % 64);
  } else {
    for (std::size_t c = 0; c < n; ++c) {
      if constexpr (std::is_same_v<typename P::word, std::uint8_t>)
        row[c] = static_cast<std::uint8_t>(in[c] > 0 ? std::min(in[c], 255.0F) : 0.0F);
      else
        row[c] = in[c];
    }
  }
}

/// Calls f(channel, value) for each value of a row that is not zero, channels ascending; spikes are 1.
template <class P, class F>
SPIQ_INLINE void for_each_event(const typename P::word* row, int channels, F&& f) noexcept {
  const auto n = static_cast<std::size_t>(channels);
  if constexpr (std::is_same_v<P, packing::by_channel>) {
    for (std::size_t c = 0; c < n; c += 64) {
      std::uint64_t word = row[c / 64];
      if (n - c < 64) word &= (std::uint64_t{1} << (n - c)) - 1;
      for (; word != 0; word &= word - 1) f(c + static_cast<std::size_t>(std::countr_zero(word)), 1.0f);
    }
  } else {
    for (std::size_t c = 0; c < n; ++c)
      if (row[c] != typename P::word{}) f(c, static_cast<float>(row[c]));
  }
}

/// Channels [c, c + V::width) of a row of packing P as a vector; c is a multiple of the width.
/// Reads whole vectors, so the buffer must have a vector of slack at its end (every Buffer has).
template <class V, class P>
SPIQ_INLINE V unpack_lanes(const typename P::word* row, int c) noexcept {
  using word = typename P::word;
  using lane = std::remove_cvref_t<decltype(reduce_add(V::zero()))>;
  if constexpr (std::is_same_v<P, packing::by_channel>) {
    alignas(64) lane lanes[static_cast<std::size_t>(V::width)];
    const std::uint64_t bits = row[c / 64] >> (c % 64);
    for (int i = 0; i < V::width; ++i) lanes[i] = static_cast<lane>((bits >> i) & 1U);
    return V::load(lanes);
  } else if constexpr (std::is_same_v<word, lane>) {
    return V::load(row + c);
  } else if constexpr (std::is_same_v<word, std::uint8_t>) {
    return V::load_u8(row + c);
  } else {
    alignas(64) lane lanes[static_cast<std::size_t>(V::width)];
    for (int i = 0; i < V::width; ++i) lanes[i] = static_cast<lane>(row[c + i]);
    return V::load(lanes);
  }
}

/// Writes `bits` (one per channel, from channel c) into a row of spike words; `count` <= 32 of them, the rest kept.
/// c is a multiple of the number of lanes that `bits` came from, so no group straddles a word.
SPIQ_INLINE void store_spikes(std::uint64_t* row, int c, int count, std::uint32_t bits) noexcept {
  const std::uint64_t lanes = (std::uint64_t{1} << count) - 1;
  const int shift = c % 64;
  std::uint64_t& word = row[c / 64];
  word = (word & ~(lanes << shift)) | ((bits & lanes) << shift);
}

}  // namespace kernel

SPIQ_END_NAMESPACE
