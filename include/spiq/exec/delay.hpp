/// @file
/// Executable synapses with delays: what came in waits in a ring until each synapse's time has passed.
#pragma once

#include <spiq/core/packing.hpp>
#include <spiq/exec/parameters.hpp>
#include <spiq/exec/report.hpp>
#include <spiq/kernel/unpack.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace exec {

/// Synapses of a weight and a whole number of steps each, sorted by what wakes them: those of input i after d steps are
/// first[d * inputs + i] to first[d * inputs + i + 1].
struct DelayedSynapses {
  std::size_t inputs = 0, taps = 1;  ///< delays are 0 to taps - 1
  std::vector<std::uint32_t> first, output;
  std::vector<float> weight;

  /// Adds what one row of inputs [begin, begin + channels) of d steps ago gives to the currents y.
  template <class P>
  SPIQ_NOINLINE void add(const typename P::word* row, std::size_t begin, int channels, std::size_t d,
                         float* y) const noexcept {
    kernel::for_each_event<P>(row, channels, [&](std::size_t c, float value) {
      const std::size_t bucket = d * inputs + begin + c;
      for (std::uint32_t k = first[bucket]; k < first[bucket + 1]; ++k) y[output[k]] += value * weight[k];
    });
  }
};

/// A linear layer whose synapses have delays, as currents: y[t] = bias + sum of w x[t - d], zeros before the first
/// step. A run sees all steps, and starts fresh; in a streaming session the last steps wait in a ring. An input with a
/// single step is the same at each step.
template <class Take>
struct Delay {
  using takes = Take;
  using emits = packing::real;
  static constexpr const char* name = "delay";

  Shape in{};
  int outputs = 0;
  int steps = 1;
  DelayedSynapses synapses;
  PerChannel<float> bias;
  LayerInfo info;

  struct State {
    Buffer<packing::real> out;
    Buffer<Take> ring;    ///< `taps` steps, of streaming sessions
    std::size_t now = 0;  ///< slot of the ring that the next step goes to: the oldest
    bool streaming = false;
  };

  [[nodiscard]] Shape output_shape() const { return {1, 1, outputs}; }

  template <class In>
  void allocate(State& state, int samples, const In&) const {
    state.out.allocate(output_shape(), samples, state.streaming ? 1 : steps);
    if (state.streaming) state.ring.allocate(in, samples, static_cast<int>(synapses.taps));
  }
  template <class In>
  const Buffer<emits>& run(const In& input, State& state) const noexcept {
    const Buffer<Take>& x = view_as<Take>(input);
    SPIQ_ASSERT(x.shape == in && state.out.holds(x.samples));
    state.out.samples = x.samples;
    const std::size_t pixels = in.pixels(), taps = synapses.taps, held = static_cast<std::size_t>(x.steps);
    for (std::size_t s = 0; s < static_cast<std::size_t>(x.samples); ++s) {
      if (state.streaming) {
        for (std::size_t p = 0; p < pixels; ++p)
          std::copy_n(x.row(s * pixels + p), x.stride, state.ring.row((s * pixels + p) * taps + state.now));
        step(s, 0, taps, state.out, [&](std::size_t p, std::size_t d) {
          return state.ring.row((s * pixels + p) * taps + (state.now + taps - d) % taps);
        });
      } else {
        for (std::size_t t = 0; t < static_cast<std::size_t>(steps); ++t)
          step(s, t, std::min(t + 1, taps), state.out,
               [&](std::size_t p, std::size_t d) { return x.row((s * pixels + p) * held + (held == 1 ? 0 : t - d)); });
      }
    }
    if (state.streaming) state.now = (state.now + 1) % taps;
    return state.out;
  }

  void forget(State& state) const {
    std::fill(state.ring.data.begin(), state.ring.data.end(), typename Take::word{});
    state.now = 0;
  }
  void keep(State& state, std::span<const std::size_t> samples) const {
    const std::size_t size = in.pixels() * synapses.taps * state.ring.stride;
    for (std::size_t to = 0; to < samples.size(); ++to)
      std::copy_n(state.ring.data.data() + samples[to] * size, size, state.ring.data.data() + to * size);
  }
  /// Values, the oldest step first.
  void save(const State& state, std::vector<float>& to) const {
    if (!state.streaming) return;
    std::vector<float> values(static_cast<std::size_t>(in.channels));
    for_rows(state.ring, state.now, [&](std::size_t row) {
      kernel::unpack_row<Take>(state.ring.row(row), values.data(), in.channels);
      to.insert(to.end(), values.begin(), values.end());
    });
  }
  std::span<const float> load(State& state, std::span<const float> from) const {
    if (!state.streaming) return from;
    forget(state);
    const auto channels = static_cast<std::size_t>(in.channels);
    for_rows(state.ring, 0, [&](std::size_t row) {
      kernel::pack_row<Take>(from.data(), state.ring.row(row), in.channels);
      from = from.subspan(channels);
    });
    return from;
  }

private:
  /// Currents of sample s at step t from the inputs of 0 to `reach` - 1 steps ago.
  template <class RowOf>
  void step(std::size_t s, std::size_t t, std::size_t reach, Buffer<packing::real>& out,
            const RowOf& row_of) const noexcept {
    float* const y = out.row(s * static_cast<std::size_t>(out.steps) + t);
    std::copy_n(bias.data(), outputs, y);
    for (std::size_t d = 0; d < reach; ++d)
      for (std::size_t p = 0; p < in.pixels(); ++p)
        synapses.add<Take>(row_of(p, d), p * static_cast<std::size_t>(in.channels), in.channels, d, y);
  }
  template <class F>
  void for_rows(const Buffer<Take>& ring, std::size_t now, F&& f) const {
    const std::size_t taps = synapses.taps;
    for (std::size_t line = 0; line < ring.rows() / taps; ++line)
      for (std::size_t k = 0; k < taps; ++k) f(line * taps + (now + k) % taps);
  }
};

template <class Take>
LayerReport describe(const Delay<Take>& layer) {
  LayerReport row;
  row.path = layer.info.path;
  row.product = Delay<Take>::name;
  row.epilogue = "store";
  row.takes = Take::name;
  row.emits = packing::real::name;
  row.shape = layer.output_shape();
  row.steps = layer.steps;
  row.macs = layer.info.macs;
  row.packed_bytes = layer.synapses.weight.size() * (sizeof(float) + sizeof(std::uint32_t)) +
                     layer.synapses.first.size() * sizeof(std::uint32_t);
  return row;
}

}  // namespace exec

SPIQ_END_NAMESPACE
