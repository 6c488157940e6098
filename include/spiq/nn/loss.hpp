/// @file
/// Losses on logits: value, gradient and number of right predictions in one pass.
#pragma once

#include <spiq/core/tensor.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// Index of the largest value, the first of equals; NaN is passed over. -1, no class, for a row of nothing but NaN and
/// an empty one: a network that broke down has no accuracy.
inline int argmax(std::span<const float> row) {
  int best = -1;
  for (std::size_t i = 0; i < row.size(); ++i)
    if (!std::isnan(row[i]) && (best < 0 || row[i] > row[static_cast<std::size_t>(best)])) best = static_cast<int>(i);
  return best;
}

namespace nn {

/// What a loss returns.
struct LossValue {
  double mean = 0;          ///< loss per sample (weighted by class where class weights are given)
  std::size_t correct = 0;  ///< samples whose largest logit is their label's
};

namespace detail {
inline void check_labels(const Tensor<float>& logits, std::span<const int> labels) {
  if (logits.extents().rank() != 2 || logits.extent(0) != labels.size())
    SPIQ_THROW("loss", "logits (" + std::to_string(labels.size()) + ", classes) for as many labels",
               to_string(logits.extents()));
  const auto classes = static_cast<int>(logits.extent(1));
  for (const int y : labels)
    if (y < 0 || y >= classes)
      SPIQ_THROW("label", "a class in [0, " + std::to_string(classes) + ")", std::to_string(y));
}
}  // namespace detail

}  // namespace nn

/// Softmax cross-entropy on class labels. With p = softmax(logits), smoothing s over K classes and weights w:
///   loss_i = (1 - s) w[y] (-log p[y]) + s / K * sum over c of w[c] (-log p[c]),   mean = sum loss_i / sum w[y_i].
struct CrossEntropy {
  float label_smoothing = 0.0f;      ///< in [0, 1)
  std::vector<float> class_weights;  ///< one per class, or empty for equal weights

  /// Loss of logits [n, classes]; `gradient` is resized and gets dmean/dlogits. Throws on bad labels or sizes.
  nn::LossValue operator()(const Tensor<float>& logits, std::span<const int> labels, Tensor<float>& gradient) const {
    nn::detail::check_labels(logits, labels);
    gradient.resize(logits.extents());
    const std::size_t n = labels.size(), classes = logits.extent(1);
    if (!class_weights.empty() && class_weights.size() != classes)
      SPIQ_THROW("class weights", std::to_string(classes) + " values", std::to_string(class_weights.size()));
    const auto weight = [&](std::size_t c) { return class_weights.empty() ? 1.0 : static_cast<double>(class_weights[c]); };
    const double smoothing = static_cast<double>(label_smoothing), share = smoothing / static_cast<double>(classes);
    double total = 0, weight_sum = 0, smooth_weight = 0;
    for (std::size_t c = 0; c < classes; ++c) smooth_weight += share * weight(c);
    for (const int y : labels) weight_sum += weight(static_cast<std::size_t>(y));
    const double inverse = weight_sum > 0 ? 1.0 / weight_sum : 0.0;
    nn::LossValue result;
    for (std::size_t i = 0; i < n; ++i) {
      const std::span<const float> row(logits.data() + i * classes, classes);
      float* const g = gradient.data() + i * classes;
      const auto label = static_cast<std::size_t>(labels[i]);
      const int best = argmax(row);
      result.correct += best == labels[i] ? 1 : 0;
      const double top = static_cast<double>(row[best < 0 ? 0 : static_cast<std::size_t>(best)]);  // or NaN, as the loss
      double sum = 0;
      for (const float z : row) sum += std::exp(static_cast<double>(z) - top);
      const double log_sum = top + std::log(sum);
      const double hard = (1 - smoothing) * weight(label);
      total += hard * (log_sum - static_cast<double>(row[label]));
      for (std::size_t c = 0; c < classes; ++c) {
        const double z = static_cast<double>(row[c]);
        const double target = share * weight(c) + (c == label ? hard : 0.0);
        if (smoothing > 0) total += share * weight(c) * (log_sum - z);
        g[c] = static_cast<float>(inverse * ((hard + smooth_weight) * std::exp(z - log_sum) - target));
      }
    }
    result.mean = total * inverse;
    return result;
  }
};

/// Temporal efficient training (TET; Deng et al., arXiv 2202.11946), on the outputs y_t of every step:
///   (1 - share) mean over t of cross_entropy(y_t) + share * mean over all values of (y - target)^2.
struct TemporalEfficient {
  float share = 1e-3f;   ///< in [0, 1]
  float target = 1.0f;   ///< what keeps outputs from growing: 1, the threshold, in the paper
  CrossEntropy cross_entropy{};

  /// Loss of outputs [T, n, classes]; `gradient` is resized to them. Right is what the mean over the steps says. Throws on
  /// bad labels or sizes.
  nn::LossValue operator()(const Tensor<float>& by_step, std::span<const int> labels, Tensor<float>& gradient) const {
    if (by_step.extents().rank() != 3 || by_step.extent(0) == 0 || by_step.extent(1) != labels.size())
      SPIQ_THROW("loss", "outputs (steps, " + std::to_string(labels.size()) + ", classes) for as many labels",
                 to_string(by_step.extents()));
    const std::size_t steps = by_step.extent(0), n = labels.size(), classes = by_step.extent(2);
    Tensor<float> rows({steps * n, classes}), mean({n, classes});
    std::vector<int> repeated;
    for (std::size_t t = 0; t < steps; ++t) repeated.insert(repeated.end(), labels.begin(), labels.end());
    std::copy_n(by_step.data(), by_step.size(), rows.data());
    nn::LossValue result = cross_entropy(rows, repeated, gradient);
    gradient.resize(by_step.extents());
    const double kept = 1 - static_cast<double>(share);
    const double scale = static_cast<double>(share) / static_cast<double>(std::max<std::size_t>(rows.size(), 1));
    result.mean *= kept;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const double d = static_cast<double>(rows[i]) - static_cast<double>(target);
      result.mean += scale * d * d;
      gradient[i] = static_cast<float>(kept * static_cast<double>(gradient[i]) + 2 * scale * d);
      mean[i % mean.size()] += rows[i] / static_cast<float>(steps);
    }
    result.correct = 0;
    for (std::size_t i = 0; i < n; ++i)
      result.correct += argmax(std::span<const float>(mean.data() + i * classes, classes)) == labels[i] ? 1 : 0;
    return result;
  }
};

/// Mean squared error against one-hot labels: mean over samples and classes of (logit - target)^2.
struct MeanSquaredError {
  /// Loss of logits [n, classes]; `gradient` is resized and gets dmean/dlogits. Throws on bad labels or sizes.
  nn::LossValue operator()(const Tensor<float>& logits, std::span<const int> labels, Tensor<float>& gradient) const {
    nn::detail::check_labels(logits, labels);
    gradient.resize(logits.extents());
    const std::size_t n = labels.size(), classes = logits.extent(1);
    const double inverse = logits.size() > 0 ? 1.0 / static_cast<double>(logits.size()) : 0.0;
    nn::LossValue result;
    for (std::size_t i = 0; i < n; ++i) {
      const std::span<const float> row(logits.data() + i * classes, classes);
      result.correct += argmax(row) == labels[i] ? 1 : 0;
      for (std::size_t c = 0; c < classes; ++c) {
        const double d = static_cast<double>(row[c]) - (static_cast<int>(c) == labels[i] ? 1.0 : 0.0);
        result.mean += d * d * inverse;
        gradient[i * classes + c] = static_cast<float>(2 * d * inverse);
      }
    }
    return result;
  }
};

SPIQ_END_NAMESPACE
