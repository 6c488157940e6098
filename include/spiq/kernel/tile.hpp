/// @file
/// The register tile: MR rows (positions x steps) by NV vectors of output channels, and the loops that fill it.
///
/// Each step of the inner loop loads NV vectors of weights and broadcasts one input per row, so a tile of 8 x 2 vectors
/// does 16 multiply-adds for 10 loads. Rows are reached through pointers of their own: any stride, dilation or padding
/// costs nothing inside the loop. The sum behind an output runs over taps and inputs in ascending order whatever the
/// tile, so that a result depends neither on threads nor on how many rows were asked for at once.
#pragma once

#include <spiq/kernel/element.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// Shape of the register tile on an architecture: at least eight independent accumulators, and no more of them than
/// fit its registers beside weights and inputs. Both shapes give 32 channels per tile on 512 and 256 bits.
template <class Arch>
struct TileShape {
  static constexpr bool wide = simd::traits<Arch>::registers >= 32;
  static constexpr int vectors = wide ? 2 : 4;  ///< vectors of output channels of a whole tile
  static constexpr int max_rows = wide ? 8 : 6;
  /// Rows of the largest tile of `nv` vectors.
  static constexpr int rows(int nv) { return wide ? 8 : (nv == 4 ? 3 : 6); }
  /// Rows of the smallest: with fewer than eight accumulators the latency of the multiply-add is all that counts, so
  /// smaller tiles would take as long.
  static constexpr int least_rows(int nv) { return 8 / nv < rows(nv) ? 8 / nv : rows(nv); }
};

/// acc[r] += sum over k < groups of input(r, k) * weight(k), for rows First <= r < Last; input(r, k) lies at
/// row[r] + start + k * Element::group. Weights lie as [k][NV][width] lanes. The row pointers stay what they are from
/// tap to tap, only `start` moves.
template <class Arch, class Element, int First, int Last, int NV, int MR>
SPIQ_INLINE void accumulate(typename Element::template vec<Arch> (&acc)[MR][NV],
                            const typename Element::Input* const (&row)[MR], std::ptrdiff_t start,
                            const typename Element::Lane* w, std::ptrdiff_t groups) {
  using Vec = typename Element::template vec<Arch>;
  const std::ptrdiff_t end = start + groups * Element::group;
  for (std::ptrdiff_t k = start; k < end; k += Element::group) {
    if constexpr (Last - First >= NV) {  // hold the weights, stream the inputs
      Vec weight[NV];
      SPIQ_UNROLL
      for (int v = 0; v < NV; ++v) weight[v] = Vec::load(w + v * Vec::width);
      SPIQ_UNROLL
      for (int r = First; r < Last; ++r) {
        const Vec input = Element::template broadcast<Arch>(row[r] + k);
        SPIQ_UNROLL
        for (int v = 0; v < NV; ++v) acc[r][v] = Element::template multiply_add<Arch>(acc[r][v], input, weight[v]);
      }
    } else {  // hold the inputs, stream the weights
      Vec input[MR];
      SPIQ_UNROLL
      for (int r = First; r < Last; ++r) input[r] = Element::template broadcast<Arch>(row[r] + k);
      SPIQ_UNROLL
      for (int v = 0; v < NV; ++v) {
        const Vec weight = Vec::load(w + v * Vec::width);
        SPIQ_UNROLL
        for (int r = First; r < Last; ++r) acc[r][v] = Element::template multiply_add<Arch>(acc[r][v], input[r], weight);
      }
    }
    w += NV * Vec::width;
  }
}

/// How taps step through the input, in plain numbers.
struct Taps {
  int kernel_h = 1, kernel_w = 1;
  int dilation_h = 1, dilation_w = 1;
  int in_h = 1, in_w = 1;
  std::ptrdiff_t step_y = 0, step_x = 0;  ///< elements between vertically and horizontally adjacent taps
  bool joined = false;                    ///< horizontally adjacent taps are contiguous, in inputs and in weights
};

/// The rows of a tile in the input. `y` and `x` are input coordinates of the tap (0, 0) and may lie in the padding.
/// All Max rows must be set, those beyond the tile's to a copy of any of them.
template <int Max>
struct TileRows {
  static constexpr int max_columns = 16;
  std::ptrdiff_t offset[Max];          ///< elements from the base of the tile to the row's input at tap (0, 0)
  std::int32_t y[Max];                 ///< relative to the y of the tile
  std::int32_t x[Max];
  std::uint32_t columns[max_columns];  ///< per horizontal tap: bit r is set where row r reads a real pixel
  bool one_line = true;                ///< y is zero for all rows
};

namespace detail {
/// Bit r is set where 0 <= from[r] + shift < extent.
SPIQ_INLINE std::uint32_t inside(const std::int32_t* from, int rows, int shift, int extent) {
  std::uint32_t bits = 0;
  for (int r = 0; r < rows; ++r)
    bits |= (static_cast<std::uint32_t>(from[r] + shift) < static_cast<std::uint32_t>(extent) ? 1u : 0u) << r;
  return bits;
}

/// One tap whose rows are not all real: whole runs of padding at either end are left out in the sizes that border
/// tiles have (one pixel of 1, 2 or 4 steps), other padded rows read zeros. Tiles that are no one's main tile only know
/// the most frequent size, for the sake of compile time.
template <class Arch, class Element, int NV, int MR>
SPIQ_INLINE void accumulate_border(typename Element::template vec<Arch> (&acc)[MR][NV],
                                   const typename Element::Input* const (&real)[MR], std::ptrdiff_t start,
                                   std::uint32_t mask, const typename Element::Input* zeros,
                                   const typename Element::Lane* w, std::ptrdiff_t groups) {
  constexpr int largest = TileShape<Arch>::rows(NV);
  constexpr bool main = NV == TileShape<Arch>::vectors && MR + 1 >= largest;
  constexpr int most = MR == 1 ? 0 : (main ? 4 : 1);
  const typename Element::Input* row[MR];
  SPIQ_UNROLL
  for (int r = 0; r < MR; ++r) row[r] = ((mask >> r) & 1u) != 0 ? real[r] : zeros - start;
  const int first = std::countr_zero(mask);
  const int last = MR - static_cast<int>(std::bit_width(mask));
  if (first >= last) {
    if constexpr (most >= 4 && MR > 4) {
      if (first >= 4) return accumulate<Arch, Element, 4, MR>(acc, row, start, w, groups);
    }
    if constexpr (most >= 2 && MR > 2) {
      if (first >= 2) return accumulate<Arch, Element, 2, MR>(acc, row, start, w, groups);
    }
    if constexpr (most >= 1) {
      if (first >= 1) return accumulate<Arch, Element, 1, MR>(acc, row, start, w, groups);
    }
  } else {
    if constexpr (most >= 4 && MR > 4) {
      if (last >= 4) return accumulate<Arch, Element, 0, MR - 4>(acc, row, start, w, groups);
    }
    if constexpr (most >= 2 && MR > 2) {
      if (last >= 2) return accumulate<Arch, Element, 0, MR - 2>(acc, row, start, w, groups);
    }
    if constexpr (most >= 1) {
      if (last >= 1) return accumulate<Arch, Element, 0, MR - 1>(acc, row, start, w, groups);
    }
  }
  accumulate<Arch, Element, 0, MR>(acc, row, start, w, groups);
}
}  // namespace detail

/// Fills a tile: acc = sum over all real taps and inputs. `x + base` is the input that offsets count from, `y` the input
/// line of tap (0, 0); `zeros` holds groups * Element::group zeros if any tap may lie in the padding.
template <class Arch, class Element, int NV, int MR, int Max>
SPIQ_INLINE void fill_tile(typename Element::template vec<Arch> (&acc)[MR][NV], const Taps& taps,
                           const TileRows<Max>& at, int y, const typename Element::Input* x, std::ptrdiff_t base,
                           const typename Element::Lane* w, std::ptrdiff_t groups,
                           const typename Element::Input* zeros) {
  using Input = typename Element::Input;
  using Vec = typename Element::template vec<Arch>;
  static_assert(MR <= Max && MR < 32);
  constexpr std::uint32_t all = (1u << MR) - 1u;
  const Input* row[MR];
  SPIQ_UNROLL
  for (int r = 0; r < MR; ++r) {
    row[r] = x + (at.offset[r] + base);
    SPIQ_UNROLL
    for (int v = 0; v < NV; ++v) acc[r][v] = Vec::zero();
  }
  const std::ptrdiff_t tap_weights = groups * NV * Vec::width;
  for (int ky = 0; ky < taps.kernel_h; ++ky, w += taps.kernel_w * tap_weights) {
    const int line = y + ky * taps.dilation_h;
    std::uint32_t lines = all;
    if (!at.one_line)
      lines = detail::inside(at.y, MR, line, taps.in_h);
    else if (static_cast<std::uint32_t>(line) >= static_cast<std::uint32_t>(taps.in_h))
      continue;
    const auto real = [&](int kx) SPIQ_LAMBDA_INLINE {
      const std::uint32_t columns =
          kx < TileRows<Max>::max_columns ? at.columns[kx] : detail::inside(at.x, MR, kx * taps.dilation_w, taps.in_w);
      return lines & columns & all;
    };
    for (int kx = 0; kx < taps.kernel_w;) {
      const std::uint32_t mask = real(kx);
      const std::ptrdiff_t start = ky * taps.step_y + kx * taps.step_x;
      const typename Element::Lane* const tap = w + kx * tap_weights;
      std::ptrdiff_t run = groups;
      ++kx;
      if (mask == all) {
        if (taps.joined)
          for (; kx < taps.kernel_w && real(kx) == all; ++kx) run += groups;
        accumulate<Arch, Element, 0, MR>(acc, row, start, tap, run);
      } else if (mask != 0) {
        detail::accumulate_border<Arch, Element>(acc, row, start, mask, zeros, tap, run);
      }
    }
  }
}

/// Inputs of a tile without padding: row r reads `lines` runs of consecutive inputs, run i at
/// x + r * row_step + i * line_step, against weights that follow one another.
template <class Element>
struct DenseRows {
  const typename Element::Input* x;
  std::ptrdiff_t row_step, line_step;
  int lines;
  std::ptrdiff_t run, last_run;  ///< input groups of a run, and of the last one
  const typename Element::Lane* w;
  bool split;  ///< add up each run for itself first: ((run 0 + run 1) + run 2) + ...
};

/// Fills the first MR rows of `out` with sums over all runs; rows beyond `rows` are copies of the first.
template <class Arch, class Element, int MR, int Rows, int NV>
SPIQ_INLINE void fill_dense(typename Element::template vec<Arch> (&out)[Rows][NV], const DenseRows<Element>& s, int rows) {
  using Vec = typename Element::template vec<Arch>;
  Vec acc[MR][NV];
  const typename Element::Input* row[MR];
  SPIQ_UNROLL
  for (int r = 0; r < MR; ++r) {
    row[r] = s.x + (r < rows ? r : 0) * s.row_step;
    SPIQ_UNROLL
    for (int v = 0; v < NV; ++v) acc[r][v] = Vec::zero();
  }
  const typename Element::Lane* w = s.w;
  for (int line = 0; line < s.lines; ++line) {
    const std::ptrdiff_t run = line + 1 < s.lines ? s.run : s.last_run;
    accumulate<Arch, Element, 0, MR>(acc, row, line * s.line_step, w, run);
    w += run * (NV * Vec::width);
    if (s.split && line + 1 < s.lines) {
      SPIQ_UNROLL
      for (int r = 0; r < MR; ++r)
        SPIQ_UNROLL
        for (int v = 0; v < NV; ++v) {
          out[r][v] = line == 0 ? acc[r][v] : out[r][v] + acc[r][v];
          acc[r][v] = Vec::zero();
        }
    }
  }
  SPIQ_UNROLL
  for (int r = 0; r < MR; ++r)
    SPIQ_UNROLL
    for (int v = 0; v < NV; ++v) out[r][v] = s.split && s.lines > 1 ? out[r][v] + acc[r][v] : acc[r][v];
}

}  // namespace kernel

SPIQ_END_NAMESPACE
