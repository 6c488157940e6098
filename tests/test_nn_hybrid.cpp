// Hybrid training: the neuron that fires before it takes up its input, surrogates by time and by share of the
// threshold, weights copied and thresholds balanced.
#include "catch.hpp"
#include "layer_check.hpp"

#include <spiq/io/synthetic.hpp>
#include <spiq/nn/hybrid.hpp>
#include <spiq/nn/nn.hpp>
#include <spiq/report/diagnose.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

using namespace spiq;
using spiq_test::training;

namespace {
using Floats = std::vector<float>;
using Scalar = simd::vec<float, simd::scalar>;

/// Gradient of a weight of 1 before one neuron, for dL / d spike = 1 in every step.
template <class Layer>
float weight_gradient(Layer& layer, const Floats& x) {
  layer.body.template layer<0>().weight[0] = 1;
  typename Layer::Cache cache;
  float y = 0;
  const auto dy = static_cast<float>(x.size());  // the output is the mean
  layer.forward(x.data(), &y, 1, cache, training());
  layer.backward(x.data(), &y, &dy, nullptr, 1, cache, training());
  return layer.body.template layer<0>().weight_gradient[0];
}
}  // namespace

TEST_CASE("STDB and linear surrogates: tables", "[hybrid]") {
  const float table[][2] = {{0, 0.3f},       {1, 0.297015f},  {5, 0.285369f},
                            {10, 0.271451f}, {50, 0.181959f}, {99, 0.111473f}};
  for (const auto& row : table) CHECK(std::abs(surrogate::Stdb{}(Scalar{-3.0f}, Scalar{row[0]}).v - row[1]) < 1e-6f);
  CHECK(std::abs(surrogate::Stdb{}(Scalar{0.0f}, Scalar{neuron::SinceSpike<presets::DietLif>::never}).v - 1.4e-5f) <
        1e-6f);
  const float linear[][2] = {{0, 0.3f}, {-0.5f, 0.15f}, {0.25f, 0.225f}, {1, 0}, {-2, 0}};
  for (const auto& row : linear)
    CHECK(std::abs(surrogate::Relative<surrogate::Triangle>{}(Scalar{row[0]}).v - row[1]) < 1e-7f);
}

TEST_CASE("the hybrid neuron fires by the potential before its input", "[hybrid]") {
  // Plain loops, theta 1.5, leak 0.9; ages: 999 before the first step, 1 in the step behind a spike.
  const auto model = presets::hybrid_stdb(0.9f, 1.5f);
  Floats state{model.initial_state()[0], model.initial_state()[1]};
  CHECK(state[1] == 999);
  float v = 0, age = 999;
  int spikes = 0;
  for (int t = 0; t < 40; ++t) {
    const float x = 0.25f * static_cast<float>(t % 7);
    const bool s = v / 1.5f - 1 > 0;
    v = std::fma(0.9f, v, x) - (s ? 1.5f : 0);
    age = s ? 1 : age + 1;
    spikes += s ? 1 : 0;
    float found = -1;
    neuron::run<simd::scalar>(model, 1, 1, &x, state.data(),
                              [&](std::size_t, std::size_t, auto, const auto& spike, const auto&) {
                                if constexpr (requires { neuron::amount(spike).v; }) found = neuron::amount(spike).v;
                              });
    CHECK(found == (s ? 1.0f : 0.0f));
    CHECK(std::abs(state[0] - v) < 1e-5f);
    CHECK(state[1] == age);
  }
  CHECK(spikes > 5);
}

TEST_CASE("STDB passes gradients by the time since the last spike, through no reset", "[hybrid]") {
  // theta 2, leak 1: potentials before the steps 0, 1.5, 3 (spike), 1.5; ages 999, 1000, 1001, 1.
  using Layer = OverTime<Seq<Linear<1, NoBias>, Spiking<presets::HybridStdb, surrogate::Stdb, DetachReset>>, Steps<4>,
                         FrameInput>;
  Layer layer(Shape{1, 1, 4});
  layer.body.layer<1>().set(presets::hybrid_stdb(1, 2));
  const auto g = [](double age) { return 0.3 * std::exp(-0.01 * age) / 2; };
  const double expected = g(1000) * 1.5 + g(1001) * 3 + g(1) * 3.5;
  CHECK(std::abs(double{weight_gradient(layer, {1.5f, 1.5f, 0.5f, 1})} - expected) < 1e-6);
}

TEST_CASE("thresholds and leaks of the DIET neuron learn by v / threshold - 1", "[hybrid]") {
  // One step, v = 0.8, theta = 2: d = -0.6, slope 0.3 * 0.4.
  using Layer = OverTime<
      Seq<Linear<1, NoBias>, Spiking<presets::DietLif, surrogate::Relative<surrogate::Triangle>, Learned, DetachReset>>,
      Steps<2>, FrameInput>;
  Layer layer(Shape{1, 1, 2});
  auto& neurons = layer.body.layer<1>();
  neurons.set(presets::diet_lif(0.5f, 2));
  // x = (0.8, 0.6): v = 0.8, then 0.5 * 0.8 + 0.6 = 1; d = -0.6 and -0.5.
  const double first = 0.3 * 0.4, second = 0.3 * 0.5;
  CHECK(std::abs(double{weight_gradient(layer, {0.8f, 0.6f})} - (first * 0.8 + second * 1.0) / 2) < 1e-6);
  static_assert(presets::DietLif::parameter_names[0] == "beta" && presets::DietLif::parameter_names[1] == "threshold");
  CHECK(std::abs(double{neurons.gradients[0]} - second * 0.8 / 2) < 1e-6);
  CHECK(std::abs(double{neurons.gradients[1]} + (first * 0.8 + second * 1.0) / 4) < 1e-6);
}

TEST_CASE("synapses are copied between networks of other neurons", "[hybrid]") {
  using Ann = Network<Input<6, 6, 1>, Conv2d<4, 3>, BatchNorm, ReLU, AvgPool<2>, Conv2d<3, 3, NoBias>, Qcfs<4>, Flatten,
                      Linear<5>>;
  using Snn =
      Network<Input<6, 6, 1>, Conv2d<4, 3>, BatchNorm,
              OverTime<Seq<Spiking<presets::DietLif, surrogate::ATan, Learned>, AvgPool<2>, Conv2d<3, 3, NoBias>,
                           Spiking<presets::HybridStdb, surrogate::Stdb, DetachReset>, Flatten, Linear<5>>>>;
  Ann ann{Rng(1)};
  Snn snn{Rng(2)};
  ann.layer<1>().running_mean[2] = 0.25f;
  ann.normalization.set(Floats{0.5f}, Floats{2.0f});
  copy_synapses(ann, snn);
  const auto same = [](const Tensor<float>& a, const Tensor<float>& b) {
    return std::equal(a.span().begin(), a.span().end(), b.span().begin(), b.span().end());
  };
  auto& body = snn.layer<2>().body;
  CHECK(same(ann.layer<0>().weight, snn.layer<0>().weight));
  CHECK(same(ann.layer<0>().bias, snn.layer<0>().bias));
  CHECK(snn.layer<1>().running_mean[2] == 0.25f);
  CHECK(same(ann.layer<4>().weight, body.layer<2>().weight));
  CHECK(same(ann.layer<7>().weight, body.layer<5>().weight));
  CHECK(snn.normalization.mean == ann.normalization.mean);
  CHECK(snn.normalization.chosen == ann.normalization.chosen);

  Network<Input<6, 6, 1>, Conv2d<4, 3>, ReLU, Flatten, Linear<5>> other{Rng(3)};
  Network<Input<6, 6, 1>, Conv2d<4, 5>, BatchNorm, ReLU, AvgPool<2>, Conv2d<3, 3, NoBias>, ReLU, Flatten, Linear<5>>
      wider{Rng(3)};
  const float before = other.layer<0>().weight[0];
  CHECK_THROWS_AS(copy_synapses(ann, other), Error);
  CHECK_THROWS_AS(copy_synapses(ann, wider), Error);
  CHECK(other.layer<0>().weight[0] == before);
}

TEST_CASE("thresholds are balanced layer by layer over time and batch", "[hybrid]") {
  using N = Spiking<presets::DietLif>;
  using Net = Network<Input<1, 1, 2>, OverTime<Seq<Linear<2, NoBias>, N, Linear<1, NoBias>, N>, Steps<2>>>;
  Net net{Rng(1)};
  auto& body = net.layer<0>().body;
  const auto set = [](Tensor<float>& w, const Floats& values) { std::copy(values.begin(), values.end(), w.data()); };
  set(body.layer<0>().weight, {1, 0, 0, 2});
  set(body.layer<2>().weight, {0.5f, 0.25f});
  // Currents 0.5, 0.5 and 1, 1.5: threshold 1.5. Only the second image fires, both neurons in its second step: 0.75.
  Tensor<float> images({2, 2});
  std::copy_n(Floats{0.5f, 0.25f, 1, 0.75f}.begin(), 4, images.data());
  balance_thresholds(net, images, 100);
  CHECK(body.layer<1>().model.values[1] == 1.5f);
  CHECK(body.layer<3>().model.values[1] == 0.75f);
  // Scaled when all are known: the second is still that of the unscaled first.
  balance_thresholds(net, images, 100, 0.5f);
  CHECK(body.layer<1>().model.values[1] == 0.75f);
  CHECK(body.layer<3>().model.values[1] == 0.375f);
  CHECK_THROWS_AS(balance_thresholds(net, images, 101), Error);
  CHECK_THROWS_AS(balance_thresholds(net, images, 100, 0), Error);
  CHECK_THROWS_AS(balance_thresholds(net, Tensor<float>({2, 3}), 100), Error);
  CHECK_THROWS_AS(balance_thresholds(net, Tensor<float>({0, 2}), 100), Error);
  CHECK(body.layer<1>().model.values[1] == 0.75f);
}

TEST_CASE("a layer that breaks leaves the thresholds before it", "[hybrid]") {
  using Lif = Spiking<presets::SpikingJellyLif<>>;
  Network<Input<1, 1, 2>, OverTime<Seq<Linear<3>, Lif, Linear<3>, Lif, Linear<2>>, Steps<3>>> net{Rng{1}};
  auto& body = net.layer<0>().body;
  const auto before = body.layer<1>().model.values;
  body.layer<2>().bias[0] = std::nanf("");
  Tensor<float> images({4, 2});
  images.fill(1);
  CHECK_THROWS_AS(balance_thresholds(net, images, 100), Error);
  CHECK(body.layer<1>().model.values == before);
  body.layer<2>().bias[0] = 0;
  balance_thresholds(net, images, 100);
  CHECK(body.layer<1>().model.values != before);
}

TEST_CASE("a converted network trains on, by STDB too, and with fewer steps", "[hybrid]") {
  const ImageSet train = synthetic_glyphs(600, Rng(1)), test = synthetic_glyphs(200, Rng(2));
  using Ann = Network<Input<28, 28, 1>, Conv2d<8, 3, Stride<2>, NoBias>, ReLU, Conv2d<16, 3, Stride<2>, NoBias>, ReLU,
                      Flatten, Linear<10, NoBias>>;
  using N = Spiking<neuron::SinceSpike<presets::DietLif>, surrogate::Stdb, DetachReset, Learned>;
  using Snn = Network<Input<28, 28, 1>, Conv2d<8, 3, Stride<2>, NoBias>,
                      OverTime<Seq<N, Conv2d<16, 3, Stride<2>, NoBias>, N, Flatten, Linear<10, NoBias>>, Steps<6>>>;
  Ann ann{Rng(3)};
  fit(ann, train, {.epochs = 3, .batch = 50, .learning_rate = 5e-3f, .threads = 1});
  Snn snn{Rng(4)};
  copy_synapses(ann, snn);
  Tensor<float> images;
  std::vector<int> labels(100);
  std::vector<std::uint32_t> first(100);
  for (std::size_t i = 0; i < 100; ++i) first[i] = static_cast<std::uint32_t>(i);
  train.fill(first, images, labels);
  balance_thresholds(snn, images, 99.7, 0.3f);
  const double converted = evaluate(snn, test).accuracy;
  const float threshold = snn.layer<1>().body.layer<0>().model.values[1];
  fit(snn, train, {.epochs = 2, .batch = 50, .learning_rate = 1e-3f, .threads = 1});
  const double trained = evaluate(snn, test).accuracy;
  snn.layer<1>().steps = 3;
  fit(snn, train, {.epochs = 1, .batch = 50, .learning_rate = 1e-3f, .threads = 1});
  const double fewer = evaluate(snn, test).accuracy;
  INFO("ANN " << evaluate(ann, test).accuracy << ", converted " << converted << ", trained on " << trained
              << ", fewer steps " << fewer);
  CHECK(converted > 0.3);
  CHECK(trained > 0.5);
  CHECK(fewer > 0.4);
  CHECK(snn.layer<1>().body.layer<0>().model.values[1] != threshold);
  CHECK(report::diagnose(snn, images).layers.size() == 2);
}
