// Spiking layers and time: what OverTime lays out, gradients through time, SLTT, learning.
#include "catch.hpp"
#include "layer_check.hpp"

#include <spiq/io/synthetic.hpp>
#include <spiq/nn/nn.hpp>

#include <cmath>
#include <cstddef>
#include <vector>

using namespace spiq;
using spiq_test::distance;
using spiq_test::training;

namespace {

using Floats = std::vector<float>;
using Lif = Spiking<presets::SpikingJellyLif<>>;

Floats random(std::size_t n, std::uint64_t seed, double low = -1, double high = 1) {
  return reference::floats(reference::random(n, seed, low, high));
}

/// All gradients of a layer, after a forward and a backward pass on random data.
template <class L>
struct Gradients {
  Floats y, dx, parameters;
  Gradients(L& layer, Shape in, std::size_t samples, int threads = 1) {
    const Floats x = random(samples * in.size(), 3, 0, 2), dy = random(samples * L::output_shape(in).size(), 4);
    y.resize(dy.size());
    dx.resize(x.size());
    typename L::Cache cache;
    const nn::Pass pass = training(threads);
    layer.forward(x.data(), y.data(), samples, cache, pass);
    layer.backward(x.data(), y.data(), dy.data(), dx.data(), samples, cache, pass);
    L::for_each_layer(layer, "", [&](const std::string& path, auto& leaf) {
      if constexpr (requires { leaf.parameters(path, [](const nn::Parameter&) {}); })
        leaf.parameters(path, [&](const nn::Parameter& p) { parameters.insert(parameters.end(), p.gradient.begin(), p.gradient.end()); });
    });
  }
};

}  // namespace

TEST_CASE("OverTime runs its body step after step and takes the mean", "[spiking]") {
  const Shape in{2, 3, 5};
  const std::size_t samples = 3, n = samples * in.size();
  OverTime<Seq<Lif>, Steps<6>> layer(in);
  const Floats x = random(n, 1, 0, 3);
  Floats y(n), expected(n), state(n);
  decltype(layer)::Cache cache;
  layer.forward(x.data(), y.data(), samples, cache, nn::Pass{});
  // SpikingJelly's LIF, tau 2, hard reset to 0.
  for (int t = 0; t < 6; ++t)
    for (std::size_t i = 0; i < n; ++i) {
      state[i] += (x[i] - state[i]) / 2;
      if (state[i] >= 1) {
        expected[i] += 1.0f / 6;
        state[i] = 0;
      }
    }
  CHECK(distance(y, reference::doubles(expected)) < 1e-6);
  // Fewer steps: of the same layer, at any time.
  layer.steps = 2;
  layer.forward(x.data(), y.data(), samples, cache, nn::Pass{});
  for (std::size_t i = 0; i < n; ++i) CHECK((y[i] == 0 || y[i] == 0.5f || y[i] == 1));
  layer.steps = 0;
  CHECK_THROWS_AS(layer.forward(x.data(), y.data(), samples, cache, nn::Pass{}), Error);
}

TEST_CASE("frames are channels, step after step; the last step may be what goes out", "[spiking]") {
  constexpr Shape in{1, 2, 6};
  OverTime<Seq<Spiking<presets::SpikingJellyIf<reset::Soft>>>, Steps<3>, FrameInput> layer(in);
  static_assert(decltype(layer)::output_shape(in) == Shape{1, 2, 2});
  static_assert(!decltype(layer)::accepts(Shape{1, 2, 4}));
  // Two pixels of two channels: (0.5, 1), (0.25, 0) in every step, but for the second.
  const Floats x{0.5f, 1, 0, 0, 0.5f, 1, 0.25f, 0, 0, 0, 0.75f, 0};
  Floats y(4);
  decltype(layer)::Cache cache;
  layer.forward(x.data(), y.data(), 1, cache, nn::Pass{});
  CHECK(distance(y, {1.0 / 3, 2.0 / 3, 1.0 / 3, 0}) < 1e-6);
  OverTime<Seq<Spiking<presets::SpikingJellyIf<reset::Soft>>>, Steps<3>, FrameInput, LastStep> last(in);
  decltype(last)::Cache other;
  last.forward(x.data(), y.data(), 1, other, nn::Pass{});
  CHECK(y == Floats{1, 1, 1, 0});
  layer.steps = 4;  // the input holds three
  Floats more(64);
  CHECK_THROWS_AS(layer.forward(more.data(), more.data() + 32, 1, cache, nn::Pass{}), Error);
}

TEST_CASE("gradients through time do not depend on threads, nor on how samples are shared out", "[spiking]") {
  const Shape in{5, 5, 40};  // more neurons than a chunk
  using Layer = OverTime<Seq<Conv2d<16, 3>, BatchNorm, Spiking<presets::SnnTorchLeaky<>, surrogate::FastSigmoid, Learned>,
                             Conv2d<8, 3>, Lif>, Steps<5>>;
  Layer layer(in);
  layer.initialise(Rng(1));
  const Gradients one(layer, in, 6, 1), three(layer, in, 6, 3);
  CHECK(one.y == three.y);
  CHECK(one.dx == three.dx);
  CHECK(one.parameters == three.parameters);
  double norm = 0;
  for (const float g : one.parameters) norm += double{g} * double{g};
  CHECK(norm > 0);
}

TEST_CASE("SLTT equals gradients through time where a neuron forgets at once", "[spiking]") {
  // beta = 0: the membrane keeps nothing from step to step, so nothing is cut off.
  const Shape in{4, 4, 3};
  using Forgetful = Spiking<neuron::Neuron<charge::Decay, fire::AtThreshold, reset::Soft>, surrogate::Triangle>;
  const auto run = [&](auto learning) {
    using Layer = OverTime<Seq<Conv2d<6, 3>, Forgetful, Conv2d<4, 3>, Forgetful, Flatten, Linear<3>>, Steps<4>, decltype(learning)>;
    Layer layer(in);
    layer.initialise(Rng(2));
    Layer::body_type::for_each_layer(layer.body, "", [](const std::string&, auto& leaf) {
      if constexpr (requires { leaf.surrogate; }) leaf.set({{0.0f}, 1, 0, 0});
    });
    return Gradients(layer, in, 5);
  };
  const auto bptt = run(Bptt{});
  const auto sltt = run(Sltt{});
  CHECK(bptt.y == sltt.y);
  CHECK(distance(sltt.parameters, reference::doubles(bptt.parameters)) < 1e-5);
  CHECK(distance(sltt.dx, reference::doubles(bptt.dx)) < 1e-5);
}

TEST_CASE("spiking networks learn, by BPTT and by SLTT, the same on any number of threads", "[spiking]") {
#if defined(__SANITIZE_ADDRESS__)
  constexpr bool thorough = false;  // unoptimised: a hundredth of the speed
#else
  constexpr bool thorough = true;
#endif
  const ImageSet train = synthetic_glyphs(thorough ? 3000 : 150, Rng(1)), test = synthetic_glyphs(thorough ? 500 : 25, Rng(2));
  const auto run = [&](auto learning, int threads) {
    using Net = Network<Input<28, 28, 1>, Conv2d<12, 3, Stride<2>>, BatchNorm,
                        OverTime<Seq<Lif, Conv2d<24, 3, Stride<2>>, BatchNorm, Lif, Flatten, Linear<10>>, Steps<4>,
                                 decltype(learning)>>;
    Net net(Rng(3));
    const History history = fit(net, train, {.epochs = 4, .batch = 50, .learning_rate = 5e-3f, .threads = threads});
    INFO("loss " << history.epochs.front().loss << " to " << history.epochs.back().loss);
    CHECK(history.epochs.back().loss < history.epochs.front().loss);
    return std::pair(evaluate(net, test).accuracy, export_state(net));
  };
  const auto bptt = run(Bptt{}, 1), again = run(Bptt{}, 2), sltt = run(Sltt{}, 1);
  INFO("accuracy " << bptt.first << " and " << sltt.first);
  if (thorough) CHECK(bptt.first > 0.5);
  if (thorough) CHECK(sltt.first > 0.5);
  CHECK(bptt.first == again.first);
}
