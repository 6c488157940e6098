// Plain loops in double precision: what the layers of nn compute, and gradients by central differences.
#pragma once

#include <spiq/kernel/geometry.hpp>
#include <spiq/kernel/pool.hpp>
#include <spiq/core/random.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <span>
#include <vector>

namespace reference {

using Values = std::vector<double>;

inline Values random(std::size_t n, std::uint64_t seed, double low = -1, double high = 1) {
  spiq::Rng rng(seed);
  Values v(n);
  for (double& x : v) x = static_cast<double>(rng.uniform(static_cast<float>(low), static_cast<float>(high)));
  return v;
}
inline std::vector<float> floats(const Values& v) { return std::vector<float>(v.begin(), v.end()); }
inline Values doubles(std::span<const float> v) { return Values(v.begin(), v.end()); }

inline double dot(const Values& a, const Values& b) {
  double s = 0;
  for (std::size_t i = 0; i < a.size(); ++i) s += a[i] * b[i];
  return s;
}

/// d f / d x by central differences.
inline Values gradient(Values x, const std::function<double(const Values&)>& f, double step = 1e-5) {
  Values g(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double keep = x[i];
    x[i] = keep + step;
    const double up = f(x);
    x[i] = keep - step;
    const double down = f(x);
    x[i] = keep;
    g[i] = (up - down) / (2 * step);
  }
  return g;
}

/// x [n, h, w, c], weights [out, in / groups, kh, kw], bias [out] or empty.
inline Values conv(const spiq::kernel::ConvGeometry& g, const Values& x, const Values& w, const Values& b) {
  const spiq::Shape in = g.in, out = g.out();
  const std::size_t n = x.size() / in.size();
  Values y(n * out.size());
  const auto at = [](const spiq::Shape& s, std::size_t sample, int row, int column, int channel) {
    return ((sample * static_cast<std::size_t>(s.height) + static_cast<std::size_t>(row)) * static_cast<std::size_t>(s.width) +
            static_cast<std::size_t>(column)) * static_cast<std::size_t>(s.channels) + static_cast<std::size_t>(channel);
  };
  for (std::size_t s = 0; s < n; ++s)
    for (int oy = 0; oy < out.height; ++oy)
      for (int ox = 0; ox < out.width; ++ox)
        for (int o = 0; o < out.channels; ++o) {
          double sum = b.empty() ? 0.0 : b[static_cast<std::size_t>(o)];
          const int first = o / g.group_out() * g.group_in();
          for (int ky = 0; ky < g.kernel_h; ++ky)
            for (int kx = 0; kx < g.kernel_w; ++kx) {
              const int iy = oy * g.stride_h - g.pad_h + ky * g.dilation_h;
              const int ix = ox * g.stride_w - g.pad_w + kx * g.dilation_w;
              if (iy < 0 || iy >= in.height || ix < 0 || ix >= in.width) continue;
              for (int c = 0; c < g.group_in(); ++c)
                sum += x[at(in, s, iy, ix, first + c)] *
                       w[static_cast<std::size_t>(((o * g.group_in() + c) * g.kernel_h + ky) * g.kernel_w + kx)];
            }
          y[at(out, s, oy, ox, o)] = sum;
        }
  return y;
}

/// x [n, in], weights [out, in], bias [out] or empty.
inline Values linear(std::size_t inputs, std::size_t outputs, const Values& x, const Values& w, const Values& b) {
  const std::size_t n = x.size() / inputs;
  Values y(n * outputs);
  for (std::size_t s = 0; s < n; ++s)
    for (std::size_t o = 0; o < outputs; ++o) {
      double sum = b.empty() ? 0.0 : b[o];
      for (std::size_t i = 0; i < inputs; ++i) sum += x[s * inputs + i] * w[o * inputs + i];
      y[s * outputs + o] = sum;
    }
  return y;
}

/// Batch statistics, biased variance; x [rows, channels].
inline Values batch_norm(std::size_t channels, const Values& x, const Values& gamma, const Values& beta, double eps) {
  const std::size_t rows = x.size() / channels;
  Values y(x.size());
  for (std::size_t c = 0; c < channels; ++c) {
    double mean = 0, var = 0;
    for (std::size_t r = 0; r < rows; ++r) mean += x[r * channels + c] / static_cast<double>(rows);
    for (std::size_t r = 0; r < rows; ++r) var += std::pow(x[r * channels + c] - mean, 2) / static_cast<double>(rows);
    for (std::size_t r = 0; r < rows; ++r)
      y[r * channels + c] = (x[r * channels + c] - mean) / std::sqrt(var + eps) * gamma[c] + beta[c];
  }
  return y;
}

inline Values relu(Values x) {
  for (double& v : x) v = std::max(v, 0.0);
  return x;
}
inline Values add(Values a, const Values& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

/// Windows over real pixels; averages divide by the whole window.
inline Values pool(const spiq::kernel::PoolGeometry& g, const Values& x, bool maximum) {
  const spiq::Shape in = g.in, out = g.out();
  const std::size_t n = x.size() / in.size(), channels = static_cast<std::size_t>(in.channels);
  Values y(n * out.size());
  for (std::size_t s = 0; s < n; ++s)
    for (int oy = 0; oy < out.height; ++oy)
      for (int ox = 0; ox < out.width; ++ox)
        for (std::size_t c = 0; c < channels; ++c) {
          double sum = 0, top = -std::numeric_limits<double>::infinity();
          for (int ky = 0; ky < g.kernel_h; ++ky)
            for (int kx = 0; kx < g.kernel_w; ++kx) {
              const int iy = oy * g.stride_h - g.pad_h + ky, ix = ox * g.stride_w - g.pad_w + kx;
              if (iy < 0 || iy >= in.height || ix < 0 || ix >= in.width) continue;
              const double v = x[s * in.size() + static_cast<std::size_t>(iy * in.width + ix) * channels + c];
              sum += v;
              top = std::max(top, v);
            }
          y[s * out.size() + static_cast<std::size_t>(oy * out.width + ox) * channels + c] =
              maximum ? top : sum / (g.kernel_h * g.kernel_w);
        }
  return y;
}

}  // namespace reference
