/// @file
/// What softmaxes of single rows consist of: maxima, sums of exponentials, maps, and rows of special values.
#pragma once

#include <spiq/kernel/exp_vector.hpp>
#include <spiq/simd/simd.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// What a row becomes that has no entry above -inf.
enum class EmptyRow {
  zeros,   ///< probabilities 0 (logarithms -inf)
  uniform  ///< the same for each column
};

namespace detail {

inline constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

/// A rung times a constant that saves a multiplication: in a ratio it cancels.
template <class Rung>
struct unnormalised : Rung {};
template <class Rung>
  requires requires { Rung::factor; }
struct unnormalised<Rung> : Rung {
  static constexpr double factor = 3;  // m^2 + 2 instead of (m^2 + 2) / 3
};

/// Values before the first at which `p` is aligned to a vector, at most n: whole vectors that straddle two cache lines
/// cost twice, and rows of odd lengths would consist of them.
template <class V>
SPIQ_INLINE std::size_t head_of(const float* p, std::size_t n) {
  constexpr std::size_t width = V::width;
  const std::size_t past = reinterpret_cast<std::uintptr_t>(p) / sizeof(float) % width;
  return past == 0 ? 0 : std::min(n, width - past);
}

// The loops below run over pointers, eight vectors at a time where a pass is short: the fewer instructions a pass has, the
// further the processor sees ahead of the sum that it waits for, into the next row.
inline constexpr std::size_t long_block = 8, short_block = 4;

/// Largest value of [x, x + n) lane by lane, NaN left out; -inf where there is none.
template <class V>
SPIQ_INLINE V lane_maximum(const float* x, std::size_t n) {
  constexpr std::size_t width = V::width, step = long_block * width;
  const V lowest = V::broadcast(minus_infinity);
  V top[long_block];
  for (V& t : top) t = lowest;
  // The running maximum is the second operand: max returns that when the first is NaN.
  if (const std::size_t head = head_of<V>(x, n); head != 0) {
    top[1] = max(simd::load_first_or(x, static_cast<int>(head), lowest), lowest);
    x += head;
    n -= head;
  }
  for (const float* end = x + n / step * step; x != end; x += step) {
    SPIQ_UNROLL
    for (std::size_t v = 0; v < long_block; ++v) top[v] = max(V::load(x + v * width), top[v]);
  }
  n %= step;
  for (; n >= width; n -= width, x += width) top[0] = max(V::load(x), top[0]);
  if (n != 0) top[2] = max(simd::load_first_or(x, static_cast<int>(n), lowest), top[2]);
  return max(max(max(top[0], top[1]), max(top[2], top[3])), max(max(top[4], top[5]), max(top[6], top[7])));
}

/// Lane sums of f(x[i]), stored to y if wanted (y may be x). f(-inf) must be 0.
/// The sums run in four chains of at most 32 terms, so that the error of long rows does not grow with their length.
/// Values `Ahead` further on are asked for on the way.
template <class V, bool Store, std::size_t Ahead = 0, class F>
SPIQ_INLINE V lane_sum(const float* x, float* y, std::size_t n, const F& f) {
  constexpr std::size_t width = V::width, step = short_block * width, chain = 32 * step;
  V total = V::zero();
  const auto part = [&](std::size_t count) SPIQ_LAMBDA_INLINE {
    const V value = f(simd::load_first_or(x, static_cast<int>(count), V::broadcast(minus_infinity)));
    if constexpr (Store) value.store_first(y, static_cast<int>(count));
    total = total + value;
  };
  const auto advance = [&](std::size_t count) SPIQ_LAMBDA_INLINE {
    x += count;
    if constexpr (Store) y += count;
  };
  if (const std::size_t head = head_of<V>(Store ? y : x, n); head != 0) {
    part(head);
    advance(head);
    n -= head;
  }
  while (n >= step) {
    const std::size_t here = std::min(n, chain) / step * step;
    V sum[short_block] = {V::zero(), V::zero(), V::zero(), V::zero()};
    const float* const end = x + here;
    while (x != end) {
      V value[short_block];
      if constexpr (Ahead != 0) {
        SPIQ_UNROLL
        for (std::size_t i = 0; i < step; i += 16) simd::prefetch(x, Ahead + i);
      }
      SPIQ_UNROLL
      for (std::size_t v = 0; v < short_block; ++v) value[v] = f(V::load(x + v * width));
      SPIQ_UNROLL
      for (std::size_t v = 0; v < short_block; ++v) {
        if constexpr (Store) value[v].store(y + v * width);
        sum[v] = sum[v] + value[v];
      }
      advance(step);
    }
    total = total + ((sum[0] + sum[1]) + (sum[2] + sum[3]));
    n -= here;
  }
  for (; n >= width; n -= width, advance(width)) {
    const V value = f(V::load(x));
    if constexpr (Store) value.store(y);
    total = total + value;
  }
  if (n != 0) part(n);
  return total;
}

/// y[i] = f(x[i]) for a whole row; y may be x.
template <class V, class F>
SPIQ_INLINE void map_row(const float* x, float* y, std::size_t n, const F& f) {
  constexpr std::size_t width = V::width, step = long_block * width;
  if (const std::size_t head = head_of<V>(y, n); head != 0) {
    f(V::load_first(x, static_cast<int>(head))).store_first(y, static_cast<int>(head));
    x += head;
    y += head;
    n -= head;
  }
  for (const float* end = x + n / step * step; x != end; x += step, y += step) {
    V value[long_block];
    SPIQ_UNROLL
    for (std::size_t v = 0; v < long_block; ++v) value[v] = f(V::load(x + v * width));
    SPIQ_UNROLL
    for (std::size_t v = 0; v < long_block; ++v) value[v].store(y + v * width);
  }
  n %= step;
  for (; n >= width; n -= width, x += width, y += width) f(V::load(x)).store(y);
  if (n != 0) f(V::load_first(x, static_cast<int>(n))).store_first(y, static_cast<int>(n));
}

/// y[i] *= factor, and the largest value of `next` as by `lane_maximum`, in one loop: the one works in the second cache
/// while the other waits for the third.
template <class V>
SPIQ_INLINE V scale_and_maximum(float* y, V factor, const float* next, std::size_t n) {
  constexpr std::size_t width = V::width, step = short_block * width;
  const auto scale = [&](V v) SPIQ_LAMBDA_INLINE { return v * factor; };
  const std::size_t head = head_of<V>(y, n), ahead = head_of<V>(next, n);
  V top = lane_maximum<V>(next, ahead);
  if (head != 0) scale(V::load_first(y, static_cast<int>(head))).store_first(y, static_cast<int>(head));
  y += head;
  next += ahead;
  const std::size_t common = (n - std::max(head, ahead)) / step * step;
  V tops[short_block] = {top, top, top, top};
  for (const float* end = next + common; next != end; next += step, y += step) {
    SPIQ_UNROLL
    for (std::size_t v = 0; v < short_block; ++v) {
      tops[v] = max(V::load(next + v * width), tops[v]);
      scale(V::load(y + v * width)).store(y + v * width);
    }
  }
  top = max(max(tops[0], tops[1]), max(tops[2], tops[3]));
  map_row<V>(y, y, n - head - common, scale);
  return max(top, lane_maximum<V>(next, n - ahead - common));
}

/// A row whose maximum is not finite: -inf throughout, or with +inf, whose columns then share the whole equally (the
/// limit of ever larger finite values). NaN fills the row where `propagate`, and counts as -inf otherwise.
template <bool Log>
SPIQ_NOINLINE inline void special_row(const float* x, float* y, std::size_t n, EmptyRow empty, bool propagate) noexcept {
  constexpr float infinity = -minus_infinity;
  std::size_t infinite = 0;
  bool nan = false;
  for (std::size_t i = 0; i < n; ++i) {
    infinite += x[i] == infinity ? 1 : 0;
    nan = nan || x[i] != x[i];
  }
  const auto share = [](std::size_t parts) {
    return Log ? -std::log(static_cast<float>(parts)) : 1.0f / static_cast<float>(parts);
  };
  const float nothing = Log ? minus_infinity : 0.0f;
  if (propagate && nan) {
    std::fill_n(y, n, std::numeric_limits<float>::quiet_NaN());
  } else if (infinite == 0) {
    std::fill_n(y, n, empty == EmptyRow::uniform ? share(n) : nothing);
  } else {
    for (std::size_t i = 0; i < n; ++i) y[i] = x[i] == infinity ? share(infinite) : nothing;
  }
}

}  // namespace detail

}  // namespace kernel

SPIQ_END_NAMESPACE
