// Softmax in every rung on every back-end, at every length, against plain loops in double.
#include "backends.hpp"
#include "catch.hpp"
#include "softmax_reference.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

using namespace spiq_test;

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
        Worst worst, off;
        for (std::size_t r = 0; r < rows; ++r) {
          for (std::size_t i = 0; i < n; ++i)
            worst.add(std::abs(static_cast<double>(y[r * n + i]) / expected[r][i] - 1));
          off.add(std::abs(sum_of(&y[r * n], n) - 1));
        }
        INFO(Rung::name << " on " << TestType::name << ", " << n << " columns, scale " << scale);
        CHECK(worst.value() <= ratio_bound<Rung>());
        CHECK(off.value() <= 1e-6);
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
      Worst worst, worst_log;
      for (std::size_t i = 0; i < z.size(); ++i) worst.add(std::abs(static_cast<double>(y[i]) / expected[i] - 1));
      INFO(Rung::name << " on " << TestType::name << ", slope " << slope);
      CHECK(worst.value() <= ratio_bound<Rung>());
      CHECK(std::abs(sum_of(y.data(), y.size()) - 1) <= 1e-6);
      const Floats l = log_softmax_of<Rung, TestType>(z, z.size());
      for (std::size_t i = 0; i < z.size(); ++i)
        worst_log.add(std::abs(static_cast<double>(l[i]) - std::log(expected[i])));
      CHECK(worst_log.value() <= -std::log(1 + Rung::lower) + 4e-6);
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
  near(softmax_of<accuracy::quake2, TestType>({1, 2, 3}, 3), {.089834, .245213, .664954});
  near(softmax_of<accuracy::full, TestType>({1, 2, 3}, 3), {.090031, .244728, .665241});

  const Floats x = normal(2000 * 64, 3, 1);
  const auto worst = [&](const Floats& y) {
    Worst error;
    for (std::size_t r = 0; r < 2000; ++r) {
      const std::vector<double> expected = exact_row(&x[r * 64], 64);
      for (std::size_t i = 0; i < 64; ++i) error.add(std::abs(static_cast<double>(y[r * 64 + i]) - expected[i]));
    }
    return error.value();
  };
  // The published figures are of another sample of the same distribution.
  const double quake = worst(softmax_of<accuracy::quake, TestType>(x, 64));
  CHECK(quake <= 1.35e-2);
  CHECK(quake >= 0.9e-2);
  const double quake2 = worst(softmax_of<accuracy::quake2, TestType>(x, 64));
  CHECK(quake2 <= 9.2e-4);
  CHECK(quake2 >= 6e-4);
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
        Worst worst;
        for (std::size_t i = 0; i < n; ++i)
          worst.add(std::abs(static_cast<double>(z[i]) / static_cast<double>(y[i]) - 1));
        INFO(Rung::name << " on " << TestType::name << ", " << n << " columns, moved by " << constant << ": " << worst.value());
        if (n <= static_cast<std::size_t>(simd::traits<TestType>::width) * 8 && simd::traits<TestType>::width > 1)
          CHECK(worst.value() == 0);  // subtracted first: exact
        else if constexpr (std::is_same_v<Rung, accuracy::ladder2>)
          CHECK(worst.value() < 4e-3);  // it jumps by that at powers of two
        else
          CHECK(worst.value() < 2e-5);  // folded: the resolution of QuAKE, as the documentation says
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
