/// @file
/// The register tile of weight gradients: inputs (broadcast) by vectors of output gradients, summed over pixels.
#pragma once

#include <spiq/kernel/elementwise.hpp>
#include <spiq/simd/simd.hpp>

#include <algorithm>
#include <cstddef>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

namespace detail {

/// The pixels that one tile of weight gradients sums over, and how both operands step through them (in floats).
struct GradientWalk {
  std::size_t samples = 0;
  int rows = 0, columns = 0;  ///< output pixels whose tap is real
  std::ptrdiff_t x_sample = 0, dy_sample = 0;
  std::ptrdiff_t x_row = 0, dy_row = 0;
  std::ptrdiff_t x_column = 0, dy_column = 0;
  std::ptrdiff_t x_segment = 0;  ///< between the segments of a tile
};

/// Hides where a pointer comes from. Overlapping reads of successive pixels would otherwise be carried from one round
/// of the loop to the next in registers that the accumulators need.
SPIQ_INLINE const float* opaque(const float* p) {
#if defined(__GNUC__)
  asm("" : "+r"(p));
#endif
  return p;
}

/// out[s * MR + m][v] = (or with `add`, +=) sum over the walk of x[s * x_segment + m] * dy[v * width ...]: Segments *
/// MR rows of weights by NV vectors of output channels; rows of `out` lie `stride` floats apart. With Unroll > 1,
/// x_column must be Step: pixels are then taken Unroll at a time and each input is broadcast once for all of them
/// that read it.
template <class Arch, int Segments, int MR, int NV, int Step, int Unroll>
SPIQ_NOINLINE void gradient_tile(const GradientWalk& walk, const float* x, const float* dy, float* out,
                                 std::ptrdiff_t stride, bool add) noexcept {
  using V = typename simd::traits<Arch>::f32;
  // Small tiles sum even and odd pixels apart: too few chains would wait for their own results.
  constexpr int sets = Unroll > 1 && Segments * MR * NV <= 10 ? 2 : 1;
  V acc[sets * Segments * MR][NV];
  SPIQ_UNROLL
  for (int m = 0; m < sets * Segments * MR; ++m) SPIQ_UNROLL
  for (int v = 0; v < NV; ++v) acc[m][v] = V::zero();
  const std::ptrdiff_t dy_column = walk.dy_column, segment = walk.x_segment;
  const std::ptrdiff_t x_column = Step > 0 ? Step : walk.x_column;
  const auto pixels = [&]<int U>(std::integral_constant<int, U>, const float* from, const float* gradient)
                          SPIQ_LAMBDA_INLINE {
                            V g[U][NV];
                            SPIQ_UNROLL
                            for (int u = 0; u < U; ++u) SPIQ_UNROLL
                            for (int v = 0; v < NV; ++v) g[u][v] = V::load(gradient + u * dy_column + v * V::width);
                            SPIQ_UNROLL
                            for (int d = 0; d < (U - 1) * Step + MR; ++d) SPIQ_UNROLL
                            for (int s = 0; s < Segments; ++s) {
                              const V input = V::broadcast(from[s * segment + d]);
                              SPIQ_UNROLL
                              for (int u = 0; u < U; ++u) {
                                const int m = d - u * Step;
                                if (m < 0 || m >= MR) continue;
                                SPIQ_UNROLL
                                for (int v = 0; v < NV; ++v) {
                                  V& sum = acc[(u % sets * Segments + s) * MR + m][v];
                                  sum = fma(input, g[u][v], sum);
                                }
                              }
                            }
                          };
  for (std::size_t sample = 0; sample < walk.samples; ++sample) {
    const float* x_row = x + static_cast<std::ptrdiff_t>(sample) * walk.x_sample;
    const float* dy_row = dy + static_cast<std::ptrdiff_t>(sample) * walk.dy_sample;
    for (int row = 0; row < walk.rows; ++row, x_row += walk.x_row, dy_row += walk.dy_row) {
      const float* from = x_row;
      const float* gradient = dy_row;
      int column = 0;
      if constexpr (Unroll > 1)
        for (; column + Unroll <= walk.columns;
             column += Unroll, from += Unroll * x_column, gradient += Unroll * dy_column)
          pixels(std::integral_constant<int, Unroll>{}, opaque(from), gradient);
      for (; column < walk.columns; ++column, from += x_column, gradient += dy_column)
        pixels(std::integral_constant<int, 1>{}, opaque(from), gradient);
    }
  }
  SPIQ_UNROLL
  for (int m = 0; m < Segments * MR; ++m) SPIQ_UNROLL
  for (int v = 0; v < NV; ++v) {
    float* const to = out + m * stride + v * V::width;
    const V sum = sets == 2 ? acc[m][v] + acc[(sets - 1) * Segments * MR + m][v] : acc[m][v];
    (add ? V::load(to) + sum : sum).store(to);
  }
}

/// out[c] += sum over the walk (of one sample) of x[c] * dy[c] for NV vectors of channels; Chains pixels are summed
/// apart, so that few vectors need not wait for their own results.
template <class Arch, int NV, int Chains, class Access>
SPIQ_NOINLINE void pointwise_gradient(Access access, const GradientWalk& walk, const float* x, const float* dy,
                                      float* out) noexcept {
  using V = typename simd::traits<Arch>::f32;
  V acc[Chains][NV];
  SPIQ_UNROLL
  for (int k = 0; k < Chains; ++k) SPIQ_UNROLL
  for (int v = 0; v < NV; ++v) acc[k][v] = V::zero();
  const auto pixels = [&]<int N>(std::integral_constant<int, N>, const float* from,
                                 const float* gradient) SPIQ_LAMBDA_INLINE {
    SPIQ_UNROLL
    for (int k = 0; k < N; ++k) SPIQ_UNROLL
    for (int v = 0; v < NV; ++v)
      acc[k][v] = fma(access.template load<V>(from + k * walk.x_column + v * V::width),
                      access.template load<V>(gradient + k * walk.dy_column + v * V::width), acc[k][v]);
  };
  for (int row = 0; row < walk.rows; ++row, x += walk.x_row, dy += walk.dy_row) {
    const float* from = x;
    const float* gradient = dy;
    int column = 0;
    for (; column + Chains <= walk.columns;
         column += Chains, from += Chains * walk.x_column, gradient += Chains * walk.dy_column)
      pixels(std::integral_constant<int, Chains>{}, from, gradient);
    for (; column < walk.columns; ++column, from += walk.x_column, gradient += walk.dy_column)
      pixels(std::integral_constant<int, 1>{}, from, gradient);
  }
  SPIQ_UNROLL
  for (int v = 0; v < NV; ++v) {
    V total = acc[0][v];
    SPIQ_UNROLL
    for (int k = 1; k < Chains; ++k) total = total + acc[k][v];
    (V::load(out + v * V::width) + total).store(out + v * V::width);
  }
}

/// Output positions [first, last) whose tap `k` reads a real input position.
struct RealRange {
  int first, last;
  RealRange(int k, int in, int out, int stride, int pad, int dilation) {
    const int shift = k * dilation - pad;  // input = output * stride + shift
    first = shift >= 0 ? 0 : (-shift + stride - 1) / stride;
    last = in - 1 - shift >= 0 ? std::min(out, (in - 1 - shift) / stride + 1) : 0;
    if (last < first) last = first;
  }
};

}  // namespace detail

}  // namespace kernel

SPIQ_END_NAMESPACE
