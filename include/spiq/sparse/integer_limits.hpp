/// @file
/// How long int16 sums hold.
#pragma once

#include <spiq/sparse/weights.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <type_traits>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// For each output, how many of its nonzero weights an int16 sum takes in before it must be emptied, whatever the
/// spikes: all, where the positive weights sum to at most 32767 and the negative ones to at least -32768, else 32767
/// over the largest magnitude. Float weights: all.
template <SparseValue V>
class IntegerLimits {
public:
  static constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

  explicit IntegerLimits(const RowSparse<V>& w) {
    if constexpr (!std::is_same_v<V, float>) {
      for (std::size_t n = 0; n < w.outputs(); ++n) {
        std::int64_t up = 0, down = 0;
        int largest = 1;
        for (std::size_t j = w.begin(n); j < w.end(n); ++j) {
          const int v = w.value(j);
          (v > 0 ? up : down) += v;
          largest = std::max(largest, std::abs(v));
        }
        const bool proved = up <= 32767 && down >= -32768;
        limits_.push_back(proved ? unlimited : static_cast<std::size_t>(std::max(1, 32767 / largest)));
      }
    }
  }
  [[nodiscard]] std::size_t of(std::size_t n) const {
    if constexpr (std::is_same_v<V, float>) return unlimited;
    return limits_[n];
  }
  [[nodiscard]] std::size_t narrow() const {
    return static_cast<std::size_t>(std::count(limits_.begin(), limits_.end(), unlimited));
  }
  [[nodiscard]] bool all_narrow() const { return narrow() == limits_.size(); }
  [[nodiscard]] std::size_t bytes() const { return limits_.size() * sizeof(std::size_t); }

private:
  std::vector<std::size_t> limits_;
};

SPIQ_END_NAMESPACE
