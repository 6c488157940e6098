/// @file
/// The level of the QCFS activation: the one formula that training, plain inference and neurons share.
#pragma once

#include <spiq/simd/simd.hpp>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// floor(v L + 1/2) for v = z / lambda: the level before it is clipped to [0, L]; ties round up. The product is rounded
/// by itself, so that ties fall on the same side on every architecture.
template <class V>
SPIQ_INLINE V qcfs_level(V v, V levels) {
  return floor(rounded(v * levels) + V::broadcast(0.5f));
}

}  // namespace kernel

SPIQ_END_NAMESPACE
