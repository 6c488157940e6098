// Every primitive of simd/bits.hpp on every back-end, against plain scalar code.
#include "backends.hpp"
#include "catch.hpp"

#include <spiq/simd/simd.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace simd = spiq::simd;

namespace {

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr int lowest = std::numeric_limits<std::int32_t>::min(), highest = std::numeric_limits<std::int32_t>::max();

std::uint32_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }
/// Equal bits, or both NaN.
bool same(float a, float b) { return bits(a) == bits(b) || (std::isnan(a) && std::isnan(b)); }
bool same(std::int32_t a, std::int32_t b) { return a == b; }

/// Calls `vector` on whole vectors of the inputs and compares each lane with `scalar` of its input.
template <class To, class Arch, class From, class Vector, class Scalar>
void compare(const char* what, std::vector<From> x, const Vector& vector, const Scalar& scalar) {
  using V = simd::vec<From, Arch>;
  using W = simd::vec<To, Arch>;
  const auto width = static_cast<std::size_t>(V::width);
  const std::size_t wanted = x.size();
  x.resize((wanted + width - 1) / width * width, From{1});
  std::vector<To> y(x.size());
  for (std::size_t i = 0; i < x.size(); i += width) {
    const W w = vector(V::load(&x[i]));
    w.store(&y[i]);
  }
  for (std::size_t i = 0; i < wanted; ++i) {
    INFO(what << " on " << Arch::name << " of " << x[i] << " gives " << y[i] << ", not " << scalar(x[i]));
    if (!same(y[i], static_cast<To>(scalar(x[i])))) FAIL_CHECK("differs");
  }
}

const std::vector<float> floats{0.0f,   -0.0f,  1.0f,    -1.0f,     0.5f,      1.5f,   2.5f,     -2.5f,  0.49999997f,
                                3.7f,   -3.7f,  1e-40f,  -1e-40f,   123456.7f, 8e6f,   -8e6f,    1e-10f, 7.999999f,
                                -0.25f, -1e-7f, 1.0e7f,  16777216.0f};
const std::vector<float> specials{inf, -inf, not_a_number, 3.4e38f, -3.4e38f};
std::vector<float> with_specials() {
  std::vector<float> x = floats;
  x.insert(x.end(), specials.begin(), specials.end());
  return x;
}
const std::vector<std::int32_t> integers{0, 1, -1, 2, 7, 8, 31, 32, 33, -31, -32, 12345678, -12345678, 0x7f800000, lowest, highest, lowest + 1};

}  // namespace

TEMPLATE_LIST_TEST_CASE("bits, logic and shifts of vectors", "[simd]", spiq_test::Backends) {
  using A = TestType;
  using V = simd::vec<float, A>;
  using I = simd::vec<std::int32_t, A>;
  compare<std::int32_t, A>("bits_of", with_specials(), [](V v) { return bits_of(v); }, [](float x) { return std::bit_cast<std::int32_t>(x); });
  compare<float, A>("from_bits", integers, [](I v) { return from_bits(v); }, [](std::int32_t x) { return std::bit_cast<float>(x); });
  compare<std::int32_t, A>("and", integers, [](I v) { return v & I::broadcast(0x00ff00ff); }, [](std::int32_t x) { return x & 0x00ff00ff; });
  compare<std::int32_t, A>("or", integers, [](I v) { return v | I::broadcast(0x00ff00ff); }, [](std::int32_t x) { return x | 0x00ff00ff; });
  compare<std::int32_t, A>("shift_left", integers, [](I v) { return simd::shift_left<5>(v); },
                           [](std::int32_t x) { return static_cast<std::int32_t>(static_cast<std::uint32_t>(x) << 5); });
  compare<std::int32_t, A>("shift_right", integers, [](I v) { return simd::shift_right<5>(v); }, [](std::int32_t x) { return x >> 5; });
  compare<std::int32_t, A>("shift_right by 0", integers, [](I v) { return simd::shift_right<0>(v); }, [](std::int32_t x) { return x; });
  compare<std::int32_t, A>("min_i32", integers, [](I v) { return min_i32(v, I::broadcast(5)); }, [](std::int32_t x) { return std::min(x, 5); });
  compare<std::int32_t, A>("max_i32", integers, [](I v) { return max_i32(v, I::broadcast(-5)); }, [](std::int32_t x) { return std::max(x, -5); });
}

TEMPLATE_LIST_TEST_CASE("conversions and rounding of vectors", "[simd]", spiq_test::Backends) {
  using A = TestType;
  using V = simd::vec<float, A>;
  compare<std::int32_t, A>("round_i32", floats, [](V v) { return round_i32(v); }, [](float x) { return static_cast<std::int32_t>(std::nearbyint(x)); });
  std::vector<float> positive{inf, 3.4e38f, 2139094912.0f, 2139095040.0f, 4e9f, 2147483648.0f};
  for (const float x : floats)
    if (x >= 0) positive.push_back(x);
  for (const std::int32_t cap : {2139094912, 2139095040})
    compare<std::int32_t, A>("to_i32_capped", positive, [=](V v) { return to_i32_capped(v, cap); },
                             [=](float x) { return x >= static_cast<float>(cap) ? cap : static_cast<std::int32_t>(x); });
  const auto round = [](float x) { return std::nearbyint(x); };
  // The sign of zero is left open.
  compare<float, A>("round_nearest", floats, [](V v) { return round_nearest(v) + V::zero(); }, [&](float x) { return round(x) + 0.0f; });
  if constexpr (std::is_same_v<A, simd::best> && !std::is_same_v<A, simd::scalar> && simd::fuses_multiply_add<A>)
    compare<float, A>("round_nearest", specials, [](V v) { return round_nearest(v); }, round);
  std::vector<float> small;
  for (const float x : floats)
    if (std::abs(x) < 8388608.0f && !(x < 0 && x > -1e-6f)) small.push_back(x);  // right below 0 it rounds to 1, or not quite
  compare<float, A>("fraction", small, [](V v) { return fraction(v) + V::zero(); }, [](float x) { return x - std::floor(x) + 0.0f; });
}

TEMPLATE_LIST_TEST_CASE("limits of vectors", "[simd]", spiq_test::Backends) {
  using A = TestType;
  using V = simd::vec<float, A>;
  std::vector<float> x = floats;
  for (const float special : {inf, -inf, 3.4e38f, -3.4e38f, 89.0f, -105.0f, 89.5f, -105.5f, 88.9f, -104.9f}) x.push_back(special);
  compare<float, A>("limited", x, [](V v) { return simd::limited(v, -105.0f, 89.0f); }, [](float v) { return std::clamp(v, -105.0f, 89.0f); });
  for (const float nan : {not_a_number, -not_a_number}) {
    float lanes[64];
    simd::limited(V::broadcast(nan), -105.0f, 89.0f).store(lanes);
    CHECK((std::isnan(lanes[0]) || lanes[0] == -105.0f || lanes[0] == 89.0f));
  }
  // min and max hand on the second operand where one is NaN.
  compare<float, A>("min", with_specials(), [](V v) { return min(V::broadcast(2.0f), v); }, [](float v) { return 2.0f < v ? 2.0f : v; });
  compare<float, A>("max", with_specials(), [](V v) { return max(V::broadcast(2.0f), v); }, [](float v) { return 2.0f > v ? 2.0f : v; });
}

TEMPLATE_LIST_TEST_CASE("tables of floats", "[simd]", spiq_test::Backends) {
  using A = TestType;
  using I = simd::vec<std::int32_t, A>;
  static constexpr auto fill = [](auto& table, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) table[i] = static_cast<float>(i * i) + 0.5f;
  };
  float t4[4], t8[8], t16[16], t32[32], t64[64];
  fill(t4, 4), fill(t8, 8), fill(t16, 16), fill(t32, 32), fill(t64, 64);
  std::vector<std::int32_t> index = integers;
  for (std::int32_t i = 0; i < 64; ++i) index.push_back(i);
  const auto check = [&](const auto& table, std::int32_t n) {
    compare<float, A>("lookup", index, [&](I v) { return lookup(table, v); },
                      [&](std::int32_t i) { return table[static_cast<std::uint32_t>(i) & static_cast<std::uint32_t>(n - 1)]; });
  };
  check(t4, 4), check(t8, 8), check(t16, 16), check(t32, 32), check(t64, 64);
}

#if defined(SPIQ_SIMD_AVX512)  // the one architecture with the instruction
TEST_CASE("scaling by powers of two", "[simd]") {
  using A = simd::avx512;
  using V = simd::vec<float, A>;
  CHECK(simd::scales_by_exponent<A>);
  const std::vector<float> t{0.0f,   0.5f,   0.99f,   -0.01f,  3.7f,    -3.7f,   127.5f, 128.0f,
                             200.0f, -126.0f, -140.3f, -149.0f, -151.0f, -300.0f, inf,    -inf,   not_a_number};
  compare<float, A>("scale_by_exponent", t, [](V v) { return scale_by_exponent(V::broadcast(1.25f), v); }, [](float x) {
    if (std::isnan(x)) return x;
    return static_cast<float>(1.25 * std::exp2(std::floor(std::clamp(double{x}, -1000.0, 1000.0))));
  });
}
#endif

TEMPLATE_LIST_TEST_CASE("reciprocals keep their errors", "[simd]", spiq_test::Backends) {
  using A = TestType;
  using V = simd::vec<float, A>;
  const auto worst = [](const auto& reciprocal_of) {
    double error = 0;
    for (float x = 1e-37f; x < 8e37f; x *= 1.0137f) {
      float lanes[64];
      V(reciprocal_of(V::broadcast(x))).store(lanes);
      error = std::max(error, std::abs(double{lanes[0]} * double{x} - 1));
    }
    return error;
  };
  CHECK(worst([](V x) { return reciprocal_estimate(x); }) <= simd::reciprocal_estimate_error<A>);
  CHECK(worst([](V x) { return simd::reciprocal<10>(x); }) <= std::ldexp(1.0, -10));
  CHECK(worst([](V x) { return simd::reciprocal<20>(x); }) <= std::ldexp(1.0, -20));
  CHECK(worst([](V x) { return simd::reciprocal<23>(x); }) <= std::ldexp(1.0, -23));
  float lanes[64];
  simd::reciprocal<20>(V::broadcast(inf)).store(lanes);
  CHECK((lanes[0] >= 0 && lanes[0] < 2e-38f));
}

TEMPLATE_LIST_TEST_CASE("streamed stores arrive", "[simd]", spiq_test::Backends) {
  using V = simd::vec<float, TestType>;
  alignas(64) float from[128], to[128] = {};
  for (int i = 0; i < 128; ++i) from[i] = static_cast<float>(i) - 3.5f;
  for (int i = 0; i < 128; i += V::width) stream(V::load(from + i), to + i);
  simd::stream_fence();
  CHECK(std::equal(from, from + 128, to));
}
