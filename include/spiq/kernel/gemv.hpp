/// @file
/// Matrix-vector product of a row-major float matrix, one thread.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/simd/simd.hpp>

#include <algorithm>
#include <cstddef>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

namespace detail {
/// y[r] (+)= sum over j < n of a[r * lda + j] * x[j] for `Rows` rows: each row keeps `sums` partial sums of one
/// vector.
template <class Arch, int Rows>
SPIQ_INLINE void gemv_rows(const float* a, std::ptrdiff_t lda, const float* x, std::ptrdiff_t n, float* y,
                           bool accumulate) {
  using Vec = typename simd::traits<Arch>::f32;
  constexpr int sums = 8 / Rows > 1 ? 8 / Rows : 1;
  Vec acc[Rows][sums];
  SPIQ_UNROLL
  for (int r = 0; r < Rows; ++r) SPIQ_UNROLL
  for (int s = 0; s < sums; ++s) acc[r][s] = Vec::zero();
  std::ptrdiff_t j = 0;
  for (; j + sums * Vec::width <= n; j += sums * Vec::width) {
    SPIQ_UNROLL
    for (int s = 0; s < sums; ++s) {
      const Vec input = Vec::load(x + j + s * Vec::width);
      SPIQ_UNROLL
      for (int r = 0; r < Rows; ++r)
        acc[r][s] = simd::fma(Vec::load(a + r * lda + j + s * Vec::width), input, acc[r][s]);
    }
  }
  for (; j < n; j += Vec::width) {
    const int rest = static_cast<int>(std::min<std::ptrdiff_t>(Vec::width, n - j));
    const Vec input = Vec::load_first(x + j, rest);
    SPIQ_UNROLL
    for (int r = 0; r < Rows; ++r) acc[r][0] = simd::fma(Vec::load_first(a + r * lda + j, rest), input, acc[r][0]);
  }
  SPIQ_UNROLL
  for (int r = 0; r < Rows; ++r) {
    SPIQ_UNROLL
    for (int s = 1; s < sums; ++s) acc[r][0] = acc[r][0] + acc[r][s];
    const float sum = simd::reduce_add(acc[r][0]);
    y[r] = accumulate ? y[r] + sum : sum;
  }
}

/// y[j] += sum over r < Rows of a[r * lda + j] * x[r].
template <class Arch, int Rows>
SPIQ_INLINE void gemv_columns(const float* a, std::ptrdiff_t lda, const float* x, std::ptrdiff_t n, float* y) {
  using Vec = typename simd::traits<Arch>::f32;
  Vec input[Rows];
  SPIQ_UNROLL
  for (int r = 0; r < Rows; ++r) input[r] = Vec::broadcast(x[r]);
  std::ptrdiff_t j = 0;
  for (; j + Vec::width <= n; j += Vec::width) {
    Vec even = Vec::load(y + j), odd = Vec::zero();
    SPIQ_UNROLL
    for (int r = 0; r < Rows; ++r) {
      const Vec value = Vec::load(a + r * lda + j);
      (r % 2 == 0 ? even : odd) = simd::fma(value, input[r], r % 2 == 0 ? even : odd);
    }
    (even + odd).store(y + j);
  }
  if (j < n) {
    const int rest = static_cast<int>(n - j);
    Vec sum = Vec::load_first(y + j, rest);
    SPIQ_UNROLL
    for (int r = 0; r < Rows; ++r) sum = simd::fma(Vec::load_first(a + r * lda + j, rest), input[r], sum);
    sum.store_first(y + j, rest);
  }
}
}  // namespace detail

/// y = A x, or y += A x if `accumulate`, for A [m, n] row-major with leading dimension lda; if `trans`, y = A^T x
/// with x of m and y of n values. x and y are contiguous and must not overlap. A result does not depend on the other
/// outputs.
template <class Arch = simd::best>
void gemv(std::size_t m, std::size_t n, const float* a, std::size_t lda, bool trans, const float* x, float* y,
          bool accumulate = false) noexcept {
  SPIQ_ASSERT(lda >= n || m <= 1);
  constexpr std::size_t rows = 8;
  const auto stride = static_cast<std::ptrdiff_t>(lda), columns = static_cast<std::ptrdiff_t>(n);
  std::size_t i = 0;
  if (trans) {
    if (!accumulate) std::fill_n(y, n, 0.0f);
    for (; i + rows <= m; i += rows)
      detail::gemv_columns<Arch, static_cast<int>(rows)>(a + i * lda, stride, x + i, columns, y);
    for (; i < m; ++i) detail::gemv_columns<Arch, 1>(a + i * lda, stride, x + i, columns, y);
  } else {
    for (; i + rows <= m; i += rows)
      detail::gemv_rows<Arch, static_cast<int>(rows)>(a + i * lda, stride, x, columns, y + i, accumulate);
    for (; i < m; ++i) detail::gemv_rows<Arch, 1>(a + i * lda, stride, x, columns, y + i, accumulate);
  }
}

}  // namespace kernel

SPIQ_END_NAMESPACE
