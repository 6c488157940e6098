/// @file
/// Sparse weights, row by row.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/storage.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// The nonzero weights of N outputs over K inputs: per output, the inputs in ascending order and their weights (compressed
/// sparse rows). Indices take 16 bits where K allows, else 32. V: float, int16_t or int8_t.
template <class V>
  requires std::same_as<V, float> || std::same_as<V, std::int16_t> || std::same_as<V, std::int8_t>
class RowSparse {
public:
  RowSparse() = default;
  /// From a dense matrix [outputs][inputs]. Throws on another size, or on a weight that is not finite.
  static RowSparse pack(std::size_t outputs, std::size_t inputs, std::span<const V> dense) {
    if (dense.size() != outputs * inputs)
      SPIQ_THROW("sparse weights", std::to_string(outputs * inputs) + " values", std::to_string(dense.size()));
    if (inputs > std::numeric_limits<std::uint32_t>::max())
      SPIQ_THROW("sparse weights", "fewer than 2^32 inputs", std::to_string(inputs));
    RowSparse w;
    w.outputs_ = outputs;
    w.inputs_ = inputs;
    w.starts_.reserve(outputs + 1);
    w.starts_.push_back(0);
    for (std::size_t n = 0; n < outputs; ++n) {
      for (std::size_t k = 0; k < inputs; ++k) {
        const V v = dense[n * inputs + k];
        if constexpr (std::is_same_v<V, float>)
          if (!std::isfinite(v)) SPIQ_THROW("sparse weights", "finite values", std::to_string(v));
        if (v == V{}) continue;
        if (inputs <= 65536)
          w.narrow_.push_back(static_cast<std::uint16_t>(k));
        else
          w.wide_.push_back(static_cast<std::uint32_t>(k));
        w.values_.push_back(v);
      }
      w.starts_.push_back(w.values_.size());
    }
    return w;
  }
  /// Writes the dense matrix [outputs][inputs]. Throws on another size.
  void unpack(std::span<V> dense) const {
    if (dense.size() != outputs_ * inputs_)
      SPIQ_THROW("sparse weights", std::to_string(outputs_ * inputs_) + " values", std::to_string(dense.size()));
    std::fill(dense.begin(), dense.end(), V{});
    for (std::size_t n = 0; n < outputs_; ++n)
      for (std::size_t j = begin(n); j < end(n); ++j) dense[n * inputs_ + input(j)] = values_[j];
  }

  [[nodiscard]] std::size_t outputs() const { return outputs_; }
  [[nodiscard]] std::size_t inputs() const { return inputs_; }
  [[nodiscard]] std::size_t nonzeros() const { return values_.size(); }
  /// Share of weights that are kept; 0 of none.
  [[nodiscard]] double density() const {
    return outputs_ * inputs_ == 0 ? 0.0
                                   : static_cast<double>(nonzeros()) / static_cast<double>(outputs_ * inputs_);
  }
  [[nodiscard]] std::size_t bytes() const {
    return starts_.size() * sizeof(std::size_t) + narrow_.size() * 2 + wide_.size() * 4 + values_.size() * sizeof(V);
  }
  /// Nonzeros begin(n) ... end(n) - 1 are those of output n.
  [[nodiscard]] std::size_t begin(std::size_t n) const { return starts_[n]; }
  [[nodiscard]] std::size_t end(std::size_t n) const { return starts_[n + 1]; }
  [[nodiscard]] std::size_t input(std::size_t j) const { return wide_.empty() ? narrow_[j] : wide_[j]; }
  [[nodiscard]] V value(std::size_t j) const { return values_[j]; }
  [[nodiscard]] std::span<const V> values() const { return values_; }
  /// Calls f(indices) with the span of 16- or 32-bit indices that is in use.
  template <class F>
  decltype(auto) with_indices(F&& f) const {
    return wide_.empty() ? f(std::span<const std::uint16_t>(narrow_)) : f(std::span<const std::uint32_t>(wide_));
  }

private:
  std::size_t outputs_ = 0, inputs_ = 0;
  std::vector<std::size_t> starts_;
  AlignedVector<std::uint16_t> narrow_;
  AlignedVector<std::uint32_t> wide_;
  AlignedVector<V> values_;
};

SPIQ_END_NAMESPACE
