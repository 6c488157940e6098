/// @file
/// Vectors that carry derivatives: the step of a neuron model, run on them, gives its own Jacobian.
#pragma once

#include <spiq/kernel/exp_vector.hpp>
#include <spiq/simd/simd.hpp>

#include <cstddef>

SPIQ_BEGIN_NAMESPACE

namespace neuron {

/// A value and its derivatives in K directions. A model is written once, for any number type N: N is a vector where it
/// runs, a Dual of vectors where it learns. A step has few inputs (states, current, learned parameters), so their
/// derivatives are carried forward through it, while time is walked backward outside (neuron/backward.hpp).
template <class V, int K>
struct Dual {
  using mask_type = typename V::mask_type;
  using vector = V;
  V value;
  V slope[K];

  static SPIQ_INLINE Dual broadcast(float x) { return constant(V::broadcast(x)); }
  static SPIQ_INLINE Dual zero() { return constant(V::zero()); }
  static SPIQ_INLINE Dual constant(V x) {
    return with(x, [](int) SPIQ_LAMBDA_INLINE { return V::zero(); });
  }
  /// An input: its derivative is one in its own direction.
  static SPIQ_INLINE Dual variable(V x, int direction) {
    return with(x, [direction](int k) SPIQ_LAMBDA_INLINE { return k == direction ? V::broadcast(1.0f) : V::zero(); });
  }
  template <class F>
  static SPIQ_INLINE Dual with(V value, const F& slope) {
    Dual d;
    d.value = value;
    SPIQ_UNROLL
    for (int k = 0; k < K; ++k) d.slope[k] = slope(k);
    return d;
  }

  friend SPIQ_INLINE Dual operator+(const Dual& a, const Dual& b) {
    return with(a.value + b.value, [&](int k) SPIQ_LAMBDA_INLINE { return a.slope[k] + b.slope[k]; });
  }
  friend SPIQ_INLINE Dual operator-(const Dual& a, const Dual& b) {
    return with(a.value - b.value, [&](int k) SPIQ_LAMBDA_INLINE { return a.slope[k] - b.slope[k]; });
  }
  friend SPIQ_INLINE Dual operator*(const Dual& a, const Dual& b) {
    return with(a.value * b.value,
                [&](int k) SPIQ_LAMBDA_INLINE { return fma(a.value, b.slope[k], a.slope[k] * b.value); });
  }
  friend SPIQ_INLINE Dual operator/(const Dual& a, const Dual& b) {
    const V quotient = a.value / b.value, inverse = V::broadcast(1.0f) / b.value;
    return with(quotient,
                [&](int k) SPIQ_LAMBDA_INLINE { return fnma(quotient, b.slope[k], a.slope[k]) * inverse; });
  }
  /// a b + c
  friend SPIQ_INLINE Dual fma(const Dual& a, const Dual& b, const Dual& c) {
    return with(fma(a.value, b.value, c.value), [&](int k) SPIQ_LAMBDA_INLINE {
      return fma(a.value, b.slope[k], fma(a.slope[k], b.value, c.slope[k]));
    });
  }
  /// c - a b
  friend SPIQ_INLINE Dual fnma(const Dual& a, const Dual& b, const Dual& c) {
    return with(fnma(a.value, b.value, c.value), [&](int k) SPIQ_LAMBDA_INLINE {
      return fnma(a.value, b.slope[k], fnma(a.slope[k], b.value, c.slope[k]));
    });
  }
  /// The larger; where they are equal, the derivatives of `b`.
  friend SPIQ_INLINE Dual max(const Dual& a, const Dual& b) {
    const auto first = a.value > b.value;
    return with(max(a.value, b.value),
                [&](int k) SPIQ_LAMBDA_INLINE { return select(first, a.slope[k], b.slope[k]); });
  }
};

namespace detail {
template <class N>
struct number_of {
  using vector = N;
};
template <class V, int K>
struct number_of<Dual<V, K>> {
  using vector = V;
};
template <class V>
struct vector_arch;
template <class T, class Arch>
struct vector_arch<simd::vec<T, Arch>> {
  using type = Arch;
};
}  // namespace detail

/// e^x within two units in the last place.
template <class T, class Arch>
SPIQ_INLINE simd::vec<T, Arch> exponential(simd::vec<T, Arch> x) {
  return kernel::Exp<accuracy::full, Arch>()(x);
}
template <class V, int K>
SPIQ_INLINE Dual<V, K> exponential(const Dual<V, K>& x) {
  const V y = exponential(x.value);
  return Dual<V, K>::with(y, [&](int k) SPIQ_LAMBDA_INLINE { return y * x.slope[k]; });
}
/// 1 / (1 + e^-x)
template <class N>
SPIQ_INLINE N logistic(const N& x) {
  const N one = N::broadcast(1.0f);
  return one / (one + exponential(N::zero() - x));
}

/// Which neurons fire. Of a Dual it carries the derivative that a surrogate lends to the step function.
template <class N>
struct Spike {
  typename N::mask_type fired;
};
template <class V, int K>
struct Spike<Dual<V, K>> {
  typename V::mask_type fired;
  V slope[K];
};

/// s a + (1 - s) b
template <class T, class Arch>
SPIQ_INLINE simd::vec<T, Arch> where(const Spike<simd::vec<T, Arch>>& s, simd::vec<T, Arch> a, simd::vec<T, Arch> b) {
  return select(s.fired, a, b);
}
template <class V, int K>
SPIQ_INLINE Dual<V, K> where(const Spike<Dual<V, K>>& s, const Dual<V, K>& a, const Dual<V, K>& b) {
  const V jump = a.value - b.value;
  return Dual<V, K>::with(select(s.fired, a.value, b.value), [&](int k) SPIQ_LAMBDA_INLINE {
    return fma(s.slope[k], jump, select(s.fired, a.slope[k], b.slope[k]));
  });
}
/// 1 where it fires, 0 elsewhere.
template <class N>
SPIQ_INLINE N amount(const Spike<N>& s) {
  return where(s, N::broadcast(1.0f), N::zero());
}
/// The same spikes without a derivative.
template <class N>
SPIQ_INLINE Spike<N> detached(Spike<N> s) {
  if constexpr (requires { s.slope; })
    for (auto& slope : s.slope) slope = detail::number_of<N>::vector::zero();
  return s;
}
/// s (1 - barred)
template <class N>
SPIQ_INLINE Spike<N> without(const Spike<N>& s, const Spike<N>& barred) {
  const N left = where(barred, N::zero(), amount(s));
  if constexpr (requires { s.slope; }) {
    Spike<N> result{left.value > detail::number_of<N>::vector::zero(), {}};
    for (std::size_t k = 0; k < sizeof(s.slope) / sizeof(s.slope[0]); ++k) result.slope[k] = left.slope[k];
    return result;
  } else {
    return {left > N::zero()};
  }
}

}  // namespace neuron

SPIQ_END_NAMESPACE
