/// @file
/// Matrix product in f32: row-major, any transposition, any leading dimension, one thread.
#pragma once

#include <spiq/simd/simd.hpp>

#include <algorithm>
#include <cstddef>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// C is m x n, the inner dimension k.
struct GemmShape {
  std::size_t m = 0, n = 0, k = 0;
};

namespace detail {

/// Rows of a register tile; with two vectors of columns the accumulators, two weights and a broadcast fit the registers.
template <class Arch>
inline constexpr int gemm_rows = simd::traits<Arch>::registers >= 32 ? 12 : 6;

/// An operand as op(X)[row][column], op being the identity or the transposition.
struct GemmOperand {
  const float* data;
  std::size_t row, column;  ///< elements between neighbours
};

/// Inner products that one panel covers; a panel of B (two vectors wide) stays in L1.
inline constexpr std::size_t gemm_depth = 256;

template <class Arch, int MR>
SPIQ_INLINE void gemm_tile(const float* a, std::size_t row, std::size_t column, const float* panel, std::size_t depth,
                           float* c, std::size_t ldc, int columns, bool accumulate) noexcept {
  using V = typename simd::traits<Arch>::f32;
  V acc[MR][2];
  SPIQ_UNROLL
  for (int i = 0; i < MR; ++i) acc[i][0] = acc[i][1] = V::zero();
  for (std::size_t k = 0; k < depth; ++k) {
    const V b0 = V::load(panel), b1 = V::load(panel + V::width);
    panel += 2 * V::width;
    SPIQ_UNROLL
    for (int i = 0; i < MR; ++i) {
      const V x = V::broadcast(a[static_cast<std::size_t>(i) * row]);
      acc[i][0] = fma(x, b0, acc[i][0]);
      acc[i][1] = fma(x, b1, acc[i][1]);
    }
    a += column;
  }
  SPIQ_UNROLL
  for (int i = 0; i < MR; ++i)
    SPIQ_UNROLL
    for (int j = 0; j < 2; ++j) {
      float* const to = c + static_cast<std::size_t>(i) * ldc + j * V::width;
      const int lanes = columns - j * V::width;
      if (lanes >= V::width) {
        if (accumulate) acc[i][j] = acc[i][j] + V::load(to);
        acc[i][j].store(to);
      } else if (lanes > 0) {
        if (accumulate) acc[i][j] = acc[i][j] + V::load_first(to, lanes);
        acc[i][j].store_first(to, lanes);
      }
    }
}

/// All rows from `i` on, in tiles of MR and then of halves.
template <class Arch, int MR>
SPIQ_NOINLINE void gemm_column(const GemmShape& s, std::size_t i, const GemmOperand& a, const float* panel,
                               std::size_t depth, float* c, std::size_t ldc, int columns, bool accumulate) noexcept {
  for (; i + MR <= s.m; i += MR)
    gemm_tile<Arch, MR>(a.data + i * a.row, a.row, a.column, panel, depth, c + i * ldc, ldc, columns, accumulate);
  if constexpr (MR > 1) {
    if (i < s.m) gemm_column<Arch, (MR + 1) / 2>(s, i, a, panel, depth, c, ldc, columns, accumulate);
  }
}

}  // namespace detail

/// c = op(a) op(b), or c += with `accumulate`; op is the transposition where trans_a, trans_b say so. Row-major:
/// op(a) is m x k, op(b) k x n; lda, ldb, ldc are the lengths of the stored rows. c may not overlap a or b.
/// Sums run over k in order within 256 terms, so a result does not depend on m or n. 2 m n k floating-point operations.
template <class Arch = simd::best>
void gemm(const GemmShape& s, const float* a, std::size_t lda, bool trans_a, const float* b, std::size_t ldb,
          bool trans_b, float* c, std::size_t ldc, bool accumulate) noexcept {
  using V = typename simd::traits<Arch>::f32;
  constexpr auto block = static_cast<std::size_t>(2 * V::width);
  alignas(64) float panel[detail::gemm_depth * block];
  if (s.k == 0 && !accumulate)
    for (std::size_t i = 0; i < s.m; ++i) std::fill_n(c + i * ldc, s.n, 0.0F);
  for (std::size_t k = 0; k < s.k; k += detail::gemm_depth) {
    const std::size_t depth = std::min(detail::gemm_depth, s.k - k);
    const detail::GemmOperand left{trans_a ? a + k * lda : a + k, trans_a ? 1 : lda, trans_a ? lda : 1};
    for (std::size_t j = 0; j < s.n; j += block) {
      const std::size_t columns = std::min(block, s.n - j);
      if (trans_b) {
        if (columns < block) std::fill_n(panel, depth * block, 0.0F);
        for (std::size_t q = 0; q < columns; ++q)
          for (std::size_t p = 0; p < depth; ++p) panel[p * block + q] = b[(j + q) * ldb + k + p];
      } else {
        for (std::size_t p = 0; p < depth; ++p) {
          std::copy_n(b + (k + p) * ldb + j, columns, panel + p * block);
          std::fill_n(panel + p * block + columns, block - columns, 0.0F);
        }
      }
      detail::gemm_column<Arch, detail::gemm_rows<Arch>>(s, 0, left, panel, depth, c + j, ldc, static_cast<int>(columns),
                                                        accumulate || k > 0);
    }
  }
}

}  // namespace kernel

SPIQ_END_NAMESPACE
