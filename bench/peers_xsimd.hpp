// Loops as a user of xsimd writes them: four vectors at a time, so that their latencies overlap.
#pragma once

#include <spiq/core/abi.hpp>

#include <xsimd/xsimd.hpp>

#include <cstddef>

namespace bench {

/// store(compute(i), i) for every vector of `width` values that starts at i; n is a multiple of 4 width.
template <std::size_t width, class Compute, class Store>
void four_vectors(std::size_t n, const Compute& compute, const Store& store) {
  for (std::size_t i = 0; i < n; i += 4 * width) {
    decltype(compute(i)) v[4];
    SPIQ_UNROLL
    for (std::size_t k = 0; k < 4; ++k) v[k] = compute(i + k * width);
    SPIQ_UNROLL
    for (std::size_t k = 0; k < 4; ++k) store(v[k], i + k * width);
  }
}

/// y = f(x) of n values, f on batches; n is a multiple of four batches.
template <class T, class F>
void xsimd_map(const T* x, T* y, std::size_t n, const F& f) {
  using B = xsimd::batch<T>;
  four_vectors<B::size>(
      n, [&](std::size_t i) { return f(B::load_unaligned(x + i)); },
      [&](const B& v, std::size_t i) { v.store_unaligned(y + i); });
}

}  // namespace bench
