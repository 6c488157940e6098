// The doctor on lowered networks: what neurons count beside the activations of the trained network.
#include "catch.hpp"
#include "lower_networks.hpp"

#include <spiq/lower/balance.hpp>
#include <spiq/nn/nn.hpp>
#include <spiq/report/diagnose_lowered.hpp>

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>

using namespace spiq_test;

namespace {

using Maps = Network<Input<6, 6, 2>, Conv2d<5, 3>, Qcfs<7>, AvgPool<2>, Residual<Seq<Conv2d<5, 3>>>, Qcfs<3>, Flatten,
                     Linear<9>, Qcfs<7>, Linear<3>>;
using Rectified = Network<Input<6, 6, 2>, Conv2d<5, 3>, ReLU, AvgPool<2>, Residual<Seq<Conv2d<5, 3>>>, ReLU, Flatten,
                          Linear<9>, ReLU, Linear<3>>;

template <class Net>
Net dyadic(std::uint64_t seed) {
  Net net = exact_network<Net>(seed);
  net.for_each_layer([&](const std::string&, auto& layer) {
    if constexpr (requires { layer.lambda; }) layer.lambda = static_cast<float>(layer.levels) / 4;
  });
  return net;
}
template <class Net>
Tensor<float> dyadic_images(std::size_t n) {
  auto images = make_images<Net>(n, 1);
  for (float& v : images.span()) v = std::round(v * 16) / 16;
  return images;
}
bool says(const report::Diagnosis& d, const std::string& layer, const std::string& text) {
  for (const std::string& s : d.sentences())
    if (s.find("layer " + layer + ":") == 0 && mentions(s, text)) return true;
  return false;
}

}  // namespace

TEMPLATE_TEST_CASE("An exact conversion counts what the trained network computes", "[report][diagnose]",
                   conversion::Pascal<>, (conversion::Pascal<arithmetic::f32, form::spikes>), conversion::BitSerial<>) {
  auto net = dyadic<Maps>(3);
  const auto images = dyadic_images<Maps>(30);
  const auto d = report::diagnose(lower(net, target::Spiking<TestType>{}), net, images);
  REQUIRE(d.layers.size() == 3);
  CHECK(d.images == 30);
  CHECK(d.layers[0].path == "1");
  CHECK(d.layers[1].path == "4");
  CHECK(d.layers[2].path == "7");
  CHECK(d.layers[0].neurons == 180);
  CHECK(d.layers[0].steps == (std::is_same_v<TestType, conversion::BitSerial<>> ? 3 : 7));
  // Rates, and whatever else is known of both, are those that the trained network has.
  const auto own = report::diagnose(net, images);
  for (std::size_t l = 0; l < 3; ++l) {
    CAPTURE(l);
    CHECK(d.layers[l].activation > 0.05);
    CHECK(d.layers[l].distance < 1e-6);
    CHECK(std::abs(d.layers[l].difference) < 1e-6);
    CHECK(d.layers[l].rate == Approx(own.layers[l].rate));
    CHECK(d.layers[l].silent == own.layers[l].silent);
    CHECK(d.layers[l].saturated == own.layers[l].saturated);
    CHECK(d.layers[l].clipped == Approx(own.layers[l].clipped));
    CHECK(d.layers[l].top == Approx(own.layers[l].top));
  }
  for (const std::string& s : d.sentences()) CHECK(!mentions(s, "trained network's"));
}

TEST_CASE("Levels in exact arithmetic are the trained network's but for rounding", "[report][diagnose]") {
  auto net = make_network<Maps>(3);
  const auto d = report::diagnose(lower(net, target::Exact{}), net, make_images<Maps>(10, 1));
  REQUIRE(d.layers.size() == 3);
  for (const auto& l : d.layers) CHECK(l.distance < 0.01 * l.activation);
}

TEST_CASE("Differences of counts are those of plain loops", "[report][diagnose]") {
  // One neuron on a constant current z: floor(z T / theta + 1 / 2) spikes of QCFS, of theta / T each.
  Network<Input<1, 1, 40>, Qcfs<8>, Linear<2>> net;
  net.layer<0>().lambda = 2;
  Tensor<float> images({4, 40});
  for (std::size_t i = 0; i < images.size(); ++i) images[i] = static_cast<float>(i) / 64;
  double difference = 0, distance = 0, mean = 0;
  for (const float z : images.span()) {
    const double a = std::clamp(std::floor(z / 2.0 * 8 + 0.5) / 8 * 2, 0.0, 2.0);
    const double counted = std::clamp(std::floor(z / 2.0 * 3 + 0.5) / 3 * 2, 0.0, 2.0);
    mean += a / 160;
    difference += (counted - a) / 160;
    distance += std::abs(counted - a) / 160;
  }
  const auto d = report::diagnose(lower(net, target::Spiking{conversion::Qcfs{.steps = 3}}), net, images);
  REQUIRE(d.layers.size() == 1);
  CHECK(d.layers[0].activation == Approx(mean));
  CHECK(d.layers[0].difference == Approx(difference));
  CHECK(d.layers[0].distance == Approx(distance));
  CHECK(distance > 0.05);
  std::ostringstream text;
  text << d;
  CHECK(mentions(text.str(), "count - ANN"));
  // With a multiple of the levels nothing is left.
  const auto even = report::diagnose(lower(net, target::Spiking{conversion::Qcfs{.steps = 8}}), net, images);
  CHECK(even.layers[0].distance < 1e-6);
}

TEST_CASE("A flattened map is compared neuron by neuron", "[report][diagnose]") {
  using Flat = Network<Input<3, 2, 4>, Flatten, Qcfs<8>, Linear<2>>;
  Flat net{Rng{1}};
  const auto images = make_images<Flat>(5, 1);
  const auto d = report::diagnose(lower(net, target::Spiking{conversion::Pascal<>{}}), net, images);
  REQUIRE(d.layers.size() == 1);
  CHECK(d.layers[0].activation > 0.3);
  CHECK(d.layers[0].distance < 1e-6);
}

TEST_CASE("Badly scaled thresholds are named, with the remedy", "[report][diagnose]") {
  auto net = make_network<Rectified>(5);
  const auto images = make_images<Rectified>(40, 1);
  auto rate = balance(net, conversion::Rmp{.steps = 128, .percentile = 100}, images);
  const auto good = report::diagnose(lower(net, target::Spiking{rate}), net, images);
  REQUIRE(good.layers.size() == 3);
  for (std::size_t l = 0; l < 3; ++l) {
    CAPTURE(l);
    CHECK(good.layers[l].distance < 0.25 * good.layers[l].activation);
    CHECK(!says(good, good.layers[l].path, "trained network's"));
  }
  CHECK(good.layers[1].steps == 128);
  const std::string second = "3";  // path of the executable join
  REQUIRE(rate.thresholds.count(second) == 1);
  auto high = rate;
  high.thresholds[second] *= 1000;
  const auto dead = report::diagnose(lower(net, target::Spiking{high}), net, images);
  CHECK(dead.layers[0].distance == good.layers[0].distance);
  CHECK(dead.layers[1].silent == 1);
  CHECK(dead.layers[1].difference == Approx(-dead.layers[1].activation));
  CHECK(says(dead, "4", "100 % of neurons never fire"));
  CHECK(says(dead, "4", "activations are 0 % of the trained network's"));
  CHECK(says(dead, "4", "take more time steps or a lower threshold"));
  auto low = rate;
  low.thresholds[second] /= 1000;
  const auto clipped = report::diagnose(lower(net, target::Spiking{low}), net, images);
  CHECK(clipped.layers[1].clipped > 0.2);
  CHECK(says(clipped, "4", "raise the threshold"));
  // A threshold that no neuron reaches counts nothing.
  high.thresholds[second] = std::numeric_limits<double>::infinity();
  const auto never = report::diagnose(lower(net, target::Spiking{high}), net, images);
  CHECK(never.layers[1].difference == Approx(-never.layers[1].activation));
  CHECK(never.layers[1].top == 0);
}

TEST_CASE("Diagnosis of a lowered network refuses what it cannot compare", "[report][diagnose]") {
  auto net = dyadic<Maps>(3);
  const auto snn = lower(net, target::Spiking{conversion::Pascal<>{}});
  CHECK(mentions(error_text([&] {
                   static_cast<void>(report::diagnose(snn, net, Tensor<float>({0, 2, 6, 6})));
                 }),
                 "at least one image"));
  CHECK(mentions(error_text([&] { static_cast<void>(report::diagnose(snn, net, Tensor<float>({2, 2, 6, 5}))); }), "6"));
  auto other = Network<Input<6, 6, 2>, Conv2d<5, 3>, Qcfs<7>, Flatten, Linear<3>>{Rng{1}};
  CHECK(mentions(error_text([&] { static_cast<void>(report::diagnose(snn, other, make_images<Maps>(2, 1))); }),
                 "the one that was lowered, with 3 layers"));
  // No spikes, no levels: nothing to count.
  CHECK(mentions(error_text([&] {
                   static_cast<void>(report::diagnose(lower(net, target::Float{}), net, make_images<Maps>(2, 1)));
                 }),
                 "3 activations"));
}

TEST_CASE("Counts are there of neurons behind a join and of those whose spikes come back", "[report]") {
  using Lif = Spiking<presets::SpikingJellyLif<>>;
  using Time =
      Network<Input<1, 1, 4>, Linear<6>,
              OverTime<Seq<Lif, Residual<Seq<Linear<6>>>, Lif, Linear<6>, Recurrent<Lif>, Linear<2>>, Steps<4>>>;
  auto net = make_network<Time>(2);
  net.for_each_layer([](const std::string&, auto& layer) {
    if constexpr (requires { layer.bias; }) layer.bias.fill(1.5F);
  });
  const auto images = make_images<Time>(6, 1);
  const auto snn = lower(net, target::Spiking{conversion::Trained{}});
  auto session = snn.session(6, {.threads = 1, .tile = 6});
  session.run(images);
  const auto counts = report::neuron_counts(session);
  REQUIRE(counts.size() == 3);
  // What the executable layers emit, spike by spike.
  std::vector<unsigned> spikes(3);
  const auto add = [&](std::size_t l) {
    return [&spikes, l](std::size_t, std::size_t, std::span<const float> values) {
      for (const float v : values) spikes[l] += v != 0 ? 1U : 0U;
    };
  };
  session.probe<0>(add(0));
  session.probe<2>(add(1));
  session.probe<4>(add(2));
  for (std::size_t l = 0; l < 3; ++l) {
    CAPTURE(l);
    CHECK(counts[l].shape.size() == 6);
    unsigned sum = 0;
    for (const auto c : counts[l].counts) sum += c;
    CHECK(sum > 0);
    CHECK(sum == spikes[l]);
  }
}
