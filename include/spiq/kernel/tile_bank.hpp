/// @file
/// Register tiles of every size, compiled once per architecture and element for all products and sinks.
///
/// A tile is handed over through the L1 cache, one row of stores and loads per tile of hundreds of cycles. Were the
/// sinks inlined into the tiles instead, each sink would take as long to compile as all tiles together.
#pragma once

#include <spiq/kernel/depthwise.hpp>
#include <spiq/kernel/tile.hpp>

#include <cstddef>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// Fills tiles of 1 .. TileShape::rows(NV) rows and NV vectors; rows that were not asked for become some number.
template <class Arch, class Element>
class TileBank {
public:
  using Input = typename Element::Input;
  using Lane = typename Element::Lane;
  using Vec = typename Element::template vec<Arch>;
  using Rows = TileRows<TileShape<Arch>::max_rows>;
  template <int NV>
  using Tile = Vec[TileShape<Arch>::rows(NV)][NV];

  /// Arguments of fill_tile.
  struct Source {
    const Taps& taps;
    const Rows& at;
    int y;
    const Input* x;
    std::ptrdiff_t base;
    const Lane* w;
    std::ptrdiff_t groups;
    const Input* zeros;
    int depthwise_channels;  ///< real channels of a depthwise block; 0 for all other products
  };

  /// Tiles of a convolution whose taps may lie in the padding.
  template <int NV>
  static SPIQ_NOINLINE void fill(int rows, Tile<NV>& acc, const Source& s) noexcept {
    if constexpr (std::is_same_v<Element, ElementF32> && NV <= depthwise_vectors<Arch>) {
      if (s.depthwise_channels > 0) return depthwise<NV>(acc, s);
    }
    padded<TileShape<Arch>::rows(NV), NV>(rows, acc, s);
  }
  /// Tiles whose inputs all exist.
  template <int NV>
  static SPIQ_NOINLINE void fill(int rows, Tile<NV>& acc, const DenseRows<Element>& s) noexcept {
    dense<TileShape<Arch>::rows(NV), NV>(rows, acc, s);
  }

private:
  template <int MR, int NV>
  static SPIQ_INLINE void padded(int rows, Tile<NV>& acc, const Source& s) noexcept {
    if constexpr (MR > TileShape<Arch>::least_rows(NV)) {
      if (rows < MR) return padded<MR - 1, NV>(rows, acc, s);
    }
    Vec part[MR][NV];
    fill_tile<Arch, Element>(part, s.taps, s.at, s.y, s.x, s.base, s.w, s.groups, s.zeros);
    SPIQ_UNROLL
    for (int r = 0; r < MR; ++r) SPIQ_UNROLL
    for (int v = 0; v < NV; ++v) acc[r][v] = part[r][v];
    clear<MR, NV>(acc);
  }
  template <int NV>
  static SPIQ_INLINE void depthwise(Tile<NV>& acc, const Source& s) noexcept {
    if constexpr (NV == 1) {
      if (s.depthwise_channels < Vec::width)
        return fill_depthwise<Arch, true>(acc, s.taps, s.at, s.y, s.x, s.base, s.w, s.zeros, s.depthwise_channels);
    }
    fill_depthwise<Arch, false>(acc, s.taps, s.at, s.y, s.x, s.base, s.w, s.zeros, s.depthwise_channels);
  }
  template <int MR, int NV>
  static SPIQ_INLINE void dense(int rows, Tile<NV>& acc, const DenseRows<Element>& s) noexcept {
    if constexpr (MR > TileShape<Arch>::least_rows(NV)) {
      if (rows < MR) return dense<MR - 1, NV>(rows, acc, s);
    }
    fill_dense<Arch, Element, MR>(acc, s, MR == TileShape<Arch>::least_rows(NV) ? rows : MR);
    clear<MR, NV>(acc);
  }
  template <int First, int NV>
  static SPIQ_INLINE void clear(Tile<NV>& acc) noexcept {
    for (int r = First; r < TileShape<Arch>::rows(NV); ++r)
      for (int v = 0; v < NV; ++v) acc[r][v] = Vec::zero();
  }
};

}  // namespace kernel

SPIQ_END_NAMESPACE
