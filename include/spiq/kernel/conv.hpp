/// @file
/// Float convolution forward on dense NHWC maps: what training and plain inference call.
#pragma once

#include <spiq/core/parallel.hpp>
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
    const bool whole = at.channels == NV * Vec::width;
    Vec add[NV];
    SPIQ_UNROLL
    for (int v = 0; v < NV; ++v) {
      const int n = at.channels - v * Vec::width;
      if (bias == nullptr)
        add[v] = Vec::zero();
      else
        add[v] = whole ? Vec::load(bias + at.channel + v * Vec::width) : Vec::load_first(bias + at.channel + v * Vec::width, n);
    }
    SPIQ_UNROLL
    for (int r = 0; r < MR; ++r) {
      if (r >= at.rows) return;
      float* const row = out + static_cast<std::size_t>(r) * stride;
      SPIQ_UNROLL
      for (int v = 0; v < NV; ++v) {
        const Vec value = acc[r][v] + add[v];
        if (whole)
          value.store(row + v * Vec::width);
        else
          value.store_first(row + v * Vec::width, at.channels - v * Vec::width);
      }
    }
  }
};

/// y[n, oy, ox, o] = bias[o] + sum over taps and inputs of x * w, on dense maps: x [samples, h, w, in],
/// y [samples, out_h, out_w, out]. Results do not depend on the number of threads.
template <class Arch = simd::best>
class ConvForward {
public:
  /// Packs weights [out, in / groups, kernel_h, kernel_w]; throws Error when sizes do not fit and then stays unchanged.
  void pack(const ConvGeometry& geometry, std::span<const float> weights) {
    conv_ = PackedConv<Arch, ElementF32>(geometry, weights);
  }

  [[nodiscard]] const ConvGeometry& geometry() const noexcept { return conv_.geometry(); }

  /// Convolves `samples` maps; `bias` holds one value per output channel or is null. `threads` as in parallel_for.
  void run(const float* x, const float* bias, float* y, std::size_t samples, int threads = 1) const noexcept {
    const std::size_t channels = static_cast<std::size_t>(geometry().in.channels);
    const std::size_t blocks = conv_.blocks();
    const bool by_sample = samples > 1;
    parallel_for(by_sample ? samples : blocks, 1, threads, [&](std::size_t begin, std::size_t end, int) {
      StoreRows<Arch> sink{y, bias, static_cast<std::size_t>(geometry().out_channels)};
      if (by_sample)
        conv_.run(x, channels, 1, begin, end, sink);
      else
        conv_.run_blocks(x, channels, 1, 0, samples, begin, end, sink);
    });
  }

private:
  PackedConv<Arch, ElementF32> conv_;
};

}  // namespace kernel

SPIQ_END_NAMESPACE
