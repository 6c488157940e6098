/// @file
/// N:M sparse weights times dense activations.
#pragma once

#include <spiq/core/parallel.hpp>
#include <spiq/simd/simd.hpp>
#include <spiq/sparse/nm.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// y[n, b] = sum over k of weight[n, k] x[k, b]: columns b (samples or positions) in the lanes, the sums of a tile of
/// them in registers. Each nonzero weight is broadcast and multiplied with the row of its input; where R outputs share
/// a pattern that row is loaded once for all. Inputs go in blocks whose activations stay in the first cache.
template <int N, int M, int R = 1, class Arch = simd::best>
class NmProduct {
  using V = typename simd::traits<Arch>::f32;
  static constexpr std::size_t width = static_cast<std::size_t>(V::width);
  static constexpr std::size_t registers = static_cast<std::size_t>(simd::traits<Arch>::registers);
  static constexpr std::size_t rows = static_cast<std::size_t>(R);
  // As many vectors as leave registers for a weight and, with shared patterns, for their activations.
  static constexpr std::size_t vectors = R == 1 ? 8 : std::max<std::size_t>(1, (registers - 2) / (rows + 1));
  static constexpr std::size_t group = NM<N, M, R>::group, kept = NM<N, M, R>::kept;

public:
  /// Columns of a tile.
  static constexpr std::size_t tile = vectors * width;
  /// Inputs of a block, a multiple of M.
  static constexpr std::size_t block =
      std::max<std::size_t>(1, (R == 1 ? 8192 / tile : std::size_t{768}) / group) * group;

  explicit NmProduct(const NM<N, M, R>& w) : outputs_(w.outputs()), inputs_(w.inputs()), groups_(w.groups()) {
    const std::size_t of_block = block / group;
    values_.reserve(w.bundles() * rows * groups_ * kept);
    for (std::size_t first = 0; first < groups_; first += of_block)
      for (std::size_t b = 0; b < w.bundles(); ++b)
        for (std::size_t g = first; g < std::min(groups_, first + of_block); ++g)
          for (std::size_t i = 0; i < kept; ++i) {
            const std::size_t k = g * group + w.place(b * rows, g, i);
            // Of a group that is not full: a row that exists, times zero.
            offsets_.push_back(static_cast<std::uint16_t>(std::min(k, inputs_ - 1) - first * group));
            for (std::size_t r = 0; r < rows; ++r) values_.push_back(w.value(b * rows + r, g, i));
          }
  }
  [[nodiscard]] std::size_t outputs() const { return outputs_; }
  [[nodiscard]] std::size_t inputs() const { return inputs_; }
  [[nodiscard]] std::size_t bytes() const { return values_.size() * sizeof(float) + offsets_.size() * 2; }

  /// Floats of activations in panels, [tile][input][column of the tile], and `pack`, which writes them from
  /// x[input][ld] (the last tile filled up with zeros).
  [[nodiscard]] std::size_t panel_size(std::size_t columns) const { return tiles(columns) * inputs_ * tile; }
  void pack(const float* x, std::size_t ld, std::size_t columns, float* panels, int threads = 1) const noexcept {
    parallel_for(tiles(columns), 1, threads, [&](std::size_t first, std::size_t last, int) {
      for (std::size_t t = first; t < last; ++t)
        for (std::size_t k = 0; k < inputs_; ++k) {
          float* const to = panels + (t * inputs_ + k) * tile;
          const std::size_t count = std::min(tile, columns - t * tile);
          std::copy_n(x + k * ld + t * tile, count, to);
          std::fill(to + count, to + tile, 0.0f);
        }
    });
  }
  /// y[outputs][ld] from panels of so many columns. Tiles go to threads; results do not depend on their number.
  /// Infinite or NaN activations may spoil sums of outputs without a weight for them.
  void run(const float* panels, std::size_t columns, float* y, std::size_t ld, int threads = 1) const noexcept {
    parallel_for(tiles(columns), 1, threads, [&](std::size_t first, std::size_t last, int) {
      for (std::size_t t = first; t < last; ++t) {
        const float* const panel = panels + t * inputs_ * tile;
        const std::size_t count = std::min(tile, columns - t * tile);
        if (count == tile)
          run_tile<true>(panel, panels + last * inputs_ * tile, y + t * tile, ld, tile);
        else
          run_tile<false>(panel, panels + last * inputs_ * tile, y + t * tile, ld, count);
      }
    });
  }

private:
  [[nodiscard]] static std::size_t tiles(std::size_t columns) { return (columns + tile - 1) / tile; }

  template <bool Whole>
  SPIQ_INLINE void run_tile(const float* panel, const float* end, float* y, std::size_t ld,
                            std::size_t count) const noexcept {
    const std::size_t lines = outputs_ == 0 ? 0 : block * tile / 16 * rows / outputs_ + 1;  // of 64 bytes, a bundle
    const float* values = values_.data();
    const std::uint16_t* offsets = offsets_.data();
    if (groups_ == 0)
      for (std::size_t n = 0; n < outputs_; ++n) std::fill_n(y + n * ld, count, 0.0f);
    for (std::size_t first = 0; first < groups_; first += block / group, panel += block * tile) {
      const std::size_t nonzeros = std::min(block / group, groups_ - first) * kept;
      // What comes next in the panels, while this block is worked on: rows are visited in no order that machines
      // foresee.
      const float* ahead = panel + block * tile;
      for (std::size_t n = 0; n < outputs_; n += rows, values += nonzeros * rows, offsets += nonzeros) {
        for (std::size_t i = 0; i < lines; ++i, ahead += 16)
          if (ahead < end) simd::prefetch(ahead);
        V sums[rows][vectors];
        for (std::size_t r = 0; r < rows; ++r)
          for (std::size_t v = 0; v < vectors; ++v)
            sums[r][v] = first == 0 || n + r >= outputs_ ? V::zero() : load<Whole>(y + (n + r) * ld, v, count);
        for (std::size_t j = 0; j < nonzeros; ++j) {
          const float* const x = panel + std::size_t{offsets[j]} * tile;
          if constexpr (R == 1) {
            const V w = V::broadcast(values[j]);
            SPIQ_UNROLL
            for (std::size_t v = 0; v < vectors; ++v) sums[0][v] = fma(w, V::load(x + v * width), sums[0][v]);
          } else {
            V activation[vectors];
            for (std::size_t v = 0; v < vectors; ++v) activation[v] = V::load(x + v * width);
            SPIQ_UNROLL
            for (std::size_t r = 0; r < rows; ++r) {
              const V w = V::broadcast(values[j * rows + r]);
              SPIQ_UNROLL
              for (std::size_t v = 0; v < vectors; ++v) sums[r][v] = fma(w, activation[v], sums[r][v]);
            }
          }
        }
        for (std::size_t r = 0; r < rows && n + r < outputs_; ++r)
          for (std::size_t v = 0; v < vectors; ++v) store<Whole>(sums[r][v], y + (n + r) * ld, v, count);
      }
    }
  }
  // Vector v of a row of which `count` columns exist.
  template <bool Whole>
  static SPIQ_INLINE V load(const float* row, std::size_t v, std::size_t count) {
    if constexpr (Whole) return V::load(row + v * width);
    return count <= v * width ? V::zero() : V::load_first(row + v * width, lanes(v, count));
  }
  template <bool Whole>
  static SPIQ_INLINE void store(V sum, float* row, std::size_t v, std::size_t count) {
    if constexpr (Whole)
      sum.store(row + v * width);
    else if (count > v * width)
      sum.store_first(row + v * width, lanes(v, count));
  }
  static SPIQ_INLINE int lanes(std::size_t v, std::size_t count) {
    return static_cast<int>(std::min(width, count - v * width));
  }

  std::size_t outputs_, inputs_, groups_;
  AlignedVector<float> values_;           // [block][bundle][nonzero][output of the bundle]
  AlignedVector<std::uint16_t> offsets_;  // [block][bundle][nonzero]: input within the block
};

SPIQ_END_NAMESPACE
