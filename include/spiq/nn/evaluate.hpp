/// @file
/// Accuracy and loss of a network on a data set.
#pragma once

#include <spiq/nn/dataset.hpp>
#include <spiq/nn/loss.hpp>
#include <spiq/nn/pass.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// What `evaluate` returns.
struct Evaluation {
  double accuracy = 0;           ///< share of right predictions
  double loss = 0;               ///< mean cross-entropy
  std::size_t correct = 0;
  std::vector<int> predictions;  ///< class per image, in the order asked for; -1 where all logits are NaN
};

struct EvaluateOptions {
  int batch = 128;  ///< images at a time; less than 1 counts as 1
  int threads = 0;  ///< 0: as many as OpenMP would use; changes no result
};

/// Runs the images `indices` of `data` through `net` in evaluation mode, with the buffers of `cache`. Throws where
/// `data` gives images that do not fit or are not one per index, or a label that is no class.
template <class Net, Dataset Data>
Evaluation evaluate(const Net& net, Data& data, std::span<const std::uint32_t> indices, typename Net::Cache& cache,
                    const EvaluateOptions& options = {}) {
  Evaluation result;
  if (indices.empty()) return result;
  const auto batch = static_cast<std::size_t>(std::max(options.batch, 1));
  Tensor<float> images, gradient;
  std::vector<int> labels;
  nn::Pass pass;
  pass.threads = options.threads;
  result.predictions.reserve(indices.size());
  for (std::size_t first = 0; first < indices.size(); first += batch) {
    const auto chosen = indices.subspan(first, std::min(batch, indices.size() - first));
    nn::fill_batch<Net>(data, chosen, images, labels);
    const Tensor<float>& logits = net.forward(images, cache, pass);
    pass.pack = false;
    const nn::LossValue loss = CrossEntropy{}(logits, labels, gradient);
    result.loss += loss.mean * static_cast<double>(chosen.size());
    result.correct += loss.correct;
    for (std::size_t i = 0; i < chosen.size(); ++i)
      result.predictions.push_back(argmax(logits.span().subspan(i * Net::outputs, Net::outputs)));
  }
  result.accuracy = static_cast<double>(result.correct) / static_cast<double>(indices.size());
  result.loss /= static_cast<double>(indices.size());
  return result;
}

/// The same over all of `data`.
template <class Net, Dataset Data>
Evaluation evaluate(const Net& net, Data& data, const EvaluateOptions& options = {}) {
  std::vector<std::uint32_t> all(data.size());
  std::iota(all.begin(), all.end(), 0u);
  typename Net::Cache cache;
  return evaluate(net, data, all, cache, options);
}

SPIQ_END_NAMESPACE
