/// @file
/// Winograd convolution F(4x4, 3x3): a quarter of the multiplications of the direct form, for f32 and stride 1.
#pragma once

#include <spiq/core/parallel.hpp>
#include <spiq/core/storage.hpp>
#include <spiq/kernel/conv.hpp>
#include <spiq/kernel/elementwise.hpp>
#include <spiq/kernel/gather.hpp>
#include <spiq/kernel/geometry.hpp>
#include <spiq/kernel/weight_lanes.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// True where Winograd applies at all: 3x3, stride 1, padding 1, no dilation, one group.
constexpr bool admits_winograd(const ConvGeometry& g) {
  return g.kernel_h == 3 && g.kernel_w == 3 && g.stride_h == 1 && g.stride_w == 1 && g.pad_h == 1 && g.pad_w == 1 &&
         g.dilation_h == 1 && g.dilation_w == 1 && g.groups == 1;
}

/// True where it is also the faster form for batches of `samples`: enough channels to pay for the transforms, maps
/// that do not waste half of the 4x4 tiles, and tiles enough to pay for reading weights four times as large. Results
/// differ from the direct form by rounding (about 1e-5 of the largest output), so layers that must agree bit for bit
/// with another implementation do not ask.
constexpr bool prefers_winograd(const ConvGeometry& g, std::size_t samples = 1) {
  if (!admits_winograd(g) || g.in.channels < 16 || g.out_channels < 16) return false;
  const Shape tiles{(g.in.height + 3) / 4, (g.in.width + 3) / 4, 16};
  return 2 * tiles.size() <= 3 * g.in.pixels() && samples * tiles.pixels() >= 4 &&
         (samples * tiles.pixels() >= 16 || g.weight_count() <= (std::size_t{1} << 20));
}

namespace detail {

/// d := B^T d, one column of six (Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016).
template <class V>
SPIQ_INLINE void winograd_input(V (&d)[6]) {
  const V two = V::broadcast(2), four = V::broadcast(4), five = V::broadcast(5);
  const V a = fma(V::broadcast(-4), d[2], d[4]), b = fma(V::broadcast(-4), d[1], d[3]);
  const V c = d[4] - d[2], e = two * (d[3] - d[1]);
  const V first = fma(four, d[0], fma(V::zero() - five, d[2], d[4]));
  const V last = fma(four, d[1], fma(V::zero() - five, d[3], d[5]));
  d[0] = first;
  d[1] = a + b;
  d[2] = a - b;
  d[3] = c + e;
  d[4] = c - e;
  d[5] = last;
}

/// o := A^T m, six to four.
template <class V>
SPIQ_INLINE void winograd_output(const V (&m)[6], V (&o)[4]) {
  const V a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];
  o[0] = m[0] + a + c;
  o[1] = fma(V::broadcast(2), d, b);
  o[2] = fma(V::broadcast(4), c, a);
  o[3] = fma(V::broadcast(8), d, b) + m[5];
}

/// u := G w, three to six.
template <class V>
SPIQ_INLINE void winograd_weights(const V (&w)[3], V (&u)[6]) {
  const V sum = V::broadcast(-1.0f / 6) * (w[0] + w[2]), middle = V::broadcast(1.0f / 6) * w[1];
  const V wide = fma(V::broadcast(1.0f / 24), w[0], V::broadcast(1.0f / 6) * w[2]),
          slope = V::broadcast(1.0f / 12) * w[1];
  u[0] = V::broadcast(0.25f) * w[0];
  u[1] = sum - middle;
  u[2] = sum + middle;
  u[3] = wide + slope;
  u[4] = wide - slope;
  u[5] = w[2];
}

}  // namespace detail

/// y = conv(x, w) for 3x3 kernels of stride 1 and padding 1: output tiles of 4x4 pixels from input tiles of 6x6.
/// Weights are transformed when packed; tiles go in chunks that stay in cache, each through 36 small products of the
/// register tile; transforms run over vectors of channels. Any height, width and number of channels.
/// Rounding: at most about 1e-4 of the largest output.
template <class Arch = simd::best>
class WinogradConv {
  using V = typename simd::traits<Arch>::f32;
  static constexpr int width = V::width;
  static constexpr bool wide = simd::traits<Arch>::registers >= 32;

public:
  WinogradConv() = default;
  WinogradConv(const ConvGeometry& g, std::span<const float> weights) { pack(g, weights); }

  /// Packs weights [out, in, 3, 3]. Throws spiq::Error unless admits_winograd(g); the object then stays unchanged.
  void pack(const ConvGeometry& g, std::span<const float> weights) { pack(g, weights, false); }

  /// Packs for the input gradient of the convolution `g` instead: `run` then takes dy [.., out] to dx [.., in].
  void pack_backward(const ConvGeometry& g, std::span<const float> weights) { pack(g, weights, true); }

  /// The geometry that `run` computes (channels exchanged after pack_backward).
  [[nodiscard]] const ConvGeometry& geometry() const { return geometry_; }
  [[nodiscard]] std::size_t packed_bytes() const { return 36 * matrix() * sizeof(float); }
  /// Floats of workspace that one worker needs.
  [[nodiscard]] std::size_t scratch_floats() const {
    return 36 * (input_plane() + output_plane()) + static_cast<std::size_t>(in_stride_);
  }

  /// Samples [first, last) of x (dense maps). The sink gets tiles of up to four pixels of one line by one vector of
  /// channels, each (row, channel) once; lines come in no promised order, so it must not carry state between them.
  /// Tiles are counted over all samples of the range: results do not depend on how ranges are cut.
  template <class Sink>
  void run(const float* x, std::size_t first, std::size_t last, Sink& sink, float* scratch) const noexcept {
    const std::size_t tiles = tiles_per_sample();
    run_tiles(x, first * tiles, last * tiles, sink, scratch);
  }

  /// y = conv(x, w) + bias (null: none) on dense maps x [samples][H][W][in], y [samples][H][W][out]. Allocates the
  /// workspace when it has not yet seen so many threads.
  void run(const float* x, const float* bias, float* y, std::size_t samples, int threads = 1) {
    SPIQ_ASSERT(geometry_.valid());  // packed
    const auto workers = static_cast<std::size_t>(threads <= 0 ? max_threads() : threads);
    if (workspace_.size() < workers * scratch_floats()) workspace_.resize(workers * scratch_floats());
    const auto chunk = static_cast<std::size_t>(chunk_);
    parallel_for(samples * tiles_per_sample(), chunk, threads, [&](std::size_t begin, std::size_t end, int worker) {
      StoreRows<Arch> sink{y, bias, static_cast<std::size_t>(geometry_.out_channels)};
      run_tiles(x, begin, end, sink, workspace_.data() + static_cast<std::size_t>(worker) * scratch_floats());
    });
  }

private:
  void pack(const ConvGeometry& g, std::span<const float> weights, bool backward) {
    check(g, weights.size());
    if (!admits_winograd(g))
      SPIQ_THROW("winograd convolution", "kernel 3x3, stride 1, padding 1, no dilation, one group", to_string(g));
    geometry_ = g;
    if (backward) std::swap(geometry_.in.channels, geometry_.out_channels);
    const int in = geometry_.in.channels, out = geometry_.out_channels;
    in_stride_ = round_up(in, width);
    vectors_ = out <= width ? 1 : 2;
    blocks_ = (out + block() - 1) / block();
    // A chunk's transformed maps stay in L2 beside some weights, but many tiles share each read of the weights.
    const int fit = 160 * 1024 / (36 * (in_stride_ + blocks_ * block())) / 8 * 8;
    chunk_ = std::clamp(fit, 16, 64);
    if (packed_.size() < 36 * matrix()) packed_.resize(36 * matrix());
    // [one of 36][block of outputs][input][output of the block].
    for (int co = 0; co < out; co += width)
      for (int ci = 0; ci < in; ++ci) {
        V w[9];
        const float* const from =
            weights.data() + static_cast<std::ptrdiff_t>(backward ? ci * out + co : co * in + ci) * 9;
        detail::for_taps<Arch>(from, backward ? 9 : in * 9, out - co, 9,
                               [&](int tap, V lanes) SPIQ_LAMBDA_INLINE { w[backward ? 8 - tap : tap] = lanes; });
        V half[6][3];
        SPIQ_UNROLL
        for (int j = 0; j < 3; ++j) {
          V u[6];
          const V column[3] = {w[j], w[3 + j], w[6 + j]};
          detail::winograd_weights(column, u);
          SPIQ_UNROLL
          for (int i = 0; i < 6; ++i) half[i][j] = u[i];
        }
        float* to =
            packed_.data() +
            (static_cast<std::size_t>(co / block()) * static_cast<std::size_t>(in) + static_cast<std::size_t>(ci)) *
                static_cast<std::size_t>(block()) +
            co % block();
        for (int i = 0; i < 6; ++i) {
          V u[6];
          detail::winograd_weights(half[i], u);
          SPIQ_UNROLL
          for (int j = 0; j < 6; ++j, to += matrix()) u[j].store(to);
        }
      }
  }

  [[nodiscard]] int block() const { return vectors_ * width; }
  [[nodiscard]] std::size_t matrix() const {
    return static_cast<std::size_t>(geometry_.in.channels * blocks_ * block()) + 16;
  }
  // Planes and matrices are a line longer than their contents: 36 of them would otherwise share a few sets of the
  // cache.
  [[nodiscard]] std::size_t input_plane() const { return static_cast<std::size_t>(chunk_ * in_stride_) + 16; }
  [[nodiscard]] std::size_t output_plane() const { return static_cast<std::size_t>(chunk_ * blocks_ * block()) + 16; }
  [[nodiscard]] int tiles_y() const { return (geometry_.in.height + 3) / 4; }
  [[nodiscard]] int tiles_x() const { return (geometry_.in.width + 3) / 4; }
  [[nodiscard]] std::size_t tiles_per_sample() const {
    return static_cast<std::size_t>(tiles_y()) * static_cast<std::size_t>(tiles_x());
  }

  template <class Sink>
  void run_tiles(const float* x, std::size_t begin, std::size_t end, Sink& sink, float* scratch) const noexcept {
    float* const zeros = scratch;
    float* const input = zeros + in_stride_;
    float* const output = input + 36 * input_plane();
    std::fill_n(zeros, in_stride_, 0.0f);
    for (std::size_t from = begin; from < end; from += static_cast<std::size_t>(chunk_)) {
      const int n = static_cast<int>(std::min(end - from, static_cast<std::size_t>(chunk_)));
      for (int t = 0; t < n; ++t)
        transform_input(x, from + static_cast<std::size_t>(t), zeros, input + t * in_stride_);
      for (int e = 0; e < 36; ++e)
        multiply(input + static_cast<std::size_t>(e) * input_plane(),
                 packed_.data() + static_cast<std::size_t>(e) * matrix(),
                 output + static_cast<std::size_t>(e) * output_plane(), n);
      for (int t = 0; t < n; ++t)
        transform_output(output + static_cast<std::ptrdiff_t>(t) * blocks_ * block(),
                         from + static_cast<std::size_t>(t), sink);
    }
  }

  struct Place {
    std::size_t sample;
    int y, x;
  };
  [[nodiscard]] Place place(std::size_t tile) const {
    const std::size_t r = tile % tiles_per_sample();
    const auto across = static_cast<std::size_t>(tiles_x());
    return {tile / tiles_per_sample(), static_cast<int>(r / across) * 4, static_cast<int>(r % across) * 4};
  }

  SPIQ_NOINLINE void transform_input(const float* x, std::size_t tile, const float* zeros, float* to) const noexcept {
    const Shape& in = geometry_.in;
    const Place at = place(tile);
    const float* const sample = x + at.sample * in.size();
    const float* pixel[36];
    for (int i = 0; i < 6; ++i)
      for (int j = 0; j < 6; ++j) {
        const int py = at.y + i - 1, px = at.x + j - 1;
        const bool real = py >= 0 && px >= 0 && py < in.height && px < in.width;
        pixel[i * 6 + j] = real ? sample + (static_cast<std::ptrdiff_t>(py) * in.width + px) * in.channels : zeros;
      }
    const std::size_t plane = input_plane();
    for_vectors<V>(0, static_cast<std::size_t>(in.channels), [&](auto access, std::size_t c) SPIQ_LAMBDA_INLINE {
      V half[6][6];
      for (int j = 0; j < 6; ++j) {
        V d[6];
        SPIQ_UNROLL
        for (int i = 0; i < 6; ++i) d[i] = access.template load<V>(pixel[i * 6 + j] + c);
        detail::winograd_input(d);
        SPIQ_UNROLL
        for (int i = 0; i < 6; ++i) half[i][j] = d[i];
      }
      float* p = to + c;
      for (int i = 0; i < 6; ++i) {
        detail::winograd_input(half[i]);
        SPIQ_UNROLL
        for (int j = 0; j < 6; ++j, p += plane) half[i][j].store(p);
      }
    });
  }

  /// output[tile][block] = input[tile] * weights[block].
  void multiply(const float* input, const float* weights, float* output, int n) const noexcept {
    for (int b = 0; b < blocks_; ++b) {
      const float* const w = weights + static_cast<std::ptrdiff_t>(b) * geometry_.in.channels * block();
      if (vectors_ == 1)
        multiply_rows<wide ? 16 : 8, 1>(input, w, output + b * block(), n, 0);
      else
        multiply_rows<wide ? 8 : 6, 2>(input, w, output + b * block(), n, 0);
    }
  }
  template <int MR, int NV>
  void multiply_rows(const float* input, const float* w, float* output, int n, int t) const noexcept {
    for (; t + MR <= n; t += MR)
      register_tile<MR, NV>(input + t * in_stride_, w, output + static_cast<std::ptrdiff_t>(t) * blocks_ * block());
    if constexpr (MR > 1) {
      if (t < n) multiply_rows<MR / 2, NV>(input, w, output, n, t);
    }
  }
  template <int MR, int NV>
  SPIQ_NOINLINE void register_tile(const float* input, const float* w, float* output) const noexcept {
    V acc[MR][NV];
    SPIQ_UNROLL
    for (int r = 0; r < MR; ++r) SPIQ_UNROLL
    for (int v = 0; v < NV; ++v) acc[r][v] = V::zero();
    detail::gather<Arch, 0, MR>(acc, input, in_stride_, w, geometry_.in.channels);
    const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>(blocks_) * block();
    SPIQ_UNROLL
    for (int r = 0; r < MR; ++r) SPIQ_UNROLL
    for (int v = 0; v < NV; ++v) acc[r][v].store(output + r * stride + v * width);
  }

  template <class Sink>
  SPIQ_NOINLINE void transform_output(const float* from, std::size_t tile, Sink& sink) const noexcept {
    const Place at = place(tile);
    const Shape out = geometry_.out();
    const std::size_t plane = output_plane();
    const int lines = std::min(4, out.height - at.y), pixels = std::min(4, out.width - at.x);
    const std::size_t row = at.sample * out.pixels() +
                            static_cast<std::size_t>(at.y) * static_cast<std::size_t>(out.width) +
                            static_cast<std::size_t>(at.x);
    for (int c = 0; c < out.channels; c += width) {
      V half[4][6];
      for (int j = 0; j < 6; ++j) {
        V m[6], o[4];
        SPIQ_UNROLL
        for (int i = 0; i < 6; ++i) m[i] = V::load(from + c + static_cast<std::size_t>(i * 6 + j) * plane);
        detail::winograd_output(m, o);
        SPIQ_UNROLL
        for (int i = 0; i < 4; ++i) half[i][j] = o[i];
      }
      for (int i = 0; i < lines; ++i) {
        V o[4];
        detail::winograd_output(half[i], o);
        const V acc[4][1] = {{o[0]}, {o[1]}, {o[2]}, {o[3]}};
        sink(acc, TileAt{row + static_cast<std::size_t>(i) * static_cast<std::size_t>(out.width), pixels, c,
                         std::min(width, out.channels - c)});
      }
    }
  }

  ConvGeometry geometry_{};
  int in_stride_ = 0, vectors_ = 2, blocks_ = 0, chunk_ = 16;
  AlignedVector<float> packed_, workspace_;
};

}  // namespace kernel

SPIQ_END_NAMESPACE
