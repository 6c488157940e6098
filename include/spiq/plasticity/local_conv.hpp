/// @file
/// A convolution of spikes whose maps compete and learn without a teacher.
#pragma once

#include <spiq/kernel/geometry.hpp>
#include <spiq/plasticity/rules.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace plasticity {

/// Which events of a step change a kernel that all positions of its map share.
enum class Sharing {
  sum,    ///< all, one after the other's strength added
  mean,   ///< their mean strength
  winner  ///< only those of the position where the map fired first in this sample, furthest above its threshold
};

/// Neurons of a `LocalConv`: v <- leak v + x, and where v, with noise, reaches the threshold of its map, a spike and v
/// = 0.
struct LocalOptions {
  float leak = 0.9f;
  float threshold = 1;    ///< of every map at first
  float theta_plus = 0;   ///< while learning, a spike raises the threshold of its map by so much,
  float theta_decay = 1;  ///< and every step brings it nearer to `threshold`: what lies above is multiplied by this
  int refractory = 0;     ///< steps after a spike in which a neuron stays at 0
  float noise = 0;        ///< sigma of logistic noise at the comparison: P(spike) = 1 / (1 + e^(-(v - theta) / sigma))
  float inhibition = 0;   ///< above 0, one map at most fires at a position and step, the one furthest above its
                          ///< threshold, and takes so much from the potentials of the others there, down to 0
  Sharing sharing = Sharing::mean;
};

/// A convolution over spikes with leaky integrate-and-fire neurons, lateral inhibition between the maps of a position
/// and adaptive thresholds (Srinivasan, Panda and Roy, arXiv 1703.03854; ReStoCNet, arXiv 1902.04161), whose kernels a
/// rule of rules.hpp changes. A fully connected layer is a kernel as large as its input.
///
/// Spikes are packed as `neuron::run` packs them, a row of `bit_words(n)` words per step, neurons in (y, x, channel)
/// order. In a step, inputs arrive first (`Rule::pre`), then neurons fire (`Rule::post`). A random number depends on
/// the seed, the step and the synapse alone.
template <class Rule>
class LocalConv {
public:
  using Weights = typename Rule::Weights;

  /// What changes while samples run. Membranes start at 0 with every sample; ages of spikes go on from one sample to
  /// the next, since a rule may learn from what comes after.
  struct State {
    struct Firing {
      std::size_t map, position;
      float excess;  ///< potential, with noise, above the threshold
    };
    std::uint64_t clock = 0;             ///< steps so far; numbers the draws of noise and switching
    std::vector<float> membrane;         ///< [position][map]
    std::vector<int> rest;               ///< [position][map]: steps of refractoriness left
    std::vector<int> pre_age, post_age;  ///< [input], [position][map]
    std::vector<std::size_t> winner;     ///< [map]: position, or `positions()` for none yet
    std::vector<std::uint64_t> patches;  ///< [position]: spikes of its window
    std::vector<Firing> fired;           ///< in this step
    std::vector<float> excess, strength;
    std::vector<int> events;
  };

  /// Kernels drawn from `rng`. Throws for a geometry with padding, dilation or groups, and for options out of range.
  LocalConv(const kernel::ConvGeometry& g, const LocalOptions& o, const Rule& r, const Rng& rng)
      : options(o),
        rule(r),
        geometry_(checked(g, o)),
        weights_(r.weights(static_cast<std::size_t>(g.out_channels), static_cast<std::size_t>(g.fan_in()),
                           rng.split(weight_stream))),
        thresholds_(static_cast<std::size_t>(g.out_channels), o.threshold),
        rng_(rng) {
    const auto window = static_cast<std::size_t>(g.kernel_w * g.in.channels);
    for (std::size_t y = 0; y < static_cast<std::size_t>(g.kernel_h); ++y)
      for (std::size_t x = 0; x < window; ++x) offsets_.push_back(y * row_length() + x);
  }

  LocalOptions options;
  Rule rule;

  [[nodiscard]] const kernel::ConvGeometry& geometry() const { return geometry_; }
  [[nodiscard]] std::size_t inputs() const { return geometry_.in.size(); }
  [[nodiscard]] std::size_t outputs() const { return geometry_.out().size(); }
  [[nodiscard]] std::size_t maps() const { return static_cast<std::size_t>(geometry_.out_channels); }
  [[nodiscard]] std::size_t positions() const { return geometry_.out().pixels(); }
  /// Weights of a map, in (y, x, channel) order.
  [[nodiscard]] std::size_t taps() const { return offsets_.size(); }
  /// [maps()][taps()]
  [[nodiscard]] const Weights& weights() const { return weights_; }
  [[nodiscard]] Weights& weights() { return weights_; }
  /// [maps()]
  [[nodiscard]] std::span<const float> thresholds() const { return thresholds_; }
  [[nodiscard]] std::span<float> thresholds() { return thresholds_; }

  [[nodiscard]] State state() const {
    State s;
    s.membrane.resize(outputs());
    s.rest.resize(outputs());
    s.pre_age.assign(inputs(), never);
    s.post_age.assign(outputs(), never);
    s.winner.resize(maps());
    s.patches.resize(positions() * bit_words(taps()));
    s.fired.reserve(outputs());
    s.excess.resize(maps());
    s.strength.resize(taps());
    s.events.resize(taps());
    return s;
  }

  /// One sample with weights and thresholds frozen: spikes `in` [steps][bit_words(inputs())] to `out`
  /// [steps][bit_words(outputs())]. Throws for spans of other sizes.
  void run(std::size_t steps, std::span<const std::uint64_t> in, std::span<std::uint64_t> out, State& state) const {
    begin(steps, in, out, state);
    for (std::size_t t = 0; t < steps; ++t, ++state.clock) advance(row(in, t, inputs()), row(out, t, outputs()), state);
  }

  /// The same, and learns from every step.
  void learn(std::size_t steps, std::span<const std::uint64_t> in, std::span<std::uint64_t> out, State& state) {
    begin(steps, in, out, state);
    std::fill(state.winner.begin(), state.winner.end(), positions());
    for (std::size_t t = 0; t < steps; ++t, ++state.clock) {
      const std::span<const std::uint64_t> spikes = row(in, t, inputs());
      grow_older(state.pre_age);
      grow_older(state.post_age);
      for_each_bit(spikes, [&](std::size_t i) { state.pre_age[i] = 0; });
      advance(spikes, row(out, t, outputs()), state);
      if constexpr (requires { rule.has_pre(); })
        if (rule.has_pre()) learn_from_inputs(state);
      learn_from_outputs(state);
      for (float& theta : thresholds_) theta = options.threshold + options.theta_decay * (theta - options.threshold);
      for (const auto& f : state.fired) {
        state.post_age[f.position * maps() + f.map] = 0;
        thresholds_[f.map] += options.theta_plus;
      }
    }
  }

private:
  enum Stream : std::uint64_t { weight_stream = 1, noise_stream, pre_stream, post_stream };

  static const kernel::ConvGeometry& checked(const kernel::ConvGeometry& g, const LocalOptions& o) {
    kernel::check(g, g.weight_count());
    if (g.pad_h != 0 || g.pad_w != 0 || g.dilation_h != 1 || g.dilation_w != 1 || g.groups != 1)
      SPIQ_THROW("local convolution", "no padding, dilation or groups", to_string(g));
    const auto expect = [](bool good, const char* what, const char* wanted, float found) {
      if (!good) SPIQ_THROW(std::string("local convolution: ") + what, wanted, std::to_string(found));
    };
    expect(std::isfinite(o.threshold), "threshold", "a finite number", o.threshold);
    expect(o.refractory >= 0, "refractory", "steps that are not negative", static_cast<float>(o.refractory));
    expect(o.leak >= 0 && o.leak <= 1, "leak", "a number in [0, 1]", o.leak);
    expect(o.theta_plus >= 0, "theta_plus", "a number that is not negative", o.theta_plus);
    expect(o.theta_decay >= 0 && o.theta_decay <= 1, "theta_decay", "a number in [0, 1]", o.theta_decay);
    expect(o.noise >= 0, "noise", "a number that is not negative", o.noise);
    expect(o.inhibition >= 0, "inhibition", "a number that is not negative", o.inhibition);
    return g;
  }
  [[nodiscard]] std::size_t row_length() const {
    return static_cast<std::size_t>(geometry_.in.width * geometry_.in.channels);
  }
  template <class Word>
  static std::span<Word> row(std::span<Word> words, std::size_t t, std::size_t n) {
    return words.subspan(t * bit_words(n), bit_words(n));
  }
  static void grow_older(std::vector<int>& ages) noexcept {
    for (int& age : ages) age += age == never ? 0 : 1;
  }
  /// First input of the window of a position.
  [[nodiscard]] std::size_t corner(std::size_t position) const noexcept {
    const auto across = static_cast<std::size_t>(geometry_.out_w());
    return position / across * static_cast<std::size_t>(geometry_.stride_h) * row_length() +
           position % across * static_cast<std::size_t>(geometry_.stride_w * geometry_.in.channels);
  }

  void begin(std::size_t steps, std::span<const std::uint64_t> in, std::span<std::uint64_t> out, State& s) const {
    const auto expect = [](const char* what, std::size_t found, std::size_t wanted) {
      if (found != wanted)
        SPIQ_THROW(std::string("local convolution: ") + what, std::to_string(wanted), std::to_string(found));
    };
    expect("words of input spikes", in.size(), steps * bit_words(inputs()));
    expect("words of output spikes", out.size(), steps * bit_words(outputs()));
    expect("membranes of the state", s.membrane.size(), outputs());
    expect("inputs of the state", s.pre_age.size(), inputs());
    expect("maps of the state", s.winner.size(), maps());
    expect("weights of a map in the state", s.strength.size(), taps());
    std::fill(s.membrane.begin(), s.membrane.end(), 0.0f);
    std::fill(s.rest.begin(), s.rest.end(), 0);
  }

  /// The spikes of a window, its rows one behind the other.
  void gather(std::span<const std::uint64_t> in, std::size_t position, std::span<std::uint64_t> out) const noexcept {
    const auto length = static_cast<std::size_t>(geometry_.kernel_w * geometry_.in.channels);
    std::fill(out.begin(), out.end(), std::uint64_t{0});
    for (std::size_t to = 0; to < taps();) {
      const std::size_t from = corner(position) + offsets_[to];
      const std::size_t n = std::min({length - to % length, 64 - from % 64, 64 - to % 64});
      const std::uint64_t mask = ~std::uint64_t{0} >> (64 - n);
      out[to / 64] |= (in[from / 64] >> (from % 64) & mask) << (to % 64);
      to += n;
    }
  }

  /// One step of all neurons: writes the spikes, and leaves the windows and who fired in the state.
  void advance(std::span<const std::uint64_t> in, std::span<std::uint64_t> out, State& s) const noexcept {
    std::fill(out.begin(), out.end(), std::uint64_t{0});
    s.fired.clear();
    Rng draw = rng_.split(noise_stream).split(s.clock);
    const std::size_t n = maps(), words = bit_words(taps());
    for (std::size_t p = 0; p < positions(); ++p) {
      const std::span<std::uint64_t> window = std::span(s.patches).subspan(p * words, words);
      gather(in, p, window);
      float* const excess = s.excess.data();  // the current, then how far above the threshold
      weights_.product(window, excess);
      float* const v = s.membrane.data() + p * n;
      int* const rest = s.rest.data() + p * n;
      std::size_t best = n;
      for (std::size_t m = 0; m < n; ++m) {
        v[m] = rest[m] > 0 ? 0.0f : options.leak * v[m] + excess[m];
        excess[m] = v[m] - thresholds_[m];
        if (options.noise > 0) excess[m] += options.noise * logit(draw.uniform());
        if (rest[m] > 0) {
          --rest[m];
          excess[m] = -1;
        }
        if (excess[m] >= 0 && (best == n || excess[m] > excess[best])) best = m;
      }
      if (best == n) continue;
      for (std::size_t m = 0; m < n; ++m) {
        if (m == best || (options.inhibition == 0 && excess[m] >= 0)) {
          v[m] = 0;
          rest[m] = options.refractory;
          out[(p * n + m) / 64] |= std::uint64_t{1} << ((p * n + m) % 64);
          s.fired.push_back({m, p, excess[m]});
        } else if (v[m] > 0) {
          v[m] = std::max(0.0f, v[m] - options.inhibition);
        }
      }
    }
  }
  /// ln(u / (1 - u)) of u in [0, 1) in steps of 2^-24.
  static float logit(float u) noexcept {
    const float middle = u + 0x1p-25f;
    return std::log(middle / (1 - middle));
  }

  /// Neurons that fired change the weights of their inputs.
  void learn_from_outputs(State& s) noexcept {
    std::sort(s.fired.begin(), s.fired.end(), [](const auto& a, const auto& b) {
      return a.map != b.map ? a.map < b.map : a.excess != b.excess ? a.excess > b.excess : a.position < b.position;
    });
    for (auto first = s.fired.begin(); first != s.fired.end();) {
      const std::size_t map = first->map;
      if (options.sharing == Sharing::winner && s.winner[map] == positions()) s.winner[map] = first->position;
      clear(s);
      int events = 0;
      for (; first != s.fired.end() && first->map == map; ++first) {
        if (!takes_part(s, map, first->position)) continue;
        const int* const ages = s.pre_age.data() + corner(first->position);
        for (std::size_t k = 0; k < taps(); ++k) s.strength[k] += rule.post(ages[offsets_[k]]);
        ++events;
      }
      if (events == 0) continue;
      std::fill(s.events.begin(), s.events.end(), events);
      change(s, map, rng_.split(post_stream));
    }
  }
  /// Inputs that fire change their weights to neurons that did before.
  void learn_from_inputs(State& s) noexcept {
    const std::size_t words = bit_words(taps());
    for (std::size_t map = 0; map < maps(); ++map) {
      clear(s);
      bool any = false;
      for (std::size_t p = 0; p < positions(); ++p) {
        const float strength = rule.pre(s.post_age[p * maps() + map]);
        if (strength == 0 || !takes_part(s, map, p)) continue;
        any = true;
        for_each_bit(std::span<const std::uint64_t>(s.patches).subspan(p * words, words), [&](std::size_t k) {
          s.strength[k] += strength;
          ++s.events[k];
        });
      }
      if (any) change(s, map, rng_.split(pre_stream));
    }
  }
  [[nodiscard]] bool takes_part(const State& s, std::size_t map, std::size_t position) const noexcept {
    return options.sharing != Sharing::winner || s.winner[map] == position;
  }
  static void clear(State& s) noexcept {
    std::fill(s.strength.begin(), s.strength.end(), 0.0f);
    std::fill(s.events.begin(), s.events.end(), 0);
  }
  void change(State& s, std::size_t map, const Rng& rng) noexcept {
    Rng draw = rng.split(s.clock).split(map);
    for (std::size_t k = 0; k < taps(); ++k) {
      const float u = draw.uniform();  // drawn for every synapse: the number is that of its place
      if (s.events[k] == 0) continue;
      const float share = options.sharing == Sharing::mean ? 1 / static_cast<float>(s.events[k]) : 1.0f;
      weights_.change(map, k, share * s.strength[k], u);
    }
  }

  kernel::ConvGeometry geometry_;
  Weights weights_;
  std::vector<float> thresholds_;
  std::vector<std::size_t> offsets_;  ///< of the taps of a window from its first input
  Rng rng_;
};

}  // namespace plasticity

SPIQ_END_NAMESPACE
