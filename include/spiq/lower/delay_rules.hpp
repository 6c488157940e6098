/// @file
/// The rules of layers that look back in time: learned delays become whole steps, spikes come back a step later.
#pragma once

#include <spiq/exec/delay.hpp>
#include <spiq/exec/recurrent.hpp>
#include <spiq/lower/rules.hpp>
#include <spiq/nn/delayed_linear.hpp>
#include <spiq/nn/recurrent.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace lowering {

/// Throws where a layer that looks back stands outside the steps of an `OverTime`.
inline void check_in_time(const std::string& path, const char* layer) {
  if (path.find(".body.") == std::string::npos)
    SPIQ_THROW("layer " + path + ": " + layer, "a place inside OverTime", "one outside");
}

struct DelayDraft {
  Shape in;
  int outputs, steps;
  exec::DelayedSynapses synapses;
  std::vector<float> bias;
  exec::LayerInfo info;

  template <class Up>
  using emits = Packings<packing::real>;
  template <class Emit, class Up>
  using consumes = Packings<packing::by_channel, packing::levels, packing::real>;
  template <class Take, class Emit, class Up>
  auto bind() {
    return exec::Delay<Take>{in, outputs, steps, std::move(synapses), exec::PerChannel<float>(bias, 0.0F), info};
  }
};

/// The synapses of a trained layer, each with its delay, for inputs as they lie: `context.shape`, channels fastest,
/// where weights count features in the (c, h, w) order. Weights take up the amplitude of the input.
template <int N, int Taps>
exec::DelayedSynapses delayed_synapses(const DelayedLinear<N, Taps>& layer, const Context& context) {
  exec::DelayedSynapses s;
  s.inputs = context.shape.size();
  s.taps = Taps;
  const std::size_t pixels = context.shape.pixels(), channels = static_cast<std::size_t>(context.shape.channels);
  // Counting sort by (delay, input).
  const auto bucket = [&](std::size_t o, std::size_t i) {
    return layer.delay_of(o * s.inputs + i) * s.inputs + i % pixels * channels + i / pixels;
  };
  s.first.assign(s.taps * s.inputs + 1, 0);
  s.output.resize(N * s.inputs);
  s.weight.resize(N * s.inputs);
  for (std::size_t o = 0; o < N; ++o)
    for (std::size_t i = 0; i < s.inputs; ++i) ++s.first[bucket(o, i) + 1];
  for (std::size_t b = 0; b + 1 < s.first.size(); ++b) s.first[b + 1] += s.first[b];
  std::vector<std::uint32_t> next(s.first.begin(), s.first.end() - 1);
  for (std::size_t o = 0; o < N; ++o)
    for (std::size_t i = 0; i < s.inputs; ++i) {
      const std::uint32_t at = next[bucket(o, i)]++;
      s.output[at] = static_cast<std::uint32_t>(o);
      s.weight[at] = static_cast<float>(double{layer.weight[o * s.inputs + i]} *
                                        context.amplitude_of(static_cast<int>(i / pixels)));
    }
  return s;
}

template <class Layer, class Target>
struct delay_refused {
  static_assert(!std::is_same_v<Target, Target>,
                "spiq: DelayedLinear needs time steps that can wait: put it inside OverTime and lower to "
                "target::Spiking{conversion::Trained{}}");
};
template <class Target, class Signal, int N, int Taps>
struct Rule<Target, Signal, DelayedLinear<N, Taps>> {
  static constexpr bool exists = std::is_same_v<Target, target::Spiking<conversion::Trained>>;
  using refusal = delay_refused<DelayedLinear<N, Taps>, Target>;
  using out = signal::real;
  template <class Arch>
  static auto apply(const Target&, Context& c, const std::string& path, const DelayedLinear<N, Taps>& layer) {
    check_in_time(path, DelayedLinear<N, Taps>::name);
    if (static_cast<std::size_t>(layer.in.channels) != c.shape.size())
      SPIQ_THROW("layer " + path + ": inputs", std::to_string(layer.in.channels), std::to_string(c.shape.size()));
    const std::vector<float> bias = finite(layer.bias, path);
    for (const Tensor<float>* const t : {&layer.weight, &layer.position}) static_cast<void>(finite(*t, path));
    DelayDraft draft{c.shape, N, c.time_steps, delayed_synapses(layer, c), bias, {}};
    draft.info.path = path;
    draft.info.in_steps = c.steps;
    draft.info.macs = draft.synapses.weight.size();
    c.shape = {1, 1, N};
    c.steps = c.time_steps;
    c.amplitude = 1;
    c.channel_amplitude.clear();
    c.max_level = c.max_word = 0;
    return draft;
  }
};

template <neuron::Model M, class Arch>
struct RecurrentDraft {
  exec::Recurrent<M, Arch> layer;

  template <class Up>
  using emits = Packings<packing::by_channel>;
  template <class Emit, class Up>
  using consumes = Packings<packing::real>;
  template <class Take, class Emit, class Up>
  auto bind() {
    return std::move(layer);
  }
};

template <class Layer, class Target>
struct recurrent_refused {
  static_assert(
      !std::is_same_v<Target, Target>,
      "spiq: Recurrent reads currents and needs time steps: put a Linear or DelayedLinear (and BatchNorm) before it, "
      "both inside OverTime, and lower to target::Spiking{conversion::Trained{}}");
};
template <class Target, class Signal, neuron::Model M, class Surrogate, class... Options>
struct Rule<Target, Signal, Recurrent<Spiking<M, Surrogate, Options...>>> {
  using layer_type = Recurrent<Spiking<M, Surrogate, Options...>>;
  static constexpr bool exists =
      std::is_same_v<Target, target::Spiking<conversion::Trained>> && std::is_same_v<Signal, signal::real>;
  using refusal = recurrent_refused<layer_type, Target>;
  using out = signal::discrete;
  template <class Arch>
  static auto apply(const Target& t, Context& c, const std::string& path, const layer_type& layer) {
    check_in_time(path, layer_type::name);
    if (layer.in != c.shape) SPIQ_THROW("layer " + path + ": input", to_string(layer.in), to_string(c.shape));
    const auto numbers = numbers_of_activation(layer.body, path, c.time_steps);
    using model = std::remove_cvref_t<decltype(numbers.model)>;
    RecurrentDraft<model, Arch> draft{{c.shape.channels, c.time_steps, numbers.model, {}, {}}};
    const std::size_t n = layer.in.size(), stride = draft.layer.stride();
    const std::vector<float> weight = finite(layer.weight, path);
    draft.layer.weight.assign(n * stride, 0.0f);
    for (std::size_t to = 0; to < n; ++to)
      for (std::size_t from = 0; from < n; ++from) draft.layer.weight[from * stride + to] = weight[to * n + from];
    draft.layer.info.path = path;
    draft.layer.info.in_steps = c.steps;
    draft.layer.info.macs = n * n;
    draft.layer.info.threshold = Coding<Target>::threshold(numbers);
    draft.layer.info.levels = levels_of(numbers);
    Coding<Target>::after(t, numbers, c);
    return draft;
  }
};

}  // namespace lowering

SPIQ_END_NAMESPACE
