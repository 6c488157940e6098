/// @file
/// What a policy network learns that says before the first step how many steps an image needs.
#pragma once

#include <spiq/core/tensor.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// SEENN-II (Li et al., arXiv 2304.01230). With v = softmax of the T logits of an image, c_k = 1 where the spiking
/// network is right after k + 1 steps, else 0:
///   mean over images of w * sum over k of v_k (wrong (1 - c_k) - 2^-k c_k),
/// w = 1 where c_0 = 1, else r / (1 - r), r the share of images with c_0 = 1: those that need more steps are few, and
/// count for as much as the others. The answer of the policy is the largest logit, k + 1 steps.
struct ExitPolicyLoss {
  double wrong = 1;          ///< cost of a wrong answer (beta)
  double right_at_once = 0;  ///< r, in [0, 1)

  /// Loss of logits [n, T] for answers `right` [n, T], nonzero for right; `gradient` is resized and gets its derivative
  /// by them. Throws on other sizes and on numbers out of range.
  double operator()(const Tensor<float>& logits, std::span<const std::uint8_t> right, Tensor<float>& gradient) const {
    if (logits.extents().rank() != 2 || logits.extent(1) == 0 || logits.size() != right.size())
      SPIQ_THROW("policy loss", "logits (n, T >= 1), with n * T = " + std::to_string(right.size()),
                 to_string(logits.extents()));
    if (!(wrong >= 0 && std::isfinite(wrong)))
      SPIQ_THROW("policy loss: wrong", "a finite number >= 0", std::to_string(wrong));
    if (!(right_at_once >= 0 && right_at_once < 1))
      SPIQ_THROW("policy loss: right_at_once", "a share in [0, 1)", std::to_string(right_at_once));
    gradient.resize(logits.extents());
    const std::size_t n = logits.extent(0), steps = logits.extent(1);
    std::vector<double> v(steps), cost(steps);
    double total = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const float* const z = logits.data() + i * steps;
      const std::uint8_t* const c = right.data() + i * steps;
      double top = static_cast<double>(z[0]), sum = 0, expected = 0;
      for (std::size_t k = 1; k < steps; ++k) top = std::fmax(top, static_cast<double>(z[k]));
      for (std::size_t k = 0; k < steps; ++k) sum += v[k] = std::exp(static_cast<double>(z[k]) - top);
      for (std::size_t k = 0; k < steps; ++k) {
        v[k] /= sum;
        cost[k] = c[k] != 0 ? -std::ldexp(1.0, -static_cast<int>(k)) : wrong;
        expected += v[k] * cost[k];
      }
      const double weight = (c[0] != 0 ? 1.0 : right_at_once / (1 - right_at_once)) / static_cast<double>(n);
      total += weight * expected;
      for (std::size_t k = 0; k < steps; ++k)
        gradient[i * steps + k] = static_cast<float>(weight * v[k] * (cost[k] - expected));
    }
    return total;
  }
};

SPIQ_END_NAMESPACE
