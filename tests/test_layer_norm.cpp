// Layer normalisation and its gradients against plain loops in double.
#include "backends.hpp"
#include "catch.hpp"
#include "guarded.hpp"

#include <spiq/core/random.hpp>
#include <spiq/kernel/layer_norm.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace math = spiq::math;
using math::LayerNormOptions;

namespace {
using Floats = std::vector<float>;
using Doubles = std::vector<double>;

Floats random(std::size_t n, std::uint64_t seed, float range = 1, float about = 0) {
  spiq::Rng rng(seed);
  Floats x(n);
  for (float& v : x) v = about + rng.uniform(-range, range);
  return x;
}

struct Reference {
  Doubles y, mean, rstd, dx, dgamma, dbeta;
  Reference(const LayerNormOptions& o, const Floats& x, const Floats& gamma, const Floats& beta, const Floats& dy = {})
      : y(x.size()), dx(x.size()), dgamma(o.cols), dbeta(o.cols) {
    const auto n = static_cast<double>(o.cols);
    for (std::size_t r = 0; r < o.rows; ++r) {
      const float* const row = x.data() + r * o.cols;
      double m = 0, square = 0, c1 = 0, c2 = 0;
      for (std::size_t c = 0; c < o.cols; ++c) m += double{row[c]} / n;
      for (std::size_t c = 0; c < o.cols; ++c) square += (double{row[c]} - m) * (double{row[c]} - m) / n;
      const double factor = 1 / std::sqrt(square + double{o.epsilon});
      mean.push_back(m);
      rstd.push_back(factor);
      const auto g = [&](std::size_t c) { return gamma.empty() ? 1.0 : double{gamma[c]}; };
      for (std::size_t c = 0; c < o.cols; ++c) {
        const double z = (double{row[c]} - m) * factor;
        y[r * o.cols + c] = z * g(c) + (beta.empty() ? 0.0 : double{beta[c]});
        if (dy.empty()) continue;
        const double up = double{dy[r * o.cols + c]};
        dgamma[c] += up * z;
        dbeta[c] += up;
        c1 += up * g(c) / n;
        c2 += up * g(c) * z / n;
      }
      for (std::size_t c = 0; c < o.cols && !dy.empty(); ++c)
        dx[r * o.cols + c] = factor * (double{dy[r * o.cols + c]} * g(c) - c1 - (double{row[c]} - m) * factor * c2);
    }
  }
};

double difference(const Floats& found, const Doubles& expected) {
  double worst = found.size() == expected.size() ? 0 : HUGE_VAL;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double d = std::abs(double{found[i]} - expected[i]);
    worst = std::max(worst, d <= HUGE_VAL ? d : HUGE_VAL);
  }
  return worst;
}

struct Found {
  Floats y, mean, rstd, dx, dgamma, dbeta;
};
template <class Arch>
Found run(const LayerNormOptions& o, const Floats& x, const Floats& gamma, const Floats& beta, const Floats& dy) {
  Found f{Floats(x.size()), Floats(o.rows),       Floats(o.rows),
          Floats(x.size()), Floats(o.cols, 9.0f), Floats(o.cols, 9.0f)};
  math::layer_norm<Arch>(x, gamma, beta, f.y, o, f.mean, f.rstd);
  math::layer_norm_backward<Arch>(x, gamma, f.mean, f.rstd, dy, f.dx, f.dgamma, f.dbeta, o);
  return f;
}
const std::vector<LayerNormOptions>& shapes() {
  static const std::vector<LayerNormOptions> list{
      {.rows = 1, .cols = 1},  {.rows = 3, .cols = 2},   {.rows = 5, .cols = 15},
      {.rows = 2, .cols = 64}, {.rows = 7, .cols = 129}, {.rows = 131, .cols = 40},
      {.rows = 0, .cols = 4},  {.rows = 4, .cols = 0},   {.rows = 3, .cols = 1000}};
  return list;
}
}  // namespace

TEMPLATE_LIST_TEST_CASE("layer norm and its gradients equal plain loops", "[layer_norm]", spiq_test::Backends) {
  for (const LayerNormOptions& o : shapes())
    for (const bool affine : {true, false}) {
      const Floats x = random(o.rows * o.cols, 1, 2, 0.3f), dy = random(o.rows * o.cols, 2);
      const Floats gamma = affine ? random(o.cols, 3) : Floats(), beta = affine ? random(o.cols, 4) : Floats();
      const Reference expected(o, x, gamma, beta, dy);
      const Found f = run<TestType>(o, x, gamma, beta, dy);
      INFO(TestType::name << ": " << o.rows << " x " << o.cols);
      CHECK(difference(f.y, expected.y) <= 3e-6);
      // A row of one or two columns divides by hardly more than epsilon.
      const double steep = o.cols < 3 ? 400 : 1;
      CHECK(difference(f.dx, expected.dx) <= 4e-6 * steep);
      CHECK(difference(f.dgamma, expected.dgamma) <= 4e-5);
      CHECK(difference(f.dbeta, expected.dbeta) <= 4e-5);
      if (o.cols > 0) CHECK(difference(f.mean, expected.mean) <= 1e-6);
      if (o.cols > 2) CHECK(difference(f.rstd, expected.rstd) <= 1e-5);
    }
}

TEMPLATE_LIST_TEST_CASE("a mean of 10000 costs layer norm no accuracy", "[layer_norm]", spiq_test::Backends) {
  for (const std::size_t cols : {33u, 768u}) {
    const LayerNormOptions o{.rows = 6, .cols = cols};
    const Floats x = random(o.rows * cols, 1, 1, 1e4f), dy = random(o.rows * cols, 2), gamma = random(cols, 3),
                 beta = random(cols, 4);
    const Reference expected(o, x, gamma, beta, dy);
    const Found f = run<TestType>(o, x, gamma, beta, dy);
    CHECK(difference(f.y, expected.y) <= 3e-6);
    CHECK(difference(f.dx, expected.dx) <= 1e-5);
    CHECK(difference(f.dgamma, expected.dgamma) <= 4e-5);
  }
  // Equal values: variance 0.
  const LayerNormOptions o{.rows = 2, .cols = 100};
  Floats y(200);
  math::layer_norm<TestType>(Floats(200, 12345.678f), {}, {}, y, o);
  CHECK(difference(y, Doubles(200)) <= 1e-5);
}

TEMPLATE_LIST_TEST_CASE("NaN stays in its row of layer norm, which may write over its input", "[layer_norm]",
                        spiq_test::Backends) {
  const LayerNormOptions o{.rows = 5, .cols = 37};
  Floats x = random(o.rows * o.cols, 1);
  const Floats clean = x;
  Floats expected(x.size());
  math::layer_norm<TestType>(clean, {}, {}, expected, o);
  x[2 * o.cols + 35] = std::numeric_limits<float>::quiet_NaN();
  math::layer_norm<TestType>(x, {}, {}, x, o);
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (i / o.cols == 2)
      CHECK(std::isnan(x[i]));
    else
      CHECK(x[i] == expected[i]);
  }
}

TEMPLATE_LIST_TEST_CASE("layer norm touches nothing beyond its arrays and does not depend on threads", "[layer_norm]",
                        spiq_test::Backends) {
  for (LayerNormOptions o : shapes()) {
    const std::size_t n = o.rows * o.cols;
    spiq_test::Guarded<float> x(n), y(n), gamma(o.cols), beta(o.cols), mean(o.rows), rstd(o.rows), dx(n),
        dgamma(o.cols), dbeta(o.cols);
    const Floats from = random(n, 1);
    std::copy(from.begin(), from.end(), x.data());
    math::layer_norm<TestType>({x.data(), n}, {gamma.data(), o.cols}, {beta.data(), o.cols}, {y.data(), n}, o,
                               {mean.data(), o.rows}, {rstd.data(), o.rows});
    math::layer_norm_backward<TestType>({x.data(), n}, {gamma.data(), o.cols}, {mean.data(), o.rows},
                                        {rstd.data(), o.rows}, {x.data(), n}, {dx.data(), n}, {dgamma.data(), o.cols},
                                        {dbeta.data(), o.cols}, o);
  }
  LayerNormOptions o{.rows = 300, .cols = 129};
  const Floats x = random(o.rows * o.cols, 1), dy = random(o.rows * o.cols, 2), gamma = random(o.cols, 3),
               beta = random(o.cols, 4);
  const Found one = run<TestType>(o, x, gamma, beta, dy);
  for (const int threads : {2, 3, 0}) {
    o.threads = threads;
    const Found many = run<TestType>(o, x, gamma, beta, dy);
    CHECK(many.y == one.y);
    CHECK(many.dx == one.dx);
    CHECK(many.dgamma == one.dgamma);
    CHECK(many.dbeta == one.dbeta);
  }
}

TEST_CASE("layer norm refuses spans of other sizes", "[layer_norm]") {
  const LayerNormOptions o{.rows = 2, .cols = 3};
  Floats x(6), y(6), row(3), other(4);
  CHECK_THROWS_AS(math::layer_norm(other, row, row, y, o), spiq::Error);
  CHECK_THROWS_AS(math::layer_norm(x, row, row, other, o), spiq::Error);
  CHECK_THROWS_AS(math::layer_norm(x, other, row, y, o), spiq::Error);
  CHECK_THROWS_AS(math::layer_norm(x, row, {}, y, o), spiq::Error);
  CHECK_THROWS_AS(math::layer_norm(x, row, row, y, o, other), spiq::Error);
  // 4 * rows is 4 in the arithmetic of std::size_t.
  const LayerNormOptions huge{.rows = std::numeric_limits<std::size_t>::max() / 4 + 2, .cols = 4};
  CHECK_THROWS_AS(math::layer_norm(other, {}, {}, other, huge), spiq::Error);
}
