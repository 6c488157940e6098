/// @file
/// Inner loops of register tiles whose rows lie evenly spaced in memory: rows (broadcast) by vectors of weights.
#pragma once

#include <spiq/simd/simd.hpp>

#include <cstddef>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

namespace detail {

/// acc[r] += sum over k < n of x[r * step + k] * w[k], for rows First <= r < Last; w lies as [k][NV][width].
/// Rows hang on every third pointer, so that sixteen of them need no more registers than a processor has.
template <class Arch, int First, int Last, int MR, int NV>
SPIQ_INLINE void gather(typename simd::traits<Arch>::f32 (&acc)[MR][NV], const float* x, std::ptrdiff_t step,
                        const float* w, std::ptrdiff_t n) {
  using V = typename simd::traits<Arch>::f32;
  constexpr int thirds = (MR + 2) / 3;
  const float* base[thirds];
  SPIQ_UNROLL
  for (int i = 0; i < thirds; ++i) base[i] = x + 3 * i * step;
  const std::ptrdiff_t offset[3] = {0, step, 2 * step};
  for (std::ptrdiff_t k = 0; k < n; ++k) {
    V weight[NV];
    SPIQ_UNROLL
    for (int v = 0; v < NV; ++v) weight[v] = V::load(w + v * V::width);
    SPIQ_UNROLL
    for (int r = First; r < Last; ++r) {
      const V input = V::broadcast(base[r / 3][offset[r % 3]]);
      SPIQ_UNROLL
      for (int v = 0; v < NV; ++v) acc[r][v] = fma(input, weight[v], acc[r][v]);
    }
    w += NV * V::width;
    SPIQ_UNROLL
    for (int i = 0; i < thirds; ++i) ++base[i];
  }
}

/// Three adjacent taps at once: acc[r] += sum over t < 3 and k < n of x[(r + t) * step + k] * w[t * tap + k]. Each
/// input is broadcast once for the up to three rows that it reaches. Without the first or the last of the MR + 2
/// columns when that one lies in the padding.
template <class Arch, bool First, bool Last, int MR, int NV>
SPIQ_INLINE void gather_three(typename simd::traits<Arch>::f32 (&acc)[MR][NV], const float* x, std::ptrdiff_t step,
                              const float* w, std::ptrdiff_t tap, std::ptrdiff_t n) {
  using V = typename simd::traits<Arch>::f32;
  constexpr int columns = MR + 2;
  constexpr int thirds = (columns + 2) / 3;
  const float* base[thirds];
  SPIQ_UNROLL
  for (int i = 0; i < thirds; ++i) base[i] = x + 3 * i * step;
  const std::ptrdiff_t offset[3] = {0, step, 2 * step};
  for (std::ptrdiff_t k = 0; k < n; ++k) {
    V weight[3][NV];
    SPIQ_UNROLL
    for (int t = 0; t < 3; ++t) SPIQ_UNROLL
    for (int v = 0; v < NV; ++v) weight[t][v] = V::load(w + t * tap + v * V::width);
    SPIQ_UNROLL
    for (int d = First ? 0 : 1; d < (Last ? columns : columns - 1); ++d) {
      const V input = V::broadcast(base[d / 3][offset[d % 3]]);
      SPIQ_UNROLL
      for (int t = 0; t < 3; ++t) {
        if (d < t || d - t >= MR) continue;
        SPIQ_UNROLL
        for (int v = 0; v < NV; ++v) acc[d - t][v] = fma(input, weight[t][v], acc[d - t][v]);
      }
    }
    w += NV * V::width;
    SPIQ_UNROLL
    for (int i = 0; i < thirds; ++i) ++base[i];
  }
}

/// The same for rows [first, last) of a tile, one after the other: for taps that leave few rows of a tile.
template <class Arch, int MR, int NV>
SPIQ_INLINE void gather_rows(typename simd::traits<Arch>::f32 (&acc)[MR][NV], const float* x, std::ptrdiff_t step,
                             const float* w, std::ptrdiff_t n, int first, int last) {
  using V = typename simd::traits<Arch>::f32;
  SPIQ_UNROLL
  for (int r = 0; r < MR; ++r) {
    if (r < first || r >= last) continue;
    for (std::ptrdiff_t k = 0; k < n; ++k) SPIQ_UNROLL
    for (int v = 0; v < NV; ++v)
      acc[r][v] = fma(V::broadcast(x[r * step + k]), V::load(w + (k * NV + v) * V::width), acc[r][v]);
  }
}

}  // namespace detail

}  // namespace kernel

SPIQ_END_NAMESPACE
