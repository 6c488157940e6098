// What a session lets out of its layers, and that nobody pays for it who does not ask.
#include "catch.hpp"
#include "lower_networks.hpp"
#include "own_new.hpp"

#include <spiq/nn/over_time.hpp>
#include <spiq/nn/spiking.hpp>

#include <map>

using namespace spiq_test;

namespace {

// Integrate-and-fire with soft reset at 1: by hand on a slate.
using Slate = Network<Input<1, 1, 2>,
                      OverTime<Seq<Linear<3>, Spiking<presets::SpikingJellyIf<reset::Soft>>, Linear<2>>, Steps<4>>>;
Slate slate() {
  Slate net;
  auto& first = net.layer<0>().body.layer<0>();
  // Currents for (1, 0.5): 0.5, 0.75 + 0.25 = 1, -1.
  first.weight = Tensor<float>({3, 2}, std::vector<float>{0.5f, 0, 0.75f, 0.5f, -1, 0});
  first.bias.fill(0);
  return net;
}
constexpr float by_hand[4][3] = {{0, 1, 0}, {1, 1, 0}, {0, 1, 0}, {1, 1, 0}};
constexpr float potentials[4][3] = {{0.5f, 0, -1}, {0, 0, -2}, {0.5f, 0, -3}, {0, 0, -4}};

using Values = std::map<std::pair<std::size_t, std::size_t>, std::vector<float>>;
struct Keep {
  Values& all;
  void operator()(std::size_t sample, std::size_t step, std::span<const float> values) const {
    CHECK(all.emplace(std::pair(sample, step), std::vector<float>(values.begin(), values.end())).second);
  }
};

}  // namespace

TEST_CASE("a probe takes out the spikes that a hand computes", "[exec][probe]") {
  const auto lowered = lower(slate(), target::Spiking{conversion::Trained{}});
  const Tensor<float> x({2, 2}, std::vector<float>{1, 0.5f, 0, 0});
  auto session = lowered.session(2, {.threads = 1, .tile = 2});
  Values none, all;
  session.probe<0>(Keep{none});
  CHECK(none.empty());  // nothing has run
  session.run(x);
  session.probe<0>(Keep{all});
  REQUIRE(all.size() == 8);
  for (std::size_t t = 0; t < 4; ++t) {
    CHECK(all.at({0, t}) == std::vector<float>(by_hand[t], by_hand[t] + 3));
    CHECK(all.at({1, t}) == std::vector<float>(3, 0.0f));
  }
  // The read-out's currents: of the spikes above.
  Values currents;
  session.probe<1>(Keep{currents});
  const Slate net = slate();
  const auto& linear = net.layer<0>().body.layer<2>();
  for (std::size_t t = 0; t < 4; ++t)
    for (std::size_t c = 0; c < 2; ++c) {
      float sum = linear.bias[c];
      for (std::size_t i = 0; i < 3; ++i) sum += linear.weight[c * 3 + i] * by_hand[t][i];
      CHECK(std::abs(currents.at({0, t})[c] - sum) < 1e-6f);
    }
  CHECK_THROWS_AS((session.probe<0, exec::Probe::membrane>(Keep{none})), Error);
}

TEST_CASE("a probe of a streaming session: spikes and membranes, step by step, of any number of threads",
          "[exec][probe]") {
  const auto lowered = lower(slate(), target::Spiking{conversion::Trained{}});
  const Tensor<float> x({3, 2}, std::vector<float>{0, 0, 0, 0, 1, 0.5f});
  for (const int threads : {1, 2}) {
    auto session = lowered.session(3, {.threads = threads, .streaming = true});
    Values spikes, membranes;
    session.probe<0>(Keep{spikes});
    CHECK(spikes.empty());
    for (std::size_t t = 0; t < 4; ++t) {
      session.step(x);
      session.probe<0>(Keep{spikes});
      session.probe<0, exec::Probe::membrane>(Keep{membranes});
      CHECK(spikes.at({2, t}) == std::vector<float>(by_hand[t], by_hand[t] + 3));
      CHECK(membranes.at({2, t}) == std::vector<float>(potentials[t], potentials[t] + 3));
    }
    CHECK(spikes.size() == 12);
    session.reset();
    Values after;
    session.probe<0>(Keep{after});
    CHECK(after.empty());
    CHECK_THROWS_AS(session.run(x), Error);  // a run starts fresh, which would lose the state
  }
}

TEST_CASE("layers are numbered as layers() lists them, the branches of a join before it", "[exec][probe]") {
  const auto net = make_network<Deep>(3);
  const auto lowered = lower(net, target::Spiking{conversion::Qcfs{.steps = 3}});
  const auto rows = lowered.layers();
  REQUIRE(rows.size() == std::remove_cvref_t<decltype(lowered)>::Chain::total);
  auto session = lowered.session(2, {.threads = 1, .tile = 2});
  session.run(make_images<Deep>(2, 1));
  // Every layer's values have the size that its row says.
  std::vector<std::size_t> sizes;
  for_each_index<std::remove_cvref_t<decltype(lowered)>::Chain::total>([&](auto i) {
    std::size_t calls = 0, size = 0;
    session.template probe<i.value>(
        [&](std::size_t, std::size_t, std::span<const float> v) { ++calls, size = v.size(); });
    CHECK(calls % 2 == 0);
    sizes.push_back(size);
  });
  for (std::size_t i = 0; i < rows.size(); ++i) CHECK(sizes[i] == rows[i].shape.size());
  // Several tiles hold the last samples only, and say so.
  auto tiled = lowered.session(2, {.threads = 1, .tile = 1});
  tiled.run(make_images<Deep>(2, 1));
  CHECK(mentions(error_text([&] { tiled.probe<0>([](auto...) {}); }), "all 2 samples"));
}

TEST_CASE("a session that is not probed allocates nothing while it runs, and a probe changes no result",
          "[exec][probe]") {
  const auto lowered = lower(slate(), target::Spiking{conversion::Trained{}});
  const Tensor<float> x({1, 2}, std::vector<float>{1, 0.5f});
  auto plain = lowered.session(1, {.threads = 1, .streaming = true});
  auto probed = lowered.session(1, {.threads = 1, .streaming = true});
  for (int t = 0; t < 6; ++t) {
    const std::size_t before = allocations;
    const Tensor<float>& expected = plain.step(x);
    CHECK(allocations == before);
    CHECK(largest_difference(probed.step(x), expected) == 0);
    CHECK(allocations == before);
    probed.probe<0, exec::Probe::membrane>([](std::size_t, std::size_t, std::span<const float>) {});
  }
  CHECK(plain.save_state() == probed.save_state());
}
