/// @file
/// Sparse weights as a bit for every weight and the values of those that are not zero.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/storage.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// Float weights of N outputs over K inputs, input by input: for each, a mask of its outputs, 64 a word, and their
/// values packed one after the other. Half the bytes of indices at moderate sparsity: for weights that come from
/// memory.
class BitmaskWeights {
public:
  BitmaskWeights() = default;
  /// From a dense matrix [outputs][inputs]. Throws on another size, or on a weight that is not finite.
  static BitmaskWeights pack(std::size_t outputs, std::size_t inputs, std::span<const float> dense) {
    check(outputs, inputs, dense.size());
    BitmaskWeights w;
    w.outputs_ = outputs;
    w.inputs_ = inputs;
    w.masks_.resize(inputs * w.words());
    w.starts_.assign(1, 0);
    for (std::size_t k = 0; k < inputs; ++k) {
      for (std::size_t n = 0; n < outputs; ++n) {
        const float v = dense[n * inputs + k];
        if (!std::isfinite(v)) SPIQ_THROW("sparse weights", "finite values", std::to_string(v));
        if (v == 0) continue;
        w.masks_[k * w.words() + n / 64] |= std::uint64_t{1} << (n % 64);
        w.values_.push_back(v);
      }
      w.starts_.push_back(w.values_.size());
    }
    w.values_.resize(w.values_.size() + slack);
    return w;
  }
  /// Writes the dense matrix [outputs][inputs]. Throws on another size.
  void unpack(std::span<float> dense) const {
    check(outputs_, inputs_, dense.size());
    for (std::size_t k = 0; k < inputs_; ++k) {
      const float* v = values(k);
      for (std::size_t n = 0; n < outputs_; ++n)
        dense[n * inputs_ + k] = (masks(k)[n / 64] >> (n % 64) & 1) != 0 ? *v++ : 0.0f;
    }
  }
  [[nodiscard]] std::size_t outputs() const { return outputs_; }
  [[nodiscard]] std::size_t inputs() const { return inputs_; }
  /// Of a mask.
  [[nodiscard]] std::size_t words() const { return (outputs_ + 63) / 64; }
  [[nodiscard]] std::size_t nonzeros() const { return starts_.empty() ? 0 : starts_.back(); }
  [[nodiscard]] std::size_t bytes() const {
    return masks_.size() * 8 + starts_.size() * sizeof(std::size_t) + nonzeros() * sizeof(float);
  }
  [[nodiscard]] const std::uint64_t* masks(std::size_t input) const { return masks_.data() + input * words(); }
  /// Behind those of the last input 64 more floats may be read.
  [[nodiscard]] const float* values(std::size_t input) const { return values_.data() + starts_[input]; }

private:
  static constexpr std::size_t slack = 64;
  static void check(std::size_t outputs, std::size_t inputs, std::size_t values) {
    if (values != outputs * inputs)
      SPIQ_THROW("sparse weights", std::to_string(outputs * inputs) + " values", std::to_string(values));
  }

  std::size_t outputs_ = 0, inputs_ = 0;
  AlignedVector<std::uint64_t> masks_;
  std::vector<std::size_t> starts_;
  AlignedVector<float> values_;
};

SPIQ_END_NAMESPACE
