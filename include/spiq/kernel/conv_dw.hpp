/// @file
/// Gradients of a convolution with respect to its weights and its bias.
#pragma once

#include <spiq/core/parallel.hpp>
#include <spiq/core/storage.hpp>
#include <spiq/kernel/columns.hpp>
#include <spiq/kernel/geometry.hpp>
#include <spiq/kernel/gradient_tile.hpp>
#include <spiq/simd/transpose.hpp>

#include <algorithm>
#include <cstddef>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// dw and db of a convolution y = conv(x, w) + b:
///   dw[co][ci][ky][kx] = sum over samples and output pixels p of x[p * stride + tap][ci] * dy[p][co],
///   db[co] = sum of dy[p][co].
/// Register tiles of input channels (broadcast) by vectors of output channels run over the pixels whose tap is real;
/// inputs of at most four channels put taps and channels into the rows of the tile. Samples are cut into fixed chunks
/// with sums of their own, added in order: the result has the same bits on any number of threads.
/// Owns its workspace, which grows on first use and is reused.
template <class Arch = simd::best>
class ConvBackwardWeights {
  using V = typename simd::traits<Arch>::f32;
  static constexpr int width = V::width;
  static constexpr bool wide = simd::traits<Arch>::registers >= 32;

public:
  /// x [samples][H][W][in], dy [samples][out_h][out_w][out]; dw [out, in / groups, kernel_h, kernel_w] and db [out]
  /// (may be null) are overwritten. Throws spiq::Error when the geometry is not a convolution.
  void run(const ConvGeometry& g, const float* x, const float* dy, float* dw, float* db, std::size_t samples,
           int threads = 1) {
    check(g, g.weight_count());
    prepare(g, samples, threads);
    if (samples == 0)
      std::fill_n(dw, g.weight_count(), 0.0f);
    else
      weights(x, dy, dw, samples, threads);
    if (db != nullptr) bias(dy, db, samples, threads);
  }

private:
  enum class Form { general, narrow, depthwise };
  static constexpr int block_vectors = 2;
  static constexpr std::size_t chunk_limit = 16;
  static constexpr std::size_t chunk_pixels = 1024;                    ///< enough to hide what a chunk costs
  static constexpr std::size_t partial_budget = std::size_t{1} << 22;  ///< floats in all partial sums together
  static constexpr std::size_t round_pixels = 256;                     ///< that one round of tiles holds in L1

  void prepare(const ConvGeometry& g, std::size_t samples, int threads) {
    geometry_ = g;
    if (g.group_in() == 1 && g.group_out() == 1)
      form_ = Form::depthwise;
    else if (g.groups == 1 && g.in.channels <= 4 && g.dilation_w == 1 && g.kernel_h * g.kernel_w > 1)
      form_ = Form::narrow;
    else
      form_ = Form::general;
    const int vectors = (g.group_out() + width - 1) / width;
    column_blocks_ = (vectors + block_vectors - 1) / block_vectors;
    blocks_ = form_ == Form::general ? static_cast<std::size_t>(g.groups * column_blocks_) : 1;
    stride_ = form_ == Form::general     ? std::min(vectors, block_vectors) * width
              : form_ == Form::depthwise ? round_up(g.out_channels, width)
                                         : vectors * width;
    chunks_ = std::clamp<std::size_t>(samples * g.out().pixels() / chunk_pixels, 1, chunk_limit);
    chunks_ = std::min(
        {chunks_, std::max<std::size_t>(1, partial_budget / g.weight_count()), std::max<std::size_t>(1, samples)});
    round_ = std::clamp<std::size_t>(round_pixels / g.out().pixels(), 1, std::max<std::size_t>(1, samples / chunks_));
    if (chunks_ > 1 && partial_.size() < chunks_ * g.weight_count()) partial_.resize(chunks_ * g.weight_count());

    // Gradients are copied into the order in which the tiles read them where they do not lie so already: lines of
    // many channels would fall into a few sets of the first cache. Inputs are not worth it, a pixel costs one line.
    pack_dy_ = g.group_out() % width != 0 || g.out_channels > stride_;
    std::size_t x_size = 0;
    if (form_ == Form::narrow) {
      padded_row_ = ((g.out_w() - 1) * g.stride_w + g.kernel_w) * g.in.channels;
      padded_rows_ = (g.out_h() - 1) * g.stride_h + (g.kernel_h - 1) * g.dilation_h + 1;
      x_size = static_cast<std::size_t>(padded_row_) * static_cast<std::size_t>(padded_rows_);
      round_ = 1;
    }
    const std::size_t dy_size =
        pack_dy_ && form_ != Form::depthwise ? round_ * g.out().pixels() * static_cast<std::size_t>(stride_) : 0;
    rows_size_ = round_up<std::size_t>(static_cast<std::size_t>(g.fan_in()) * static_cast<std::size_t>(stride_), 64);
    x_size_ = round_up<std::size_t>(x_size, 64);
    worker_size_ = rows_size_ + x_size_ + round_up<std::size_t>(dy_size, 64);
    const auto workers = static_cast<std::size_t>(threads <= 0 ? max_threads() : threads);
    if (scratch_.size() < workers * worker_size_) scratch_.resize(workers * worker_size_);
    if (form_ == Form::narrow)  // the padding stays zero, whatever was here before
      for (std::size_t i = 0; i < workers; ++i)
        std::fill_n(scratch_.data() + i * worker_size_ + rows_size_, x_size, 0.0f);
  }

  void weights(const float* x, const float* dy, float* dw, std::size_t samples, int threads) noexcept {
    const ConvGeometry& g = geometry_;
    parallel_for(chunks_ * blocks_, 1, threads, [&](std::size_t begin, std::size_t end, int worker) {
      float* const rows = scratch_.data() + static_cast<std::size_t>(worker) * worker_size_;
      for (std::size_t item = begin; item < end; ++item) {
        const std::size_t chunk = item / blocks_;
        const int block = static_cast<int>(item % blocks_);
        const std::size_t first = samples * chunk / chunks_, last = samples * (chunk + 1) / chunks_;
        float* const out = chunks_ == 1 ? dw : partial_.data() + chunk * g.weight_count();
        if (form_ == Form::general) {
          const int group = block / column_blocks_, column = (block % column_blocks_) * block_vectors * width;
          general(x, dy, first, last, group, column, rows);
          const int co = group * g.group_out() + column;
          field_layout(rows, std::min(stride_, g.group_out() - column),
                       out + static_cast<std::ptrdiff_t>(co) * g.fan_in());
        } else {
          if (form_ == Form::depthwise)
            depthwise(x, dy, first, last, rows);
          else
            narrow(x, dy, first, last, rows);
          field_layout(rows, g.out_channels, out);
        }
      }
    });
    if (chunks_ == 1) return;
    const std::size_t size = g.weight_count();
    parallel_for(size, map_grain, threads, [&](std::size_t begin, std::size_t end, int) {
      for_vectors<V>(begin, end, [&](auto access, std::size_t i) SPIQ_LAMBDA_INLINE {
        V total = access.template load<V>(partial_.data() + i);
        for (std::size_t c = 1; c < chunks_; ++c)
          total = total + access.template load<V>(partial_.data() + c * size + i);
        access.store(total, dw + i);
      });
    });
  }

  /// One block of output channels of one group, samples [first, last); rows [tap][input channel].
  void general(const float* x, const float* dy, std::size_t first, std::size_t last, int group, int column,
               float* rows) const noexcept {
    const ConvGeometry& g = geometry_;
    const int channels = std::min(stride_, g.group_out() - column);
    float* const packed_dy = rows + rows_size_ + x_size_;
    const std::ptrdiff_t pixel_dy = pack_dy_ ? stride_ : g.out_channels;
    const std::ptrdiff_t pixel_x = g.in.channels;
    detail::GradientWalk walk = strides(pixel_x, g.in.width * pixel_x, pixel_dy);
    for (std::size_t from = first; from < last; from += round_) {
      const std::size_t samples = std::min(round_, last - from);
      const float* px = x + from * g.in.size() + static_cast<std::size_t>(group * g.group_in());
      const float* pd = dy + from * g.out().size() + static_cast<std::size_t>(group * g.group_out() + column);
      if (pack_dy_) {
        copy_pixels(pd, g.out_channels, channels, samples * g.out().pixels(), packed_dy, stride_);
        pd = packed_dy;
      }
      walk.samples = samples;
      for (int ky = 0; ky < g.kernel_h; ++ky)
        for (int kx = 0; kx < g.kernel_w; ++kx) {
          const detail::RealRange ys(ky, g.in.height, g.out_h(), g.stride_h, g.pad_h, g.dilation_h);
          const detail::RealRange xs(kx, g.in.width, g.out_w(), g.stride_w, g.pad_w, g.dilation_w);
          walk.rows = xs.last > xs.first ? ys.last - ys.first : 0;
          walk.columns = xs.last - xs.first;
          std::ptrdiff_t at_x = 0, at_dy = 0;
          if (walk.rows > 0) {
            const std::ptrdiff_t iy = ys.first * g.stride_h - g.pad_h + ky * g.dilation_h;
            const std::ptrdiff_t ix = xs.first * g.stride_w - g.pad_w + kx * g.dilation_w;
            at_x = (iy * g.in.width + ix) * pixel_x;
            at_dy = (static_cast<std::ptrdiff_t>(ys.first) * g.out_w() + xs.first) * pixel_dy;
          }
          float* const out = rows + static_cast<std::ptrdiff_t>(ky * g.kernel_w + kx) * g.group_in() * stride_;
          for (int ci = 0; ci < g.group_in();) {
            const int step = rows_of_tile(g.group_in() - ci, stride_ == width);
            tile(step, stride_ / width, walk, px + at_x + ci, pd + at_dy,
                 out + static_cast<std::ptrdiff_t>(ci) * stride_, from > first);
            ci += step;
          }
        }
    }
  }

  /// All output channels, samples [first, last): x is copied with its padding, so that the inputs of one row of taps
  /// are contiguous and no tap needs a test.
  void narrow(const float* x, const float* dy, std::size_t first, std::size_t last, float* rows) const noexcept {
    const ConvGeometry& g = geometry_;
    const int run = g.kernel_w * g.in.channels;
    float* const padded = rows + rows_size_;
    float* const packed_dy = padded + x_size_;
    detail::GradientWalk walk = strides(g.in.channels, padded_row_, pack_dy_ ? stride_ : g.out_channels);
    walk.samples = 1;
    walk.rows = g.out_h();
    walk.columns = g.out_w();
    walk.x_segment = static_cast<std::ptrdiff_t>(g.dilation_h) * padded_row_;
    // Three rows of taps fill one tile where they fit: with nine inputs a row, 27 accumulators of one vector.
    const bool three = g.kernel_h == 3 && walk.x_column == g.in.channels && (run == 3 || (wide && run == 9));
    const int step = three && run == 9 ? width : block_vectors * width;
    for (std::size_t sample = first; sample < last; ++sample) {
      copy_padded(x + sample * g.in.size(), padded);
      const float* from = dy + sample * g.out().size();
      if (pack_dy_) {
        copy_pixels(from, g.out_channels, g.out_channels, g.out().pixels(), packed_dy, stride_);
        from = packed_dy;
      }
      for (int column = 0; column < stride_; column += step) {
        const int vectors = std::min(step, stride_ - column) / width;
        float* const out = rows + column;
        const bool add = sample > first;
        if (three) {
          three_rows(run, vectors, walk, padded, from + column, out, add);
          continue;
        }
        for (int ky = 0; ky < g.kernel_h; ++ky)
          for (int i = 0; i < run;) {
            const int tile_rows = rows_of_tile(run - i, vectors == 1);
            tile(tile_rows, vectors, walk, padded + ky * walk.x_segment + i, from + column,
                 out + static_cast<std::ptrdiff_t>(ky * run + i) * stride_, add);
            i += tile_rows;
          }
      }
    }
  }

  /// The first `channels` of each pixel; pixels of the copy are whole vectors, `step` floats, zeros behind the last.
  static void copy_pixels(const float* from, std::ptrdiff_t stride, int channels, std::size_t pixels, float* to,
                          int step) noexcept {
    for (std::size_t p = 0; p < pixels; ++p, from += stride, to += step)
      for (int c = 0; c < step; c += width) {
        const int lanes = channels - c;
        (lanes >= width ? V::load(from + c) : V::load_first(from + c, std::max(lanes, 0))).store(to + c);
      }
  }

  void copy_padded(const float* sample, float* padded) const noexcept {
    const ConvGeometry& g = geometry_;
    const int left = g.pad_w * g.in.channels;
    const int count = std::max(0, std::min(g.in.width * g.in.channels, padded_row_ - left));
    const int rows = std::min(g.in.height, padded_rows_ - g.pad_h);
    for (int y = 0; y < rows; ++y) {
      const float* const from = sample + static_cast<std::ptrdiff_t>(y) * g.in.width * g.in.channels;
      float* const to = padded + static_cast<std::ptrdiff_t>(y + g.pad_h) * padded_row_ + left;
      for_vectors<V>(0, static_cast<std::size_t>(count), [&](auto access, std::size_t i) SPIQ_LAMBDA_INLINE {
        access.store(access.template load<V>(from + i), to + i);
      });
    }
  }

  /// rows[tap][c] = sum of x[p + tap][c] * dy[p][c].
  void depthwise(const float* x, const float* dy, std::size_t first, std::size_t last, float* rows) const noexcept {
    const ConvGeometry& g = geometry_;
    const std::ptrdiff_t channels = g.in.channels;
    std::fill_n(rows, static_cast<std::ptrdiff_t>(g.fan_in()) * stride_, 0.0f);
    for (std::size_t sample = first; sample < last; ++sample)
      for (int ky = 0; ky < g.kernel_h; ++ky)
        for (int kx = 0; kx < g.kernel_w; ++kx) {
          const detail::RealRange ys(ky, g.in.height, g.out_h(), g.stride_h, g.pad_h, g.dilation_h);
          const detail::RealRange xs(kx, g.in.width, g.out_w(), g.stride_w, g.pad_w, g.dilation_w);
          std::ptrdiff_t at_x = 0, at_dy = 0;
          detail::GradientWalk walk = strides(channels, g.in.width * channels, channels);
          walk.rows = xs.last > xs.first ? ys.last - ys.first : 0;
          walk.columns = xs.last - xs.first;
          if (walk.rows > 0) {
            const std::ptrdiff_t iy = ys.first * g.stride_h - g.pad_h + ky * g.dilation_h;
            const std::ptrdiff_t ix = xs.first * g.stride_w - g.pad_w + kx * g.dilation_w;
            at_x = (iy * g.in.width + ix) * channels;
            at_dy = (static_cast<std::ptrdiff_t>(ys.first) * g.out_w() + xs.first) * channels;
          }
          const float* const px = x + sample * g.in.size() + at_x;
          const float* const pd = dy + sample * g.out().size() + at_dy;
          float* const out = rows + static_cast<std::ptrdiff_t>(ky * g.kernel_w + kx) * stride_;
          std::ptrdiff_t c = 0;
          for (; c + 4 * width <= channels; c += 4 * width)
            detail::pointwise_gradient<Arch, 4, 1>(Whole{}, walk, px + c, pd + c, out + c);
          for (; c + width <= channels; c += width)
            detail::pointwise_gradient<Arch, 1, 4>(Whole{}, walk, px + c, pd + c, out + c);
          if (c < channels)
            detail::pointwise_gradient<Arch, 1, 4>(Part{static_cast<int>(channels - c)}, walk, px + c, pd + c,
                                                   out + c);
        }
  }

  /// Steps through x and dy that have `pixel_x` and `pixel_dy` floats between pixels, and lines of `line_x` floats.
  [[nodiscard]] detail::GradientWalk strides(std::ptrdiff_t pixel_x, std::ptrdiff_t line_x,
                                             std::ptrdiff_t pixel_dy) const noexcept {
    const ConvGeometry& g = geometry_;
    detail::GradientWalk walk;
    walk.x_sample = g.in.height * line_x;
    walk.dy_sample = static_cast<std::ptrdiff_t>(g.out().pixels()) * pixel_dy;
    walk.x_row = g.stride_h * line_x;
    walk.dy_row = g.out_w() * pixel_dy;
    walk.x_column = g.stride_w * pixel_x;
    walk.dy_column = pixel_dy;
    return walk;
  }

  /// The largest tile that `left` rows of weights fill; with one vector of columns, tiles of twice the rows.
  static constexpr int rows_of_tile(int left, bool one_vector) noexcept {
    if (wide && one_vector && left >= 16) return 16;
    if ((wide || one_vector) && left >= 8) return 8;
    return left >= 6 ? 6 : left >= 4 ? 4 : left;
  }

  /// One tile of `rows` rows of weights by `vectors` vectors of output channels.
  void tile(int rows, int vectors, const detail::GradientWalk& walk, const float* x, const float* dy, float* out,
            bool add) const noexcept {
    const auto run = [&]<int MR>(std::integral_constant<int, MR>) {
      if (vectors == 2) {
        if constexpr (MR <= 8) detail::gradient_tile<Arch, 1, MR, 2, 0, 1>(walk, x, dy, out, stride_, add);
      } else {
        detail::gradient_tile<Arch, 1, MR, 1, 0, 1>(walk, x, dy, out, stride_, add);
      }
    };
    if constexpr (wide) {
      if (rows == 16) return run(std::integral_constant<int, 16>{});
    }
    switch (rows) {
      case 8:
        return run(std::integral_constant<int, 8>{});
      case 6:
        return run(std::integral_constant<int, 6>{});
      case 4:
        return run(std::integral_constant<int, 4>{});
      case 3:
        return run(std::integral_constant<int, 3>{});
      case 2:
        return run(std::integral_constant<int, 2>{});
      default:
        return run(std::integral_constant<int, 1>{});
    }
  }
  /// All taps of a 3x3 kernel of stride 1 over one channel (run 3) or three (run 9) in one tile.
  void three_rows(int run, int vectors, const detail::GradientWalk& walk, const float* x, const float* dy, float* out,
                  bool add) const noexcept {
    if constexpr (wide) {
      if (run == 9) return detail::gradient_tile<Arch, 3, 9, 1, 3, 2>(walk, x, dy, out, stride_, add);
      if (vectors == 2) return detail::gradient_tile<Arch, 3, 3, 2, 1, 4>(walk, x, dy, out, stride_, add);
      detail::gradient_tile<Arch, 3, 3, 1, 1, 4>(walk, x, dy, out, stride_, add);
    } else {
      for (int v = 0; v < vectors; ++v)
        detail::gradient_tile<Arch, 3, 3, 1, 1, 4>(walk, x, dy + v * width, out + v * width, stride_, add);
    }
  }

  /// Turns rows [tap][ci][co] into the field's [co][ci][tap], a square of lanes at a time.
  void field_layout(const float* rows, int outputs, float* out) const noexcept {
    const ConvGeometry& g = geometry_;
    const int taps = g.kernel_h * g.kernel_w, fan_in = g.fan_in();
    const std::ptrdiff_t tap_rows = static_cast<std::ptrdiff_t>(g.group_in()) * stride_;
    int tap = 0;
    const float* input = rows;  // of tap 0
    for (int r = 0; r < fan_in; r += width) {
      const float* at[width];
      for (int i = 0; i < width; ++i) {
        at[i] = r + i < fan_in ? input + tap * tap_rows : rows;
        if (++tap == taps) {
          tap = 0;
          input += stride_;
        }
      }
      for (int co = 0; co < outputs; co += width) {
        V square[width];
        SPIQ_UNROLL
        for (int i = 0; i < width; ++i) square[i] = V::load(at[i] + co);
        simd::transpose<Arch>(square);
        float* const to = out + static_cast<std::ptrdiff_t>(co) * fan_in + r;
        if (r + width <= fan_in && co + width <= outputs) {
          SPIQ_UNROLL
          for (int i = 0; i < width; ++i) square[i].store(to + static_cast<std::ptrdiff_t>(i) * fan_in);
        } else {
          for (int i = 0; i < width && co + i < outputs; ++i)
            square[i].store_first(to + static_cast<std::ptrdiff_t>(i) * fan_in, fan_in - r);
        }
      }
    }
  }

  void bias(const float* dy, float* db, std::size_t samples, int threads) {
    const auto channels = static_cast<std::size_t>(geometry_.out_channels);
    sums_.resize(channels);
    column_sums_.run(dy, samples * geometry_.out().pixels(), channels, sums_.data(), threads);
    for (std::size_t c = 0; c < channels; ++c) db[c] = static_cast<float>(sums_[c]);
  }

  ConvGeometry geometry_{};
  Form form_ = Form::general;
  bool pack_dy_ = false;
  int column_blocks_ = 1, stride_ = 0;
  int padded_row_ = 0, padded_rows_ = 0;
  std::size_t blocks_ = 1, chunks_ = 1, round_ = 1;
  std::size_t rows_size_ = 0, x_size_ = 0, worker_size_ = 0;  ///< of a worker's scratch: tiles, then x, then dy
  AlignedVector<float> partial_, scratch_;
  AlignedVector<double> sums_;
  ColumnSums<Arch> column_sums_;
};

}  // namespace kernel

SPIQ_END_NAMESPACE
