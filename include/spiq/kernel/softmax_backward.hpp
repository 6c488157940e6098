/// @file
/// Gradients of softmax and of its logarithm.
#pragma once

#include <spiq/core/parallel.hpp>
#include <spiq/kernel/accuracy.hpp>
#include <spiq/kernel/exp_vector.hpp>
#include <spiq/kernel/softmax.hpp>
#include <spiq/simd/simd.hpp>

#include <algorithm>
#include <cstddef>
#include <span>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// Shape and options of a softmax's gradient.
struct SoftmaxGradientOptions {
  std::size_t rows = 1;
  std::size_t cols = 0;
  float scale = 1;                  ///< of the scores in the forward pass
  std::size_t probs_stride = 0;     ///< floats from row to row of the forward result; 0: cols
  std::size_t gradient_stride = 0;  ///< the same of the gradient that comes in
  std::size_t output_stride = 0;    ///< the same of the gradient to the scores
  int threads = 1;
};

namespace detail {

/// Sum over [0, n) of f(access, i), four chains at once, and these cut as in `lane_sum`.
template <class V, class F>
SPIQ_INLINE V indexed_lane_sum(std::size_t n, const F& f) {
  constexpr std::size_t width = V::width, step = short_block * width, chain = 32 * step;
  V total = V::zero();
  std::size_t i = 0;
  while (i + step <= n) {
    const std::size_t stop = i + std::min(n - i, chain) / step * step;
    V sum[short_block] = {V::zero(), V::zero(), V::zero(), V::zero()};
    for (; i != stop; i += step) {
      SPIQ_UNROLL
      for (std::size_t v = 0; v < short_block; ++v) sum[v] = f(Whole{}, i + v * width, sum[v]);
    }
    total = total + ((sum[0] + sum[1]) + (sum[2] + sum[3]));
  }
  for_vectors<V>(i, n, [&](auto access, std::size_t k) SPIQ_LAMBDA_INLINE { total = f(access, k, total); });
  return simd::sum_all(total);
}

/// row(y, dy, dx) for each row, by threads.
template <class Row>
void gradient_rows(const float* y, const float* dy, float* dx, const SoftmaxGradientOptions& o, const Row& row) noexcept {
  if (o.cols == 0) return;
  const auto stride = [&](std::size_t s) { return s == 0 ? o.cols : s; };
  const std::size_t ys = stride(o.probs_stride), dys = stride(o.gradient_stride), dxs = stride(o.output_stride);
  parallel_for(o.rows, std::max<std::size_t>(1, map_grain / o.cols), o.threads,
               [&](std::size_t begin, std::size_t end, int) {
                 for (std::size_t r = begin; r < end; ++r) row(y + r * ys, dy + r * dys, dx + r * dxs);
               });
}
}  // namespace detail

/// dx = scale y (dy - sum(dy y)) over each row; see `math::softmax_backward`.
template <class Arch = simd::best>
void softmax_backward(const float* y, const float* dy, float* dx, const SoftmaxGradientOptions& o) noexcept {
  using V = typename simd::traits<Arch>::f32;
  const V scale = V::broadcast(o.scale);
  detail::gradient_rows(y, dy, dx, o, [&](const float* p, const float* g, float* out) {
    const V dot = detail::indexed_lane_sum<V>(o.cols, [&](auto access, std::size_t i, V sum) SPIQ_LAMBDA_INLINE {
      return fma(access.template load<V>(p + i), access.template load<V>(g + i), sum);
    });
    fill_vectors<V>(out, 0, o.cols, [&](auto access, std::size_t i) SPIQ_LAMBDA_INLINE {
      return access.template load<V>(p + i) * (access.template load<V>(g + i) - dot) * scale;
    });
  });
}

/// dx = scale (dy - e^y sum(dy)) over each row; see `math::log_softmax_backward`.
template <class Rung, class Arch = simd::best>
void log_softmax_backward(const float* y, const float* dy, float* dx, const SoftmaxGradientOptions& o) noexcept {
  using V = typename simd::traits<Arch>::f32;
  const V scale = V::broadcast(o.scale);
  // Logarithms of probabilities exceed 0 by no more than the error of the rung.
  const Exp<Rung, Arch, ExpInput::plain, ExpDomain::nonpositive> exp;
  detail::gradient_rows(y, dy, dx, o, [&](const float* p, const float* g, float* out) {
    const V total = detail::indexed_lane_sum<V>(
        o.cols, [&](auto access, std::size_t i, V sum) SPIQ_LAMBDA_INLINE { return sum + access.template load<V>(g + i); });
    fill_vectors<V>(out, 0, o.cols, [&](auto access, std::size_t i) SPIQ_LAMBDA_INLINE {
      return (access.template load<V>(g + i) - exp(access.template load<V>(p + i)) * total) * scale;
    });
  });
}

namespace detail {
inline void check_gradient(const SoftmaxGradientOptions& o, std::size_t y, std::size_t dy, std::size_t dx) {
  check_matrix("softmax gradient: forward result", o.rows, o.cols, o.probs_stride, y);
  check_matrix("softmax gradient: incoming gradient", o.rows, o.cols, o.gradient_stride, dy);
  check_matrix("softmax gradient: output", o.rows, o.cols, o.output_stride, dx);
}
}  // namespace detail

}  // namespace kernel

namespace math {

using kernel::SoftmaxGradientOptions;

/// Gradient to the scores of a softmax: d_scores = scale * probs * (d_probs - sum over the row of d_probs * probs), of
/// row-major matrices of `options.rows` x `options.cols`; d_scores may be either input (with equal strides). What a mask
/// hid has probability 0 and gets gradient 0. Exact for the softmax of every rung but for the rung's own error.
/// Throws `spiq::Error` if a span is too short.
template <class Arch = simd::best>
void softmax_backward(std::span<const float> probs, std::span<const float> d_probs, std::span<float> d_scores,
                      const SoftmaxGradientOptions& options) {
  kernel::detail::check_gradient(options, probs.size(), d_probs.size(), d_scores.size());
  kernel::softmax_backward<Arch>(probs.data(), d_probs.data(), d_scores.data(), options);
}

/// Gradient to the scores of a log-softmax: d_scores = scale * (d_log - e^log_probs * sum over the row of d_log), the
/// exponential in `Rung`; shapes and aliasing as `softmax_backward`. A hidden entry gets scale * d_log: give it 0 there.
/// Throws `spiq::Error` if a span is too short.
template <accuracy::Rung Rung, class Arch = simd::best>
void log_softmax_backward(std::span<const float> log_probs, std::span<const float> d_log, std::span<float> d_scores,
                          const SoftmaxGradientOptions& options) {
  kernel::detail::check_gradient(options, log_probs.size(), d_log.size(), d_scores.size());
  kernel::log_softmax_backward<Rung, Arch>(log_probs.data(), d_log.data(), d_scores.data(), options);
}

}  // namespace math

SPIQ_END_NAMESPACE
