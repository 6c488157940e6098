// QCFS conversion: integrate-and-fire neurons over time.
#include "backends.hpp"
#include "catch.hpp"
#include "lower_networks.hpp"

using namespace spiq_test;

TEMPLATE_LIST_TEST_CASE("QCFS spikes approach the network as T grows, and equal it for one layer", "[lower][qcfs]",
                        spiq_test::Backends) {
  const auto net = make_network<Deep>(3);
  const auto images = make_images<Deep>(4, 3);
  const auto expected = lower<TestType>(net, target::Float{})(images);
  const double few = largest_difference(lower<TestType>(net, target::Spiking{conversion::Qcfs{.steps = 2}})(images), expected);
  const double many =
      largest_difference(lower<TestType>(net, target::Spiking{conversion::Qcfs{.steps = 256}})(images), expected);
  CHECK(many < 0.7 * few);

  // One layer under constant input: T = L gives QCFS exactly.
  Network<Input<1, 1, 8>, Linear<20>, Qcfs<8>, Linear<5>> one{Rng{5}};
  const auto x = make_images<decltype(one)>(16, 5);
  const auto snn = lower<TestType>(one, target::Spiking{conversion::Qcfs{.steps = 8}});
  CHECK(largest_difference(snn(x), one(x)) < 1e-5);
}

