/// @file
/// Attention, softmax(scale Q K^T + mask) V per head, without the matrix of scores: a block of queries meets the keys
/// block by block, with a running maximum and a running sum (arXiv 1805.02867, 2205.14135).
#pragma once

#include <spiq/core/parallel.hpp>
#include <spiq/core/storage.hpp>
#include <spiq/kernel/accuracy.hpp>
#include <spiq/kernel/attention_tile.hpp>
#include <spiq/kernel/exp_vector.hpp>

#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <span>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

namespace detail {
/// Where a block of scores lies in the whole matrix, and what is done to it.
struct ScoreBlock {
  std::size_t first_query, queries;  ///< queries that exist
  std::size_t first_key, keys;
  float scale;
  bool causal;
  std::size_t past;
  const float* mask;  ///< transposed, [key of this block][lane]; or null

  /// Some query of the block does not see the last key.
  [[nodiscard]] bool cut() const { return causal && first_query + past < first_key + keys - 1; }
};

/// s(tile of products, first key of the tile) = scale * product + mask, -inf where the causal mask hides the key.
template <class Arch, int NV>
class ScoreMap {
public:
  using V = typename simd::traits<Arch>::f32;
  using I = typename simd::traits<Arch>::i32;

  SPIQ_INLINE explicit ScoreMap(const ScoreBlock& block) : block_(block), cut_(block.cut()) {
    if (!cut_) return;
    // Relative to the first key, the last key that each lane sees; one number serves for all that are far beyond.
    const auto first =
        static_cast<std::int64_t>(block.first_query + block.past) - static_cast<std::int64_t>(block.first_key);
    for (int i = 0; i < NV * V::width; ++i) {
      const std::int64_t last = std::clamp<std::int64_t>(first + i, -1, std::numeric_limits<std::int32_t>::max());
      last_[i] = static_cast<std::int32_t>(last);
    }
  }
  template <std::size_t MR>
  SPIQ_INLINE void operator()(std::size_t r0, V (&acc)[MR][NV]) const {
    const V scale = V::broadcast(block_.scale);
    SPIQ_UNROLL
    for (std::size_t r = 0; r < MR; ++r) SPIQ_UNROLL
    for (int v = 0; v < NV; ++v) acc[r][v] = acc[r][v] * scale;
    if (block_.mask != nullptr) {
      for (std::size_t r = 0; r < MR; ++r) {
        const float* const mask = block_.mask + std::min(r0 + r, block_.keys - 1) * NV * V::width;
        for (int v = 0; v < NV; ++v) acc[r][v] = acc[r][v] + V::load(mask + v * V::width);
      }
    }
    if (cut_) {
      const V hidden = V::broadcast(-std::numeric_limits<float>::infinity());
      for (std::size_t r = 0; r < MR; ++r) {
        const I key = I::broadcast(static_cast<std::int32_t>(std::min(r0 + r, block_.keys - 1)));
        for (int v = 0; v < NV; ++v)
          acc[r][v] = select(as_f32(I::load(last_ + v * V::width) >= key), acc[r][v], hidden);
      }
    }
  }

private:
  const ScoreBlock& block_;
  bool cut_;
  alignas(64) std::int32_t last_[NV * V::width];
};

/// Scores of a block to [key][lane], and their maximum per lane joined to `maximum`. A NaN is no maximum.
template <class Arch, class Element, int NV>
SPIQ_NOINLINE inline void attention_scores(const AttentionRows<Element>& k, const float* q, std::ptrdiff_t groups,
                                           const ScoreBlock& block, float* scores, float* maximum) noexcept {
  using V = typename simd::traits<Arch>::f32;
  const ScoreMap<Arch, NV> map(block);
  attention_product<Arch, Element, NV>(
      k.data + static_cast<std::ptrdiff_t>(block.first_key) * k.row, k.row, block.keys, q, groups, k.step,
      [](std::size_t, auto& acc) SPIQ_LAMBDA_INLINE {
        for (auto& row : acc)
          for (V& value : row) value = V::zero();
      },
      [&]<std::size_t MR>(std::size_t r0, V(&acc)[MR][NV]) SPIQ_LAMBDA_INLINE {
        map(r0, acc);
        V top[NV];
        SPIQ_UNROLL
        for (int v = 0; v < NV; ++v) top[v] = V::load(maximum + v * V::width);
        SPIQ_UNROLL
        for (std::size_t r = 0; r < MR; ++r) SPIQ_UNROLL
        for (int v = 0; v < NV; ++v) {
          acc[r][v].store(scores + ((r0 + r) * NV + static_cast<std::size_t>(v)) * V::width);
          top[v] = max(acc[r][v], top[v]);
        }
        SPIQ_UNROLL
        for (int v = 0; v < NV; ++v) top[v].store(maximum + v * V::width);
      });
}

/// Scores to exponentials exp(score - maximum), in place, and their sums added to `sum`. Pairs of keys go to the lanes
/// of one row where Element takes pairs.
template <class Rung, class Arch, class Element, int NV>
SPIQ_NOINLINE inline void attention_exponentials(float* scores, std::size_t keys, const float* maximum,
                                                 float* sum) noexcept {
  using V = typename simd::traits<Arch>::f32;
  constexpr std::size_t lanes = static_cast<std::size_t>(NV * V::width);
  const Exp<Rung, Arch, ExpInput::plain, ExpDomain::nonpositive> exponential;
  V top[NV], total[NV];
  SPIQ_UNROLL
  for (int v = 0; v < NV; ++v) {
    top[v] = V::load(maximum + v * V::width);
    total[v] = V::load(sum + v * V::width);
  }
  if constexpr (Element::group == 1) {
    for (std::size_t j = 0; j < keys; ++j) {
      SPIQ_UNROLL
      for (int v = 0; v < NV; ++v) {
        float* const at = scores + j * lanes + v * V::width;
        const V p = exponential(V::load(at) - top[v]);
        total[v] = total[v] + p;
        p.store(at);
      }
    }
  } else {
    for (std::size_t j = 0; j < keys; j += 2) {
      const bool alone = j + 1 == keys;
      SPIQ_UNROLL
      for (int v = 0; v < NV; ++v) {
        const float* const at = scores + j * lanes + v * V::width;
        const V p0 = exponential(V::load(at) - top[v]);
        const V p1 = alone ? V::zero() : exponential(V::load(at + lanes) - top[v]);
        total[v] = total[v] + (p0 + p1);
        from_bits(pair_bf16(p0, p1)).store(scores + j / 2 * lanes + v * V::width);
      }
    }
  }
  SPIQ_UNROLL
  for (int v = 0; v < NV; ++v) total[v].store(sum + v * V::width);
}

/// out[dim][lane] = factor[lane] * out[dim][lane] (nothing at all at first) + sum over keys of values * p.
template <class Arch, class Element, int NV>
SPIQ_NOINLINE inline void attention_outputs(const typename Element::Input* values, std::ptrdiff_t key_step,
                                            std::ptrdiff_t dim_step, std::size_t dim, const float* p, std::size_t keys,
                                            bool first, const float* factor, float* out) noexcept {
  using V = typename simd::traits<Arch>::f32;
  constexpr std::size_t lanes = static_cast<std::size_t>(NV * V::width);
  const auto groups = static_cast<std::ptrdiff_t>((keys + Element::group - 1) / Element::group);
  attention_product<Arch, Element, NV>(
      values, dim_step, dim, p, groups, key_step,
      [&]<std::size_t MR>(std::size_t r0, V(&acc)[MR][NV]) SPIQ_LAMBDA_INLINE {
        SPIQ_UNROLL
        for (std::size_t r = 0; r < MR; ++r) SPIQ_UNROLL
        for (int v = 0; v < NV; ++v)
          acc[r][v] =
              first ? V::zero() : V::load(out + (r0 + r) * lanes + v * V::width) * V::load(factor + v * V::width);
      },
      [&]<std::size_t MR>(std::size_t r0, V(&acc)[MR][NV]) SPIQ_LAMBDA_INLINE {
        SPIQ_UNROLL
        for (std::size_t r = 0; r < MR; ++r) SPIQ_UNROLL
        for (int v = 0; v < NV; ++v) acc[r][v].store(out + (r0 + r) * lanes + v * V::width);
      });
}

/// Scratch of one thread.
template <class Arch, class Element, class T>
struct AttentionScratch {
  using Plan = AttentionPlan<Arch>;
  float *q, *scores, *out, *mask, *keys, *values;

  AttentionScratch(float* p, const AttentionShape& s, const Plan& plan) {
    Scratch scratch(p);
    q = scratch.take(query_floats(s));
    scores = scratch.take(plan.key_block * Plan::lanes);
    out = scratch.take(plan.dim_rows * Plan::lanes);
    mask = s.mask != nullptr ? scratch.take(plan.key_block * Plan::lanes) : nullptr;
    keys = scratch.take(row_floats(s, plan));
    values = scratch.take(row_floats(s, plan));
  }
  static std::size_t floats(const AttentionShape& s, const Plan& plan) {
    const std::size_t blocks = plan.key_block * (s.mask != nullptr ? 2 : 1) + plan.dim_rows;
    return Plan::round_up(query_floats(s), 16) + Plan::round_up(blocks * Plan::lanes, 16) +
           2 * Plan::round_up(row_floats(s, plan), 16) + 4 * 16;
  }

private:
  static std::size_t query_floats(const AttentionShape& s) { return s.dim * Plan::lanes; }
  /// A copy of the keys, or values, of one head.
  static std::size_t row_floats(const AttentionShape& s, const Plan& plan) {
    return Element::group == 1 ? s.keys * s.dim : (s.keys + 1) * plan.dim_pairs + s.dim;
  }
};

/// One block of queries against all keys of a head.
template <class Rung, class Arch, class Element, int NV, class T, class U>
SPIQ_NOINLINE inline void attention_block(const AttentionShape& s, const AttentionPlan<Arch>& plan, std::size_t first,
                                          const T* q, const AttentionRows<Element>& k, const AttentionRows<Element>& v,
                                          U* out, float* lse, const AttentionScratch<Arch, Element, T>& at) noexcept {
  using V = typename simd::traits<Arch>::f32;
  constexpr int lanes = NV * V::width;
  const std::size_t queries = std::min(s.queries - first, static_cast<std::size_t>(lanes));
  // The maximum starts at a number, so that a row of -inf gives exponentials of -inf: zeros.
  alignas(64) float maximum[lanes], before[lanes], sum[lanes], factor[lanes];
  std::fill_n(maximum, lanes, std::numeric_limits<float>::lowest());
  std::fill_n(sum, lanes, 0.0f);
  pack_lanes<Arch, Element>(at.q, q + first * s.q.token, s.q.token, queries, s.dim, NV);
  const auto groups = static_cast<std::ptrdiff_t>((s.dim + Element::group - 1) / Element::group);
  const std::size_t visible = s.causal ? std::min(s.keys, first + queries + s.past) : s.keys;
  for (std::size_t j = 0; j < visible; j += plan.key_block) {
    const std::size_t keys = std::min(plan.key_block, visible - j);
    if (s.mask != nullptr)
      pack_lanes<Arch, ElementF32>(at.mask, s.mask + first * s.keys + j, s.keys, queries, keys, NV);
    std::copy_n(maximum, lanes, before);
    attention_scores<Arch, Element, NV>(k, at.q, groups, {first, queries, j, keys, s.scale, s.causal, s.past, at.mask},
                                        at.scores, maximum);
    if (j > 0) {
      // Exact whatever the rung, so that the error of a probability is that of its own exponential.
      const Exp<accuracy::full, Arch, ExpInput::plain, ExpDomain::nonpositive> exponential;
      for (int i = 0; i < lanes; i += V::width) {
        const V f = exponential(V::load(before + i) - V::load(maximum + i));
        f.store(factor + i);
        (V::load(sum + i) * f).store(sum + i);
      }
    }
    attention_exponentials<Rung, Arch, Element, NV>(at.scores, keys, maximum, sum);
    if (s.dim > 0)
      attention_outputs<Arch, Element, NV>(v.data + static_cast<std::ptrdiff_t>(j / Element::group) * v.row, v.row,
                                           v.step, s.dim, at.scores, keys, j == 0, factor, at.out);
  }
  if (visible == 0) std::fill_n(at.out, plan.dim_rows * static_cast<std::size_t>(lanes), 0.0f);
  for (int i = 0; i < lanes; ++i) factor[i] = sum[i] != 0 ? 1.0f / sum[i] : 0.0f;
  unpack_lanes<Arch>(out + first * s.out.token, s.out.token, at.out, factor, queries, s.dim, NV);
  if (lse != nullptr)
    for (std::size_t i = 0; i < queries; ++i)
      lse[first + i] = sum[i] != 0 ? maximum[i] + std::log(sum[i]) : std::numeric_limits<float>::infinity();
}

/// Threads that an attention uses: no more than there are blocks of queries.
template <class Arch>
std::size_t attention_threads(const AttentionPlan<Arch>& plan, int threads) {
  const auto wanted = static_cast<std::size_t>(std::max(threads <= 0 ? max_threads() : threads, 1));
  return std::max<std::size_t>(std::min(wanted, plan.query_blocks), 1);
}
}  // namespace detail

/// Floats of the workspace of `attention` on values of type T.
template <class T, class Arch = simd::best>
std::size_t attention_workspace(const AttentionShape& s, int threads = 1) {
  const detail::AttentionPlan<Arch> plan(s);
  using Scratch = detail::AttentionScratch<Arch, detail::AttentionElement<T, Arch>, T>;
  return detail::attention_threads(plan, threads) * Scratch::floats(s, plan) + 16;
}

/// out = softmax(scale q k^T + mask) v for every head; T is float or bfloat16, U too. Queries that see no key give
/// zeros. `lse`, if given, becomes [heads][queries], log of the sum of exponentials of the scores (+inf where there is
/// no key), for the backward pass. Threads share the queries and go through the heads one after the other; results do
/// not depend on them. Bound: 4 queries keys dim heads operations at the rate of multiply-adds (of pairs), and one
/// exponential per score.
/// Where T is bfloat16 and the machine multiplies pairs (`simd::has_bf16_dot`), exponentials are rounded to bfloat16
/// before they meet the values: a further relative error of up to 2^-8 beside that of the rung. Their sum is of the
/// unrounded ones.
/// A score of +inf or NaN, which finite q, k and mask give only by overflow, makes its row of `out` and its value of
/// `lse` NaN or anything, depending on the rung; no other row is touched.
template <class Rung, class Arch = simd::best, class T, class U>
void attention(const AttentionShape& s, const T* q, const T* k, const T* v, U* out, float* lse, float* workspace,
               int threads = 1) noexcept {
  using Element = detail::AttentionElement<T, Arch>;
  using Scratch = detail::AttentionScratch<Arch, Element, T>;
  const detail::AttentionPlan<Arch> plan(s);
  const std::size_t own = Scratch::floats(s, plan) / 16 * 16;
  float* const base = detail::Scratch::align(workspace);
  const auto workers = static_cast<int>(detail::attention_threads(plan, threads));
  parallel_for(plan.query_blocks, 1, workers, [&](std::size_t begin, std::size_t end, int worker) {
    const Scratch at(base + static_cast<std::size_t>(worker) * own, s, plan);
    for (std::size_t h = 0; h < s.heads; ++h) {
      const auto keys = detail::attention_keys<Arch, Element>(k + h * s.k.head, s.k.token, s.keys, s.dim, at.keys);
      const auto values =
          detail::attention_values<Arch, Element>(v + h * s.v.head, s.v.token, s.keys, s.dim, at.values);
      for (std::size_t b = begin; b < end; ++b) {
        const std::size_t first = plan.first_vector(b), vectors = plan.first_vector(b + 1) - first;
        const auto run = [&]<int NV>(std::integral_constant<int, NV>) {
          detail::attention_block<Rung, Arch, Element, NV>(s, plan, first * plan.width, q + h * s.q.head, keys, values,
                                                           out + h * s.out.head,
                                                           lse == nullptr ? nullptr : lse + h * s.queries, at);
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

/// Floats of the workspace of `attention` on values of type T.
template <class T = float, class Arch = simd::best>
std::size_t attention_workspace(const AttentionOptions& options) {
  return kernel::attention_workspace<T, Arch>(options.shape(), options.threads);
}

namespace detail {
/// A vector, an array or a span of T.
template <class R, class T>
concept ArrayOf = std::constructible_from<std::span<const T>, const R&>;
/// One that may be written, and that outlives the call.
template <class R>
concept WritableArray = std::constructible_from<std::span<typename std::remove_reference_t<R>::value_type>, R>;
}  // namespace detail

/// out = softmax(scale q k^T + mask) v for every head (Vaswani et al., arXiv 1706.03762), in a workspace of
/// `attention_workspace` floats; an empty one stands for one made for this call. q and out hold `queries` tokens, k and
/// v `keys` tokens, in the layout of the options, as float or bfloat16; out must not overlap the others. Sums are
/// float. A query that sees no key gives zeros. `lse`: [heads][queries], see kernel::attention; empty if not wanted.
/// Exponentials have the accuracy of `Rung`, and so have the probabilities: for float their relative error is at most
/// (1 + upper) / (1 + lower) - 1, for bfloat16 up to 2^-8 more; see kernel::attention, also for infinite scores.
/// Throws `spiq::Error` if a span is too short, or strides let tokens of an array or heads of `out` overlap.
template <accuracy::Rung Rung, class Arch = simd::best, class T, class U>
void attention(std::span<const T> q, std::span<const T> k, std::span<const T> v, std::span<U> out,
               const AttentionOptions& options, std::span<float> workspace = {}, std::span<float> lse = {}) {
  const kernel::AttentionShape s = options.shape();
  detail::check_heads("q", s.q, s.queries, options, q.size());
  detail::check_heads("k", s.k, s.keys, options, k.size());
  detail::check_heads("v", s.v, s.keys, options, v.size());
  detail::check_written_heads("output", s.out, s.queries, options, out.size());
  detail::check_mask(options);
  if (!lse.empty()) detail::check_values("lse", saturating_product(s.heads, s.queries), lse.size());
  AlignedVector<float> own;
  const std::span<float> scratch =
      detail::workspace_of(kernel::attention_workspace<T, Arch>(s, options.threads), workspace, own);
  kernel::attention<Rung, Arch>(s, q.data(), k.data(), v.data(), out.data(), lse.empty() ? nullptr : lse.data(),
                                scratch.data(), options.threads);
}

/// The same for vectors and whatever else lies in one piece.
template <accuracy::Rung Rung, class Arch = simd::best, class Q, detail::ArrayOf<typename Q::value_type> K,
          detail::ArrayOf<typename Q::value_type> V, detail::WritableArray O>
void attention(const Q& q, const K& k, const V& v, O&& out, const AttentionOptions& options,
               std::span<float> workspace = {}, std::span<float> lse = {}) {
  using T = typename Q::value_type;
  using U = typename std::remove_reference_t<O>::value_type;
  attention<Rung, Arch, T, U>(std::span<const T>(q), std::span<const T>(k), std::span<const T>(v), std::span<U>(out),
                              options, workspace, lse);
}

}  // namespace math

SPIQ_END_NAMESPACE
