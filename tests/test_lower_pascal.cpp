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

