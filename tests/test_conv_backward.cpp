// Both backward passes of a convolution against plain double loops, on every back-end.
#include "backends.hpp"
#include "catch.hpp"

#include <spiq/core/random.hpp>
#include <spiq/kernel/conv_backward.hpp>

#include <cmath>
#include <string>
#include <vector>

namespace {

using spiq::Rng;
using spiq::kernel::ConvBackwardData;
using spiq::kernel::ConvBackwardWeights;
using spiq::kernel::ConvGeometry;

std::vector<float> random_values(std::size_t n, std::uint64_t stream) {
  Rng rng(7, stream);
  std::vector<float> v(n);
  for (float& x : v) x = rng.uniform(-1, 1);
  return v;
}

ConvGeometry geometry(spiq::Shape in, int out, int k, int stride, int pad, int dilation = 1, int groups = 1) {
  ConvGeometry g;
  g.in = in;
  g.out_channels = out;
  g.kernel_h = g.kernel_w = k;
  g.stride_h = g.stride_w = stride;
  g.pad_h = g.pad_w = pad;
  g.dilation_h = g.dilation_w = dilation;
  g.groups = groups;
  return g;
}

// Calls f(index of x, index of dy, index of w) for every multiply-add of the convolution.
template <class F>
void for_each_mac(const ConvGeometry& g, std::size_t samples, const F& f) {
  const int oh = g.out_h(), ow = g.out_w(), gi = g.group_in(), go = g.group_out();
  for (std::size_t n = 0; n < samples; ++n)
    for (int oy = 0; oy < oh; ++oy)
      for (int ox = 0; ox < ow; ++ox)
        for (int ky = 0; ky < g.kernel_h; ++ky)
          for (int kx = 0; kx < g.kernel_w; ++kx) {
            const int iy = oy * g.stride_h - g.pad_h + ky * g.dilation_h,
                      ix = ox * g.stride_w - g.pad_w + kx * g.dilation_w;
            if (iy < 0 || ix < 0 || iy >= g.in.height || ix >= g.in.width) continue;
            for (int co = 0; co < g.out_channels; ++co)
              for (int ci = 0; ci < gi; ++ci) {
                const auto x = ((n * static_cast<std::size_t>(g.in.height) + static_cast<std::size_t>(iy)) *
                                    static_cast<std::size_t>(g.in.width) +
                                static_cast<std::size_t>(ix)) *
                                   static_cast<std::size_t>(g.in.channels) +
                               static_cast<std::size_t>(co / go * gi + ci);
                const auto y =
                    ((n * static_cast<std::size_t>(oh) + static_cast<std::size_t>(oy)) * static_cast<std::size_t>(ow) +
                     static_cast<std::size_t>(ox)) *
                        static_cast<std::size_t>(g.out_channels) +
                    static_cast<std::size_t>(co);
                const auto w = static_cast<std::size_t>(((co * gi + ci) * g.kernel_h + ky) * g.kernel_w + kx);
                f(x, y, w);
              }
          }
}

void check_close(const std::vector<float>& got, const std::vector<double>& want, double bound) {
  REQUIRE(got.size() == want.size());
  double scale = 1, worst = 0;
  for (const double v : want) scale = std::max(scale, std::abs(v));
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double e = std::abs(static_cast<double>(got[i]) - want[i]);
    worst = std::isnan(e) ? e : std::max(worst, e);
  }
  CHECK(worst <= bound * scale);
}

// Bit equality, as one number: failures must not print whole arrays.
bool equal(const std::vector<float>& a, const std::vector<float>& b) { return a == b; }

const ConvGeometry shapes[] = {
    geometry({6, 5, 3}, 4, 3, 1, 1),          geometry({8, 8, 16}, 32, 3, 1, 1),
    geometry({7, 7, 32}, 64, 3, 1, 1),        geometry({9, 7, 1}, 16, 3, 1, 1),
    geometry({9, 7, 1}, 33, 3, 1, 1),         geometry({9, 8, 3}, 17, 3, 1, 1),
    geometry({9, 8, 3}, 70, 3, 1, 1),         geometry({10, 9, 2}, 5, 3, 2, 1),
    geometry({8, 9, 4}, 40, 5, 1, 2),         geometry({11, 10, 3}, 6, 7, 2, 3),
    geometry({5, 5, 19}, 37, 3, 2, 1),        geometry({8, 7, 12}, 20, 3, 2, 0),
    geometry({9, 9, 6}, 10, 3, 3, 1),         geometry({6, 6, 7}, 9, 2, 2, 0),
    geometry({7, 6, 5}, 8, 1, 1, 0),          geometry({7, 6, 5}, 8, 1, 2, 0),
    geometry({8, 8, 5}, 6, 1, 3, 1),          geometry({9, 9, 5}, 7, 3, 1, 2, 2),
    geometry({9, 9, 3}, 7, 3, 2, 2, 2),       geometry({10, 9, 4}, 7, 3, 2, 3, 3),
    geometry({6, 7, 8}, 12, 3, 1, 1, 1, 4),   geometry({6, 7, 40}, 80, 3, 1, 1, 1, 2),
    geometry({6, 7, 21}, 21, 3, 1, 1, 1, 21), geometry({7, 8, 18}, 18, 5, 2, 2, 1, 18),
    geometry({6, 5, 6}, 12, 3, 2, 1, 1, 6),   geometry({4, 4, 33}, 31, 3, 1, 1),
    geometry({2, 2, 16}, 16, 3, 1, 1),        geometry({1, 1, 37}, 21, 1, 1, 0),
    geometry({3, 3, 5}, 4, 3, 1, 0),          geometry({2, 3, 5}, 4, 3, 1, 3),
    geometry({5, 5, 2}, 3, 4, 1, 1),
};

std::string name_of(const ConvGeometry& g) { return to_string(g) + ", dilation " + std::to_string(g.dilation_h); }

}  // namespace

TEMPLATE_LIST_TEST_CASE("input gradient equals the plain loop", "[conv_backward]", spiq_test::Backends) {
  ConvBackwardData<TestType> backward;
  for (const ConvGeometry& g : shapes) {
    CAPTURE(name_of(g));
    const std::size_t samples = 2;
    const auto w = random_values(g.weight_count(), 1);
    const auto dy = random_values(samples * g.out().size(), 2);
    std::vector<double> want(samples * g.in.size());
    for_each_mac(g, samples, [&](std::size_t x, std::size_t y, std::size_t k) {
      want[x] += static_cast<double>(dy[y]) * static_cast<double>(w[k]);
    });
    std::vector<float> dx(want.size(), std::nanf(""));
    backward.pack(g, w);
    backward.run(dy.data(), dx.data(), samples, 1);
    check_close(dx, want, 2e-6);
    std::vector<float> other(want.size(), std::nanf(""));
    backward.run(dy.data(), other.data(), samples, 3);
    CHECK(equal(dx, other));
  }
}

TEMPLATE_LIST_TEST_CASE("weight and bias gradients equal the plain loop", "[conv_backward]", spiq_test::Backends) {
  ConvBackwardWeights<TestType> backward;
  for (const ConvGeometry& g : shapes) {
    CAPTURE(name_of(g));
    for (const std::size_t samples : {std::size_t{1}, std::size_t{5}}) {
      const auto x = random_values(samples * g.in.size(), 1);
      const auto dy = random_values(samples * g.out().size(), 2);
      std::vector<double> want(g.weight_count()), want_bias(static_cast<std::size_t>(g.out_channels));
      for_each_mac(g, samples, [&](std::size_t i, std::size_t y, std::size_t k) {
        want[k] += static_cast<double>(dy[y]) * static_cast<double>(x[i]);
      });
      for (std::size_t i = 0; i < dy.size(); ++i)
        want_bias[i % static_cast<std::size_t>(g.out_channels)] += static_cast<double>(dy[i]);
      std::vector<float> dw(want.size(), std::nanf("")), db(want_bias.size(), std::nanf(""));
      backward.run(g, x.data(), dy.data(), dw.data(), db.data(), samples, 1);
      check_close(dw, want, 2e-6);
      check_close(db, want_bias, 1e-6);
      for (const int threads : {2, 3}) {
        std::vector<float> dw2(want.size(), std::nanf("")), db2(want_bias.size(), std::nanf(""));
        backward.run(g, x.data(), dy.data(), dw2.data(), db2.data(), samples, threads);
        CHECK(equal(dw, dw2));
        CHECK(equal(db, db2));
      }
    }
  }
}

TEMPLATE_LIST_TEST_CASE("<conv(x), dy> = <x, dx> = <w, dw> on a training shape", "[conv_backward]",
                        spiq_test::Backends) {
  const ConvGeometry g = geometry({12, 13, 24}, 40, 3, 2, 1);
  const std::size_t samples = 9;
  const auto x = random_values(samples * g.in.size(), 1);
  const auto dy = random_values(samples * g.out().size(), 2);
  const auto w = random_values(g.weight_count(), 3);
  std::vector<double> y(dy.size());
  for_each_mac(g, samples, [&](std::size_t i, std::size_t o, std::size_t k) {
    y[o] += static_cast<double>(x[i]) * static_cast<double>(w[k]);
  });
  double forward = 0, by_input = 0, by_weight = 0, size = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    forward += y[i] * static_cast<double>(dy[i]);
    size += std::abs(y[i] * static_cast<double>(dy[i]));
  }
  std::vector<float> dx(x.size()), dw(w.size());
  ConvBackwardData<TestType>(g, w).run(dy.data(), dx.data(), samples, 2);
  ConvBackwardWeights<TestType>().run(g, x.data(), dy.data(), dw.data(), nullptr, samples, 2);
  for (std::size_t i = 0; i < x.size(); ++i) by_input += static_cast<double>(dx[i]) * static_cast<double>(x[i]);
  for (std::size_t i = 0; i < w.size(); ++i) by_weight += static_cast<double>(dw[i]) * static_cast<double>(w[i]);
  CHECK(std::abs(forward - by_input) <= 1e-6 * size);
  CHECK(std::abs(forward - by_weight) <= 1e-6 * size);
}

TEST_CASE("no samples, wrong sizes and repacking", "[conv_backward]") {
  const ConvGeometry g = geometry({4, 4, 3}, 5, 3, 1, 1);
  std::vector<float> dw(g.weight_count(), 9.0f), db(5, 9.0f);
  ConvBackwardWeights<> weights;
  weights.run(g, nullptr, nullptr, dw.data(), db.data(), 0, 2);
  CHECK(dw == std::vector<float>(dw.size(), 0.0f));
  CHECK(db == std::vector<float>(5, 0.0f));

  const auto w = random_values(g.weight_count(), 1);
  ConvBackwardData<> data(g, w);
  CHECK_THROWS_AS(data.pack(g, std::span<const float>(w).first(7)), spiq::Error);
  ConvGeometry broken = g;
  broken.groups = 2;
  CHECK_THROWS_AS(data.pack(broken, w), spiq::Error);
  CHECK_THROWS_AS(weights.run(broken, nullptr, nullptr, dw.data(), nullptr, 1, 1), spiq::Error);
  CHECK(data.geometry() == g);

  const auto dy = random_values(g.out().size(), 2);
  std::vector<float> once(g.in.size()), twice(g.in.size());
  data.run(dy.data(), once.data(), 1, 1);
  data.pack(geometry({4, 4, 3}, 5, 3, 2, 1), w);
  data.pack(g, w);
  data.run(dy.data(), twice.data(), 1, 1);
  CHECK(equal(once, twice));
}
