// Winograd convolution against plain double loops, on every back-end.
#include "backends.hpp"
#include "catch.hpp"

#include <spiq/core/random.hpp>
#include <spiq/kernel/winograd.hpp>

#include <cmath>
#include <vector>

namespace {

using spiq::Rng;
using spiq::Shape;
using namespace spiq::kernel;

std::vector<float> random_values(std::size_t n, std::uint64_t stream) {
  Rng rng(3, stream);
  std::vector<float> v(n);
  for (float& x : v) x = rng.uniform(-1, 1);
  return v;
}

ConvGeometry geometry(Shape in, int out) {
  ConvGeometry g;
  g.in = in;
  g.out_channels = out;
  g.kernel_h = g.kernel_w = 3;
  g.pad_h = g.pad_w = 1;
  return g;
}

// Calls f(index of x, index of y, index of w) for every multiply-add.
template <class F>
void for_each_mac(const ConvGeometry& g, std::size_t samples, const F& f) {
  const auto ci = static_cast<std::size_t>(g.in.channels), co = static_cast<std::size_t>(g.out_channels);
  for (std::size_t n = 0; n < samples; ++n)
    for (int y = 0; y < g.in.height; ++y)
      for (int x = 0; x < g.in.width; ++x)
        for (int t = 0; t < 9; ++t) {
          const int iy = y + t / 3 - 1, ix = x + t % 3 - 1;
          if (iy < 0 || ix < 0 || iy >= g.in.height || ix >= g.in.width) continue;
          const std::size_t in = (n * g.in.pixels() + static_cast<std::size_t>(iy * g.in.width + ix)) * ci;
          const std::size_t out = (n * g.in.pixels() + static_cast<std::size_t>(y * g.in.width + x)) * co;
          for (std::size_t o = 0; o < co; ++o)
            for (std::size_t i = 0; i < ci; ++i) f(in + i, out + o, (o * ci + i) * 9 + static_cast<std::size_t>(t));
        }
}

double relative_error(const std::vector<float>& got, const std::vector<double>& want) {
  REQUIRE(got.size() == want.size());
  double scale = 0, worst = 0;
  for (const double v : want) scale = std::max(scale, std::abs(v));
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double e = std::abs(static_cast<double>(got[i]) - want[i]);
    worst = std::isnan(e) ? 1e30 : std::max(worst, e);
  }
  return worst / scale;
}
bool equal(const std::vector<float>& a, const std::vector<float>& b) { return a == b; }

const ConvGeometry shapes[] = {geometry({8, 8, 16}, 32),  geometry({7, 7, 33}, 20), geometry({1, 1, 3}, 5),
                               geometry({2, 5, 1}, 1),    geometry({6, 9, 17}, 40), geometry({13, 4, 8}, 64),
                               geometry({12, 16, 20}, 9), geometry({4, 4, 64}, 70)};

}  // namespace

TEMPLATE_LIST_TEST_CASE("winograd equals the plain loop", "[winograd]", spiq_test::Backends) {
  for (const ConvGeometry& g : shapes) {
    CAPTURE(to_string(g));
    for (const std::size_t samples : {std::size_t{1}, std::size_t{3}}) {
      const auto x = random_values(samples * g.in.size(), 1), w = random_values(g.weight_count(), 2);
      const auto bias = random_values(static_cast<std::size_t>(g.out_channels), 3);
      std::vector<double> want(samples * g.out().size());
      for_each_mac(g, samples, [&](std::size_t i, std::size_t o, std::size_t k) {
        want[o] += static_cast<double>(x[i]) * static_cast<double>(w[k]);
      });
      WinogradConv<TestType> conv(g, w);
      std::vector<float> y(want.size(), std::nanf("")), other(want.size(), std::nanf(""));
      conv.run(x.data(), nullptr, y.data(), samples, 1);
      CHECK(relative_error(y, want) < 1e-5);
      for (const int threads : {2, 3}) {
        conv.run(x.data(), nullptr, other.data(), samples, threads);
        CHECK(equal(y, other));
      }
      conv.run(x.data(), bias.data(), y.data(), samples, 1);
      for (std::size_t i = 0; i < want.size(); ++i) want[i] += static_cast<double>(bias[i % bias.size()]);
      CHECK(relative_error(y, want) < 1e-5);
    }
  }
}

TEMPLATE_LIST_TEST_CASE("winograd input gradient equals the plain loop", "[winograd]", spiq_test::Backends) {
  for (const ConvGeometry& g : shapes) {
    CAPTURE(to_string(g));
    const auto dy = random_values(2 * g.out().size(), 1), w = random_values(g.weight_count(), 2);
    std::vector<double> want(2 * g.in.size());
    for_each_mac(g, 2, [&](std::size_t i, std::size_t o, std::size_t k) {
      want[i] += static_cast<double>(dy[o]) * static_cast<double>(w[k]);
    });
    WinogradConv<TestType> conv;
    conv.pack_backward(g, w);
    std::vector<float> dx(want.size(), std::nanf(""));
    conv.run(dy.data(), nullptr, dx.data(), 2, 2);
    CHECK(relative_error(dx, want) < 1e-5);
  }
}

TEST_CASE("winograd error stays within its bound on wide layers", "[winograd]") {
  const ConvGeometry g = geometry({8, 8, 256}, 32);
  auto x = random_values(g.in.size(), 1);
  for (float& v : x) v += 1;  // activations are not centred
  const auto w = random_values(g.weight_count(), 2);
  std::vector<double> want(g.out().size());
  for_each_mac(g, 1, [&](std::size_t i, std::size_t o, std::size_t k) {
    want[o] += static_cast<double>(x[i]) * static_cast<double>(w[k]);
  });
  std::vector<float> y(want.size());
  WinogradConv<>(g, w).run(x.data(), nullptr, y.data(), 1, 1);
  CHECK(relative_error(y, want) < 1e-4);
}

TEST_CASE("the trait keeps to what Winograd can do", "[winograd]") {
  ConvGeometry g = geometry({32, 32, 64}, 64);
  CHECK(admits_winograd(g));
  CHECK(prefers_winograd(g));
  CHECK_FALSE(prefers_winograd(geometry({32, 32, 3}, 64)));
  CHECK_FALSE(prefers_winograd(geometry({2, 2, 64}, 64)));
  const auto w = random_values(g.weight_count(), 1);
  WinogradConv<> conv(g, w);
  for (const int which : {0, 1, 2, 3}) {
    ConvGeometry other = g;
    if (which == 0) other.stride_h = 2;
    if (which == 1) other.pad_w = 0;
    if (which == 2) other.dilation_w = 2;
    if (which == 3) other.groups = 2;
    CHECK_FALSE(admits_winograd(other));
    CHECK_THROWS_AS(conv.pack(other, std::span<const float>(w).first(other.weight_count())), spiq::Error);
  }
  CHECK_THROWS_AS(conv.pack(g, std::span<const float>(w).first(5)), spiq::Error);
  CHECK(conv.geometry() == g);
}
