/// @file
/// Values of executable layers for who wants to look at them, read from the buffers that lie there anyway.
#pragma once

#include <spiq/exec/spiking.hpp>
#include <spiq/kernel/unpack.hpp>

#include <cstddef>
#include <span>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace exec {

/// What `Session::probe` takes out of a layer.
enum class Probe {
  output,   ///< what it emits: spikes 0 and 1, counts, levels, currents
  membrane  ///< potentials of its neurons after the step (streaming sessions keep them)
};

/// Samples of a batch that the buffers of a worker hold; `step` is that of their first time step.
struct Probed {
  std::size_t first = 0, count = 0, step = 0;
};

/// Calls sink(sample, step, values [y][x][channel]) for each sample and time step in a layer's output.
template <class P, class Sink>
void probe_output(const Buffer<P>& b, const Probed& range, Sink& sink) {
  const auto channels = static_cast<std::size_t>(b.shape.channels), steps = static_cast<std::size_t>(b.steps);
  const std::size_t pixels = b.shape.pixels();
  std::vector<float> values(b.shape.size());
  for (std::size_t s = 0; s < range.count; ++s)
    for (std::size_t t = 0; t < steps; ++t) {
      for (std::size_t p = 0; p < pixels; ++p)
        kernel::unpack_row<P>(b.row((s * pixels + p) * steps + t), values.data() + p * channels, b.shape.channels);
      sink(range.first + s, range.step + t, std::span<const float>(values));
    }
}
/// Both parts of a fanout hold the same.
template <class A, class B, class Sink>
void probe_output(const Buffer<packing::fanout<A, B>>& b, const Probed& range, Sink& sink) {
  probe_output(b.first, range, sink);
}

/// The same for the first state of neurons, their membrane potential.
template <class T, class Sink>
void probe_membrane(const Stream<T>& stream, const Shape& shape, const Probed& range, Sink& sink) {
  const auto channels = static_cast<std::size_t>(shape.channels);
  std::vector<float> values(shape.size());
  for (std::size_t s = 0; s < range.count; ++s) {
    for (std::size_t p = 0; p < shape.pixels(); ++p) {
      const T* const row = stream.at(0, s * shape.pixels() + p, 0);
      for (std::size_t c = 0; c < channels; ++c) values[p * channels + c] = static_cast<float>(row[c]);
    }
    sink(range.first + s, range.step, std::span<const float>(values));
  }
}

/// One of them for layer I of a chain.
template <std::size_t I, Probe What, class Chain, class State, class Sink>
void probe_layer(const Chain& chain, const State& state, const Probed& range, Sink& sink) {
  const auto take = [&](const auto& layer, const auto& own) {
    if constexpr (What == Probe::output) {
      probe_output(own.out, range, sink);
    } else {
      constexpr bool kept = requires { own.stream.values; };
      static_assert(kept,
                    "spiq: probe<I, Probe::membrane> takes a layer of neurons that keep a membrane potential from "
                    "step to step");
      if constexpr (kept) probe_membrane(own.stream, layer.output_shape(), range, sink);
    }
  };
  chain.template visit_layer<I>(state, take);
}

}  // namespace exec

SPIQ_END_NAMESPACE
