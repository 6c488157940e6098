/// @file
/// Spikes by lane: the steps of a position side by side in one word, for products with sparse weights.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/storage.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// Spikes of K inputs at M positions over T steps, as 64-lane words: the word of a tile and an input has in bit
/// p * slot + t whether the input spiked at step t at the tile's position p, with slot = T rounded up to a power of two
/// and 64 / slot positions in a tile. Memory is [tile][input]. Spare bits (T no power of two, positions beyond M) are
/// zero. The fully temporal-parallel form of LoAS (Yin et al., arXiv 2407.14073): a word is read once for all its
/// steps.
template <int T>
class SpikeWords {
  static_assert(T >= 1 && T <= 64, "spiq: SpikeWords<T> holds 1 to 64 time steps");

public:
  static constexpr std::size_t steps = static_cast<std::size_t>(T);
  static constexpr std::size_t slot = std::bit_ceil(steps);
  static constexpr std::size_t tile_positions = 64 / slot;

  SpikeWords() = default;
  /// All silent.
  SpikeWords(std::size_t positions, std::size_t inputs)
      : positions_(positions), inputs_(inputs), words_((positions + tile_positions - 1) / tile_positions * inputs) {}

  [[nodiscard]] std::size_t positions() const { return positions_; }
  [[nodiscard]] std::size_t inputs() const { return inputs_; }
  [[nodiscard]] std::size_t tiles() const { return (positions_ + tile_positions - 1) / tile_positions; }
  [[nodiscard]] std::size_t bytes() const { return words_.size() * sizeof(std::uint64_t); }
  /// The words of a tile, one per input.
  [[nodiscard]] std::span<const std::uint64_t> tile(std::size_t i) const {
    return {words_.data() + i * inputs_, inputs_};
  }

  /// Bit t: whether `input` spiked at step t at `position`.
  [[nodiscard]] std::uint64_t at(std::size_t position, std::size_t input) const {
    return words_[word(position, input)] >> shift(position) & all_steps;
  }
  /// Throws where a bit beyond T is set, or beyond the positions or inputs.
  void set(std::size_t position, std::size_t input, std::uint64_t spikes) {
    if (position >= positions_ || input >= inputs_)
      SPIQ_THROW("spike words",
                 "a position below " + std::to_string(positions_) + " and an input below " + std::to_string(inputs_),
                 std::to_string(position) + ", " + std::to_string(input));
    if ((spikes & ~all_steps) != 0)
      SPIQ_THROW("spike words", "bits of " + std::to_string(steps) + " steps", std::to_string(spikes));
    std::uint64_t& w = words_[word(position, input)];
    w = (w & ~(all_steps << shift(position))) | spikes << shift(position);
  }

  /// From bytes [position][input][step], nonzero where there is a spike; `unpack` gives 0 and 1. Throw on other sizes.
  static SpikeWords pack(std::size_t positions, std::size_t inputs, std::span<const std::uint8_t> spikes) {
    if (spikes.size() != positions * inputs * steps)
      SPIQ_THROW("spike words", std::to_string(positions * inputs * steps) + " bytes", std::to_string(spikes.size()));
    SpikeWords w(positions, inputs);
    const std::uint8_t* s = spikes.data();
    for (std::size_t p = 0; p < positions; ++p)
      for (std::size_t k = 0; k < inputs; ++k)
        for (std::size_t t = 0; t < steps; ++t) w.words_[w.word(p, k)] |= std::uint64_t{*s++ != 0} << (w.shift(p) + t);
    return w;
  }
  void unpack(std::span<std::uint8_t> spikes) const {
    if (spikes.size() != positions_ * inputs_ * steps)
      SPIQ_THROW("spike words", std::to_string(positions_ * inputs_ * steps) + " bytes", std::to_string(spikes.size()));
    std::uint8_t* s = spikes.data();
    for (std::size_t p = 0; p < positions_; ++p)
      for (std::size_t k = 0; k < inputs_; ++k)
        for (std::size_t t = 0; t < steps; ++t) *s++ = static_cast<std::uint8_t>(at(p, k) >> t & 1);
  }

  /// Share of (position, input) pairs without a spike at any step: the silent neurons of LoAS. 0 of none.
  [[nodiscard]] double silent_ratio() const {
    std::size_t silent = 0;
    for (std::size_t p = 0; p < positions_; ++p)
      for (std::size_t k = 0; k < inputs_; ++k) silent += at(p, k) == 0;
    return positions_ * inputs_ == 0 ? 0.0 : static_cast<double>(silent) / static_cast<double>(positions_ * inputs_);
  }
  /// Share of (position, input, step) with a spike.
  [[nodiscard]] double density() const {
    std::size_t spikes = 0;
    for (const std::uint64_t w : words_) spikes += static_cast<std::size_t>(std::popcount(w));
    return words_.empty() ? 0.0 : static_cast<double>(spikes) / static_cast<double>(positions_ * inputs_ * steps);
  }

private:
  static constexpr std::uint64_t all_steps = T == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << (T % 64)) - 1;
  [[nodiscard]] std::size_t word(std::size_t position, std::size_t input) const {
    return position / tile_positions * inputs_ + input;
  }
  [[nodiscard]] static std::size_t shift(std::size_t position) { return position % tile_positions * slot; }

  std::size_t positions_ = 0, inputs_ = 0;
  AlignedVector<std::uint64_t> words_;
};

SPIQ_END_NAMESPACE
