// Layers that look back in time, lowered: delays in rings of spikes, spikes that come back, frames as input.
#include "catch.hpp"
#include "lower_networks.hpp"
#include "own_new.hpp"

#include <spiq/io/images.hpp>
#include <spiq/nn/calibrate.hpp>
#include <spiq/nn/delayed_linear.hpp>
#include <spiq/nn/fit.hpp>
#include <spiq/nn/over_time.hpp>
#include <spiq/nn/recurrent.hpp>
#include <spiq/nn/spiking.hpp>

#include <algorithm>
#include <limits>

using namespace spiq_test;

namespace {

constexpr int T = 9;
using Lif = Spiking<presets::SpikingJellyLif<>>;

// Spikes and pooled spikes (graded, amplitude 1/4) and plain values wait; frames come in.
using Frames = Network<Input<6, 6, 2 * T>, OverTime<Seq<Conv2d<12, 3>, Lif, AvgPool<2>, Flatten, DelayedLinear<40, 6>,
                                                        Lif, DelayedLinear<24, 12>, BatchNorm, Lif, Linear<5>>,
                                                    Steps<T>, FrameInput>>;
using Values = Network<Input<1, 1, 3 * T>, OverTime<Seq<DelayedLinear<40, 6>, Lif, Linear<4>>, Steps<T>, FrameInput>>;
using Held = Network<Input<1, 1, 3>, OverTime<Seq<DelayedLinear<40, 6>, Lif, DelayedLinear<4, 3>>, Steps<T>>>;

template <class N>
N strong(std::uint64_t seed) {
  N net = make_network<N>(seed);
  const std::size_t distinct = nn::distinct_channels<N>();
  for (std::size_t c = 0; c < net.normalization.mean.size(); ++c) {
    net.normalization.mean[c] = net.normalization.mean[c % distinct];
    net.normalization.std[c] = net.normalization.std[c % distinct];
  }
  net.for_each_layer([](const std::string&, auto& layer) {
    if constexpr (requires { layer.weight; })
      for (float& w : layer.weight.span()) w *= 3;
  });
  return net;
}

// The images of step t.
template <class N>
Tensor<float> frame(const Tensor<float>& images, std::size_t t, bool frames) {
  if (!frames) return images;
  const Shape s = N::input_shape;
  const std::size_t n = images.extent(0), channels = static_cast<std::size_t>(s.channels) / T,
                    size = channels * s.pixels();
  Tensor<float> one({n, channels, static_cast<std::size_t>(s.height), static_cast<std::size_t>(s.width)});
  for (std::size_t i = 0; i < n; ++i) std::copy_n(images.data() + i * size * T + t * size, size, one.data() + i * size);
  return one;
}

template <class N>
void check(const N& net, bool frames) {
  constexpr std::size_t n = 7;
  const auto images = make_images<N>(n, 3);
  const auto lowered = lower(net, target::Spiking{conversion::Trained{}});
  // As it was trained.
  auto whole = lowered.session(n, {.threads = 1, .tile = n, .over_time = true});
  const Tensor<float> found = whole.run(images), expected = net(images);
  const std::size_t classes = N::outputs;
  std::size_t same = 0;
  for (std::size_t i = 0; i < n; ++i) {
    double worst = 0;
    for (std::size_t c = 0; c < classes; ++c)
      worst = std::max(worst, std::abs(static_cast<double>(found[i * classes + c] - expected[i * classes + c])));
    same += worst < 1e-4 ? 1 : 0;  // rounding may move a spike
  }
  CHECK(same >= n - 1);
  CHECK(largest_difference(whole.run(Tensor<float>(images.extents())), found) > 1e-2);  // what comes in matters
  CHECK(largest_difference(whole.run(images), found) == 0);                             // a run starts fresh
  auto tiles = lowered.session(n, {.threads = 2, .tile = 3});
  CHECK(largest_difference(tiles.run(images), found) == 0);
  // Steps one by one.
  const Tensor<float>& over_time = whole.logits_over_time();
  for (const int threads : {1, 3}) {
    auto session = lowered.session(n, {.threads = threads, .streaming = true});
    std::vector<float> saved;
    for (int round = 0; round < 2; ++round) {
      for (std::size_t t = 0; t < T; ++t) {
        if (t == 4) saved = session.save_state();
        const Tensor<float>& y = session.step(frame<N>(images, t, frames));
        for (std::size_t i = 0; i < y.size(); ++i) CHECK(y[i] == over_time[t * y.size() + i]);
      }
      session.reset();
    }
    auto other = lowered.session(n, {.threads = threads, .streaming = true});
    other.step(frame<N>(images, 5, frames));  // a state that loading replaces
    other.load_state(saved);
    CHECK(other.save_state() == saved);
    for (std::size_t t = 4; t < T; ++t) {
      const Tensor<float>& y = other.step(frame<N>(images, t, frames));
      for (std::size_t i = 0; i < y.size(); ++i) CHECK(y[i] == over_time[t * y.size() + i]);
    }
  }
  // Some of the samples go on.
  auto some = lowered.session(n, {.threads = 1, .streaming = true});
  for (std::size_t t = 0; t < 4; ++t) some.step(frame<N>(images, t, frames));
  const std::vector<std::size_t> stay{1, 4, 6};
  some.keep(stay);
  Tensor<float> y;
  for (std::size_t t = 4; t < T; ++t) {
    const Tensor<float> all = frame<N>(images, t, frames);
    const std::size_t size = all.size() / n;
    Tensor<float> part({3, all.extent(1), all.extent(2), all.extent(3)});
    for (std::size_t i = 0; i < 3; ++i) std::copy_n(all.data() + stay[i] * size, size, part.data() + i * size);
    const std::size_t before = allocations;
    y = some.step(part);
    CHECK(allocations <= before + 1);  // the copy's
  }
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t c = 0; c < classes; ++c) CHECK(y[i * classes + c] == found[stay[i] * classes + c]);
}

}  // namespace

TEST_CASE("delays run as they were trained, and T steps one by one equal one run of T, bit for bit", "[lower][delay]") {
  check(strong<Frames>(3), true);
  check(strong<Values>(4), true);
  check(strong<Held>(5), false);
}

TEST_CASE("recurrent layers run as they were trained, and T steps one by one equal one run of T, bit for bit",
          "[lower][recurrent]") {
  using Leaky = Recurrent<Spiking<presets::SnnTorchLeaky<>>>;
  using Current = Recurrent<Spiking<presets::SnnTorchSynaptic<>>>;
  check(strong<Network<Input<1, 1, 3 * T>, OverTime<Seq<Linear<70>, Leaky, Linear<40>, BatchNorm, Current, Linear<4>>,
                                                    Steps<T>, FrameInput>>>(6),
        true);
  check(strong<Network<Input<6, 6, 2 * T>,
                       OverTime<Seq<Conv2d<12, 3>, Lif, AvgPool<2>, Flatten, DelayedLinear<20, 4>, Current, Linear<4>>,
                                Steps<T>, FrameInput>>>(7),
        true);
  check(strong<Network<Input<1, 1, 3>, OverTime<Seq<Linear<33>, Leaky, Linear<4>>, Steps<T>>>>(8), false);
}

TEST_CASE("spikes come back a step later, and a membrane can be probed", "[lower][recurrent]") {
  using Soft = presets::SpikingJellyIf<reset::Soft>;
  using N =
      Network<Input<1, 1, 2 * T>, OverTime<Seq<Linear<2>, Recurrent<Spiking<Soft>>, Linear<2>>, Steps<T>, FrameInput>>;
  N net;
  auto& body = net.layer<0>().body;
  body.layer<0>().weight = Tensor<float>({2, 2}, std::vector<float>{1, 0, 0, 1});
  body.layer<0>().bias.fill(0);
  body.layer<1>().weight = Tensor<float>({2, 2}, std::vector<float>{0, 0.5f, 1, 0});  // 0 wakes 1; 1 half wakes 0
  const auto lowered = lower(net, target::Spiking{conversion::Trained{}});
  auto session = lowered.session(1, {.streaming = true});
  Tensor<float> frame({1, 2, 1, 1});
  std::string spikes, potential;
  for (int t = 0; t < T; ++t) {
    frame[0] = t == 0 || t == 4 ? 1.0f : 0.0f;
    session.step(frame);
    session.probe<1>([&](std::size_t, std::size_t, std::span<const float> s) {
      spikes += s[0] != 0 ? "0" : s[1] != 0 ? "1" : "-";
    });
    session.probe<1, exec::Probe::membrane>(
        [&](std::size_t, std::size_t, std::span<const float> v) { potential += v[0] == 0.5f ? "h" : "."; });
  }
  CHECK(spikes == "01--0101-");
  CHECK(potential == "..hhhh..h");
  CHECK(lowered.layers()[1].product == "recurrent");
  net.layer<0>().body.layer<1>().weight[0] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(lower(net, target::Spiking{conversion::Trained{}}), Error);
}

TEST_CASE("spikes wait as long as the synapse says", "[lower][delay]") {
  using N = Network<Input<1, 1, 2 * T>, OverTime<Seq<DelayedLinear<3, 5>, Linear<3>>, Steps<T>, FrameInput>>;
  N net;
  auto& body = net.layer<0>().body;
  auto& layer = body.layer<0>();
  layer.weight.fill(0);
  layer.weight[0] = 2;  // 0 -> 0 after 4 steps
  layer.position[0] = -2;
  layer.weight[3] = 3;  // 1 -> 1 at once
  layer.position[3] = 2.4f;
  layer.weight[4] = 5;  // 0 -> 2 after one step and a rounded half
  layer.position[4] = 0.6f;
  body.layer<1>().weight = Tensor<float>({3, 3}, std::vector<float>{1, 0, 0, 0, 1, 0, 0, 0, 1});
  body.layer<1>().bias.fill(0);
  const auto lowered = lower(net, target::Spiking{conversion::Trained{}});
  auto session = lowered.session(1, {.threads = 1, .tile = 1});
  Tensor<float> x({1, 2 * T, 1, 1});
  x[2 * 1 + 0] = 1;
  x[2 * 3 + 1] = 1;
  session.run(x);
  session.probe<0>([](std::size_t, std::size_t t, std::span<const float> y) {
    CHECK(y[0] == (t == 5 ? 2.0f : 0.0f));
    CHECK(y[1] == (t == 3 ? 3.0f : 0.0f));
    CHECK(y[2] == (t == 2 ? 5.0f : 0.0f));
  });
  std::string text;
  for (const auto& row : lowered.layers())
    text += row.path + ":" + row.product + "(" + row.takes + ")>" + row.emits + " ";
  CHECK(text == "0.body.0:delay(real)>real 0.body.1:dense_f32(real)>real ");
  CHECK(lowered.layers()[0].steps == T);
}

TEST_CASE("frames are refused where they do not fit", "[lower][delay]") {
  auto net = strong<Values>(4);
  const auto lowered = lower(net, target::Spiking{conversion::Trained{}});
  auto whole = lowered.session(2);
  CHECK(mentions(error_text([&] {
                   whole.run(Tensor<float>({2, 3, 1, 1}));
                 }),
                 "expected (N <= 2, 27, 1, 1), found (2, 3, 1, 1)"));
  auto session = lowered.session(2, {.streaming = true});
  CHECK(mentions(error_text([&] {
                   session.step(Tensor<float>({2, 27, 1, 1}));
                 }),
                 "expected (N <= 2, 3, 1, 1), found (2, 27, 1, 1)"));
  net.normalization.mean[4] += 0.5f;  // of the second frame only
  CHECK(mentions(error_text([&] { lower(net, target::Spiking{conversion::Trained{}}); }), "same at each time step"));
}

TEST_CASE("operations of layers that look back agree with a plain count", "[lower][delay][statistics]") {
  using Soft = Spiking<presets::SpikingJellyIf<reset::Soft>>;
  using N = Network<Input<1, 1, 3 * T>,
                    OverTime<Seq<Soft, DelayedLinear<10, 4>, Recurrent<Soft>, Linear<2>>, Steps<T>, FrameInput>>;
  N net = strong<N>(9);
  std::fill(net.normalization.mean.begin(), net.normalization.mean.end(), 0.0f);
  net.layer<0>().body.layer<2>().weight[3] = 0;
  const auto images = make_images<N>(1, 4);
  const auto lowered = lower(net, target::Spiking{conversion::Trained{}});
  const auto rows = report::count_operations(lowered, images.data(), 1, images.size(), 1).per_layer();
  REQUIRE(rows.size() == 4);
  auto session = lowered.session(1, {.threads = 1, .tile = 1});
  session.run(images);
  double woken = 0, back = 0, fired = 0, first = 0;
  session.probe<0>([&](std::size_t, std::size_t t, std::span<const float> s) {
    for (std::size_t i = 0; i < 3; ++i)
      for (std::size_t o = 0; o < 10 && s[i] != 0; ++o)
        woken += t + net.layer<0>().body.layer<1>().delay_of(o * 3 + i) < T ? 1 : 0;
    first += static_cast<double>(std::count(s.begin(), s.end(), 1.0f));
  });
  session.probe<2>([&](std::size_t, std::size_t t, std::span<const float> s) {
    for (std::size_t i = 0; i < 10; ++i)
      if (s[i] != 0) {
        fired += 1;
        back += t + 1 < T ? (i == 3 ? 9 : 10) : 0;
      }
  });
  CHECK(fired > 5);
  CHECK(rows[0].counts.spikes == first);
  CHECK(rows[0].counts.neuron_updates == 3 * T);
  CHECK(rows[1].counts.ac == woken);
  CHECK(rows[1].counts.mac == 0);
  CHECK(rows[2].counts.ac == back);
  CHECK(rows[2].counts.spikes == fired);
  CHECK(rows[2].counts.neuron_updates == 10 * T);
  CHECK(rows[3].counts.ac == 2 * fired);
}

TEST_CASE("frames share their statistics over time, so a network fitted on them is lowered as it is", "[lower][delay]") {
  ImageSet set{Tensor<std::uint8_t>({64, 3 * T, 1, 1}), {}, 4};
  Rng rng(5);
  for (std::size_t i = 0; i < set.images.size(); ++i)  // brighter with time, and from channel to channel
    set.images[i] = static_cast<std::uint8_t>(rng.below(static_cast<std::uint32_t>(20 + 8 * (i % (3 * T)) + 5 * (i % 3))));
  for (int i = 0; i < 64; ++i) set.labels.push_back(i % 4);
  Values net{Rng(3)};
  fit(net, set, {.epochs = 1, .batch = 16, .threads = 1});
  const std::vector<float>& mean = net.normalization.mean;
  CHECK(mean[0] != mean[1]);
  for (std::size_t c = 3; c < 3 * T; ++c) CHECK(mean[c] == mean[c % 3]);
  double sum = 0;
  for (std::size_t i = 0; i < set.images.size(); i += 3) sum += set.images[i] / 255.0;
  CHECK(std::abs(sum / (64 * T) - static_cast<double>(mean[0])) < 0.5 / 255 + 1e-4);
  const auto images = make_images<Values>(8, 6);
  const auto lowered = lower(net, target::Spiking{conversion::Trained{}});
  const Tensor<float> found = lowered(images), expected = net(images);
  std::size_t same = 0;
  for (std::size_t i = 0; i < found.size(); ++i) same += std::abs(found[i] - expected[i]) < 1e-4f ? 1 : 0;
  CHECK(same >= found.size() - 4);
}
