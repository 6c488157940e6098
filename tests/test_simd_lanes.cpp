// Sums and maxima over lanes, and partial loads with a filling, against plain loops.
#include "backends.hpp"
#include "catch.hpp"
#include "guarded.hpp"

#include <algorithm>

TEMPLATE_LIST_TEST_CASE("sums and maxima over lanes stand in every lane", "[simd]", spiq_test::Backends) {
  using V = typename spiq::simd::traits<TestType>::f32;
  constexpr int width = V::width;
  for (int top = 0; top < width; ++top) {
    float x[width], found[width];
    float sum = 0;
    for (int i = 0; i < width; ++i) sum += x[i] = i == top ? 100.0f : static_cast<float>(-i * i);
    spiq::simd::sum_all(V::load(x)).store(found);
    CHECK(std::count(found, found + width, sum) == width);
    spiq::simd::max_all(V::load(x)).store(found);
    CHECK(std::count(found, found + width, 100.0f) == width);
    CHECK(spiq::simd::first_lane(V::load(x)) == x[0]);
  }
}

TEMPLATE_LIST_TEST_CASE("partial loads fill the other lanes and read nothing beyond", "[simd]", spiq_test::Backends) {
  using V = typename spiq::simd::traits<TestType>::f32;
  constexpr int width = V::width;
  for (int n = 0; n <= width; ++n) {
    spiq_test::Guarded<float> x(static_cast<std::size_t>(n));
    for (int i = 0; i < n; ++i) x[static_cast<std::size_t>(i)] = static_cast<float>(i + 1);
    float found[width];
    spiq::simd::load_first_or(x.data(), n, V::broadcast(-5.0f)).store(found);
    for (int i = 0; i < width; ++i) CHECK(found[i] == (i < n ? static_cast<float>(i + 1) : -5.0f));
  }
}
