// The doctor: a dead, a saturated and a healthy layer.
#include "catch.hpp"
#include "lower_networks.hpp"

#include <spiq/nn/nn.hpp>
#include <spiq/report/diagnose.hpp>

#include <sstream>

using namespace spiq_test;

namespace {
using Lif = Spiking<presets::SpikingJellyLif<>>;
using Net = Network<Input<8, 8, 1>, Conv2d<8, 3>, BatchNorm, OverTime<Seq<Lif, Conv2d<8, 3>, BatchNorm, Lif, Flatten, Linear<4>>, Steps<5>>>;

bool says(const report::Diagnosis& d, const std::string& layer, const std::string& text) {
  for (const std::string& s : d.sentences())
    if (s.find("layer " + layer + ":") == 0 && s.find(text) != std::string::npos) return true;
  return false;
}
}  // namespace

TEST_CASE("a healthy network gets no sentence", "[report]") {
  auto net = make_network<Net>(3);
  // Normalised currents of deviation 1.5 around 1: some fire, some do not.
  for (float& b : net.layer<1>().beta.span()) b = 1;
  for (float& b : net.layer<2>().body.layer<2>().beta.span()) b = 1;
  const auto images = make_images<Net>(40, 1);
  const auto d = report::diagnose(net, images);
  REQUIRE(d.layers.size() == 2);
  CHECK(d.layers[0].path == "2.body.0");
  CHECK(d.layers[1].path == "2.body.3");
  CHECK(d.layers[0].neurons == 8 * 8 * 8);
  CHECK(d.layers[0].steps == 5);
  CHECK(d.layers[0].rate > 0.02);
  CHECK(d.layers[0].rate < 0.9);
  std::ostringstream text;
  text << d;
  INFO(text.str());
  CHECK(d.sentences().empty());
}

TEST_CASE("dead and saturated layers are named, with the remedy", "[report]") {
  auto net = make_network<Net>(3);
  const auto images = make_images<Net>(20, 1);
  net.layer<2>().body.layer<0>().set(presets::spikingjelly_lif<>(2, 40));
  const auto dead = report::diagnose(net, images);
  CHECK(dead.layers[0].silent == 1);
  CHECK(says(dead, "2.body.0", "100 % of neurons never fire over 20 images"));
  CHECK(says(dead, "2.body.0", "lower it or scale the weights up"));
  net.layer<2>().body.layer<0>().set(presets::spikingjelly_lif<>(2, 1));
  for (float& b : net.layer<1>().beta.span()) b = 50;
  const auto saturated = report::diagnose(net, images);
  CHECK(saturated.layers[0].saturated > 0.99);
  CHECK(says(saturated, "2.body.0", "of neurons fire at every step"));
}

TEST_CASE("quantised activations: clipping and silence", "[report]") {
  using Q = Network<Input<8, 8, 1>, Conv2d<8, 3>, Qcfs<4>, Flatten, Linear<3>>;
  auto net = make_network<Q>(3);
  const auto images = make_images<Q>(20, 1);
  net.layer<1>().lambda = 1e-3f;
  const auto clipped = report::diagnose(net, images);
  REQUIRE(clipped.layers.size() == 1);
  CHECK(clipped.layers[0].clipped > 0.2);
  CHECK(says(clipped, "1", "of inputs lie above the threshold"));
  net.layer<1>().lambda = 1e6f;
  const auto dead = report::diagnose(net, images);
  CHECK(dead.layers[0].silent == 1);
  CHECK(says(dead, "1", "never fire"));
}

TEST_CASE("neurons whose spikes come back are looked at with what comes back", "[report]") {
  using Ring = Network<Input<1, 1, 3>, OverTime<Seq<Linear<6>, Recurrent<Lif>, Linear<2>>, Steps<5>>>;
  Ring net{Rng{1}};
  auto& body = net.layer<0>().body;
  body.layer<0>().weight.fill(0);
  for (float& b : body.layer<0>().bias.span()) b = -1;
  body.layer<0>().bias[0] = 2.5f;  // charges the first neuron by half of it, over its threshold, at every step
  auto& ring = body.layer<1>();
  ring.weight.fill(0);
  for (std::size_t to = 1; to < 6; ++to) ring.weight[to * 6 + to - 1] = 4;  // each one wakes the next a step later
  const auto images = make_images<Ring>(7, 1);
  const auto d = report::diagnose(net, images);
  REQUIRE(d.layers.size() == 1);
  CHECK(d.layers[0].path == "0.body.1");
  CHECK(d.layers[0].neurons == 6);
  CHECK(d.layers[0].steps == 5);
  // Neuron k fires from step k on: 5 + 4 + 3 + 2 + 1 of 30.
  CHECK(d.layers[0].rate == Approx(0.5));
  CHECK(d.layers[0].silent == Approx(1.0 / 6));
  CHECK(d.layers[0].saturated == Approx(1.0 / 6));
}

TEST_CASE("a diagnosis needs images, and says what are no numbers", "[report]") {
  auto net = make_network<Net>(3);
  CHECK(mentions(error_text([&] { static_cast<void>(report::diagnose(net, Tensor<float>({0, 1, 8, 8}))); }),
                 "at least one image"));
  net.layer<1>().beta[0] = std::nanf("");
  CHECK(says(report::diagnose(net, make_images<Net>(3, 1)), "2.body.0", "no finite numbers"));
  net = make_network<Net>(3);
  for (const float threshold : {0.0f, -1.0f}) {
    net.layer<2>().body.layer<0>().set(presets::spikingjelly_lif<>(2, threshold));
    CHECK(says(report::diagnose(net, make_images<Net>(3, 1)), "2.body.0", "the threshold, which must be positive"));
  }
}
