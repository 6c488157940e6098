/// @file
/// The PASCAL neuron: spike counting with inhibitory correction, as a policy on SIMD vectors.
#pragma once

#include <spiq/simd/simd.hpp>

SPIQ_BEGIN_NAMESPACE

namespace neuron {

/// PASCAL inference neuron (arXiv 2505.01730; reference implementation, class IF). With T1 input steps, T2 = L output
/// steps, T3 = max(T1, T2), membrane started at theta / 2 (+ the bias, which may come whole in the first slice):
///   A  T1 steps:      v += x[t]; s = (v >= theta); v -= s theta; n += s
///   B  T3 - 1 steps:  s = (v >= theta); r = (v < 0); v += (r - s) theta; n += s - r     (no input)
///   C  T2 steps:      spike at step t = 1..T2 when t <= clip(n, 0, T2)
/// For theta > 0 the emitted count equals clip(floor(z / theta + 1/2), 0, T2) with z the sum of the input: the QCFS
/// activation, exactly in exact arithmetic, whatever the order of the slices.
struct Pascal {
  /// The emitted count depends on the sum over time alone, so inputs may arrive as counts.
  static constexpr bool depends_on_sum_only = true;

  template <class V>
  struct State {
    V membrane;
    V count;
  };

  /// One step of phase A; returns the mask of (internal) forward spikes.
  template <class V>
  static SPIQ_INLINE typename V::mask_type charge(State<V>& state, V current, V theta) noexcept {
    state.membrane = state.membrane + current;
    const auto forward = state.membrane >= theta;
    state.membrane = select(forward, state.membrane - theta, state.membrane);
    state.count = select(forward, state.count + V::broadcast(1), state.count);
    return forward;
  }

  template <class V>
  struct Correction {
    typename V::mask_type forward, inhibitory;
  };
  /// One step of phase B; the two masks exclude each other.
  template <class V>
  static SPIQ_INLINE Correction<V> correct(State<V>& state, V theta) noexcept {
    const auto forward = state.membrane >= theta;
    const auto inhibitory = state.membrane < V::zero();
    const V one = V::broadcast(1);
    state.membrane =
        select(forward, state.membrane - theta, select(inhibitory, state.membrane + theta, state.membrane));
    state.count = select(forward, state.count + one, select(inhibitory, state.count - one, state.count));
    return {forward, inhibitory};
  }

  /// Count that phase C emits.
  template <class V>
  static SPIQ_INLINE V emitted(const State<V>& state, V levels) noexcept {
    return min(max(state.count, V::zero()), levels);
  }

  /// The same in closed form, from `sum`: start, bias and all input. How many of theta, 2 theta, ..., L theta it reaches.
  /// For integers, exactly what the phases emit; theta > 0, and L theta must fit into a lane. (In f32 the phases round on
  /// the way, and may emit one more or less.)
  template <class V>
  static SPIQ_INLINE V emitted_at_once(V sum, V theta, int levels) noexcept {
    V threshold = V::zero();
    V count = V::zero();
    for (int k = 0; k < levels; ++k) {
      threshold = threshold + theta;
      count = select(sum >= threshold, count + V::broadcast(1), count);
    }
    return count;
  }

  /// Steps that one neuron takes: T1 + (max(T1, T2) - 1) + T2.
  static constexpr int steps(int in_steps, int levels) {
    return in_steps + (in_steps > levels ? in_steps : levels) - 1 + levels;
  }
};

}  // namespace neuron

SPIQ_END_NAMESPACE
