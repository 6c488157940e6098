// PASCAL in f32: the worked network exactly, others up to rounding.
#include "backends.hpp"
#include "catch.hpp"
#include "lower_networks.hpp"

using namespace spiq_test;

TEMPLATE_LIST_TEST_CASE("PASCAL in f32 gives the network's logits but for rounding", "[lower][pascal]",
                        spiq_test::Backends) {
  const auto net = make_network<Deep>(7);
  const auto images = make_images<Deep>(4, 7);
  const auto expected = lower<TestType>(net, target::Float{})(images);
  const auto counts = lower<TestType>(net, target::Spiking{conversion::Pascal<>{}});
  const auto spikes = lower<TestType>(net, target::Spiking{conversion::Pascal<arithmetic::f32, form::spikes>{}});
  const auto either = lower<TestType>(net, target::Spiking{conversion::Pascal<arithmetic::f32, form::negotiated>{}});
  CHECK(largest_difference(counts(images), expected) < 0.3);
  CHECK(largest_difference(spikes(images), expected) < 0.3);
  // What the negotiation picks is one of the forms.
  CHECK(largest_difference(either(images), counts(images)) == 0);
}

// The worked network of the PASCAL acceptance facts: all values dyadic, so f32 is exact.
TEMPLATE_LIST_TEST_CASE("PASCAL reproduces the worked network", "[lower][pascal]", spiq_test::Backends) {
  Network<Input<1, 1, 2>, Linear<3>, Qcfs<4>, Linear<2>, Qcfs<2>, Linear<2>> net;
  const auto set = [](auto& layer, std::vector<float> w, std::vector<float> b) {
    std::copy(w.begin(), w.end(), layer.weight.data());
    std::copy(b.begin(), b.end(), layer.bias.data());
  };
  set(net.layer<0>(), {1, -.5F, .5F, 1, -1, .75F}, {.125F, 0, .25F});
  set(net.layer<2>(), {1, -1.5F, .5F, -.5F, 1, 1}, {.25F, -.125F});
  set(net.layer<4>(), {1, -1, .5F, 1}, {0, .125F});
  net.layer<1>().lambda = 1;
  net.layer<3>().lambda = 2;
  const Tensor<float> x({2, 2}, std::vector<float>{.75F, .5F, -.25F, 1});
  const std::vector<float> logits{-1, 1.125F, -2, 2.125F};
  const auto check = [&](const auto& snn) {
    auto session = snn.session(2, {.threads = 1, .tile = 2});
    const auto& y = session.run(x);
    for (std::size_t i = 0; i < 4; ++i) CHECK(y[i] == logits[i]);
    double spikes = 0;
    for (const auto& layer : report::neuron_counts(session))
      for (const auto count : layer.counts) spikes += count;
    // (.75, 1, 0) at lambda 1, L 4 is 3 + 4 + 0 spikes, (0, 1) at lambda 2, L 2 is 0 + 1; then 0 + 4 + 4 and 0 + 2.
    CHECK(spikes == 7 + 1 + 8 + 2);
  };
  check(lower<TestType>(net, target::Spiking{conversion::Pascal<arithmetic::f32, form::counts>{}}));
  check(lower<TestType>(net, target::Spiking{conversion::Pascal<arithmetic::f32, form::spikes>{}}));
}


// All weights, thresholds and inputs of few binary digits: f32 does not round, so no neuron may differ.
TEMPLATE_LIST_TEST_CASE("PASCAL equals the network in every neuron where nothing is rounded", "[lower][pascal]",
                        spiq_test::Backends) {
  using Mixed = Network<Input<1, 1, 5>, Linear<8>, Qcfs<8>, Linear<7>, Qcfs<8>, Linear<9>, Qcfs<8>, Linear<6>, Qcfs<8>, Linear<3>>;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    Mixed net{Rng{seed}};
    Rng rng{seed, 1};
    net.for_each_layer([&](const std::string&, auto& layer) {
      if constexpr (requires { layer.weight; }) {
        for (float& v : layer.weight.span()) v = (static_cast<float>(rng.below(33)) - 16) / 16;
        for (float& v : layer.bias.span()) v = (static_cast<float>(rng.below(33)) - 14) / 32;
      }
      if constexpr (requires { layer.lambda; }) {
        layer.levels = 1 << rng.below(4);
        layer.lambda = rng.below(2) == 0 ? 1.0F : 2.0F;
      }
    });
    auto images = make_images<Mixed>(100, seed);
    for (float& v : images.span()) v = std::round(v * 16) / 16;
    const auto ann = lower<TestType>(net, target::Float{});
    const auto reference = neuron_counts(ann, images);
    const auto expected = ann(images);
    const auto check = [&](const auto& snn) {
      CHECK(neuron_counts(snn, images) == reference);
      CHECK(largest_difference(snn(images), expected) == 0);
    };
    check(lower<TestType>(net, target::Spiking{conversion::Pascal<arithmetic::f32, form::counts>{}}));
    check(lower<TestType>(net, target::Spiking{conversion::Pascal<arithmetic::f32, form::spikes>{}}));
  }
}
