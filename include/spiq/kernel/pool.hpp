/// @file
/// Average, maximum and global average pooling, channels last, forward and backward.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/shape.hpp>
#include <spiq/kernel/elementwise.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// Windows of a pooling of one sample; sizes follow the field's convention (PyTorch).
struct PoolGeometry {
  Shape in{};
  int kernel_h = 2, kernel_w = 2;
  int stride_h = 2, stride_w = 2;
  int pad_h = 0, pad_w = 0;       ///< at most half the kernel
  bool ceil_mode = false;         ///< a last window that starts inside the padded input counts even if it sticks out
  bool count_include_pad = true;  ///< averages divide by the window with its padding, not by the real pixels

  constexpr bool operator==(const PoolGeometry&) const = default;

  [[nodiscard]] constexpr int out_h() const { return extent(in.height, kernel_h, stride_h, pad_h); }
  [[nodiscard]] constexpr int out_w() const { return extent(in.width, kernel_w, stride_w, pad_w); }
  [[nodiscard]] constexpr Shape out() const { return {out_h(), out_w(), in.channels}; }
  [[nodiscard]] constexpr bool valid() const {
    return in.valid() && kernel_h > 0 && kernel_w > 0 && stride_h > 0 && stride_w > 0 && pad_h >= 0 && pad_w >= 0 &&
           fits(in.height, kernel_h, stride_h, pad_h) && fits(in.width, kernel_w, stride_w, pad_w);
  }
  /// Windows of 2x2 side by side, the common case.
  [[nodiscard]] constexpr bool two_by_two() const {
    return kernel_h == 2 && kernel_w == 2 && stride_h == 2 && stride_w == 2 && pad_h == 0 && pad_w == 0 &&
           (!ceil_mode || (in.height % 2 == 0 && in.width % 2 == 0));
  }
  /// A window of k x k every k pixels.
  static constexpr PoolGeometry square(const Shape& shape, int k) {
    PoolGeometry g;
    g.in = shape;
    g.kernel_h = g.kernel_w = g.stride_h = g.stride_w = k;
    return g;
  }

private:
  /// One axis: the kernel lies inside the padded input, and every position that a loop computes is an int.
  static constexpr bool fits(std::int64_t n, std::int64_t k, std::int64_t stride, std::int64_t pad) {
    const std::int64_t padded = n + 2 * pad;
    return 2 * pad <= k && k <= padded && padded + stride <= std::numeric_limits<int>::max();
  }
  [[nodiscard]] constexpr int extent(int n, int k, int stride, int pad) const {
    const int room = n + 2 * pad - k;
    if (room < 0) return 0;
    int out = (room + (ceil_mode ? stride - 1 : 0)) / stride + 1;
    if (ceil_mode && (out - 1) * stride >= n + pad) --out;
    return out;
  }
};

/// Throws when the numbers do not describe a pooling.
inline void check(const PoolGeometry& g) {
  if (!g.valid())
    SPIQ_THROW("pooling", "positive sizes, padding of at most half the kernel, kernel inside the padded input",
               to_string(g.in) + ", kernel " + std::to_string(g.kernel_h) + "x" + std::to_string(g.kernel_w) +
                   ", stride " + std::to_string(g.stride_h) + "x" + std::to_string(g.stride_w) + ", padding " +
                   std::to_string(g.pad_h) + "x" + std::to_string(g.pad_w));
}

/// Real pixels of one window, and the number its sum is divided by.
struct PoolWindow {
  int y0, y1, x0, x1;
  float weight;

  PoolWindow(const PoolGeometry& g, int oy, int ox) {
    const int top = oy * g.stride_h - g.pad_h, left = ox * g.stride_w - g.pad_w;
    const int bottom = std::min(top + g.kernel_h, g.in.height + g.pad_h);
    const int right = std::min(left + g.kernel_w, g.in.width + g.pad_w);
    y0 = std::max(top, 0);
    x0 = std::max(left, 0);
    y1 = std::min(bottom, g.in.height);
    x1 = std::min(right, g.in.width);
    const int area = g.count_include_pad ? (bottom - top) * (right - left) : (y1 - y0) * (x1 - x0);
    weight = area > 0 ? 1.0f / static_cast<float>(area) : 0.0f;
  }
};

namespace detail {

/// Offset of pixel (y, x) of a sample.
inline std::size_t pixel_offset(const Shape& s, int y, int x) {
  return (static_cast<std::size_t>(y) * static_cast<std::size_t>(s.width) + static_cast<std::size_t>(x)) *
         static_cast<std::size_t>(s.channels);
}

/// Rows of output pixels per piece of parallel work.
inline std::size_t pool_grain(const PoolGeometry& g) {
  const std::size_t row = static_cast<std::size_t>(g.in.width) * static_cast<std::size_t>(g.in.channels) *
                          static_cast<std::size_t>(g.stride_h);
  return std::max<std::size_t>(1, map_grain / std::max<std::size_t>(row, 1));
}

/// Calls body(sample, oy) for all rows of output pixels.
template <class Body>
void for_pool_rows(const PoolGeometry& g, std::size_t samples, int threads, const Body& body) {
  const auto rows = static_cast<std::size_t>(g.out_h());
  parallel_for(samples * rows, pool_grain(g), threads, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t r = begin; r < end; ++r) body(r / rows, static_cast<int>(r % rows));
  });
}

/// Calls body(sample) for all samples; used where windows overlap and add into one another.
template <class Body>
void for_samples(std::size_t samples, std::size_t sample_size, int threads, const Body& body) {
  const std::size_t grain = std::max<std::size_t>(1, map_grain / std::max<std::size_t>(sample_size, 1));
  parallel_for(samples, grain, threads, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t s = begin; s < end; ++s) body(s);
  });
}

/// Maximum of a window for one vector of channels, and the number of the tap that first attains it.
/// NaN counts as larger than everything, the first NaN wins.
template <class V>
struct PoolMaximum {
  V value, tap;
};
/// Takes tap number `number` with values v into a maximum.
template <class V>
SPIQ_INLINE void take(PoolMaximum<V>& best, V v, float number) {
  const auto stays = v <= best.value;
  const auto ordered = best.value == best.value;
  best.tap = select(ordered, select(stays, best.tap, V::broadcast(number)), best.tap);
  best.value = select(ordered, select(stays, best.value, v), best.value);
}
template <class V, class Access>
SPIQ_INLINE PoolMaximum<V> pool_maximum(Access access, const PoolWindow& w, const Shape& in, const float* sample,
                                        std::size_t c) {
  PoolMaximum<V> best{V::broadcast(-std::numeric_limits<float>::infinity()), V::zero()};
  float number = 0;
  for (int y = w.y0; y < w.y1; ++y)
    for (int x = w.x0; x < w.x1; ++x, number += 1)
      take(best, access.template load<V>(sample + pixel_offset(in, y, x) + c), number);
  return best;
}
/// The same for four pixels at p, p + pixel, p + row, p + row + pixel.
template <class V, class Access>
SPIQ_INLINE PoolMaximum<V> pool_maximum(Access access, const float* p, std::size_t pixel, std::size_t row) {
  PoolMaximum<V> best{access.template load<V>(p), V::zero()};
  take(best, access.template load<V>(p + pixel), 1);
  take(best, access.template load<V>(p + row), 2);
  take(best, access.template load<V>(p + row + pixel), 3);
  return best;
}
}  // namespace detail

/// y = mean over each window of x; x [samples][H][W][C], y [samples][out_h][out_w][C].
template <class Arch = simd::best>
void average_pool_forward(const PoolGeometry& g, const float* x, float* y, std::size_t samples,
                          int threads = 1) noexcept {
  SPIQ_ASSERT(g.valid());
  using V = typename simd::traits<Arch>::f32;
  const auto channels = static_cast<std::size_t>(g.in.channels);
  const std::size_t row = static_cast<std::size_t>(g.in.width) * channels;
  const Shape out = g.out();
  const bool two_by_two = g.two_by_two();
  detail::for_pool_rows(g, samples, threads, [&](std::size_t sample, int oy) {
    const float* const from = x + sample * g.in.size();
    float* const to = y + sample * out.size() + detail::pixel_offset(out, oy, 0);
    for (int ox = 0; ox < out.width; ++ox) {
      float* const pixel = to + static_cast<std::size_t>(ox) * channels;
      if (two_by_two) {
        const float* const p = from + detail::pixel_offset(g.in, 2 * oy, 2 * ox);
        const V quarter = V::broadcast(0.25f);
        for_vectors<V>(0, channels, [&](auto access, std::size_t c) SPIQ_LAMBDA_INLINE {
          const V upper = access.template load<V>(p + c) + access.template load<V>(p + channels + c);
          const V lower = access.template load<V>(p + row + c) + access.template load<V>(p + row + channels + c);
          access.store(quarter * (upper + lower), pixel + c);
        });
        continue;
      }
      const PoolWindow w(g, oy, ox);
      const V weight = V::broadcast(w.weight);
      for_vectors<V>(0, channels, [&](auto access, std::size_t c) SPIQ_LAMBDA_INLINE {
        V total = V::zero();
        for (int iy = w.y0; iy < w.y1; ++iy)
          for (int ix = w.x0; ix < w.x1; ++ix)
            total = total + access.template load<V>(from + detail::pixel_offset(g.in, iy, ix) + c);
        access.store(weight * total, pixel + c);
      });
    }
  });
}

/// dx of average pooling from dy; dx is overwritten.
template <class Arch = simd::best>
void average_pool_backward(const PoolGeometry& g, const float* dy, float* dx, std::size_t samples,
                           int threads = 1) noexcept {
  SPIQ_ASSERT(g.valid());
  using V = typename simd::traits<Arch>::f32;
  const auto channels = static_cast<std::size_t>(g.in.channels);
  const std::size_t row = static_cast<std::size_t>(g.in.width) * channels;
  const Shape out = g.out();
  const bool two_by_two = g.two_by_two();
  detail::for_samples(samples, g.in.size(), threads, [&](std::size_t sample) {
    const float* const from = dy + sample * out.size();
    float* const to = dx + sample * g.in.size();
    if (!two_by_two || g.in.height % 2 != 0 || g.in.width % 2 != 0) std::fill_n(to, g.in.size(), 0.0f);
    for (int oy = 0; oy < out.height; ++oy)
      for (int ox = 0; ox < out.width; ++ox) {
        const float* const pixel = from + detail::pixel_offset(out, oy, ox);
        if (two_by_two) {
          float* const p = to + detail::pixel_offset(g.in, 2 * oy, 2 * ox);
          const V quarter = V::broadcast(0.25f);
          for_vectors<V>(0, channels, [&](auto access, std::size_t c) SPIQ_LAMBDA_INLINE {
            const V share = quarter * access.template load<V>(pixel + c);
            access.store(share, p + c);
            access.store(share, p + channels + c);
            access.store(share, p + row + c);
            access.store(share, p + row + channels + c);
          });
          continue;
        }
        const PoolWindow w(g, oy, ox);
        const V weight = V::broadcast(w.weight);
        for (int iy = w.y0; iy < w.y1; ++iy)
          for (int ix = w.x0; ix < w.x1; ++ix) {
            float* const p = to + detail::pixel_offset(g.in, iy, ix);
            for_vectors<V>(0, channels, [&](auto access, std::size_t c) SPIQ_LAMBDA_INLINE {
              access.store(fma(weight, access.template load<V>(pixel + c), access.template load<V>(p + c)), p + c);
            });
          }
      }
  });
}

/// y = maximum over the real pixels of each window.
template <class Arch = simd::best>
void max_pool_forward(const PoolGeometry& g, const float* x, float* y, std::size_t samples,
                      int threads = 1) noexcept {
  SPIQ_ASSERT(g.valid());
  using V = typename simd::traits<Arch>::f32;
  const auto channels = static_cast<std::size_t>(g.in.channels);
  const std::size_t row = static_cast<std::size_t>(g.in.width) * channels;
  const Shape out = g.out();
  const bool two_by_two = g.two_by_two();
  detail::for_pool_rows(g, samples, threads, [&](std::size_t sample, int oy) {
    const float* const from = x + sample * g.in.size();
    float* const to = y + sample * out.size() + detail::pixel_offset(out, oy, 0);
    for (int ox = 0; ox < out.width; ++ox) {
      float* const pixel = to + static_cast<std::size_t>(ox) * channels;
      if (two_by_two) {
        const float* const p = from + detail::pixel_offset(g.in, 2 * oy, 2 * ox);
        for_vectors<V>(0, channels, [&](auto access, std::size_t c) SPIQ_LAMBDA_INLINE {
          access.store(detail::pool_maximum<V>(access, p + c, channels, row).value, pixel + c);
        });
        continue;
      }
      const PoolWindow w(g, oy, ox);
      for_vectors<V>(0, channels, [&](auto access, std::size_t c) SPIQ_LAMBDA_INLINE {
        access.store(detail::pool_maximum<V>(access, w, g.in, from, c).value, pixel + c);
      });
    }
  });
}

/// dx of maximum pooling from dy and the input x: the first maximum of a window, in row order, gets the gradient.
/// dx is overwritten.
template <class Arch = simd::best>
void max_pool_backward(const PoolGeometry& g, const float* x, const float* dy, float* dx, std::size_t samples,
                       int threads = 1) noexcept {
  SPIQ_ASSERT(g.valid());
  using V = typename simd::traits<Arch>::f32;
  const auto channels = static_cast<std::size_t>(g.in.channels);
  const std::size_t row = static_cast<std::size_t>(g.in.width) * channels;
  const Shape out = g.out();
  const bool two_by_two = g.two_by_two();
  detail::for_samples(samples, g.in.size(), threads, [&](std::size_t sample) {
    const float* const from = x + sample * g.in.size();
    float* const to = dx + sample * g.in.size();
    if (!two_by_two || g.in.height % 2 != 0 || g.in.width % 2 != 0) std::fill_n(to, g.in.size(), 0.0f);
    for (int oy = 0; oy < out.height; ++oy)
      for (int ox = 0; ox < out.width; ++ox) {
        if (two_by_two) {
          const std::size_t at = detail::pixel_offset(g.in, 2 * oy, 2 * ox);
          const float* const gradients = dy + sample * out.size() + detail::pixel_offset(out, oy, ox);
          for_vectors<V>(0, channels, [&](auto access, std::size_t c) SPIQ_LAMBDA_INLINE {
            const V winner = detail::pool_maximum<V>(access, from + at + c, channels, row).tap;
            const V gradient = access.template load<V>(gradients + c);
            const std::size_t pixels[4] = {0, channels, row, row + channels};
            SPIQ_UNROLL
            for (int t = 0; t < 4; ++t)
              access.store(select(winner == V::broadcast(static_cast<float>(t)), gradient, V::zero()),
                           to + at + c + pixels[t]);
          });
          continue;
        }
        const PoolWindow w(g, oy, ox);
        const float* const pixel = dy + sample * out.size() + detail::pixel_offset(out, oy, ox);
        for_vectors<V>(0, channels, [&](auto access, std::size_t c) SPIQ_LAMBDA_INLINE {
          const V winner = detail::pool_maximum<V>(access, w, g.in, from, c).tap;
          const V gradient = access.template load<V>(pixel + c);
          float number = 0;
          for (int iy = w.y0; iy < w.y1; ++iy)
            for (int ix = w.x0; ix < w.x1; ++ix, number += 1) {
              float* const p = to + detail::pixel_offset(g.in, iy, ix) + c;
              const V share = select(winner == V::broadcast(number), gradient, V::zero());
              access.store(access.template load<V>(p) + share, p);
            }
        });
      }
  });
}

/// y[sample][channel] = mean over all pixels of x[sample][pixel][channel].
template <class Arch = simd::best>
void global_average_pool_forward(const Shape& in, const float* x, float* y, std::size_t samples,
                                 int threads = 1) noexcept {
  SPIQ_ASSERT(in.valid());
  using V = typename simd::traits<Arch>::f32;
  const auto channels = static_cast<std::size_t>(in.channels);
  const V weight = V::broadcast(1.0f / static_cast<float>(in.pixels()));
  detail::for_samples(samples, in.size(), threads, [&](std::size_t sample) {
    const float* const from = x + sample * in.size();
    for_vectors<V>(0, channels, [&](auto access, std::size_t c) SPIQ_LAMBDA_INLINE {
      V total = V::zero();
      for (std::size_t p = 0; p < in.pixels(); ++p) total = total + access.template load<V>(from + p * channels + c);
      access.store(weight * total, y + sample * channels + c);
    });
  });
}

/// dx[sample][pixel][channel] = dy[sample][channel] / pixels.
template <class Arch = simd::best>
void global_average_pool_backward(const Shape& in, const float* dy, float* dx, std::size_t samples,
                                  int threads = 1) noexcept {
  SPIQ_ASSERT(in.valid());
  using V = typename simd::traits<Arch>::f32;
  const auto channels = static_cast<std::size_t>(in.channels);
  const V weight = V::broadcast(1.0f / static_cast<float>(in.pixels()));
  detail::for_samples(samples, in.size(), threads, [&](std::size_t sample) {
    float* const to = dx + sample * in.size();
    for (std::size_t p = 0; p < in.pixels(); ++p)
      for_vectors<V>(0, channels, [&](auto access, std::size_t c) SPIQ_LAMBDA_INLINE {
        access.store(weight * access.template load<V>(dy + sample * channels + c), to + p * channels + c);
      });
  });
}

}  // namespace kernel

SPIQ_END_NAMESPACE
