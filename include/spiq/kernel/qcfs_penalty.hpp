/// @file
/// Penalties on quantised activations: what they add to a loss, and its gradients.
#pragma once

#include <spiq/kernel/elementwise.hpp>
#include <spiq/kernel/qcfs.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// (z - h(z))^2 with h the QCFS activation (the regulariser L_q of BrainSeek-Lab/ann2snn_reg as its report states it;
/// its code measures the distance to the steps' edges and lets no gradient reach z). Away from the steps h's level is a
/// constant, so these are its derivatives: 2 (z - h), and -2 (z - h) h / lambda for the threshold.
/// A penalty maps vectors: `gradient(z, value, dlambda)` returns dp/dz and adds p and dp/dlambda, per lane, to the
/// others.
struct QuantisationError {
  float lambda;
  int levels;

  template <class V>
  struct On {
    V lambda, levels;
    explicit SPIQ_INLINE On(const QuantisationError& e)
        : lambda(V::broadcast(e.lambda)), levels(V::broadcast(static_cast<float>(e.levels))) {}
    SPIQ_INLINE V gradient(V z, V& value, V& dlambda) const {
      const V share = min(levels, max(V::zero(), qcfs_level(z / lambda, levels))) / levels;
      const V d = z - lambda * share, twice = d + d;
      value = fma(d, d, value);
      dlambda = dlambda - twice * share;
      return twice;
    }
  };
};

/// Ones among the binary digits of the level of z, L = 2^T - 1: the spikes of a bit-serial neuron, whose penalty is the
/// fine-grained regulariser of arXiv 2312.06900 in our form. With u = z + theta / 2 less the weights of the higher
/// digits that are one, and w = theta 2^k, digit k is H(u - w); backward, the step has the triangular surrogate
/// max(0, 1 - |u / w - 1|) / w, the higher digits being constants. A level depends on z / lambda alone, so
/// dp/dlambda = -z / lambda dp/dz.
struct BitCount {
  float lambda;
  int levels;

  template <class V>
  struct On {
    V lambda, theta, half;
    int bits;
    explicit SPIQ_INLINE On(const BitCount& b)
        : lambda(V::broadcast(b.lambda)),
          theta(V::broadcast(b.lambda / static_cast<float>(b.levels))),
          half(V::broadcast(0.5f * b.lambda / static_cast<float>(b.levels))),
          bits(static_cast<int>(std::bit_width(static_cast<unsigned>(b.levels)))) {}
    SPIQ_INLINE V gradient(V z, V& value, V& dlambda) const {
      const V one = V::broadcast(1);
      V u = z + half, slope = V::zero();
      for (int k = bits - 1; k >= 0; --k) {
        const V weight = theta * V::broadcast(static_cast<float>(1 << k));
        const V distance = u / weight - one;
        const auto spike = u >= weight;
        const V height = one - max(distance, V::zero() - distance);
        slope = slope + max(height, V::zero()) / weight;
        value = select(spike, value + one, value);
        u = select(spike, u - weight, u);
      }
      dlambda = dlambda - z / lambda * slope;
      return slope;
    }
  };
};

/// Sums over all elements.
struct PenaltySums {
  double value = 0;
  double lambda_gradient = 0;
};

/// dz[i] += scale * p'(z[i]); returns scale times the sums of p and dp/dlambda, in a fixed order: the same bits on any
/// number of threads.
template <class Arch = simd::best, class Penalty>
PenaltySums add_penalty(const Penalty& penalty, const float* z, float* dz, std::size_t n, double scale,
                        int threads = 1) noexcept {
  using V = typename simd::traits<Arch>::f32;
  const typename Penalty::template On<V> on(penalty);
  const V factor = V::broadcast(static_cast<float>(scale));
  const FixedChunks chunks(n, map_grain);
  PenaltySums partial[FixedChunks::limit];
  parallel_for(chunks.count, 1, threads, [&](std::size_t first, std::size_t last, int) {
    for (std::size_t c = first; c < last; ++c)
      for (std::size_t i = chunks.begin(c); i < chunks.end(c);) {
        // Lanes are emptied into a double before their rounding could matter. Those behind the end see z = 0, which no
        // penalty minds.
        const std::size_t stop = std::min(chunks.end(c), i + 256 * V::width);
        V value = V::zero(), dlambda = V::zero();
        fill_vectors<V>(dz, i, stop, [&](auto access, std::size_t k) SPIQ_LAMBDA_INLINE {
          return fma(factor, on.gradient(access.template load<V>(z + k), value, dlambda),
                     access.template load<V>(dz + k));
        });
        partial[c].value += static_cast<double>(reduce_add(value));
        partial[c].lambda_gradient += static_cast<double>(reduce_add(dlambda));
        i = stop;
      }
  });
  PenaltySums total;
  for (std::size_t c = 0; c < chunks.count; ++c) {
    total.value += scale * partial[c].value;
    total.lambda_gradient += scale * partial[c].lambda_gradient;
  }
  return total;
}

}  // namespace kernel

SPIQ_END_NAMESPACE
