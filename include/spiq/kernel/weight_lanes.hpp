/// @file
/// Reading weights in the field's layout [out, in, kernel_h, kernel_w] as vectors over outputs or over inputs.
#pragma once

#include <spiq/simd/transpose.hpp>

#include <algorithm>
#include <cstddef>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

namespace detail {

/// Calls f(tap, vector) for tap = 0 ... taps - 1, where lane l of the vector is from[l * stride + tap], and zero for
/// l >= lanes: whole squares are transposed in registers instead of gathering lane by lane.
template <class Arch, class F>
SPIQ_INLINE void for_taps(const float* from, std::ptrdiff_t stride, int lanes, int taps, const F& f) {
  using V = typename simd::traits<Arch>::f32;
  constexpr int width = V::width;
  for (int first = 0; first < taps; first += width) {
    const int count = std::min(width, taps - first);
    V square[width];
    if (lanes >= width) {
      SPIQ_UNROLL
      for (int l = 0; l < width; ++l) square[l] = V::load_first(from + l * stride + first, count);
    } else {
      for (int l = 0; l < width; ++l)
        square[l] = l < lanes ? V::load_first(from + l * stride + first, count) : V::zero();
    }
    simd::transpose<Arch>(square);
    for (int i = 0; i < count; ++i) f(first + i, square[i]);
  }
}

}  // namespace detail

}  // namespace kernel

SPIQ_END_NAMESPACE
