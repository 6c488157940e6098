/// @file
/// Sparse weights, row by row or column by column.
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

template <class V>
concept SparseValue = std::same_as<V, float> || std::same_as<V, std::int16_t> || std::same_as<V, std::int8_t>;

/// The nonzeros of a matrix, line by line: in each, ascending places and their values. Places take 16 bits where they
/// fit, else 32. What row-sparse and column-sparse weights share.
template <SparseValue V>
class SparseLines {
public:
  [[nodiscard]] std::size_t nonzeros() const { return values_.size(); }
  [[nodiscard]] std::size_t bytes() const {
    return starts_.size() * sizeof(std::size_t) + narrow_.size() * 2 + wide_.size() * 4 + values_.size() * sizeof(V);
  }
  /// Nonzeros begin(i) ... end(i) - 1 are those of line i.
  [[nodiscard]] std::size_t begin(std::size_t i) const { return starts_[i]; }
  [[nodiscard]] std::size_t end(std::size_t i) const { return starts_[i + 1]; }
  [[nodiscard]] std::size_t place(std::size_t j) const { return wide_.empty() ? narrow_[j] : wide_[j]; }
  [[nodiscard]] V value(std::size_t j) const { return values_[j]; }
  [[nodiscard]] std::span<const V> values() const { return values_; }
  /// Calls f(places) with the span of 16- or 32-bit places that is in use.
  template <class F>
  decltype(auto) with_places(F&& f) const {
    return wide_.empty() ? f(std::span<const std::uint16_t>(narrow_)) : f(std::span<const std::uint32_t>(wide_));
  }

protected:
  /// Line i has at(i, j) in place j. Throws on a value that is not finite.
  template <class At>
  void fill(std::size_t lines, std::size_t places, const At& at) {
    if (places > std::numeric_limits<std::uint32_t>::max())
      SPIQ_THROW("sparse weights", "fewer than 2^32 inputs and outputs", std::to_string(places));
    starts_.assign(1, 0);
    for (std::size_t i = 0; i < lines; ++i) {
      for (std::size_t j = 0; j < places; ++j) {
        const V v = at(i, j);
        if constexpr (std::is_same_v<V, float>)
          if (!std::isfinite(v)) SPIQ_THROW("sparse weights", "finite values", std::to_string(v));
        if (v == V{}) continue;
        if (places <= 65536)
          narrow_.push_back(static_cast<std::uint16_t>(j));
        else
          wide_.push_back(static_cast<std::uint32_t>(j));
        values_.push_back(v);
      }
      starts_.push_back(values_.size());
    }
  }
  static void check(std::size_t outputs, std::size_t inputs, std::size_t values) {
    if (values != outputs * inputs)
      SPIQ_THROW("sparse weights", std::to_string(outputs * inputs) + " values", std::to_string(values));
  }

private:
  std::vector<std::size_t> starts_;
  AlignedVector<std::uint16_t> narrow_;
  AlignedVector<std::uint32_t> wide_;
  AlignedVector<V> values_;
};

/// What both forms say of the matrix. `Rows`: a line per output, of its inputs; else a line per input, of its outputs.
template <SparseValue V, bool Rows>
class SparseMatrix : public SparseLines<V> {
public:
  SparseMatrix() = default;
  /// From a dense matrix [outputs][inputs]. Throws on another size, or on a weight that is not finite.
  static SparseMatrix pack(std::size_t outputs, std::size_t inputs, std::span<const V> dense) {
    SparseMatrix w;
    w.check(outputs, inputs, dense.size());
    w.outputs_ = outputs;
    w.inputs_ = inputs;
    w.fill(Rows ? outputs : inputs, Rows ? inputs : outputs,
           [&](std::size_t i, std::size_t j) { return dense[Rows ? i * inputs + j : j * inputs + i]; });
    return w;
  }
  /// Writes the dense matrix [outputs][inputs]. Throws on another size.
  void unpack(std::span<V> dense) const {
    this->check(outputs_, inputs_, dense.size());
    std::fill(dense.begin(), dense.end(), V{});
    for (std::size_t i = 0; i < (Rows ? outputs_ : inputs_); ++i)
      for (std::size_t j = this->begin(i); j < this->end(i); ++j)
        dense[Rows ? i * inputs_ + this->place(j) : this->place(j) * inputs_ + i] = this->value(j);
  }
  [[nodiscard]] std::size_t outputs() const { return outputs_; }
  [[nodiscard]] std::size_t inputs() const { return inputs_; }
  /// Share of weights that are kept; 0 of none.
  [[nodiscard]] double density() const {
    return outputs_ * inputs_ == 0 ? 0.0
                                   : static_cast<double>(this->nonzeros()) / static_cast<double>(outputs_ * inputs_);
  }

private:
  std::size_t outputs_ = 0, inputs_ = 0;
};

/// The nonzero weights of N outputs over K inputs by output (compressed sparse rows): for products that keep an
/// output's sums in registers.
template <SparseValue V>
using RowSparse = SparseMatrix<V, true>;
/// By input (compressed sparse columns): for products that visit only the inputs that are not silent.
template <SparseValue V>
using ColumnSparse = SparseMatrix<V, false>;

SPIQ_END_NAMESPACE
