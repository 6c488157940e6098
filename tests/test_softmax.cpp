// Softmax and its logarithm with gradients, in every rung on every back-end, against plain loops in double.
#include "backends.hpp"
#include "catch.hpp"
#include "guarded.hpp"

#include <spiq/core/random.hpp>
#include <spiq/core/storage.hpp>
#include <spiq/kernel/softmax_backward.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

namespace accuracy = spiq::accuracy;
namespace math = spiq::math;
namespace simd = spiq::simd;

namespace {

// Aligned: where a row lies decides in which order its sum is taken, hence its last bits.
using Floats = spiq::AlignedVector<float>;
constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();

/// Without those that differ from one of these by a constant only; tests/test_exp.cpp has them.
using Rungs = std::tuple<accuracy::quake, accuracy::quake2, accuracy::quake2_balanced, accuracy::ladder2,
                         accuracy::ladder3, accuracy::ladder4, accuracy::ladder5, accuracy::full>;
using MainRungs = std::tuple<accuracy::quake, accuracy::quake2, accuracy::ladder3, accuracy::full>;
using FewRungs = std::tuple<accuracy::quake, accuracy::full>;
template <class Arch>
constexpr bool between = !std::is_same_v<Arch, simd::best> && !std::is_same_v<Arch, simd::scalar>;
/// All of them on the best back-end, one of each kind where `Every` is false and on scalar code; two on the back-ends
/// between, for the compiler's sake: each is the best one in a build for its machine.
template <class Arch, bool Every, class F>
void for_rungs(const F& f) {
  std::apply([&](auto... rung) { (f(rung), ...); },
             std::conditional_t<between<Arch>, FewRungs,
                                std::conditional_t<Every && std::is_same_v<Arch, simd::best>, Rungs, MainRungs>>{});
}

/// Values of a normal distribution.
Floats normal(std::size_t count, double deviation, std::uint64_t seed) {
  spiq::Rng rng(seed);
  Floats x(count);
  for (float& v : x) {
    const double u = 1 - static_cast<double>(rng.uniform(0.0f, 1.0f)), w = static_cast<double>(rng.uniform(0.0f, 1.0f));
    v = static_cast<float>(deviation * std::sqrt(-2 * std::log(std::max(u, 1e-12))) * std::cos(6.283185307179586 * w));
  }
  return x;
}

/// Softmax (or its logarithm) of one row of mapped scores, in double.
std::vector<double> exact_row(const std::vector<double>& z, bool logarithm) {
  const double top = *std::max_element(z.begin(), z.end());
  double sum = 0;
  for (double v : z) sum += std::exp(v - top);
  std::vector<double> y(z.size());
  for (std::size_t i = 0; i < z.size(); ++i) y[i] = logarithm ? z[i] - top - std::log(sum) : std::exp(z[i] - top) / sum;
  return y;
}
std::vector<double> exact_row(const float* x, std::size_t n, double scale = 1, bool logarithm = false) {
  std::vector<double> z(n);
  for (std::size_t i = 0; i < n; ++i) z[i] = scale * static_cast<double>(x[i]);
  return exact_row(z, logarithm);
}

/// Largest relative error that a rung's own allows in a ratio.
template <class Rung>
constexpr double ratio_bound() {
  return (1 + Rung::upper) / (1 + Rung::lower) - 1 + 2e-6;
}
double sum_of(const float* y, std::size_t n) {
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += static_cast<double>(y[i]);
  return sum;
}

template <class Rung, class Arch>
Floats softmax_of(const Floats& x, std::size_t cols, math::SoftmaxOptions o = {}) {
  Floats y(x.size());
  o.cols = cols;
  o.rows = x.size() / cols;
  math::softmax<Rung, Arch>(x, y, o);
  return y;
}
template <class Rung, class Arch>
Floats log_softmax_of(const Floats& x, std::size_t cols, math::SoftmaxOptions o = {}) {
  Floats y(x.size());
  o.cols = cols;
  o.rows = x.size() / cols;
  math::log_softmax<Rung, Arch>(x, y, o);
  return y;
}

/// Lengths on both sides of every border: vectors, rows in registers, three passes, blocks, beyond the second cache.
std::vector<std::size_t> lengths() {
  return {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 197, 255, 256, 257, 300, 1000, 1024, 4096, 4097, 6145, 50257};
}
constexpr std::size_t beyond_l2 = 140001;

}  // namespace

TEMPLATE_LIST_TEST_CASE("softmax of every rung keeps its bound and sums to 1, at every length", "[softmax]",
                        spiq_test::Backends) {
  for (std::size_t n : lengths()) {
    const std::size_t rows = n > 5000 ? 1 : 3;
    const Floats x = normal(rows * n, 3, n);
    for (const float scale : {1.0f, 0.3f}) {
      std::vector<std::vector<double>> expected;
      for (std::size_t r = 0; r < rows; ++r) expected.push_back(exact_row(&x[r * n], n, static_cast<double>(scale)));
      for_rungs<TestType, true>([&](auto rung) {
        using Rung = decltype(rung);
        const Floats y = softmax_of<Rung, TestType>(x, n, {.scale = scale});
        double worst = 0, off = 0;
        for (std::size_t r = 0; r < rows; ++r) {
          for (std::size_t i = 0; i < n; ++i)
            worst = std::max(worst, std::abs(static_cast<double>(y[r * n + i]) / expected[r][i] - 1));
          off = std::max(off, std::abs(sum_of(&y[r * n], n) - 1));
        }
        INFO(Rung::name << " on " << TestType::name << ", " << n << " columns, scale " << scale);
        CHECK(worst <= ratio_bound<Rung>());
        CHECK(off <= 1e-6);
      });
    }
  }
}

TEMPLATE_LIST_TEST_CASE("rows beyond the second cache, rising and falling", "[softmax]", spiq_test::Backends) {
  Floats x = normal(beyond_l2, 2, 5);
  for (int slope = -1; slope <= 1; ++slope) {
    Floats z(x);
    for (std::size_t i = 0; i < z.size(); ++i) z[i] += static_cast<float>(slope) * 1e-4f * static_cast<float>(i);
    const std::vector<double> expected = exact_row(z.data(), z.size());
    const auto check = [&](auto rung) {
      using Rung = decltype(rung);
      Floats y = softmax_of<Rung, TestType>(z, z.size());
      double worst = 0;
      for (std::size_t i = 0; i < z.size(); ++i) worst = std::max(worst, std::abs(static_cast<double>(y[i]) / expected[i] - 1));
      INFO(Rung::name << " on " << TestType::name << ", slope " << slope);
      CHECK(worst <= ratio_bound<Rung>());
      CHECK(std::abs(sum_of(y.data(), y.size()) - 1) <= 1e-6);
      const Floats l = log_softmax_of<Rung, TestType>(z, z.size());
      worst = 0;
      for (std::size_t i = 0; i < z.size(); ++i) worst = std::max(worst, std::abs(static_cast<double>(l[i]) - std::log(expected[i])));
      CHECK(worst <= -std::log(1 + Rung::lower) + 4e-6);
      math::softmax<Rung, TestType>(z, z, {.cols = z.size()});
      CHECK(z == y);
    };
    const Floats keep(z);
    check(accuracy::quake{});
    z = keep;
    if constexpr (!between<TestType>) check(accuracy::ladder3{});
    z = keep;
    check(accuracy::full{});
  }
}

TEMPLATE_LIST_TEST_CASE("published softmax values of QuAKE", "[softmax]", spiq_test::Backends) {
  const auto near = [](const Floats& y, std::initializer_list<double> expected) {
    std::size_t i = 0;
    for (double e : expected) CHECK(std::abs(static_cast<double>(y[i++]) - e) <= 2e-5);
  };
  near(softmax_of<accuracy::quake, TestType>({1, 2, 3}, 3), {.089817, .253890, .656293});
  if constexpr (!between<TestType>)
    near(softmax_of<accuracy::quake2, TestType>({1, 2, 3}, 3), {.089834, .245213, .664954});
  near(softmax_of<accuracy::full, TestType>({1, 2, 3}, 3), {.090031, .244728, .665241});

  const Floats x = normal(2000 * 64, 3, 1);
  const auto worst = [&](const Floats& y) {
    double error = 0;
    for (std::size_t r = 0; r < 2000; ++r) {
      const std::vector<double> expected = exact_row(&x[r * 64], 64);
      for (std::size_t i = 0; i < 64; ++i) error = std::max(error, std::abs(static_cast<double>(y[r * 64 + i]) - expected[i]));
    }
    return error;
  };
  // The published figures are of another sample of the same distribution.
  const double quake = worst(softmax_of<accuracy::quake, TestType>(x, 64));
  CHECK(quake <= 1.35e-2);
  CHECK(quake >= 0.9e-2);
  if constexpr (!between<TestType>) {
    const double quake2 = worst(softmax_of<accuracy::quake2, TestType>(x, 64));
    CHECK(quake2 <= 9.2e-4);
    CHECK(quake2 >= 6e-4);
  }
}

TEMPLATE_LIST_TEST_CASE("softmax does not move with its row", "[softmax]", spiq_test::Backends) {
  for (std::size_t n : {std::size_t{10}, std::size_t{64}, std::size_t{197}, std::size_t{1024}, std::size_t{9000}}) {
    Floats x = normal(n, 3, n);
    for (float& v : x) v = std::round(v * 1024) / 1024;  // so that sums with the constant are exact
    for_rungs<TestType, true>([&](auto rung) {
      using Rung = decltype(rung);
      const Floats y = softmax_of<Rung, TestType>(x, n);
      for (const float constant : {1.0f, -37.0f, 200.0f, 1000.0f}) {
        Floats moved(x);
        for (float& v : moved) v += constant;
        const Floats z = softmax_of<Rung, TestType>(moved, n);
        double worst = 0;
        for (std::size_t i = 0; i < n; ++i) worst = std::max(worst, std::abs(static_cast<double>(z[i]) / static_cast<double>(y[i]) - 1));
        INFO(Rung::name << " on " << TestType::name << ", " << n << " columns, moved by " << constant);
        if (n <= static_cast<std::size_t>(simd::traits<TestType>::width) * 8 && simd::traits<TestType>::width > 1)
          CHECK(worst == 0);  // subtracted first: exact
        else if constexpr (std::is_same_v<Rung, accuracy::ladder2>)
          CHECK(worst < 4e-3);  // it jumps by that at powers of two
        else
          CHECK(worst < 4e-5);  // folded: the resolution of QuAKE
      }
    });
  }
}

TEMPLATE_LIST_TEST_CASE("constant rows give 1/n throughout", "[softmax]", spiq_test::Backends) {
  for (std::size_t n : {std::size_t{1}, std::size_t{10}, std::size_t{197}, std::size_t{1023}, std::size_t{50257}, beyond_l2}) {
    for (const float value : {0.0f, -3.7f, 88.0f, 1e30f, -3.4e38f}) {
      const Floats x(n, value);
      for_rungs<TestType, true>([&](auto rung) {
        using Rung = decltype(rung);
        const Floats y = softmax_of<Rung, TestType>(x, n);
        INFO(Rung::name << " on " << TestType::name << ", " << n << " columns of " << value);
        CHECK(std::count(y.begin(), y.end(), y[0]) == static_cast<std::ptrdiff_t>(n));
        CHECK(std::abs(static_cast<double>(y[0]) * static_cast<double>(n) - 1) <= 1e-6);
      });
    }
  }
}

TEMPLATE_LIST_TEST_CASE("infinities, NaN and rows without a score", "[softmax]", spiq_test::Backends) {
  for (std::size_t n : {std::size_t{5}, std::size_t{70}, std::size_t{1000}, std::size_t{9001}, beyond_l2}) {
    for_rungs<TestType, false>([&](auto rung) {
      using Rung = decltype(rung);
      INFO(Rung::name << " on " << TestType::name << ", " << n << " columns");
      // -inf is exactly 0; the others are as if it were not there. The first block may hold nothing else.
      Floats x(n, -inf);
      x[n - 1] = 2;
      x[n - 2] = 2;
      Floats y = softmax_of<Rung, TestType>(x, n);
      CHECK(std::count(y.begin(), y.end(), 0.0f) == static_cast<std::ptrdiff_t>(n - 2));
      CHECK(std::abs(y[n - 1] - 0.5f) <= 1e-6f);
      CHECK(log_softmax_of<Rung, TestType>(x, n)[0] == -inf);
      // Far below: 0 as well, and no infinities on the way.
      x.assign(n, -3e38f);
      x[0] = 3e38f;
      y = softmax_of<Rung, TestType>(x, n);
      CHECK(std::abs(y[0] - 1) <= 1e-6f);
      CHECK(y[1] == 0);

      // Nothing but -inf.
      x.assign(n, -inf);
      CHECK(softmax_of<Rung, TestType>(x, n) == Floats(n, 0.0f));
      CHECK(log_softmax_of<Rung, TestType>(x, n) == Floats(n, -inf));
      CHECK(softmax_of<Rung, TestType>(x, n, {.empty = math::EmptyRow::uniform}) == Floats(n, 1 / static_cast<float>(n)));
      CHECK(std::abs(log_softmax_of<Rung, TestType>(x, n, {.empty = math::EmptyRow::uniform})[1] + std::log(static_cast<float>(n))) <= 1e-5f);

      // +inf takes all, two of them share; in place too.
      x = normal(n, 1, 3);
      x[n / 2] = inf;
      y = softmax_of<Rung, TestType>(x, n);
      CHECK(y[n / 2] == 1);
      CHECK(std::count(y.begin(), y.end(), 0.0f) == static_cast<std::ptrdiff_t>(n - 1));
      x[n - 1] = inf;
      math::softmax<Rung, TestType>(x, x, {.cols = n});
      CHECK(x[n / 2] == 0.5f);
      CHECK(x[n - 1] == 0.5f);
      CHECK(x[0] == 0);

      // NaN: the row, or nothing.
      for (std::size_t where : {std::size_t{0}, n / 2, n - 1}) {
        for (const float others : {1.0f, -inf, inf}) {
          x.assign(n, others);
          x[where] = nan_value;
          y = softmax_of<Rung, TestType>(x, n);
          Floats in_place(x);
          math::softmax<Rung, TestType>(in_place, in_place, {.cols = n});
          INFO("NaN at " << where << " among " << others);
          if constexpr (Rung::nan == accuracy::Nan::propagate) {
            CHECK(std::all_of(y.begin(), y.end(), [](float v) { return std::isnan(v); }));
            CHECK(std::all_of(in_place.begin(), in_place.end(), [](float v) { return std::isnan(v); }));
          } else {
            CHECK(y[where] == 0);
            CHECK(std::abs(sum_of(y.data(), n) - (others == -inf ? 0 : 1)) <= 1e-6);
            CHECK(in_place == y);
          }
          x[(where + 1) % n] = 3;
          if constexpr (std::is_same_v<Rung, accuracy::quake>) {
            y = softmax_of<accuracy::checked<Rung>, TestType>(x, n);
            CHECK(std::all_of(y.begin(), y.end(), [](float v) { return std::isnan(v); }));
          }
        }
      }
    });
  }
}

TEMPLATE_LIST_TEST_CASE("scale, masks and causal masks, with strides, in place, by threads", "[softmax]", spiq_test::Backends) {
  spiq::Rng rng(7);
  struct Shape {
    std::size_t rows, cols, masks, queries;
    bool causal;
    std::ptrdiff_t offset;
  };
  const Shape shapes[] = {{6, 5, 0, 0, true, 0},   {6, 40, 1, 0, false, 0},  {6, 40, 6, 0, true, 3},   {12, 33, 3, 3, true, 30},
                          {4, 300, 2, 2, true, 297}, {5, 70, 5, 0, true, -3}, {2, 9000, 1, 2, true, 8000}, {3, 17, 0, 0, false, 0}};
  for (const Shape& s : shapes) {
    for (const float scale : {1.0f, 0.125f, -0.5f, 0.0f}) {
      const std::size_t in = s.cols + 3, out = s.cols + 1;
      const Floats x = normal(s.rows * in, 4, s.cols);
      Floats mask = normal(s.masks * s.cols, 1, 9);
      for (float& v : mask) v = rng.uniform(0.0f, 1.0f) < 0.2f ? -inf : v;
      math::SoftmaxOptions o{.rows = s.rows, .cols = s.cols, .scale = scale, .mask = mask, .causal = s.causal,
                             .past = s.offset, .queries = s.queries, .input_stride = in, .output_stride = out};
      Floats y(s.rows * out, -7.0f), l(y), threaded(y);
      math::softmax<accuracy::full, TestType>(x, y, o);
      math::log_softmax<accuracy::full, TestType>(x, l, o);
      o.threads = 2;
      math::softmax<accuracy::full, TestType>(x, threaded, o);
      INFO(s.rows << " x " << s.cols << ", scale " << scale << " on " << TestType::name);
      CHECK(threaded == y);
      double worst = 0, worst_log = 0;
      for (std::size_t r = 0; r < s.rows; ++r) {
        const auto query = static_cast<std::ptrdiff_t>(s.queries == 0 ? r : r % s.queries);
        std::vector<double> z(s.cols);
        bool any = false;
        for (std::size_t c = 0; c < s.cols; ++c) {
          z[c] = static_cast<double>(scale) * static_cast<double>(x[r * in + c]);
          if (s.masks != 0) z[c] += static_cast<double>(mask[r % s.masks * s.cols + c]);
          if (s.causal && static_cast<std::ptrdiff_t>(c) > query + s.offset) z[c] = -HUGE_VAL;
          any = any || z[c] > -HUGE_VAL;
        }
        const std::vector<double> p = any ? exact_row(z, false) : std::vector<double>(s.cols, 0.0);
        for (std::size_t c = 0; c < s.cols; ++c) {
          worst = std::max(worst, std::abs(static_cast<double>(y[r * out + c]) - p[c]));
          if (p[c] == 0)
            worst_log = std::max(worst_log, l[r * out + c] < -80 ? 0.0 : 1.0);
          else
            worst_log = std::max(worst_log, std::abs(static_cast<double>(l[r * out + c]) - std::log(p[c])));
        }
        if (r + 1 < s.rows) CHECK(y[r * out + s.cols] == -7.0f);
      }
      CHECK(worst <= 2e-6);
      CHECK(worst_log <= 1e-5);

      Floats in_place(x);
      o.output_stride = in;
      math::softmax<accuracy::full, TestType>(in_place, in_place, o);
      worst = 0;
      for (std::size_t r = 0; r < s.rows; ++r)
        for (std::size_t c = 0; c < s.cols; ++c) worst = std::max(worst, static_cast<double>(std::abs(in_place[r * in + c] - y[r * out + c])));
      CHECK(worst <= 1e-6);
    }
  }
  // A row that sees nothing, uniform.
  const Floats y = softmax_of<accuracy::quake, TestType>({1, 2, 3, 4}, 2, {.causal = true, .past = -1, .empty = math::EmptyRow::uniform});
  CHECK(y[0] == 0.5f);
  CHECK(y[1] == 0.5f);
  CHECK(std::abs(y[2] - 1) <= 1e-6f);
  CHECK(y[3] == 0);
}

TEMPLATE_LIST_TEST_CASE("log-softmax of every rung", "[softmax]", spiq_test::Backends) {
  for (std::size_t n : {std::size_t{1}, std::size_t{10}, std::size_t{197}, std::size_t{1000}, std::size_t{9001}}) {
    const Floats x = normal(2 * n, 3, n);
    for_rungs<TestType, false>([&](auto rung) {
      using Rung = decltype(rung);
      const Floats y = log_softmax_of<Rung, TestType>(x, n, {.scale = 1.5f});
      double worst = 0;
      for (std::size_t r = 0; r < 2; ++r) {
        const std::vector<double> expected = exact_row(&x[r * n], n, 1.5, true);
        for (std::size_t i = 0; i < n; ++i) worst = std::max(worst, std::abs(static_cast<double>(y[r * n + i]) - expected[i]));
      }
      INFO(Rung::name << " on " << TestType::name << ", " << n << " columns");
      CHECK(worst <= std::max(-std::log(1 + Rung::lower), std::log(1 + Rung::upper)) + 8e-6);
    });
  }
}

TEMPLATE_LIST_TEST_CASE("gradients of softmax and log-softmax", "[softmax]", spiq_test::Backends) {
  for (std::size_t n : {std::size_t{1}, std::size_t{10}, std::size_t{65}, std::size_t{197}, std::size_t{5000}}) {
    const std::size_t rows = 3, stride = n + 2;
    const double scale = 0.7;
    const Floats x = normal(rows * n, 2, n), dy = normal(rows * stride, 1, n + 1);
    const Floats p = softmax_of<accuracy::full, TestType>(x, n, {.scale = 0.7f});
    const Floats l = log_softmax_of<accuracy::full, TestType>(x, n, {.scale = 0.7f});
    Floats dx(rows * n), dl(rows * n);
    const math::SoftmaxGradientOptions o{.rows = rows, .cols = n, .scale = 0.7f, .gradient_stride = stride, .threads = 2};
    math::softmax_backward<TestType>(p, dy, dx, o);
    math::log_softmax_backward<accuracy::full, TestType>(l, dy, dl, o);
    double worst = 0;
    for (std::size_t r = 0; r < rows; ++r) {
      const std::vector<double> y = exact_row(&x[r * n], n, static_cast<double>(0.7f));
      double dot = 0, total = 0;
      for (std::size_t i = 0; i < n; ++i) {
        dot += y[i] * static_cast<double>(dy[r * stride + i]);
        total += static_cast<double>(dy[r * stride + i]);
      }
      for (std::size_t i = 0; i < n; ++i) {
        const double g = static_cast<double>(dy[r * stride + i]);
        worst = std::max(worst, std::abs(static_cast<double>(dx[r * n + i]) - scale * y[i] * (g - dot)));
        worst = std::max(worst, std::abs(static_cast<double>(dl[r * n + i]) - scale * (g - y[i] * total)));
      }
    }
    INFO(n << " columns on " << TestType::name);
    CHECK(worst <= 5e-6);
    Floats in_place(p), dense(rows * n);
    for (std::size_t r = 0; r < rows; ++r) std::copy_n(&dy[r * stride], n, &dense[r * n]);
    math::softmax_backward<TestType>(in_place, dense, in_place, {.rows = rows, .cols = n, .scale = 0.7f});
    CHECK(in_place == dx);
    math::softmax_backward<TestType>(p, dense, dense, {.rows = rows, .cols = n, .scale = 0.7f});
    CHECK(dense == dx);
  }
}

TEMPLATE_LIST_TEST_CASE("softmax stays within its arrays", "[softmax]", spiq_test::Backends) {
  for (std::size_t n : {std::size_t{1}, std::size_t{13}, std::size_t{197}, std::size_t{261}, std::size_t{1003}, std::size_t{6001}, beyond_l2}) {
    spiq_test::Guarded<float> x(n), y(n), mask(n);
    for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<float>(i % 7), mask[i] = 0;
    spiq::kernel::softmax<accuracy::quake, TestType>(x.data(), y.data(), {.cols = n});
    CHECK(std::abs(sum_of(y.data(), n) - 1) <= 1e-6);
    spiq::kernel::softmax<accuracy::full, TestType>(x.data(), y.data(), {.cols = n, .mask = {mask.data(), n}});
    CHECK(std::abs(sum_of(y.data(), n) - 1) <= 1e-6);
    spiq::kernel::log_softmax<accuracy::full, TestType>(x.data(), y.data(), {.cols = n});
    spiq::kernel::log_softmax_backward<accuracy::full, TestType>(y.data(), x.data(), mask.data(), {.cols = n});
    spiq::kernel::softmax_backward<TestType>(y.data(), x.data(), mask.data(), {.cols = n});
  }
}

TEST_CASE("softmax refuses spans and masks that do not fit", "[softmax]") {
  Floats x(12), y(12), mask(5);
  CHECK_THROWS_WITH(math::softmax<accuracy::full>(x, y, {.rows = 4, .cols = 4}),
                    "softmax: scores: expected at least 16 values, found 12");
  CHECK_THROWS_WITH(math::softmax<accuracy::full>(x, y, {.rows = 3, .cols = 4, .mask = mask}),
                    "softmax: mask: expected rows of 4 values that divide 3 rows, found 5 values");
  CHECK_THROWS_WITH(math::softmax<accuracy::full>(x, y, {.rows = 3, .cols = 4, .output_stride = 3}),
                    "softmax: output: stride: expected at least 4, found 3");
  CHECK_THROWS_WITH(math::softmax_backward(x, x, std::span<float>(y).first(3), {.rows = 3, .cols = 4}),
                    "softmax gradient: output: expected at least 12 values, found 3");
  math::softmax<accuracy::full>(x, y, {.rows = 0, .cols = 4});
  math::softmax<accuracy::full>(x, y, {.rows = 4, .cols = 0});
}
