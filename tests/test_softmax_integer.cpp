// Softmax of quantized scores by integers alone against softmax in double.
#include "catch.hpp"
#include "guarded.hpp"

#include <spiq/kernel/softmax_integer.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

namespace accuracy = spiq::accuracy;
namespace kernel = spiq::kernel;

namespace {

template <class Score>
std::vector<double> exact(const Score* scores, std::size_t n, double scale) {
  std::vector<double> p(n);
  double sum = 0;
  const Score top = *std::max_element(scores, scores + n);
  for (std::size_t i = 0; i < n; ++i) sum += p[i] = std::exp(scale * (double{static_cast<double>(scores[i])} - static_cast<double>(top)));
  for (double& v : p) v /= sum;
  return p;
}

template <class Rung, class Score, class Probability>
void check(double scale, std::size_t n, double spread, double relative) {
  std::mt19937 random(static_cast<unsigned>(n) + 7);
  std::normal_distribution<double> normal(0, spread / scale);
  std::vector<Score> scores(n);
  for (Score& s : scores) {
    const double v = std::clamp(std::round(normal(random)), double{std::numeric_limits<Score>::min()}, double{std::numeric_limits<Score>::max()});
    s = static_cast<Score>(v);
  }
  std::vector<Probability> p(n);
  spiq::math::softmax_integer<Rung>(std::span<const Score>(scores), std::span<Probability>(p),
                                    {.rows = 1, .cols = n, .scale = kernel::OctaveScale::of(scale)});
  const std::vector<double> expected = exact(scores.data(), n, scale);
  const double unit = std::is_same_v<Probability, std::uint8_t> ? 256 : 32768;
  const double top = std::is_same_v<Probability, std::uint8_t> ? 255 : 32767;
  double worst = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double wanted = std::min(expected[i] * unit, top);
    const double allowed = 0.5001 + (relative + 3e-8 * static_cast<double>(n)) * wanted;
    worst = std::max(worst, std::abs(double(p[i]) - wanted) / allowed);
  }
  INFO(Rung::name << ", scale " << scale << ", " << n << " scores: " << worst << " of the bound");
  CHECK(worst <= 1);
}

template <class Score, class Probability>
void check_all() {
  for (const double scale : {0.0001, 0.01, 0.05, 0.1, 0.7, 3.0})
    for (const std::size_t n : std::initializer_list<std::size_t>{1, 2, 15, 16, 17, 197, 1024, 50257}) {
      const double spread = std::min(3.0, 40 * scale);
      check<accuracy::quake, Score, Probability>(scale, n, std::is_same_v<Score, std::int8_t> ? spread : 3.0, 0.062);
      check<accuracy::quake2, Score, Probability>(scale, n, std::is_same_v<Score, std::int8_t> ? spread : 3.0, 0.0054);
    }
}

}  // namespace

// The kernel sees integers only.
static_assert(std::is_same_v<decltype(kernel::detail::integer_exp2<2>(0u)), std::uint32_t>);
static_assert(std::is_same_v<decltype(kernel::detail::OctavesBelow(0, {})(0)), std::uint32_t>);
static_assert(std::is_integral_v<decltype(kernel::OctaveScale::multiplier)> && std::is_integral_v<decltype(kernel::OctaveScale::exponent)>);

TEST_CASE("softmax by integers is within its bound of softmax in double", "[softmax]") {
  check_all<std::int8_t, std::uint8_t>();
  check_all<std::int8_t, std::int16_t>();
  check_all<std::int32_t, std::uint8_t>();
  check_all<std::int32_t, std::int16_t>();
}

TEST_CASE("scales of integer softmax are finite and positive", "[softmax]") {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double bad : {0.0, -0.0, -0.1, infinity, -infinity, std::numeric_limits<double>::quiet_NaN()})
    CHECK_THROWS_AS(kernel::OctaveScale::of(bad), spiq::Error);
  CHECK_THROWS_WITH(kernel::OctaveScale::of(-0.5), "OctaveScale: expected a finite positive scale, found -0.500000");
  CHECK(kernel::OctaveScale::of(1e-300).multiplier >= 1 << 30);
}

TEST_CASE("the integer form of the exponential", "[softmax]") {
  double low1 = 1, high1 = 1, low2 = 1, high2 = 1;
  for (std::uint32_t t = 0; t < (10u << 15); ++t) {
    const double e = std::exp2(-static_cast<double>(t) / 32768);
    const double r1 = kernel::detail::integer_exp2<1>(t) / 33554432.0 / e;
    const double r2 = kernel::detail::integer_exp2<2>(t) / (3 * 33554432.0) / e;
    low1 = std::min(low1, r1), high1 = std::max(high1, r1);
    low2 = std::min(low2, r2), high2 = std::max(high2, r2);
  }
  CHECK(low1 >= 0.9999);
  CHECK(high1 <= 1.06149);
  CHECK(low2 >= 1 - 0.00190);
  CHECK(high2 <= 1 + 0.003421);
  CHECK(kernel::detail::integer_exp2<2>(0) == 3u << 25);
  CHECK(kernel::detail::integer_exp2<2>(0xffffffffu) == 0);
}

TEST_CASE("softmax by integers at the ends of the types", "[softmax]") {
  const std::int32_t lowest = std::numeric_limits<std::int32_t>::min(), highest = std::numeric_limits<std::int32_t>::max();
  const std::vector<std::int32_t> scores{lowest, highest, lowest, highest};
  std::vector<std::int16_t> p(4);
  for (const double scale : {1e-12, 1e-9, 1.0, 1e4, 1e9}) {
    spiq::math::softmax_integer<accuracy::quake2>(std::span<const std::int32_t>(scores), std::span<std::int16_t>(p),
                                                  {.rows = 1, .cols = 4, .scale = kernel::OctaveScale::of(scale)});
    INFO("scale " << scale);
    CHECK(p[0] == p[2]);
    CHECK(p[1] == p[3]);
    CHECK(std::abs(p[1] - 32768 / 2 / (1 + std::exp(-scale * 4294967295.0))) <= 100);
  }
  // Constant rows are exactly uniform, whatever the constant; a single score is 1, saturated.
  for (const std::int32_t value : {lowest, -1, 0, highest}) {
    const std::vector<std::int32_t> row(8, value);
    std::vector<std::int16_t> q(8);
    kernel::softmax_integer<accuracy::quake>(row.data(), q.data(), 1, 8, kernel::OctaveScale::of(0.1));
    CHECK(q == std::vector<std::int16_t>(8, 4096));
    kernel::softmax_integer<accuracy::quake>(row.data(), q.data(), 1, 1, kernel::OctaveScale::of(0.1));
    CHECK(q[0] == 32767);
  }
}

TEST_CASE("softmax by integers: rows, threads, sizes, memory bounds", "[softmax]") {
  const std::size_t rows = 5, cols = 33;
  spiq_test::Guarded<std::int8_t> scores(rows * cols);
  spiq_test::Guarded<std::uint8_t> together(rows * cols), threaded(rows * cols);
  for (std::size_t i = 0; i < rows * cols; ++i) scores[i] = static_cast<std::int8_t>(i * 37 % 256);
  const auto scale = kernel::OctaveScale::of(0.04);
  kernel::softmax_integer<accuracy::quake2>(scores.data(), together.data(), rows, cols, scale);
  kernel::softmax_integer<accuracy::quake2>(scores.data(), threaded.data(), rows, cols, scale, 2);
  for (std::size_t r = 0; r < rows; ++r) {
    std::vector<std::uint8_t> one(cols);
    kernel::softmax_integer<accuracy::quake2>(scores.data() + r * cols, one.data(), 1, cols, scale);
    CHECK(std::equal(one.begin(), one.end(), together.data() + r * cols));
    CHECK(std::equal(one.begin(), one.end(), threaded.data() + r * cols));
  }
  kernel::softmax_integer<accuracy::quake2>(scores.data(), together.data(), 0, cols, scale);
  kernel::softmax_integer<accuracy::quake2>(scores.data(), together.data(), 3, 0, scale);
  std::vector<std::int8_t> x(3);
  std::vector<std::uint8_t> y(4);
  CHECK_THROWS_WITH(spiq::math::softmax_integer<accuracy::quake>(std::span<const std::int8_t>(x), std::span<std::uint8_t>(y), {.rows = 1, .cols = 4}),
                    "softmax_integer: scores: expected 4 values, found 3");
  // 4 * rows is 4 in the arithmetic of std::size_t.
  constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();
  const std::vector<std::int8_t> four(4);
  using Options = spiq::math::IntegerSoftmaxOptions;
  const auto run = [](std::span<const std::int8_t> from, std::span<std::uint8_t> to, Options o) {
    spiq::math::softmax_integer<accuracy::quake>(from, to, o);
  };
  CHECK_THROWS_AS(run(four, y, {.rows = largest / 4 + 2, .cols = 4}), spiq::Error);
  run({}, {}, {.rows = 0, .cols = largest});
}
