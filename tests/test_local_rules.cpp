// Local rules: power-law, stochastic binary and hybrid STDP, and the competing maps that learn by them.
#include "catch.hpp"

#include <spiq/core/random.hpp>
#include <spiq/neuron/encode.hpp>
#include <spiq/plasticity/local_conv.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

using namespace spiq;
using namespace spiq::plasticity;

namespace {
using Words = std::vector<std::uint64_t>;

bool bit(std::span<const std::uint64_t> words, std::size_t i) { return (words[i / 64] >> (i % 64) & 1) != 0; }

// Spikes [steps][bit_words(n)] of the given density.
Words random_spikes(std::size_t steps, std::size_t n, float density, Rng rng) {
  Words words(steps * bit_words(n));
  for (std::size_t t = 0; t < steps; ++t)
    for (std::size_t i = 0; i < n; ++i)
      if (rng.uniform() < density) words[t * bit_words(n) + i / 64] |= std::uint64_t{1} << (i % 64);
  return words;
}

kernel::ConvGeometry square(Shape in, int maps, int size, int stride = 1) {
  kernel::ConvGeometry g;
  g.in = in;
  g.out_channels = maps;
  g.kernel_h = g.kernel_w = size;
  g.stride_h = g.stride_w = stride;
  return g;
}

// Whether `found` of n events lie within four sigma of probability p.
bool near_probability(std::size_t found, std::size_t n, double p) {
  const double count = static_cast<double>(n);
  return std::abs(static_cast<double>(found) - p * count) <= 4 * std::sqrt(count * p * (1 - p));
}
}  // namespace

TEST_CASE("the power law: worked values, the age without a change, the bounds", "[local]") {
  const PowerLawStdp rule;
  const int ages[] = {0, 5, 10, 20, 50};
  const double changes[] = {0.0015, 0.000947, 0.000516, -0.0000803, -0.000795};
  for (std::size_t i = 0; i < 5; ++i) {
    RealWeights w = rule.weights(1, 1, Rng(1));
    w.set(0, 0, 0.5f);
    w.change(0, 0, rule.post(ages[i]), 0);
    CHECK(std::abs(double{w(0, 0)} - 0.5 - changes[i]) < 1e-6);
  }
  CHECK(std::abs(double{rule.crossing()} - 18.3258) < 1e-4);
  CHECK(rule.post(18) > 0);
  CHECK(rule.post(19) < 0);
  CHECK(rule.post(never) == -rule.eta * rule.offset);

  for (const float eta : {0.01f, 0.7f, 1.0f}) {
    const PowerLawStdp strong{.eta = eta, .tau = 20, .offset = 0.4f, .w_min = -0.25f, .w_max = 0.75f};
    RealWeights w = strong.weights(3, 40, Rng(2));
    Rng rng(3);
    bool inside = true;
    for (int n = 0; n < 20000; ++n) {
      const std::size_t row = rng.below(3), tap = rng.below(40);
      // The rule itself, without the clamp that guards against rounding.
      const float before = w(row, tap), strength = strong.post(static_cast<int>(rng.below(100)));
      const float moved = before + strength * (0.75f - before) * (before + 0.25f);
      w.change(row, tap, strength, 0);
      inside = inside && w(row, tap) >= -0.25f && w(row, tap) <= 0.75f && std::abs(moved - w(row, tap)) < 1e-6f;
    }
    CHECK(inside);
  }
}

TEST_CASE("packed one-bit weights give exactly the float result", "[local]") {
  const float low = GENERATE(0.0f, -1.0f);
  for (const std::size_t taps : {std::size_t{1}, std::size_t{63}, std::size_t{64}, std::size_t{65}, std::size_t{784}}) {
    const BinaryWeights w(7, taps, low, 1, Rng(taps));
    const Words spikes = random_spikes(1, taps, 0.3f, Rng(9));
    std::vector<float> y(7), expected(7);
    w.product(spikes, y.data());
    for (std::size_t r = 0; r < 7; ++r)
      for (std::size_t t = 0; t < taps; ++t) {
        CHECK((w(r, t) == low || w(r, t) == 1));
        if (bit(spikes, t)) expected[r] += w(r, t);
      }
    CHECK(y == expected);
    CHECK(w.bytes() == 7 * 8 * ((taps + 63) / 64));
  }
}

TEST_CASE("binary weights switch as a chain of two states", "[local]") {
  const double a = 0.03, b = 0.01;
  const std::size_t n = 8000;
  BinaryWeights w(1, n, 0, 1, Rng(5));
  double flips = 0, events = 0;
  for (std::uint64_t event = 0; event < 200; ++event) {
    Rng draw = Rng(6).split(event);
    for (std::size_t i = 0; i < n; ++i) {
      const bool before = w.is_high(0, i);
      w.change(0, i, static_cast<float>(before ? -b : a), draw.uniform());
      if (event >= 150) {
        flips += before != w.is_high(0, i) ? 1 : 0;
        ++events;
      }
    }
  }
  std::size_t high = 0;
  for (std::size_t i = 0; i < n; ++i) high += w.is_high(0, i) ? 1 : 0;
  CHECK(near_probability(high, n, a / (a + b)));
  // Correlation of one event to the next of a chain with this stationary state: 1 - flips / (2 p (1 - p)).
  const double p = a / (a + b), rate = 2 * p * (1 - p) * (a + b);
  const double correlation = 1 - flips / events / (2 * p * (1 - p));
  CHECK(std::abs(correlation - (1 - a - b)) < 4 * std::sqrt(rate / events) / (2 * p * (1 - p)));
}

namespace {
// One neuron of n inputs: those below `first` fire at step 0, the rest at step 5, when the neuron fires, and the first
// again at step 8, when it is past firing.
template <class Rule>
struct OneNeuron {
  static constexpr std::size_t n = 6000, first = 3000;
  BinaryWeights before, after;

  OneNeuron(const Rule& rule, std::uint64_t seed)
      : OneNeuron(
            LocalConv<Rule>(kernel::ConvGeometry::linear(n, 1), {.leak = 1, .theta_plus = 1e9f}, rule, Rng(seed))) {}
  explicit OneNeuron(LocalConv<Rule> layer) : before(layer.weights()), after(before) {
    Words in(9 * bit_words(n)), out(9);
    for (std::size_t i = 0; i < n; ++i)
      for (const std::size_t t : {std::size_t{0}, std::size_t{5}, std::size_t{8}})
        if ((t == 5) != (i < first)) in[t * bit_words(n) + i / 64] |= std::uint64_t{1} << (i % 64);
    std::vector<float> charge(1);
    layer.weights().product(std::span(in).first(bit_words(n)), charge.data());
    layer.thresholds()[0] = charge[0] + 1;  // the first alone are one short
    auto state = layer.state();
    layer.learn(9, in, out, state);
    for (std::size_t t = 0; t < 9; ++t) CHECK((out[t] != 0) == (t == 5));
    after = layer.weights();
  }
  // Of the inputs [from, to) that were high, or low, the share of probability p is not any more.
  void switched(bool high, std::size_t from, std::size_t to, double p) const {
    std::size_t all = 0, found = 0;
    for (std::size_t i = from; i < to; ++i) {
      all += before.is_high(0, i) == high ? 1 : 0;
      found += before.is_high(0, i) == high && after.is_high(0, i) != high ? 1 : 0;
    }
    CAPTURE(high, from, found, all, p);
    CHECK(all > 1000);
    CHECK(near_probability(found, all, p));
  }
};
}  // namespace

TEST_CASE("stochastic STDP switches with the probabilities of its ages", "[local]") {
  // Post-spike at age 5: .1 e^-.5 = .060653; then of those that are high, pre-spike 3 steps after: .05 e^-.15.
  CHECK(std::abs(double{StochasticStdp{}.post(5)} - 0.060653) < 1e-6);
  const double up5 = 0.1 * std::exp(-0.5), down3 = 0.05 * std::exp(-0.15);
  const OneNeuron<StochasticStdp> only_up({.p_dep = 0}, 1);
  only_up.switched(false, 0, only_up.first, up5);
  only_up.switched(false, only_up.first, only_up.n, 0.1);
  only_up.switched(true, 0, only_up.n, 0);
  const OneNeuron<StochasticStdp> both({}, 2);
  both.switched(false, 0, both.first, up5 * (1 - down3));
  both.switched(true, 0, both.first, down3);
  both.switched(true, both.first, both.n, 0);
}

TEST_CASE("hybrid STDP: Hebbian and anti-Hebbian branches", "[local]") {
  // At step 5 the first inputs are 5 steps old, the others new.
  const OneNeuron<HybridStdp> old_ones({.t_hebb = 4, .t_anti = 4, .p_h = 0.2f, .p_a = 0.1f}, 3);
  old_ones.switched(false, 0, old_ones.first, 0);
  old_ones.switched(true, 0, old_ones.first, 0.1);
  old_ones.switched(false, old_ones.first, old_ones.n, 0.2);
  old_ones.switched(true, old_ones.first, old_ones.n, 0);
  const OneNeuron<HybridStdp> between({.t_hebb = 4, .t_anti = 5, .p_h = 0.2f, .p_a = 0.1f}, 4);
  between.switched(true, 0, between.first, 0);
  between.switched(false, 0, between.first, 0);
  // At step 8 the neuron's spike is 3 steps old.
  const OneNeuron<HybridStdp> after({.t_hebb = 3, .t_anti = 3, .p_h = 0, .p_a = 0, .anti_p_h = 0.15f, .anti_p_a = 0.3f},
                                    5);
  after.switched(true, 0, after.first, 0.15);
  after.switched(true, after.first, after.n, 0);
  const OneNeuron<HybridStdp> late({.t_hebb = 2, .t_anti = 2, .p_h = 0, .p_a = 0, .anti_p_h = 0.15f}, 6);
  late.switched(true, 0, late.n, 0);
}

TEST_CASE("an anti-Hebbian input strengthens what fired long ago, or never", "[local]") {
  LocalConv<HybridStdp> layer(kernel::ConvGeometry::linear(6000, 1), {.threshold = 1e9f},
                              {.p_h = 0, .p_a = 0, .anti_p_a = 0.3f}, Rng(1));
  const BinaryWeights before = layer.weights();
  auto state = layer.state();
  Words in(bit_words(6000), ~std::uint64_t{0}), out(1);
  in.back() = (std::uint64_t{1} << (6000 % 64)) - 1;
  layer.learn(1, in, out, state);
  std::size_t low = 0, risen = 0;
  for (std::size_t i = 0; i < 6000; ++i) {
    low += before.is_high(0, i) ? 0 : 1;
    risen += !before.is_high(0, i) && layer.weights().is_high(0, i) ? 1 : 0;
    CHECK((!before.is_high(0, i) || layer.weights().is_high(0, i)));
  }
  CHECK(near_probability(risen, low, 0.3));
}

namespace {
// The neurons of a frozen layer with float weights, written out.
template <class Rule>
Words reference(const LocalConv<Rule>& layer, std::size_t steps, const Words& in) {
  const auto& g = layer.geometry();
  const LocalOptions& o = layer.options;
  const auto maps = layer.maps(), n = layer.outputs();
  std::vector<float> v(n);
  std::vector<int> rest(n);
  Words out(steps * bit_words(n));
  for (std::size_t t = 0; t < steps; ++t)
    for (int y = 0; y < g.out_h(); ++y)
      for (int x = 0; x < g.out_w(); ++x) {
        const auto at = static_cast<std::size_t>(y * g.out_w() + x) * maps;
        int best = -1;
        std::vector<float> excess(maps);
        for (std::size_t m = 0; m < maps; ++m) {
          float sum = 0;
          std::size_t tap = 0;
          for (int ky = 0; ky < g.kernel_h; ++ky)
            for (int kx = 0; kx < g.kernel_w; ++kx)
              for (int c = 0; c < g.in.channels; ++c, ++tap) {
                const int i = ((y * g.stride_h + ky) * g.in.width + x * g.stride_w + kx) * g.in.channels + c;
                if (bit(std::span(in).subspan(t * bit_words(layer.inputs())), static_cast<std::size_t>(i)))
                  sum += layer.weights()(m, tap);
              }
          const bool resting = rest[at + m] > 0;
          v[at + m] = resting ? 0 : o.leak * v[at + m] + sum;
          excess[m] = v[at + m] - layer.thresholds()[m];
          if (resting) --rest[at + m];
          if (resting || excess[m] < 0) continue;
          if (best < 0 || excess[m] > excess[static_cast<std::size_t>(best)]) best = static_cast<int>(m);
        }
        if (best < 0) continue;
        for (std::size_t m = 0; m < maps; ++m) {
          if (static_cast<int>(m) == best) {
            v[at + m] = 0;
            rest[at + m] = o.refractory;
            out[t * bit_words(n) + (at + m) / 64] |= std::uint64_t{1} << ((at + m) % 64);
          } else if (v[at + m] > 0) {
            v[at + m] = std::max(0.0f, v[at + m] - o.inhibition);
          }
        }
      }
  return out;
}
}  // namespace

TEST_CASE("competing maps fire as written out, with packed weights too", "[local]") {
  const std::size_t steps = 12;
  const auto compare = [&](const auto& layer) {
    const Words in = random_spikes(steps, layer.inputs(), 0.3f, Rng(8));
    Words out(steps * bit_words(layer.outputs()));
    auto state = layer.state();
    layer.run(steps, in, out, state);
    CHECK(out == reference(layer, steps, in));
    CHECK(std::any_of(out.begin(), out.end(), [](std::uint64_t w) { return w != 0; }));
    layer.run(steps, in, out, state);  // a state starts fresh
    CHECK(out == reference(layer, steps, in));
  };
  // Dyadic leaks, so that sums of whole weights are exact in any order.
  const LocalOptions o{.leak = 0.5f, .threshold = 9, .refractory = 1, .inhibition = 2};
  compare(LocalConv<HybridStdp>(square({9, 11, 3}, 5, 4, 2), o, {}, Rng(1)));
  compare(LocalConv<StochasticStdp>(square({9, 9, 1}, 70, 5), {.leak = 0.5f, .threshold = 4, .inhibition = 1e9f},
                                    {.low = -1}, Rng(2)));
  compare(LocalConv<StochasticStdp>(square({28, 28, 1}, 20, 28), {.leak = 1, .threshold = 300, .inhibition = 50}, {},
                                    Rng(3)));
  LocalConv<PowerLawStdp> real(square({8, 8, 2}, 4, 3), o, {}, Rng(4));
  for (std::size_t m = 0; m < real.maps(); ++m)
    for (std::size_t k = 0; k < real.taps(); ++k) real.weights().set(m, k, static_cast<float>((3 * m + 5 * k) % 9) / 8);
  real.thresholds()[0] = 3;
  compare(real);
}

TEST_CASE("without inhibition maps fire beside each other, with it one at a position", "[local]") {
  LocalConv<StochasticStdp> layer(square({6, 6, 1}, 8, 3), {.threshold = 2}, {}, Rng(2));
  const Words in = random_spikes(10, 36, 0.5f, Rng(1));
  Words out(10 * bit_words(layer.outputs()));
  auto state = layer.state();
  const auto most = [&] {
    layer.run(10, in, out, state);
    int most_of_all = 0;
    for (std::size_t t = 0; t < 10; ++t)
      for (std::size_t p = 0; p < layer.positions(); ++p) {
        int fired = 0;
        for (std::size_t m = 0; m < 8; ++m)
          fired += bit(std::span(out).subspan(t * bit_words(layer.outputs())), p * 8 + m) ? 1 : 0;
        most_of_all = std::max(most_of_all, fired);
      }
    return most_of_all;
  };
  CHECK(most() > 2);
  layer.options.inhibition = 1;
  CHECK(most() == 1);
}

TEST_CASE("a spike raises the threshold of its map, every step lets it sink", "[local]") {
  LocalConv<StochasticStdp> layer(kernel::ConvGeometry::linear(3, 2),
                                  {.threshold = 1, .theta_plus = 0.5f, .theta_decay = 0.5f}, {}, Rng(1));
  for (std::size_t k = 0; k < 3; ++k) {
    layer.weights().set(0, k, true);
    layer.weights().set(1, k, false);
  }
  auto state = layer.state();
  Words in{7, 0, 0}, out(3);
  layer.learn(1, std::span(in).first(1), std::span(out).first(1), state);
  CHECK(out[0] == 1);
  CHECK(layer.thresholds()[0] == 1.5f);
  CHECK(layer.thresholds()[1] == 1.0f);
  layer.learn(2, std::span(in).last(2), std::span(out).last(2), state);
  CHECK(layer.thresholds()[0] == 1.125f);
  layer.run(3, in, out, state);  // frozen
  CHECK(layer.thresholds()[0] == 1.125f);
}

TEST_CASE("logistic noise makes the stochastic neuron", "[local]") {
  // P(spike) = 1 / (1 + e^-(u - u0)), no memory: u - u0 = -1, 0, 1.
  const double expected[] = {0.268941, 0.5, 0.731059};
  for (int i = 0; i < 3; ++i) {
    LocalConv<StochasticStdp> layer(square({25, 40, 1}, 1, 1),
                                    {.leak = 0, .threshold = static_cast<float>(2 - i), .noise = 1}, {}, Rng(7));
    layer.weights().set(0, 0, true);
    Words in(100 * bit_words(1000), ~std::uint64_t{0}), out(in.size());
    auto state = layer.state();
    layer.run(100, in, out, state);
    std::size_t spikes = 0;
    for (const std::uint64_t w : out) spikes += static_cast<std::size_t>(std::popcount(w));
    CHECK(near_probability(spikes, 100000, expected[i]));
  }
}

TEST_CASE("events of a map are added, averaged, or only the winner's", "[local]") {
  // One map of 1x2 kernels over four positions; in the only step both taps of position 0 fire, and the left one of 3.
  kernel::ConvGeometry g;
  g.in = {1, 8, 1};
  g.out_channels = 1;
  g.kernel_w = 2;
  g.stride_w = 2;
  const auto moved = [&](Sharing sharing) {
    const PowerLawStdp rule{.eta = 0.1f, .offset = 0.5f};
    LocalConv<PowerLawStdp> layer(g, {.threshold = 0.4f, .sharing = sharing}, rule, Rng(1));
    layer.weights().set(0, 0, 0.5f);
    layer.weights().set(0, 1, 0.5f);
    auto state = layer.state();
    Words in{0b01000011}, out(1);
    layer.learn(1, in, out, state);
    CHECK(out[0] == 0b1001);
    return std::vector<float>{layer.weights()(0, 0) - 0.5f, layer.weights()(0, 1) - 0.5f};
  };
  // A pair at age 0 moves by .1 (1 - .5) / 4, one without a spike by -.1 .5 / 4.
  const auto close = [](const std::vector<float>& found, double left, double right) {
    return std::abs(double{found[0]} - left) < 1e-6 && std::abs(double{found[1]} - right) < 1e-6;
  };
  CHECK(close(moved(Sharing::sum), 0.025, 0));
  CHECK(close(moved(Sharing::mean), 0.0125, 0));
  CHECK(close(moved(Sharing::winner), 0.0125, 0.0125));
}

TEST_CASE("inputs that come after the neuron count where it fired", "[local]") {
  // One map of 1x2 kernels over three positions. Positions 0 and 1 fire in step 0, position 0 with both inputs; in step
  // 1 come the left input of 0, the right one of 1 and both of 2, which has not fired.
  kernel::ConvGeometry g;
  g.in = {1, 6, 1};
  g.out_channels = 1;
  g.kernel_w = 2;
  g.stride_w = 2;
  const auto high = [&](Sharing sharing, std::uint64_t first, std::uint64_t second) {
    const HybridStdp certain{.t_hebb = 1, .t_anti = 1, .p_h = 0, .p_a = 0, .anti_p_h = 1};
    LocalConv<HybridStdp> layer(g, {.leak = 0, .threshold = 1, .theta_plus = 9, .sharing = sharing}, certain, Rng(1));
    layer.weights().set(0, 0, true);
    layer.weights().set(0, 1, true);
    auto state = layer.state();
    Words in{first, second}, out(2);
    layer.learn(2, in, out, state);
    CHECK(out[0] == 0b011);
    CHECK(out[1] == 0);
    return std::vector<bool>{layer.weights().is_high(0, 0), layer.weights().is_high(0, 1)};
  };
  for (const Sharing sharing : {Sharing::sum, Sharing::mean}) {
    CHECK(high(sharing, 0b000111, 0b111001) == std::vector<bool>{false, false});
    CHECK(high(sharing, 0b000111, 0b110001) == std::vector<bool>{false, true});
    CHECK(high(sharing, 0b000111, 0b110000) == std::vector<bool>{true, true});
  }
  CHECK(high(Sharing::winner, 0b000111, 0b111001) == std::vector<bool>{false, true});
  CHECK(high(Sharing::winner, 0b000111, 0b111000) == std::vector<bool>{true, true});
}

TEST_CASE("learning depends on the seed alone, and shows", "[local]") {
  // A bar that comes again and again stands out in a kernel that has seen it.
  const auto learned = [](std::uint64_t seed) {
    LocalConv<HybridStdp> layer(square({5, 5, 1}, 1, 5), {.leak = 0.5f, .threshold = 2}, {}, Rng(seed));
    auto state = layer.state();
    Words out(20);
    for (std::uint64_t image = 0; image < 60; ++image) {
      std::vector<float> x(25, 0.02f), y(20 * 25);
      for (std::size_t k = 10; k < 15; ++k) x[k] = 0.7f;
      encode::poisson(x, 20, Rng(11).split(image), y);
      Words in(20);
      for (std::size_t t = 0; t < 20; ++t)
        for (std::size_t k = 0; k < 25; ++k)
          if (y[t * 25 + k] > 0) in[t] |= std::uint64_t{1} << k;
      layer.learn(20, in, out, state);
    }
    std::vector<float> w;
    for (std::size_t k = 0; k < 25; ++k) w.push_back(layer.weights()(0, k));
    return w;
  };
  const auto w = learned(1);
  CHECK(w == learned(1));
  float on = 0, off = 0;
  for (std::size_t k = 0; k < 25; ++k) (k >= 10 && k < 15 ? on : off) += w[k];
  CHECK(on == 5);
  CHECK(off <= 8);
}

TEST_CASE("the rules refuse what does not fit", "[local]") {
  using Layer = LocalConv<StochasticStdp>;
  const auto g = square({6, 6, 1}, 2, 3);
  auto padded = g;
  padded.pad_h = 1;
  CHECK_THROWS_AS(Layer(padded, {}, {}, Rng(1)), Error);
  CHECK_THROWS_AS(Layer(square({6, 6, 1}, 2, 7), {}, {}, Rng(1)), Error);
  CHECK_THROWS_AS(Layer(g, {.leak = 1.5f}, {}, Rng(1)), Error);
  CHECK_THROWS_AS(Layer(g, {.theta_plus = -1}, {}, Rng(1)), Error);
  CHECK_THROWS_AS(Layer(g, {.theta_decay = 2}, {}, Rng(1)), Error);
  CHECK_THROWS_AS(Layer(g, {.noise = -1}, {}, Rng(1)), Error);
  CHECK_THROWS_AS(Layer(g, {.inhibition = std::nanf("")}, {}, Rng(1)), Error);
  CHECK_THROWS_AS(RealWeights(2, 2, 1, 1, Rng(1)), Error);
  Layer layer(g, {}, {}, Rng(1));
  auto state = layer.state();
  Words in(4), out(4), wrong(5);
  CHECK_NOTHROW(layer.run(4, in, out, state));
  CHECK_THROWS_AS(layer.run(4, wrong, out, state), Error);
  CHECK_THROWS_AS(layer.learn(4, in, wrong, state), Error);
  auto other = Layer(square({6, 6, 1}, 3, 3), {}, {}, Rng(1)).state();
  CHECK_THROWS_AS(layer.run(4, in, out, other), Error);
  // As many inputs and outputs, but other kernels.
  Layer wide(square({7, 7, 1}, 2, 3, 2), {}, {}, Rng(1)), narrow(square({7, 7, 1}, 2, 2, 2), {}, {}, Rng(1));
  auto of_narrow = narrow.state();
  CHECK_NOTHROW(narrow.run(4, in, out, of_narrow));
  CHECK_THROWS_AS(wide.run(4, in, out, of_narrow), Error);
}

TEST_CASE("numbers of a rule that make no sense are refused", "[local]") {
  const auto g = kernel::ConvGeometry::linear(4, 2);
  const float nan = std::nanf("");
  const auto refused = [&](const LocalOptions& o, const auto& rule) {
    using Rule = std::remove_cvref_t<decltype(rule)>;
    CHECK_THROWS_AS((LocalConv<Rule>(g, o, rule, Rng(1))), Error);
  };
  refused({.threshold = nan}, HybridStdp{});
  refused({.refractory = -1}, HybridStdp{});
  refused({}, HybridStdp{.p_h = -0.1f});
  refused({}, HybridStdp{.anti_p_a = nan});
  refused({}, HybridStdp{.t_hebb = 5, .t_anti = 4});
  refused({}, HybridStdp{.low = 1, .high = 0});
  refused({}, StochasticStdp{.p_pot = 2});
  refused({}, StochasticStdp{.tau_dep = 0});
  refused({}, StochasticStdp{.low = nan});
  refused({}, PowerLawStdp{.eta = nan});
  refused({}, PowerLawStdp{.tau = -1});
  refused({}, PowerLawStdp{.offset = 0});
  refused({}, PowerLawStdp{.w_min = 1, .w_max = 1});
}
