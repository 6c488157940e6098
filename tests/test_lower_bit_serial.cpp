// Bit-serial spikes: the published facts, and equality with PASCAL and the quantised network in every neuron.
#include "backends.hpp"
#include "catch.hpp"
#include "lower_networks.hpp"

#include <spiq/exec/early_exit.hpp>
#include <spiq/report/measure.hpp>

#include <algorithm>

using namespace spiq_test;

namespace {

// The level of every neuron, layer by layer, whichever way it travelled.
template <class Exec>
std::vector<std::vector<int>> levels_of(const Exec& network, const Tensor<float>& images) {
  const auto n = static_cast<int>(images.extent(0));
  auto session = network.session(n, {.threads = 1, .tile = n});
  session.run(images);
  std::vector<std::vector<int>> all;
  session.visit([&](const auto& layer, const auto&, const auto& state) {
    if (layer.info.levels == 0) return;
    const auto& out = report::detail::any_part(state.out);
    using P = typename std::remove_cvref_t<decltype(out)>::packing_type;
    std::vector<int> levels;
    const auto steps = static_cast<std::size_t>(out.steps), channels = static_cast<std::size_t>(out.shape.channels);
    for (std::size_t p = 0; p < static_cast<std::size_t>(out.samples) * out.shape.pixels(); ++p)
      for (std::size_t c = 0; c < channels; ++c) {
        int level = 0;
        for (std::size_t t = 0; t < steps; ++t) {
          const auto* const row = out.row(p * steps + t);
          if constexpr (std::is_same_v<P, packing::by_channel>)
            level = 2 * level + static_cast<int>((row[c / 64] >> (c % 64)) & 1U);
          else
            level += static_cast<int>(row[c]);
        }
        levels.push_back(level);
      }
    all.push_back(std::move(levels));
  });
  return all;
}

using Small = Network<Input<1, 1, 5>, Linear<9>, Qcfs<7>, Linear<8>, Qcfs<3>, Linear<70>, Qcfs<15>, Linear<7>, Qcfs<1>,
                      Linear<4>>;
// No batch norm: all numbers stay dyadic.
using Maps =
    Network<Input<6, 6, 2>, Conv2d<8, 3>, Qcfs<7>, AvgPool<2>, Residual<Seq<Conv2d<8, 3>, Qcfs<3>, Conv2d<8, 3>>>,
            Qcfs<7>, Residual<Seq<Conv2d<5, 3>, Qcfs<1>, Conv2d<5, 3>>, Seq<Conv2d<5, 1>>>, Qcfs<3>, Flatten,
            Linear<4>>;
using Normed = Network<Input<8, 8, 3>, Conv2d<16, 3>, BatchNorm, Qcfs<7>,
                       Residual<Seq<Conv2d<16, 3>, BatchNorm, Qcfs<3>, Conv2d<16, 3>, BatchNorm>>, Qcfs<15>, AvgPool<2>,
                       Residual<Seq<Conv2d<24, 3, Stride<2>>, BatchNorm, Qcfs<7>, Conv2d<24, 3>, BatchNorm>,
                                Seq<Conv2d<24, 1, Stride<2>>, BatchNorm>>,
                       Qcfs<3>, GlobalAvgPool, Linear<10>>;

// Weights and thresholds of few binary digits, theta a power of two: f32 is exact.
template <class Net>
Net dyadic(std::uint64_t seed) {
  Net net{Rng{seed}};
  Rng rng{seed, 1};
  net.for_each_layer([&](const std::string&, auto& layer) {
    if constexpr (requires { layer.weight; }) {
      for (float& v : layer.weight.span()) v = (static_cast<float>(rng.below(33)) - 16) / 16;
      for (float& v : layer.bias.span()) v = (static_cast<float>(rng.below(33)) - 14) / 8;
    }
    if constexpr (requires { layer.lambda; })
      layer.lambda = static_cast<float>(layer.levels) * (rng.below(2) == 0 ? 0.25F : 0.125F);
  });
  return net;
}
template <class Net>
Tensor<float> dyadic_images(std::size_t n, std::uint64_t seed) {
  auto images = make_images<Net>(n, seed);
  for (float& v : images.span()) v = std::round(v * 16) / 16;
  return images;
}

template <class Arch, class Net>
void check_dyadic(std::uint64_t seed) {
  CAPTURE(seed);
  const Net net = dyadic<Net>(seed);
  const auto images = dyadic_images<Net>(5, seed);
  const auto bits = lower<Arch>(net, target::Spiking{conversion::BitSerial<>{}});
  const auto pascal = lower<Arch>(net, target::Spiking{conversion::Pascal<>{}});
  const auto reference = levels_of(pascal, images);
  CHECK(levels_of(bits, images) == reference);
  CHECK(largest_difference(bits(images), pascal(images)) == 0);
  CHECK(largest_difference(bits(images), net(images)) <
        1e-3);  // levels are multiplied by lambda / L there, not added up
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("Bits of a level are fired the most significant first", "[lower][bits]", spiq_test::Backends) {
  Network<Input<1, 1, 4>, Qcfs<7>, Linear<1>> net;
  net.layer<0>().lambda = 7;  // theta = 1
  net.layer<1>().weight.fill(1);
  const Tensor<float> z({1, 4}, std::vector<float>{4.6F, -2, 9, 2.5F});
  const auto snn = lower<TestType>(net, target::Spiking{conversion::BitSerial<>{}});
  auto session = snn.session(1);
  CHECK(session.run(z)[0] == 5 + 0 + 7 + 3);
  std::vector<unsigned> words;
  session.visit([&](const auto& layer, const auto&, const auto& state) {
    if constexpr (requires { layer.epilogue.bits; })
      for (std::size_t t = 0; t < 3; ++t) words.push_back(static_cast<unsigned>(state.out.row(t)[0] & 15U));
  });
  // Lane i is neuron i: 101, 000, 111, 011.
  CHECK(words == std::vector<unsigned>{0b0101, 0b1100, 0b1101});
  CHECK(snn.timesteps() == 3);
  CHECK(snn.latency_steps() == 1 + 3);
  // A spike of any bit is one spike.
  CHECK(report::count_operations(snn, z.data(), 1, 4, 1).mean().spikes == 2 + 0 + 3 + 2);
}

TEMPLATE_LIST_TEST_CASE("Bit-serial spikes give the layer values of PASCAL at the same levels", "[lower][bits]",
                        spiq_test::Backends) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) check_dyadic<TestType, Small>(seed);
  for (std::uint64_t seed = 1; seed <= 3; ++seed) check_dyadic<TestType, Maps>(seed);
}

TEMPLATE_LIST_TEST_CASE("In exact arithmetic bit-serial spikes equal the network in every neuron", "[lower][bits]",
                        spiq_test::Backends) {
  for (std::uint64_t seed = 1; seed <= 2; ++seed) {
    const auto net = make_network<Normed>(seed);
    const auto images = make_images<Normed>(4, seed);
    const auto ann = lower<TestType>(net, target::Exact{});
    const auto bits = lower<TestType>(net, target::Spiking{conversion::BitSerial<arithmetic::exact>{}});
    CHECK(levels_of(bits, images) == levels_of(ann, images));
    CHECK(largest_difference(bits(images), ann(images)) == 0);
  }
}

TEST_CASE("Bit-serial spikes refuse levels that are not the numbers of some bits", "[lower][bits]") {
  using neuron::BitSerial;
  STATIC_REQUIRE((BitSerial::fits(1) && BitSerial::fits(255) && BitSerial::fits(2147483647)));
  STATIC_REQUIRE_FALSE((BitSerial::fits(0) || BitSerial::fits(-1) || BitSerial::fits(254) || BitSerial::fits(1 << 30)));
  auto net = make_network<Small>(1);
  const auto text = [&](int levels) {
    net.layer<3>().levels = levels;
    return error_text([&] { static_cast<void>(lower(net, target::Spiking{conversion::BitSerial<>{}})); });
  };
  CHECK(text(8) ==
        "layer 2: levels of its Qcfs activation for bit-serial spikes: expected 2^T - 1: 7 or 15, "
        "found 8");
  CHECK(mentions(text(2), "1 or 3"));
  CHECK(mentions(text(200), "127 or 255"));
  for (const int good : {1, 3, 7, 15, 31, 63, 127, 255}) CHECK(text(good).empty());
}

TEST_CASE("Bit-serial networks answer after their last step only", "[lower][bits]") {
  const auto net = dyadic<Small>(2);
  const auto snn = lower(net, target::Spiking{conversion::BitSerial<>{}});
  CHECK(snn.timesteps() == 4);
  // T1 + T2 of each layer: 1 + 3, 3 + 2, 2 + 4, 4 + 1.
  CHECK(snn.latency_steps() == 20);
  CHECK(report::network_traits(snn).pascal);
  const auto images = dyadic_images<Small>(2, 2);
  CHECK(mentions(error_text([&] { static_cast<void>(snn.session(2, {.streaming = true})); }), "answer step by step"));
  CHECK(mentions(error_text([&] { static_cast<void>(early_exit(snn, images, 4)); }), "an answer at every step"));
}
