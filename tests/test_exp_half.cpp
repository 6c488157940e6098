// exp of float16 and bfloat16 for every one of their values, on every back-end; conversions.
#include "backends.hpp"
#include "catch.hpp"
#include "guarded.hpp"
#include "worst.hpp"

#include <spiq/kernel/exp_half.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using spiq::bfloat16;
using spiq::float16;
using spiq_test::Extremes;
namespace accuracy = spiq::accuracy;
namespace kernel = spiq::kernel;

namespace {

template <class Half>
std::vector<Half> all_values() {
  std::vector<Half> x(65536);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = Half::from_bits(static_cast<std::uint16_t>(i));
  return x;
}
template <class Rung, class Arch, class Half>
std::vector<Half> exp_of(const std::vector<Half>& x) {
  std::vector<Half> y(x.size());
  spiq::math::exp<Rung, Arch>(std::span<const Half>(x), std::span<Half>(y));
  return y;
}
template <class Rung, class Arch, class Half>
Extremes errors(double from, double to) {
  const std::vector<Half> x = all_values<Half>(), y = exp_of<Rung, Arch>(x);
  Extremes e;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double v = static_cast<float>(x[i]);
    if (!(v >= from && v <= to)) continue;
    e.add(double{static_cast<float>(y[i])} / std::exp(v) - 1);
  }
  return e;
}
#define CHECK_WITHIN(e, lower, upper)               \
  do {                                              \
    INFO((e).low << " ... " << (e).high);           \
    CHECK((e).low >= (lower));                      \
    CHECK((e).high <= (upper));                     \
  } while (false)

/// half precision by the definition, for comparison
float decoded(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31, mantissa = bits & 1023;
  double value = 0;
  if (exponent == 31)
    value = mantissa != 0 ? std::numeric_limits<double>::quiet_NaN() : std::numeric_limits<double>::infinity();
  else
    value = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return static_cast<float>((bits & 0x8000) != 0 ? -value : value);
}

}  // namespace

TEST_CASE("float16 and bfloat16 round to the nearest of their values", "[half]") {
  for (std::uint32_t i = 0; i < 65536; ++i) {
    const auto pattern = static_cast<std::uint16_t>(i);
    const float f = static_cast<float>(float16::from_bits(pattern));
    const bool nan = (pattern & 0x7fff) > 0x7c00;
    if (nan ? !std::isnan(f) : std::bit_cast<std::uint32_t>(f) != std::bit_cast<std::uint32_t>(decoded(pattern)))
      FAIL("float16 " << i << " is read as " << f);
    if (!nan && float16(f).bits != pattern) FAIL("float16 " << i << " comes back as " << float16(f).bits);
    if (nan && !std::isnan(static_cast<float>(float16(f)))) FAIL("NaN lost");
    // Half way to the next one: the even one of the two; a little off: the nearer.
    if ((pattern & 0x7fff) >= 0x7bff) continue;
    const float next = static_cast<float>(float16::from_bits(static_cast<std::uint16_t>(i + 1)));
    const float middle = 0.5f * (f + next);
    const auto even = static_cast<std::uint16_t>((i & 1) != 0 ? i + 1 : i);
    if (float16(middle).bits != even) FAIL("tie at " << middle);
    if (float16(std::nextafter(middle, f)).bits != pattern) FAIL("below the tie at " << middle);
    if (float16(std::nextafter(middle, next)).bits != i + 1) FAIL("above the tie at " << middle);
  }
  CHECK(float16(65519.0f).bits == 0x7bff);
  CHECK(float16(65520.0f).bits == 0x7c00);
  CHECK(float16(-1e30f).bits == 0xfc00);
  CHECK(float16(2.9e-8f).bits == 0);
}

TEMPLATE_LIST_TEST_CASE("conversions in bulk equal those one by one", "[half]", spiq_test::Backends) {
  std::vector<float> x;
  for (int e = -30; e <= 18; ++e)
    for (int m = 0; m < 40; ++m) {
      x.push_back(std::ldexp(1 + static_cast<float>(m) * 0.025f, e));
      x.push_back(-std::ldexp(1 + static_cast<float>(m) * 0x1p-12f, e));
    }
  for (const float special : {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1e-40f, 3.4e38f, 1e-8f}) x.push_back(special);
  const auto check = [&](auto sample) {
    using Half = decltype(sample);
    std::vector<Half> y(x.size());
    kernel::narrow<TestType>(x.data(), y.data(), x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (std::isnan(x[i]))
        CHECK(std::isnan(static_cast<float>(y[i])));
      else if (y[i].bits != Half(x[i]).bits)
        FAIL(x[i] << " becomes " << y[i].bits << ", not " << Half(x[i]).bits);
    }
    const std::vector<Half> all = all_values<Half>();
    std::vector<float> wide(all.size());
    kernel::widen<TestType>(all.data(), wide.data(), all.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
      const float f = static_cast<float>(all[i]);
      if (std::isnan(f) ? !std::isnan(wide[i]) : std::bit_cast<std::uint32_t>(f) != std::bit_cast<std::uint32_t>(wide[i]))
        FAIL(i << " is read as " << wide[i]);
    }
  };
  check(float16{});
  check(bfloat16{});
}

TEMPLATE_LIST_TEST_CASE("errors of exp in float16 and bfloat16, all values", "[half]", spiq_test::Backends) {
  INFO(TestType::name);
  CHECK_WITHIN((errors<accuracy::quake, TestType, float16>(-9.67, 11.08)), -0.0305, 0.0299);
  CHECK_WITHIN((errors<accuracy::quake2, TestType, float16>(-9.70, 11.08)), -0.00254, 0.0037);
  CHECK_WITHIN((errors<accuracy::full, TestType, float16>(-9.70, 11.08)), -0.00049, 0.00049);
  CHECK_WITHIN((errors<accuracy::quake, TestType, bfloat16>(-87, 88.7)), -0.0355, 0.0299);
  CHECK_WITHIN((errors<accuracy::quake2, TestType, bfloat16>(-87, 88.7)), -0.0059, 0.0074);
  CHECK_WITHIN((errors<accuracy::ladder3, TestType, bfloat16>(-87, 88.7)), -0.004, 0.004);
}

TEMPLATE_LIST_TEST_CASE("range policies of exp in 16 bits", "[half]", spiq_test::Backends) {
  const auto check = [](auto sample, auto rung, std::uint16_t top) {
    using Half = decltype(sample);
    using Rung = decltype(rung);
    const std::vector<Half> x{Half(-INFINITY), Half(-200.0f), Half(200.0f), Half(INFINITY), Half(NAN)};
    INFO(Rung::name << " on " << TestType::name << ", " << top);
    const auto saturated = exp_of<accuracy::saturating<Rung>, TestType>(x);
    const auto ieee = exp_of<accuracy::ieee<Rung>, TestType>(x);
    const auto checked = exp_of<accuracy::checked<Rung>, TestType>(x);
    for (const std::size_t i : std::initializer_list<std::size_t>{0, 1})
      CHECK((saturated[i].bits == 0 && ieee[i].bits == 0 && checked[i].bits == 0));
    for (const std::size_t i : std::initializer_list<std::size_t>{2, 3}) {
      CHECK(saturated[i].bits == top);
      CHECK(static_cast<float>(ieee[i]) == INFINITY);
    }
    CHECK(std::isnan(static_cast<float>(checked[4])));
  };
  check(float16{}, accuracy::quake{}, 0x7bff);
  check(float16{}, accuracy::quake2{}, 0x7bff);
  check(float16{}, accuracy::ladder3{}, 0x7bff);
  check(bfloat16{}, accuracy::quake{}, 0x7f7f);
  check(bfloat16{}, accuracy::quake2{}, 0x7f7f);
  check(bfloat16{}, accuracy::full{}, 0x7f7f);
}

TEMPLATE_LIST_TEST_CASE("exp in 16 bits: tails, affine maps, memory bounds", "[half]", spiq_test::Backends) {
  for (const std::size_t n : std::initializer_list<std::size_t>{0, 1, 3, 15, 16, 17, 33}) {
    spiq_test::Guarded<float16> x(n), y(n);
    std::vector<float16> mapped(n);
    for (std::size_t i = 0; i < n; ++i) {
      x[i] = float16(static_cast<float>(i) * 0.25f - 3.0f);
      mapped[i] = float16(2.0f * static_cast<float>(x[i]) + 0.5f);  // exact
    }
    kernel::exp<accuracy::quake2, TestType>(x.data(), y.data(), n, 2.0f, 0.5f);
    const std::vector<float16> expected = exp_of<accuracy::quake2, TestType>(mapped);
    for (std::size_t i = 0; i < n; ++i) CHECK(y[i].bits == expected[i].bits);
  }
  std::vector<float16> x(3), y(2);
  CHECK_THROWS_WITH((spiq::math::exp<accuracy::full, TestType>(std::span<const float16>(x), std::span<float16>(y))),
                    "exp: output: expected 3 values, found 2");
  std::vector<float16> z(3);
  CHECK_THROWS_WITH((spiq::math::exp<accuracy::quake, TestType>(std::span<const float16>(x), std::span<float16>(z),
                                                                {.scale = 1e31f})),
                    "exp: scale: expected a magnitude of at most 1e+30, found 1e+31");
}
