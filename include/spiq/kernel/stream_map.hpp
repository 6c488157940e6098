/// @file
/// Elementwise maps that store past the caches when the arrays are larger than them.
#pragma once

#include <spiq/core/parallel.hpp>
#include <spiq/kernel/elementwise.hpp>
#include <spiq/simd/simd.hpp>

#include <cstddef>
#include <cstdint>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// Output from this size on does not survive in the caches until it is read; storing past them saves reading it first.
inline constexpr std::size_t streamed_bytes = std::size_t{16} << 20;

/// y[i] = f(x[i]) for i < n as `map`, storing past the caches from `streamed_bytes` on. y may be x; then the lines are
/// in the cache anyway and stores are ordinary ones. Bound: two (streamed) transfers of n floats.
template <class Arch = simd::best, class F>
void stream_map(const float* x, float* y, std::size_t n, const F& function, int threads = 1) noexcept {
  using V = typename simd::traits<Arch>::f32;
  if (n * sizeof(float) < streamed_bytes || x == y) {
    map<Arch>(x, y, n, function, threads);
    return;
  }
  parallel_for(n, map_grain, threads, [&function, x, y](std::size_t begin, std::size_t end, int) {
    const F f = function;  // copies, which stay in registers
    const float* const from = x;
    float* const to = y;
    constexpr std::size_t width = V::width, block = 4;
    std::size_t i = begin;
    const std::size_t misaligned = reinterpret_cast<std::uintptr_t>(to + begin) / sizeof(float) % width;
    const std::size_t head = misaligned == 0 ? 0 : width - misaligned;
    if (head != 0 && i + head <= end) {
      f(V::load_first(from + i, static_cast<int>(head))).store_first(to + i, static_cast<int>(head));
      i += head;
    }
    for (; i + block * width <= end; i += block * width) {
      simd::prefetch(from, i + 1024);
      simd::prefetch(from, i + 1024 + 2 * width);
      V value[block];
      SPIQ_UNROLL
      for (std::size_t v = 0; v < block; ++v) value[v] = f(V::load(from + i + v * width));
      SPIQ_UNROLL
      for (std::size_t v = 0; v < block; ++v) stream(value[v], to + i + v * width);
    }
    for_vectors<V>(i, end, [&](auto access, std::size_t k) SPIQ_LAMBDA_INLINE {
      access.store(f(access.template load<V>(from + k)), to + k);
    });
    simd::stream_fence();
  });
}

}  // namespace kernel

SPIQ_END_NAMESPACE
