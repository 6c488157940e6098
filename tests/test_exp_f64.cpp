// exp of doubles: error bounds, range policies, tails.
#include "catch.hpp"
#include "guarded.hpp"
#include "worst.hpp"

#include <spiq/kernel/exp_f64.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace accuracy = spiq::accuracy;
namespace kernel = spiq::kernel;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

template <class Rung>
std::vector<double> exp_of(const std::vector<double>& x) {
  std::vector<double> y(x.size());
  spiq::math::exp<Rung>(x, y);
  return y;
}
std::vector<double> grid(double from, double to, std::size_t count) {
  std::vector<double> x(count);
  for (std::size_t i = 0; i < count; ++i) x[i] = from + (to - from) * static_cast<double>(i) / static_cast<double>(count - 1);
  return x;
}
template <class Rung>
void check_errors() {
  const std::vector<double> x = grid(-708.35, 709.78, 1000000), y = exp_of<Rung>(x);
  spiq_test::Extremes error;
  for (std::size_t i = 0; i < x.size(); ++i) error.add(y[i] / std::exp(x[i]) - 1);
  INFO(Rung::name << ": " << error.low << " ... " << error.high);
  CHECK(error.low >= Rung::lower);
  CHECK(error.high <= Rung::upper);
}

}  // namespace

TEST_CASE("relative errors of QuAKE in double", "[exp]") {
  check_errors<accuracy::quake>();
  check_errors<accuracy::quake_one_sided>();
  check_errors<accuracy::quake_rms>();
  check_errors<accuracy::quake2>();
  check_errors<accuracy::quake2_balanced>();
  check_errors<accuracy::quake2_scaled>();
  CHECK(exp_of<accuracy::quake2>({0.0})[0] == 1.0);
  // The published constants of the minimax line: 1 - s / 1 at x = 0.
  CHECK(std::abs(exp_of<accuracy::quake>({0.0})[0] - (1 - 0.0436774489 / 2)) < 1e-9);
}

TEST_CASE("full exp in double is within two units in the last place", "[exp]") {
  const auto units = [](const std::vector<double>& x) {
    const std::vector<double> y = exp_of<accuracy::full>(x);
    spiq_test::Worst worst;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const long double exact = std::exp(static_cast<long double>(x[i]));
      const int exponent = std::max(std::ilogb(exact), -1022);
      const long double error = std::abs(static_cast<long double>(y[i]) - exact);
      worst.add(static_cast<double>(error / std::ldexp(1.0L, exponent - 52)));
    }
    return worst.value();
  };
  CHECK(units(grid(-745.5, 709.78, 200000)) <= 2);
  CHECK(units(grid(-1, 1, 100000)) <= 2);
  CHECK(exp_of<accuracy::full>({0.0, -0.0}) == std::vector<double>{1, 1});
}

TEST_CASE("range policies in double", "[exp]") {
  const auto check = [](auto rung) {
    using Rung = decltype(rung);
    INFO(Rung::name);
    CHECK(exp_of<Rung>({-inf, -1e300, -800}) == std::vector<double>{0, 0, 0});
    CHECK(exp_of<accuracy::ieee<Rung>>({inf, 1e300, 711}) == std::vector<double>{inf, inf, inf});
    for (const double y : exp_of<accuracy::saturating<Rung>>({inf, 1e300, 711})) CHECK((y > 1.79e308 && std::isfinite(y)));
    CHECK(std::isnan(exp_of<accuracy::checked<Rung>>({not_a_number})[0]));
    CHECK_FALSE(std::isinf(exp_of<Rung>({not_a_number})[0]));
  };
  check(accuracy::quake{});
  check(accuracy::quake2{});
  check(accuracy::full{});
}

TEST_CASE("exp of doubles: tails, in place, affine maps", "[exp]") {
  for (const std::size_t n : std::initializer_list<std::size_t>{0, 1, 7, 31, 32, 33, 65}) {
    spiq_test::Guarded<double> x(n), y(n);
    std::vector<double> mapped(n);
    for (std::size_t i = 0; i < n; ++i) {
      x[i] = static_cast<double>(i) * 0.5 - 9;
      mapped[i] = 0.25 * x[i] - 1.5;
    }
    kernel::exp<accuracy::full>(x.data(), y.data(), n, 0.25, -1.5);
    const std::vector<double> expected = exp_of<accuracy::full>(mapped);
    for (std::size_t i = 0; i < n; ++i) CHECK(y[i] == expected[i]);
    kernel::exp<accuracy::full>(x.data(), x.data(), n, 0.25, -1.5, 2);
    for (std::size_t i = 0; i < n; ++i) CHECK(x[i] == expected[i]);
  }
  std::vector<double> x(3), y(4);
  CHECK_THROWS_WITH(spiq::math::exp<accuracy::full>(x, y), "exp: output: expected 3 values, found 4");
  CHECK_THROWS_WITH(spiq::math::exp<accuracy::quake>(x, x, {.shift = 1e300}),
                    "exp: shift: expected a magnitude of at most 1e+290, found 1e+300");
}
