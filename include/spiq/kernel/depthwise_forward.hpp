/// @file
/// Depthwise convolution forward without a sink: three horizontal taps, horizontal stride 1, float maps.
///
/// Nine multiply-adds per output leave no time for handing tiles over, so these write their outputs themselves.
#pragma once

#include <spiq/kernel/geometry.hpp>
#include <spiq/simd/simd.hpp>

#include <algorithm>
#include <cstddef>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// One block of channels of dense maps: y = bias + sum over taps of x * w.
struct DepthwiseLine {
  const float* x;              ///< sample, at the first channel of the block
  const float* weights;        ///< [kernel_h][3][vectors][width]
  const float* bias;           ///< of the block, or null
  const float* zeros;          ///< a tile's width of zeros
  float* y;                    ///< sample, at the first channel of the block
  std::ptrdiff_t pixel, line;  ///< floats between pixels, and between input lines of adjacent taps
  int in_w;
};

namespace detail {
/// Eight outputs: `taps` lines of inputs from `from` on, which is column `left` and may lie in the padding.
template <class Arch, int NV, bool Interior>
SPIQ_INLINE void depthwise_tile(const DepthwiseLine& s, const float* from, const float* w, int taps, int left,
                                float* out) noexcept {
  using Vec = typename simd::traits<Arch>::f32;
  constexpr int rows = 8;
  const std::ptrdiff_t pixel = s.pixel;
  Vec acc[rows][NV];
  SPIQ_UNROLL
  for (int r = 0; r < rows; ++r) SPIQ_UNROLL
  for (int v = 0; v < NV; ++v) acc[r][v] = Vec::zero();
  for (int ky = 0; ky < taps; ++ky) {
    Vec weight[3][NV];
    SPIQ_UNROLL
    for (int kx = 0; kx < 3; ++kx) SPIQ_UNROLL
    for (int v = 0; v < NV; ++v) weight[kx][v] = Vec::load(w + (kx * NV + v) * Vec::width);
    const float* p = from;
    SPIQ_UNROLL
    for (int column = 0; column < rows + 2; ++column) {
      const bool real = Interior || static_cast<unsigned>(left + column) < static_cast<unsigned>(s.in_w);
      const float* const q = real ? p : s.zeros;
      SPIQ_UNROLL
      for (int v = 0; v < NV; ++v) {
        const Vec input = Vec::load(q + v * Vec::width);
        SPIQ_UNROLL
        for (int kx = 0; kx < 3; ++kx) {
          const int r = column - kx;
          if (r >= 0 && r < rows) acc[r][v] = simd::fma(input, weight[kx][v], acc[r][v]);
        }
      }
      p += pixel;
    }
    from += s.line;
    w += 3 * NV * Vec::width;
  }
  // The tiles below read one line more: too far apart for the machine to foresee.
  SPIQ_UNROLL
  for (int r = 0; r < rows; ++r) {
    simd::prefetch(from);
    if (NV * Vec::width > 16) simd::prefetch(from + 16);
    from += pixel;
  }
  Vec add[NV];
  SPIQ_UNROLL
  for (int v = 0; v < NV; ++v) add[v] = s.bias == nullptr ? Vec::zero() : Vec::load(s.bias + v * Vec::width);
  SPIQ_UNROLL
  for (int r = 0; r < rows; ++r) {
    SPIQ_UNROLL
    for (int v = 0; v < NV; ++v) (acc[r][v] + add[v]).store(out + v * Vec::width);
    out += pixel;
  }
}
}  // namespace detail

/// True where `depthwise_block` knows the geometry.
inline bool depthwise_direct(const ConvGeometry& g) {
  return g.groups > 1 && g.groups == g.in.channels && g.groups == g.out_channels && g.kernel_w == 3 &&
         g.stride_w == 1 && g.dilation_w == 1 && g.out_w() >= 8;
}

/// All outputs of one sample for NV vectors of channels; the last tile of a line may overlap the one before.
template <class Arch, int NV>
SPIQ_NOINLINE void depthwise_block(const ConvGeometry& g, const DepthwiseLine& s) noexcept {
  constexpr int tap_weights = 3 * NV * simd::traits<Arch>::width;
  const int out_h = g.out_h(), out_w = g.out_w();
  const std::ptrdiff_t in_line = s.pixel * g.in.width;
  for (int oy = 0; oy < out_h; ++oy) {
    const int top = oy * g.stride_h - g.pad_h;
    int first = 0, last = g.kernel_h;
    while (first < last && top + first * g.dilation_h < 0) ++first;
    while (last > first && top + (last - 1) * g.dilation_h >= g.in.height) --last;
    const float* const w = s.weights + first * tap_weights;
    const std::ptrdiff_t start = (top + first * g.dilation_h) * in_line;
    float* const out = s.y + oy * (s.pixel * out_w);
    for (int x = 0; x < out_w; x += 8) {
      const int ox = std::min(x, out_w - 8), left = ox - g.pad_w;
      const float* const from = s.x + (start + left * s.pixel);
      if (left >= 0 && left + 10 <= g.in.width)
        detail::depthwise_tile<Arch, NV, true>(s, from, w, last - first, left, out + ox * s.pixel);
      else
        detail::depthwise_tile<Arch, NV, false>(s, from, w, last - first, left, out + ox * s.pixel);
    }
  }
}

}  // namespace kernel

SPIQ_END_NAMESPACE
