/// @file
/// The rules of layers that look back in time: learned delays become whole steps.
#pragma once

#include <spiq/exec/delay.hpp>
#include <spiq/lower/rules.hpp>
#include <spiq/nn/delayed_linear.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace lowering {

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

/// The synapses of a trained layer, each with its delay, for inputs as they lie: `context.shape`, channels fastest, where
/// weights count features in the (c, h, w) order. Weights take up the amplitude of the input.
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
      s.weight[at] = static_cast<float>(double{layer.weight[o * s.inputs + i]} * context.amplitude_of(static_cast<int>(i / pixels)));
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
    if (path.find("body") == std::string::npos) SPIQ_THROW("layer " + path + ": DelayedLinear", "a place inside OverTime", "one outside");
    if (static_cast<std::size_t>(layer.in.channels) != c.shape.size())
      SPIQ_THROW("layer " + path + ": inputs", std::to_string(layer.in.channels), std::to_string(c.shape.size()));
    const auto finite = [&](const Tensor<float>& values) {
      for (const float v : values.span())
        if (!std::isfinite(v)) SPIQ_THROW("layer " + path, "parameters that are finite numbers", std::to_string(v));
    };
    for (const Tensor<float>* const t : {&layer.weight, &layer.position, &layer.bias}) finite(*t);
    DelayDraft draft{c.shape, N, c.time_steps, delayed_synapses(layer, c), {layer.bias.span().begin(), layer.bias.span().end()}, {}};
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

}  // namespace lowering

SPIQ_END_NAMESPACE
