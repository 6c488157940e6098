/// @file
/// Predictions from logits, accuracy, agreement of two classifiers, confusion matrix.
#pragma once

#include <spiq/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace report {

/// Index of the largest value; the first of equals, -1 if none is larger than -inf (an empty row or one of NaN only).
template <class T>
int argmax(std::span<const T> row) {
  int best = -1;
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (row[i] != row[i]) continue;
    if (best < 0 || row[i] > row[static_cast<std::size_t>(best)]) best = static_cast<int>(i);
  }
  return best;
}

/// Class of every row of `logits` ([N, classes], row-major): the largest logit, the first of equals.
/// A row of NaN only predicts -1, which no label equals.
inline std::vector<int> predictions(std::span<const float> logits, std::size_t classes) {
  if (classes == 0 || logits.size() % classes != 0)
    SPIQ_THROW("predictions", "a multiple of " + std::to_string(classes) + " logits", std::to_string(logits.size()));
  std::vector<int> out(logits.size() / classes);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = argmax(logits.subspan(i * classes, classes));
  return out;
}

namespace detail {
inline void expect_same_size(const char* where, std::size_t expected, std::size_t found) {
  if (expected != found) SPIQ_THROW(where, std::to_string(expected) + " entries", std::to_string(found));
}
}  // namespace detail

/// Share of predictions that equal their label, in [0, 1]; 0 for an empty set. Labels may be of any integer type.
template <class Label>
double accuracy(std::span<const int> predicted, std::span<const Label> labels) {
  detail::expect_same_size("accuracy", labels.size(), predicted.size());
  std::size_t right = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) right += predicted[i] == static_cast<int>(labels[i]) ? 1u : 0u;
  return labels.empty() ? 0.0 : static_cast<double>(right) / static_cast<double>(labels.size());
}

/// How two classifiers, a reference and a candidate, answer the same images.
struct Agreement {
  std::size_t images = 0;
  std::size_t same = 0;                  ///< same prediction, right or wrong
  std::size_t both_right = 0;
  std::size_t reference_only_right = 0;  ///< discordant: the reference is right, the candidate wrong
  std::size_t candidate_only_right = 0;  ///< discordant: the candidate is right, the reference wrong

  /// Share of images with the same prediction, in [0, 1]; 1 for an empty set.
  [[nodiscard]] double share() const {
    return images == 0 ? 1.0 : static_cast<double>(same) / static_cast<double>(images);
  }
  /// Images with different predictions. Not the sum of the discordant counts: both may be wrong in different ways.
  [[nodiscard]] std::size_t different() const { return images - same; }
};

/// Compares two vectors of predictions against each other and the labels.
template <class Label>
Agreement agreement(std::span<const int> reference, std::span<const int> candidate, std::span<const Label> labels) {
  detail::expect_same_size("agreement", labels.size(), reference.size());
  detail::expect_same_size("agreement", labels.size(), candidate.size());
  Agreement a;
  a.images = labels.size();
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const bool first = reference[i] == static_cast<int>(labels[i]);
    const bool second = candidate[i] == static_cast<int>(labels[i]);
    a.same += reference[i] == candidate[i] ? 1u : 0u;
    a.both_right += first && second ? 1u : 0u;
    a.reference_only_right += first && !second ? 1u : 0u;
    a.candidate_only_right += !first && second ? 1u : 0u;
  }
  return a;
}

/// Counts of (label, prediction) pairs.
class ConfusionMatrix {
public:
  explicit ConfusionMatrix(std::size_t classes) : classes_(classes), counts_(classes * classes) {}

  /// Counts one image; throws when label or prediction is no class (a prediction of -1 among them).
  void add(int label, int prediction) {
    const auto valid = [&](int c) { return c >= 0 && static_cast<std::size_t>(c) < classes_; };
    if (!valid(label) || !valid(prediction))
      SPIQ_THROW("confusion matrix", "classes below " + std::to_string(classes_),
                 "label " + std::to_string(label) + ", prediction " + std::to_string(prediction));
    ++counts_[static_cast<std::size_t>(label) * classes_ + static_cast<std::size_t>(prediction)];
  }
  template <class Label>
  void add(std::span<const Label> labels, std::span<const int> predicted) {
    detail::expect_same_size("confusion matrix", labels.size(), predicted.size());
    for (std::size_t i = 0; i < labels.size(); ++i) add(static_cast<int>(labels[i]), predicted[i]);
  }

  [[nodiscard]] std::size_t classes() const { return classes_; }
  [[nodiscard]] std::uint64_t operator()(std::size_t label, std::size_t prediction) const {
    return counts_[label * classes_ + prediction];
  }
  /// Share of images of class `label` that were recognised; 0 when there are none.
  [[nodiscard]] double recall(std::size_t label) const {
    std::uint64_t all = 0;
    for (std::size_t p = 0; p < classes_; ++p) all += (*this)(label, p);
    return all == 0 ? 0.0 : static_cast<double>((*this)(label, label)) / static_cast<double>(all);
  }

private:
  std::size_t classes_;
  std::vector<std::uint64_t> counts_;
};

}  // namespace report

SPIQ_END_NAMESPACE
