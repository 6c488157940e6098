/// @file
/// The QCFS activation as a policy on SIMD vectors.
#pragma once

#include <spiq/kernel/qcfs.hpp>
#include <spiq/simd/simd.hpp>

#include <cstdint>

SPIQ_BEGIN_NAMESPACE

namespace neuron {

/// Quantization clip-floor-shift activation (Bu et al., arXiv 2303.04347, eq. 8), h(z) = lambda / L * level(z).
struct Qcfs {
  /// level(z) = clip(floor(z / lambda * L + 1/2), 0, L); ties round up. The order of operands keeps NaN.
  template <class V>
  static SPIQ_INLINE V level(V z, V lambda, V levels) noexcept {
    return min(levels, max(V::zero(), kernel::qcfs_level(z / lambda, levels)));
  }
  /// The same from integers: how many of the L thresholds theta/2, 3 theta/2, ... the biased sum z reaches (theta even).
  template <class V>
  static SPIQ_INLINE V ladder(V z, V theta, int levels) noexcept {
    V threshold = V::zero();
    V count = V::zero();
    const V twice = z + z;
    for (int k = 0; k < levels; ++k) {
      // (2k + 1) theta <= 2z, without leaving 32 bits: the lowering proved |2z| and 2 L theta to fit.
      threshold = threshold + theta;
      count = select(twice >= threshold, count + V::broadcast(1), count);
      threshold = threshold + theta;
    }
    return count;
  }
};

}  // namespace neuron

SPIQ_END_NAMESPACE
