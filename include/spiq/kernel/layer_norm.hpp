/// @file
/// Layer normalisation: every row to mean 0 and variance 1, then a factor and a shift per column; and its gradients.
#pragma once

#include <spiq/core/checked.hpp>
#include <spiq/core/error.hpp>
#include <spiq/core/storage.hpp>
#include <spiq/kernel/elementwise.hpp>

#include <cmath>
#include <cstddef>
#include <span>
#include <string>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// Arrays are [rows][cols], dense.
struct LayerNormShape {
  std::size_t rows = 0, cols = 0;
  float epsilon = 1e-5f;  ///< added to the variance, which divides by cols
};

namespace detail {
/// Lanes below `lanes` of v, the others zero.
template <class V>
SPIQ_INLINE V only(Part part, V v) {
  alignas(64) static constexpr float number[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return select(V::load(number) < V::broadcast(static_cast<float>(part.lanes)), v, V::zero());
}
template <class V>
SPIQ_INLINE V only(Whole, V v) {
  return v;
}

/// Calls body(access, column, slot) for all vectors of a row; slot < Slots names independent accumulators.
template <class V, int Slots, class Body>
SPIQ_INLINE void for_row(std::size_t cols, const Body& body) {
  constexpr std::size_t width = V::width;
  std::size_t c = 0;
  for (; c + Slots * width <= cols; c += Slots * width) {
    SPIQ_UNROLL
    for (int i = 0; i < Slots; ++i) body(Whole{}, c + static_cast<std::size_t>(i) * width, i);
  }
  for_vectors<V>(c, cols, [&](auto access, std::size_t at) SPIQ_LAMBDA_INLINE { body(access, at, 0); });
}
template <class V, int Slots>
SPIQ_INLINE float sum_slots(const V (&slot)[Slots]) {
  V total = slot[0];
  SPIQ_UNROLL
  for (int i = 1; i < Slots; ++i) total = total + slot[i];
  return reduce_add(total);
}

/// What a row is normalised with: y = ((x - about) - rest) * rstd. `about` is the mean as a float; at a large mean the
/// part of it that did not fit matters beside the deviations.
struct RowMoments {
  float about, rest, rstd;
};

/// Rows [0, NR) at once: their chains overlap, and gamma and beta are loaded once.
template <class Arch, int NR, bool Affine>
SPIQ_INLINE void layer_norm_rows(const LayerNormShape& s, const float* x, const float* gamma, const float* beta,
                                 float* y, float* mean, float* rstd) {
  using V = typename simd::traits<Arch>::f32;
  constexpr int slots = 4;
  // Copies: as far as the compiler knows, a store to y may change the shape.
  const std::size_t cols = s.cols;
  const float n = static_cast<float>(cols);
  const float* in[NR];
  float* out[NR];
  SPIQ_UNROLL
  for (int r = 0; r < NR; ++r) {
    in[r] = x + static_cast<std::size_t>(r) * cols;
    out[r] = y + static_cast<std::size_t>(r) * cols;
  }
  RowMoments m[NR];
  {
    V sum[NR][slots];
    for (auto& row : sum)
      for (V& value : row) value = V::zero();
    for_row<V, slots>(cols, [&](auto access, std::size_t c, int i) SPIQ_LAMBDA_INLINE {
      SPIQ_UNROLL
      for (int r = 0; r < NR; ++r) sum[r][i] = sum[r][i] + access.template load<V>(in[r] + c);
    });
    SPIQ_UNROLL
    for (int r = 0; r < NR; ++r) m[r].about = sum_slots(sum[r]) / n;
  }
  {
    V sum[NR][slots], square[NR][slots], about[NR];
    SPIQ_UNROLL
    for (int r = 0; r < NR; ++r) {
      about[r] = V::broadcast(m[r].about);
      for (int i = 0; i < slots; ++i) sum[r][i] = square[r][i] = V::zero();
    }
    for_row<V, slots>(cols, [&](auto access, std::size_t c, int i) SPIQ_LAMBDA_INLINE {
      SPIQ_UNROLL
      for (int r = 0; r < NR; ++r) {
        const V d = only(access, access.template load<V>(in[r] + c) - about[r]);
        sum[r][i] = sum[r][i] + d;
        square[r][i] = fma(d, d, square[r][i]);
      }
    });
    SPIQ_UNROLL
    for (int r = 0; r < NR; ++r) {
      m[r].rest = sum_slots(sum[r]) / n;
      const float variance = sum_slots(square[r]) / n - m[r].rest * m[r].rest;
      m[r].rstd = 1.0f / std::sqrt(std::max(variance, 0.0f) + s.epsilon);
      if (variance != variance) m[r].rstd = variance;
    }
  }
  V about[NR], factor[NR], shift[NR];
  SPIQ_UNROLL
  for (int r = 0; r < NR; ++r) {
    about[r] = V::broadcast(m[r].about);
    factor[r] = V::broadcast(m[r].rstd);
    shift[r] = V::broadcast(-m[r].rest * m[r].rstd);
    if (mean != nullptr) mean[r] = m[r].about + m[r].rest;
    if (rstd != nullptr) rstd[r] = m[r].rstd;
  }
  for_row<V, slots>(cols, [&](auto access, std::size_t c, int) SPIQ_LAMBDA_INLINE {
    V g, b;
    if constexpr (Affine) {
      g = access.template load<V>(gamma + c);
      b = access.template load<V>(beta + c);
    }
    SPIQ_UNROLL
    for (int r = 0; r < NR; ++r) {
      simd::prefetch(in[r], NR * cols + c);  // the rows that come next
      const V z = fma(access.template load<V>(in[r] + c) - about[r], factor[r], shift[r]);
      if constexpr (Affine)
        access.store(fma(z, g, b), out[r] + c);
      else
        access.store(z, out[r] + c);
    }
  });
}

/// Rows whose gradients to gamma and beta are added up before others join.
inline constexpr std::size_t layer_norm_grain = 32;
/// Rows for which a second thread pays.
inline std::size_t layer_norm_rows_per_thread(std::size_t cols) {
  return std::max<std::size_t>(map_grain / std::max<std::size_t>(cols, 1), 1);
}
}  // namespace detail

/// y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, row by row; gamma and beta have one value per column, or
/// are both null. `mean` and `rstd` (1 / sqrt(variance + epsilon)), one per row, are stored where not null; y may be x.
/// The variance is taken about the mean in a second pass, so that a large mean costs no accuracy.
/// Bound: a read and a write of the array; in the L1 cache 3 loads and a store per vector beside gamma and beta.
template <class Arch = simd::best>
void layer_norm(const LayerNormShape& s, const float* x, const float* gamma, const float* beta, float* y, float* mean,
                float* rstd, int threads = 1) noexcept {
  if (s.cols == 0) return;
  const auto rows = [&](std::size_t begin, std::size_t end, auto affine) {
    constexpr std::size_t group = 2;
    const auto at = [&](float* p, std::size_t r) { return p == nullptr ? p : p + r; };
    std::size_t r = begin;
    for (; r + group <= end; r += group)
      detail::layer_norm_rows<Arch, group, affine.value>(s, x + r * s.cols, gamma, beta, y + r * s.cols, at(mean, r),
                                                         at(rstd, r));
    if (r < end)
      detail::layer_norm_rows<Arch, 1, affine.value>(s, x + r * s.cols, gamma, beta, y + r * s.cols, at(mean, r),
                                                     at(rstd, r));
  };
  parallel_for(s.rows, detail::layer_norm_rows_per_thread(s.cols), threads,
               [&](std::size_t begin, std::size_t end, int) {
                 if (gamma != nullptr && beta != nullptr)
                   rows(begin, end, std::true_type{});
                 else
                   rows(begin, end, std::false_type{});
               });
}

/// Floats of the workspace of `layer_norm_backward`.
inline std::size_t layer_norm_workspace(const LayerNormShape& s) {
  return 2 * s.cols * FixedChunks(s.rows, detail::layer_norm_grain).count;
}

/// Gradients of `layer_norm` from dy and what the forward pass stored: dx [rows][cols] (may be dy), dgamma and dbeta
/// [cols] (overwritten; null where not wanted). gamma null: all ones. The same bits on any number of threads.
template <class Arch = simd::best>
void layer_norm_backward(const LayerNormShape& s, const float* x, const float* gamma, const float* mean,
                         const float* rstd, const float* dy, float* dx, float* dgamma, float* dbeta, float* workspace,
                         int threads = 1) noexcept {
  using V = typename simd::traits<Arch>::f32;
  if (s.cols == 0) return;
  const FixedChunks chunks(s.rows, detail::layer_norm_grain);
  const float n = static_cast<float>(s.cols);
  parallel_for(chunks.count, 1, threads, [&](std::size_t first, std::size_t last, int) {
    for (std::size_t chunk = first; chunk < last; ++chunk) {
      float* const scales = workspace + 2 * chunk * s.cols;
      float* const shifts = scales + s.cols;
      std::fill_n(scales, 2 * s.cols, 0.0f);
      for (std::size_t r = chunks.begin(chunk); r < chunks.end(chunk); ++r) {
        const float *const row = x + r * s.cols, *const up = dy + r * s.cols;
        float* const down = dx + r * s.cols;
        const V about = V::broadcast(mean[r]), factor = V::broadcast(rstd[r]);
        constexpr int slots = 2;
        // Sums of d, g and g d, with d = x - mean and g = dy gamma.
        V sum[slots], first_order[slots], second_order[slots];
        for (int i = 0; i < slots; ++i) sum[i] = first_order[i] = second_order[i] = V::zero();
        const auto scaled = [&](auto access, std::size_t c) SPIQ_LAMBDA_INLINE {
          const V g = access.template load<V>(up + c);
          return gamma == nullptr ? g : g * access.template load<V>(gamma + c);
        };
        detail::for_row<V, slots>(s.cols, [&](auto access, std::size_t c, int i) SPIQ_LAMBDA_INLINE {
          const V d = detail::only(access, access.template load<V>(row + c) - about), g = scaled(access, c);
          sum[i] = sum[i] + d;
          first_order[i] = first_order[i] + g;
          second_order[i] = fma(g, d, second_order[i]);
        });
        const float rest = detail::sum_slots(sum) / n;  // of the mean, what its float lacks
        const float c1 = detail::sum_slots(first_order) / n;
        const float c2 = (detail::sum_slots(second_order) / n - rest * c1) * rstd[r];
        const V lack = V::broadcast(rest), constant = V::broadcast(c1), slope = V::broadcast(c2);
        detail::for_row<V, slots>(s.cols, [&](auto access, std::size_t c, int) SPIQ_LAMBDA_INLINE {
          const V z = ((access.template load<V>(row + c) - about) - lack) * factor;
          const V g = scaled(access, c), dz = access.template load<V>(up + c);
          access.store(fma(dz, z, access.template load<V>(scales + c)), scales + c);
          access.store(dz + access.template load<V>(shifts + c), shifts + c);
          access.store((g - constant - z * slope) * factor, down + c);
        });
      }
    }
  });
  const auto total = [&](float* to, std::size_t offset) {
    if (to == nullptr) return;
    std::fill_n(to, s.cols, 0.0f);
    for (std::size_t chunk = 0; chunk < chunks.count; ++chunk)
      add<Arch>(to, workspace + 2 * chunk * s.cols + offset, to, s.cols);
  };
  total(dgamma, 0);
  total(dbeta, s.cols);
}

}  // namespace kernel

namespace math {

/// Extents and options of `layer_norm`.
struct LayerNormOptions {
  std::size_t rows = 0, cols = 0;
  float epsilon = 1e-5f;
  int threads = 1;

  [[nodiscard]] kernel::LayerNormShape shape() const { return {rows, cols, epsilon}; }
};

namespace detail {
/// Throws unless the span has `expected` values, or none where it may be left out.
inline void check_size(const char* name, std::size_t expected, std::size_t found, bool optional = false) {
  if (found != expected && !(optional && found == 0))
    SPIQ_THROW(std::string("layer_norm: ") + name, std::to_string(expected) + " values", std::to_string(found));
}
inline float* data_or_null(std::span<float> s) { return s.empty() ? nullptr : s.data(); }
inline const float* data_or_null(std::span<const float> s) { return s.empty() ? nullptr : s.data(); }
}  // namespace detail

/// y = (x - mean) / sqrt(variance + epsilon) * gamma + beta for every row of x [rows][cols]; gamma and beta [cols] or
/// both empty. `mean` and `rstd` [rows] receive what the backward pass needs, if given. y may be x.
/// Throws `spiq::Error` on spans of other sizes. Source: Ba, Kiros, Hinton, arXiv 1607.06450.
template <class Arch = simd::best>
void layer_norm(std::span<const float> x, std::span<const float> gamma, std::span<const float> beta, std::span<float> y,
                const LayerNormOptions& options, std::span<float> mean = {}, std::span<float> rstd = {}) {
  const std::size_t size = saturating_product(options.rows, options.cols);
  detail::check_size("x", size, x.size());
  detail::check_size("y", size, y.size());
  detail::check_size("gamma", options.cols, gamma.size(), true);
  detail::check_size("beta", gamma.size(), beta.size());
  detail::check_size("mean", options.rows, mean.size(), true);
  detail::check_size("rstd", options.rows, rstd.size(), true);
  kernel::layer_norm<Arch>(options.shape(), x.data(), detail::data_or_null(gamma), detail::data_or_null(beta), y.data(),
                           detail::data_or_null(mean), detail::data_or_null(rstd), options.threads);
}

/// Gradients of `layer_norm` from dy, x and the stored `mean` and `rstd`: dx [rows][cols], dgamma and dbeta [cols] or
/// empty, all overwritten; dx may be dy. Sums run in an order that does not depend on threads.
/// Throws `spiq::Error` on spans of other sizes.
template <class Arch = simd::best>
void layer_norm_backward(std::span<const float> x, std::span<const float> gamma, std::span<const float> mean,
                         std::span<const float> rstd, std::span<const float> dy, std::span<float> dx,
                         std::span<float> dgamma, std::span<float> dbeta, const LayerNormOptions& options) {
  const std::size_t size = saturating_product(options.rows, options.cols);
  detail::check_size("x", size, x.size());
  detail::check_size("dy", size, dy.size());
  detail::check_size("dx", size, dx.size());
  detail::check_size("gamma", options.cols, gamma.size(), true);
  detail::check_size("mean", options.rows, mean.size());
  detail::check_size("rstd", options.rows, rstd.size());
  detail::check_size("dgamma", options.cols, dgamma.size(), true);
  detail::check_size("dbeta", options.cols, dbeta.size(), true);
  const kernel::LayerNormShape s = options.shape();
  AlignedVector<float> workspace(kernel::layer_norm_workspace(s));
  kernel::layer_norm_backward<Arch>(s, x.data(), detail::data_or_null(gamma), mean.data(), rstd.data(), dy.data(),
                                    dx.data(), detail::data_or_null(dgamma), detail::data_or_null(dbeta),
                                    workspace.data(), options.threads);
}

}  // namespace math

SPIQ_END_NAMESPACE
