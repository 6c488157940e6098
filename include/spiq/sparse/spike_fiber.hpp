/// @file
/// Spikes by input: the positions that are not silent, each with the bits of its steps.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/storage.hpp>
#include <spiq/sparse/spike_words.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// The compressed spikes of LoAS (Yin et al., arXiv 2407.14073): for each of K inputs the positions, ascending, at
/// which it spikes at any of T steps, and for each of these a word with bit t for step t. Up to 65536 positions.
template <int T>
class SpikeFiber {
public:
  static constexpr std::size_t steps = SpikeWords<T>::steps;
  static constexpr std::size_t slot = SpikeWords<T>::slot;
  using word =
      std::conditional_t<slot <= 16, std::uint16_t, std::conditional_t<slot <= 32, std::uint32_t, std::uint64_t>>;

  /// Throws with more than 65536 positions.
  explicit SpikeFiber(const SpikeWords<T>& words) : positions_(words.positions()), inputs_(words.inputs()) {
    if (positions_ > 65536) SPIQ_THROW("spike fiber", "at most 65536 positions", std::to_string(positions_));
    starts_.push_back(0);
    for (std::size_t k = 0; k < inputs_; ++k) {
      for (std::size_t p = 0; p < positions_; ++p)
        if (const std::uint64_t spikes = words.at(p, k); spikes != 0) {
          places_.push_back(static_cast<std::uint16_t>(p));
          words_.push_back(static_cast<word>(spikes));
        }
      starts_.push_back(words_.size());
    }
  }
  [[nodiscard]] SpikeWords<T> unpack() const {
    SpikeWords<T> all(positions_, inputs_);
    for (std::size_t k = 0; k < inputs_; ++k)
      for (std::size_t j = begin(k); j < end(k); ++j) all.set(places_[j], k, words_[j]);
    return all;
  }

  [[nodiscard]] std::size_t positions() const { return positions_; }
  [[nodiscard]] std::size_t inputs() const { return inputs_; }
  /// Pairs of a position and an input with a spike.
  [[nodiscard]] std::size_t entries() const { return words_.size(); }
  /// Entries begin(k) ... end(k) - 1 are those of input k.
  [[nodiscard]] std::size_t begin(std::size_t k) const { return starts_[k]; }
  [[nodiscard]] std::size_t end(std::size_t k) const { return starts_[k + 1]; }
  [[nodiscard]] const std::uint16_t* places() const { return places_.data(); }
  [[nodiscard]] const word* words() const { return words_.data(); }
  [[nodiscard]] std::size_t bytes() const {
    return starts_.size() * sizeof(std::size_t) + words_.size() * (sizeof(word) + sizeof(std::uint16_t));
  }
  /// Bits in the accelerator's format: a mask bit for every position and input, T bits for those that are not silent,
  /// and a pointer of 32 bits for every 512 bits of mask.
  [[nodiscard]] std::size_t storage_bits() const {
    const std::size_t mask = positions_ * inputs_;
    return mask + entries() * steps + (mask + 511) / 512 * 32;
  }

private:
  std::size_t positions_, inputs_;
  std::vector<std::size_t> starts_;
  AlignedVector<std::uint16_t> places_;
  AlignedVector<word> words_;
};

SPIQ_END_NAMESPACE
