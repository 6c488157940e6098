/// @file
/// Matrix product of row-major float matrices, one thread: C = op(A) op(B) or C += op(A) op(B).
///
/// Blocks of op(B) are packed into panels of one tile width, k by k; a panel stays in the L1 cache while the tiles of
/// all rows pass over it. A is read where it lies, or packed when it is transposed. The tiles are those of the linear
/// product (tile_bank.hpp).
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/storage.hpp>
#include <spiq/kernel/tile_bank.hpp>

#include <algorithm>
#include <cstddef>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// C is m x n, op(A) m x k, op(B) k x n.
struct GemmShape {
  int m = 0, n = 0, k = 0;
};

/// Packing buffers of `gemm`, kept between calls.
template <class Arch = simd::best>
class GemmWorkspace {
public:
  /// Allocates for all products; a call of gemm does it when needed.
  void reserve() {
    b.resize(block_k * block_n);
    a.resize(block_k * block_m);
  }
  /// Blocks: a panel of 32 columns fits half the L1 cache, panels and rows together the L2 cache.
  static constexpr std::size_t block_k = 256, block_n = 384, block_m = 240;
  AlignedVector<float> a, b;
};

namespace detail {
/// Rows [0, k) x columns [0, n) of op(B) to panels of `width` columns, [panel][k][width], absent columns anything.
template <class Arch>
inline void pack_b(float* to, const float* b, std::ptrdiff_t ldb, bool trans, int k, int n, int width) noexcept {
  using Vec = typename simd::traits<Arch>::f32;
  for (int j = 0; j < n; j += width) {
    const int columns = std::min(width, n - j);
    if (trans) {
      // Four columns at a time: their rows are read along, each store line is met again while it is in the L1 cache.
      for (int i = 0; i < width; i += 4) {
        const float* from[4];
        for (int q = 0; q < 4; ++q) from[q] = b + (j + std::min(i + q, columns - 1)) * ldb;
        for (int p = 0; p < k; ++p)
          for (int q = 0; q < 4; ++q) to[static_cast<std::ptrdiff_t>(p) * width + i + q] = from[q][p];
      }
      to += static_cast<std::ptrdiff_t>(k) * width;
    } else {
      for (int p = 0; p < k; ++p, to += width) {
        const float* const from = b + p * ldb + j;
        if (columns == width)
          for (int i = 0; i < width; i += Vec::width) Vec::load(from + i).store(to + i);
        else
          for (int i = 0; i < width; i += Vec::width) Vec::load_first(from + i, columns - i).store(to + i);
      }
    }
  }
}

/// Columns [0, m) of a matrix of k rows to strips of `Rows` columns, [strip][k][Rows].
template <int Rows>
inline void pack_a(float* to, const float* a, std::ptrdiff_t lda, int m, int k) noexcept {
  for (int i = 0; i < m; i += Rows)
    for (int p = 0; p < k; ++p, to += Rows) {
      const float* const from = a + p * lda + i;
      if (i + Rows <= m) {
        float row[Rows];
        SPIQ_UNROLL
        for (int r = 0; r < Rows; ++r) row[r] = from[r];
        SPIQ_UNROLL
        for (int r = 0; r < Rows; ++r) to[r] = row[r];
      } else {
        for (int r = 0; r < m - i; ++r) to[r] = from[r];
      }
    }
}

/// C[rows x columns] = tile or C += tile.
template <class Arch, int NV, int Rows>
SPIQ_INLINE void store_tile(const typename simd::traits<Arch>::f32 (&acc)[Rows][NV], float* c, std::ptrdiff_t ldc,
                            int rows, int columns, bool accumulate) {
  using Vec = typename simd::traits<Arch>::f32;
  for (int v = 0; v * Vec::width < columns; ++v)
    for (int r = 0; r < rows; ++r) {
      float* const at = c + r * ldc + v * Vec::width;
      const int n = columns - v * Vec::width;
      (accumulate ? acc[r][v] + Vec::load_first(at, n) : acc[r][v]).store_first(at, n);
    }
}

/// A whole tile from registers to C.
template <class Arch, int NV, int Rows>
SPIQ_NOINLINE inline void whole_tile(const DenseRows<ElementF32>& s, float* c, std::ptrdiff_t ldc, bool add) noexcept {
  using Vec = typename simd::traits<Arch>::f32;
  Vec acc[Rows][NV];
  const float* row[Rows];
  SPIQ_UNROLL
  for (int r = 0; r < Rows; ++r) {
    row[r] = s.x + r * s.row_step;
    SPIQ_UNROLL
    for (int v = 0; v < NV; ++v) {
      acc[r][v] = Vec::zero();
      simd::prefetch(c + r * ldc + v * Vec::width);
    }
  }
  accumulate<Arch, ElementF32, (1u << Rows) - 1u>(acc, row, 0, s.w, s.last_run, s.step);
  SPIQ_UNROLL
  for (int r = 0; r < Rows; ++r) {
    SPIQ_UNROLL
    for (int v = 0; v < NV; ++v) {
      float* const at = c + v * Vec::width;
      (add ? acc[r][v] + Vec::load(at) : acc[r][v]).store(at);
    }
    c += ldc;
  }
}
}  // namespace detail

/// C = op(A) op(B), or C += op(A) op(B) if `accumulate`. All matrices are row-major with leading dimensions lda, ldb
/// and ldc; op transposes where trans_a or trans_b is set: A is then stored k x m, B n x k. C must not overlap A or
/// B. An output does not depend on the other rows and columns. Allocates when the workspace is used for the first
/// time.
template <class Arch = simd::best>
void gemm(GemmShape s, const float* a, std::size_t lda, bool trans_a, const float* b, std::size_t ldb, bool trans_b,
          float* c, std::size_t ldc, bool accumulate, GemmWorkspace<Arch>& workspace) {
  using Bank = TileBank<Arch, ElementF32>;
  using Work = GemmWorkspace<Arch>;
  constexpr int nv = TileShape<Arch>::vectors, largest = TileShape<Arch>::rows(nv);
  constexpr int strip = TileShape<Arch>::wide ? 12 : largest;  // rows of a whole tile
  constexpr int width = nv * simd::traits<Arch>::width;
  constexpr int block_k = static_cast<int>(Work::block_k), block_m = static_cast<int>(Work::block_m);
  constexpr int block_n = static_cast<int>(Work::block_n);
  static_assert(block_m % strip == 0 && block_n % width == 0);
  if (s.m <= 0 || s.n <= 0) return;
  SPIQ_ASSERT(ldc >= static_cast<std::size_t>(s.n));
  if (s.k <= 0) {
    for (int i = 0; i < s.m && !accumulate; ++i) std::fill_n(c + static_cast<std::size_t>(i) * ldc, s.n, 0.0f);
    return;
  }
  SPIQ_ASSERT(lda >= static_cast<std::size_t>(trans_a ? s.m : s.k));
  SPIQ_ASSERT(ldb >= static_cast<std::size_t>(trans_b ? s.k : s.n));
  workspace.reserve();
  const auto row_a = static_cast<std::ptrdiff_t>(lda), row_b = static_cast<std::ptrdiff_t>(ldb);
  const auto row_c = static_cast<std::ptrdiff_t>(ldc);
  for (int j0 = 0; j0 < s.n; j0 += block_n) {
    const int n = std::min(block_n, s.n - j0);
    for (int p0 = 0; p0 < s.k; p0 += block_k) {
      const int k = std::min(block_k, s.k - p0);
      detail::pack_b<Arch>(workspace.b.data(), b + (trans_b ? j0 * row_b + p0 : p0 * row_b + j0), row_b, trans_b, k, n,
                           width);
      for (int i0 = 0; i0 < s.m; i0 += block_m) {
        const int m = std::min(block_m, s.m - i0);
        DenseRows<ElementF32> rows{nullptr, row_a, 0, 1, 1, k, k, nullptr, false};
        if (trans_a) {
          // Strips of one tile, [strip of rows][k][row].
          rows.row_step = 1;
          rows.step = strip;
          detail::pack_a<strip>(workspace.a.data(), a + p0 * row_a + i0, row_a, m, k);
        }
        for (int j = 0; j < n; j += width) {
          rows.w = workspace.b.data() + static_cast<std::ptrdiff_t>(j) * k;
          for (int i = 0; i < m; i += strip) {
            const int count = std::min(strip, m - i), columns = std::min(width, n - j);
            float* const out = c + (i0 + i) * row_c + j0 + j;
            const bool add = accumulate || p0 > 0;
            rows.x = trans_a ? workspace.a.data() + i * k : a + (i0 + i) * row_a + p0;
            if (count == strip && columns == width) {
              detail::whole_tile<Arch, nv, strip>(rows, out, row_c, add);
              continue;
            }
            for (int r = 0; r < count; r += largest, rows.x += largest * rows.row_step) {
              typename Bank::template Tile<nv> acc;
              Bank::template fill<nv>(std::min(largest, count - r), acc, rows);
              detail::store_tile<Arch>(acc, out + r * row_c, row_c, std::min(largest, count - r), columns, add);
            }
          }
        }
      }
    }
  }
}

/// The same with a workspace of the calling thread.
template <class Arch = simd::best>
void gemm(GemmShape s, const float* a, std::size_t lda, bool trans_a, const float* b, std::size_t ldb, bool trans_b,
          float* c, std::size_t ldc, bool accumulate) {
  thread_local GemmWorkspace<Arch> workspace;
  gemm<Arch>(s, a, lda, trans_a, b, ldb, trans_b, c, ldc, accumulate, workspace);
}

}  // namespace kernel

SPIQ_END_NAMESPACE
