/// @file
/// Executable neurons whose spikes come back a step later.
#pragma once

#include <spiq/core/packing.hpp>
#include <spiq/exec/report.hpp>
#include <spiq/exec/spiking.hpp>
#include <spiq/kernel/unpack.hpp>
#include <spiq/neuron/run.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace exec {

/// Neurons of model M on currents x, whose own spikes s of the step before add W s: the rows of W that fired are added,
/// no others are read. A run sees all steps of a sample one after the other, and starts fresh; a streaming session
/// keeps potentials and spikes. An input with a single step is the same at each step.
template <neuron::Model M, class Arch>
struct Recurrent {
  using takes = packing::real;
  using emits = packing::by_channel;
  using vector = typename simd::traits<Arch>::f32;
  static constexpr const char* name = "recurrent";
  static constexpr std::size_t states = static_cast<std::size_t>(M::states);

  int neurons = 0;
  int steps = 1;
  M model{};
  AlignedVector<float> weight;  ///< [from][stride of to]
  LayerInfo info;

  struct State {
    Buffer<packing::by_channel> out;
    Stream<float> stream;              ///< potentials, of a single sample where none stream
    Buffer<packing::by_channel> last;  ///< spikes of the step before, of streaming sessions
    AlignedVector<float> current;
  };

  [[nodiscard]] Shape output_shape() const { return {1, 1, neurons}; }
  [[nodiscard]] std::size_t stride() const { return round_up<std::size_t>(static_cast<std::size_t>(neurons), 64); }

  template <class In>
  void allocate(State& state, int samples, const In&) const {
    const bool streaming = state.stream.on;
    state.out.allocate(output_shape(), samples, streaming ? 1 : steps);
    state.stream.allocate(states, streaming ? static_cast<std::size_t>(samples) : 1, neurons);
    if (streaming) state.last.allocate(output_shape(), samples, 1);
    state.current.assign(stride(), 0.0f);
  }
  template <class In>
  const Buffer<emits>& run(const In& input, State& state) const noexcept {
    const Buffer<takes>& x = view_as<takes>(input);
    SPIQ_ASSERT(x.shape == output_shape() && state.out.holds(x.samples));
    state.out.samples = x.samples;
    const auto held = static_cast<std::size_t>(x.steps), times = static_cast<std::size_t>(steps);
    for (std::size_t s = 0; s < static_cast<std::size_t>(x.samples); ++s) {
      if (state.stream.on) {
        step(x.row(s), state.last.row(s), s, state, state.out.row(s));
        std::copy_n(state.out.row(s), state.out.stride, state.last.row(s));
        continue;
      }
      start(state.stream);
      for (std::size_t t = 0; t < times; ++t)
        step(x.row(s * held + (held == 1 ? 0 : t)), t == 0 ? nullptr : state.out.row(s * times + t - 1), 0, state,
             state.out.row(s * times + t));
    }
    return state.out;
  }

  void forget(State& state) const {
    start(state.stream);
    std::fill(state.last.data.begin(), state.last.data.end(), std::uint64_t{0});
  }
  void keep(State& state, std::span<const std::size_t> samples) const {
    state.stream.keep(samples, 1);
    for (std::size_t to = 0; to < samples.size(); ++to)
      std::copy_n(state.last.row(samples[to]), state.last.stride, state.last.row(to));
  }
  void save(const State& state, std::vector<float>& to) const {
    to.insert(to.end(), state.stream.values.begin(), state.stream.values.end());
    std::vector<float> spikes(static_cast<std::size_t>(neurons));
    for (std::size_t r = 0; state.stream.on && r < state.stream.rows; ++r) {
      kernel::unpack_row<emits>(state.last.row(r), spikes.data(), neurons);
      to.insert(to.end(), spikes.begin(), spikes.end());
    }
  }
  std::span<const float> load(State& state, std::span<const float> from) const {
    std::copy_n(from.begin(), state.stream.values.size(), state.stream.values.begin());
    from = from.subspan(state.stream.values.size());
    for (std::size_t r = 0; state.stream.on && r < state.stream.rows; ++r) {
      kernel::pack_row<emits>(from.data(), state.last.row(r), neurons);
      from = from.subspan(static_cast<std::size_t>(neurons));
    }
    return from;
  }

private:
  void start(Stream<float>& stream) const noexcept {
    const auto initial = model.initial_state();
    for (std::size_t k = 0; k < states; ++k) std::fill_n(stream.at(k, 0, 0), stream.rows * stream.stride, initial[k]);
  }
  /// One step of one sample, whose potentials are row `row` of the stream; `came` are the spikes before it (null:
  /// none).
  SPIQ_NOINLINE void step(const float* x, const std::uint64_t* came, std::size_t row, State& state,
                          std::uint64_t* out) const noexcept {
    float* const current = state.current.data();
    std::copy_n(x, neurons, current);
    if (came != nullptr)
      kernel::for_each_event<emits>(came, neurons, [&](std::size_t from, float) {
        const float* const w = weight.data() + from * stride();
        for (int c = 0; c < neurons; c += vector::width)
          (vector::load(current + c) + vector::load(w + c)).store(current + c);
      });
    const auto constants = neuron::detail::prepared<vector>(model);
    const neuron::Comparing<typename M::compare> fire;
    for (int c = 0; c < neurons; c += vector::width) {
      vector v[states];
      for (std::size_t k = 0; k < states; ++k) v[k] = vector::load(state.stream.at(k, row, c));
      kernel::store_spikes(out, c, std::min(vector::width, neurons - c),
                           M::step(constants, v, vector::load(current + c), fire).fired.bits());
      for (std::size_t k = 0; k < states; ++k) v[k].store(state.stream.at(k, row, c));
    }
  }
};

template <neuron::Model M, class Arch>
LayerReport describe(const Recurrent<M, Arch>& layer) {
  LayerReport row;
  row.path = layer.info.path;
  row.product = Recurrent<M, Arch>::name;
  row.epilogue = "neuron";
  row.takes = packing::real::name;
  row.emits = packing::by_channel::name;
  row.shape = layer.output_shape();
  row.threshold = layer.info.threshold;
  row.levels = layer.info.levels;
  row.steps = row.updates = layer.steps;
  row.macs = layer.info.macs;
  row.packed_bytes = layer.weight.size() * sizeof(float);
  return row;
}

}  // namespace exec

SPIQ_END_NAMESPACE
