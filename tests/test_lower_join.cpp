// Residual joins whose shortcuts end in spikes, and what lowering refuses instead of getting it wrong.
#include "backends.hpp"
#include "catch.hpp"
#include "lower_networks.hpp"

using namespace spiq_test;

namespace {

template <class Body, class Shortcut>
using Joined = Network<Input<8, 8, 3>, Conv2d<4, 3>, BatchNorm, Qcfs<4>, Residual<Body, Shortcut>, Qcfs<8>, Flatten, Linear<3>>;

using PooledShortcut = Joined<Seq<Conv2d<4, 3, Stride<2>>>, Seq<AvgPool<2>>>;
using SpikingShortcut = Joined<Seq<Conv2d<4, 3>, BatchNorm>, Seq<Conv2d<4, 1>, Qcfs<3>>>;
using BothPooled = Joined<Seq<Conv2d<4, 3>, BatchNorm, Qcfs<4>, AvgPool<2>, Conv2d<4, 3>>, Seq<Conv2d<4, 1>, Qcfs<3>, AvgPool<2>>>;

template <class Net>
void check_joined(std::uint64_t seed) {
  const Net net = make_network<Net>(seed);
  const auto images = make_images<Net>(6, seed);
  const auto expected = net(images);
  // A rounding at a threshold moves a logit by little; a shortcut with a wrong weight moves all of them by a lot.
  const auto near = [&](const Tensor<float>& found) {
    double total = 0, size = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      total += std::abs(found[i] - expected[i]);
      size += std::abs(expected[i]);
    }
    return total / size;
  };
  CHECK(near(lower(net, target::Float{})(images)) < 0.02);
  CHECK(near(lower(net, target::Spiking{conversion::Pascal<>{}})(images)) < 0.02);
  CHECK(near(lower(net, target::Spiking{conversion::Pascal<arithmetic::f32, form::spikes>{}})(images)) < 0.02);
  CHECK(near(lower(net, target::Spiking{conversion::Qcfs{.steps = 200}})(images)) < 0.3);

  const auto ann = lower(net, target::Exact{});
  const auto counts = lower(net, target::Spiking{conversion::Pascal<arithmetic::exact, form::counts>{}});
  const auto spikes = lower(net, target::Spiking{conversion::Pascal<arithmetic::exact, form::spikes>{}});
  CHECK(near(ann(images)) < 0.05);
  CHECK(neuron_counts(counts, images) == neuron_counts(ann, images));
  CHECK(neuron_counts(spikes, images) == neuron_counts(ann, images));
  CHECK(largest_difference(ann(images), spikes(images)) == 0);
  CHECK(largest_difference(ann(images), counts(images)) == 0);
}

}  // namespace

TEST_CASE("a shortcut that ends in a pool is weighted with its own amplitude", "[lower][join]") {
  check_joined<PooledShortcut>(1);
  check_joined<PooledShortcut>(2);
}
TEST_CASE("a shortcut that ends in an activation is weighted with its own amplitude", "[lower][join]") {
  check_joined<SpikingShortcut>(1);
}
TEST_CASE("pools in both branches", "[lower][join]") { check_joined<BothPooled>(1); }

TEST_CASE("what a target cannot represent is an error that says so", "[lower]") {
  using Flat = Network<Input<4, 4, 4>, Conv2d<4, 3>, Qcfs<4>, Flatten, Residual<Seq<Linear<64>>>, Qcfs<4>, Linear<2>>;
  const Flat flat;
  CHECK(mentions(error_text([&] { lower(flat, target::Float{}); }), "branches of one shape"));

  Network<Input<1, 1, 4>, Linear<4>, Qcfs<4>, Linear<2>> net{Rng{1}};
  CHECK(mentions(error_text([&] { lower(net, target::Spiking{conversion::Qcfs{.steps = 0}}); }), "1 to 65535 time steps"));
  for (const int levels : {0, -1, 256}) {
    net.layer<1>().levels = levels;
    CHECK(mentions(error_text([&] { lower(net, target::Spiking{conversion::Pascal<>{}}); }), "1 to 255"));
  }
}

TEST_CASE("images that do not fit a network are refused by reports too", "[report]") {
  const auto net = make_network<PooledShortcut>(1);
  const auto dense = lower(net, target::Float{});
  const Tensor<float> small({5, 1, 4, 4});
  CHECK(mentions(error_text([&] { report::count_operations(dense, small.data(), 5, 16); }), "at least 192"));
  auto session = dense.session(2);
  const Tensor<float> images({5, 3, 8, 8});
  CHECK(mentions(error_text([&] { session.run(images.data(), 3, 192); }), "at most 2 images"));
  // An empty batch is no error and changes nothing.
  auto timed = dense.session(4, {.over_time = true});
  CHECK(timed.run(Tensor<float>({0, 3, 8, 8})).size() == 0);
  CHECK(timed.run(make_images<PooledShortcut>(4, 1)).size() == 12);
  CHECK(timed.logits_over_time().size() == 12);
}
