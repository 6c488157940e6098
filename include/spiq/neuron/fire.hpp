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
  SPIQ_INLINE const Comparing& since(const V&) const {
    return *this;
  }
  template <class V>
  static SPIQ_INLINE Spike<V> for_reset(const Spike<V>& s) {
    return s;
  }
};

/// Surrogates of v / threshold - 1 instead of v - threshold.
template <class Surrogate>
inline constexpr bool is_relative = requires {
  requires Surrogate::relative;
};

/// A surrogate of potential and steps since the last spike, these given.
template <class Surrogate, class V>
struct Aged {
  static constexpr bool relative = is_relative<Surrogate>;
  Surrogate surrogate;
  V age;
  SPIQ_INLINE V operator()(V u) const { return surrogate(u, age); }
};

/// Fires by comparison, with a surrogate for the derivative: how a model learns. `detach_reset`: no gradient passes
/// through the reset.
template <class Compare, class Surrogate>
struct Differentiable {
  Surrogate surrogate{};
  bool detach_reset = false;

  template <class V, int K>
  SPIQ_INLINE Spike<Dual<V, K>> operator()(const Dual<V, K>& v, const Dual<V, K>& threshold) const {
    static_assert(
        requires(V u) { surrogate(u); },
        "spiq: this surrogate needs a model that knows the steps since its last spike, neuron::SinceSpike<...>");
    const Dual<V, K> u = [&] {
      if constexpr (is_relative<Surrogate>)
        return v / threshold - Dual<V, K>::broadcast(1.0f);
      else
        return v - threshold;
    }();
    Spike<Dual<V, K>> s;
    s.fired = Compare::compare(v.value, threshold.value);
    const V g = surrogate(u.value);
    SPIQ_UNROLL
    for (int k = 0; k < K; ++k) s.slope[k] = g * u.slope[k];
    return s;
  }
  /// The same for neurons whose last spike was `age` steps ago.
  template <class V, int K>
  SPIQ_INLINE auto since(const Dual<V, K>& age) const {
    if constexpr (requires(V u) { surrogate(u, u); })
      return Differentiable<Compare, Aged<Surrogate, V>>{{surrogate, age.value}, detach_reset};
    else
      return *this;
  }
  template <class N>
  SPIQ_INLINE Spike<N> for_reset(const Spike<N>& s) const {
    return detach_reset ? detached(s) : s;
  }
};

}  // namespace neuron

SPIQ_END_NAMESPACE
