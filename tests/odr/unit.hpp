// One function of the library, instantiated for the instruction set of the unit that includes this.
#pragma once
#include <spiq/simd/simd.hpp>

#include <cstddef>

SPIQ_BEGIN_NAMESPACE

// Not inlined, so that its symbol can be looked for.
template <class Arch>
SPIQ_NOINLINE float odr_sum(const float* values, std::size_t count) {
  using vec = typename simd::traits<Arch>::f32;
  vec sum = vec::zero();
  std::size_t i = 0;
  for (; i + vec::width <= count; i += vec::width) sum = sum + vec::load(values + i);
  sum = sum + vec::load_first(values + i, static_cast<int>(count - i));
  return simd::reduce_add(sum);
}

SPIQ_END_NAMESPACE
