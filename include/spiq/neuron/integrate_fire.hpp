/// @file
/// Integrate-and-fire neuron with soft reset, as a policy on SIMD vectors.
#pragma once

#include <spiq/simd/simd.hpp>

SPIQ_BEGIN_NAMESPACE

namespace neuron {

/// Non-leaky integrate-and-fire with soft reset (reset by subtraction), integrate first, fire on >=:
///     v += current;  s = (v >= theta);  v -= s * theta.
/// The neuron of QCFS conversion (Bu et al., arXiv 2303.04347, section 4) when v(0) = theta / 2, and of RMP-SNN
/// (Han et al., arXiv 2003.01811). `V` is a float or int32 vector; current, v and theta share one unit.
struct IntegrateFire {
  /// The spike count depends on the order of the input in time, so inputs may not be summed beforehand.
  static constexpr bool depends_on_sum_only = false;

  /// One time step; returns the spike mask.
  template <class V>
  static SPIQ_INLINE typename V::mask_type step(V& v, V current, V theta) noexcept {
    v = v + current;
    const auto spike = v >= theta;
    v = select(spike, v - theta, v);
    return spike;
  }
};

}  // namespace neuron

SPIQ_END_NAMESPACE
