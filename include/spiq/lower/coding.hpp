/// @file
/// What a target chooses: the product that does the arithmetic and the epilogue that stands for an activation.
#pragma once

#include <spiq/exec/activate.hpp>
#include <spiq/exec/bit_serial.hpp>
#include <spiq/exec/network.hpp>
#include <spiq/kernel/spike_product.hpp>
#include <spiq/lower/context.hpp>
#include <spiq/lower/fold.hpp>
#include <spiq/lower/target.hpp>
#include <spiq/neuron/neuron.hpp>
#include <spiq/nn/activation.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace lowering {

/// Time steps that counts of spikes can hold.
inline constexpr int most_steps = 65535;

/// Neurons with a model of their own: what `Spiking` layers become while they are lowered.
template <neuron::Model M>
struct SpikingNumbers {
  M model;
  int steps;
};
template <class A>
inline constexpr bool is_spiking = requires(const A& a) { a.model; };

template <class Activation>
inline constexpr bool is_qcfs = requires(const Activation& a) { a.lambda; a.levels; };

/// Rounded quotients: real values as integers of a unit.
inline std::vector<std::int32_t> in_units(const std::vector<float>& values, const std::vector<double>& unit) {
  std::vector<std::int32_t> q(values.size());
  for (std::size_t i = 0; i < q.size(); ++i) q[i] = static_cast<std::int32_t>(std::lround(values[i] / unit[i]));
  return q;
}
inline std::vector<std::int32_t> threshold_in_units(double theta, const std::vector<double>& unit) {
  std::vector<std::int32_t> q(unit.size());
  for (std::size_t i = 0; i < q.size(); ++i) q[i] = static_cast<std::int32_t>(std::lround(theta / unit[i]));
  return q;
}

/// Theta of every channel, and where a neuron starts: bias + theta / 2.
template <class T>
struct FiringNumbers {
  exec::PerChannel<T> theta, initial;
};

/// f32: numbers as they are.
struct F32Numbers {
  using value = float;
  static constexpr bool exact = false;
  using input_packing = packing::real;
  template <class Arch>
  using product = kernel::DenseF32<Arch>;

  static exec::PerChannel<float> bias(const kernel::FoldedWeights& w) { return {w.bias, 0.0F}; }
  static exec::Store<float> store(const kernel::FoldedWeights& w, bool once) { return {bias(w), once}; }
  static FiringNumbers<float> firing(const kernel::FoldedWeights& w, double theta) {
    std::vector<float> initial(w.bias);
    for (float& v : initial) v += static_cast<float>(theta / 2);
    return {exec::PerChannel<float>(std::vector<float>(initial.size(), static_cast<float>(theta)), 1.0F),
            exec::PerChannel<float>(initial, 0.0F)};
  }
};

/// f32 where layers send spikes: products that can walk them, see exec/choose_sums.hpp.
struct SpikeF32Numbers : F32Numbers {
  template <class Arch>
  using product = kernel::SpikesF32<Arch>;
};

/// Exact: integers of the units chosen per channel; thresholds are even.
struct ExactNumbers {
  using value = std::int32_t;
  static constexpr bool exact = true;
  using input_packing = packing::pixels;
  template <class Arch>
  using product = kernel::DenseS16<Arch>;

  static exec::PerChannel<std::int32_t> bias(const kernel::FoldedWeights& w) { return {in_units(w.bias, w.unit), 0}; }
  static exec::Store<std::int32_t> store(const kernel::FoldedWeights& w, bool once) { return {bias(w), once}; }
  static FiringNumbers<std::int32_t> firing(const kernel::FoldedWeights& w, double theta) {
    const auto thresholds = threshold_in_units(theta, w.unit);
    auto initial = in_units(w.bias, w.unit);
    for (std::size_t i = 0; i < initial.size(); ++i) initial[i] += thresholds[i] / 2;
    return {exec::PerChannel<std::int32_t>(thresholds, 1), exec::PerChannel<std::int32_t>(initial, 0)};
  }
};

template <class Form>
struct pascal_emits {
  using type = Packings<packing::counts, packing::by_channel>;
};
template <>
struct pascal_emits<form::counts> {
  using type = Packings<packing::counts>;
};
template <>
struct pascal_emits<form::spikes> {
  using type = Packings<packing::by_channel>;
};

template <class Arithmetic>
using numbers_of = std::conditional_t<std::is_same_v<Arithmetic, arithmetic::exact>, ExactNumbers, F32Numbers>;

/// One specialisation per target:
/// - `numbers`, `output` (signal behind an activation), `timing` of joins, `bias_once`, `decoding` of the read-out;
/// - `supports<Activation>`; `threshold(activation)`: of its neuron, real units, 0 if it has none;
/// - where it has something to say to them: `neuron(target, numbers of the activation, path)`, those of its neuron;
/// - `store(folded weights)`, where currents are not stored step by step, and `after_store(context)`;
/// - `epilogue(target, activation, folded weights)`; `after(target, activation, context)`: the context behind it.
template <class Target>
struct Coding;

template <>
struct Coding<target::Float> {
  using numbers = F32Numbers;
  using output = signal::real;
  static constexpr bool bias_once = false;
  static constexpr auto timing = exec::JoinTiming::per_step;
  static constexpr auto decoding = exec::Decoding::sum;
  static constexpr const char* name = "float";
  static constexpr bool spiking = false;
  template <class A>
  static constexpr bool supports = !is_spiking<A>;

  template <class A>
  static double threshold(const A& a) {
    if constexpr (is_qcfs<A>)
      return a.lambda;
    else
      return 0;
  }
  template <class A>
  static auto epilogue(const target::Float&, const A& a, const kernel::FoldedWeights& w) {
    if constexpr (is_qcfs<A>)
      return exec::Quantize{exec::PerChannel<float>(w.bias, 0.0F), a.lambda, a.levels};
    else if constexpr (requires { a.function; })
      return exec::Activate<decltype(a.function)>{exec::PerChannel<float>(w.bias, 0.0F), {}};
    else
      return exec::Rectify{exec::PerChannel<float>(w.bias, 0.0F)};
  }
  template <class A>
  static void after(const target::Float&, const A&, Context&) {}
};

template <>
struct Coding<target::Exact> {
  using numbers = ExactNumbers;
  using output = signal::discrete;
  static constexpr bool bias_once = false;
  static constexpr auto timing = exec::JoinTiming::per_step;
  static constexpr auto decoding = exec::Decoding::sum;
  static constexpr const char* name = "exact";
  static constexpr bool spiking = false;
  template <class A>
  static constexpr bool supports = is_qcfs<A>;

  template <class A>
  static double threshold(const A& a) {
    return double{a.lambda} / a.levels;
  }
  template <class A>
  static exec::QuantizeExact epilogue(const target::Exact&, const A& a, const kernel::FoldedWeights& w) {
    return {exec::PerChannel<std::int32_t>(in_units(w.bias, w.unit), 0),
            exec::PerChannel<std::int32_t>(threshold_in_units(threshold(a), w.unit), 1), a.levels};
  }
  template <class A>
  static void after(const target::Exact&, const A& a, Context& c) {
    c.steps = 1;
    c.amplitude = threshold(a);
    c.channel_amplitude.clear();
    c.max_level = c.max_word = a.levels;
    c.word_limit = 255;
  }
};

template <>
struct Coding<target::Spiking<conversion::Qcfs>> {
  using numbers = SpikeF32Numbers;
  using output = signal::discrete;
  using target_type = target::Spiking<conversion::Qcfs>;
  static constexpr bool bias_once = false;
  static constexpr auto timing = exec::JoinTiming::per_step;
  static constexpr auto decoding = exec::Decoding::mean;
  static constexpr const char* name = "spiking_qcfs";
  static constexpr bool spiking = true;
  template <class A>
  static constexpr bool supports = is_qcfs<A>;

  /// Throws unless the target makes sense.
  static void check(const target_type& t) {
    if (t.conversion.steps < 1 || t.conversion.steps > most_steps)
      SPIQ_THROW("conversion::Qcfs", "1 to " + std::to_string(most_steps) + " time steps",
                 std::to_string(t.conversion.steps));
  }
  template <class A>
  static double threshold(const A& a) {
    return a.lambda;
  }
  template <class A>
  static exec::Fire<float> epilogue(const target_type& t, const A& a, const kernel::FoldedWeights& w) {
    const auto same = [&](float v, float padding) {
      return exec::PerChannel<float>(std::vector<float>(w.bias.size(), v), padding);
    };
    return {exec::PerChannel<float>(w.bias, 0.0F), same(a.lambda, 1.0F), same(a.lambda / 2, 0.0F), t.conversion.steps};
  }
  template <class A>
  static void after(const target_type& t, const A& a, Context& c) {
    c.steps = t.conversion.steps;
    c.amplitude = a.lambda;
    c.channel_amplitude.clear();
    c.max_level = t.conversion.steps;
    c.max_word = 1;
  }
};

template <>
struct Coding<target::Spiking<conversion::Trained>> {
  using numbers = SpikeF32Numbers;
  using output = signal::discrete;
  using target_type = target::Spiking<conversion::Trained>;
  static constexpr bool bias_once = false;
  static constexpr auto timing = exec::JoinTiming::per_step;
  static constexpr auto decoding = exec::Decoding::mean;
  static constexpr const char* name = "spiking_trained";
  static constexpr bool spiking = true;
  template <class A>
  static constexpr bool supports = is_spiking<A>;

  template <class A>
  static double threshold(const A& a) {
    const auto values = a.model.parameters();  // those that were learned, where they were
    double found = 0;
    for (std::size_t k = 0; k < values.size(); ++k)
      if (a.model.parameter_names[k] == "threshold") found = values[k];
    return found;
  }
  template <class Target, class M>
  static exec::FireModel<M> epilogue(const Target&, const SpikingNumbers<M>& a, const kernel::FoldedWeights& w) {
    return {exec::PerChannel<float>(w.bias, 0.0F), a.model, a.steps};
  }
  template <class M>
  static void after(const target_type&, const SpikingNumbers<M>& a, Context& c) {
    c.steps = a.steps;
    c.amplitude = 1;
    c.channel_amplitude.clear();
    c.max_level = a.steps;
    c.max_word = 1;
  }
};

/// The neurons run as trained ones do, with spikes of another amplitude.
template <class Reset>
struct Coding<target::Spiking<conversion::RateCoding<Reset>>> : Coding<target::Spiking<conversion::Trained>> {
  using target_type = target::Spiking<conversion::RateCoding<Reset>>;
  using model = neuron::Neuron<charge::Integrate, fire::AtThreshold, Reset>;
  static constexpr const char* name = std::is_same_v<Reset, reset::Soft> ? "spiking_rmp" : "spiking_hard_reset";
  template <class A>
  static constexpr bool supports = std::is_same_v<A, ReLU>;

  /// Throws unless the target makes sense.
  static void check(const target_type& t) {
    const auto& c = t.conversion;
    const auto need = [](bool good, const char* option, const std::string& expected, double found) {
      if (!good) SPIQ_THROW(std::string("conversion::RateCoding::") + option, expected, std::to_string(found));
    };
    need(c.steps >= 1 && c.steps <= most_steps, "steps", "1 to " + std::to_string(most_steps), c.steps);
    need(c.percentile >= 0 && c.percentile <= 100, "percentile", "per cent in [0, 100]", c.percentile);
    need(c.scale > 0 && std::isfinite(c.scale), "scale", "a positive finite number", c.scale);
    need(c.initial >= 0 && c.initial < 1, "initial", "a share of the threshold in [0, 1)", c.initial);
  }
  /// The neuron in place of the ReLU of layer `path`.
  template <class A>
  static SpikingNumbers<model> neuron(const target_type& t, const A&, const std::string& path) {
    const auto found = t.conversion.thresholds.find(path);
    if (found == t.conversion.thresholds.end())
      SPIQ_THROW("layer " + path + ": threshold of its neurons",
                 "one in conversion::RateCoding::thresholds, or images for lower() to find it with", "none");
    const double theta = found->second * t.conversion.scale;
    model m;
    m.threshold = static_cast<float>(theta);
    if (!(m.threshold > 0))
      SPIQ_THROW("layer " + path + ": threshold of its neurons, scaled", "a positive number in single precision",
                 std::to_string(theta));
    m.initial = std::isfinite(theta) ? static_cast<float>(theta * t.conversion.initial) : 0;
    return {m, t.conversion.steps};
  }
  static void after(const target_type& t, const SpikingNumbers<model>& a, Context& c) {
    Coding<target::Spiking<conversion::Trained>>::after({}, a, c);
    c.amplitude = std::isfinite(a.model.threshold) ? a.model.threshold : 1;
    c.max_level = t.conversion.steps;
  }
};

template <class T>
struct Coding<target::MergedPools<T>> : Coding<T> {};

template <class Arithmetic, class Form>
struct Coding<target::Spiking<conversion::Pascal<Arithmetic, Form>>> {
  using numbers = numbers_of<Arithmetic>;
  using output = signal::discrete;
  using target_type = target::Spiking<conversion::Pascal<Arithmetic, Form>>;
  static constexpr bool bias_once = true;
  static constexpr auto timing = exec::JoinTiming::once;
  static constexpr auto decoding = exec::Decoding::sum;
  static constexpr bool spiking = true;
  static constexpr const char* name = numbers::exact ? "spiking_pascal_exact" : "spiking_pascal";
  template <class A>
  static constexpr bool supports = is_qcfs<A>;

  template <class A>
  static double threshold(const A& a) {
    return double{a.lambda} / a.levels;
  }
  template <class A>
  static auto epilogue(const target_type&, const A& a, const kernel::FoldedWeights& w) {
    auto n = numbers::firing(w, threshold(a));
    using neuron_type = exec::PascalFire<typename numbers::value, typename pascal_emits<Form>::type>;
    return neuron_type{std::move(n.theta), std::move(n.initial), a.levels};
  }
  template <class A>
  static void after(const target_type&, const A& a, Context& c) {
    c.steps = a.levels;
    c.amplitude = threshold(a);
    c.channel_amplitude.clear();
    c.max_level = a.levels;
    c.max_word = std::is_same_v<Form, form::spikes> ? 1 : a.levels;
    c.word_limit = 255;
  }
};

template <class Arithmetic>
struct Coding<target::Spiking<conversion::BitSerial<Arithmetic>>> {
  using numbers = numbers_of<Arithmetic>;
  using value = typename numbers::value;
  using output = signal::discrete;
  using target_type = target::Spiking<conversion::BitSerial<Arithmetic>>;
  static constexpr bool bias_once = true;
  static constexpr auto timing = exec::JoinTiming::bits;
  static constexpr auto decoding = exec::Decoding::sum;
  static constexpr bool spiking = true;
  static constexpr const char* name = numbers::exact ? "spiking_bit_serial_exact" : "spiking_bit_serial";
  template <class A>
  static constexpr bool supports = is_qcfs<A>;

  /// Throws unless the levels are the numbers of some bits.
  template <class A>
  static A neuron(const target_type&, const A& a, const std::string& path) {
    const int bits = neuron::BitSerial::bits(a.levels);
    if (!neuron::BitSerial::fits(a.levels))
      SPIQ_THROW("layer " + path + ": levels of its Qcfs activation for bit-serial spikes",
                 "2^T - 1: " + std::to_string((1 << (bits - 1)) - 1) + " or " + std::to_string((1 << bits) - 1),
                 std::to_string(a.levels));
    return a;
  }
  template <class A>
  static double threshold(const A& a) {
    return double{a.lambda} / a.levels;
  }
  static exec::StoreBits<value> store(const kernel::FoldedWeights& w) { return {numbers::bias(w)}; }
  static void after_store(Context& c) { c.steps = 1; }
  template <class A>
  static exec::BitFire<value> epilogue(const target_type&, const A& a, const kernel::FoldedWeights& w) {
    auto n = numbers::firing(w, threshold(a));
    return {std::move(n.theta), std::move(n.initial), neuron::BitSerial::bits(a.levels)};
  }
  template <class A>
  static void after(const target_type&, const A& a, Context& c) {
    c.steps = neuron::BitSerial::bits(a.levels);
    c.amplitude = threshold(a);
    c.channel_amplitude.clear();
    c.max_level = a.levels;
    c.max_word = 1;
    c.word_limit = 255;
  }
};

}  // namespace lowering

SPIQ_END_NAMESPACE
