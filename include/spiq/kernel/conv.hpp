/// @file
/// Float convolution forward on dense NHWC maps: what training and plain inference call.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/parallel.hpp>
#include <spiq/kernel/depthwise_forward.hpp>
#include <spiq/kernel/packed_conv.hpp>

#include <cstddef>
#include <span>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// Sink that adds a bias and stores float rows of `stride` channels.
template <class Arch>
struct StoreRows {
  using Vec = typename simd::traits<Arch>::f32;
  float* y = nullptr;
  const float* bias = nullptr;  ///< one per channel, or null for none
  std::size_t stride = 0;

  template <int MR, int NV>
  SPIQ_INLINE void operator()(const Vec (&acc)[MR][NV], const TileAt& at) noexcept {
    float* const out = y + at.row * stride + static_cast<std::size_t>(at.channel);
    if (at.channels == NV * Vec::width) {  // nearly all tiles
      Vec add[NV];
      SPIQ_UNROLL
      for (int v = 0; v < NV; ++v)
        add[v] = bias == nullptr ? Vec::zero() : Vec::load(bias + at.channel + v * Vec::width);
      SPIQ_UNROLL
      for (int r = 0; r < MR; ++r) {
        if (r >= at.rows) return;
        SPIQ_UNROLL
        for (int v = 0; v < NV; ++v)
          (acc[r][v] + add[v]).store(out + static_cast<std::size_t>(r) * stride + v * Vec::width);
      }
      return;
    }
    for (int v = 0; v < NV; ++v) {
      const int n = at.channels - v * Vec::width;
      if (n <= 0) return;
      const Vec add = bias == nullptr ? Vec::zero() : Vec::load_first(bias + at.channel + v * Vec::width, n);
      for (int r = 0; r < at.rows; ++r)
        (acc[r][v] + add).store_first(out + static_cast<std::size_t>(r) * stride + v * Vec::width, n);
    }
  }
};

/// y[n, oy, ox, o] = bias[o] + sum over taps and inputs of x * w, on dense maps: x [samples, h, w, in],
/// y [samples, out_h, out_w, out]. Results do not depend on the number of threads.
template <class Arch = simd::best>
class ConvForward {
public:
  /// Packs weights [out, in / groups, kernel_h, kernel_w]; throws Error when sizes do not fit and then stays
  /// unchanged.
  void pack(const ConvGeometry& geometry, std::span<const float> weights) { conv_ = Conv(geometry, weights); }

  [[nodiscard]] const ConvGeometry& geometry() const noexcept { return conv_.geometry(); }

  /// Convolves `samples` maps; `bias` holds one value per output channel or is null. `threads` as in parallel_for.
  void run(const float* x, const float* bias, float* y, std::size_t samples, int threads = 1) const noexcept {
    const std::size_t blocks = conv_.blocks();
    SPIQ_ASSERT(blocks > 0);  // packed
    const bool by_sample = samples > 1;
    parallel_for(by_sample ? samples : blocks, 1, threads, [&](std::size_t begin, std::size_t end, int) {
      if (by_sample)
        run_part({x, bias, y, begin, end, 0, blocks});
      else
        run_part({x, bias, y, 0, samples, begin, end});
    });
  }

private:
  using Conv = PackedConv<Arch, ElementF32>;
  static constexpr int width = simd::traits<Arch>::width;
  struct Part {
    const float *x, *bias;
    float* y;
    std::size_t first_sample, last_sample, first_block, last_block;
  };

  void run_part(const Part& p) const noexcept {
    if (depthwise_direct(geometry()))
      run_depthwise(p);
    else if (thin(geometry()) && geometry().out_w() >= 8)
      run_thin(p);
    else
      run_tiles(p);
  }

  void run_tiles(const Part& p) const noexcept {
    StoreRows<Arch> sink{p.y, p.bias, static_cast<std::size_t>(geometry().out_channels)};
    conv_.run_blocks(p.x, static_cast<std::size_t>(geometry().in.channels), 1, p.first_sample, p.last_sample,
                     p.first_block, p.last_block, sink);
  }

  // Depthwise and first layers have so few multiply-adds per output that they write their outputs themselves; blocks
  // with a tail of channels go the common way.
  void run_depthwise(const Part& p) const noexcept {
    const ConvGeometry& g = geometry();
    alignas(storage_alignment) static constexpr float zeros[64] = {};
    for (std::size_t s = p.first_sample; s < p.last_sample; ++s)
      for (std::size_t i = p.first_block; i < p.last_block; ++i) {
        const auto& b = conv_.weights().blocks()[i];
        const DepthwiseLine line{p.x + s * g.in.size() + b.channel,
                                 conv_.weights().lanes(b),
                                 p.bias == nullptr ? nullptr : p.bias + b.channel,
                                 zeros,
                                 p.y + s * g.out().size() + b.channel,
                                 g.in.channels,
                                 static_cast<std::ptrdiff_t>(g.in.channels) * g.in.width * g.dilation_h,
                                 g.in.width};
        if (b.channels < b.vectors * width)
          run_tiles({p.x, p.bias, p.y, s, s + 1, i, i + 1});
        else if (b.vectors == depthwise_vectors<Arch>)
          depthwise_block<Arch, depthwise_vectors<Arch>>(g, line);
        else
          depthwise_block<Arch, 1>(g, line);
      }
  }

  void run_thin(const Part& p) const noexcept {
    const ConvGeometry& g = geometry();
    const int out_h = g.out_h(), out_w = g.out_w(), band = thin_band(g);
    const bool sevens = (out_w + 6) / 7 * 7 < (out_w + 7) / 8 * 8;  // fewer outputs computed twice
    alignas(storage_alignment) float copy[thin_inputs];
    for (std::size_t s = p.first_sample; s < p.last_sample; ++s) {
      for (int top = 0; top < out_h; top += band) {
        const int bottom = std::min(top + band, out_h);
        copy_band(copy, g, p.x + s * g.in.size(), g.in.channels, top, bottom);
        for (std::size_t i = p.first_block; i < p.last_block; ++i) {
          const auto& b = conv_.weights().blocks()[i];
          const ThinBlock block{
              copy, conv_.weights().lanes(b), p.bias == nullptr ? nullptr : p.bias + b.channel,
              p.y + s * g.out().size() + static_cast<std::ptrdiff_t>(top) * out_w * g.out_channels + b.channel,
              bottom - top};
          if (b.channels == b.vectors * width) thin_vectors(g, block, b.vectors, sevens);
        }
      }
      for (std::size_t i = p.first_block; i < p.last_block; ++i) {
        const auto& b = conv_.weights().blocks()[i];
        if (b.channels < b.vectors * width) run_tiles({p.x, p.bias, p.y, s, s + 1, i, i + 1});
      }
    }
  }
  static void thin_vectors(const ConvGeometry& g, const ThinBlock& block, int vectors, bool sevens) noexcept {
    constexpr int most = TileShape<Arch>::vectors;
    if constexpr (TileShape<Arch>::wide) {
      if (vectors == most)
        sevens ? thin_block<Arch, most, 7>(g, block) : thin_block<Arch, most, 8>(g, block);
      else
        sevens ? thin_block<Arch, 1, 7>(g, block) : thin_block<Arch, 1, 8>(g, block);
    } else {
      if (vectors == most)
        thin_block<Arch, most, 3>(g, block);
      else if (vectors == 2)
        thin_block<Arch, 2, 6>(g, block);
      else
        thin_block<Arch, 1, 6>(g, block);
    }
  }

  Conv conv_;
};

}  // namespace kernel

SPIQ_END_NAMESPACE
