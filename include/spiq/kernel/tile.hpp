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

/// acc[r] += sum over k < groups of input(r, k) * weight(k), for the rows whose bit is set in Rows; input(r, k) lies
/// at row[r] + start + k * step. Weights lie as [k][NV][width] lanes. The row pointers stay what they are from tap to
/// tap, only `start` moves.
template <class Arch, class Element, std::uint32_t Rows, int NV, int MR>
SPIQ_INLINE void accumulate(typename Element::template vec<Arch> (&acc)[MR][NV],
                            const typename Element::Input* const (&row)[MR], std::ptrdiff_t start,
                            const typename Element::Lane* w, std::ptrdiff_t groups,
                            std::ptrdiff_t step = Element::group) {
  using Vec = typename Element::template vec<Arch>;
  const std::ptrdiff_t end = start + groups * step;
  for (std::ptrdiff_t k = start; k != end; k += step) {
    if constexpr (std::popcount(Rows) >= NV) {  // hold the weights, stream the inputs
      Vec weight[NV];
      SPIQ_UNROLL
      for (int v = 0; v < NV; ++v) weight[v] = Vec::load(w + v * Vec::width);
      SPIQ_UNROLL
      for (int r = 0; r < MR; ++r) {
        if (((Rows >> r) & 1u) == 0) continue;
        const Vec input = Element::template broadcast<Arch>(row[r] + k);
        SPIQ_UNROLL
        for (int v = 0; v < NV; ++v) acc[r][v] = Element::template multiply_add<Arch>(acc[r][v], input, weight[v]);
      }
    } else {  // hold the inputs, stream the weights
      Vec input[MR];
      SPIQ_UNROLL
      for (int r = 0; r < MR; ++r)
        input[r] = ((Rows >> r) & 1u) != 0 ? Element::template broadcast<Arch>(row[r] + k) : Vec::zero();
      SPIQ_UNROLL
      for (int v = 0; v < NV; ++v) {
        const Vec weight = Vec::load(w + v * Vec::width);
        SPIQ_UNROLL
        for (int r = 0; r < MR; ++r)
          if (((Rows >> r) & 1u) != 0) acc[r][v] = Element::template multiply_add<Arch>(acc[r][v], input[r], weight);
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
  bool adjacent = false;                  ///< successive rows of a line are one horizontal tap apart
};

/// Horizontally adjacent taps that the same rows of a tile read: one run of the inner loop.
struct Segment {
  std::ptrdiff_t start;  ///< elements from tap (0, 0) to the first of them
  std::int32_t tap;      ///< number of the first, ky * kernel_w + kx
  std::int32_t taps;     ///< how many; more than one only where they are contiguous
  std::int32_t ky;
  std::uint32_t rows;  ///< bit r is set where row r reads a real pixel, as far as the tile knows
};

/// The rows of a tile in the input. `y` and `x` are input coordinates of the tap (0, 0) and may lie in the padding.
/// All Max rows must be set, those beyond the tile's to a copy of any of them.
template <int Max>
struct TileRows {
  static constexpr int max_segments = 24;
  std::ptrdiff_t offset[Max];  ///< elements from the base of the tile to the row's input at tap (0, 0)
  std::int32_t y[Max];         ///< relative to the y of the tile
  std::int32_t x[Max];
  bool one_line = true;  ///< y is zero for all rows: then segments hold for every line, whose y is checked per tile
  int count = -1;        ///< segments, or -1 when there are more than fit
  Segment segments[max_segments];
};

namespace detail {
/// Bit r is set where 0 <= from[r] + shift < extent.
SPIQ_INLINE std::uint32_t inside(const std::int32_t* from, int rows, int shift, int extent) {
  std::uint32_t bits = 0;
  for (int r = 0; r < rows; ++r)
    bits |= (static_cast<std::uint32_t>(from[r] + shift) < static_cast<std::uint32_t>(extent) ? 1u : 0u) << r;
  return bits;
}

/// Lists segments from tap number `tap` on, as many as fit; `tap` becomes the first that was left out.
template <int Max>
SPIQ_NOINLINE inline int list_segments(Segment* out, int room, int& tap, const Taps& taps, const TileRows<Max>& at,
                                       int y) noexcept {
  constexpr std::uint32_t all = (1u << Max) - 1u;
  int count = 0;
  for (; tap < taps.kernel_h * taps.kernel_w; ++tap) {
    const int ky = tap / taps.kernel_w, kx = tap % taps.kernel_w;
    std::uint32_t rows = inside(at.x, Max, kx * taps.dilation_w, taps.in_w);
    if (!at.one_line) rows &= inside(at.y, Max, y + ky * taps.dilation_h, taps.in_h);
    if (rows == 0) continue;
    if (taps.joined && rows == all && count > 0) {
      Segment& last = out[count - 1];
      if (last.rows == all && last.ky == ky && last.tap + last.taps == tap) {
        ++last.taps;
        continue;
      }
    }
    if (count == room) break;
    out[count++] = {ky * taps.step_y + kx * taps.step_x, tap, 1, ky, rows};
  }
  return count;
}

/// One tap whose rows are not all real. The loop is there for the sets of rows that borders leave: without one pixel
/// of 1, 2 or 4 steps at either end, and without one pixel of each line of four. The smallest set that covers `mask`
/// is taken, padded rows in it read zeros. Tiles that are no one's main tile only know one row less at either end,
/// for the sake of compile time.
template <class Arch, class Element, int NV, int MR>
SPIQ_INLINE void accumulate_border(typename Element::template vec<Arch> (&acc)[MR][NV],
                                   const typename Element::Input* const (&real)[MR], std::ptrdiff_t start,
                                   std::uint32_t mask, const typename Element::Input* zeros,
                                   const typename Element::Lane* w, std::ptrdiff_t groups) {
  constexpr std::uint32_t all = (1u << MR) - 1u;
  constexpr bool main = NV == TileShape<Arch>::vectors && MR + 1 >= TileShape<Arch>::rows(NV);
  const typename Element::Input* row[MR];
  SPIQ_UNROLL
  for (int r = 0; r < MR; ++r) row[r] = ((mask >> r) & 1u) != 0 ? real[r] : zeros - start;
  const auto covered_by = [&]<std::uint32_t Rows>() SPIQ_LAMBDA_INLINE {
    if ((mask & ~Rows) != 0) return false;
    accumulate<Arch, Element, Rows>(acc, row, start, w, groups);
    return true;
  };
  if constexpr (main && MR > 4) {
    if (covered_by.template operator()<(all << 4) & all>() || covered_by.template operator()<(all >> 4)>()) return;
  }
  if constexpr (main && MR == 8) {
    if (covered_by.template operator()<0xee>() || covered_by.template operator()<0x77>()) return;
  }
  if constexpr (main && MR > 2) {
    if (covered_by.template operator()<(all << 2) & all>() || covered_by.template operator()<(all >> 2)>()) return;
  }
  if constexpr (MR > 1) {
    if (covered_by.template operator()<(all << 1) & all>() || covered_by.template operator()<(all >> 1)>()) return;
  }
  accumulate<Arch, Element, all>(acc, row, start, w, groups);
}
}  // namespace detail

/// Fills a tile: acc = sum over all real taps and inputs. `x + base` is the input that offsets count from, `y` the
/// input line of tap (0, 0); `zeros` holds groups * Element::group zeros if any tap may lie in the padding.
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
  Segment local[TileRows<Max>::max_segments];
  const int total = taps.kernel_h * taps.kernel_w;
  int tap = 0;
  do {
    const Segment* segment = at.segments;
    int count = at.count;
    if (count < 0) {
      count = detail::list_segments(local, TileRows<Max>::max_segments, tap, taps, at, y);
      segment = local;
    } else {
      tap = total;
    }
    for (int i = 0; i < count; ++i, ++segment) {
      const int line = y + segment->ky * taps.dilation_h;
      if (at.one_line && static_cast<std::uint32_t>(line) >= static_cast<std::uint32_t>(taps.in_h)) continue;
      const std::uint32_t mask = segment->rows & all;
      const typename Element::Lane* const here = w + segment->tap * tap_weights;
      if (mask == all)
        accumulate<Arch, Element, all>(acc, row, segment->start, here, segment->taps * groups);
      else if (mask != 0)
        detail::accumulate_border<Arch, Element>(acc, row, segment->start, mask, zeros, here, groups);
    }
  } while (tap < total);
}

/// Inputs of a tile without padding: row r reads `lines` runs of inputs, group k of run i at
/// x + r * row_step + i * line_step + k * step, against weights that follow one another.
template <class Element>
struct DenseRows {
  const typename Element::Input* x;
  std::ptrdiff_t row_step, line_step, step;
  int lines;
  std::ptrdiff_t run, last_run;  ///< input groups of a run, and of the last one
  const typename Element::Lane* w;
  bool split;  ///< add up each run for itself first: ((run 0 + run 1) + run 2) + ...
};

/// Fills the first MR rows of `out` with sums over all runs; rows beyond `rows` are copies of the first.
template <class Arch, class Element, int MR, int Rows, int NV>
SPIQ_INLINE void fill_dense(typename Element::template vec<Arch> (&out)[Rows][NV], const DenseRows<Element>& s,
                            int rows) {
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
    accumulate<Arch, Element, (1u << MR) - 1u>(acc, row, line * s.line_step, w, run, s.step);
    w += run * (NV * Vec::width);
    if (s.split && line + 1 < s.lines) {
      SPIQ_UNROLL
      for (int r = 0; r < MR; ++r) SPIQ_UNROLL
      for (int v = 0; v < NV; ++v) {
        out[r][v] = line == 0 ? acc[r][v] : out[r][v] + acc[r][v];
        acc[r][v] = Vec::zero();
      }
    }
  }
  SPIQ_UNROLL
  for (int r = 0; r < MR; ++r) SPIQ_UNROLL
  for (int v = 0; v < NV; ++v) out[r][v] = s.split && s.lines > 1 ? out[r][v] + acc[r][v] : acc[r][v];
}

}  // namespace kernel

SPIQ_END_NAMESPACE
