/// @file
/// When a neuron fires: comparisons, and what training puts in their place.
#pragma once

#include <spiq/neuron/dual.hpp>

SPIQ_BEGIN_NAMESPACE

/// How a membrane potential is compared with the threshold.
namespace fire {

/// v >= threshold: SpikingJelly, QCFS, PASCAL.
struct AtThreshold {
  template <class V>
  static SPIQ_INLINE typename V::mask_type compare(V v, V threshold) {
    return v >= threshold;
  }
};
/// v > threshold: snnTorch, Norse, NIR.
struct AboveThreshold {
  template <class V>
  static SPIQ_INLINE typename V::mask_type compare(V v, V threshold) {
    return v > threshold;
  }
};
/// Never: a leaky integrator, whose membrane potential is read.
struct Never {
  template <class V>
  static SPIQ_INLINE typename V::mask_type compare(V, V) {
    return V::zero() > V::zero();
  }
};

}  // namespace fire

namespace neuron {

/// Fires by comparison alone: how a model runs.
template <class Compare>
struct Comparing {
  template <class V>
  SPIQ_INLINE Spike<V> operator()(V v, V threshold) const {
    return {Compare::compare(v, threshold)};
  }
  template <class V>
  static SPIQ_INLINE Spike<V> for_reset(const Spike<V>& s) {
    return s;
  }
};

/// Fires by comparison, with a surrogate for the derivative: how a model learns. `detach_reset`: no gradient passes
/// through the reset.
template <class Compare, class Surrogate>
struct Differentiable {
  Surrogate surrogate{};
  bool detach_reset = false;

  template <class V, int K>
  SPIQ_INLINE Spike<Dual<V, K>> operator()(const Dual<V, K>& v, const Dual<V, K>& threshold) const {
    Spike<Dual<V, K>> s;
    s.fired = Compare::compare(v.value, threshold.value);
    const V g = surrogate(v.value - threshold.value);
    SPIQ_UNROLL
    for (int k = 0; k < K; ++k) s.slope[k] = g * (v.slope[k] - threshold.slope[k]);
    return s;
  }
  template <class N>
  SPIQ_INLINE Spike<N> for_reset(const Spike<N>& s) const {
    return detach_reset ? detached(s) : s;
  }
};

}  // namespace neuron

SPIQ_END_NAMESPACE
