/// @file
/// Executable residual join: the currents of two branches meet in one neuron or activation.
#pragma once

#include <spiq/exec/synapse.hpp>

#include <algorithm>
#include <cstddef>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace exec {

/// How the shortcut's steps meet the body's.
enum class JoinTiming {
  per_step,  ///< step by step; both branches have the same number of steps
  once,      ///< summed over its own steps and added at the body's first step (neurons that need only the sum)
  bits       ///< as `once`, the steps being the digits of a binary number, the most significant first
};

/// y = epilogue(body + scale[c] * shortcut). The body ends in currents; the shortcut in currents or, as an identity,
/// in whatever the layer before the join emits.
template <class Product, class Epilogue, class Take, class Emit, class Body, class Shortcut>
struct Join {
  using takes = Take;
  using emits = Emit;
  using value = typename Product::value;
  using vector = typename Product::vector;
  using body_packing = currents<value>;

  Body body;
  Shortcut shortcut;
  Epilogue epilogue;
  PerChannel<value> scale;
  JoinTiming timing = JoinTiming::per_step;
  Shape out;
  LayerInfo info;

  struct State {
    typename Body::State body;
    typename Shortcut::State shortcut;
    Buffer<Emit> out;
    InternalSpikes internal;
    bool count_internal = false;
    typename stream_of<Epilogue>::type stream;
  };

  [[nodiscard]] Shape output_shape() const { return out; }

  template <class In>
  void allocate(State& state, int samples, const In& in) const {
    body.allocate(state.body, samples, in);
    shortcut.allocate(state.shortcut, samples, in);
    const auto& main = view_as<body_packing>(body.output(in, state.body));
    detail::allocate(state.out, out, samples,
                     detail::prepare_stream(epilogue, state.stream, out, samples, main.steps));
  }

  template <class In>
  const Buffer<Emit>& run(const In& in, State& state) const noexcept {
    return run_as<false>(in, state);
  }
  /// As `run`; layers of the branches that get zeros do without their products.
  template <class In>
  const Buffer<Emit>& run_events(const In& in, State& state) const noexcept {
    return run_as<true>(in, state);
  }

  /// The shortcut's side of a buffer: of a fanout the one that is no current of the body.
  template <class B>
  static const auto& branch(const B& b) {
    return view_as<typename Shortcut::last_packing>(b);
  }

private:
  template <bool Events, class In>
  const Buffer<Emit>& run_as(const In& in, State& state) const noexcept {
    const auto& main = view_as<body_packing>(body.template run<Events>(in, state.body));
    const auto& side = branch(shortcut.template run<Events>(in, state.shortcut));
    SPIQ_ASSERT(main.samples == side.samples && state.out.holds(main.samples));
    detail::set_samples(state.out, main.samples);
    auto sink = detail::make_sink(epilogue, state.out, main.steps, state.count_internal ? &state.internal : nullptr);
    detail::attach_stream(sink, state.stream);
    for (int c = 0; c < out.channels; c += vector::width) add(main, side, c, sink);
    return state.out;
  }

  template <class Side, class Sink>
  void add(const Buffer<body_packing>& main, const Buffer<Side>& side, int c, Sink& sink) const noexcept {
    const std::size_t positions = static_cast<std::size_t>(main.samples) * out.pixels();
    const vector factor = vector::load(scale.data() + c);
    kernel::TileAt at{0, 1, c, std::min(vector::width, out.channels - c)};
    for (std::size_t p = 0; p < positions; ++p)
      for (int t = 0; t < main.steps; ++t) {
        at.row = p * static_cast<std::size_t>(main.steps) + static_cast<std::size_t>(t);
        vector acc[1][1] = {{kernel::unpack_lanes<vector, body_packing>(main.row(at.row), c)}};
        if (timing == JoinTiming::per_step) {
          // A shortcut from a held (single-step) input is the same at every step.
          acc[0][0] = acc[0][0] + factor * kernel::unpack_lanes<vector, Side>(side.row(side.steps == 1 ? p : at.row), c);
        } else if (t == 0) {
          vector total = vector::zero();
          for (int s = 0; s < side.steps; ++s)
            total = (timing == JoinTiming::bits ? total + total : total) + kernel::unpack_lanes<vector, Side>(
                                side.row(p * static_cast<std::size_t>(side.steps) + static_cast<std::size_t>(s)), c);
          acc[0][0] = acc[0][0] + factor * total;
        }
        sink(acc, at);
      }
  }
};

}  // namespace exec

SPIQ_END_NAMESPACE
