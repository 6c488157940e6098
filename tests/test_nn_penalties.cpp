// Penalties on quantised activations: bits of the levels, and the distance to them.
#include "backends.hpp"
#include "catch.hpp"

#include <spiq/io/synthetic.hpp>
#include <spiq/kernel/qcfs_penalty.hpp>
#include <spiq/nn/nn.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <span>
#include <string>
#include <vector>

using namespace spiq;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace {

struct One {
  double value, dz, dlambda;
};
template <class Arch, class Penalty>
One at(const Penalty& p, float z) {
  float dz = 0;
  const auto sums = kernel::add_penalty<Arch>(p, &z, &dz, 1, 1.0);
  return {sums.value, static_cast<double>(dz), sums.lambda_gradient};
}

// The digits of z's level, the most significant first; the last argument says what becomes of u / w - 1.
template <class F>
double over_digits(double z, double lambda, int levels, F f) {
  const double theta = lambda / levels;
  double u = z + theta / 2, sum = 0;
  for (int k = static_cast<int>(std::bit_width(static_cast<unsigned>(levels))) - 1; k >= 0; --k) {
    const double w = theta * (1 << k);
    sum += f(u, w);
    if (u >= w) u -= w;
  }
  return sum;
}
// The integral of the triangle max(0, 1 - |x|).
double smooth_step(double x) {
  if (x <= -1) return 0;
  if (x >= 1) return 1;
  return x < 0 ? (1 + x) * (1 + x) / 2 : 1 - (1 - x) * (1 - x) / 2;
}

using Net = Network<Input<1, 1, 6>, Linear<9>, BatchNorm, Qcfs<7>, Linear<5>, Qcfs<3>, Linear<3>>;

// Gradients of the penalties alone: the loss has none.
double penalty_of(Net& net, const Tensor<float>& x, nn::Penalties penalties, int threads = 1) {
  Net::Cache cache;
  nn::Pass pass{nn::Mode::train, threads};
  pass.penalties = penalties;
  net.forward(x, cache, pass);
  net.backward(Tensor<float>({x.extent(0), 3}), cache);
  double sum = 0;
  net.for_each_layer([&](const std::string&, const auto& layer) {
    if constexpr (requires { layer.penalty; }) sum += layer.penalty;
  });
  return sum;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("The bit count has the values and surrogate slopes of its definition", "[nn][penalty]",
                        spiq_test::Backends) {
  const kernel::BitCount three{7, 7};
  // By hand, theta = 1: u = 5.1, 1.1, 1.1 against 4, 2, 1; slopes 0.725 / 4, 0.55 / 2, 0.9.
  const One hand = at<TestType>(three, 4.6f);
  CHECK(hand.value == 2);
  CHECK_THAT(hand.dz, WithinAbs(1.35625, 1e-5));
  CHECK_THAT(hand.dlambda, WithinAbs(-4.6 / 7 * 1.35625, 1e-5));
  for (const auto& [z, ones] : {std::pair{-2.0f, 0}, {9.0f, 3}, {2.5f, 2}, {0.4f, 0}, {0.5f, 1}, {100.0f, 3}})
    CHECK(at<TestType>(three, z).value == ones);

  Rng rng{5};
  for (int trial = 0; trial < 400; ++trial) {
    const int levels = (1 << (1 + rng.below(5))) - 1;
    const double lambda = static_cast<double>(rng.uniform(0.5f, 3.0f)),
                 z = static_cast<double>(rng.uniform(-0.3f, 1.3f)) * lambda;
    // Away from where a digit changes.
    const double edge = z / lambda * levels + 0.5;
    if (std::abs(edge - std::round(edge)) < 0.01) continue;
    CAPTURE(levels, lambda, z);
    const One found = at<TestType>(kernel::BitCount{static_cast<float>(lambda), levels}, static_cast<float>(z));
    const int level = std::clamp(static_cast<int>(std::floor(edge)), 0, levels);
    CHECK(found.value == std::popcount(static_cast<unsigned>(level)));
    const auto smooth = [&](double at_z, double at_lambda) {
      // The higher digits are those of the point itself.
      const double theta = at_lambda / levels;
      double u = at_z + theta / 2, sum = 0;
      double digits = z + lambda / levels / 2;
      for (int k = static_cast<int>(std::bit_width(static_cast<unsigned>(levels))) - 1; k >= 0; --k) {
        const double w = theta * (1 << k), w0 = lambda / levels * (1 << k);
        sum += smooth_step(u / w - 1);
        if (digits >= w0) {
          digits -= w0;
          u -= w;
        }
      }
      return sum;
    };
    const double h = 1e-5 * lambda;
    const double dz = (smooth(z + h, lambda) - smooth(z - h, lambda)) / (2 * h);
    const double dlambda = (smooth(z, lambda + h) - smooth(z, lambda - h)) / (2 * h);
    CHECK_THAT(found.dz, WithinAbs(dz, 2e-3 * std::max(1.0, std::abs(dz))));
    CHECK_THAT(found.dlambda, WithinAbs(dlambda, 2e-3 * std::max(1.0, std::abs(dlambda))));
    CHECK_THAT(found.dz,
               WithinAbs(over_digits(z, lambda, levels,
                                     [](double u, double w) { return std::max(0.0, 1 - std::abs(u / w - 1)) / w; }),
                         1e-3 * std::max(1.0, std::abs(dz))));
  }
}

TEMPLATE_LIST_TEST_CASE("The quantisation error has the derivatives of its formula", "[nn][penalty]",
                        spiq_test::Backends) {
  // L = 4, lambda = 1: z = 0.3 lies 0.05 above its level 1/4; 1.3 lies 0.3 above the last one.
  for (const auto& [z, d, share] :
       {std::tuple{0.3f, 0.05, 0.25}, {1.3f, 0.3, 1.0}, {-0.2f, -0.2, 0.0}, {0.7f, -0.05, 0.75}}) {
    const One found = at<TestType>(kernel::QuantisationError{1, 4}, z);
    CHECK_THAT(found.value, WithinAbs(d * d, 1e-6));
    CHECK_THAT(found.dz, WithinAbs(2 * d, 1e-6));
    CHECK_THAT(found.dlambda, WithinAbs(-2 * d * share, 1e-6));
  }
}

TEMPLATE_LIST_TEST_CASE("Penalties add up over long arrays, the same on any number of threads", "[nn][penalty]",
                        spiq_test::Backends) {
  const std::size_t n = 140001;
  std::vector<float> z(n), before(n), one(n), three(n);
  Rng rng{8};
  double bits = 0;
  for (std::size_t i = 0; i < n; ++i) {
    z[i] = rng.uniform(-1, 4);
    before[i] = one[i] = three[i] = rng.uniform(-1, 1);
    bits += std::popcount(static_cast<unsigned>(std::clamp(std::floor(z[i] / 3.0f * 15 + 0.5f), 0.0f, 15.0f)));
  }
  const kernel::BitCount count{3, 15};
  const auto a = kernel::add_penalty<TestType>(count, z.data(), one.data(), n, 0.25, 1);
  const auto b = kernel::add_penalty<TestType>(count, z.data(), three.data(), n, 0.25, 3);
  CHECK(a.value == b.value);
  CHECK(a.lambda_gradient == b.lambda_gradient);
  CHECK(one == three);
  CHECK_THAT(a.value, WithinRel(0.25 * bits, 1e-4));  // a level at an edge may round either way
  for (const std::size_t i : {std::size_t{0}, std::size_t{777}, n - 1})
    CHECK_THAT(one[i], WithinAbs(static_cast<double>(before[i]) + 0.25 * at<TestType>(count, z[i]).dz, 1e-5));
}

TEST_CASE("Layers leave their share of the penalty and pass its gradient on", "[nn][penalty]") {
  Net net{Rng{3}};
  Tensor<float> x({8, 6});
  Rng rng{4};
  for (float& v : x.span()) v = rng.uniform(-1, 1);
  net.layer<2>().lambda = 1.5f;
  net.layer<4>().lambda = 0.9f;

  // The mean square distance, by its own values: central differences, where no level changes.
  const nn::Penalties error{.quantisation = 0.5f};
  penalty_of(net, x, error);
  const float gradient = net.layer<1>().gamma_gradient[2], threshold = net.layer<2>().lambda_gradient;
  const float weight = net.layer<0>().weight_gradient[5];
  const auto slope = [&](float& parameter) {
    const float centre = parameter, h = 2e-4f;
    parameter = centre + h;
    const double up = penalty_of(net, x, error);
    parameter = centre - h;
    const double down = penalty_of(net, x, error);
    parameter = centre;
    return (up - down) / (2 * static_cast<double>(h));
  };
  // The second layer's share passes the first one's steps by the straight-through gradient: take it away.
  net.layer<3>().weight.fill(0);
  penalty_of(net, x, error);
  const float alone = net.layer<1>().gamma_gradient[2], threshold_alone = net.layer<2>().lambda_gradient;
  const float weight_alone = net.layer<0>().weight_gradient[5];
  CHECK_THAT(alone, WithinAbs(slope(net.layer<1>().gamma[2]), 1e-3));
  CHECK_THAT(weight_alone, WithinAbs(slope(net.layer<0>().weight[5]), 1e-3));
  CHECK_THAT(threshold_alone, WithinAbs(slope(net.layer<2>().lambda), 1e-3));
  CHECK(std::abs(alone) > 1e-2f);
  CHECK(gradient != alone);  // the second layer's share reached it
  CHECK(threshold != threshold_alone);
  CHECK(weight != weight_alone);

  // The mean over the batch of all ones, with what evaluation says of the levels.
  const double bits = penalty_of(net, x, {.bits = 2});
  CHECK(penalty_of(net, x, {.bits = 2, .quantisation = 0.5f}) == bits + penalty_of(net, x, error));
  CHECK_THAT(bits * 8 / 2, WithinAbs(std::round(bits * 8 / 2), 1e-9));
  CHECK(bits > 0);
  CHECK(penalty_of(net, x, {.bits = 2}, 3) == bits);
}

TEST_CASE("fit trains with penalties, and counts them in the loss", "[nn][penalty]") {
  const ImageSet data = synthetic_glyphs(200, Rng{1});
  using Glyphs =
      Network<Input<28, 28, 1>, Conv2d<6, 3, Stride<2>>, BatchNorm, Qcfs<7>, AvgPool<2>, Flatten, Linear<10>>;
  const auto train = [&](nn::Penalties penalties, int epochs) {
    Glyphs net{Rng{2}};
    const History h =
        fit(net, data, {.epochs = epochs, .batch = 25, .learning_rate = 2e-2f, .penalties = penalties, .threads = 1});
    Tensor<float> images;
    std::vector<std::uint32_t> all(200);
    for (std::uint32_t i = 0; i < 200; ++i) all[i] = i;
    std::vector<int> labels(200);
    data.fill(all, images, labels);
    Glyphs::Cache cache;
    nn::Pass pass;
    net.forward(images, cache, pass);
    double ones = 0, error = 0;
    std::vector<float> y(200 * 10);
    net.observe("", cache.input.data(), y.data(), 200, cache.layers, pass,
                [&](const std::string&, auto& layer, std::span<const float> z) {
                  if constexpr (requires { layer.lambda; })
                    for (const float v : z) {
                      const float level = std::clamp(std::floor(v / layer.lambda * 7 + 0.5f), 0.0f, 7.0f);
                      ones += std::popcount(static_cast<unsigned>(level)) / 200.0;
                      const double d = static_cast<double>(v - level * layer.lambda / 7);
                      error += d * d / static_cast<double>(z.size());
                    }
                });
    return std::tuple{h, ones, error};
  };
  const auto [plain, plain_ones, plain_error] = train({}, 8);
  const auto [sparse, sparse_ones, sparse_error] = train({.bits = 1e-2f}, 8);
  const auto [near, near_ones, near_error] = train({.quantisation = 2.0f}, 8);
  CAPTURE(plain_error, near_error);
  CHECK(sparse_ones < 0.7 * plain_ones);
  CHECK(near_error < 0.8 * plain_error);
  CHECK(sparse.epochs.back().loss < sparse.epochs.front().loss);

  // The first batch's loss holds the penalty.
  const auto first = [&](nn::Penalties penalties) {
    Glyphs net{Rng{2}};
    return fit(net, data, {.epochs = 1, .batch = 200, .penalties = penalties, .threads = 1}).epochs[0].loss;
  };
  const double loss = first({}), more = first({.bits = 1e-3f});
  CHECK(more - loss > 0.1);
  CHECK_THAT(first({.bits = 2e-3f}) - loss, WithinRel(2 * (more - loss), 1e-3));

  Network<Input<28, 28, 1>, Conv2d<6, 3, Stride<2>>, Qcfs<8>, Flatten, Linear<10>> eight;
  CHECK_THROWS_WITH(
      fit(eight, data, {.penalties = {.bits = 1e-3f}}),
      Catch::Matchers::StartsWith("layer 1: Qcfs::levels: expected 2^T - 1 for FitOptions::penalties.bits"));
  CHECK_THROWS_AS(fit(eight, data, {.penalties = {.quantisation = -1}}), Error);
}
