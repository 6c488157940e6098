/// @file
/// Activations as functors on vectors, forward and backward: ReLU and the quantised QCFS staircase.
#pragma once

#include <spiq/kernel/elementwise.hpp>
#include <spiq/kernel/qcfs.hpp>

#include <cmath>
#include <cstddef>
#include <limits>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// Straight-through gradient of QCFS, by the order in which its two steps are taken.
enum class QcfsGradient {
  floor_first,  ///< clip(floor(..)): passes where 0 <= floor(z L / lambda + 1/2) <= L
  clip_first    ///< floor(clip(..)): passes where 0 <= z / lambda <= 1
};

/// h(z) = z. An activation maps vectors: `value(z)` is h(z); `gradient(z, dh, dparameter)` returns dL/dz and adds
/// dL/dparameter, per lane, to its last argument. `parametric` says whether it has a parameter that learns.
struct Identity {
  static constexpr bool parametric = false;
  template <class V>
  struct On {
    explicit SPIQ_INLINE On(const Identity&) {}
    [[nodiscard]] SPIQ_INLINE V value(V z) const { return z; }
    SPIQ_INLINE V gradient(V, V dh, V&) const { return dh; }
  };
};

/// h(z) = max(z, 0); the gradient at 0 is 0. NaN stays NaN.
struct Relu {
  static constexpr bool parametric = false;
  template <class V>
  struct On {
    explicit SPIQ_INLINE On(const Relu&) {}
    [[nodiscard]] SPIQ_INLINE V value(V z) const { return max(V::zero(), z); }
    SPIQ_INLINE V gradient(V z, V dh, V&) const { return select(z > V::zero(), dh, V::zero()); }
  };
};

/// h(z) = lambda * clip(floor(z / lambda * L + 1/2) / L, 0, 1) with trainable lambda > 0 and integer L >= 1
/// (Bu et al., "Optimal ANN-SNN conversion", arXiv 2303.04347). Every operation is rounded by itself and in this
/// order, with true divisions, so that ties fall on the same side on every architecture. NaN stays NaN.
///
/// With v = z / lambda and F = floor(v L + 1/2) / L the straight-through gradients are
/// - floor_first: inside = (0 <= F <= 1), dh/dz = inside, dh/dlambda = clip(F, 0, 1) - v inside;
/// - clip_first:  inside = (0 <= v <= 1), dh/dz = inside, dh/dlambda = clip(F, 0, 1) - v inside.
struct Qcfs {
  static constexpr bool parametric = true;

  float lambda = 1;
  int levels = 8;
  QcfsGradient policy = QcfsGradient::floor_first;

  /// The largest z with inside(z), by the rounded operations above; they are monotonic, so inside is an interval.
  [[nodiscard]] float upper() const noexcept {
    if (policy == QcfsGradient::clip_first) return boundary(lambda, 1, [this](float z) { return z / lambda <= 1; });
    const float l = static_cast<float>(levels);
    return boundary(lambda * (1 + 0.5f / l), 1, [this, l](float z) { return step(z) <= l; });
  }
  /// The smallest z with inside(z).
  [[nodiscard]] float lower() const noexcept {
    if (policy == QcfsGradient::clip_first) return 0;
    return boundary(lambda * (-0.5f / static_cast<float>(levels)), -1, [this](float z) { return step(z) >= 0; });
  }

  template <class V>
  class On {
  public:
    explicit SPIQ_INLINE On(const Qcfs& q)
        : lambda_(V::broadcast(q.lambda)),
          levels_(V::broadcast(static_cast<float>(q.levels))),
          lower_(V::broadcast(q.lower())),
          upper_(V::broadcast(q.upper())) {}
    [[nodiscard]] SPIQ_INLINE V value(V z) const { return lambda_ * share(clipped(z) / lambda_); }
    SPIQ_INLINE V gradient(V z, V dh, V& dlambda) const {
      const auto inside = (z >= lower_) & (z <= upper_);
      const V v = clipped(z) / lambda_;
      dlambda = fma(dh, share(v) - select(inside, v, V::zero()), dlambda);
      return select(inside, dh, V::zero());
    }

  private:
    /// z clipped to where the gradient passes; the staircase has reached its ends there, so h is the same. The order
    /// of operands keeps NaN.
    [[nodiscard]] SPIQ_INLINE V clipped(V z) const { return min(upper_, max(lower_, z)); }
    /// floor(v L + 1/2) / L, which lies in [0, 1] for clipped arguments.
    [[nodiscard]] SPIQ_INLINE V share(V v) const { return qcfs_level(v, levels_) / levels_; }

    V lambda_, levels_, lower_, upper_;
  };

private:
  [[nodiscard]] float step(float z) const noexcept {
    using S = simd::vec<float, simd::scalar>;
    return qcfs_level(S{z / lambda}, S{static_cast<float>(levels)}).v;
  }
  /// The last float in direction `sign` that holds, from a guess a few units away.
  template <class Holds>
  [[nodiscard]] static float boundary(float guess, float sign, const Holds& holds) noexcept {
    const float out = sign * std::numeric_limits<float>::infinity();
    for (int i = 0; i < 16 && !holds(guess); ++i) guess = std::nextafter(guess, -out);
    for (int i = 0; i < 16 && holds(std::nextafter(guess, out)); ++i) guess = std::nextafter(guess, out);
    return guess;
  }
};

/// h[i] = activation(z[i]) for i < n; h may be z.
template <class Arch = simd::best, class Activation>
void activate(const Activation& activation, const float* z, float* h, std::size_t n, int threads = 1) noexcept {
  using V = typename simd::traits<Arch>::f32;
  const typename Activation::template On<V> on(activation);
  map<Arch>(
      z, h, n, [&](V v) SPIQ_LAMBDA_INLINE { return on.value(v); }, threads);
}

/// dz[i] = dh[i] * activation'(z[i]); returns the gradient of the activation's parameter (0 if it has none), summed
/// over all elements in a fixed order: the same bits on any number of threads. dz may be dh or z.
template <class Arch = simd::best, class Activation>
double activate_backward(const Activation& activation, const float* z, const float* dh, float* dz, std::size_t n,
                         int threads = 1) noexcept {
  using V = typename simd::traits<Arch>::f32;
  const typename Activation::template On<V> on(activation);
  const FixedChunks chunks(n, map_grain);
  double partial[FixedChunks::limit];
  parallel_for(chunks.count, 1, threads, [&](std::size_t first, std::size_t last, int) {
    for (std::size_t c = first; c < last; ++c) {
      double total = 0;
      for (std::size_t i = chunks.begin(c); i < chunks.end(c);) {
        // Lanes are emptied into a double before their rounding could matter.
        const std::size_t stop = std::min(chunks.end(c), i + 256 * V::width);
        V lanes = V::zero();
        fill_vectors<V>(dz, i, stop, [&](auto access, std::size_t k) SPIQ_LAMBDA_INLINE {
          return on.gradient(access.template load<V>(z + k), access.template load<V>(dh + k), lanes);
        });
        if constexpr (Activation::parametric) total += static_cast<double>(reduce_add(lanes));
        i = stop;
      }
      partial[c] = total;
    }
  });
  double total = 0;
  for (std::size_t c = 0; c < chunks.count; ++c) total += partial[c];
  return total;
}

/// y = max(x, 0), element by element.
template <class Arch = simd::best>
void relu_forward(const float* x, float* y, std::size_t n, int threads = 1) noexcept {
  activate<Arch>(Relu{}, x, y, n, threads);
}
/// dx = dy where x > 0, else 0.
template <class Arch = simd::best>
void relu_backward(const float* x, const float* dy, float* dx, std::size_t n, int threads = 1) noexcept {
  map<Arch>(
      x, dy, dx, n,
      [](auto u, auto g) SPIQ_LAMBDA_INLINE { return select(u > decltype(u)::zero(), g, decltype(u)::zero()); },
      threads);
}

/// h = QCFS(z), element by element.
template <class Arch = simd::best>
void qcfs_forward(const Qcfs& q, const float* z, float* h, std::size_t n, int threads = 1) noexcept {
  activate<Arch>(q, z, h, n, threads);
}
/// dz from dh and the pre-activations z; returns dL/dlambda.
template <class Arch = simd::best>
double qcfs_backward(const Qcfs& q, const float* z, const float* dh, float* dz, std::size_t n,
                     int threads = 1) noexcept {
  return activate_backward<Arch>(q, z, dh, dz, n, threads);
}

}  // namespace kernel

SPIQ_END_NAMESPACE
