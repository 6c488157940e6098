/// @file
/// Register tiles of depthwise convolutions: one input channel per output channel, lanes are channels.
#pragma once

#include <spiq/kernel/tile.hpp>

#include <cstddef>
#include <cstdint>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// Vectors of channels per depthwise tile: accumulators, a row of three taps and an input fit the registers.
template <class Arch>
inline constexpr int depthwise_vectors = TileShape<Arch>::wide ? 2 : 1;

namespace detail {
/// Loads NV vectors of channels, of the last (and only) one just `channels` if it is a tail.
template <class Arch, bool Tail>
SPIQ_INLINE typename simd::traits<Arch>::f32 load_channels(const float* p, int v, int channels) {
  using Vec = typename simd::traits<Arch>::f32;
  if constexpr (Tail)
    return Vec::load_first(p, channels);
  else
    return Vec::load(p + v * Vec::width);
}

/// Three horizontally adjacent taps, stride 1: every input is loaded once per line for the three outputs that it
/// meets.
template <class Arch, bool Tail, bool Interior, int Rows, int NV, int Max>
SPIQ_INLINE void fill_depthwise3(typename simd::traits<Arch>::f32 (&acc)[Rows][NV], const Taps& taps,
                                 const TileRows<Max>& at, int y, const float* x, std::ptrdiff_t base, const float* w,
                                 const float* zeros, int channels) {
  using Vec = typename simd::traits<Arch>::f32;
  for (int ky = 0; ky < taps.kernel_h; ++ky, w += 3 * NV * Vec::width) {
    const int line = y + ky * taps.dilation_h;
    if (static_cast<std::uint32_t>(line) >= static_cast<std::uint32_t>(taps.in_h)) continue;
    Vec weight[3][NV];
    SPIQ_UNROLL
    for (int kx = 0; kx < 3; ++kx) SPIQ_UNROLL
    for (int v = 0; v < NV; ++v) weight[kx][v] = Vec::load(w + (kx * NV + v) * Vec::width);
    const float* const first = x + (at.offset[0] + base + ky * taps.step_y);
    SPIQ_UNROLL
    for (int column = 0; column < Rows + 2; ++column) {
      const bool real =
          Interior || static_cast<std::uint32_t>(at.x[0] + column) < static_cast<std::uint32_t>(taps.in_w);
      const float* const from = real ? first + column * taps.step_x : zeros;
      Vec input[NV];
      SPIQ_UNROLL
      for (int v = 0; v < NV; ++v) input[v] = load_channels<Arch, Tail>(from, v, channels);
      SPIQ_UNROLL
      for (int kx = 0; kx < 3; ++kx) {
        const int r = column - kx;
        if (r >= 0 && r < Rows) SPIQ_UNROLL
        for (int v = 0; v < NV; ++v) acc[r][v] = simd::fma(input[v], weight[kx][v], acc[r][v]);
      }
    }
  }
}
}  // namespace detail

/// Fills a tile of Rows rows by NV vectors of channels: acc = sum over taps of x * w, per channel. `at`, `y`, `x` and
/// `base` as for fill_tile; weights lie as [tap][NV][width]; `zeros` holds a tile's width of zeros. With `Tail`, only
/// `channels` channels exist.
template <class Arch, bool Tail, int Rows, int NV, int Max>
SPIQ_INLINE void fill_depthwise(typename simd::traits<Arch>::f32 (&out)[Rows][NV], const Taps& taps,
                                const TileRows<Max>& at, int y, const float* x, std::ptrdiff_t base, const float* w,
                                const float* zeros, int channels) {
  using Vec = typename simd::traits<Arch>::f32;
  static_assert(!Tail || NV == 1);
  Vec acc[Rows][NV];
  SPIQ_UNROLL
  for (int r = 0; r < Rows; ++r) SPIQ_UNROLL
  for (int v = 0; v < NV; ++v) acc[r][v] = Vec::zero();
  if (taps.adjacent && at.one_line && taps.kernel_w == 3) {
    // Rows beyond the real ones are computed as if the line went on, so they count here.
    if (at.x[0] >= 0 && at.x[0] + Rows + 2 <= taps.in_w)
      detail::fill_depthwise3<Arch, Tail, true>(acc, taps, at, y, x, base, w, zeros, channels);
    else
      detail::fill_depthwise3<Arch, Tail, false>(acc, taps, at, y, x, base, w, zeros, channels);
  } else {
    for (int ky = 0; ky < taps.kernel_h; ++ky) {
      const std::uint32_t lines =
          at.one_line ? ~std::uint32_t{0} : detail::inside(at.y, Rows, y + ky * taps.dilation_h, taps.in_h);
      const int line = y + ky * taps.dilation_h;
      const bool skip = at.one_line && static_cast<std::uint32_t>(line) >= static_cast<std::uint32_t>(taps.in_h);
      for (int kx = 0; kx < taps.kernel_w; ++kx, w += NV * Vec::width) {
        if (skip) continue;
        const std::uint32_t mask = lines & detail::inside(at.x, Rows, kx * taps.dilation_w, taps.in_w);
        const std::ptrdiff_t start = base + ky * taps.step_y + kx * taps.step_x;
        SPIQ_UNROLL
        for (int r = 0; r < Rows; ++r) {
          const float* const from = ((mask >> r) & 1u) != 0 ? x + (at.offset[r] + start) : zeros;
          SPIQ_UNROLL
          for (int v = 0; v < NV; ++v)
            acc[r][v] = simd::fma(detail::load_channels<Arch, Tail>(from, v, channels), Vec::load(w + v * Vec::width),
                                  acc[r][v]);
        }
      }
    }
  }
  SPIQ_UNROLL
  for (int r = 0; r < Rows; ++r) SPIQ_UNROLL
  for (int v = 0; v < NV; ++v) out[r][v] = acc[r][v];
}

}  // namespace kernel

SPIQ_END_NAMESPACE
