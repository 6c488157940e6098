// Networks trained with spikes, lowered as they are: spikes as bits, all steps of a layer at once.
#include "backends.hpp"
#include "catch.hpp"
#include "lower_networks.hpp"

#include <spiq/nn/over_time.hpp>
#include <spiq/nn/spiking.hpp>
#include <spiq/report/measure.hpp>

using namespace spiq_test;

namespace {

template <class Model, int T>
using Net = Network<Input<10, 9, 2>, Conv2d<20, 3>, BatchNorm,
                    OverTime<Seq<Spiking<Model>, AvgPool<2>, Conv2d<24, 3>, BatchNorm, Spiking<Model>, Flatten, Linear<7>>, Steps<T>>>;
// The current comes from outside, constant.
using Inside = Network<Input<6, 6, 1>, OverTime<Seq<Conv2d<16, 3>, Spiking<presets::SpikingJellyLif<>>, Dropout<20>, Flatten,
                                                   Linear<5>>, Steps<3>>>;

template <class Arch, class N>
void check(N& net, double share) {
  const auto images = make_images<N>(12, 3);
  const auto expected = net(images);
  const auto lowered = lower<Arch>(net, target::Spiking{conversion::Trained{}});
  auto session = lowered.session(12, {.threads = 1});
  const Tensor<float> found = session.run(images);
  // Rounding may move a spike; most images have none moved.
  std::size_t same = 0;
  const std::size_t classes = N::outputs;
  for (std::size_t i = 0; i < 12; ++i) {
    double worst = 0;
    for (std::size_t c = 0; c < classes; ++c)
      worst = std::max(worst, std::abs(static_cast<double>(found[i * classes + c] - expected[i * classes + c])));
    same += worst < 1e-4 ? 1 : 0;
  }
  CHECK(static_cast<double>(same) >= share * 12);
  auto other = lowered.session(12, {.threads = 2, .tile = 5});
  CHECK(largest_difference(other.run(images), found) == 0);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a network trained with spikes runs as it was trained", "[lower]", spiq_test::Backends) {
  {
    auto net = make_network<Net<presets::SpikingJellyLif<>, 4>>(3);
    check<TestType>(net, 0.8);
  }
  if constexpr (std::is_same_v<TestType, simd::best>) {
    auto soft = make_network<Net<presets::SnnTorchLeaky<>, 5>>(4);
    check<TestType>(soft, 0.8);
    auto synaptic = make_network<Net<presets::SnnTorchSynaptic<>, 6>>(5);
    check<TestType>(synaptic, 0.8);
    auto inside = make_network<Inside>(6);
    check<TestType>(inside, 0.8);
  }
}

TEST_CASE("T steps one by one equal one run of T, bit for bit, from any saved state on", "[lower]") {
  using N = Net<presets::SnnTorchSynaptic<>, 6>;
  auto net = make_network<N>(5);
  const auto images = make_images<N>(7, 3);
  const auto lowered = lower(net, target::Spiking{conversion::Trained{}});
  auto whole = lowered.session(7, {.threads = 1, .over_time = true});
  whole.run(images);
  const Tensor<float>& expected = whole.logits_over_time();
  for (const int threads : {1, 3}) {
    auto session = lowered.session(7, {.threads = threads, .streaming = true});
    std::vector<float> saved;
    for (std::size_t round = 0; round < 2; ++round) {
      for (std::size_t t = 0; t < 6; ++t) {
        if (t == 3) saved = session.save_state();
        const Tensor<float>& found = session.step(images);
        for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i] == expected[t * found.size() + i]);
      }
      CHECK(session.steps_done() == 6);
      session.reset();
    }
    auto other = lowered.session(7, {.threads = threads, .streaming = true});
    other.load_state(saved);
    for (std::size_t t = 3; t < 6; ++t) {
      const Tensor<float>& found = other.step(images);
      for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i] == expected[t * found.size() + i]);
    }
    CHECK_THROWS_AS(other.load_state(std::span(saved).first(5)), Error);
    CHECK_THROWS_AS(other.step(make_images<N>(6, 3)), Error);
  }
  CHECK_THROWS_AS(whole.step(images), Error);
}

TEST_CASE("QCFS networks stream, PASCAL ones answer at the end and say so", "[lower]") {
  using N = Network<Input<6, 6, 1>, Conv2d<16, 3>, Qcfs<4>, AvgPool<2>, Residual<Seq<Conv2d<16, 3>>>, Qcfs<4>, Flatten, Linear<5>>;
  auto net = make_network<N>(6);
  const auto images = make_images<N>(3, 3);
  const auto lowered = lower(net, target::Spiking{conversion::Qcfs{.steps = 5}});
  auto whole = lowered.session(3, {.threads = 1});
  const Tensor<float> expected = whole.run(images);
  auto session = lowered.session(3, {.threads = 1, .streaming = true});
  for (int t = 0; t < 4; ++t) session.step(images);
  CHECK(largest_difference(session.step(images), expected) == 0);
  const auto pascal = lower(net, target::Spiking{conversion::Pascal{}});
  CHECK_THROWS_AS(pascal.session(3, {.streaming = true}), Error);
}

TEST_CASE("paths, products and time steps of a lowered spiking network", "[lower]") {
  auto net = make_network<Net<presets::SpikingJellyLif<>, 4>>(3);
  const auto lowered = lower(net, target::Spiking{conversion::Trained{}});
  std::string text;
  for (const auto& row : lowered.layers())
    text += row.path + ":" + row.product + "+" + row.epilogue + ">" + row.emits + " ";
  CHECK(text == "0:dense_f32+neuron>by_channel 2.body.1:sum_pool+>levels 2.body.2:dense_f32+neuron>by_channel "
                "2.body.6:dense_f32+store>real ");
  net.template layer<2>().steps = 0;
  CHECK_THROWS_AS(lower(net, target::Spiking{conversion::Trained{}}), Error);
}

TEST_CASE("spikes, updates and operations of a network trained with spikes are counted", "[lower]") {
  using N = Net<presets::SpikingJellyLif<>, 4>;
  auto net = make_network<N>(3);
  const auto images = make_images<N>(5, 3);
  const auto lowered = lower(net, target::Spiking{conversion::Trained{}});
  auto session = lowered.session(5, {.threads = 1, .tile = 5});
  session.run(images);
  double spikes = 0, neurons = 0;
  for (const auto& layer : report::neuron_counts(session)) {
    neurons += static_cast<double>(layer.shape.size());
    for (const std::uint16_t count : layer.counts) spikes += count;
  }
  const auto mean = report::count_operations(lowered, images.data(), 5, images.size() / 5, 1).mean();
  CHECK(neurons == 10 * 9 * 20 + 5 * 4 * 24);
  CHECK(spikes > 0);
  CHECK(mean.spikes == Approx(spikes / 5));
  CHECK(mean.neuron_updates == 4 * neurons);
  CHECK(mean.mac == 10 * 9 * 20 * 2 * 9 - 2 * 20 * (2 * 3 * 10 + 2 * 3 * 9 - 4));  // the first layer, once, without padding
  CHECK(mean.ac > 0);
  CHECK(report::network_traits(lowered).timesteps == 4);
}

TEST_CASE("frames are cut as the type says, or not at all", "[lower]") {
  Network<Input<1, 1, 12>, OverTime<Seq<Linear<5>, Spiking<presets::SpikingJellyLif<>>, Linear<2>>, Steps<4>, FrameInput>>
      net{Rng{1}};
  net.layer<0>().steps = 3;
  const std::string text = error_text([&] { static_cast<void>(lower(net, target::Spiking{conversion::Trained{}})); });
  CHECK(mentions(text, "steps of an OverTime with FrameInput: expected 4"));
}

TEST_CASE("a lowered network runs, and reports, the threshold that was learned", "[lower]") {
  using Neurons = Spiking<presets::SpikingJellyIf<reset::Soft>, surrogate::ATan, Learned>;
  Network<Input<1, 1, 3>, OverTime<Seq<Neurons, Flatten, Linear<2>>, Steps<4>>> net(Rng(1));
  net.for_each_layer([](const std::string& path, auto& layer) {
    if constexpr (requires { layer.surrogate; })
      layer.parameters(path, [](const nn::Parameter& p) {
        if (p.kind == nn::ParameterKind::threshold) p.value[0] = 2.5f;
      });
  });
  const auto lowered = lower(net, target::Spiking{conversion::Trained{}});
  CHECK(lowered.layers()[0].threshold == 2.5);
  const Tensor<float> images(Extents{1, 3, 1, 1}, std::vector<float>{1, 1.25f, 4});
  auto session = lowered.session(1, {.threads = 1});
  session.run(images);
  CHECK(report::neuron_counts(session)[0].counts == std::vector<std::uint16_t>{1, 2, 4});
}
