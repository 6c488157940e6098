/// @file
/// What a trained spiking network needs in integers: bits of the membranes, saturation, what shift leaks change.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/tensor.hpp>
#include <spiq/neuron/integer.hpp>
#include <spiq/nn/calibrate.hpp>
#include <spiq/nn/network.hpp>
#include <spiq/report/format.hpp>
#include <spiq/report/text_table.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace report {

/// How `fixed_point` makes integers of a network.
struct FixedPointOptions {
  int weight_bits =
      8;  ///< 2 to 16; the largest weight of a layer, batch normalisation folded in, becomes 2^(bits - 1) - 1
  int threads = 0;
};

/// One layer of neurons in integers. Potentials, thresholds and currents are counted in the weight step of the layer.
/// "Seen" is what the batch does, with currents rounded as a whole, in a membrane without an end to its range; shares
/// are of neurons, images and steps.
struct LayerFixedPoint {
  std::string path;
  std::size_t neurons = 0;  ///< of one image
  int steps = 1;
  bool integer = true;  ///< false: the model has no integer form, and nothing below is set
  double unit = 0;      ///< the weight step in the unit of the network's potentials
  std::int64_t threshold = 0;
  int bits_seen = 0;       ///< of the potentials before the reset
  int bits_proven = 0;     ///< that no input can exceed, from weights and fan-in; 0 where no weights stand before
  double saturated8 = 0;   ///< share of sums that leave an int8 membrane
  double saturated16 = 0;  ///< share of sums that leave an int16 membrane
  double retention = 1;    ///< what is left of a potential after a step, as trained
  int shift = 0;           ///< of the nearest v - v / 2^shift up to 7; 0: no leak
  double changed = 0;      ///< share of spikes that the wide integer membrane, shift leak and all, has otherwise
  double changed8 = 0;     ///< the same for the int8 membrane
  double changed16 = 0;    ///< the same for the int16 membrane

  [[nodiscard]] double integer_retention() const { return shift == 0 ? 1 : 1 - std::ldexp(1.0, -shift); }
  /// Difference between trained and integer retention.
  [[nodiscard]] double leak_error() const { return std::fabs(integer_retention() - retention); }
};

/// The layers of `fixed_point`, and what it says of them.
struct FixedPoint {
  std::vector<LayerFixedPoint> layers;
  std::size_t images = 0;
  int weight_bits = 8;

  /// Sentences for layers that an int8 membrane does not serve as trained; none where it does everywhere.
  [[nodiscard]] std::vector<std::string> sentences() const {
    std::vector<std::string> all;
    const auto percent = [](double share) { return fixed(100 * share, share < 0.01 ? 3 : 1) + " %"; };
    for (const LayerFixedPoint& l : layers) {
      const std::string layer = "layer " + l.path + ": ";
      if (!l.integer) {
        all.push_back(
            layer + "its model has no integer form; that takes one linear state and a reset in the step of the spike");
        continue;
      }
      if (l.threshold > 32767)
        all.push_back(layer + "the threshold is " + std::to_string(l.threshold) +
                      " weight steps, beyond int16; take fewer bits for the weights");
      else if (l.threshold > 127)
        all.push_back(layer + "the threshold is " + std::to_string(l.threshold) +
                      " weight steps, beyond int8; take an int16 membrane or fewer bits for the weights");
      if (l.saturated16 > 0)
        all.push_back(layer + "an int16 membrane saturates in " + percent(l.saturated16) + " of its sums over " +
                      std::to_string(images) + " images; potentials take " + std::to_string(l.bits_seen) + " bits");
      else if (l.saturated8 > 0)
        all.push_back(layer + "an int8 membrane saturates in " + percent(l.saturated8) + " of its sums over " +
                      std::to_string(images) + " images and changes " + percent(l.changed8) +
                      " of the spikes; potentials take " + std::to_string(l.bits_seen) + " bits, int16 holds " +
                      (l.bits_proven != 0 && l.bits_proven <= 16 ? "them for certain" : "these"));
      if (l.leak_error() > 0.02)
        all.push_back(layer + "it keeps " + fixed(l.retention, 3) + " of a potential, the nearest shift leak (" +
                      std::to_string(l.shift) + ") " + fixed(l.integer_retention(), 3) + "; in integers " +
                      percent(l.changed) + " of the spikes change");
    }
    return all;
  }
  friend std::ostream& operator<<(std::ostream& out, const FixedPoint& f) {
    TextTable table({"layer", "neurons", "T", "weight step", "threshold", "bits seen", "proven", "sat. i8 %",
                     "sat. i16 %", "retention", "shift", "changed %", "i8 %", "i16 %"});
    const auto percent = [](double share) { return fixed(100 * share, 2); };
    for (const LayerFixedPoint& l : f.layers)
      if (l.integer)
        table.row({l.path, std::to_string(l.neurons), std::to_string(l.steps), fixed(l.unit, 5),
                   std::to_string(l.threshold), std::to_string(l.bits_seen),
                   l.bits_proven == 0 ? "-" : std::to_string(l.bits_proven), percent(l.saturated8),
                   percent(l.saturated16), fixed(l.retention, 3), std::to_string(l.shift), percent(l.changed),
                   percent(l.changed8), percent(l.changed16)});
    out << table;
    for (const std::string& s : f.sentences()) out << s << "\n";
    return out;
  }
};

namespace detail {

/// A model of one state as v <- retention v + gain x + drift.
struct LinearMembrane {
  double retention = 1, gain = 1, drift = 0, threshold = 1, reset_value = 0, initial = 0;
  bool soft = true, strict = false;  ///< strict: fires above the threshold only
};
template <class Charge>
inline constexpr bool charges_linearly = false;
template <>
inline constexpr bool charges_linearly<charge::Integrate> = true;
template <>
inline constexpr bool charges_linearly<charge::Decay> = true;
template <class Leak, charge::Input Kind>
inline constexpr bool charges_linearly<charge::Relax<Leak, Kind>> = true;

/// Of models that may have one.
template <class Charge, class Compare, class Reset, class Values>
std::optional<LinearMembrane> linear_membrane(const neuron::Neuron<Charge, Compare, Reset, timing::SameStep>& model,
                                              const Values& values) {
  if constexpr (!charges_linearly<Charge> || std::is_same_v<Reset, reset::None> ||
                std::is_same_v<Compare, fire::Never>) {
    return std::nullopt;
  } else {
    using V = simd::vec<float, simd::scalar>;
    std::vector<V> p;
    for (const float value : values) p.push_back(V{value});
    const auto constants = model.template prepare<V>(p.data());
    const auto charged = [&](float v, float x) {
      V state{v};
      return static_cast<double>(Charge::charge(constants.charge, &state, V{x}).v);
    };
    LinearMembrane m;
    m.drift = charged(0, 0);
    m.retention = charged(1, 0) - m.drift;
    m.gain = charged(0, 1) - m.drift;
    m.threshold = static_cast<double>(constants.threshold.v);
    m.reset_value = static_cast<double>(constants.reset_value.v);
    m.initial = static_cast<double>(model.initial);
    m.soft = std::is_same_v<Reset, reset::Soft>;
    m.strict = std::is_same_v<Compare, fire::AboveThreshold>;
    return m;
  }
}

/// The weights before a layer of neurons, with what normalisation does to them.
struct Synapses {
  std::vector<float> weight;  ///< [outputs][fan_in]
  std::vector<float> bias;    ///< [outputs]
  std::size_t fan_in = 0;
  float low = 0, high = 0;  ///< of their inputs over the batch, and 0, which padding is
  std::string place;        ///< of the layers that they are from: "1.body."

  /// Whether they are all that a layer of this path sees: behind a branch its neighbour joins in.
  [[nodiscard]] bool feed(const std::string& path) const { return path.compare(0, place.size(), place) == 0; }
};
/// Path of the list that a layer stands in.
inline std::string place_of(const std::string& path) { return path.substr(0, path.rfind('.', path.size() - 2) + 1); }

/// The integers of a layer of neurons.
struct IntegerMembrane {
  std::int64_t threshold = 1, reset_value = 0, initial = 0, drift = 0;
  int shift = 0;
  bool soft = true;
};

/// Spikes of integer neurons on currents [steps][n] in a membrane of `bits` bits, 0 for one without an end.
struct IntegerRun {
  std::vector<bool> spikes;
  std::int64_t low = 0, high = 0;
  std::size_t saturated = 0;
};
inline IntegerRun run_membrane(const IntegerMembrane& m, const std::vector<std::int64_t>& x, std::size_t n, int bits) {
  IntegerRun r;
  r.spikes.resize(x.size());
  const std::int64_t most = bits == 0 ? std::int64_t{1} << 60 : (std::int64_t{1} << (bits - 1)) - 1, least = -most - 1;
  std::vector<std::int64_t> state(n, std::clamp(m.initial, least, most));
  for (std::size_t i = 0; i < x.size(); ++i) {
    std::int64_t& v = state[i % n];
    if (m.shift > 0) v -= v >> m.shift;
    const std::int64_t current = x[i] + m.drift, sum = v + std::clamp(current, least, most),
                       h = std::clamp(sum, least, most);
    r.saturated += h != sum || current < least || current > most ? 1 : 0;
    r.low = std::min(r.low, h);
    r.high = std::max(r.high, h);
    const bool fires = h >= m.threshold;
    r.spikes[i] = fires;
    v = !fires ? h : m.soft ? h - m.threshold : std::clamp(m.reset_value, least, most);
  }
  return r;
}

/// A spiking layer in integers, on currents [steps][batch * neurons].
inline void integer_layer(LayerFixedPoint& l, const LinearMembrane& m, std::span<const float> currents, std::size_t n,
                          const Synapses* before, int weight_bits) {
  const auto expect_finite = [&](double v, const char* what) {
    if (!std::isfinite(v)) SPIQ_THROW("fixed point, layer " + l.path + ": " + what, "finite numbers", std::to_string(v));
  };
  for (const float x : currents) expect_finite(static_cast<double>(x), "currents");
  for (const double v : {m.retention, m.gain, m.drift, m.threshold, m.reset_value, m.initial})
    expect_finite(v, "numbers of its neurons");
  if (before != nullptr)
    for (const std::vector<float>* const values : {&before->weight, &before->bias})
      for (const float w : *values) expect_finite(static_cast<double>(w), "weights");
  const double top = std::ldexp(1.0, weight_bits - 1) - 1;
  double largest = 0;
  for (const float w : before != nullptr ? std::span<const float>(before->weight) : currents)
    largest = std::max(largest, std::fabs(static_cast<double>(w)));
  l.unit = std::fabs(m.gain) * largest / top;
  if (!(l.unit > 0)) l.unit = std::fabs(m.threshold) / top;  // nothing comes in
  // Beyond 2^40 steps all integers are too large, and sums of these still fit.
  const auto bounded = [](double x) { return std::clamp(x, -0x1p40, 0x1p40); };
  const auto whole = [&](double x) { return static_cast<std::int64_t>(std::llround(bounded(x / l.unit))); };
  l.retention = m.retention;
  double nearest = std::fabs(1 - m.retention);
  for (int shift = 1; shift < 8; ++shift) {
    const double error = std::fabs(1 - std::ldexp(1.0, -shift) - m.retention);
    if (error >= nearest) continue;
    nearest = error;
    l.shift = shift;
  }
  IntegerMembrane integer{std::max<std::int64_t>(whole(m.threshold) + (m.strict ? 1 : 0), 1),
                          whole(m.reset_value),
                          whole(m.initial),
                          whole(m.drift),
                          l.shift,
                          m.soft};
  l.threshold = integer.threshold;

  std::vector<bool> trained(currents.size());
  std::vector<double> state(n, m.initial);
  std::vector<std::int64_t> x(currents.size());
  for (std::size_t i = 0; i < currents.size(); ++i) {
    double& v = state[i % n];
    v = m.retention * v + m.gain * static_cast<double>(currents[i]) + m.drift;
    trained[i] = m.strict ? v > m.threshold : v >= m.threshold;
    if (trained[i]) v = m.soft ? v - m.threshold : m.reset_value;
    x[i] = whole(m.gain * static_cast<double>(currents[i]));
  }
  const auto share = [&](std::size_t count) {
    return currents.empty() ? 0 : static_cast<double>(count) / static_cast<double>(currents.size());
  };
  const auto changed = [&](const IntegerRun& r) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < trained.size(); ++i) count += trained[i] != r.spikes[i] ? 1 : 0;
    return share(count);
  };
  const IntegerRun wide = run_membrane(integer, x, n, 0), narrow = run_membrane(integer, x, n, 8),
                   middle = run_membrane(integer, x, n, 16);
  l.bits_seen = neuron::MembraneBounds{wide.low, wide.high, {}}.bits();
  l.saturated8 = share(narrow.saturated);
  l.saturated16 = share(middle.saturated);
  l.changed = changed(wide);
  l.changed8 = changed(narrow);
  l.changed16 = changed(middle);
  if (before == nullptr) return;
  // Row sums of the rounded weights, each with the end of its input's range that drives it furthest.
  neuron::CurrentBounds bounds;
  const double low = static_cast<double>(before->low), high = static_cast<double>(before->high);
  for (std::size_t o = 0; o < before->bias.size(); ++o) {
    const double bias = static_cast<double>(whole(m.gain * static_cast<double>(before->bias[o])) + integer.drift);
    double least = bias, most = bias;
    for (std::size_t k = 0; k < before->fan_in; ++k) {
      const auto w = static_cast<double>(whole(m.gain * static_cast<double>(before->weight[o * before->fan_in + k])));
      least += std::min(w * low, w * high);
      most += std::max(w * low, w * high);
    }
    bounds.low = std::min(bounds.low, static_cast<std::int64_t>(std::floor(bounded(least))));
    bounds.high = std::max(bounds.high, static_cast<std::int64_t>(std::ceil(bounded(most))));
  }
  l.bits_proven = neuron::membrane_bounds(integer, bounds, l.steps).bits();
}

}  // namespace detail

/// Runs images [N, C, H, W] once in evaluation mode and looks at every layer of spiking neurons (`Spiking`) as
/// integers: weights and currents in steps of the largest weight before it, batch normalisation folded in, leaks as
/// shifts. Every layer is judged on the currents of the trained network, not on what the integers of the layers before
/// it would send. Bits are proven for the inputs that the batch has. Throws where the images or the options do not fit,
/// there are no images, or what reaches the neurons is no finite number.
template <class In, class... L>
FixedPoint fixed_point(Network<In, L...>& net, const Tensor<float>& images, const FixedPointOptions& options = {}) {
  using Net = Network<In, L...>;
  Net::check_images(images);
  if (options.weight_bits < 2 || options.weight_bits > 16)
    SPIQ_THROW("fixed point: bits of a weight", "2 to 16", std::to_string(options.weight_bits));
  FixedPoint f;
  f.images = images.extent(0);
  if (f.images == 0) SPIQ_THROW("fixed point", "at least one image", "none");
  f.weight_bits = options.weight_bits;
  typename Net::Cache cache;
  nn::Pass pass;
  pass.threads = options.threads;
  net.normalization.apply(images.data(), cache.input.get(f.images * Net::input_shape.size()), f.images,
                          Net::input_shape, options.threads);
  cache.logits.resize({f.images, Net::outputs});
  std::optional<detail::Synapses> before;
  net.observe("", cache.input.data(), cache.logits.data(), f.images, cache.layers, pass,
              [&](const std::string& path, auto& layer, std::span<const float> input) {
                if constexpr (requires {
                                layer.weighted;
                                layer.weight;
                              }) {
                  before.emplace();
                  before->place = detail::place_of(path);
                  before->weight.assign(layer.weight.span().begin(), layer.weight.span().end());
                  const std::size_t outputs = layer.weight.extent(0);
                  before->fan_in = layer.weight.size() / outputs;
                  before->bias.assign(outputs, 0.0f);
                  if (layer.has_bias()) before->bias.assign(layer.bias.span().begin(), layer.bias.span().end());
                  for (const float x : input) {
                    before->low = std::min(before->low, x);
                    before->high = std::max(before->high, x);
                  }
                } else if constexpr (requires {
                                       layer.running_var;
                                       layer.gamma;
                                     }) {
                  if (!before || !before->feed(path) || before->bias.size() != layer.gamma.size())
                    return before.reset();
                  before->place = detail::place_of(path);
                  for (std::size_t o = 0; o < layer.gamma.size(); ++o) {
                    const float scale = layer.gamma[o] / std::sqrt(layer.running_var[o] + layer.eps);
                    for (std::size_t k = 0; k < before->fan_in; ++k) before->weight[o * before->fan_in + k] *= scale;
                    before->bias[o] = (before->bias[o] - layer.running_mean[o]) * scale + layer.beta[o];
                  }
                } else if constexpr (requires {
                                       layer.surrogate;
                                       layer.model;
                                     }) {
                  if (before && !before->feed(path)) before.reset();
                  LayerFixedPoint l;
                  l.path = path.substr(0, path.size() - 1);
                  l.neurons = layer.in.size();
                  const std::size_t n = f.images * l.neurons;
                  l.steps = n == 0 ? 1 : static_cast<int>(std::max<std::size_t>(input.size() / n, 1));
                  std::optional<detail::LinearMembrane> m;
                  if constexpr (requires { detail::linear_membrane(layer.model, layer.model.parameters()); })
                    m = detail::linear_membrane(layer.model, layer.model.parameters());
                  l.integer = m && !(m->threshold <= 0);
                  if (l.integer)
                    detail::integer_layer(l, *m, input, n, before ? &*before : nullptr, options.weight_bits);
                  f.layers.push_back(std::move(l));
                  before.reset();
                } else {
                  before.reset();  // what comes next does not see these weights alone
                }
              });
  return f;
}

}  // namespace report

SPIQ_END_NAMESPACE
