// Learning through time beyond plain gradients: SLTT and SLTT-K, truncation, losses on every step and on spikes.
#include "catch.hpp"
#include "layer_check.hpp"
#include "own_new.hpp"

#include <spiq/io/synthetic.hpp>
#include <spiq/nn/nn.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <set>
#include <tuple>
#include <vector>

using namespace spiq;
using spiq_test::distance;
using spiq_test::training;

namespace {

using Floats = std::vector<float>;
using Soft = neuron::Neuron<charge::Decay, fire::AtThreshold, reset::Soft>;

/// One neuron behind one weight, w = 0.7, x = (1, 1, 0.5, 1), tau = 1.1, threshold 1, triangle of height and width 1,
/// and dL / d spike = 1 in every step: the worked example of SLTT. None of its steps has a spike.
template <class Learning, class... Options>
struct Toy {
  using Layer =
      OverTime<Seq<Linear<1, NoBias>, Spiking<Soft, surrogate::Triangle, Options...>>, Steps<4>, FrameInput, Learning>;
  Layer layer{Shape{1, 1, 4}};
  typename Layer::Cache cache;
  Floats x{1, 1, 0.5f, 1};

  Toy() {
    layer.body.template layer<0>().weight[0] = 0.7f;
    layer.body.template layer<1>().set({{1 / 11.0f}, 1, 0, 0});
    layer.body.template layer<1>().surrogate.slope = 1;
  }
  float gradient(std::uint64_t seed = 7, float spike_weight = 0, float dspike = 1) {
    float y = 0;
    const float dy = 4 * dspike;  // the output is the mean
    nn::Pass pass{nn::Mode::train, 1, Rng(seed)};
    pass.spike_weight = spike_weight;
    layer.forward(x.data(), &y, 1, cache, pass);
    CHECK(y == 0);
    layer.backward(x.data(), &y, &dy, nullptr, 1, cache, pass);
    return layer.body.template layer<0>().weight_gradient[0];
  }
};

/// Potentials 0.7, 0.763636, 0.419421, 0.738129: what each step adds to the gradient if nothing passes between steps.
constexpr double alone[] = {0.7 * 1, 0.763636 * 1, 0.419421 * 0.5, 0.738129 * 1};

}  // namespace

TEST_CASE("SLTT normalises all steps with the statistics of all of them", "[learning]") {
  constexpr std::size_t samples = 6, times = 3, pixels = 4, channels = 2, values = pixels * channels, classes = 3;
  const Shape in{2, 2, static_cast<int>(times * channels)};
  Floats x(samples * in.size()), dy(samples * classes);
  Rng rng(5);
  for (std::size_t i = 0; i < x.size(); ++i)  // steps that differ in mean and deviation
    x[i] = (1 + static_cast<float>(i % in.size() % (times * channels))) * rng.normal() + static_cast<float>(i % 5);
  for (float& g : dy) g = rng.normal();
  const auto run = [&](auto learning) {
    using Layer = OverTime<Seq<BatchNorm, Flatten, Linear<3>>, Steps<3>, FrameInput, decltype(learning)>;
    Layer layer(in);
    layer.initialise(Rng(2));
    auto& norm = layer.body.template layer<0>();
    norm.gamma[0] = 1.5f, norm.gamma[1] = -0.5f, norm.beta[0] = 0.25f;
    typename Layer::Cache cache;
    Floats y(dy.size()), dx(x.size());
    const auto step = [&] {
      layer.forward(x.data(), y.data(), samples, cache, training());
      layer.backward(x.data(), y.data(), dy.data(), dx.data(), samples, cache, training());
    };
    step();
    step();  // what the first batch left behind counts for nothing
    Floats numbers = y;
    for (const auto& part : {norm.gamma_gradient.span(), norm.beta_gradient.span(), norm.running_mean.span(),
                             norm.running_var.span(), layer.body.template layer<2>().weight_gradient.span()})
      numbers.insert(numbers.end(), part.begin(), part.end());
    return std::tuple(numbers, dx, layer);
  };
  const auto [pooled, dx, layer] = run(Sltt{});
  CHECK(distance(pooled, reference::doubles(std::get<0>(run(Bptt{})))) < 1e-5);

  // The gradient of each step's own statistics, their distance from the pooled ones constant (batch renormalisation).
  const auto& norm = layer.body.template layer<0>();
  const auto& weight = layer.body.template layer<2>().weight;
  const auto at = [&](std::size_t s, std::size_t p, std::size_t t, std::size_t c) {
    return ((s * pixels + p) * times + t) * channels + c;
  };
  std::vector<double> expected(x.size());
  for (std::size_t c = 0; c < channels; ++c) {
    double all = 0, all_squares = 0;
    for (std::size_t s = 0; s < samples; ++s)
      for (std::size_t p = 0; p < pixels; ++p)
        for (std::size_t t = 0; t < times; ++t) all += double{x[at(s, p, t, c)]} / double{samples * pixels * times};
    for (std::size_t s = 0; s < samples; ++s)
      for (std::size_t p = 0; p < pixels; ++p)
        for (std::size_t t = 0; t < times; ++t) all_squares += std::pow(double{x[at(s, p, t, c)]} - all, 2);
    const double slope = double{norm.gamma[c]} / std::sqrt(all_squares / double{samples * pixels * times} + 1e-5);
    for (std::size_t t = 0; t < times; ++t) {
      const auto each = [&](const auto& f) {
        for (std::size_t s = 0; s < samples; ++s)
          for (std::size_t p = 0; p < pixels; ++p) {
            double dz = 0;
            for (std::size_t k = 0; k < classes; ++k)
              dz += double{dy[s * classes + k]} / double{times} * double{weight[k * values + c * pixels + p]};
            f(double{x[at(s, p, t, c)]}, dz, expected[at(s, p, t, c)]);
          }
      };
      constexpr double n = samples * pixels;
      double mean = 0, variance = 0, first = 0, second = 0;
      each([&](double v, double, double&) { mean += v / n; });
      each([&](double v, double, double&) { variance += (v - mean) * (v - mean) / n; });
      const double deviation = std::sqrt(variance + 1e-5);
      each([&](double v, double dz, double&) { first += dz / n, second += dz * (v - mean) / deviation / n; });
      each([&](double v, double dz, double& d) { d = slope * (dz - first - (v - mean) / deviation * second); });
    }
  }
  CHECK(distance(dx, expected) < 1e-5);
}

TEST_CASE("the worked example: gradients of SLTT, of BPTT with and without the reset", "[learning]") {
  CHECK(std::abs(double{Toy<Sltt>().gradient()} - 2.411476) < 2e-6);
  CHECK(std::abs(double{Toy<Bptt, DetachReset>().gradient()} - 2.562699) < 2e-6);
  CHECK(std::abs(double{Toy<Bptt>().gradient()} - 2.461900) < 2e-6);
}

TEST_CASE("truncated gradients pass within windows: one step is SLTT, all steps are BPTT", "[learning]") {
  CHECK(std::abs(Toy<Truncated<1>, DetachReset>().gradient() - Toy<Sltt>().gradient()) < 1e-6f);
  CHECK(Toy<Truncated<4>, DetachReset>().gradient() == Toy<Bptt, DetachReset>().gradient());
  // Windows {0, 1} and {2, 3}: dv/dw of steps 1 and 3 take that of the step before with them, a leak smaller.
  const double leak = 1 / 11.0, d1 = 1 + leak * 1, d3 = 1 + leak * 0.5;
  const double expected = 0.7 + 0.763636 * d1 + 0.419421 * 0.5 + 0.738129 * d3;
  CHECK(std::abs(double{Toy<Truncated<2>, DetachReset>().gradient()} - expected) < 2e-6);
}

TEST_CASE("SLTT-K adds up K steps, drawn for every pass", "[learning]") {
  CHECK(Toy<SlttK<4>>().gradient() == Toy<Sltt>().gradient());
  CHECK(Toy<SlttK<9>>().gradient() == Toy<Sltt>().gradient());
  std::set<std::size_t> seen;
  Toy<SlttK<1>> one;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const double g = one.gradient(seed);
    const auto step =
        std::find_if(std::begin(alone), std::end(alone), [&](double a) { return std::abs(a - g) < 2e-6; });
    REQUIRE(step != std::end(alone));
    seen.insert(static_cast<std::size_t>(step - alone));
    CHECK(double{one.gradient(seed)} == g);
  }
  CHECK(seen.size() == 4);
  Toy<SlttK<3>> three;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    const double left = 2.411476 - double{three.gradient(seed)};
    CHECK(std::any_of(std::begin(alone), std::end(alone), [&](double a) { return std::abs(a - left) < 4e-6; }));
  }
}

TEST_CASE("a cost of spikes adds to the gradient of every spike", "[learning]") {
  // All of dL / d spike may come from the cost: the gradient is the same, and is scaled by it.
  Toy<Bptt> toy;
  const float g = toy.gradient();
  CHECK(std::abs(toy.gradient(7, 1, 0) - g) < 1e-6f);
  CHECK(std::abs(toy.gradient(7, 0.5f, 0) - 0.5f * g) < 1e-6f);
  CHECK(std::abs(toy.gradient(7, 0.5f, 1) - 1.5f * g) < 1e-6f);
  Toy<Sltt> spatial;
  CHECK(std::abs(spatial.gradient(7, 1, 0) - spatial.gradient()) < 1e-6f);

  // It is a mean over the samples: the same sample three times gives the gradient of one.
  const Shape in{1, 1, 2};
  using Layer = OverTime<Seq<Linear<3>, Spiking<Soft>, Linear<2>, Spiking<Soft>>, Steps<3>>;
  Layer layer(in);
  layer.initialise(Rng(1));
  nn::Pass pass = training();
  pass.spike_weight = 0.3f;
  const auto run = [&](const Floats& x) {
    Layer::Cache cache;
    Floats y(x.size()), dy(x.size());
    layer.forward(x.data(), y.data(), x.size() / 2, cache, pass);
    layer.backward(x.data(), y.data(), dy.data(), nullptr, x.size() / 2, cache, pass);
    Floats all;
    Layer::for_each_layer(layer, "", [&](const std::string&, auto& leaf) {
      if constexpr (requires { leaf.weight_gradient; })
        all.insert(all.end(), leaf.weight_gradient.span().begin(), leaf.weight_gradient.span().end());
    });
    return all;
  };
  const Floats single = run({0.5f, 1});
  CHECK(distance(run({0.5f, 1, 0.5f, 1, 0.5f, 1}), reference::doubles(single)) < 1e-5);
  CHECK(std::any_of(single.begin(), single.end(), [](float v) { return v != 0; }));
  const SpikeCost cost{.weight = 2, .rise = 4};
  CHECK(cost.at(0) == 0);
  CHECK(std::abs(double{cost.at(4)} - 2 * (1 - std::exp(-1.0))) < 1e-6);
  CHECK(SpikeCost{.weight = 2}.at(0) == 2);
}

TEST_CASE("a cost of spikes makes a network quieter", "[learning]") {
  const ImageSet train = synthetic_glyphs(800, Rng(1)), test = synthetic_glyphs(100, Rng(2));
  const auto rate = [&](float weight) {
    using Net =
        Network<Input<28, 28, 1>, Conv2d<8, 3, Stride<2>>, BatchNorm,
                OverTime<Seq<Spiking<Soft>, Conv2d<16, 3, Stride<2>>, BatchNorm, Spiking<Soft>, Flatten, Linear<10>>,
                         Steps<2>>>;
    Net net(Rng(3));
    fit(net, train, {.epochs = 2, .batch = 50, .learning_rate = 5e-3f, .spike_cost = {.weight = weight}, .threads = 1});
    double spikes = 0;
    Net::Cache cache;
    Tensor<float> images;
    std::vector<int> labels(test.size());
    std::vector<std::uint32_t> all(test.size());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint32_t>(i);
    test.fill(all, images, labels);
    net.forward(images, cache);
    const auto& body = get<2>(cache.layers.layers).body;
    for (const std::size_t layer : {0u, 3u}) {
      const std::size_t n = test.size() * 2 * (layer == 0 ? 14u * 14u * 8u : 7u * 7u * 16u);
      for (std::size_t i = 0; i < n; ++i) spikes += double{body.outputs[layer].data()[i]};
    }
    return spikes / static_cast<double>(test.size());
  };
  const double loud = rate(0), quiet = rate(1e-2f);
  INFO("spikes an image: " << loud << ", with a cost " << quiet);
  CHECK(quiet < 0.85 * loud);
  CHECK(quiet > 0);
}

TEST_CASE("the TET loss and its gradient, against plain loops and finite differences", "[learning]") {
  const std::size_t steps = 3, n = 4, classes = 5;
  const std::vector<int> labels{0, 3, 4, 1};
  const reference::Values y = reference::random(steps * n * classes, 5, -2, 2);
  const double share = 0.25;
  const auto value = [&](const reference::Values& v) {
    double entropy = 0, pull = 0;
    for (std::size_t r = 0; r < steps * n; ++r) {
      double sum = 0;
      for (std::size_t c = 0; c < classes; ++c) sum += std::exp(v[r * classes + c]);
      entropy += std::log(sum) - v[r * classes + static_cast<std::size_t>(labels[r % n])];
    }
    for (const double z : v) pull += (z - 1) * (z - 1);
    return (1 - share) * entropy / static_cast<double>(steps * n) + share * pull / static_cast<double>(v.size());
  };
  Tensor<float> by_step(Extents{steps, n, classes}), gradient;
  for (std::size_t i = 0; i < y.size(); ++i) by_step[i] = static_cast<float>(y[i]);
  const nn::LossValue loss = TemporalEfficient{.share = 0.25f}(by_step, labels, gradient);
  CHECK(std::abs(loss.mean - value(reference::doubles(by_step.span()))) < 1e-6);
  CHECK(distance(gradient.span(), reference::gradient(y, value)) < 1e-5);
  CHECK(gradient.extents() == by_step.extents());
  // Right is what the mean says, here of one class that wins once by far and loses twice by little.
  Tensor<float> few(Extents{3, 1, 2});
  few[0] = 5;
  few[3] = 1;
  few[5] = 1;
  const std::vector<int> zero{0};
  CHECK(TemporalEfficient{}(few, zero, gradient).correct == 1);
  CHECK_THROWS_AS(TemporalEfficient{}(few, labels, gradient), Error);
}

TEST_CASE("gradients at every step: TET through BPTT and SLTT, and the networks that it refuses", "[learning]") {
  // Where neurons forget at once, both give the same; and equal gradients at all steps are the gradient of the mean.
  const Shape in{1, 1, 6};
  const std::size_t samples = 3;
  const auto run = [&](auto learning, bool each_step) {
    using Layer = OverTime<Seq<Linear<8>, Spiking<Soft, surrogate::Triangle>, Linear<4>>, Steps<3>, decltype(learning)>;
    Layer layer(in);
    layer.initialise(Rng(2));
    layer.body.template layer<1>().set({{0.0f}, 1, 0, 0});
    typename Layer::Cache cache;
    cache.each_step = each_step;
    const Floats x = reference::floats(reference::random(samples * 6, 3, 0, 2));
    const Floats dy = reference::floats(reference::random(samples * 4, 4));
    Floats y(dy.size());
    layer.forward(x.data(), y.data(), samples, cache, training());
    if (each_step) {
      float* const out = cache.output_gradient.get(3 * dy.size());
      for (std::size_t i = 0; i < 3 * dy.size(); ++i) out[i] = dy[i % dy.size()] / 3;
      for (std::size_t i = 0; i < dy.size(); ++i)
        CHECK(std::abs(y[i] - (cache.output.data()[i] + cache.output.data()[i + dy.size()] +
                               cache.output.data()[i + 2 * dy.size()]) /
                                  3) < 1e-6f);
    }
    layer.backward(x.data(), y.data(), dy.data(), nullptr, samples, cache, training());
    const auto g = layer.body.template layer<0>().weight_gradient.span();
    return Floats(g.begin(), g.end());
  };
  const auto expected = reference::doubles(run(Bptt{}, false));
  CHECK(distance(run(Bptt{}, true), expected) < 1e-5);
  CHECK(distance(run(Sltt{}, true), expected) < 1e-5);
  CHECK(distance(run(Sltt{}, false), expected) < 1e-5);

  const ImageSet train = synthetic_glyphs(600, Rng(1)), test = synthetic_glyphs(200, Rng(2));
  const auto accuracy = [&](auto learning) {
    using Net =
        Network<Input<28, 28, 1>, Conv2d<8, 3, Stride<2>>, BatchNorm,
                OverTime<Seq<Spiking<Soft>, Conv2d<16, 3, Stride<2>>, BatchNorm, Spiking<Soft>, Flatten, Linear<10>>,
                         Steps<3>, decltype(learning)>>;
    Net net(Rng(3));
    const History h =
        fit(net, train,
            {.epochs = 3, .batch = 50, .learning_rate = 5e-3f, .loss = LossKind::temporal_efficient, .threads = 1});
    CHECK(h.epochs.back().loss < h.epochs.front().loss);
    return evaluate(net, test).accuracy;
  };
  CHECK(accuracy(Bptt{}) > 0.4);
  CHECK(accuracy(Sltt{}) > 0.4);
  Network<Input<28, 28, 1>, Flatten, Linear<10>> plain{Rng(1)};
  CHECK_THROWS_AS(fit(plain, train, {.epochs = 1, .loss = LossKind::temporal_efficient}), Error);
  CHECK_THROWS_AS(fit(plain, train, {.epochs = 1, .spike_cost = {.weight = -1}}), Error);
  CHECK_THROWS_AS(fit(plain, train, {.epochs = 1, .step_target_share = 2}), Error);
}

TEST_CASE("SLTT needs the same memory for any number of steps, BPTT more", "[learning]") {
  const Shape in{8, 8, 4};
  const std::size_t samples = 4;
  const auto bytes = [&](auto learning, int steps, bool train) {
    using Layer = OverTime<Seq<Spiking<Soft>, Conv2d<8, 3>, BatchNorm, Spiking<Soft>, Flatten, Linear<4>>, Steps<2>,
                           decltype(learning)>;
    Layer layer(in);
    layer.initialise(Rng(2));
    layer.steps = steps;
    const Floats x = reference::floats(reference::random(samples * in.size(), 3, 0, 2));
    Floats y(samples * 4), dy(samples * 4, 1.0f), dx(x.size());
    typename Layer::Cache cache;
    nn::Pass pass = training();
    if (!train) pass.mode = nn::Mode::evaluate;
    const std::size_t before = spiq_test::allocated_bytes;
    layer.forward(x.data(), y.data(), samples, cache, pass);
    if (train) layer.backward(x.data(), y.data(), dy.data(), dx.data(), samples, cache, pass);
    return static_cast<double>(spiq_test::allocated_bytes - before);
  };
  const double few = bytes(Sltt{}, 2, true), many = bytes(Sltt{}, 16, true);
  const double all_few = bytes(Bptt{}, 2, true), all_many = bytes(Bptt{}, 16, true);
  INFO("SLTT " << few << " and " << many << " bytes, BPTT " << all_few << " and " << all_many);
#if SPIQ_TEST_OWN_NEW
  CHECK(many < 1.05 * few);
  CHECK(all_many > 4 * all_few);
  CHECK(few < all_few);
  CHECK(bytes(Sltt{}, 16, false) < 1.05 * bytes(Sltt{}, 2, false));
#endif
}
