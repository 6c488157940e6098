/// @file
/// Softmax and its logarithm over the rows of a matrix, with scale, additive mask and causal mask.
#pragma once

#include <spiq/core/checked.hpp>
#include <spiq/core/error.hpp>
#include <spiq/core/parallel.hpp>
#include <spiq/kernel/accuracy.hpp>
#include <spiq/kernel/elementwise.hpp>
#include <spiq/kernel/exp.hpp>
#include <spiq/kernel/softmax_row.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// Shape and options of a softmax over rows.
struct SoftmaxOptions {
  std::size_t rows = 1;
  std::size_t cols = 0;
  /// Of the scores, before the mask is added; 0 makes finite scores equal and leaves -inf, +inf and NaN as they are.
  float scale = 1;
  /// Added to the scaled scores: mask rows of `cols` values, of which row r takes the one of number r modulo their
  /// count (one mask for all rows, one for each, or one per query, repeated for each head). -inf hides a column,
  /// whatever its score.
  std::span<const float> mask{};
  bool causal = false;            ///< query q sees columns up to q + past only
  std::ptrdiff_t past = 0;        ///< columns before that of query 0
  std::size_t queries = 0;        ///< row r is query r modulo this; 0: row r is query r
  EmptyRow empty = EmptyRow::zeros;
  std::size_t input_stride = 0;   ///< floats from row to row of the scores; 0: cols
  std::size_t output_stride = 0;  ///< the same of the result
  int threads = 1;
};

namespace detail {

/// Columns that a row sees.
[[nodiscard]] inline std::size_t visible_columns(const SoftmaxOptions& o, std::size_t row) noexcept {
  if (!o.causal) return o.cols;
  const auto query = static_cast<std::ptrdiff_t>(o.queries == 0 ? row : row % o.queries);
  const auto cols = static_cast<std::ptrdiff_t>(o.cols);
  return static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(query + o.past + 1, 0, cols));
}

template <class Rung, class Arch, bool Log, ExpInput Input>
void softmax_rows(const float* x, float* y, const SoftmaxOptions& o, bool mapped) noexcept {
  using V = typename simd::traits<Arch>::f32;
  const std::size_t in = o.input_stride == 0 ? o.cols : o.input_stride;
  const std::size_t out = o.output_stride == 0 ? o.cols : o.output_stride;
  SPIQ_ASSERT(std::abs(o.scale) <= max_exp_map);
  const SoftmaxRow<Rung, Arch, Log, Input> row(mapped ? 1.0f : o.scale, o.empty);
  const auto work = [&](std::size_t begin, std::size_t end, int) {
    if (!mapped && !o.causal) {
      row.rows(x + begin * in, in, y + begin * out, out, o.cols, end - begin);
      return;
    }
    const std::size_t masks = o.mask.size() / std::max<std::size_t>(o.cols, 1);
    const bool flat = o.scale == 0;
    const V scale = V::broadcast(flat ? 1.0f : o.scale), hidden = V::broadcast(minus_infinity);
    for (std::size_t r = begin; r < end; ++r) {
      const float* from = x + r * in;
      float* to = y + r * out;
      const std::size_t seen = visible_columns(o, r);
      if (seen == 0) {
        if (o.empty == EmptyRow::uniform) {
          const float share = 1.0f / static_cast<float>(o.cols);
          std::fill_n(to, o.cols, Log ? std::log(share) : share);
        } else {
          std::fill_n(to, o.cols, Log ? minus_infinity : 0.0f);
        }
        continue;
      }
      if (mapped) {  // the scores that count, into the output, and on from there
        if (flat) {  // not by a product: 0 times an infinity is NaN
          map_row<V>(from, to, seen, [](V v) SPIQ_LAMBDA_INLINE { return select(v - v == V::zero(), V::zero(), v); });
          from = to;
        }
        if (masks != 0) {
          const float* mask = o.mask.data() + r % masks * o.cols;
          fill_vectors<V>(to, 0, seen, [&](auto access, std::size_t i) SPIQ_LAMBDA_INLINE {
            const V added = access.template load<V>(mask + i);
            return select(added == hidden, hidden, fma(access.template load<V>(from + i), scale, added));
          });
        } else if (!flat) {
          map_row<V>(from, to, seen, [&](V v) SPIQ_LAMBDA_INLINE { return v * scale; });
        }
        from = to;
      }
      row.rows(from, in, to, out, seen, 1);
      std::fill(to + seen, to + o.cols, Log ? minus_infinity : 0.0f);
    }
  };
  if (o.threads == 1)  // without the divisions that share out the rows: a single short row takes 20 ns in all
    work(0, o.rows, 0);
  else
    parallel_for(o.rows, std::max<std::size_t>(1, map_grain / o.cols), o.threads, work);
}

template <class Rung, class Arch, bool Log>
void softmax(const float* x, float* y, const SoftmaxOptions& o) noexcept {
  if (o.cols == 0) return;
  // A rising map keeps the order of the scores: their maximum is sought before the map, which then folds into the
  // exponential. Else the scores are mapped first.
  const bool mapped = !o.mask.empty() || !(o.scale > 0);
  constexpr bool folds = requires { Rung::order; } || requires { requires Rung::degree <= 3; };
  if constexpr (folds) {
    softmax_rows<Rung, Arch, Log, ExpInput::affine>(x, y, o, mapped);
  } else {
    if (mapped || o.scale == 1)
      softmax_rows<Rung, Arch, Log, ExpInput::plain>(x, y, o, mapped);
    else
      softmax_rows<Rung, Arch, Log, ExpInput::scaled>(x, y, o, mapped);
  }
}

/// A matrix of rows fits a span of so many values.
inline void check_matrix(const char* what, std::size_t rows, std::size_t cols, std::size_t stride, std::size_t size) {
  if (stride != 0 && stride < cols)
    SPIQ_THROW(std::string(what) + ": stride", "at least " + std::to_string(cols), std::to_string(stride));
  const std::size_t needed = strided_extent(rows, stride == 0 ? cols : stride, cols);
  if (size < needed) SPIQ_THROW(what, "at least " + std::to_string(needed) + " values", std::to_string(size));
}
inline void check_softmax(const SoftmaxOptions& o, std::size_t x, std::size_t y) {
  check_matrix("softmax: scores", o.rows, o.cols, o.input_stride, x);
  check_matrix("softmax: output", o.rows, o.cols, o.output_stride, y);
  check_exp_map("softmax: scale", double{o.scale});
  if (o.mask.empty()) return;
  if (o.cols == 0 || o.mask.size() % o.cols != 0 || o.rows % (o.mask.size() / o.cols) != 0)
    SPIQ_THROW("softmax: mask",
               "rows of " + std::to_string(o.cols) + " values that divide " + std::to_string(o.rows) + " rows",
               std::to_string(o.mask.size()) + " values");
}
}  // namespace detail

/// y = softmax(scale x + mask) over each row, see `math::softmax`.
template <class Rung, class Arch = simd::best>
void softmax(const float* x, float* y, const SoftmaxOptions& options) noexcept {
  detail::softmax<Rung, Arch, false>(x, y, options);
}
/// y = log(softmax(scale x + mask)) over each row, see `math::log_softmax`.
template <class Rung, class Arch = simd::best>
void log_softmax(const float* x, float* y, const SoftmaxOptions& options) noexcept {
  detail::softmax<Rung, Arch, true>(x, y, options);
}

}  // namespace kernel

namespace math {

using kernel::EmptyRow;
using kernel::SoftmaxOptions;

/// probs[r][c] = e^(z[r][c]) / sum over c of e^(z[r][c]), z = scale * scores + mask, of row-major matrices of
/// `options.rows` x `options.cols`; probs may be scores (with equal strides). With e the relative error of `Rung`
/// (kernel/accuracy.hpp), that of a probability is at most (1 + e) / (1 - e) - 1 plus a few units of rounding; every
/// row sums to 1 within 1e-6 in every rung, and equal scores of a row give equal probabilities (to 2e-5 in rows beyond
/// `SoftmaxRow::three_pass_bytes`, which are taken in blocks). The last bits of a sum may depend on how the row lies to
/// the alignment of vectors, not on the number of threads. Adding a constant to the scores of a row, where that rounds
/// nothing, changes nothing in rows held in registers (`SoftmaxRow::held` vectors). In longer ones a maximum below 64
/// folds into the constants of the exponential, which rounds: by up to 2e-5 of a probability in `quake*` (measured:
/// 1.8e-5), 1.2e-5 in `quake2*` and `ladder3`, 4e-3 in `ladder2`. The finer rungs change by up to 2e-6, in rows beyond
/// `SoftmaxRow::three_pass_bytes`. (Subtracting the maximum first would be exact; costs `quake` 9 % in rows of 1024.)
///
/// -inf gives exactly 0. A row of -inf alone (or one that sees no column) follows `options.empty`. +inf takes the row
/// for itself, k of them share it equally. NaN fills its row in the rungs that hand NaN on (`ladder*`, `full`,
/// `checked<...>`) and counts as -inf in the others.
/// Throws `spiq::Error` if a span is too short, the mask does not fit, or the scale is not finite or beyond 1e30 in
/// magnitude.
/// Source: rungs `quake*`: QuAKE, arXiv 2412.00408.
template <accuracy::Rung Rung, class Arch = simd::best>
void softmax(std::span<const float> scores, std::span<float> probs, const SoftmaxOptions& options) {
  kernel::detail::check_softmax(options, scores.size(), probs.size());
  kernel::softmax<Rung, Arch>(scores.data(), probs.data(), options);
}

/// The natural logarithm of `softmax`, without the cancellation of taking it afterwards; same shapes, options and
/// special values (0 becomes -inf). The absolute error is at most that of log(1 + e) with e the error of `Rung`.
template <accuracy::Rung Rung, class Arch = simd::best>
void log_softmax(std::span<const float> scores, std::span<float> log_probs, const SoftmaxOptions& options) {
  kernel::detail::check_softmax(options, scores.size(), log_probs.size());
  kernel::log_softmax<Rung, Arch>(scores.data(), log_probs.data(), options);
}

}  // namespace math

SPIQ_END_NAMESPACE
