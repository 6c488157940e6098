/// @file
/// Direct convolution and linear product, channels last: packed weights, register tiles, a sink for every tile.
///
/// No im2col and no halo: a tile reads its inputs where they lie, and taps in the padding are skipped. With `steps` > 1
/// an output row of one step reads only input rows of that step, so all steps of a position lie side by side.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/storage.hpp>
#include <spiq/kernel/geometry.hpp>
#include <spiq/kernel/linear.hpp>
#include <spiq/kernel/packed_weights.hpp>
#include <spiq/kernel/sink.hpp>
#include <spiq/kernel/thin.hpp>
#include <spiq/kernel/tile_bank.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// A convolution or linear map with weights packed for `Arch`. `Element` is ElementF32 or ElementS16.
template <class Arch, class Element>
class PackedConv {
public:
  using Input = typename Element::Input;
  using Weight = typename Element::Weight;
  using Lane = typename Element::Lane;
  using Vec = typename Element::template vec<Arch>;
  /// Output channels of a whole tile.
  static constexpr int channel_block = PackedWeights<Arch, Element>::channel_block;

  PackedConv() = default;

  /// Packs weights [out, in / groups, kernel_h, kernel_w]. Throws Error when sizes do not fit.
  PackedConv(const ConvGeometry& geometry, std::span<const Weight> weights)
      : geometry_(geometry), weights_(geometry, weights) {
    if (!pointwise()) zeros_.assign(static_cast<std::size_t>(round_up(geometry.in.channels, Element::group)), Input{});
  }

  [[nodiscard]] const ConvGeometry& geometry() const noexcept { return geometry_; }
  /// Bytes of packed weights.
  [[nodiscard]] std::size_t packed_bytes() const noexcept { return weights_.bytes(); }
  /// Number of blocks of output channels, each of `channel_block` channels but the last.
  [[nodiscard]] std::size_t blocks() const noexcept { return weights_.blocks().size(); }

  /// The packed weights, for kernels that go over them in their own way.
  [[nodiscard]] const PackedWeights<Arch, Element>& weights() const noexcept { return weights_; }

  /// Convolves samples [first_sample, last_sample). `x` points at row 0 of sample 0; a row holds the channels of one
  /// pixel and step, rows are ordered [sample][y][x][step] and lie `row_stride` >= in.channels elements apart (an
  /// even number for int16, odd channel counts padded with a zero). Output rows are ordered alike; each tile of
  /// accumulators, without bias, goes to `sink` (see sink.hpp for what a sink may rely on).
  template <class Sink>
  SPIQ_INLINE void run(const Input* x, std::size_t row_stride, int steps, std::size_t first_sample,
                       std::size_t last_sample, Sink& sink) const noexcept {
    run_blocks(x, row_stride, steps, first_sample, last_sample, 0, blocks(), sink);
  }

  /// As `run`, for the blocks of output channels [first_block, last_block) only.
  template <class Sink>
  SPIQ_INLINE void run_blocks(const Input* x, std::size_t row_stride, int steps, std::size_t first_sample,
                              std::size_t last_sample, std::size_t first_block, std::size_t last_block,
                              Sink& sink) const noexcept {
    SPIQ_ASSERT(blocks() > 0 && first_block <= last_block && last_block <= blocks() && steps > 0);
    SPIQ_ASSERT(row_stride >= static_cast<std::size_t>(geometry_.in.channels) && row_stride % Element::group == 0);
    if (first_sample >= last_sample) return;
    Call call{
        x, static_cast<std::ptrdiff_t>(row_stride), steps, first_sample, last_sample, first_block, last_block, &sink,
        {}};
    if (linear() && steps == 1 && last_sample - first_sample == 1) return run_one_row(call, sink);
    call.emit[0] = &emit<1, Sink>;
    call.emit[1] = &emit<2, Sink>;
    if constexpr (most > 2) call.emit[2] = &emit<most, Sink>;
    run_tiles(call);
  }

private:
  using Bank = TileBank<Arch, Element>;
  using Block = typename PackedWeights<Arch, Element>::Block;
  using Rows = typename Bank::Rows;
  static constexpr int most = TileShape<Arch>::vectors;

  template <int NV>
  using Tile = typename Bank::template Tile<NV>;

  // The loops over tiles know the sink by one function per tile width: they too are compiled once for all sinks.
  template <int NV, class Sink>
  static void emit(void* sink, const void* tile, const TileAt& at) noexcept {
    (*static_cast<Sink*>(sink))(*static_cast<const Tile<NV>*>(tile), at);
  }
  struct Call {
    const Input* x;
    std::ptrdiff_t stride;
    int steps;
    std::size_t first_sample, last_sample, first_block, last_block;
    void* sink;
    void (*emit[3])(void*, const void*, const TileAt&) noexcept;  // tiles of 1, 2 and 4 vectors
  };

  // Splits n rows into tiles of nearly equal size, 14 rows into 7 + 7 rather than 8 + 6. The smaller tiles lie in the
  // middle: padding makes the first and the last one smaller still.
  struct Split {
    std::size_t count, small, before, larger;
    Split(std::size_t n, int vectors) {
      const auto most_rows = static_cast<std::size_t>(TileShape<Arch>::rows(vectors));
      count = (n + most_rows - 1) / most_rows;
      small = n / count;
      larger = n - small * count;
      before = (larger + 1) / 2;
    }
    [[nodiscard]] int rows(std::size_t i) const {
      return static_cast<int>(small + (i < before || i + (larger - before) >= count ? 1 : 0));
    }
  };

  [[nodiscard]] bool pointwise() const noexcept {
    const ConvGeometry& g = geometry_;
    return g.kernel_h == 1 && g.kernel_w == 1 && g.stride_h == 1 && g.stride_w == 1 && g.pad_h == 0 && g.pad_w == 0 &&
           !depthwise();
  }
  [[nodiscard]] bool linear() const noexcept {
    return pointwise() && geometry_.in.height == 1 && geometry_.in.width == 1;
  }
  [[nodiscard]] bool depthwise() const noexcept { return PackedWeights<Arch, Element>::depthwise(geometry_); }
  SPIQ_NOINLINE void run_tiles(const Call& c) const noexcept {
    if (pointwise())
      run_rows(c);
    else if (Element::group == 1 && c.steps == 1 && thin(geometry_))
      run_thin(c);
    else if (geometry_.out_w() * c.steps > 4 || (!TileShape<Arch>::wide && geometry_.out_w() * c.steps == 4))
      run_lines(c);
    else
      run_maps(c);
  }

  // Fills one tile and gives it to the sink. `source` is a DenseRows or the source of a padded tile.
  template <class From>
  static void tile(const Call& c, const From& source, const Block& b, std::size_t row, int rows) noexcept {
    const TileAt where{row, rows, b.channel, b.channels};
    if (b.vectors == most)
      tile<most>(c, source, where);
    else if (most > 2 && b.vectors == 2)
      tile<2>(c, source, where);
    else
      tile<1>(c, source, where);
  }
  template <int NV, class From>
  static SPIQ_INLINE void tile(const Call& c, const From& source, const TileAt& where) noexcept {
    Tile<NV> acc;
    Bank::template fill<NV>(where.rows, acc, source);
    c.emit[NV / 2](c.sink, &acc, where);
  }

  // A linear map of one row: the latency of small networks.
  template <class Sink>
  SPIQ_INLINE void run_one_row(const Call& c, Sink& sink) const noexcept {
    const Input* const x = c.x + static_cast<std::ptrdiff_t>(c.first_sample) * c.stride;
    for (std::size_t b = c.first_block; b < c.last_block; ++b) {
      const Block& block = weights_.blocks()[b];
      if (block.vectors == most)
        one_row<most>(block, x, c, sink);
      else if (most > 2 && block.vectors == 2)
        one_row<2>(block, x, c, sink);
      else
        one_row<1>(block, x, c, sink);
    }
  }
  template <int NV, class Sink>
  SPIQ_INLINE void one_row(const Block& b, const Input* x, const Call& c, Sink& sink) const noexcept {
    Vec acc[1][NV];
    fill_row<Arch, Element>(acc, x + b.first_input, weights_.lanes(b), b.groups);
    sink(acc, TileAt{c.first_sample, 1, b.channel, b.channels});
  }

  // Kernel 1x1, stride 1: output row r reads input row r. Samples go in chunks whose inputs stay in the L2 cache
  // while the blocks of weights pass over them.
  void run_rows(const Call& c) const noexcept {
    const std::size_t sample_rows = geometry_.out().pixels() * static_cast<std::size_t>(c.steps);
    const std::size_t bytes = sample_rows * static_cast<std::size_t>(c.stride) * sizeof(Input);
    const std::size_t chunk = std::max<std::size_t>(1, (std::size_t{256} << 10) / std::max<std::size_t>(bytes, 1));
    for (std::size_t s = c.first_sample; s < c.last_sample; s += chunk)
      for (std::size_t i = c.first_block; i < c.last_block; ++i) {
        const Block& b = weights_.blocks()[i];
        const Split split(std::min(chunk, c.last_sample - s) * sample_rows, b.vectors);
        const int parts = linear() ? linear_parts<Element> : 1;
        const std::ptrdiff_t run = b.groups / parts;
        DenseRows<Element> rows{nullptr,  c.stride, run * Element::group,         Element::group,
                                parts,    run,      b.groups - (parts - 1) * run, weights_.lanes(b),
                                parts > 1};
        std::size_t row = s * sample_rows;
        for (std::size_t t = 0; t < split.count; ++t) {
          rows.x = c.x + (static_cast<std::ptrdiff_t>(row) * c.stride + b.first_input);
          tile(c, rows, b, row, split.rows(t));
          row += static_cast<std::size_t>(split.rows(t));
        }
      }
  }

  // First layers: bands of lines are copied with their padding, then no tap needs a look.
  void run_thin(const Call& c) const noexcept {
    const ConvGeometry& g = geometry_;
    const int channels = g.in.channels, line = thin_line(g), out_h = g.out_h(), band = thin_band(g);
    const auto out_w = static_cast<std::size_t>(g.out_w());
    alignas(storage_alignment) Input copy[thin_inputs];
    for (std::size_t s = c.first_sample; s < c.last_sample; ++s)
      for (int top = 0; top < out_h; top += band) {
        const int bottom = std::min(top + band, out_h);
        copy_band(copy, g, c.x + static_cast<std::ptrdiff_t>(s * g.in.pixels()) * c.stride, c.stride, top, bottom);
        for (std::size_t i = c.first_block; i < c.last_block; ++i) {
          const Block& b = weights_.blocks()[i];
          const Split split(out_w, b.vectors);
          const std::ptrdiff_t run = static_cast<std::ptrdiff_t>(b.groups) * g.kernel_w;
          DenseRows<Element> rows{nullptr, g.stride_w * channels, line, Element::group, g.kernel_h, run,
                                  run,     weights_.lanes(b),     false};
          std::size_t row = (s * static_cast<std::size_t>(out_h) + static_cast<std::size_t>(top)) * out_w;
          for (int oy = top; oy < bottom; ++oy) {
            rows.x = copy + (oy - top) * g.stride_h * line;
            for (std::size_t t = 0; t < split.count; ++t) {
              tile(c, rows, b, row, split.rows(t));
              rows.x += split.rows(t) * rows.row_step;
              row += static_cast<std::size_t>(split.rows(t));
            }
          }
        }
      }
  }

  [[nodiscard]] Taps taps(std::ptrdiff_t stride, int steps) const noexcept {
    const ConvGeometry& g = geometry_;
    Taps t;
    t.kernel_h = g.kernel_h;
    t.kernel_w = g.kernel_w;
    t.dilation_h = g.dilation_h;
    t.dilation_w = g.dilation_w;
    t.in_h = g.in.height;
    t.in_w = g.in.width;
    t.step_x = stride * steps * g.dilation_w;
    t.step_y = stride * steps * g.dilation_h * g.in.width;
    t.adjacent = steps == 1 && g.dilation_w == 1 && g.stride_w == 1;
    t.joined = steps == 1 && g.dilation_w == 1 && g.groups == 1 && stride == g.in.channels &&
               g.in.channels % Element::group == 0;
    return t;
  }
  // Completes a tile: rows beyond the real ones repeat the last of them; then its segments.
  static void complete(Rows& at, int rows, const Taps& t) noexcept {
    for (int r = rows; r < TileShape<Arch>::max_rows; ++r) {
      at.y[r] = at.y[rows - 1];
      at.x[r] = at.x[rows - 1];
      at.offset[r] = at.offset[rows - 1];
    }
    int tap = 0;
    at.count = detail::list_segments(at.segments, Rows::max_segments, tap, t, at, 0);
    if (tap < t.kernel_h * t.kernel_w) at.count = -1;
  }
  [[nodiscard]] typename Bank::Source source(const Taps& t, const Rows& at, int y, const Input* x, std::ptrdiff_t base,
                                             const Block& b) const noexcept {
    return {
        t, at, y, x + b.first_input, base, weights_.lanes(b), b.groups, zeros_.data(), depthwise() ? b.channels : 0};
  }

  // Rows of a tile that starts at row n of a line of output pixels.
  void place(Rows& at, std::size_t n, int rows, const Taps& t, std::ptrdiff_t stride, int steps) const noexcept {
    int ox = static_cast<int>(n) / steps, step = static_cast<int>(n) % steps;
    for (int r = 0; r < rows; ++r) {
      at.y[r] = 0;
      at.x[r] = ox * geometry_.stride_w - geometry_.pad_w;
      at.offset[r] = (static_cast<std::ptrdiff_t>(at.x[r]) * steps + step) * stride;
      if (++step == steps) {
        step = 0;
        ++ox;
      }
    }
    complete(at, rows, t);
  }

  // Tiles lie within one line of output pixels.
  void run_lines(const Call& c) const noexcept {
    constexpr std::size_t kept = 32;  // up to so many tiles of a line are placed once for all lines
    const ConvGeometry& g = geometry_;
    const Taps t = taps(c.stride, c.steps);
    const int out_h = g.out_h();
    const auto line = static_cast<std::size_t>(g.out_w()) * static_cast<std::size_t>(c.steps);
    const std::ptrdiff_t in_line = static_cast<std::ptrdiff_t>(g.in.width) * c.steps * c.stride;
    Rows at[kept];
    int placed = 0;  // vectors of the blocks whose tiles lie in `at`
    for (std::size_t s = c.first_sample; s < c.last_sample; ++s)
      for (std::size_t k = c.first_block; k < c.last_block; ++k) {
        const Block& b = weights_.blocks()[k];
        const Split split(line, b.vectors);
        if (split.count > kept) {
          placed = 0;
        } else if (placed != b.vectors) {
          placed = b.vectors;
          for (std::size_t i = 0, n = 0; i < split.count; n += static_cast<std::size_t>(split.rows(i)), ++i)
            place(at[i], n, split.rows(i), t, c.stride, c.steps);
        }
        for (int oy = 0; oy < out_h; ++oy) {
          const int y = oy * g.stride_h - g.pad_h;
          const std::ptrdiff_t base = (static_cast<std::ptrdiff_t>(s) * g.in.height + y) * in_line;
          const std::size_t row = (s * static_cast<std::size_t>(out_h) + static_cast<std::size_t>(oy)) * line;
          for (std::size_t i = 0, n = 0; i < split.count; ++i) {
            const int rows = split.rows(i);
            Rows& here = at[placed != 0 ? i : 0];
            if (placed == 0) place(here, n, rows, t, c.stride, c.steps);
            tile(c, source(t, here, y, c.x, base, b), b, row + n, rows);
            n += static_cast<std::size_t>(rows);
          }
        }
      }
  }

  // Small maps: tiles run on over lines and samples. Weights are the larger part here, so blocks go outside.
  void run_maps(const Call& c) const noexcept {
    const ConvGeometry& g = geometry_;
    const Taps t = taps(c.stride, c.steps);
    const int out_h = g.out_h(), out_w = g.out_w();
    const std::size_t sample_rows = g.out().pixels() * static_cast<std::size_t>(c.steps);
    for (std::size_t k = c.first_block; k < c.last_block; ++k) {
      const Block& b = weights_.blocks()[k];
      const Split split((c.last_sample - c.first_sample) * sample_rows, b.vectors);
      std::size_t row = c.first_sample * sample_rows, sample = c.first_sample;
      int oy = 0, ox = 0, step = 0;
      for (std::size_t i = 0; i < split.count; ++i) {
        const int rows = split.rows(i);
        Rows at;
        at.one_line = false;
        for (int r = 0; r < rows; ++r) {
          at.y[r] = oy * g.stride_h - g.pad_h;
          at.x[r] = ox * g.stride_w - g.pad_w;
          const std::ptrdiff_t line = static_cast<std::ptrdiff_t>(sample) * g.in.height + at.y[r];
          at.offset[r] = ((line * g.in.width + at.x[r]) * c.steps + step) * c.stride;
          if (++step < c.steps) continue;
          step = 0;
          if (++ox < out_w) continue;
          ox = 0;
          if (++oy < out_h) continue;
          oy = 0;
          ++sample;
        }
        complete(at, rows, t);
        tile(c, source(t, at, 0, c.x, 0, b), b, row, rows);
        row += static_cast<std::size_t>(rows);
      }
    }
  }

  ConvGeometry geometry_{};
  PackedWeights<Arch, Element> weights_;
  AlignedVector<Input> zeros_;
};

}  // namespace kernel

SPIQ_END_NAMESPACE
