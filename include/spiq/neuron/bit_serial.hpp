/// @file
/// The bit-serial neuron: a layer's levels as binary numbers, one bit a step, as a policy on SIMD vectors.
#pragma once

#include <spiq/simd/simd.hpp>

#include <bit>

SPIQ_BEGIN_NAMESPACE

namespace neuron {

/// Integrate-and-fire with as many steps as a level has bits (after Datta et al., arXiv 2312.06900, whose equations are
/// not at hand; this form is proved exact). Input over T1 steps, the most significant bit first; output over T2 steps,
/// L = 2^T2 - 1 levels of theta = lambda / L:
///   accumulate  T1 steps:  u = 2 u + x[t]                        (u starts at 0)
///   shift                  u += bias + theta / 2       (a bias spread over the steps would be bias / (2^T1 - 1))
///   fire        T2 steps:  s = (u >= theta 2^(T2 - t)); u -= s theta 2^(T2 - t)      t = 1 .. T2
/// The bits fired are those of clip(floor(z / theta + 1/2), 0, L), z the weighted sum of the input and the bias: the
/// QCFS activation, exactly in exact arithmetic.
struct BitSerial {
  static constexpr int most_bits = 8;

  template <class V>
  static SPIQ_INLINE void charge(V& u, V current) noexcept {
    u = (u + u) + current;
  }
  /// The bit whose weight is `threshold`; returns the spike mask.
  template <class V>
  static SPIQ_INLINE typename V::mask_type fire(V& u, V threshold) noexcept {
    const auto spike = u >= threshold;
    u = select(spike, u - threshold, u);
    return spike;
  }

  /// T with 2^T - 1 >= levels: the bits of a level.
  static constexpr int bits(int levels) { return static_cast<int>(std::bit_width(static_cast<unsigned>(levels))); }
  /// Whether all numbers of so many bits are levels.
  static constexpr bool fits(int levels) { return levels >= 1 && levels == (1 << bits(levels)) - 1; }
};

}  // namespace neuron

SPIQ_END_NAMESPACE
