/// @file
/// Weights that local rules change, and their products with packed spikes: real ones, and binary ones of one bit each.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/random.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace plasticity {

/// Words of n bits.
constexpr std::size_t bit_words(std::size_t n) { return (n + 63) / 64; }
/// Calls f(i) for every set bit i, ascending.
template <class F>
void for_each_bit(std::span<const std::uint64_t> words, const F& f) {
  for (std::size_t k = 0; k < words.size(); ++k)
    for (std::uint64_t w = words[k]; w != 0; w &= w - 1) f(64 * k + static_cast<std::size_t>(std::countr_zero(w)));
}

/// Weights [rows][taps] in [low, high], drawn evenly.
class RealWeights {
public:
  RealWeights(std::size_t rows, std::size_t taps, float low, float high, Rng rng)
      : rows_(rows), taps_(taps), low_(low), high_(high), values_(rows * taps) {
    if (!(high > low)) SPIQ_THROW("weights: upper bound", "more than " + std::to_string(low), std::to_string(high));
    for (float& w : values_) w = rng.uniform(low, high);
  }

  [[nodiscard]] std::size_t rows() const { return rows_; }
  [[nodiscard]] std::size_t taps() const { return taps_; }
  [[nodiscard]] std::size_t bytes() const { return values_.size() * sizeof(float); }
  [[nodiscard]] float operator()(std::size_t row, std::size_t tap) const { return values_[tap * rows_ + row]; }
  /// Sets a weight, within the bounds.
  void set(std::size_t row, std::size_t tap, float w) { values_[tap * rows_ + row] = std::clamp(w, low_, high_); }

  /// y[row] = sum of the weights whose tap has a spike.
  void product(std::span<const std::uint64_t> spikes, float* y) const noexcept {
    SPIQ_ASSERT(spikes.size() == bit_words(taps_));
    std::fill_n(y, rows_, 0.0f);
    for_each_bit(spikes, [&](std::size_t tap) {
      SPIQ_ASSERT(tap < taps_);
      const float* w = values_.data() + tap * rows_;
      for (std::size_t r = 0; r < rows_; ++r) y[r] += w[r];
    });
  }
  /// w += strength (high - w) (w - low), where a strength that would leave the bounds counts as the largest that does
  /// not.
  void change(std::size_t row, std::size_t tap, float strength, float) noexcept {
    const float most = 1 / (high_ - low_);
    float& w = values_[tap * rows_ + row];
    w = std::clamp(w + std::clamp(strength, -most, most) * (high_ - w) * (w - low_), low_, high_);
  }

private:
  std::size_t rows_, taps_;
  float low_, high_;
  std::vector<float> values_;  // [tap][row]: a spike adds a whole vector
};

/// Weights [rows][taps] of one bit each, `low` or `high`, at first either with the same probability.
class BinaryWeights {
public:
  BinaryWeights(std::size_t rows, std::size_t taps, float low, float high, Rng rng)
      : rows_(rows), taps_(taps), words_(bit_words(taps)), low_(low), high_(high), bits_(rows * words_) {
    if (!(high > low)) SPIQ_THROW("weights: upper bound", "more than " + std::to_string(low), std::to_string(high));
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t t = 0; t < taps; ++t) set(r, t, (rng.bits() >> 31) != 0);
  }

  [[nodiscard]] std::size_t rows() const { return rows_; }
  [[nodiscard]] std::size_t taps() const { return taps_; }
  [[nodiscard]] std::size_t bytes() const { return bits_.size() * sizeof(std::uint64_t); }
  [[nodiscard]] bool is_high(std::size_t row, std::size_t tap) const {
    return (bits_[row * words_ + tap / 64] >> (tap % 64) & 1) != 0;
  }
  [[nodiscard]] float operator()(std::size_t row, std::size_t tap) const { return is_high(row, tap) ? high_ : low_; }
  void set(std::size_t row, std::size_t tap, bool high) {
    const std::uint64_t bit = std::uint64_t{1} << (tap % 64);
    std::uint64_t& word = bits_[row * words_ + tap / 64];
    word = high ? word | bit : word & ~bit;
  }

  /// y[row] = sum of the weights whose tap has a spike, by AND and population count; exact where low and high are
  /// whole.
  void product(std::span<const std::uint64_t> spikes, float* y) const noexcept {
    SPIQ_ASSERT(spikes.size() == words_);
    int all = 0;
    for (const std::uint64_t w : spikes) all += std::popcount(w);
    const float base = low_ * static_cast<float>(all), step = high_ - low_;
    for (std::size_t r = 0; r < rows_; ++r) {
      int common = 0;
      for (std::size_t k = 0; k < words_; ++k) common += std::popcount(bits_[r * words_ + k] & spikes[k]);
      y[r] = base + step * static_cast<float>(common);
    }
  }
  /// Switches the weight to the side that the sign of `strength` names if `draw`, uniform in [0, 1), is below its
  /// magnitude.
  void change(std::size_t row, std::size_t tap, float strength, float draw) noexcept {
    if (draw < strength) set(row, tap, true);
    if (draw < -strength) set(row, tap, false);
  }

private:
  std::size_t rows_, taps_, words_;
  float low_, high_;
  std::vector<std::uint64_t> bits_;
};

}  // namespace plasticity

SPIQ_END_NAMESPACE
