/// @file
/// Epilogues with a neuron: all steps of a tile are processed before the next, spikes leave as bits or counts.
#pragma once

#include <spiq/core/storage.hpp>
#include <spiq/exec/epilogue.hpp>
#include <spiq/kernel/unpack.hpp>
#include <spiq/neuron/integrate_fire.hpp>
#include <spiq/neuron/pascal.hpp>
#include <spiq/neuron/run.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace exec {

/// State of a layer's neurons between steps that come one at a time: [state][row][stride], rows as those of the output.
template <class T>
struct Stream {
  AlignedVector<T> values;
  std::size_t rows = 0, stride = 0;
  bool on = false;

  void allocate(std::size_t states, std::size_t row_count, int channels) {
    rows = row_count;
    stride = round_up<std::size_t>(static_cast<std::size_t>(channels), 64);
    values.assign(states * rows * stride, T{});
  }
  [[nodiscard]] T* at(std::size_t state, std::size_t row, int channel) {
    return values.data() + (state * rows + row) * stride + channel;
  }
  [[nodiscard]] const T* at(std::size_t state, std::size_t row, int channel) const {
    return values.data() + (state * rows + row) * stride + channel;
  }
  /// Moves the rows of `samples`, ascending, `pixels` each, to the front.
  void keep(std::span<const std::size_t> samples, std::size_t pixels) {
    const std::size_t size = pixels * stride, states = values.size() / std::max<std::size_t>(rows * stride, 1);
    for (std::size_t s = 0; s < states; ++s)
      for (std::size_t to = 0; to < samples.size(); ++to)
        std::copy_n(at(s, 0, 0) + samples[to] * size, size, at(s, 0, 0) + to * size);
  }
};

namespace detail {

/// Channels that a product may hand over in one tile, at most.
inline constexpr int max_tile_channels = 128;

/// Hands the tile over in L1, so that the neuron's loops over rows exist once and not in every tile of a product.
template <class Derived, class T>
struct StagedSink {
  template <class V, int MR, int NV>
  SPIQ_INLINE void operator()(const V (&acc)[MR][NV], const kernel::TileAt& at) noexcept {
    static_assert(NV * V::width <= max_tile_channels);
    alignas(64) T staged[static_cast<std::size_t>(MR * NV * V::width)];
    SPIQ_UNROLL
    for (int i = 0; i < MR; ++i) {
      SPIQ_UNROLL
      for (int j = 0; j < NV; ++j) acc[i][j].store(staged + (i * NV + j) * V::width);
    }
    static_cast<Derived*>(this)->template process<V>(staged, NV * V::width, at);
  }
};

template <class T>
struct IntegrateFireSink : StagedSink<IntegrateFireSink<T>, T> {
  Buffer<packing::by_channel>* out;
  const T *bias, *theta, *initial;
  int in_steps, out_steps;
  Stream<T>* stream = nullptr;
  alignas(64) T membrane[max_tile_channels];

  template <class V>
  SPIQ_NOINLINE void process(const T* tile, int width, kernel::TileAt at) noexcept {
    const bool held = in_steps == 1 && out_steps > 1;  // direct coding: the same current at every step
    for (int c = 0; c < at.channels; c += V::width) {
      const int channel = at.channel + c;
      const int lanes = std::min(V::width, at.channels - c);
      const V b = V::load(bias + channel);
      const V th = V::load(theta + channel);
      const V start = V::load(initial + channel);
      V v = V::load(membrane + c);
      int t = static_cast<int>(at.row % static_cast<std::size_t>(in_steps));
      for (int i = 0; i < at.rows; ++i) {
        const std::size_t row = at.row + static_cast<std::size_t>(i);
        const V current = V::load(tile + i * width + c) + b;
        if (stream != nullptr) {
          T* const at_rest = stream->at(0, row, channel);
          v = V::load(at_rest);
          kernel::store_spikes(out->row(row), channel, lanes, neuron::IntegrateFire::step(v, current, th).bits());
          v.store(at_rest);
        } else if (held) {
          v = start;
          for (int s = 0; s < out_steps; ++s)
            kernel::store_spikes(out->row(row * static_cast<std::size_t>(out_steps) + static_cast<std::size_t>(s)),
                                 channel, lanes, neuron::IntegrateFire::step(v, current, th).bits());
        } else {
          if (t == 0) v = start;
          kernel::store_spikes(out->row(row), channel, lanes, neuron::IntegrateFire::step(v, current, th).bits());
          t = t + 1 == in_steps ? 0 : t + 1;
        }
      }
      v.store(membrane + c);
    }
  }
};

/// Any model of neuron/neuron.hpp; its states lie channel by channel, each `max_tile_channels` long.
template <neuron::Model M>
struct ModelSink : StagedSink<ModelSink<M>, float> {
  static constexpr std::size_t states = static_cast<std::size_t>(M::states);
  Buffer<packing::by_channel>* out;
  const float* bias;
  const M* model;
  int in_steps, out_steps;
  Stream<float>* stream = nullptr;
  alignas(64) float state[states][max_tile_channels];

  template <class V>
  SPIQ_NOINLINE void process(const float* tile, int width, kernel::TileAt at) noexcept {
    const bool held = in_steps == 1 && out_steps > 1;  // direct coding: the same current at every step
    const auto constants = neuron::detail::prepared<V>(*model);
    const auto initial = model->initial_state();
    const neuron::Comparing<typename M::compare> fire;
    for (int c = 0; c < at.channels; c += V::width) {
      const int channel = at.channel + c;
      const int lanes = std::min(V::width, at.channels - c);
      const V b = V::load(bias + channel);
      V v[states];
      const auto start = [&] {
        for (std::size_t k = 0; k < states; ++k) v[k] = V::broadcast(initial[k]);
      };
      for (std::size_t k = 0; k < states; ++k) v[k] = V::load(state[k] + c);
      int t = static_cast<int>(at.row % static_cast<std::size_t>(in_steps));
      for (int i = 0; i < at.rows; ++i) {
        const std::size_t row = at.row + static_cast<std::size_t>(i);
        const V current = V::load(tile + i * width + c) + b;
        if (stream != nullptr) {
          for (std::size_t k = 0; k < states; ++k) v[k] = V::load(stream->at(k, row, channel));
          kernel::store_spikes(out->row(row), channel, lanes, M::step(constants, v, current, fire).fired.bits());
          for (std::size_t k = 0; k < states; ++k) v[k].store(stream->at(k, row, channel));
        } else if (held) {
          start();
          for (int s = 0; s < out_steps; ++s)
            kernel::store_spikes(out->row(row * static_cast<std::size_t>(out_steps) + static_cast<std::size_t>(s)),
                                 channel, lanes, M::step(constants, v, current, fire).fired.bits());
        } else {
          if (t == 0) start();
          kernel::store_spikes(out->row(row), channel, lanes, M::step(constants, v, current, fire).fired.bits());
          t = t + 1 == in_steps ? 0 : t + 1;
        }
      }
      for (std::size_t k = 0; k < states; ++k) v[k].store(state[k] + c);
    }
  }
};

template <class T, class Emit>
struct PascalSink : StagedSink<PascalSink<T, Emit>, T> {
  Buffer<Emit>* out;
  const T *theta, *initial;
  int in_steps, levels;
  InternalSpikes* internal;
  alignas(64) T membrane[max_tile_channels];
  alignas(64) T count[max_tile_channels];

  template <class V>
  SPIQ_NOINLINE void process(const T* tile, int width, kernel::TileAt at) noexcept {
    const int corrections = std::max(in_steps, levels) - 1;
    for (int c = 0; c < at.channels; c += V::width) {
      const int channel = at.channel + c;
      const int lanes = std::min(V::width, at.channels - c);
      const std::uint32_t real = lanes == 32 ? ~0U : (1U << lanes) - 1U;
      const V th = V::load(theta + channel);
      const V start = V::load(initial + channel);
      neuron::Pascal::State<V> state{V::load(membrane + c), V::load(count + c)};
      int t = static_cast<int>(at.row % static_cast<std::size_t>(in_steps));
      for (int i = 0; i < at.rows; ++i) {
        if (t == 0) state = {start, V::zero()};
        if (std::is_integral_v<T> && internal == nullptr) {  // what is asked for is the count, and that has a closed form
          state.membrane = state.membrane + V::load(tile + i * width + c);
          if (++t < in_steps) continue;
          t = 0;
          emit((at.row + static_cast<std::size_t>(i)) / static_cast<std::size_t>(in_steps), channel, lanes,
               neuron::Pascal::emitted_at_once(state.membrane, th, levels));
          continue;
        }
        const auto forward = neuron::Pascal::charge(state, V::load(tile + i * width + c), th);
        if (internal != nullptr) internal->forward += static_cast<unsigned>(std::popcount(forward.bits() & real));
        if (++t < in_steps) continue;
        t = 0;
        for (int k = 0; k < corrections; ++k) {
          const auto masks = neuron::Pascal::correct(state, th);
          if (internal != nullptr) {
            internal->forward += static_cast<unsigned>(std::popcount(masks.forward.bits() & real));
            internal->inhibitory += static_cast<unsigned>(std::popcount(masks.inhibitory.bits() & real));
          }
        }
        const std::size_t position = (at.row + static_cast<std::size_t>(i)) / static_cast<std::size_t>(in_steps);
        emit(position, channel, lanes, neuron::Pascal::emitted(state, V::broadcast(static_cast<T>(levels))));
      }
      state.membrane.store(membrane + c);
      state.count.store(count + c);
    }
  }

private:
  template <class V>
  SPIQ_INLINE void emit(std::size_t position, int channel, int lanes, V n) noexcept {
    if constexpr (std::is_same_v<Emit, packing::counts>) {
      if constexpr (std::is_same_v<T, float>)
        to_i32(n).store_u8(out->row(position) + channel);
      else
        n.store_u8(out->row(position) + channel);
    } else {
      for (int s = 0; s < levels; ++s)
        kernel::store_spikes(out->row(position * static_cast<std::size_t>(levels) + static_cast<std::size_t>(s)),
                             channel, lanes, (n > V::broadcast(static_cast<T>(s))).bits());
    }
  }
};

}  // namespace detail

/// Integrate-and-fire with soft reset over T steps; the bias is part of every step's current.
/// A single-step input is direct coding: the same current at each of the `steps` steps.
template <class T>
struct Fire {
  using emits = Packings<packing::by_channel>;
  /// Not counts: the order of spikes in time matters.
  using admits = Packings<packing::real, packing::pixels, packing::levels, packing::by_channel, packing::sums>;
  static constexpr const char* name = "integrate_fire";
  static constexpr bool fires = true;
  PerChannel<T> bias, theta, initial;
  int steps = 1;

  /// Memory between steps, and its contents before the first.
  using stream_type = Stream<T>;
  static constexpr std::size_t stream_states = 1;
  void reset(Stream<T>& stream, int channels) const {
    for (std::size_t r = 0; r < stream.rows; ++r) std::copy_n(initial.data(), channels, stream.at(0, r, 0));
  }

  [[nodiscard]] int out_steps(int) const { return steps; }
  /// Updates of one neuron for one input: one a step.
  [[nodiscard]] int updates(int) const { return steps; }
  template <class Emit>
  [[nodiscard]] auto sink(Buffer<Emit>& out, int in_steps, InternalSpikes*) const {
    static_assert(std::is_same_v<Emit, packing::by_channel>);
    detail::IntegrateFireSink<T> s;
    s.out = &out;
    s.bias = bias.data();
    s.theta = theta.data();
    s.initial = initial.data();
    s.in_steps = in_steps;
    s.out_steps = steps;
    return s;
  }
};

/// Neurons of any model over T steps, spikes of amplitude 1; otherwise as `Fire`.
template <neuron::Model M>
struct FireModel {
  using emits = Packings<packing::by_channel>;
  using admits = Packings<packing::real, packing::levels, packing::by_channel>;
  static constexpr const char* name = "neuron";
  static constexpr bool fires = true;
  PerChannel<float> bias;
  M model;
  int steps = 1;

  using stream_type = Stream<float>;
  static constexpr std::size_t stream_states = static_cast<std::size_t>(M::states);
  void reset(Stream<float>& stream, int) const {
    const auto initial = model.initial_state();
    for (std::size_t k = 0; k < stream_states; ++k)
      std::fill_n(stream.at(k, 0, 0), stream.rows * stream.stride, initial[k]);
  }

  [[nodiscard]] int out_steps(int) const { return steps; }
  [[nodiscard]] int updates(int) const { return steps; }
  template <class Emit>
  [[nodiscard]] auto sink(Buffer<Emit>& out, int in_steps, InternalSpikes*) const {
    static_assert(std::is_same_v<Emit, packing::by_channel>);
    detail::ModelSink<M> s;
    s.out = &out;
    s.bias = bias.data();
    s.model = &model;
    s.in_steps = in_steps;
    s.out_steps = steps;
    return s;
  }
};

/// PASCAL neurons of L = `levels` output steps, started at theta / 2 + bias (the whole bias in the first slice).
/// `Emits` is what the form of the network allows: counts, spikes, or both (the negotiation picks).
template <class T, class Emits = Packings<packing::counts, packing::by_channel>>
struct PascalFire {
  using emits = Emits;
  using admits = any_packing;
  /// It answers when it has seen all steps, not step by step.
  static constexpr bool streams = false;
  static constexpr const char* name = "pascal";
  static constexpr bool fires = true;
  PerChannel<T> theta, initial;
  int levels = 1;

  [[nodiscard]] int out_steps(int) const { return levels; }
  /// Updates of one neuron for an input of `in_steps` steps, whether they arrive one by one or summed.
  [[nodiscard]] int updates(int in_steps) const { return neuron::Pascal::steps(in_steps, levels); }
  template <class Emit>
  [[nodiscard]] auto sink(Buffer<Emit>& out, int in_steps, InternalSpikes* internal) const {
    detail::PascalSink<T, Emit> s;
    s.out = &out;
    s.theta = theta.data();
    s.initial = initial.data();
    s.in_steps = in_steps;
    s.levels = levels;
    s.internal = internal;
    return s;
  }
};

/// The stream of an epilogue; none where it keeps nothing between steps.
struct NoStream {
  bool on = false;
};
template <class Epilogue>
struct stream_of {
  using type = NoStream;
};
template <class Epilogue>
  requires requires { typename Epilogue::stream_type; }
struct stream_of<Epilogue> {
  using type = typename Epilogue::stream_type;
};

/// Steps that a buffer of packing P holds for an epilogue of `steps` output steps: counts are summed over time.
template <class P>
constexpr int buffer_steps(int steps) {
  return std::is_same_v<P, packing::counts> ? 1 : steps;
}

}  // namespace exec

SPIQ_END_NAMESPACE
