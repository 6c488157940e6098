/// @file
/// Epilogues that read and write levels bit by bit, the most significant first.
#pragma once

#include <spiq/exec/spiking.hpp>
#include <spiq/neuron/bit_serial.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace exec {

namespace detail {

/// Sums the steps of each row as digits of a binary number and hands on what comes out, once a position.
template <class Derived, class T>
struct BitSink : StagedSink<BitSink<Derived, T>, T> {
  int in_steps;
  alignas(64) T membrane[max_tile_channels];

  template <class V>
  SPIQ_NOINLINE void process(const T* tile, int width, kernel::TileAt at) noexcept {
    for (int c = 0; c < at.channels; c += V::width) {
      const int channel = at.channel + c;
      const int lanes = std::min(V::width, at.channels - c);
      V u = V::load(membrane + c);
      int t = static_cast<int>(at.row % static_cast<std::size_t>(in_steps));
      for (int i = 0; i < at.rows; ++i) {
        if (t == 0) u = V::zero();
        neuron::BitSerial::charge(u, V::load(tile + i * width + c));
        if (++t < in_steps) continue;
        t = 0;
        const std::size_t position = (at.row + static_cast<std::size_t>(i)) / static_cast<std::size_t>(in_steps);
        static_cast<Derived*>(this)->finish(position, channel, lanes, u);
      }
      u.store(membrane + c);
    }
  }
};

template <class T>
struct BitFireSink : BitSink<BitFireSink<T>, T> {
  Buffer<packing::by_channel>* out;
  const T *theta, *initial;
  int bits;

  template <class V>
  SPIQ_INLINE void finish(std::size_t position, int channel, int lanes, V u) noexcept {
    u = u + V::load(initial + channel);
    std::array<V, neuron::BitSerial::most_bits> threshold;
    threshold[0] = V::load(theta + channel);
    for (std::size_t k = 1; k < static_cast<std::size_t>(bits); ++k) threshold[k] = threshold[k - 1] + threshold[k - 1];
    for (int s = 0; s < bits; ++s)
      kernel::store_spikes(out->row(position * static_cast<std::size_t>(bits) + static_cast<std::size_t>(s)), channel,
                           lanes, neuron::BitSerial::fire(u, threshold[static_cast<std::size_t>(bits - 1 - s)]).bits());
  }
};

template <class T>
struct BitStoreSink : BitSink<BitStoreSink<T>, T> {
  Buffer<currents<T>>* out;
  const T* bias;

  template <class V>
  SPIQ_INLINE void finish(std::size_t position, int channel, int lanes, V u) noexcept {
    u = u + V::load(bias + channel);
    if (lanes == V::width)
      u.store(out->row(position) + channel);
    else
      u.store_first(out->row(position) + channel, lanes);
  }
};

}  // namespace detail

/// Bit-serial neurons of 2^`bits` - 1 levels, with bias + theta / 2 added to the sum of the input.
template <class T>
struct BitFire {
  using emits = Packings<packing::by_channel>;
  using admits = any_packing;
  /// It answers when it has seen all steps, not step by step.
  static constexpr bool streams = false;
  static constexpr const char* name = "bit_serial";
  static constexpr bool fires = true;
  PerChannel<T> theta, initial;
  int bits = 1;

  [[nodiscard]] int out_steps(int) const { return bits; }
  /// Updates of one neuron for an input of `in_steps` steps: to take it in, then to fire.
  [[nodiscard]] int updates(int in_steps) const { return in_steps + bits; }
  template <class Emit>
  [[nodiscard]] auto sink(Buffer<Emit>& out, int in_steps, InternalSpikes*) const {
    static_assert(std::is_same_v<Emit, packing::by_channel>);
    detail::BitFireSink<T> s;
    s.in_steps = in_steps;
    s.out = &out;
    s.theta = theta.data();
    s.initial = initial.data();
    s.bits = bits;
    return s;
  }
};

/// y = the sum that bits over several steps stand for + bias, as currents of one step.
template <class T>
struct StoreBits {
  using emits = Packings<currents<T>>;
  using admits = any_packing;
  static constexpr const char* name = "store_bits";
  PerChannel<T> bias;

  [[nodiscard]] int out_steps(int) const { return 1; }
  /// Updates of one neuron for one input; none here.
  [[nodiscard]] int updates(int) const { return 0; }
  template <class Emit>
  [[nodiscard]] auto sink(Buffer<Emit>& out, int in_steps, InternalSpikes*) const {
    detail::BitStoreSink<T> s;
    s.in_steps = in_steps;
    s.out = &out;
    s.bias = bias.data();
    return s;
  }
};

}  // namespace exec

SPIQ_END_NAMESPACE
