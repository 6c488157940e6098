// Events pushed into a session: the same as stepping with frames of them.
#include "backends.hpp"
#include "catch.hpp"
#include "lower_networks.hpp"
#include "own_new.hpp"

#include <spiq/nn/delayed_linear.hpp>
#include <spiq/nn/over_time.hpp>
#include <spiq/nn/recurrent.hpp>
#include <spiq/nn/spiking.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>

using namespace spiq_test;

namespace {

constexpr std::int64_t dt = 500;

template <class Model>
using Net =
    Network<Input<7, 9, 2>,
            OverTime<Seq<Conv2d<12, 3>, Spiking<Model>, AvgPool<2>, Conv2d<20, 3>, Spiking<Model>, Flatten, Linear<5>>,
                     Steps<4>>>;
using If = presets::SpikingJellyIf<reset::Soft>;

// Bursts with silence between them, of one step and of many; some pixels twice in a step.
std::vector<Event> stream(std::size_t n, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<Event> events;
  std::int64_t t = 0;
  for (std::size_t i = 0; i < n; ++i) {
    t += rng.below(12) == 0 ? rng.below(40 * static_cast<std::uint32_t>(dt)) : rng.below(60);
    events.push_back(
        {t, static_cast<int>(rng.below(9)), static_cast<int>(rng.below(7)), static_cast<int>(rng.below(2))});
  }
  return events;
}

template <class Net>
Net with_biases(std::uint64_t seed, float bias) {
  Net net = make_network<Net>(seed);
  std::fill(net.normalization.mean.begin(), net.normalization.mean.end(), 0.0f);
  Rng rng(seed, 9);
  net.for_each_layer([&](const std::string&, auto& layer) {
    if constexpr (requires {
                    layer.bias;
                    layer.weight;
                  }) {
      for (float& w : layer.weight.span()) w *= 3;
      for (float& b : layer.bias.span()) b = bias * rng.uniform(-1, 1);
    }
  });
  return net;
}

template <class Arch = simd::best, class N>
void check(const N& net, const std::vector<Event>& events) {
  const auto lowered = lower<Arch>(net, target::Spiking{conversion::Trained{}});
  auto pushed = lowered.session(1, {.streaming = true, .event_step = dt});
  auto dense = lowered.session(1, {.streaming = true});
  Tensor<float> frame({1, 2, 7, 9});
  std::size_t fired = 0, silent = 0;
  std::vector<float> spikes, expected;
  const auto keep_in = [](std::vector<float>& to) {
    return [&to](std::size_t, std::size_t, std::span<const float> v) { to.assign(v.begin(), v.end()); };
  };
  const std::int64_t end = events.back().t + 3 * dt;
  for (std::int64_t step = 0, next = 0; step < end / dt; ++step) {
    frame.fill(0);
    const auto before = next;
    for (;
         next < static_cast<std::int64_t>(events.size()) && events[static_cast<std::size_t>(next)].t < (step + 1) * dt;
         ++next) {
      const Event& e = events[static_cast<std::size_t>(next)];
      pushed.push(e);
      frame[static_cast<std::size_t>((e.p * 7 + e.y) * 9 + e.x)] += 1;
    }
    silent += next == before ? 1 : 0;
    const Tensor<float>& wanted = dense.step(frame);
    const Tensor<float>& found = pushed.advance((step + 1) * dt);
    REQUIRE(pushed.steps_done() == dense.steps_done());
    CHECK(largest_difference(found, wanted) == 0);
    dense.template probe<2>(keep_in(expected));
    pushed.template probe<2>(keep_in(spikes));
    CHECK(spikes == expected);
    for (const float s : spikes) fired += s != 0 ? 1 : 0;
  }
  CHECK(fired > 20);
  CHECK(silent > 20);
  // The events alone, without advancing in between, end in the same state.
  auto free = lowered.session(1, {.streaming = true, .event_step = dt});
  for (const Event& e : events) free.push(e);
  free.advance(end / dt * dt);
  CHECK(free.save_state() == pushed.save_state());
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("pushed events equal steps with frames of them", "[exec][events]", spiq_test::Backends) {
  check<TestType>(with_biases<Net<presets::SpikingJellyLif<>>>(3, 0.3f), stream(250, 1));
}

TEST_CASE("pushed events equal steps for neurons of all kinds, with biases that let them fire in silence",
          "[exec][events]") {
  check(with_biases<Net<If>>(4, 0), stream(250, 2));
  check(with_biases<Net<If>>(4, 0.2f), stream(250, 3));
  check(with_biases<Net<presets::SnnTorchLeaky<>>>(5, 0.1f), stream(250, 4));
  check(with_biases<Net<presets::SnnTorchSynaptic<>>>(6, 0.1f), stream(250, 5));
  // A residual block, batch norm, and an input that silence does not leave at zero.
  using Joined = Network<Input<7, 9, 2>, OverTime<Seq<Conv2d<12, 3>, BatchNorm, Spiking<If>,
                                                      Residual<Seq<Conv2d<12, 3>>>, Spiking<If>, Flatten, Linear<5>>,
                                                  Steps<4>>>;
  auto joined = with_biases<Joined>(7, 0.1f);
  check(joined, stream(250, 6));
  using Looking =
      Network<Input<7, 9, 2>,
              OverTime<Seq<Flatten, DelayedLinear<20, 4>, Spiking<If>, Linear<10>, Recurrent<Spiking<If>>, Linear<5>>,
                       Steps<4>>>;
  check(with_biases<Looking>(8, 0.1f), stream(250, 8));
  CHECK(lower(joined, target::Spiking{conversion::Trained{}}).layers()[1].path == "0.body.3.body.0");
  joined.normalization.mean[1] = 0.25f;
  check(joined, stream(100, 7));
}

TEST_CASE("neurons between events decay as by hand: v leak^dt", "[exec][events]") {
  // One pixel, one leaky neuron of leak 1/2, weight 1 from ON, -1 from OFF, threshold out of reach.
  using Leaky = presets::SnnTorchLeaky<>;
  Network<Input<1, 1, 2>, OverTime<Seq<Linear<1>, Spiking<Leaky>, Linear<2>>, Steps<4>>> net;
  auto& body = net.template layer<0>().body;
  body.template layer<0>().weight = Tensor<float>({1, 2}, std::vector<float>{-1, 1});
  body.template layer<0>().bias.fill(0);
  body.template layer<1>().set(presets::snntorch_leaky(0.5f, 100));
  const auto lowered = lower(net, target::Spiking{conversion::Trained{}});
  auto session = lowered.session(1, {.streaming = true, .event_step = dt});
  std::vector<float> v;
  const auto potential = [&] {
    session.probe<0, exec::Probe::membrane>(
        [&](std::size_t, std::size_t, std::span<const float> m) { v.assign(m.begin(), m.end()); });
    return v[0];
  };
  session.push({10, 0, 0, 1});
  session.push({20, 0, 0, 1});
  CHECK(session.steps_done() == 0);
  session.push({5 * dt, 0, 0, 0});  // steps 0 ... 4: 2, then four halvings
  CHECK(session.steps_done() == 5);
  CHECK(potential() == 0.125f);
  session.advance(7 * dt);  // 0.125 / 2 - 1, then one halving
  CHECK(potential() == (0.0625f - 1) / 2);
}

TEST_CASE("events out of place throw and change nothing", "[exec][events]") {
  const auto lowered = lower(with_biases<Net<If>>(4, 0), target::Spiking{conversion::Trained{}});
  auto session = lowered.session(1, {.streaming = true, .event_step = dt});
  for (const Event& e : stream(50, 7)) session.push(e);
  const std::int64_t now = stream(50, 7).back().t;
  const auto state = session.save_state();
  for (const Event& bad :
       {Event{now - 1, 0, 0, 0}, Event{-1, 0, 0, 0}, Event{now, 9, 0, 0}, Event{now, -1, 0, 0}, Event{now, 0, 7, 0},
        Event{now, 0, -1, 0}, Event{now, 0, 0, 2}, Event{now + 10 * dt, 0, 0, -1}})
    CHECK_THROWS_AS(session.push(bad), Error);
  CHECK_THROWS_AS(session.advance(now - 1), Error);
  CHECK_THROWS_AS(session.step(Tensor<float>({1, 2, 7, 9})), Error);  // events wait
  CHECK(session.save_state() == state);
  CHECK(mentions(error_text([&] {
                   session.push({now, 9, 0, 0});
                 }),
                 "expected x below 9, y below 7, p 0 or 1, found (9, 0), p 0"));
  // A saved state goes on with the events that wait.
  auto other = lowered.session(1, {.streaming = true, .event_step = dt});
  other.load_state(state);
  CHECK(largest_difference(session.advance(now), other.advance(now)) == 0);  // the read-out so far, too
  CHECK_THROWS_AS(other.push({now - 1, 0, 0, 0}), Error);
  // Times that would take for ever, and states that no session has.
  const std::int64_t far = std::numeric_limits<std::int64_t>::max();
  CHECK_THROWS_AS(other.push({far, 0, 0, 0}), Error);
  CHECK_THROWS_AS(other.advance(far), Error);
  const std::size_t offset = state.size() - 1 - 2 * 7 * 9;
  const float broken[] = {-1, 0.5f, std::numeric_limits<float>::quiet_NaN(), 1e30f};
  for (const std::size_t at : {std::size_t{0}, std::size_t{1}, std::size_t{2}, offset})
    for (const float value : broken) {
      if (at == offset && value == 0.5f) continue;
      auto wrong = state;
      wrong[at] = value;
      CHECK_THROWS_AS(other.load_state(wrong), Error);
    }
  CHECK(session.save_state() == other.save_state());
  session.push({now + 2 * dt, 1, 1, 1});
  other.push({now + 2 * dt, 1, 1, 1});
  CHECK(largest_difference(session.advance(now + 9 * dt), other.advance(now + 9 * dt)) == 0);
  CHECK(session.save_state() == other.save_state());
  session.reset();
  session.push({0, 0, 0, 0});  // time starts again

  auto plain = lowered.session(1, {.streaming = true});
  CHECK_THROWS_AS(plain.push({0, 0, 0, 0}), Error);
  CHECK_THROWS_AS(lowered.session(1, {.event_step = dt}), Error);
  CHECK_THROWS_AS(lowered.session(2, {.streaming = true, .event_step = dt}), Error);
  CHECK_THROWS_AS(lowered.session(1, {.streaming = true, .event_step = -1}), Error);
  const Network<Input<7, 9, 1>, OverTime<Seq<Flatten, Linear<5>, Spiking<If>, Linear<2>>, Steps<4>>> grey;
  const auto one_channel = lower(grey, target::Spiking{conversion::Trained{}});
  CHECK_THROWS_AS(one_channel.session(1, {.streaming = true, .event_step = dt}), Error);
}

TEST_CASE("pushing events allocates nothing", "[exec][events]") {
  const auto lowered = lower(with_biases<Net<If>>(4, 0.1f), target::Spiking{conversion::Trained{}});
  auto session = lowered.session(1, {.streaming = true, .event_step = dt});
  const auto events = stream(100, 8);
  const std::size_t before = allocations;
  for (const Event& e : events) session.push(e);
  CHECK(allocations == before);
}
