/// @file
/// Sums over rows of channels: how channel statistics and bias gradients are taken from channels-last arrays.
#pragma once

#include <spiq/core/shape.hpp>
#include <spiq/core/storage.hpp>
#include <spiq/kernel/elementwise.hpp>

#include <algorithm>
#include <cstddef>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

namespace detail {

/// Rows of `channels` floats seen as wider rows: few channels are folded, several rows to one, until about four
/// vectors are full. Column j of a wide row belongs to channel j % channels. Rows that fill no wide row are the rest.
template <class Arch>
struct WideRows {
  using V = typename simd::traits<Arch>::f32;
  static constexpr std::size_t block = 4;  ///< vectors of accumulators per sum that stay in registers
  /// Wide rows that are summed in f32 lanes before they are emptied into doubles.
  static constexpr std::size_t burst = 256;

  std::size_t channels, fold, columns, rows, rest;

  WideRows(std::size_t all_rows, std::size_t c)
      : channels(c),
        fold(std::max<std::size_t>(1, block * static_cast<std::size_t>(V::width) / c)),
        columns(c * fold),
        rows(all_rows / fold),
        rest(all_rows % fold) {}

  /// Columns of an array that holds one value per wide column, rounded up to whole vectors.
  [[nodiscard]] std::size_t padded_columns() const { return round_up<std::size_t>(columns, V::width); }

  /// Adds term(access, element, column, sums) over wide rows [first, last) to out[s * channels + channel].
  template <int Sums, class Term>
  void add(std::size_t first, std::size_t last, double* out, const Term& term) const noexcept {
    constexpr std::size_t w = V::width;
    for (std::size_t r = first; r < last; r += burst) {
      const std::size_t stop = std::min(last, r + burst);
      std::size_t column = 0;
      for (; column + block * w <= columns; column += block * w)
        add_block<Sums, static_cast<int>(block)>(Whole{}, r, stop, column, block * w, out, term);
      for (; column + w <= columns; column += w) add_block<Sums, 1>(Whole{}, r, stop, column, w, out, term);
      if (column < columns) {
        const std::size_t n = columns - column;
        add_block<Sums, 1>(Part{static_cast<int>(n)}, r, stop, column, n, out, term);
      }
    }
  }

  /// y[element] = f(access, element, column) for wide rows [first, last).
  template <class F>
  SPIQ_INLINE void fill(float* y, std::size_t first, std::size_t last, const F& f) const noexcept {
    for (std::size_t r = first; r < last; ++r)
      fill_vectors<V>(y + r * columns, 0, columns,
                      [&](auto access, std::size_t j) SPIQ_LAMBDA_INLINE { return f(access, r * columns + j, j); });
  }

private:
  template <int Sums, int Vectors, class Access, class Term>
  void add_block(Access access, std::size_t first, std::size_t last, std::size_t column, std::size_t valid,
                 double* out, const Term& term) const noexcept {
    constexpr std::size_t w = V::width;
    V sums[Vectors][Sums];
    SPIQ_UNROLL
    for (int v = 0; v < Vectors; ++v) SPIQ_UNROLL
    for (int s = 0; s < Sums; ++s) sums[v][s] = V::zero();
    for (std::size_t r = first; r < last; ++r) {
      SPIQ_UNROLL
      for (int v = 0; v < Vectors; ++v) {
        const std::size_t j = column + static_cast<std::size_t>(v) * w;
        term(access, r * columns + j, j, sums[v]);
      }
    }
    alignas(64) float lanes[static_cast<std::size_t>(Vectors) * w];
    SPIQ_UNROLL
    for (int s = 0; s < Sums; ++s) {
      SPIQ_UNROLL
      for (int v = 0; v < Vectors; ++v) sums[v][s].store(lanes + static_cast<std::size_t>(v) * w);
      double* const to = out + static_cast<std::size_t>(s) * channels;
      std::size_t channel = column % channels;
      for (std::size_t i = 0; i < valid; ++i) {
        to[channel] += static_cast<double>(lanes[i]);
        if (++channel == channels) channel = 0;
      }
    }
  }
};

}  // namespace detail

/// sums[channel] = sum over all rows of x[rows][channels], in double beyond short runs; the same bits on any number
/// of threads. Owns its workspace.
template <class Arch = simd::best>
class ColumnSums {
  using V = typename simd::traits<Arch>::f32;

public:
  void run(const float* x, std::size_t rows, std::size_t channels, double* sums, int threads = 1) {
    const detail::WideRows<Arch> wide(rows, channels);
    const FixedChunks chunks(wide.rows, std::max<std::size_t>(1, 16384 / wide.columns));
    if (partial_.size() < FixedChunks::limit * channels) partial_.resize(FixedChunks::limit * channels);
    parallel_for(chunks.count, 1, threads, [&](std::size_t first, std::size_t last, int) {
      for (std::size_t c = first; c < last; ++c) {
        double* const out = partial_.data() + c * channels;
        std::fill_n(out, channels, 0.0);
        wide.template add<1>(chunks.begin(c), chunks.end(c), out,
                             [&](auto access, std::size_t i, std::size_t, V* sum)
                                 SPIQ_LAMBDA_INLINE { sum[0] = sum[0] + access.template load<V>(x + i); });
      }
    });
    std::fill_n(sums, channels, 0.0);
    for (std::size_t c = 0; c < chunks.count; ++c)
      for (std::size_t i = 0; i < channels; ++i) sums[i] += partial_[c * channels + i];
    const float* rest = x + wide.rows * wide.columns;
    for (std::size_t r = 0; r < wide.rest; ++r)
      for (std::size_t i = 0; i < channels; ++i) sums[i] += static_cast<double>(*rest++);
  }

private:
  AlignedVector<double> partial_;
};

}  // namespace kernel

SPIQ_END_NAMESPACE
