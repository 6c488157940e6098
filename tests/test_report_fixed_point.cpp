// Networks in integers: a layer that an int8 membrane holds, one that it does not, one beyond int16, leaks by shifts.
#include "catch.hpp"

#include <spiq/nn/nn.hpp>
#include <spiq/report/fixed_point.hpp>

#include <sstream>

using namespace spiq;

namespace {
template <class Model>
using Net = Network<Input<1, 1, 2>, OverTime<Seq<Linear<3, NoBias>, Spiking<Model>, Linear<2>>, Steps<4>>>;

template <class Model>
Net<Model> make(const Model& model) {
  Net<Model> net{Rng{1}};
  auto& body = net.template layer<0>().body;
  const float weights[] = {1, -1, 0.5f, 0.5f, 0, 0.25f};
  std::copy(std::begin(weights), std::end(weights), body.template layer<0>().weight.data());
  body.template layer<1>().set(model);
  return net;
}
Tensor<float> images(float scale) {
  Tensor<float> x({2, 2, 1, 1});
  const float values[] = {0.1f, 0, 0.05f, 0.1f};
  for (std::size_t i = 0; i < 4; ++i) x[i] = scale * values[i];
  return x;
}
bool says(const report::FixedPoint& f, const std::string& text) {
  for (const std::string& s : f.sentences())
    if (s.find("layer 0.body.1: ") == 0 && s.find(text) != std::string::npos) return true;
  return false;
}
const auto soft = presets::spikingjelly_if<reset::Soft>(0.25f);
}  // namespace

TEST_CASE("a layer that an int8 membrane holds", "[report][fixed_point]") {
  auto net = make(soft);
  const auto f = report::fixed_point(net, images(1));
  REQUIRE(f.layers.size() == 1);
  const auto& l = f.layers[0];
  CHECK(l.path == "0.body.1");
  CHECK(l.neurons == 3);
  CHECK(l.steps == 4);
  CHECK(std::abs(l.unit * 127 - 1) < 1e-12);
  CHECK(l.threshold == 32);  // 31.75
  // Currents 13, 6, 0 and -6, 10, 3: the highest sum is 39, the lowest -24.
  CHECK(l.bits_seen == 7);
  CHECK(l.bits_proven == 7);  // inputs in [0, 0.1]: currents within 13, from -52 to 31 + 13
  CHECK(l.saturated8 == 0);
  CHECK(l.saturated16 == 0);
  CHECK(l.retention == 1);
  CHECK(l.shift == 0);
  CHECK(l.changed == l.changed8);
  CHECK(l.changed == l.changed16);
  CHECK(l.changed <= 1.0 / 12);  // roundings may move a spike
  CHECK(f.sentences().empty());
}

TEST_CASE("a layer that saturates int8, and one that saturates int16", "[report][fixed_point]") {
  auto net = make(soft);
  const auto f = report::fixed_point(net, images(10));
  const auto& l = f.layers[0];
  CHECK(l.bits_seen == 10);  // 127 a step and 32 back: 412
  CHECK(l.bits_proven >= l.bits_seen);
  // Three of four sums of the neuron that is driven most.
  CHECK(l.saturated8 >= 3.0 / 24);
  CHECK(l.saturated8 < 0.5);
  CHECK(l.saturated16 == 0);
  CHECK(l.changed16 == l.changed);
  CHECK(says(f, "an int8 membrane saturates in"));
  CHECK(says(f, "potentials take 10 bits, int16 holds them for certain"));
  const auto fine = report::fixed_point(net, images(10), {.weight_bits = 16});
  CHECK(fine.layers[0].threshold == 8192);
  CHECK(fine.layers[0].saturated16 >= 3.0 / 24);
  CHECK(fine.layers[0].changed < 1e-9);
  CHECK(says(fine, "an int16 membrane saturates in"));
  CHECK(says(fine, "beyond int8"));
  std::ostringstream text;
  text << fine;
  CHECK(text.str().find("8192") != std::string::npos);
  CHECK_THROWS_AS(report::fixed_point(net, images(1), {.weight_bits = 1}), Error);
}

TEST_CASE("shift leaks stand for trained ones", "[report][fixed_point]") {
  {
    auto net = make(presets::spikingjelly_lif<reset::Soft>(2, 0.25f));
    const auto f = report::fixed_point(net, images(5));
    CHECK(std::abs(f.layers[0].retention - 0.5) < 1e-6);
    CHECK(f.layers[0].shift == 1);
    CHECK(f.layers[0].leak_error() < 1e-6);
    CHECK(std::abs(f.layers[0].unit * 254 - 1) < 1e-6);  // weights reach the membrane through the gain 1 / 2
    CHECK(!says(f, "shift leak"));
  }
  {
    auto net = make(neuron::Neuron<charge::Decay, fire::AtThreshold, reset::Soft>{{0.9f}, 0.25f});
    const auto f = report::fixed_point(net, images(1));
    CHECK(std::abs(f.layers[0].retention - 0.9) < 1e-6);
    CHECK(f.layers[0].shift == 3);
    CHECK(std::abs(f.layers[0].leak_error() - 0.025) < 1e-6);
    CHECK(says(f, "it keeps 0.900 of a potential, the nearest shift leak (3) 0.875"));
  }
  {
    auto net = make(presets::spikingjelly_cuba_lif<>());
    const auto f = report::fixed_point(net, images(1));
    CHECK(!f.layers[0].integer);
    CHECK(says(f, "no integer form"));
  }
}

TEST_CASE("batch normalisation is folded into the weight step", "[report][fixed_point]") {
  using Normed = Network<Input<4, 4, 1>, Conv2d<2, 3>, BatchNorm,
                         OverTime<Seq<Spiking<presets::SpikingJellyIf<reset::Soft>>, Flatten, Linear<2>>, Steps<3>>>;
  Normed net{Rng{2}};
  auto& bn = net.layer<1>();
  const float variance = 4, gamma = 3;
  bn.running_var.fill(variance);
  bn.gamma.fill(gamma);
  float largest = 0;
  for (const float w : net.layer<0>().weight.span()) largest = std::max(largest, std::abs(w));
  Tensor<float> x({3, 1, 4, 4});
  x.fill(0.5f);
  const auto f = report::fixed_point(net, x);
  REQUIRE(f.layers.size() == 1);
  const double expected = static_cast<double>(largest) * 1.5 / 127;
  CHECK(std::abs(f.layers[0].unit / expected - 1) < 1e-4);
  CHECK(f.layers[0].bits_proven >= f.layers[0].bits_seen);
}

TEST_CASE("a threshold beyond all integers is none of one step", "[report][fixed_point]") {
  using If = Spiking<presets::SpikingJellyIf<reset::Soft>>;
  Network<Input<1, 1, 2>, Linear<3>, OverTime<Seq<If, Linear<2>>, Steps<3>>> net{Rng{2}};
  Tensor<float> x({3, 2});
  x.fill(0.5f);
  net.layer<1>().body.layer<0>().set(presets::spikingjelly_if<reset::Soft>(1e30f));
  const auto f = report::fixed_point(net, x);
  CHECK(f.layers[0].threshold > 32767);
  CHECK(f.layers[0].changed == 0);  // neither fires
  REQUIRE(!f.sentences().empty());
  CHECK(f.sentences()[0].find("beyond int16") != std::string::npos);
  CHECK_THROWS_AS(report::fixed_point(net, Tensor<float>({0, 2})), Error);
  x[1] = std::nanf("");
  CHECK_THROWS_AS(report::fixed_point(net, x), Error);
}

TEST_CASE("nothing is proven of neurons that a shortcut feeds, too", "[report][fixed_point]") {
  using If = Spiking<presets::SpikingJellyIf<reset::Soft>>;
  Network<Input<1, 1, 3>, Linear<3>, OverTime<Seq<If, Residual<Seq<Linear<3>>>, If, Linear<3>, BatchNorm, If, Linear<2>>>>
      net{Rng{2}};
  Tensor<float> x({3, 3});
  x.fill(0.5f);
  const auto f = report::fixed_point(net, x);
  REQUIRE(f.layers.size() == 3);
  CHECK(f.layers[0].bits_proven > 0);  // by the weights before OverTime
  CHECK(f.layers[1].bits_proven == 0);
  CHECK(f.layers[2].bits_proven > 0);
}
