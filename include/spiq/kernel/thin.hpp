/// @file
/// First layers: so few input channels that a copy of the map with its padding costs less than looking at borders.
#pragma once

#include <spiq/kernel/geometry.hpp>
#include <spiq/kernel/tile.hpp>

#include <algorithm>
#include <cstddef>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// Inputs that fit the copy, which lies on the stack.
inline constexpr int thin_inputs = 8192;

/// True where a band of input lines, enough for one output line, fits the copy and its taps are contiguous.
inline bool thin(const ConvGeometry& g) {
  return g.in.channels <= 4 && g.groups == 1 && g.dilation_h == 1 && g.dilation_w == 1 &&
         g.kernel_h * (g.in.width + 2 * g.pad_w) * g.in.channels <= thin_inputs;
}
/// Inputs of a copied line, padding included.
inline int thin_line(const ConvGeometry& g) { return (g.in.width + 2 * g.pad_w) * g.in.channels; }
/// Output lines that one copy serves.
inline int thin_band(const ConvGeometry& g) {
  return std::min(g.out_h(), (thin_inputs / thin_line(g) - g.kernel_h) / g.stride_h + 1);
}

/// Copies what the output lines [top, bottom) read of the map `x`, whose pixels lie `stride` apart.
template <class Input>
void copy_band(Input* to, const ConvGeometry& g, const Input* x, std::ptrdiff_t stride, int top, int bottom) noexcept {
  const int channels = g.in.channels, pad = g.pad_w * channels, inside = g.in.width * channels;
  const int first = top * g.stride_h - g.pad_h, lines = (bottom - top - 1) * g.stride_h + g.kernel_h;
  for (int y = first; y < first + lines; ++y, to += inside + 2 * pad) {
    if (y < 0 || y >= g.in.height) {
      std::fill_n(to, inside + 2 * pad, Input{});
      continue;
    }
    const Input* const from = x + static_cast<std::ptrdiff_t>(y) * g.in.width * stride;
    std::fill_n(to, pad, Input{});
    if (stride == channels)
      std::copy_n(from, inside, to + pad);
    else
      for (int i = 0; i < g.in.width; ++i) std::copy_n(from + i * stride, channels, to + pad + i * channels);
    std::fill_n(to + pad + inside, pad, Input{});
  }
}

/// One block of output channels of a band of float output lines.
struct ThinBlock {
  const float* band;     ///< as copy_band left it
  const float* weights;  ///< [kernel_h][kernel_w * channels][vectors][width]
  const float* bias;     ///< of the block, or null
  float* y;              ///< first output line, at the first channel of the block
  int lines;
};

/// Writes a block without a sink, MR outputs at a time, the last of a line overlapping the one before. The sums are
/// those of the tiles, bit for bit.
template <class Arch, int NV, int MR>
SPIQ_NOINLINE void thin_block(const ConvGeometry& g, const ThinBlock& b) noexcept {
  using Vec = typename simd::traits<Arch>::f32;
  const int out_w = g.out_w();
  const std::ptrdiff_t line = thin_line(g), step = g.stride_w * g.in.channels, out = g.out_channels;
  const std::ptrdiff_t run = g.kernel_w * g.in.channels;
  for (int oy = 0; oy < b.lines; ++oy)
    for (int x = 0; x < out_w; x += MR) {
      const int ox = std::min(x, out_w - MR);
      const float* row[MR];
      Vec acc[MR][NV];
      SPIQ_UNROLL
      for (int r = 0; r < MR; ++r) {
        row[r] = b.band + (oy * g.stride_h * line + (ox + r) * step);
        SPIQ_UNROLL
        for (int v = 0; v < NV; ++v) acc[r][v] = Vec::zero();
      }
      for (int ky = 0; ky < g.kernel_h; ++ky)
        accumulate<Arch, ElementF32, (1u << MR) - 1u>(acc, row, ky * line, b.weights + ky * run * (NV * Vec::width),
                                                      run);
      float* to = b.y + (static_cast<std::ptrdiff_t>(oy) * out_w + ox) * out;
      Vec add[NV];
      SPIQ_UNROLL
      for (int v = 0; v < NV; ++v) add[v] = b.bias == nullptr ? Vec::zero() : Vec::load(b.bias + v * Vec::width);
      SPIQ_UNROLL
      for (int r = 0; r < MR; ++r) {
        SPIQ_UNROLL
        for (int v = 0; v < NV; ++v) (acc[r][v] + add[v]).store(to + v * Vec::width);
        to += out;
      }
    }
}

}  // namespace kernel

SPIQ_END_NAMESPACE
