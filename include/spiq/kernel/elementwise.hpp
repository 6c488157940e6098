/// @file
/// Maps over flat arrays, and the fixed division of work that makes sums independent of the number of threads.
#pragma once

#include <spiq/core/parallel.hpp>
#include <spiq/simd/simd.hpp>

#include <algorithm>
#include <cstddef>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// [0, n) cut into at most `limit` pieces of about `grain` or more items. The cut depends on its arguments alone, so
/// partial results per piece, added in order, give the same bits on any number of threads.
struct FixedChunks {
  static constexpr std::size_t limit = 64;

  std::size_t n = 0;
  std::size_t count = 0;

  constexpr FixedChunks(std::size_t items, std::size_t grain)
      : n(items),
        count(items == 0 ? 0 : std::clamp<std::size_t>(items / std::max<std::size_t>(grain, 1), 1, limit)) {}
  [[nodiscard]] constexpr std::size_t begin(std::size_t i) const { return n * i / count; }
  [[nodiscard]] constexpr std::size_t end(std::size_t i) const { return n * (i + 1) / count; }
};

/// Access to whole vectors; `Part` has the same interface for the first lanes only.
struct Whole {
  template <class V, class T>
  SPIQ_INLINE V load(const T* p) const {
    return V::load(p);
  }
  template <class V, class T>
  SPIQ_INLINE void store(V v, T* p) const {
    v.store(p);
  }
};
/// Access to the first `lanes` lanes of a vector: the others load as zero and are not stored.
struct Part {
  int lanes;
  template <class V, class T>
  SPIQ_INLINE V load(const T* p) const {
    return V::load_first(p, lanes);
  }
  template <class V, class T>
  SPIQ_INLINE void store(V v, T* p) const {
    v.store_first(p, lanes);
  }
};

/// Calls `body(access, i)` for i = begin, begin + width, ...: access is Whole, then Part for a tail.
template <class V, class Body>
SPIQ_INLINE void for_vectors(std::size_t begin, std::size_t end, const Body& body) {
  constexpr std::size_t width = V::width;
  std::size_t i = begin;
  for (; i + width <= end; i += width) body(Whole{}, i);
  if (i < end) body(Part{static_cast<int>(end - i)}, i);
}

/// y[i] = f(access, i) over [begin, end). `Block` results are computed before the first is stored: a store may alias
/// what the next one loads as far as the compiler knows, and the chains of one vector are too long to overlap by
/// themselves.
template <class V, std::size_t Block = 4, class F>
SPIQ_INLINE void fill_vectors(float* y, std::size_t begin, std::size_t end, F f) {
  // One lane: a plain loop, which the compiler may turn into vectors of its own.
  constexpr std::size_t width = V::width, block = width == 1 ? 1 : Block;
  std::size_t i = begin;
  for (; i + block * width <= end; i += block * width) {
    V value[block];
    SPIQ_UNROLL
    for (std::size_t v = 0; v < block; ++v) value[v] = f(Whole{}, i + v * width);
    SPIQ_UNROLL
    for (std::size_t v = 0; v < block; ++v) value[v].store(y + i + v * width);
  }
  for_vectors<V>(i, end, [&](auto access, std::size_t k) SPIQ_LAMBDA_INLINE { access.store(f(access, k), y + k); });
}

/// Items of a flat map below which a second thread does not pay.
inline constexpr std::size_t map_grain = 32768;

/// Vectors of f that are best computed before the first is stored.
template <class F>
inline constexpr std::size_t vectors_at_once = [] {
  if constexpr (requires { F::at_once; })
    return F::at_once;
  else
    return std::size_t{4};
}();

/// y[i] = f(x[i]) for i < n, with f on vectors; x and y may be the same array.
template <class Arch = simd::best, class F>
void map(const float* x, float* y, std::size_t n, const F& f, int threads = 1) noexcept {
  using V = typename simd::traits<Arch>::f32;
  parallel_for(n, map_grain, threads, [&](std::size_t begin, std::size_t end, int) {
    // Copies: the constants of f stay in registers, for nothing that is stored can be them.
    fill_vectors<V, vectors_at_once<F>>(y, begin, end, [f = f, x = x](auto access, std::size_t i) SPIQ_LAMBDA_INLINE {
      return f(access.template load<V>(x + i));
    });
  });
}

/// y[i] = f(a[i], b[i]) for i < n; y may be a or b.
template <class Arch = simd::best, class F>
void map(const float* a, const float* b, float* y, std::size_t n, const F& f, int threads = 1) noexcept {
  using V = typename simd::traits<Arch>::f32;
  parallel_for(n, map_grain, threads, [&](std::size_t begin, std::size_t end, int) {
    fill_vectors<V>(y, begin, end, [f = f, a = a, b = b](auto access, std::size_t i) SPIQ_LAMBDA_INLINE {
      return f(access.template load<V>(a + i), access.template load<V>(b + i));
    });
  });
}

/// y[i] = a[i] + b[i]: the join of two branches, and with y == a the sum of two gradients.
template <class Arch = simd::best>
void add(const float* a, const float* b, float* y, std::size_t n, int threads = 1) noexcept {
  map<Arch>(
      a, b, y, n, [](auto u, auto v) SPIQ_LAMBDA_INLINE { return u + v; }, threads);
}

}  // namespace kernel

SPIQ_END_NAMESPACE
