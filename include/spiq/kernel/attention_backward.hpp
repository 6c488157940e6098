/// @file
/// Gradients of attention: probabilities are computed again block by block from the stored logarithms of their sums, so
/// that nothing beyond a block of scores is ever kept (arXiv 2205.14135).
#pragma once

#include <spiq/kernel/attention.hpp>
#include <spiq/kernel/elementwise.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// What `attention_backward` reads, laid out as in the forward pass (dout as out).
struct AttentionForward {
  const float *q, *k, *v, *out;
  const float* lse;  ///< [heads][queries], as the forward pass stored it
  const float* dout;
};
/// What it writes, laid out as q, k and v.
struct AttentionGradients {
  float *dq, *dk, *dv;
};

namespace detail {
/// Rows [0, rows) of `columns` values to panels of at most max_vectors vectors, [panel][row][vectors of the panel];
/// absent columns are zero.
template <class Arch>
SPIQ_NOINLINE inline void pack_panels(float* to, const float* from, std::size_t row_step, std::size_t rows,
                                      std::size_t columns) noexcept {
  using Plan = AttentionPlan<Arch>;
  using V = typename simd::traits<Arch>::f32;
  constexpr std::size_t W = Plan::width;
  for (std::size_t c0 = 0; c0 < columns; c0 += Plan::lanes) {
    const std::size_t vectors = std::min(Plan::max_vectors, (columns - c0 + W - 1) / W);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t v = 0; v < vectors; ++v, to += W)
        V::load_first(from + r * row_step + c0 + v * W, static_cast<int>(std::min(columns - c0 - v * W, W))).store(to);
  }
}

/// gradient[key][dim] += sum over queries of p[key][query] * rows[query][dim], rows in panels.
template <class Arch>
SPIQ_NOINLINE inline void attention_key_gradient(float* gradient, std::size_t key_step, const float* p,
                                                 std::size_t keys, std::size_t lanes, const float* panels,
                                                 std::size_t queries, std::size_t dim) noexcept {
  using Plan = AttentionPlan<Arch>;
  using V = typename simd::traits<Arch>::f32;
  for (std::size_t d = 0; d < dim; d += Plan::lanes) {
    const auto run = [&]<int NV>(std::integral_constant<int, NV>) {
      const auto columns = [&](int v) {
        return static_cast<int>(
            std::min<std::size_t>(dim - d - static_cast<std::size_t>(v) * Plan::width, Plan::width));
      };
      attention_product<Arch, ElementF32, NV>(
          p, static_cast<std::ptrdiff_t>(lanes), keys, panels, static_cast<std::ptrdiff_t>(queries), 1,
          [&]<std::size_t MR>(std::size_t r0, V(&acc)[MR][NV]) SPIQ_LAMBDA_INLINE {
            for (std::size_t r = 0; r < MR; ++r)
              for (int v = 0; v < NV; ++v)
                acc[r][v] =
                    V::load_first(gradient + std::min(r0 + r, keys - 1) * key_step + d + v * V::width, columns(v));
          },
          [&]<std::size_t MR>(std::size_t r0, V(&acc)[MR][NV]) SPIQ_LAMBDA_INLINE {
            for (std::size_t r = 0; r < std::min(MR, keys - r0); ++r)
              for (int v = 0; v < NV; ++v)
                acc[r][v].store_first(gradient + (r0 + r) * key_step + d + v * V::width, columns(v));
          });
      panels += queries * NV * Plan::width;
    };
    const std::size_t vectors = (dim - d + Plan::width - 1) / Plan::width;
    if (vectors == 1)
      run(std::integral_constant<int, 1>{});
    else if (vectors == 2)
      run(std::integral_constant<int, 2>{});
    else
      run(std::integral_constant<int, 3>{});
  }
}

/// p[key][lane] = exp(score - lse).
template <class Rung, class Arch, int NV>
SPIQ_NOINLINE inline void attention_probabilities(const AttentionRows<ElementF32>& k, const float* q, std::size_t dim,
                                                  const ScoreBlock& block, const float* lse, float* p) noexcept {
  using V = typename simd::traits<Arch>::f32;
  const ScoreMap<Arch, NV> map(block);
  const Exp<Rung, Arch> exponential;
  attention_product<Arch, ElementF32, NV>(
      k.data + static_cast<std::ptrdiff_t>(block.first_key) * k.row, k.row, block.keys, q,
      static_cast<std::ptrdiff_t>(dim), 1,
      [](std::size_t, auto& acc) SPIQ_LAMBDA_INLINE {
        for (auto& row : acc)
          for (V& value : row) value = V::zero();
      },
      [&]<std::size_t MR>(std::size_t r0, V(&acc)[MR][NV]) SPIQ_LAMBDA_INLINE {
        map(r0, acc);
        for (std::size_t r = 0; r < MR; ++r)
          for (int v = 0; v < NV; ++v)
            exponential(acc[r][v] - V::load(lse + v * V::width))
                .store(p + ((r0 + r) * NV + static_cast<std::size_t>(v)) * V::width);
      });
}

/// ds[key][lane] = scale p (dp - delta), with dp the products of dout and the values.
template <class Arch, int NV>
SPIQ_NOINLINE inline void attention_score_gradient(const AttentionRows<ElementF32>& v_rows, std::size_t first_key,
                                                   std::size_t keys, const float* dout, std::size_t dim, float scale,
                                                   const float* delta, const float* p, float* ds) noexcept {
  using V = typename simd::traits<Arch>::f32;
  attention_product<Arch, ElementF32, NV>(
      v_rows.data + static_cast<std::ptrdiff_t>(first_key) * v_rows.row, v_rows.row, keys, dout,
      static_cast<std::ptrdiff_t>(dim), 1,
      [&](std::size_t, auto& acc) SPIQ_LAMBDA_INLINE {
        for (auto& row : acc)
          for (int v = 0; v < NV; ++v) row[v] = V::zero() - V::load(delta + v * V::width);
      },
      [&]<std::size_t MR>(std::size_t r0, V(&acc)[MR][NV]) SPIQ_LAMBDA_INLINE {
        for (std::size_t r = 0; r < MR; ++r)
          for (int v = 0; v < NV; ++v) {
            const std::size_t at = ((r0 + r) * NV + static_cast<std::size_t>(v)) * V::width;
            (V::load(p + at) * acc[r][v] * V::broadcast(scale)).store(ds + at);
          }
      });
}

/// Scratch of one thread.
template <class Arch>
struct BackwardScratch {
  using Plan = AttentionPlan<Arch>;
  float *q, *dout, *q_panels, *dout_panels, *p, *ds, *dq, *mask, *keys, *values;

  BackwardScratch(float* at, const AttentionShape& s, const Plan& plan) {
    Scratch scratch(at);
    for (float** a : {&q, &dout}) *a = scratch.take(s.dim * Plan::lanes);
    for (float** a : {&q_panels, &dout_panels}) *a = scratch.take(panel_floats(s));
    for (float** a : {&p, &ds, &mask}) *a = scratch.take(plan.key_block * Plan::lanes);
    dq = scratch.take(plan.dim_rows * Plan::lanes);
    for (float** a : {&keys, &values}) *a = scratch.take(s.keys * s.dim);
  }
  static std::size_t floats(const AttentionShape& s, const Plan& plan) {
    return 2 * (Plan::round_up(s.dim * Plan::lanes, 16) + Plan::round_up(panel_floats(s), 16) +
                Plan::round_up(s.keys * s.dim, 16)) +
           3 * Plan::round_up(plan.key_block * Plan::lanes, 16) + Plan::round_up(plan.dim_rows * Plan::lanes, 16);
  }

private:
  static std::size_t panel_floats(const AttentionShape& s) { return Plan::lanes * Plan::round_up(s.dim, Plan::width); }
};

/// Adds what a block of queries gives to the gradients of keys and values, and writes its gradient to the queries.
template <class Rung, class Arch, int NV>
SPIQ_NOINLINE inline void attention_backward_block(const AttentionShape& s, const AttentionPlan<Arch>& plan,
                                                   std::size_t first, const AttentionForward& f,
                                                   const AttentionRows<ElementF32>& k,
                                                   const AttentionRows<ElementF32>& v, const AttentionGradients& g,
                                                   const BackwardScratch<Arch>& at) noexcept {
  using V = typename simd::traits<Arch>::f32;
  constexpr std::size_t lanes = static_cast<std::size_t>(NV * V::width);
  const std::size_t queries = std::min(s.queries - first, lanes);
  // Absent lanes have no key, so that they add nothing.
  alignas(64) float lse[lanes], delta[lanes], one[lanes];
  std::fill_n(lse, lanes, std::numeric_limits<float>::infinity());
  std::fill_n(delta, lanes, 0.0f);
  std::fill_n(one, lanes, 1.0f);
  const float *const q = f.q + first * s.q.token, *const dout = f.dout + first * s.out.token;
  for (std::size_t i = 0; i < queries; ++i) {
    lse[i] = f.lse[first + i];
    V sum = V::zero();
    for_vectors<V>(0, s.dim, [&](auto access, std::size_t d) SPIQ_LAMBDA_INLINE {
      sum = fma(access.template load<V>(dout + i * s.out.token + d),
                access.template load<V>(f.out + (first + i) * s.out.token + d), sum);
    });
    delta[i] = reduce_add(sum);
  }
  pack_lanes<Arch, ElementF32>(at.q, q, s.q.token, queries, s.dim, NV);
  pack_lanes<Arch, ElementF32>(at.dout, dout, s.out.token, queries, s.dim, NV);
  pack_panels<Arch>(at.q_panels, q, s.q.token, queries, s.dim);
  pack_panels<Arch>(at.dout_panels, dout, s.out.token, queries, s.dim);
  const std::size_t visible = s.causal ? std::min(s.keys, first + queries + s.past) : s.keys;
  if (visible == 0) std::fill_n(at.dq, plan.dim_rows * lanes, 0.0f);
  for (std::size_t j = 0; j < visible; j += plan.key_block) {
    const std::size_t keys = std::min(plan.key_block, visible - j);
    if (s.mask != nullptr)
      pack_lanes<Arch, ElementF32>(at.mask, s.mask + first * s.keys + j, s.keys, queries, keys, NV);
    attention_probabilities<Rung, Arch, NV>(
        k, at.q, s.dim, {first, queries, j, keys, s.scale, s.causal, s.past, s.mask == nullptr ? nullptr : at.mask},
        lse, at.p);
    attention_score_gradient<Arch, NV>(v, j, keys, at.dout, s.dim, s.scale, delta, at.p, at.ds);
    attention_key_gradient<Arch>(g.dv + j * s.v.token, s.v.token, at.p, keys, lanes, at.dout_panels, queries, s.dim);
    attention_key_gradient<Arch>(g.dk + j * s.k.token, s.k.token, at.ds, keys, lanes, at.q_panels, queries, s.dim);
    attention_outputs<Arch, ElementF32, NV>(k.data + static_cast<std::ptrdiff_t>(j) * k.row, k.row, k.step, s.dim,
                                            at.ds, keys, j == 0, one, at.dq);
  }
  unpack_lanes<Arch>(g.dq + first * s.q.token, s.q.token, at.dq, one, queries, s.dim, NV);
}
}  // namespace detail

/// Floats of the workspace of `attention_backward`.
template <class Arch = simd::best>
std::size_t attention_backward_workspace(const AttentionShape& s, int threads = 1) {
  const detail::AttentionPlan<Arch> plan(s);
  const auto wanted = static_cast<std::size_t>(std::max(threads <= 0 ? max_threads() : threads, 1));
  return std::max<std::size_t>(std::min(wanted, s.heads), 1) * detail::BackwardScratch<Arch>::floats(s, plan) + 16;
}

/// Gradients of `attention` in float. Threads share the heads; results do not depend on them. The gradients are
/// overwritten and must not overlap anything. Queries that see no key get zeros and give none.
/// Bound: 10 queries keys dim heads operations, five products of the size of one of the two of the forward pass.
template <class Rung = accuracy::full, class Arch = simd::best>
void attention_backward(const AttentionShape& s, const AttentionForward& f, const AttentionGradients& g,
                        float* workspace, int threads = 1) noexcept {
  if (s.dim == 0) return;
  using Scratch = detail::BackwardScratch<Arch>;
  const detail::AttentionPlan<Arch> plan(s);
  const std::size_t own = Scratch::floats(s, plan);
  float* const base = detail::Scratch::align(workspace);
  const int wanted = threads <= 0 ? max_threads() : threads;
  parallel_for(s.heads, 1, wanted, [&](std::size_t begin, std::size_t end, int worker) {
    const Scratch at(base + static_cast<std::size_t>(worker) * own, s, plan);
    for (std::size_t h = begin; h < end; ++h) {
      const AttentionForward of{f.q + h * s.q.head,     f.k + h * s.k.head,    f.v + h * s.v.head,
                                f.out + h * s.out.head, f.lse + h * s.queries, f.dout + h * s.out.head};
      const AttentionGradients to{g.dq + h * s.q.head, g.dk + h * s.k.head, g.dv + h * s.v.head};
      const auto keys = detail::attention_keys<Arch, ElementF32>(of.k, s.k.token, s.keys, s.dim, at.keys);
      const auto values = detail::attention_keys<Arch, ElementF32>(of.v, s.v.token, s.keys, s.dim, at.values);
      for (std::size_t j = 0; j < s.keys; ++j) {
        std::fill_n(to.dk + j * s.k.token, s.dim, 0.0f);
        std::fill_n(to.dv + j * s.v.token, s.dim, 0.0f);
      }
      for (std::size_t b = 0; b < plan.query_blocks; ++b) {
        const std::size_t first = plan.first_vector(b), vectors = plan.first_vector(b + 1) - first;
        const auto run = [&]<int NV>(std::integral_constant<int, NV>) {
          detail::attention_backward_block<Rung, Arch, NV>(s, plan, first * plan.width, of, keys, values, to, at);
        };
        if (vectors == 1) run(std::integral_constant<int, 1>{});
        if (vectors == 2) run(std::integral_constant<int, 2>{});
        if (vectors == 3) run(std::integral_constant<int, 3>{});
      }
    }
  });
}

}  // namespace kernel

namespace math {

/// Gradients dq, dk and dv of `attention` from dout, its inputs, its output and the `lse` [heads][queries] it stored;
/// all float, in the layout of the options. The probabilities are those of `lse`: a forward pass in a coarse rung has
/// their sum only to the error of that rung.
/// In a workspace of kernel::attention_backward_workspace floats; an empty one stands for one made for this call.
/// Gradients of heads that share k or v are not added up: strides must keep all heads apart.
/// A score of +inf or NaN spoils its row of dq, and dk and dv of its head.
/// Throws `spiq::Error` if a span is too short, or strides let tokens or heads overlap.
template <accuracy::Rung Rung = accuracy::full, class Arch = simd::best>
void attention_backward(std::span<const float> q, std::span<const float> k, std::span<const float> v,
                        std::span<const float> out, std::span<const float> lse, std::span<const float> dout,
                        std::span<float> dq, std::span<float> dk, std::span<float> dv, const AttentionOptions& options,
                        std::span<float> workspace = {}) {
  const kernel::AttentionShape s = options.shape();
  detail::check_heads("q", s.q, s.queries, options, q.size());
  detail::check_heads("k", s.k, s.keys, options, k.size());
  detail::check_heads("v", s.v, s.keys, options, v.size());
  detail::check_heads("output", s.out, s.queries, options, out.size());
  detail::check_heads("gradient of the output", s.out, s.queries, options, dout.size());
  detail::check_written_heads("dq", s.q, s.queries, options, dq.size());
  detail::check_written_heads("dk", s.k, s.keys, options, dk.size());
  detail::check_written_heads("dv", s.v, s.keys, options, dv.size());
  detail::check_mask(options);
  detail::check_values("lse", saturating_product(s.heads, s.queries), lse.size());
  AlignedVector<float> own;
  const std::span<float> scratch =
      detail::workspace_of(kernel::attention_backward_workspace<Arch>(s, options.threads), workspace, own);
  kernel::attention_backward<Rung, Arch>(s, {q.data(), k.data(), v.data(), out.data(), lse.data(), dout.data()},
                                         {dq.data(), dk.data(), dv.data()}, scratch.data(), options.threads);
}

}  // namespace math

SPIQ_END_NAMESPACE
