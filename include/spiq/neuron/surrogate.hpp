/// @file
/// Surrogate gradients: what stands for the derivative of the step function.
#pragma once

#include <spiq/neuron/dual.hpp>

SPIQ_BEGIN_NAMESPACE

/// Functions g(u), u = membrane potential - threshold unless the form says otherwise, used in place of the derivative of
/// the spike. `slope` is `alpha` of SpikingJelly and Norse, `slope` or `k` of snnTorch; the defaults are those of the
/// framework that the form comes from. Vectors in, vectors out.
namespace surrogate {

namespace detail {
template <class V>
SPIQ_INLINE V magnitude(V u) {
  return max(u, V::zero() - u);
}
template <class V>
SPIQ_INLINE V broadcast(double x) {
  return V::broadcast(static_cast<float>(x));
}
inline constexpr double pi = 3.14159265358979323846;
/// sigma(x) (1 - sigma(x)), without the cancellation of that form far out.
template <class V>
SPIQ_INLINE V logistic_slope(V x) {
  const V e = neuron::exponential(V::zero() - magnitude(x)), one_plus = V::broadcast(1.0f) + e;
  return e / (one_plus * one_plus);
}
}  // namespace detail

/// (a / 2) / (1 + (pi a u / 2)^2): Fang et al., arXiv 2007.05785.
struct ATan {
  float slope = 2;
  template <class V>
  [[nodiscard]] SPIQ_INLINE V operator()(V u) const {
    const V t = detail::broadcast<V>(detail::pi / 2 * double{slope}) * u;
    return V::broadcast(slope / 2) / fma(t, t, V::broadcast(1.0f));
  }
};
/// a sigma(a u) (1 - sigma(a u))
struct Sigmoid {
  float slope = 4;
  template <class V>
  [[nodiscard]] SPIQ_INLINE V operator()(V u) const {
    return V::broadcast(slope) * detail::logistic_slope(V::broadcast(slope) * u);
  }
};
/// 1 / (1 + a |u|)^2: Zenke and Ganguli, arXiv 1705.11146; snnTorch's `fast_sigmoid` and Norse's `super`.
struct FastSigmoid {
  float slope = 25;
  template <class V>
  [[nodiscard]] SPIQ_INLINE V operator()(V u) const {
    const V t = fma(V::broadcast(slope), detail::magnitude(u), V::broadcast(1.0f));
    return V::broadcast(1.0f) / (t * t);
  }
};
/// a / (1 + |u|)^2: SpikingJelly's `SuperSpike`.
struct SuperSpike {
  float slope = 1;
  template <class V>
  [[nodiscard]] SPIQ_INLINE V operator()(V u) const {
    const V t = detail::magnitude(u) + V::broadcast(1.0f);
    return V::broadcast(slope) / (t * t);
  }
};
/// a max(0, 1 - |u| / width): a triangle. Width 1 is Norse's; `PiecewiseQuadratic` has width 1 / a.
struct Triangle {
  float slope = 0.3f;
  float width = 1;
  template <class V>
  [[nodiscard]] SPIQ_INLINE V operator()(V u) const {
    return V::broadcast(slope) *
           max(V::zero(), fnma(detail::magnitude(u), V::broadcast(1.0f / width), V::broadcast(1.0f)));
  }
};
/// a - a^2 |u| for |u| <= 1 / a, else 0: the derivative of a piecewise quadratic function.
struct PiecewiseQuadratic {
  float slope = 1;
  template <class V>
  [[nodiscard]] SPIQ_INLINE V operator()(V u) const {
    return max(V::zero(), fnma(V::broadcast(slope * slope), detail::magnitude(u), V::broadcast(slope)));
  }
};
/// (a / 2) e^(-a |u|)
struct PiecewiseExponential {
  float slope = 1;
  template <class V>
  [[nodiscard]] SPIQ_INLINE V operator()(V u) const {
    return V::broadcast(slope / 2) * neuron::exponential(V::zero() - V::broadcast(slope) * detail::magnitude(u));
  }
};
/// 1 / (2 a (1 / a + |u|)^2)
struct SoftSign {
  float slope = 2;
  template <class V>
  [[nodiscard]] SPIQ_INLINE V operator()(V u) const {
    const V t = detail::magnitude(u) + V::broadcast(1.0f / slope);
    return V::broadcast(1.0f) / (V::broadcast(2 * slope) * t * t);
  }
};
/// a / sqrt(pi) e^(-(a u)^2). `Erfc` is Norse's form of it, with 2 / sqrt(pi) in front.
struct Erf {
  float slope = 2;
  template <class V>
  [[nodiscard]] SPIQ_INLINE V operator()(V u) const {
    return gauss(u, slope, slope);
  }
  template <class V>
  [[nodiscard]] static SPIQ_INLINE V gauss(V u, float a, float height) {
    const V t = V::broadcast(a) * u;
    return detail::broadcast<V>(double{height} * 0.5641895835477563) * neuron::exponential(V::zero() - t * t);
  }
};
struct Erfc {
  float slope = 1;
  template <class V>
  [[nodiscard]] SPIQ_INLINE V operator()(V u) const {
    return Erf::gauss(u, slope, 2.0f);
  }
};
/// a for |u| < 1 / (2 a), else 0.
struct Rectangle {
  float slope = 1;
  template <class V>
  [[nodiscard]] SPIQ_INLINE V operator()(V u) const {
    return select(detail::magnitude(u) < V::broadcast(0.5f / slope), V::broadcast(slope), V::zero());
  }
};
/// 1 / (1 / a + |u|)
struct NonzeroSignLogAbs {
  float slope = 1;
  template <class V>
  [[nodiscard]] SPIQ_INLINE V operator()(V u) const {
    return V::broadcast(1.0f) / (detail::magnitude(u) + V::broadcast(1.0f / slope));
  }
};
/// 1: Bengio et al., arXiv 1308.3432.
struct StraightThrough {
  template <class V>
  [[nodiscard]] SPIQ_INLINE V operator()(V) const {
    return V::broadcast(1.0f);
  }
};
/// a below the threshold and -a from it on: what snnTorch calls `triangular`.
struct SnnTorchTriangular {
  float slope = 1;
  template <class V>
  [[nodiscard]] SPIQ_INLINE V operator()(V u) const {
    return select(u < V::zero(), V::broadcast(slope), V::broadcast(-slope));
  }
};
/// The spike itself, 1 above the threshold: what snnTorch calls `Heaviside`.
struct SnnTorchHeaviside {
  template <class V>
  [[nodiscard]] SPIQ_INLINE V operator()(V u) const {
    return select(u > V::zero(), V::broadcast(1.0f), V::zero());
  }
};
/// a e^(-|u - 1|)
struct SpikeRateEscape {
  float slope = 25;
  template <class V>
  [[nodiscard]] SPIQ_INLINE V operator()(V u) const {
    return V::broadcast(slope) *
           neuron::exponential(V::zero() - detail::magnitude(u - V::broadcast(1.0f)));
  }
};
/// 1 - tanh(a u)^2
struct Tanh {
  float slope = 1;
  template <class V>
  [[nodiscard]] SPIQ_INLINE V operator()(V u) const {
    return V::broadcast(4.0f) * detail::logistic_slope(V::broadcast(2 * slope) * u);
  }
};
/// 2 a (1 / (2 sqrt(a^2 + u^2)) - u^2 / (2 (a^2 + u^2)^1.5)) = a^3 / (a^2 + u^2)^1.5
struct Circle {
  float slope = 0.5f;
  template <class V>
  [[nodiscard]] SPIQ_INLINE V operator()(V u) const {
    const V r = fma(u, u, V::broadcast(slope * slope));
    return V::broadcast(slope * slope * slope) / (r * sqrt(r));
  }
};

/// Another one as a function of v / threshold - 1: DIET-SNN, IIR-SNN. Thresholds must not be 0, which that of
/// `neuron::Refractory`'s counter is.
template <class Inner>
struct Relative : Inner {
  static constexpr bool relative = true;
};
/// a e^(-b k), k the steps since the neuron's last spike, whatever its potential, as derivative with respect to
/// v / threshold - 1: spike-timing dependent backpropagation (Rathi et al., arXiv 2005.01807), which resets without a
/// gradient (`DetachReset`). For `neuron::SinceSpike`.
struct Stdb {
  float slope = 0.3f;
  float rate = 0.01f;
  static constexpr bool relative = true;
  template <class V>
  [[nodiscard]] SPIQ_INLINE V operator()(V, V age) const {
    return V::broadcast(slope) * neuron::exponential(V::zero() - V::broadcast(rate) * age);
  }
};

}  // namespace surrogate

SPIQ_END_NAMESPACE
