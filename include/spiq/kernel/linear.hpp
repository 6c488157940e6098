/// @file
/// Linear product: rows of inputs times packed weights, with the sum behind each output cut into four parts.
///
/// A chain of multiply-adds is as long as the input. Cut into parts it is a quarter as long, which is what a single row
/// (the latency of a small network) needs. The same cut holds for any number of rows: the sum is
/// ((p0 + p1) + p2) + p3 over consecutive quarters of the inputs, so a result depends on its own row only.
#pragma once

#include <spiq/kernel/tile.hpp>

#include <cstddef>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// Parts of a linear sum. Integers add exactly in any order: one part will do.
template <class Element>
inline constexpr int linear_parts = std::is_same_v<typename Element::Lane, float> ? 4 : 1;

/// One row: acc[0] = sum over k < groups of input(k) * weight(k), all parts side by side. Weights lie as
/// [k][NV][width] lanes.
template <class Arch, class Element, int NV>
SPIQ_INLINE void fill_row(typename Element::template vec<Arch> (&acc)[1][NV], const typename Element::Input* x,
                          const typename Element::Lane* w, std::ptrdiff_t groups) {
  using Vec = typename Element::template vec<Arch>;
  constexpr int parts = 4;
  constexpr int together = simd::traits<Arch>::registers >= 32 || NV <= 2 ? 4 : 2;  // as registers allow
  constexpr std::ptrdiff_t lanes = NV * Vec::width;
  const std::ptrdiff_t length = groups / parts;
  SPIQ_UNROLL
  for (int first = 0; first < parts; first += together) {
    Vec part[together][NV];
    SPIQ_UNROLL
    for (int p = 0; p < together; ++p) SPIQ_UNROLL
    for (int v = 0; v < NV; ++v) part[p][v] = Vec::zero();
    const typename Element::Input* const in = x + first * length * Element::group;
    const typename Element::Lane* const weight = w + first * length * lanes;
    for (std::ptrdiff_t k = 0; k < length; ++k) SPIQ_UNROLL
    for (int p = 0; p < together; ++p) {
      const Vec input = Element::template broadcast<Arch>(in + (k + p * length) * Element::group);
      SPIQ_UNROLL
      for (int v = 0; v < NV; ++v)
        part[p][v] = Element::template multiply_add<Arch>(
            part[p][v], input, Vec::load(weight + (k + p * length) * lanes + v * Vec::width));
    }
    if (first + together == parts)
      for (std::ptrdiff_t k = parts * length; k < groups; ++k) {
        const Vec input = Element::template broadcast<Arch>(x + k * Element::group);
        SPIQ_UNROLL
        for (int v = 0; v < NV; ++v)
          part[together - 1][v] = Element::template multiply_add<Arch>(part[together - 1][v], input,
                                                                       Vec::load(w + k * lanes + v * Vec::width));
      }
    SPIQ_UNROLL
    for (int p = 0; p < together; ++p) SPIQ_UNROLL
    for (int v = 0; v < NV; ++v) acc[0][v] = first == 0 && p == 0 ? part[p][v] : acc[0][v] + part[p][v];
  }
}

}  // namespace kernel

SPIQ_END_NAMESPACE
