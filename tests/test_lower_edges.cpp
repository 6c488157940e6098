// Where lowering could go wrong silently: maps behind Flatten, pooling in odd places, numbers that are none.
#include "catch.hpp"
#include "lower_networks.hpp"

#include <limits>

using namespace spiq_test;

namespace {

// The text of the error that lowering a fresh network throws.
template <class Net, class Target = target::Float>
std::string refusal(const Target& target = {}) {
  const Net net{Rng{1}};
  return error_text([&] { lower(net, target); });
}

template <class Net, class Target = target::Float>
double deviation(const Target& target = {}) {
  const auto net = make_network<Net>(5);
  const auto images = make_images<Net>(6, 5);
  return largest_difference(lower(net, target)(images), net(images));
}

}  // namespace

TEST_CASE("layers behind Flatten are right or refused", "[lower]") {
  using Norm = Network<Input<6, 6, 2>, Conv2d<5, 3>, Flatten, BatchNorm, Qcfs<8>, Linear<4>>;
  CHECK(mentions(refusal<Norm>(), "layer 0: BatchNorm: expected one scale for each of 5 channels"));
  using LoneNorm = Network<Input<6, 6, 2>, Conv2d<5, 3>, Qcfs<8>, Flatten, BatchNorm, Linear<4>>;
  CHECK(mentions(refusal<LoneNorm>(), "layer 3: BatchNorm: expected one scale for each of 5 channels"));
  using Kernel3 = Network<Input<6, 6, 2>, Conv2d<5, 3>, Qcfs<8>, Flatten, Conv2d<7, 3>, Linear<4>>;
  CHECK(mentions(refusal<Kernel3>(), "layer 3: weights behind Flatten"));
  using Padded = Network<Input<6, 6, 2>, Conv2d<5, 3>, Qcfs<8>, Flatten, Conv2d<7, 1, Padding<1>>, GlobalAvgPool>;
  CHECK(mentions(refusal<Padded>(), "layer 3: weights behind Flatten"));
  using Pooled = Network<Input<6, 6, 2>, Conv2d<5, 3>, Qcfs<8>, Flatten, GlobalAvgPool, Linear<4>>;
  CHECK(mentions(refusal<Pooled>(), "layer 3: expected the map that it pools"));
  CHECK(mentions(refusal<Pooled>(target::Spiking{conversion::Pascal<>{}}), "layer 3: expected the map that it pools"));
  using Depthwise = Network<Input<6, 6, 2>, Conv2d<5, 3>, Qcfs<8>, Flatten, DepthwiseConv2d<1>, Linear<4>>;
  CHECK(mentions(refusal<Depthwise>(), "layer 3: groups behind Flatten"));

  // These are the same function.
  using Linears = Network<Input<6, 6, 2>, Conv2d<5, 3>, Qcfs<8>, Flatten, Linear<9>, BatchNorm, Qcfs<8>, Linear<4>>;
  CHECK(deviation<Linears>() < 1e-4);
  using Pointwise = Network<Input<6, 6, 2>, Conv2d<6, 3>, Qcfs<8>, Flatten, Conv2d<8, 1, Groups<2>>, Qcfs<8>, Linear<4>>;
  CHECK(deviation<Pointwise>() < 1e-4);
  using Single = Network<Input<3, 3, 2>, Conv2d<5, 3, Padding<0>>, Flatten, BatchNorm, Qcfs<8>, Linear<4>>;
  CHECK(deviation<Single>() < 1e-4);
}
