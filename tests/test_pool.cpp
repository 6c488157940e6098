// Pooling forward and backward against plain loops, on every back-end.
#include "backends.hpp"
#include "catch.hpp"

#include <spiq/core/random.hpp>
#include <spiq/kernel/pool.hpp>

#include <cmath>
#include <limits>
#include <vector>

namespace {

using namespace spiq::kernel;
using spiq::Rng;
using spiq::Shape;

std::vector<float> random_values(std::size_t n, std::uint64_t stream, int grid = 0) {
  Rng rng(11, stream);
  std::vector<float> v(n);
  for (float& x : v)
    x = grid == 0 ? rng.uniform(-1, 1) : static_cast<float>(rng.below(static_cast<std::uint32_t>(grid)));
  return v;
}

PoolGeometry geometry(Shape in, int kh, int kw, int sh, int sw, int ph, int pw, bool ceil_mode, bool include) {
  PoolGeometry g;
  g.in = in;
  g.kernel_h = kh;
  g.kernel_w = kw;
  g.stride_h = sh;
  g.stride_w = sw;
  g.pad_h = ph;
  g.pad_w = pw;
  g.ceil_mode = ceil_mode;
  g.count_include_pad = include;
  return g;
}

const PoolGeometry shapes[] = {
    geometry({8, 8, 16}, 2, 2, 2, 2, 0, 0, false, true), geometry({7, 9, 17}, 2, 2, 2, 2, 0, 0, false, true),
    geometry({7, 9, 5}, 2, 2, 2, 2, 0, 0, true, false),  geometry({7, 9, 5}, 2, 2, 2, 2, 0, 0, true, true),
    geometry({8, 6, 1}, 2, 2, 2, 2, 0, 0, true, true),   geometry({9, 8, 3}, 3, 3, 2, 2, 1, 1, false, true),
    geometry({9, 8, 33}, 3, 3, 2, 2, 1, 1, true, false), geometry({9, 8, 15}, 3, 2, 1, 3, 1, 1, true, true),
    geometry({5, 5, 4}, 5, 5, 1, 1, 2, 2, false, false), geometry({4, 4, 31}, 4, 4, 4, 4, 0, 0, false, true),
    geometry({6, 7, 2}, 2, 3, 3, 2, 0, 0, false, true),  geometry({1, 1, 7}, 1, 1, 1, 1, 0, 0, false, true),
};

std::size_t index(const Shape& s, std::size_t n, int y, int x, int c) {
  return ((n * static_cast<std::size_t>(s.height) + static_cast<std::size_t>(y)) * static_cast<std::size_t>(s.width) +
          static_cast<std::size_t>(x)) *
             static_cast<std::size_t>(s.channels) +
         static_cast<std::size_t>(c);
}

// The number of output positions by its definition: starts of windows that fit, or with ceil_mode start, inside.
int extent(int n, int k, int stride, int pad, bool ceil_mode) {
  int count = 0;
  for (int start = -pad; ceil_mode ? start < n + pad : start + k <= n + pad; start += stride) {
    if (ceil_mode && start >= n) break;                                     // would lie in the padding behind the input
    if (ceil_mode && start - stride + k >= n + pad && start > -pad) break;  // the last window covered everything
    ++count;
  }
  return count;
}

struct Window {
  std::vector<std::size_t> pixels;  // input elements, in row order
  int divisor = 0;
};
Window window(const PoolGeometry& g, std::size_t n, int oy, int ox, int c) {
  Window w;
  int padded = 0;
  for (int ky = 0; ky < g.kernel_h; ++ky)
    for (int kx = 0; kx < g.kernel_w; ++kx) {
      const int y = oy * g.stride_h - g.pad_h + ky, x = ox * g.stride_w - g.pad_w + kx;
      if (y < g.in.height + g.pad_h && x < g.in.width + g.pad_w) ++padded;
      if (y >= 0 && x >= 0 && y < g.in.height && x < g.in.width) w.pixels.push_back(index(g.in, n, y, x, c));
    }
  w.divisor = g.count_include_pad ? padded : static_cast<int>(w.pixels.size());
  return w;
}

template <class F>
void for_outputs(const PoolGeometry& g, std::size_t samples, const F& f) {
  for (std::size_t n = 0; n < samples; ++n)
    for (int y = 0; y < g.out_h(); ++y)
      for (int x = 0; x < g.out_w(); ++x)
        for (int c = 0; c < g.in.channels; ++c) f(index(g.out(), n, y, x, c), window(g, n, y, x, c));
}

double worst(const std::vector<float>& got, const std::vector<double>& want) {
  REQUIRE(got.size() == want.size());
  double e = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double d = std::abs(static_cast<double>(got[i]) - want[i]);
    e = std::isnan(d) ? std::numeric_limits<double>::infinity() : std::max(e, d);
  }
  return e;
}
bool equal(const std::vector<float>& a, const std::vector<float>& b) { return a == b; }

}  // namespace

TEST_CASE("pooling sizes follow the convention", "[pool]") {
  for (int n = 1; n < 12; ++n)
    for (int k = 1; k <= 4; ++k)
      for (int stride = 1; stride <= 4; ++stride)
        for (int pad = 0; 2 * pad <= k; ++pad)
          for (const bool ceil_mode : {false, true}) {
            const PoolGeometry g = geometry({n, n, 1}, k, k, stride, stride, pad, pad, ceil_mode, true);
            if (!g.valid()) continue;
            CAPTURE(n, k, stride, pad, ceil_mode);
            CHECK(g.out_h() == extent(n, k, stride, pad, ceil_mode));
            CHECK(g.out_w() == g.out_h());
          }
  CHECK_THROWS_AS(check(geometry({4, 4, 3}, 2, 2, 0, 2, 0, 0, false, true)), spiq::Error);
  CHECK_THROWS_AS(check(geometry({4, 4, 3}, 2, 2, 2, 2, 2, 2, false, true)), spiq::Error);
  CHECK_THROWS_AS(check(geometry({1, 4, 3}, 2, 2, 2, 2, 0, 0, false, true)), spiq::Error);
  // Twice this padding is -2 in the arithmetic of int.
  constexpr int largest = std::numeric_limits<int>::max();
  CHECK_THROWS_AS(check(geometry({4, 4, 3}, 2, 2, 2, 2, largest, 0, false, true)), spiq::Error);
  CHECK_THROWS_AS(check(geometry({4, 4, 3}, 2, 2, 2, largest, 0, 0, true, true)), spiq::Error);
}

TEMPLATE_LIST_TEST_CASE("average pooling equals the plain loop", "[pool]", spiq_test::Backends) {
  const std::size_t samples = 3;
  for (const PoolGeometry& g : shapes) {
    CAPTURE(to_string(g.in), g.kernel_h, g.kernel_w, g.ceil_mode);
    const auto x = random_values(samples * g.in.size(), 1), dy = random_values(samples * g.out().size(), 2);
    std::vector<double> y(dy.size()), dx(x.size());
    for_outputs(g, samples, [&](std::size_t o, const Window& w) {
      for (const std::size_t i : w.pixels) {
        y[o] += static_cast<double>(x[i]) / w.divisor;
        dx[i] += static_cast<double>(dy[o]) / w.divisor;
      }
    });
    for (const int threads : {1, 2, 3}) {
      std::vector<float> out(y.size(), std::nanf("")), back(x.size(), std::nanf(""));
      average_pool_forward<TestType>(g, x.data(), out.data(), samples, threads);
      average_pool_backward<TestType>(g, dy.data(), back.data(), samples, threads);
      CHECK(worst(out, y) < 1e-6);
      CHECK(worst(back, dx) < 1e-6);
    }
  }
}

TEMPLATE_LIST_TEST_CASE("maximum pooling takes the first maximum", "[pool]", spiq_test::Backends) {
  const std::size_t samples = 3;
  for (const PoolGeometry& g : shapes)
    for (const int grid : {0, 3}) {  // a grid of three values makes ties
      CAPTURE(to_string(g.in), g.kernel_h, g.kernel_w, g.ceil_mode, grid);
      const auto x = random_values(samples * g.in.size(), 1, grid), dy = random_values(samples * g.out().size(), 2);
      std::vector<double> y(dy.size()), dx(x.size());
      for_outputs(g, samples, [&](std::size_t o, const Window& w) {
        std::size_t best = w.pixels.front();
        for (const std::size_t i : w.pixels)
          if (x[i] > x[best]) best = i;
        y[o] = static_cast<double>(x[best]);
        dx[best] += static_cast<double>(dy[o]);
      });
      std::vector<float> out(y.size(), std::nanf("")), back(x.size(), std::nanf("")), again(x.size());
      max_pool_forward<TestType>(g, x.data(), out.data(), samples, 1);
      max_pool_backward<TestType>(g, x.data(), dy.data(), back.data(), samples, 1);
      CHECK(worst(out, y) == 0);
      CHECK(worst(back, dx) < 1e-6);
      max_pool_backward<TestType>(g, x.data(), dy.data(), again.data(), samples, 3);
      CHECK(equal(back, again));
    }
}

TEMPLATE_LIST_TEST_CASE("maximum pooling keeps NaN and infinities", "[pool]", spiq_test::Backends) {
  const PoolGeometry g = PoolGeometry::square({2, 2, 3}, 2);
  const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  // Channel 0 holds a NaN, channel 1 only minus infinities, channel 2 an infinity.
  const std::vector<float> x = {1, -inf, 0, nan, -inf, 5, 7, -inf, inf, 2, -inf, 1}, dy = {1, 2, 3};
  std::vector<float> y(3), dx(12);
  max_pool_forward<TestType>(g, x.data(), y.data(), 1, 1);
  CHECK(std::isnan(y[0]));
  CHECK(y[1] == -inf);
  CHECK(y[2] == inf);
  max_pool_backward<TestType>(g, x.data(), dy.data(), dx.data(), 1, 1);
  CHECK(equal(dx, {0, 2, 0, 1, 0, 0, 0, 0, 3, 0, 0, 0}));
}

TEMPLATE_LIST_TEST_CASE("global average pooling", "[pool]", spiq_test::Backends) {
  for (const Shape in : {Shape{7, 5, 19}, Shape{1, 1, 16}, Shape{4, 4, 1}, Shape{3, 3, 64}}) {
    const std::size_t samples = 3, channels = static_cast<std::size_t>(in.channels);
    const auto x = random_values(samples * in.size(), 1), dy = random_values(samples * channels, 2);
    std::vector<double> y(dy.size()), dx(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::size_t o = i / in.size() * channels + i % channels;
      y[o] += static_cast<double>(x[i]) / static_cast<double>(in.pixels());
      dx[i] = static_cast<double>(dy[o]) / static_cast<double>(in.pixels());
    }
    std::vector<float> out(y.size()), back(x.size());
    global_average_pool_forward<TestType>(in, x.data(), out.data(), samples, 2);
    global_average_pool_backward<TestType>(in, dy.data(), back.data(), samples, 2);
    CHECK(worst(out, y) < 1e-6);
    CHECK(worst(back, dx) < 1e-6);
  }
}
