/// @file
/// Arrays of float16 and bfloat16: conversion from and to float, and maps computed in float.
#pragma once

#include <spiq/core/parallel.hpp>
#include <spiq/kernel/elementwise.hpp>
#include <spiq/simd/half.hpp>

#include <algorithm>
#include <cstddef>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

namespace detail {
/// Conversions for `map_16`.
template <class Arch>
struct Convert {
  using V = typename simd::traits<Arch>::f32;
  SPIQ_INLINE V operator()(const float* from) const { return V::load(from); }
  template <class Half>
  SPIQ_INLINE V operator()(const Half* from) const {
    return simd::load_wide<Arch>(from);
  }
  SPIQ_INLINE void store(V v, float* to) const { v.store(to); }
  template <class Half>
  SPIQ_INLINE void store(V v, Half* to) const {
    simd::store_narrow(v, to);
  }
};

/// y[i] = f(x[i]) where numbers of 16 bits come in or go out: `f(from)` reads a vector, `f.store(v, to)` writes one.
template <class Arch, class From, class To, class F>
void map_16(const From* x, To* y, std::size_t n, const F& function, int threads) noexcept {
  parallel_for(n, map_grain, threads, [&function, x, y](std::size_t begin, std::size_t end, int) {
    using V = typename simd::traits<Arch>::f32;
    const F f = function;
    constexpr std::size_t width = V::width, block = 4;
    std::size_t i = begin;
    for (; i + block * width <= end; i += block * width) {
      V value[block];
      SPIQ_UNROLL
      for (std::size_t v = 0; v < block; ++v) value[v] = f(x + i + v * width);
      SPIQ_UNROLL
      for (std::size_t v = 0; v < block; ++v) f.store(value[v], y + i + v * width);
    }
    for (; i + width <= end; i += width) f.store(f(x + i), y + i);
    if (i == end) return;
    From in[width] = {};
    To out[width];
    std::copy(x + i, x + end, in);
    f.store(f(in), out);
    std::copy(out, out + (end - i), y + i);
  });
}
}  // namespace detail

/// y[i] = x[i] for i < n, rounded to nearest even.
template <class Arch = simd::best, class Half>
void narrow(const float* x, Half* y, std::size_t n, int threads = 1) noexcept {
  detail::map_16<Arch>(x, y, n, detail::Convert<Arch>{}, threads);
}
/// y[i] = x[i] for i < n.
template <class Arch = simd::best, class Half>
void widen(const Half* x, float* y, std::size_t n, int threads = 1) noexcept {
  detail::map_16<Arch>(x, y, n, detail::Convert<Arch>{}, threads);
}

}  // namespace kernel

SPIQ_END_NAMESPACE
