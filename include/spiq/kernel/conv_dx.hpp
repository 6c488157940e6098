/// @file
/// Gradient of a convolution with respect to its input.
#pragma once

#include <spiq/core/parallel.hpp>
#include <spiq/core/storage.hpp>
#include <spiq/kernel/conv.hpp>
#include <spiq/kernel/gather.hpp>
#include <spiq/kernel/geometry.hpp>
#include <spiq/kernel/weight_lanes.hpp>
#include <spiq/simd/simd.hpp>

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <span>
#include <type_traits>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

namespace detail {

/// One axis of the input gradient at positions i = remainder + stride * j: it gathers output positions
/// j + first + t * dilation for t = 0 ... taps - 1, where t stands for kernel position kernel(t).
struct BackwardAxis {
  int count = 0;  ///< positions j of this remainder
  int taps = 0;   ///< kernel positions that reach it
  int first = 0;
  int dilation = 1;  ///< between gathered outputs
  int last_kernel = 0, kernel_step = 1;

  [[nodiscard]] int kernel(int t) const { return last_kernel - t * kernel_step; }

  BackwardAxis(int remainder, int in, int k, int stride, int pad, int spread) {
    count = remainder < in ? (in - remainder + stride - 1) / stride : 0;
    const int common = std::gcd(stride, spread);
    kernel_step = stride / common;
    dilation = spread / common;
    int first_kernel = 0;
    while (first_kernel < k && (remainder + pad - first_kernel * spread) % stride != 0) ++first_kernel;
    if (first_kernel >= k) return;
    taps = (k - 1 - first_kernel) / kernel_step + 1;
    last_kernel = first_kernel + (taps - 1) * kernel_step;
    first = (remainder + pad - last_kernel * spread) / stride;  // divides exactly
  }
};

}  // namespace detail

/// dx = the input gradient of a convolution y = conv(x, w):
///   dx[iy][ix][ci] = sum over taps and co of dy[oy][ox][co] * w[co][ci][ky][kx], oy * stride = iy + pad - ky *
///   dilation.
/// It is a convolution of dy with flipped, transposed weights. With a stride, input positions fall into stride_h *
/// stride_w classes of equal remainder; each is a convolution of stride 1 with the kernel positions that reach it, so
/// no inserted zero is ever multiplied. Taps that fall outside dy are skipped like the padding of a forward pass.
template <class Arch = simd::best>
class ConvBackwardData {
  using V = typename simd::traits<Arch>::f32;
  static constexpr int width = V::width;
  static constexpr int max_vectors = 2;
  static constexpr bool wide = simd::traits<Arch>::registers >= 32;

public:
  ConvBackwardData() = default;
  ConvBackwardData(const ConvGeometry& g, std::span<const float> weights) { pack(g, weights); }

  /// Packs weights [out, in / groups, kernel_h, kernel_w]; reuses its memory when called again with the same
  /// geometry. Throws spiq::Error when the numbers do not describe a convolution.
  void pack(const ConvGeometry& g, std::span<const float> weights) {
    check(g, weights.size());
    if (!(g == geometry_)) plan(g);
    depthwise_ = g.group_in() == 1 && g.group_out() == 1;
    if (depthwise_)
      pack_depthwise(weights);
    else
      for (const Class& c : classes_) pack_class(c, weights);
  }

  [[nodiscard]] const ConvGeometry& geometry() const { return geometry_; }

  /// dx [samples][in.height][in.width][in.channels] from dy [samples][out_h][out_w][out_channels]; dx is overwritten.
  void run(const float* dy, float* dx, std::size_t samples, int threads = 1) const noexcept {
    if (!geometry_.valid()) return;
    if (depthwise_ && turned_) return forward_.run(dy, nullptr, dx, samples, threads);
    const auto rows = static_cast<std::size_t>(geometry_.in.height);
    const std::size_t row_macs = std::max<std::size_t>(1, geometry_.macs() / rows);
    const std::size_t grain = std::max<std::size_t>(1, 200000 / row_macs);
    parallel_for(samples * rows, grain, threads, [&](std::size_t begin, std::size_t end, int) {
      while (begin < end) {
        const std::size_t sample = begin / rows;
        const std::size_t stop = std::min(end, (sample + 1) * rows);
        const float* const from = dy + sample * geometry_.out().size();
        float* const to = dx + sample * geometry_.in.size();
        const int first = static_cast<int>(begin % rows);
        const int last = first + static_cast<int>(stop - begin);
        if (depthwise_)
          run_depthwise(from, to, first, last);
        else
          for (const Class& c : classes_) run_class(c, from, to, first, last);
        begin = stop;
      }
    });
  }

private:
  struct Class {
    int remainder_y = 0, remainder_x = 0;
    detail::BackwardAxis y, x;
    std::size_t weights = 0;  ///< offset of its packed weights
  };

  void plan(const ConvGeometry& g) {
    geometry_ = g;
    classes_.clear();
    block_ = static_cast<int>(std::min<long>(max_vectors, (g.group_in() + width - 1) / width)) * width;
    std::size_t size = 0;
    for (int ry = 0; ry < g.stride_h && ry < g.in.height; ++ry)
      for (int rx = 0; rx < g.stride_w && rx < g.in.width; ++rx) {
        Class c{ry, rx, detail::BackwardAxis(ry, g.in.height, g.kernel_h, g.stride_h, g.pad_h, g.dilation_h),
                detail::BackwardAxis(rx, g.in.width, g.kernel_w, g.stride_w, g.pad_w, g.dilation_w), size};
        size += class_weights(c);
        classes_.push_back(c);
      }
    packed_.assign(size, 0.0f);
  }
  [[nodiscard]] int blocks() const { return (geometry_.group_in() + block_ - 1) / block_; }
  [[nodiscard]] std::size_t block_weights(const Class& c) const {
    return static_cast<std::size_t>(c.y.taps) * static_cast<std::size_t>(c.x.taps) *
           static_cast<std::size_t>(geometry_.group_out()) * static_cast<std::size_t>(block_);
  }
  [[nodiscard]] std::size_t class_weights(const Class& c) const {
    return block_weights(c) * static_cast<std::size_t>(blocks()) * static_cast<std::size_t>(geometry_.groups);
  }

  /// [group][block of inputs][tap][output][input of the block], taps in the order in which outputs are gathered.
  void pack_class(const Class& c, std::span<const float> weights) {
    const ConvGeometry& g = geometry_;
    const int taps = g.kernel_h * g.kernel_w;
    // Where a tap of the kernel goes among the taps of this class, or -1.
    tap_order_.assign(static_cast<std::size_t>(taps), -1);
    for (int ty = 0; ty < c.y.taps; ++ty)
      for (int tx = 0; tx < c.x.taps; ++tx)
        tap_order_[static_cast<std::size_t>(c.y.kernel(ty) * g.kernel_w + c.x.kernel(tx))] = ty * c.x.taps + tx;
    const std::ptrdiff_t tap_size = static_cast<std::ptrdiff_t>(g.group_out()) * block_;
    float* to = packed_.data() + c.weights;
    for (int group = 0; group < g.groups; ++group)
      for (int b = 0; b < blocks(); ++b, to += block_weights(c))
        for (int o = 0; o < g.group_out(); ++o)
          for (int i = 0; i < block_; i += width) {
            const int input = b * block_ + i;
            const float* const from =
                weights.data() +
                (static_cast<std::ptrdiff_t>(group * g.group_out() + o) * g.group_in() + input) * taps;
            detail::for_taps<Arch>(from, taps, g.group_in() - input, taps, [&](int tap, V lanes) SPIQ_LAMBDA_INLINE {
              const int order = tap_order_[static_cast<std::size_t>(tap)];
              if (order >= 0) lanes.store(to + order * tap_size + static_cast<std::ptrdiff_t>(o) * block_ + i);
            });
          }
  }

  /// Input lines [first, last) of one class.
  void run_class(const Class& c, const float* dy, float* dx, int first, int last) const noexcept {
    const ConvGeometry& g = geometry_;
    const int j0 = std::max(0, (first - c.remainder_y + g.stride_h - 1) / g.stride_h);
    const int j1 = std::min(c.y.count, (last - c.remainder_y + g.stride_h - 1) / g.stride_h);
    const std::ptrdiff_t line = static_cast<std::ptrdiff_t>(g.stride_h) * g.in.width * g.in.channels;
    for (int group = 0; group < g.groups; ++group)
      for (int b = 0; b < blocks(); ++b) {
        const Line to{packed_.data() + c.weights +
                          block_weights(c) * (static_cast<std::size_t>(group) * static_cast<std::size_t>(blocks()) +
                                              static_cast<std::size_t>(b)),
                      dy + group * g.group_out(),
                      dx + (static_cast<std::ptrdiff_t>(c.remainder_y) * g.in.width + c.remainder_x) * g.in.channels +
                          group * g.group_in() + b * block_,
                      std::min(block_, g.group_in() - b * block_)};
        for (int j = j0; j < j1; ++j) {
          if (block_ == width)
            run_line<1>(c, to, j, line);
          else
            run_line<max_vectors>(c, to, j, line);
        }
      }
  }

  /// Where one line of a block of channels comes from and goes to.
  struct Line {
    const float* weights;
    const float* dy;
    float* dx;  ///< position (0, 0) of the class
    int channels;
  };

  /// Rows of the tiles that cover a line of n positions: what leaves the smallest rest, the largest of those.
  template <int NV>
  static constexpr int tile_rows(int n) noexcept {
    constexpr int sizes[] = {NV == 1 && wide ? 16 : 8, NV == 1 && wide ? 14 : 7, 8, 7, 6, 4};
    constexpr int largest = NV == 1 ? (wide ? 16 : 8) : (wide ? 8 : 6);
    int best = 0;
    for (const int m : sizes)
      if (m <= largest && m <= n && (best == 0 || n % m < n % best)) best = m;
    return best;
  }

  template <int NV>
  void run_line(const Class& c, const Line& to, int j, std::ptrdiff_t line) const noexcept {
    const int rows = tile_rows<NV>(c.x.count);
    for (int i = 0; i < c.x.count;) {
      const int left = c.x.count - i;
      const int m = rows > 0 && left >= rows ? rows : left >= 4 ? 4 : left >= 2 ? 2 : 1;
      const auto run = [&]<int MR>(std::integral_constant<int, MR>) { tile<MR, NV>(c, to, j, i, line); };
      if constexpr (wide && NV == 1) {
        if (m == 16) run(std::integral_constant<int, 16>{});
        if (m == 14) run(std::integral_constant<int, 14>{});
      }
      if constexpr (wide || NV == 1) {
        if (m == 8) run(std::integral_constant<int, 8>{});
        if (m == 7) run(std::integral_constant<int, 7>{});
      }
      if (m == 6) run(std::integral_constant<int, 6>{});
      if (m == 4) run(std::integral_constant<int, 4>{});
      if (m == 2) run(std::integral_constant<int, 2>{});
      if (m == 1) run(std::integral_constant<int, 1>{});
      i += m;
    }
  }

  /// Positions [i, i + MR) of line j.
  template <int MR, int NV>
  SPIQ_NOINLINE void tile(const Class& c, const Line& to, int j, int i, std::ptrdiff_t line) const noexcept {
    const ConvGeometry& g = geometry_;
    const int out_h = g.out_h(), out_w = g.out_w();
    const std::ptrdiff_t step = g.out_channels, inputs = g.group_out();
    const std::ptrdiff_t tap_weights = inputs * NV * width;
    const bool joined = c.x.dilation == 1 && g.groups == 1;
    V acc[MR][NV];
    SPIQ_UNROLL
    for (int r = 0; r < MR; ++r) SPIQ_UNROLL
    for (int v = 0; v < NV; ++v) acc[r][v] = V::zero();
    const float* w = to.weights;
    for (int ty = 0; ty < c.y.taps; ++ty, w += c.x.taps * tap_weights) {
      const int y = j + c.y.first + ty * c.y.dilation;
      if (y < 0 || y >= out_h) continue;
      if constexpr (MR >= 4 && MR * NV + 3 * NV + 2 <= simd::traits<Arch>::registers) {
        const int x = i + c.x.first;
        const bool first = x >= 0, last = x + MR + 2 <= out_w;
        if (c.x.taps == 3 && c.x.dilation == 1 && x >= -1 && x + MR + 1 <= out_w) {
          const float* const from = to.dy + (static_cast<std::ptrdiff_t>(y) * out_w + x) * step;
          if (first && last)
            detail::gather_three<Arch, true, true>(acc, from, step, w, tap_weights, inputs);
          else if (first)
            detail::gather_three<Arch, true, false>(acc, from, step, w, tap_weights, inputs);
          else if (last)
            detail::gather_three<Arch, false, true>(acc, from, step, w, tap_weights, inputs);
          else
            detail::gather_three<Arch, false, false>(acc, from, step, w, tap_weights, inputs);
          continue;
        }
      }
      for (int tx = 0; tx < c.x.taps;) {
        const int x = i + c.x.first + tx * c.x.dilation;
        const float* const from = to.dy + (static_cast<std::ptrdiff_t>(y) * out_w + x) * step;
        const float* const tap = w + tx * tap_weights;
        ++tx;
        if (x >= 0 && x + MR <= out_w) {
          int taps = 1;  // neighbours whose rows are all real continue the same run of inputs and of weights
          if (joined)
            for (; tx < c.x.taps && x + taps + MR <= out_w; ++tx) ++taps;
          detail::gather<Arch, 0, MR>(acc, from, step, tap, taps * inputs);
          continue;
        }
        if constexpr (MR > 1) {
          if (x == -1 && MR - 1 <= out_w) {
            detail::gather<Arch, 1, MR>(acc, from, step, tap, inputs);
            continue;
          }
          if (x >= 0 && x + MR == out_w + 1) {
            detail::gather<Arch, 0, MR - 1>(acc, from, step, tap, inputs);
            continue;
          }
        }
        detail::gather_rows<Arch>(acc, from, step, tap, inputs, std::max(0, -x), std::min(MR, out_w - x));
      }
    }
    float* p = to.dx + j * line + static_cast<std::ptrdiff_t>(i) * g.stride_w * g.in.channels;
    for (int r = 0; r < MR; ++r, p += static_cast<std::ptrdiff_t>(g.stride_w) * g.in.channels) {
      SPIQ_UNROLL
      for (int v = 0; v < NV; ++v) {
        const int lanes = to.channels - v * width;
        if (lanes >= width)
          acc[r][v].store(p + v * width);
        else
          acc[r][v].store_first(p + v * width, std::max(lanes, 0));
      }
    }
  }

  /// [tap][channel]; with stride 1 and no more padding than the kernel reaches, a forward convolution of dy instead,
  /// its kernel turned by half a turn.
  void pack_depthwise(std::span<const float> weights) {
    const ConvGeometry& g = geometry_;
    const auto channels = static_cast<std::size_t>(g.in.channels);
    const auto taps = static_cast<std::size_t>(g.kernel_h * g.kernel_w);
    const int reach_h = g.dilation_h * (g.kernel_h - 1), reach_w = g.dilation_w * (g.kernel_w - 1);
    packed_.resize(std::max(packed_.size(), channels * taps));
    turned_ = g.stride_h == 1 && g.stride_w == 1 && g.pad_h <= reach_h && g.pad_w <= reach_w;
    if (turned_) {
      for (std::size_t c = 0; c < channels; ++c)
        for (std::size_t t = 0; t < taps; ++t) packed_[c * taps + t] = weights[c * taps + taps - 1 - t];
      ConvGeometry forward = g;
      forward.in = g.out();
      forward.pad_h = reach_h - g.pad_h;
      forward.pad_w = reach_w - g.pad_w;
      forward_.pack(forward, std::span<const float>(packed_.data(), channels * taps));
      return;
    }
    for (std::size_t t = 0; t < taps; ++t)
      for (std::size_t c = 0; c < channels; ++c) packed_[t * channels + c] = weights[c * taps + t];
  }

  void run_depthwise(const float* dy, float* dx, int first, int last) const noexcept {
    const ConvGeometry& g = geometry_;
    const auto channels = static_cast<std::size_t>(g.in.channels);
    const int out_h = g.out_h(), out_w = g.out_w();
    for (int iy = first; iy < last; ++iy)
      for (int ix = 0; ix < g.in.width; ++ix) {
        float* const to = dx + (static_cast<std::size_t>(iy) * static_cast<std::size_t>(g.in.width) +
                                static_cast<std::size_t>(ix)) *
                                   channels;
        for (std::size_t c = 0; c < channels; c += width) {
          const int lanes = static_cast<int>(std::min<std::size_t>(width, channels - c));
          V total = V::zero();
          for (int ky = 0; ky < g.kernel_h; ++ky) {
            const int ny = iy + g.pad_h - ky * g.dilation_h;
            if (ny < 0 || ny % g.stride_h != 0 || ny / g.stride_h >= out_h) continue;
            for (int kx = 0; kx < g.kernel_w; ++kx) {
              const int nx = ix + g.pad_w - kx * g.dilation_w;
              if (nx < 0 || nx % g.stride_w != 0 || nx / g.stride_w >= out_w) continue;
              const std::size_t pixel = static_cast<std::size_t>(ny / g.stride_h) * static_cast<std::size_t>(out_w) +
                                        static_cast<std::size_t>(nx / g.stride_w);
              const float* const w = packed_.data() + static_cast<std::size_t>(ky * g.kernel_w + kx) * channels + c;
              const float* const d = dy + pixel * channels + c;
              total = lanes == width ? fma(V::load(w), V::load(d), total)
                                     : fma(V::load_first(w, lanes), V::load_first(d, lanes), total);
            }
          }
          total.store_first(to + c, lanes);
        }
      }
  }

  ConvGeometry geometry_{};
  std::vector<Class> classes_;
  std::vector<int> tap_order_;
  AlignedVector<float> packed_;
  int block_ = width;
  bool depthwise_ = false, turned_ = false;
  ConvForward<Arch> forward_;  ///< of a depthwise convolution that is turned
};

}  // namespace kernel

SPIQ_END_NAMESPACE
