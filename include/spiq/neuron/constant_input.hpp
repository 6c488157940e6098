/// @file
/// How often a neuron fires under an input that does not change, without stepping.
#pragma once

#include <spiq/simd/simd.hpp>

#include <algorithm>
#include <concepts>
#include <cstdint>

SPIQ_BEGIN_NAMESPACE

namespace neuron {

/// Spikes of an integrate-and-fire neuron with soft reset and no leak (`IntegrateFire`) in `steps` steps of the same
/// current, v0 its potential before: clip(floor((v0 + steps current) / theta), 0, steps). Exact for theta > 0 and v0 in
/// [0, theta): with 0 <= current <= theta the potential stays in [0, theta), so it keeps what was not fired; below it
/// never fires, above always. With v0 = theta / 2 this is the QCFS activation (Bu et al., arXiv 2303.04347). The
/// potential behind the last step is v0 + steps current - theta times the count. T must hold v0 + steps current.
template <std::signed_integral T>
constexpr T constant_input_count(T v0, T current, T theta, T steps) {
  const auto sum = static_cast<T>(v0 + steps * current);
  return sum < 0 ? T{0} : std::min(static_cast<T>(sum / theta), steps);
}
/// The same on vectors of floats. It is what stepping gives wherever no sum of the potential and no multiple of theta
/// up to `steps` is rounded; elsewhere the count may differ by one.
template <class Arch>
SPIQ_INLINE simd::vec<float, Arch> constant_input_count(simd::vec<float, Arch> v0, simd::vec<float, Arch> current,
                                                        simd::vec<float, Arch> theta, simd::vec<float, Arch> steps) {
  using V = simd::vec<float, Arch>;
  return min(max(floor(fma(steps, current, v0) / theta), V::zero()), steps);
}

}  // namespace neuron

SPIQ_END_NAMESPACE
