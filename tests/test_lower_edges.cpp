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

TEST_CASE("exact arithmetic refuses what its integers cannot hold", "[lower]") {
  using Net = Network<Input<1, 1, 1>, Linear<1>, Qcfs<1>, Linear<1>, Qcfs<1>, Linear<2>>;
  const auto pascal = target::Spiking{conversion::Pascal<arithmetic::exact>{}};
  Net sound{Rng{1}};
  sound.layer<0>().weight[0] = 1;
  sound.layer<2>().weight[0] = 16383.5F;  // 32767 half thresholds: the largest that fits
  sound.layer<4>().weight[0] = 1;
  sound.layer<4>().weight[1] = -1;
  const Tensor<float> x({1, 1}, std::vector<float>{1.0F});
  CHECK(std::abs(lower(sound, target::Exact{})(x)[0] - 1) < 1e-6);

  const auto refused = [&](auto spoil, const std::string& sentence) {
    Net net = sound;
    spoil(net);
    const std::string ann = error_text([&] { lower(net, target::Exact{}); });
    INFO(ann);
    CHECK(mentions(ann, sentence));
    CHECK(error_text([&] { lower(net, pascal); }) == ann);
  };
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  // 32767.5 half thresholds would round to 32768 and wrap.
  refused([](Net& n) { n.layer<2>().weight[0] = 16383.75F; }, "layer 2, channel 0: exact arithmetic");
  refused([&](Net& n) { n.layer<2>().weight[0] = nan; }, "layer 2: expected a weight");
  refused([&](Net& n) { n.layer<4>().weight[1] = inf; }, "layer 4: expected a weight");
  refused([&](Net& n) { n.layer<4>().bias[0] = nan; }, "layer 4: expected a bias");
  refused([&](Net& n) { n.layer<2>().bias[0] = -inf; }, "layer 2: expected a bias");
  refused([&](Net& n) { n.layer<1>().lambda = inf; }, "layer 0: threshold of its Qcfs activation");
  refused([&](Net& n) { n.layer<3>().lambda = nan; }, "layer 2: threshold of its Qcfs activation");
  refused([&](Net& n) { n.normalization.mean[0] = nan; }, "mean of the input");
  refused([&](Net& n) { n.normalization.mean[0] = 1e20F; }, "mean of the input");
  refused([&](Net& n) { n.normalization.std[0] = 0; }, "standard deviation of the input");

  // So do the float targets, which would turn NaN into a level.
  const auto refused_in_float = [&](auto spoil, const std::string& sentence) {
    Net net = sound;
    spoil(net);
    INFO(sentence);
    CHECK(mentions(error_text([&] { lower(net, target::Float{}); }), sentence));
    CHECK(mentions(error_text([&] { lower(net, target::Spiking{conversion::Qcfs{.steps = 4}}); }), sentence));
    CHECK(mentions(error_text([&] { lower(net, target::Spiking{conversion::Pascal{}}); }), sentence));
  };
  refused_in_float([&](Net& n) { n.layer<2>().weight[0] = nan; }, "layer 2: expected a weight");
  refused_in_float([&](Net& n) { n.layer<4>().bias[0] = inf; }, "layer 4: expected a bias");
  refused_in_float([&](Net& n) { n.layer<1>().lambda = inf; }, "layer 0: threshold of its Qcfs activation");
  refused_in_float([&](Net& n) { n.normalization.mean[0] = nan; }, "mean of the input");
  refused_in_float([&](Net& n) { n.normalization.std[0] = 1e-40F; }, "standard deviation of the input");
  for (const int steps : {0, -1, 65536, 2000000000})
    CHECK(mentions(error_text([&] { lower(sound, target::Spiking{conversion::Qcfs{.steps = steps}}); }),
                   "1 to 65535 time steps"));
}

TEST_CASE("every place for pooling that exact networks admit is right", "[lower][pascal]") {
  const auto check = [](auto net, const std::string& what) {
    INFO(what);
    using Net = decltype(net);
    const auto images = make_images<Net>(8, 3);
    const auto ann = lower(net, target::Exact{});
    const auto expected = net(images), found = ann(images);
    // A level may flip where rounded weights carry a sum across a step.
    std::size_t far = 0;
    for (std::size_t i = 0; i < found.size(); ++i) far += std::abs(found[i] - expected[i]) > 0.02F ? 1 : 0;
    CHECK(far <= found.size() / 4);
    CHECK(largest_difference(found, expected) < 0.3);
    using exact = arithmetic::exact;
    CHECK(largest_difference(lower(net, target::Spiking{conversion::Pascal<exact, form::counts>{}})(images), found) == 0);
    const auto spikes = lower(net, target::Spiking{conversion::Pascal<exact, form::spikes>{}});
    CHECK(largest_difference(spikes(images), found) == 0);
    CHECK(report::count_operations(spikes, images.data(), 8, images.size() / 8, 1).mean().mac > 0);
  };
  using Head = Network<Input<6, 6, 2>, Conv2d<5, 3>, Qcfs<8>, GlobalAvgPool, Linear<7>, Qcfs<8>, Linear<4>>;
  check(make_network<Head>(1), "GlobalAvgPool, Linear, Qcfs");
  using Normed = Network<Input<6, 6, 2>, Conv2d<5, 3>, Qcfs<8>, GlobalAvgPool, Linear<7>, BatchNorm, Qcfs<8>, Linear<4>>;
  check(make_network<Normed>(2), "GlobalAvgPool, Linear, BatchNorm, Qcfs");
  using LastNormed = Network<Input<6, 6, 2>, Conv2d<5, 3>, Qcfs<8>, GlobalAvgPool, Linear<4>, BatchNorm>;
  check(make_network<LastNormed>(3), "GlobalAvgPool, Linear, BatchNorm");
  using First = Network<Input<6, 6, 2>, AvgPool<2>, Conv2d<5, 3>, Qcfs<8>, Flatten, Linear<4>>;
  check(make_network<First>(4), "AvgPool of the image");
  using Join = Network<Input<6, 6, 2>, Residual<Seq<Conv2d<2, 3>>>, Qcfs<8>, Flatten, Linear<4>>;
  check(make_network<Join>(5), "Residual on the image");

  using Wide = Network<Input<24, 24, 1>, AvgPool<12>, Flatten, Linear<4>>;
  CHECK(mentions(refusal<Wide>(target::Exact{}), "layer 0: sum of a pooling window: expected at most 32767"));
  using Kernel3 = Network<Input<6, 6, 2>, Conv2d<5, 3>, Qcfs<8>, GlobalAvgPool, Conv2d<7, 3>, Qcfs<8>, Linear<4>>;
  CHECK(mentions(refusal<Kernel3>(target::Exact{}), "weights behind Flatten or global average pooling"));
}

TEST_CASE("lowered networks treat NaN and ties as the trained network does", "[lower]") {
  const auto check = [](auto net, const std::string& what) {
    INFO(what);
    using Net = decltype(net);
    auto images = make_images<Net>(3, 3);
    for (std::size_t i = 0; i < 72; ++i) images[i] = std::numeric_limits<float>::quiet_NaN();
    const auto expected = net(images), found = lower(net, target::Float{})(images);
    const auto scalar = lower<simd::scalar>(net, target::Float{})(images);
    for (std::size_t i = 0; i < found.size(); ++i) {
      CHECK(std::isnan(found[i]) == (i < 4));
      CHECK(std::isnan(scalar[i]) == (i < 4));
      CHECK(std::isnan(expected[i]) == (i < 4));
      if (i >= 4) CHECK(std::abs(found[i] - expected[i]) < 1e-4);
    }
  };
  check(make_network<Network<Input<6, 6, 2>, Conv2d<5, 3>, ReLU, Flatten, Linear<4>>>(1), "ReLU");
  check(make_network<Network<Input<6, 6, 2>, Conv2d<5, 3>, Qcfs<8>, Flatten, Linear<4>>>(2), "Qcfs");
  check(make_network<Network<Input<6, 6, 2>, Conv2d<5, 3>, MaxPool<2>, Flatten, Linear<4>>>(3), "MaxPool");

  // The floats around every tie, for many thresholds: the same level to the bit.
  using Stairs = Network<Input<1, 1, 128>, Qcfs<7>>;  // seven: products with v are rounded
  Stairs net{Rng{1}};
  std::size_t different = 0;
  for (int k = 0; k < 200; ++k) {
    const float lambda = 0.503F + 0.01F * static_cast<float>(k);
    net.layer<0>().lambda = lambda;
    Tensor<float> z({1, 128, 1, 1});
    for (std::size_t step = 0; step < 8; ++step) {
      float value = lambda * (static_cast<float>(step) + 0.5F) / 7;
      for (int i = 0; i < 8; ++i) value = std::nextafter(value, -1.0F);
      for (std::size_t i = 0; i < 16; ++i, value = std::nextafter(value, 10.0F)) z[step * 16 + i] = value;
    }
    const auto expected = net(z), found = lower(net, target::Float{})(z);
    for (std::size_t i = 0; i < found.size(); ++i) different += found[i] == expected[i] ? 0 : 1;
  }
  CHECK(different == 0);
}

TEST_CASE("executable pooling of reals is that of training, bit by bit", "[lower][exec]") {
  // Channels that fill a row and such that do not; images with NaN and infinities among them.
  const auto check = [](auto net, const std::string& what) {
    INFO(what);
    using Net = decltype(net);
    auto images = make_images<Net>(3, 9);
    for (std::size_t i = 0; i < images.size(); i += 29) images[i] = std::numeric_limits<float>::quiet_NaN();
    for (std::size_t i = 7; i < images.size(); i += 31) images[i] = -std::numeric_limits<float>::infinity();
    const auto lowered = lower(net, target::Float{});
    const auto expected = net(images), found = lowered(images);
    REQUIRE(found.size() == expected.size());
    std::size_t nans = 0, different = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      nans += std::isnan(expected[i]) ? 1 : 0;
      different += found[i] == expected[i] || (std::isnan(found[i]) && std::isnan(expected[i])) ? 0 : 1;
    }
    CHECK(different == 0);
    CHECK(nans > 0);
    CHECK(nans < found.size());
  };
  check(Network<Input<6, 6, 3>, MaxPool<2>, Flatten>{Rng{1}}, "maximum of 2x2");
  check(Network<Input<7, 9, 5>, MaxPool<3, Stride<2>, Padding<1>>, Flatten>{Rng{1}}, "maximum of 3x3");
  check(Network<Input<6, 6, 3>, AvgPool<2>, Flatten>{Rng{1}}, "average of 2x2");
  check(Network<Input<7, 9, 20>, AvgPool<3, Stride<2>, Padding<1>>, Flatten>{Rng{1}}, "average of 3x3");
}

TEST_CASE("executable pooling keeps the steps of currents apart", "[exec]") {
  Buffer<packing::real> in;
  in.allocate({4, 4, 5}, 2, 3);
  Rng rng{8};
  for (std::size_t r = 0; r < in.rows(); ++r)
    for (std::size_t c = 0; c < 5; ++c) in.row(r)[c] = static_cast<float>(rng.below(64));
  const exec::Pool<exec::PoolKind::average, packing::real, packing::real> pool{kernel::PoolGeometry::square({4, 4, 5}, 2), {}};
  decltype(pool)::State state;
  pool.allocate(state, 2, in);
  const auto& out = pool.run(in, state);
  REQUIRE(out.rows() == 2 * 4 * 3);
  std::size_t wrong = 0;
  for (std::size_t n = 0; n < 2; ++n)
    for (std::size_t p = 0; p < 4; ++p)
      for (std::size_t t = 0; t < 3; ++t)
        for (std::size_t c = 0; c < 5; ++c) {
          float sum = 0;
          for (std::size_t k = 0; k < 4; ++k) {
            const std::size_t y = p / 2 * 2 + k / 2, x = p % 2 * 2 + k % 2;
            sum += in.row(((n * 4 + y) * 4 + x) * 3 + t)[c];
          }
          wrong += out.row((n * 4 + p) * 3 + t)[c] == sum / 4 ? 0 : 1;
        }
  CHECK(wrong == 0);
}
