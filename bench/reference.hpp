// Problems that rows of one group share: inputs from a seed, and results in double to compare with.
#pragma once

#include <spiq/core/random.hpp>
#include <spiq/core/storage.hpp>
#include <spiq/kernel/geometry.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace bench {

using Floats = spiq::AlignedVector<float>;
using Doubles = std::vector<double>;

/// `count` values uniform in [-1, 1).
inline Floats random_floats(std::size_t count, std::uint64_t seed) {
  spiq::Rng rng(seed);
  Floats values(count);
  for (float& v : values) v = rng.uniform(-1.0f, 1.0f);
  return values;
}

/// Largest difference, relative to the largest magnitude of the reference. Infinite when sizes differ or a value is NaN.
inline double relative_error(std::span<const float> found, std::span<const double> expected) {
  if (found.size() != expected.size()) return HUGE_VAL;
  double scale = 0;
  double worst = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double difference = std::abs(static_cast<double>(found[i]) - expected[i]);
    if (!(difference <= HUGE_VAL)) return HUGE_VAL;
    worst = std::max(worst, difference);
    scale = std::max(scale, std::abs(expected[i]));
  }
  return scale > 0 ? worst / scale : worst;
}

/// Calls visit(sample, out_y, out_x, channel_out, in_y, in_x, channel_in, weight index) for every product of a
/// convolution on real pixels; weights are [out, in / groups, kernel_h, kernel_w].
template <class Visit>
void for_each_product(const spiq::kernel::ConvGeometry& g, std::size_t samples, const Visit& visit) {
  const auto z = [](int i) { return static_cast<std::size_t>(i); };
  const int out_h = g.out_h(), out_w = g.out_w(), in_g = g.group_in(), out_g = g.group_out();
  for (std::size_t n = 0; n < samples; ++n)
    for (int y = 0; y < out_h; ++y)
      for (int x = 0; x < out_w; ++x)
        for (int i = 0; i < g.kernel_h; ++i)
          for (int j = 0; j < g.kernel_w; ++j) {
            const int iy = y * g.stride_h - g.pad_h + i * g.dilation_h;
            const int ix = x * g.stride_w - g.pad_w + j * g.dilation_w;
            if (iy < 0 || iy >= g.in.height || ix < 0 || ix >= g.in.width) continue;
            const std::size_t in = ((n * z(g.in.height) + z(iy)) * z(g.in.width) + z(ix)) * z(g.in.channels);
            const std::size_t out = ((n * z(out_h) + z(y)) * z(out_w) + z(x)) * z(g.out_channels);
            for (int group = 0; group < g.groups; ++group)
              for (int o = group * out_g; o < (group + 1) * out_g; ++o)
                for (int c = 0; c < in_g; ++c)
                  visit(in + z(group * in_g + c), out + z(o),
                        ((z(o) * z(in_g) + z(c)) * z(g.kernel_h) + z(i)) * z(g.kernel_w) + z(j));
          }
}

/// A convolution with inputs, weights and gradients from a seed; results in double, each computed when first asked for.
/// Activations are dense NHWC.
struct ConvProblem {
  ConvProblem(const spiq::kernel::ConvGeometry& geometry, std::size_t count)
      : g(geometry),
        samples(count),
        x(random_floats(count * geometry.in.size(), 1)),
        weights(random_floats(geometry.weight_count(), 2)),
        dy(random_floats(count * geometry.out().size(), 3)) {}

  spiq::kernel::ConvGeometry g;
  std::size_t samples;
  Floats x, weights, dy;

  /// Errors of a forward result, of a gradient to the input, of a gradient to the weights.
  double error_y(std::span<const float> found) {
    if (y_.empty()) {
      y_.assign(dy.size(), 0.0);
      for_each_product(g, samples, [&](std::size_t in, std::size_t out, std::size_t w) {
        y_[out] += static_cast<double>(x[in]) * static_cast<double>(weights[w]);
      });
    }
    return relative_error(found, y_);
  }
  double error_dx(std::span<const float> found) {
    if (dx_.empty()) {
      dx_.assign(x.size(), 0.0);
      for_each_product(g, samples, [&](std::size_t in, std::size_t out, std::size_t w) {
        dx_[in] += static_cast<double>(dy[out]) * static_cast<double>(weights[w]);
      });
    }
    return relative_error(found, dx_);
  }
  double error_dw(std::span<const float> found) {
    if (dw_.empty()) {
      dw_.assign(weights.size(), 0.0);
      for_each_product(g, samples, [&](std::size_t in, std::size_t out, std::size_t w) {
        dw_[w] += static_cast<double>(dy[out]) * static_cast<double>(x[in]);
      });
    }
    return relative_error(found, dw_);
  }
  /// Operations of one pass: two per multiply-add on real pixels.
  [[nodiscard]] double flops() const { return 2.0 * static_cast<double>(g.macs() * samples); }

private:
  Doubles y_, dx_, dw_;
};

/// The problem of this geometry; rows that ask while another row still holds it share it.
inline std::shared_ptr<ConvProblem> conv_problem(const spiq::kernel::ConvGeometry& g, std::size_t samples) {
  static std::weak_ptr<ConvProblem> last;
  auto problem = last.lock();
  if (!problem || !(problem->g == g) || problem->samples != samples) {
    problem = std::make_shared<ConvProblem>(g, samples);
    last = problem;
  }
  return problem;
}

/// c = a * b, row-major, a is m x k, b is k x n.
struct GemmProblem {
  GemmProblem(std::size_t m_, std::size_t n_, std::size_t k_)
      : m(m_), n(n_), k(k_), a(random_floats(m * k, 4)), b(random_floats(k * n, 5)) {}

  std::size_t m, n, k;
  Floats a, b;

  double error(std::span<const float> found) {
    if (c_.empty()) {
      c_.assign(m * n, 0.0);
      for (std::size_t i = 0; i < m; ++i)
        for (std::size_t p = 0; p < k; ++p) {
          const double left = static_cast<double>(a[i * k + p]);
          for (std::size_t j = 0; j < n; ++j) c_[i * n + j] += left * static_cast<double>(b[p * n + j]);
        }
    }
    return relative_error(found, c_);
  }

private:
  Doubles c_;
};

inline std::shared_ptr<GemmProblem> gemm_problem(std::size_t m, std::size_t n, std::size_t k) {
  static std::weak_ptr<GemmProblem> last;
  auto problem = last.lock();
  if (!problem || problem->m != m || problem->n != n || problem->k != k) {
    problem = std::make_shared<GemmProblem>(m, n, k);
    last = problem;
  }
  return problem;
}

}  // namespace bench
