// Batch normalisation and activations against plain double loops, on every back-end.
#include "backends.hpp"
#include "catch.hpp"

#include <spiq/core/random.hpp>
#include <spiq/kernel/batchnorm.hpp>

#include <cmath>
#include <limits>
#include <vector>

namespace {

using namespace spiq::kernel;
using spiq::Rng;

std::vector<float> random_values(std::size_t n, std::uint64_t stream, float low = -1, float high = 1) {
  Rng rng(5, stream);
  std::vector<float> v(n);
  for (float& x : v) x = rng.uniform(low, high);
  return v;
}
bool equal(const std::vector<float>& a, const std::vector<float>& b) { return a == b; }

double worst(const std::vector<float>& got, const std::vector<double>& want) {
  REQUIRE(got.size() == want.size());
  double e = 0, scale = 1;
  for (const double w : want) scale = std::max(scale, std::abs(w));
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double d = std::abs(static_cast<double>(got[i]) - want[i]) / scale;
    e = std::isnan(d) ? std::numeric_limits<double>::infinity() : std::max(e, d);
  }
  return e;
}

// h, dh/dz and dh/dlambda in the arithmetic that the specification fixes.
struct QcfsReference {
  float h, dz, dlambda;
};
QcfsReference qcfs(float z, const Qcfs& q) {
  const float levels = static_cast<float>(q.levels);
  const volatile float v = z / q.lambda;
  const volatile float scaled = v * levels;  // volatile: no contraction into fma
  const float k = std::floor(scaled + 0.5f);
  const float share = std::min(std::max(k, 0.0f), levels) / levels;
  const bool inside = q.policy == QcfsGradient::floor_first ? (k >= 0 && k <= levels) : (v >= 0 && v <= 1);
  return {q.lambda * share, inside ? 1.0f : 0.0f, share - (inside ? v : 0.0f)};
}

struct Size {
  std::size_t rows, channels;
};
const Size sizes[] = {{1, 1},   {2, 3},    {7, 16},   {65, 10},  {64, 17},
                      {33, 64}, {19, 100}, {700, 32}, {3000, 5}, {1500, 130}};

struct Case {
  std::vector<float> x, gamma, beta;
  std::vector<double> mean, variance, z;
  Case(Size s, float eps, float offset) {
    x = random_values(s.rows * s.channels, 1, offset - 2, offset + 2);
    gamma = random_values(s.channels, 2, 0.5f, 1.5f);
    beta = random_values(s.channels, 3, -0.5f, 1);
    mean.resize(s.channels);
    variance.resize(s.channels);
    z.resize(x.size());
    const double n = static_cast<double>(s.rows);
    for (std::size_t i = 0; i < x.size(); ++i) mean[i % s.channels] += static_cast<double>(x[i]) / n;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double d = static_cast<double>(x[i]) - mean[i % s.channels];
      variance[i % s.channels] += d * d / n;
    }
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::size_t c = i % s.channels;
      z[i] = (static_cast<double>(x[i]) - mean[c]) / std::sqrt(variance[c] + static_cast<double>(eps)) *
                 static_cast<double>(gamma[c]) +
             static_cast<double>(beta[c]);
    }
  }
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("QCFS takes the specified values", "[activation]", spiq_test::Backends) {
  // z, h, dh/dz, dh/dlambda for L = 4, lambda = 1; equal under both policies.
  const float table[][4] = {{-0.2f, 0, 0, 0},         {0.1f, 0, 1, -0.1f},     {0.125f, 0.25f, 1, 0.125f},
                            {0.3f, 0.25f, 1, -0.05f}, {0.7f, 0.75f, 1, 0.05f}, {0.874f, 0.75f, 1, -0.124f},
                            {0.875f, 1, 1, 0.125f},   {1.0f, 1, 1, 0},         {1.3f, 1, 0, 1}};
  const float one = 1;
  for (const QcfsGradient policy : {QcfsGradient::floor_first, QcfsGradient::clip_first})
    for (const auto& row : table) {
      const Qcfs q{1, 4, policy};
      float h = 0, dz = 0;
      qcfs_forward<TestType>(q, row, &h, 1);
      const double dlambda = qcfs_backward<TestType>(q, row, &one, &dz, 1);
      CAPTURE(row[0]);
      CHECK(h == row[1]);
      CHECK(dz == row[2]);
      CHECK(std::abs(dlambda - static_cast<double>(row[3])) < 1e-7);
    }
  // The points that tell the policies apart.
  const float low = -0.1f, high = 1.1f;
  float dz = 9;
  CHECK(std::abs(qcfs_backward<TestType>({1, 4, QcfsGradient::floor_first}, &low, &one, &dz, 1) - 0.1) < 1e-7);
  CHECK(dz == 1);
  CHECK(qcfs_backward<TestType>({1, 4, QcfsGradient::clip_first}, &low, &one, &dz, 1) == 0);
  CHECK(dz == 0);
  CHECK(std::abs(qcfs_backward<TestType>({1, 4, QcfsGradient::floor_first}, &high, &one, &dz, 1) + 0.1) < 1e-6);
  CHECK(dz == 1);
  CHECK(qcfs_backward<TestType>({1, 4, QcfsGradient::clip_first}, &high, &one, &dz, 1) == 1);
  CHECK(dz == 0);
}

TEMPLATE_LIST_TEST_CASE("QCFS is bit-equal to its definition, ties included", "[activation]", spiq_test::Backends) {
  for (const Qcfs q : {Qcfs{3.3f, 5, QcfsGradient::floor_first}, Qcfs{0.7f, 7, QcfsGradient::clip_first},
                       Qcfs{8.0f, 1, QcfsGradient::floor_first}, Qcfs{1.0f, 16, QcfsGradient::clip_first}}) {
    auto z = random_values(4001, 1, -0.4f * q.lambda, 1.4f * q.lambda);
    // Ties and their neighbours.
    for (int k = -1; k <= q.levels; ++k) {
      const float tie = q.lambda * ((static_cast<float>(k) + 0.5f) / static_cast<float>(q.levels));
      z.push_back(tie);
      z.push_back(std::nextafter(tie, 100.0f));
      z.push_back(std::nextafter(tie, -100.0f));
    }
    z.push_back(std::numeric_limits<float>::infinity());
    z.push_back(-std::numeric_limits<float>::infinity());
    std::vector<float> want(z.size()), want_dz(z.size()), h(z.size()), dz(z.size());
    const auto dh = random_values(z.size(), 2);
    double dlambda = 0, size = 0;
    for (std::size_t i = 0; i < z.size(); ++i) {
      const QcfsReference r = qcfs(z[i], q);
      want[i] = r.h;
      want_dz[i] = r.dz == 1.0f ? dh[i] : 0.0f;
      dlambda += static_cast<double>(r.dlambda) * static_cast<double>(dh[i]);
      size += std::abs(static_cast<double>(dh[i]));
    }
    qcfs_forward<TestType>(q, z.data(), h.data(), z.size());
    const double got = qcfs_backward<TestType>(q, z.data(), dh.data(), dz.data(), z.size());
    CHECK(equal(h, want));
    CHECK(equal(dz, want_dz));
    CHECK(std::abs(got - dlambda) < 1e-6 * size);
  }
  const float nan = std::nanf("");
  float h = 0;
  qcfs_forward<TestType>({}, &nan, &h, 1);
  CHECK(std::isnan(h));
}

TEMPLATE_LIST_TEST_CASE("activation gradients do not depend on the number of threads", "[activation]",
                        spiq_test::Backends) {
  const std::size_t n = 200001;
  const auto z = random_values(n, 1, -1, 2), dh = random_values(n, 2);
  std::vector<float> first(n), other(n);
  const double one = qcfs_backward<TestType>({1, 4}, z.data(), dh.data(), first.data(), n, 1);
  for (const int threads : {2, 3}) {
    CHECK(qcfs_backward<TestType>({1, 4}, z.data(), dh.data(), other.data(), n, threads) == one);
    CHECK(equal(first, other));
  }
}

TEMPLATE_LIST_TEST_CASE("ReLU and the flat maps", "[activation]", spiq_test::Backends) {
  for (const std::size_t n : {0u, 1u, 3u, 4u, 7u, 8u, 15u, 16u, 17u, 33u}) {
    const auto x = random_values(n, 1), b = random_values(n, 2);
    std::vector<float> y(n), dx(n), s(n);
    relu_forward<TestType>(x.data(), y.data(), n);
    relu_backward<TestType>(x.data(), b.data(), dx.data(), n);
    add<TestType>(x.data(), b.data(), s.data(), n);
    for (std::size_t i = 0; i < n; ++i) {
      CHECK(y[i] == std::max(x[i], 0.0f));
      CHECK(dx[i] == (x[i] > 0 ? b[i] : 0.0f));
      CHECK(s[i] == x[i] + b[i]);
    }
  }
  const float nan = std::nanf("");
  float y = 0;
  relu_forward<TestType>(&nan, &y, 1);
  CHECK(std::isnan(y));
}

TEMPLATE_LIST_TEST_CASE("batch normalisation forward", "[batchnorm]", spiq_test::Backends) {
  BatchNormKernel<TestType> kernel;
  for (const Size s : sizes)
    for (const float offset : {0.0f, 300.0f}) {
      CAPTURE(s.rows, s.channels, offset);
      const Case c(s, 1e-3f, offset);
      const BatchNormParameters p{c.gamma.data(), c.beta.data(), 1e-3f};
      const auto running_mean = random_values(s.channels, 4), running_var = random_values(s.channels, 5, 0.5f, 2);
      std::vector<double> want_mean(s.channels), want_var(s.channels);
      const double n = static_cast<double>(s.rows);
      for (std::size_t i = 0; i < s.channels; ++i) {
        want_mean[i] = 0.9 * static_cast<double>(running_mean[i]) + 0.1 * c.mean[i];
        want_var[i] = 0.9 * static_cast<double>(running_var[i]) + 0.1 * c.variance[i] * (s.rows > 1 ? n / (n - 1) : 1);
      }
      // An offset of 300 leaves 1.5e-5 of resolution in the mean; sums of squares without a shift would lose 5e-3.
      const double bound = offset == 0 ? 2e-6 : 2e-4;
      std::vector<float> y(c.x.size()), mean(s.channels), inv_std(s.channels), first;
      for (const int threads : {1, 2, 3}) {
        auto rm = running_mean, rv = running_var;
        kernel.train_forward(p, c.x.data(), y.data(), s.rows, s.channels, mean.data(), inv_std.data(), rm.data(),
                             rv.data(), 0.1f, Identity{}, threads);
        CHECK(worst(mean, c.mean) < 1e-6);
        CHECK(worst(y, c.z) < (s.rows > 1 ? bound : 1e-3));
        CHECK(worst(rm, want_mean) < 1e-6);
        CHECK(worst(rv, want_var) < 1e-5);
        if (threads == 1) first = y;
        CHECK(equal(first, y));
      }
      kernel.eval_forward(p, c.x.data(), y.data(), s.rows, s.channels, running_mean.data(), running_var.data());
      std::vector<double> want(y.size());
      for (std::size_t i = 0; i < y.size(); ++i) {
        const std::size_t k = i % s.channels;
        want[i] = (static_cast<double>(c.x[i]) - static_cast<double>(running_mean[k])) /
                      std::sqrt(static_cast<double>(running_var[k]) + 1e-3) * static_cast<double>(c.gamma[k]) +
                  static_cast<double>(c.beta[k]);
      }
      CHECK(worst(y, want) < 2e-6);
    }
}

TEMPLATE_LIST_TEST_CASE("batch normalisation backward, alone and fused", "[batchnorm]", spiq_test::Backends) {
  BatchNormKernel<TestType> kernel;
  const auto run = [&](const auto& activation, Size s) {
    const Case c(s, 1e-5f, 0.2f);
    const BatchNormParameters p{c.gamma.data(), c.beta.data(), 1e-5f};
    const auto dh = random_values(c.x.size(), 6);
    std::vector<float> z(c.x.size()), h(z), fused(z), mean(s.channels), inv_std(s.channels);
    kernel.train_forward(p, c.x.data(), z.data(), s.rows, s.channels, mean.data(), inv_std.data(), nullptr, nullptr);
    kernel.train_forward(p, c.x.data(), fused.data(), s.rows, s.channels, mean.data(), inv_std.data(), nullptr, nullptr,
                         0.1f, activation, 2);
    activate<TestType>(activation, z.data(), h.data(), z.size());
    CHECK(equal(h, fused));

    // Reference: the activation's gradient from z in f32 (its steps must fall alike), the rest in double.
    std::vector<float> dz(z.size());
    const double parameter = activate_backward<TestType>(activation, z.data(), dh.data(), dz.data(), z.size());
    std::vector<double> dbeta(s.channels), dgamma(s.channels), dx(z.size());
    const double n = static_cast<double>(s.rows);
    const auto hat = [&](std::size_t i) {
      const std::size_t k = i % s.channels;
      return (static_cast<double>(c.x[i]) - c.mean[k]) / std::sqrt(c.variance[k] + 1e-5);
    };
    for (std::size_t i = 0; i < z.size(); ++i) {
      dbeta[i % s.channels] += static_cast<double>(dz[i]);
      dgamma[i % s.channels] += static_cast<double>(dz[i]) * hat(i);
    }
    for (std::size_t i = 0; i < z.size(); ++i) {
      const std::size_t k = i % s.channels;
      dx[i] = static_cast<double>(c.gamma[k]) / std::sqrt(c.variance[k] + 1e-5) *
              (static_cast<double>(dz[i]) - dbeta[k] / n - hat(i) * dgamma[k] / n);
    }
    std::vector<float> got(z.size()), gg(s.channels), gb(s.channels), first;
    for (const int threads : {1, 2, 3}) {
      const double by_kernel = kernel.backward(p, c.x.data(), dh.data(), got.data(), s.rows, s.channels, mean.data(),
                                               inv_std.data(), gg.data(), gb.data(), activation, threads);
      CHECK(worst(got, dx) < 1e-5);
      CHECK(worst(gg, dgamma) < 1e-5);
      CHECK(worst(gb, dbeta) < 1e-5);
      CHECK(std::abs(by_kernel - parameter) < 1e-6 * n * static_cast<double>(s.channels));
      if (threads == 1) first = got;
      CHECK(equal(first, got));
    }
    // In place.
    std::vector<float> in_place = dh;
    kernel.backward(p, c.x.data(), in_place.data(), in_place.data(), s.rows, s.channels, mean.data(), inv_std.data(),
                    gg.data(), gb.data(), activation, 1);
    CHECK(equal(first, in_place));
  };
  for (const Size s : sizes) {
    if (s.rows < 7) continue;  // with one or two rows the deviations are rounding alone
    CAPTURE(s.rows, s.channels);
    run(Identity{}, s);
    run(Relu{}, s);
    run(Qcfs{1.5f, 5, QcfsGradient::floor_first}, s);
    run(Qcfs{1.5f, 8, QcfsGradient::clip_first}, s);
  }
}
