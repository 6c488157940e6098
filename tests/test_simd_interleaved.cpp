// Several vectors as one give what each gives by itself; products with changed signs; reciprocals.
#include "backends.hpp"
#include "catch.hpp"

#include <spiq/simd/simd.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

namespace simd = spiq::simd;

TEMPLATE_LIST_TEST_CASE("interleaved vectors do what their parts do", "[simd]", spiq_test::Backends) {
  using V = typename simd::traits<TestType>::f32;
  using M = typename simd::traits<simd::interleaved<TestType, 3>>::f32;
  constexpr std::size_t width = M::width;
  static_assert(width == 3 * V::width);
  std::vector<float> a(width), b(width), c(width), y(width), expected(width);
  for (std::size_t i = 0; i < width; ++i) {
    a[i] = 0.37f * static_cast<float>(i) - 5.25f;
    b[i] = 1.0f / static_cast<float>(i + 1) - 0.25f;
    c[i] = static_cast<float>(i % 5) - 2.0f;
  }
  const auto check = [&](const auto& f) {
    f(M::load(a.data()), M::load(b.data()), M::load(c.data())).store(y.data());
    for (std::size_t i = 0; i < width; i += V::width)
      f(V::load(&a[i]), V::load(&b[i]), V::load(&c[i])).store(&expected[i]);
    CHECK(y == expected);
  };
  check([](auto u, auto v, auto w) { return (u + v) * w - u / (v + decltype(v)::broadcast(9.0f)); });
  check([](auto u, auto v, auto w) { return fma(u, v, w); });
  check([](auto u, auto v, auto w) { return fnma(u, v, w); });
  check([](auto u, auto v, auto w) { return fnms(u, v, w); });
  check([](auto u, auto v, auto w) { return max(min(u, v), w) + simd::negative_magnitude(u); });
  check([](auto u, auto v, auto w) { return select((u > v) & (v <= w), u, select((u >= w) | (u == v), v, w)); });
  check([](auto u, auto v, auto w) { return select(u < v, floor(u), round_nearest(w)) + fraction(u); });
  check([](auto u, auto, auto) { return to_f32(to_i32(u) + round_i32(u)); });
  check([](auto u, auto, auto) { return to_f32(to_i32_capped(u * u, 7)); });
  check([](auto u, auto v, auto w) { return from_bits(max_i32(min_i32(bits_of(u), bits_of(v)), bits_of(w))); });
  check([](auto u, auto, auto) { return limited(u, -3.0f, 4.0f); });
  static constexpr float table[] = {1.5f, -2.0f, 3.25f, 7.0f, 0.5f, 11.0f, 13.0f, 17.0f};
  check([](auto u, auto, auto) { return lookup(table, to_i32(u)); });
  check([](auto u, auto, auto) { return from_bits(bits_of(u) & simd::shift_left<1>(simd::shift_right<1>(bits_of(u)))); });
  check([](auto u, auto, auto) { return reciprocal_estimate(u * u + decltype(u)::broadcast(1.0f)); });
  if constexpr (simd::scales_by_exponent<TestType>) check([](auto u, auto v, auto) { return scale_by_exponent(u, v); });
}

TEMPLATE_LIST_TEST_CASE("products with changed signs, and reciprocals by a Newton step", "[simd]", spiq_test::Backends) {
  using V = typename simd::traits<TestType>::f32;
  const auto first = [](V v) {
    std::vector<float> y(V::width);
    v.store(y.data());
    return y[0];
  };
  const auto of = [](float x) { return V::broadcast(x); };
  CHECK(first(fnma(of(3), of(2), of(10))) == 4.0f);
  CHECK(first(fnms(of(3), of(2), of(10))) == -16.0f);
  CHECK(first(simd::negative_magnitude(of(2))) == -2.0f);
  CHECK(first(simd::negative_magnitude(of(-2))) == -2.0f);
  const double bound = simd::reciprocal_estimate_error<TestType> * simd::reciprocal_estimate_error<TestType> + 1.2e-7;
  for (float x : {1.0f, 1.5f, 3.0f, 1e-20f, 7e30f}) CHECK(std::abs(double{first(reciprocal_newton(of(x)))} * double{x} - 1) <= bound);
  CHECK(first(reciprocal_newton(of(std::numeric_limits<float>::infinity()))) == 0.0f);
  CHECK(first(reciprocal_newton(of(3.4e38f))) <= 4.8e-38f);
  CHECK(std::isnan(first(reciprocal_newton(of(std::numeric_limits<float>::quiet_NaN())))));
  if constexpr (simd::estimates_powers_exactly<TestType>)
    for (int e = -100; e <= 100; ++e) CHECK(first(reciprocal_estimate(of(std::ldexp(1.0f, e)))) == std::ldexp(1.0f, -e));
}
