/// @file
/// Early exit: an image leaves a spiking network as soon as its answer is sure enough.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/tensor.hpp>
#include <spiq/exec/network.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace exit_rule {
/// Largest probability above the threshold (SEENN-I, arXiv 2304.01230; Dynamic Confidence, arXiv 2303.10276).
struct Confidence {
  /// In [0, 1), the surer the larger.
  static double sureness(std::span<const double> p) { return *std::max_element(p.begin(), p.end()); }
};
/// 1 - entropy / ln(classes) above the threshold (DT-SNN, arXiv 2305.17346).
struct Entropy {
  static double sureness(std::span<const double> p) {
    double h = 0;
    for (const double v : p)
      if (v > 0) h -= v * std::log(v);
    return p.size() < 2 ? 1 : 1 - h / std::log(static_cast<double>(p.size()));
  }
};
}  // namespace exit_rule

/// What the probabilities are taken of: softmax(Y / temperature), Y the mean or the sum of the outputs so far.
struct ExitOptions {
  double threshold = 0.9;  ///< calibrate it on validation data: `calibrate_exit`
  bool sum = false;
  double temperature = 1;
};

namespace exec {
/// How sure an answer is after `steps` steps whose mean output is `mean`.
template <class Rule>
double sureness(std::span<const float> mean, std::size_t steps, const ExitOptions& o, std::vector<double>& p) {
  p.resize(mean.size());
  const double factor = (o.sum ? static_cast<double>(steps) : 1.0) / o.temperature;
  double top = -HUGE_VAL, total = 0;
  for (const float v : mean) top = std::max(top, factor * double{v});
  for (std::size_t c = 0; c < p.size(); ++c) total += p[c] = std::exp(factor * double{mean[c]} - top);
  for (double& v : p) v /= total;
  return Rule::sureness(p);
}
/// Throws unless a rule can be asked.
inline void check(const ExitOptions& o) {
  if (!(o.temperature > 0)) SPIQ_THROW("early exit: temperature", "a positive number", std::to_string(o.temperature));
  if (std::isnan(o.threshold)) SPIQ_THROW("early exit: threshold", "a number", "NaN");
}
/// Throws unless these are logits of `images` images over time.
inline void check(const Tensor<float>& over_time, std::size_t images) {
  const Extents& e = over_time.extents();
  if (e.rank() != 3 || e[0] == 0 || e[1] != images || e[2] == 0)
    SPIQ_THROW("early exit", "logits over time [T >= 1, " + std::to_string(images) + ", classes]", to_string(e));
}
inline int largest(std::span<const float> row) {
  return static_cast<int>(std::max_element(row.begin(), row.end()) - row.begin());
}
}  // namespace exec

/// What each image answered, and after how many steps.
struct Exits {
  std::vector<int> predictions;
  std::vector<int> steps;
  [[nodiscard]] double mean_steps() const {
    double sum = 0;
    for (const int s : steps) sum += s;
    return steps.empty() ? 0 : sum / static_cast<double>(steps.size());
  }
};

/// Runs images [N, C, H, W] for at most `max_steps` steps; an image leaves when `Rule` is surer than the threshold, and
/// those that stay move together, so that what left costs nothing more. The network must answer at every step with the
/// mean over its steps (QCFS and rate conversion, networks trained with spikes); others throw.
template <class Rule = exit_rule::Confidence, class Network>
Exits early_exit(const Network& network, const Tensor<float>& images, int max_steps, const ExitOptions& options = {},
                 int batch = 64) {
  if (network.readout.decoding != exec::Decoding::mean)
    SPIQ_THROW("early exit",
               "a network with an answer at every step: one lowered with conversion::Qcfs, Rmp, HardReset or Trained",
               network.target);
  if (max_steps < 1) SPIQ_THROW("early exit: steps", "at least 1", std::to_string(max_steps));
  exec::check(options);
  if (network.input.steps != 1)
    SPIQ_THROW("early exit: input", "a network that sees the same image at each step", "one of " + std::to_string(network.input.steps) + " frames");
  network.input.check(images.extents());
  const std::size_t n = images.extent(0), size = n == 0 ? 0 : images.size() / n;
  Exits result{std::vector<int>(n, -1), std::vector<int>(n, 0)};
  const auto width = static_cast<std::size_t>(std::clamp(batch, 1, static_cast<int>(std::max<std::size_t>(n, 1))));
  auto session = network.session(static_cast<int>(width), {.threads = 1, .streaming = true});
  std::vector<double> p;
  for (std::size_t first = 0; first < n; first += width) {
    std::vector<std::size_t> who, staying;
    for (std::size_t i = first; i < std::min(n, first + width); ++i) who.push_back(i);
    session.reset();
    if (who.size() < width) {
      std::vector<std::size_t> present(who.size());
      for (std::size_t i = 0; i < present.size(); ++i) present[i] = i;
      session.keep(present);
    }
    Tensor<float> frame;
    const auto gather = [&] {
      const auto extents = images.extents().span();
      std::vector<std::size_t> shape(extents.begin(), extents.end());
      shape[0] = who.size();
      frame.resize(Extents::from(shape));
      for (std::size_t i = 0; i < who.size(); ++i) std::copy_n(images.data() + who[i] * size, size, frame.data() + i * size);
    };
    gather();
    for (int t = 1; t <= max_steps && !who.empty(); ++t) {
      const Tensor<float>& mean = session.step(frame);
      const std::size_t classes = mean.extent(1);
      staying.clear();
      std::vector<std::size_t> left;
      for (std::size_t i = 0; i < who.size(); ++i) {
        const std::span<const float> row(mean.data() + i * classes, classes);
        const bool sure = exec::sureness<Rule>(row, static_cast<std::size_t>(t), options, p) > options.threshold;
        if (sure || t == max_steps) {
          result.predictions[who[i]] = exec::largest(row);
          result.steps[who[i]] = t;
        } else {
          staying.push_back(i);
          left.push_back(who[i]);
        }
      }
      if (staying.size() != who.size() && !staying.empty()) session.keep(staying);
      const bool changed = left.size() != who.size();
      who = std::move(left);
      if (changed && !who.empty()) gather();
    }
  }
  return result;
}

/// The same from outputs known for every step, logits over time [T, N, classes] (means over the steps so far, as
/// `Session::logits_over_time` gives them): what `early_exit` would answer.
template <class Rule = exit_rule::Confidence>
Exits exits_of(const Tensor<float>& over_time, const ExitOptions& options = {}) {
  exec::check(over_time, over_time.extents().rank() == 3 ? over_time.extent(1) : 0);
  exec::check(options);
  const std::size_t steps = over_time.extent(0), n = over_time.extent(1), classes = over_time.extent(2);
  Exits result{std::vector<int>(n, -1), std::vector<int>(n, 0)};
  std::vector<double> p;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t t = 0; t < steps && result.steps[i] == 0; ++t) {
      const std::span<const float> row(over_time.data() + (t * n + i) * classes, classes);
      if (exec::sureness<Rule>(row, t + 1, options, p) > options.threshold || t + 1 == steps) {
        result.predictions[i] = exec::largest(row);
        result.steps[i] = static_cast<int>(t + 1);
      }
    }
  return result;
}

/// The answers after `steps`[i] steps of image i, chosen beforehand (SEENN-II: by a policy network). Throws unless there is a
/// number in [1, T] for each image.
inline Exits exits_after(const Tensor<float>& over_time, std::span<const int> steps) {
  exec::check(over_time, steps.size());
  const std::size_t n = over_time.extent(1), classes = over_time.extent(2);
  Exits result{std::vector<int>(n, -1), std::vector<int>(steps.begin(), steps.end())};
  for (std::size_t i = 0; i < n; ++i) {
    if (steps[i] < 1 || static_cast<std::size_t>(steps[i]) > over_time.extent(0))
      SPIQ_THROW("early exit: steps", "1 to " + std::to_string(over_time.extent(0)), std::to_string(steps[i]));
    result.predictions[i] = exec::largest({over_time.data() + (static_cast<std::size_t>(steps[i] - 1) * n + i) * classes, classes});
  }
  return result;
}
/// Which images are right after 1 ... T steps, [N][T]: what a policy network learns from (nn/policy_loss.hpp).
inline std::vector<std::uint8_t> right_by_step(const Tensor<float>& over_time, std::span<const int> labels) {
  exec::check(over_time, labels.size());
  const std::size_t steps = over_time.extent(0), n = labels.size(), classes = over_time.extent(2);
  std::vector<std::uint8_t> right(n * steps);
  for (std::size_t t = 0; t < steps; ++t)
    for (std::size_t i = 0; i < n; ++i)
      right[i * steps + t] = exec::largest({over_time.data() + (t * n + i) * classes, classes}) == labels[i] ? 1 : 0;
  return right;
}

/// Accuracy and mean steps that a threshold gives.
struct ExitPoint {
  double threshold = 0, accuracy = 0, mean_steps = 0;
};
/// One point for each of `points` >= 2 thresholds from 0 to 1.
template <class Rule = exit_rule::Confidence>
std::vector<ExitPoint> exit_curve(const Tensor<float>& over_time, std::span<const int> labels, ExitOptions options = {},
                                  int points = 101) {
  exec::check(over_time, labels.size());
  if (points < 2) SPIQ_THROW("early exit: thresholds to try", "at least 2", std::to_string(points));
  std::vector<ExitPoint> curve;
  for (int k = 0; k < points; ++k) {
    options.threshold = static_cast<double>(k) / (points - 1);
    const Exits exits = exits_of<Rule>(over_time, options);
    std::size_t right = 0;
    for (std::size_t i = 0; i < labels.size(); ++i) right += exits.predictions[i] == labels[i] ? 1 : 0;
    curve.push_back({options.threshold, labels.empty() ? 0 : static_cast<double>(right) / static_cast<double>(labels.size()),
                     exits.mean_steps()});
  }
  return curve;
}
/// The fewest mean steps whose accuracy is at most `loss` below that of all steps, on validation data (the calibration of
/// Dynamic Confidence, arXiv 2303.10276).
template <class Rule = exit_rule::Confidence>
ExitPoint calibrate_exit(const Tensor<float>& over_time, std::span<const int> labels, double loss = 0,
                         const ExitOptions& options = {}, int points = 101) {
  if (!(loss >= 0)) SPIQ_THROW("early exit: loss of accuracy", "a share of at least 0", std::to_string(loss));
  const std::vector<ExitPoint> curve = exit_curve<Rule>(over_time, labels, options, points);
  ExitPoint best = curve.back();  // threshold 1: nobody leaves before the last step
  const double wanted = best.accuracy - loss;
  for (const ExitPoint& p : curve)
    if (p.accuracy >= wanted && p.mean_steps < best.mean_steps) best = p;
  return best;
}

/// Average exit time of the right answers (SEENN, arXiv 2304.01230): right[t] of n images are right after t + 1 steps;
/// an image counts with the step at which the number grew, the rest with all steps.
inline double average_exit_time(std::span<const std::size_t> right, std::size_t n) {
  double sum = 0;
  std::size_t before = 0;
  for (std::size_t t = 0; t < right.size(); ++t) {
    sum += static_cast<double>(t + 1) * (static_cast<double>(right[t]) - static_cast<double>(before));
    before = right[t];
  }
  sum += static_cast<double>(right.size()) * (static_cast<double>(n) - static_cast<double>(before));
  return n == 0 ? 0 : sum / static_cast<double>(n);
}
/// Mean steps and accuracy of one who knows: each image leaves at the first step with a right answer, those that are never
/// right at once. No rule does better in accuracy, or as well in fewer steps.
inline ExitPoint exit_oracle(const Tensor<float>& over_time, std::span<const int> labels) {
  const std::vector<std::uint8_t> right_at = right_by_step(over_time, labels);
  const std::size_t steps = over_time.extent(0), n = labels.size();
  double sum = 0;
  std::size_t right = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const auto first = right_at.begin() + static_cast<std::ptrdiff_t>(i * steps);
    const auto found = std::find(first, first + static_cast<std::ptrdiff_t>(steps), std::uint8_t{1});
    const bool ever = found != first + static_cast<std::ptrdiff_t>(steps);
    right += ever ? 1 : 0;
    sum += ever ? static_cast<double>(found - first + 1) : 1;
  }
  return {1, n == 0 ? 0 : static_cast<double>(right) / static_cast<double>(n), n == 0 ? 0 : sum / static_cast<double>(n)};
}

SPIQ_END_NAMESPACE
