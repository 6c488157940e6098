/// @file
/// Runs executable networks over images in memory: predictions and speed, predictions over time, differing counts.
#pragma once

#include <spiq/core/parallel.hpp>
#include <spiq/core/tensor.hpp>
#include <spiq/exec/network.hpp>
#include <spiq/report/activity.hpp>
#include <spiq/report/energy.hpp>
#include <spiq/report/metrics.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace report {

/// How an evaluation runs; no number changes a prediction.
struct EvaluationOptions {
  int batch = 256;
  int threads = 0;               ///< 0: as many as OpenMP would use
  std::size_t count_images = 0;  ///< operations are counted on the first so many images; 0: all
  DirectCoding direct_coding = DirectCoding::cached;  ///< how MACs of spiking networks are counted
};

/// Answers of a network and the time that they took.
struct Evaluation {
  std::vector<int> predictions;
  double seconds = 0;

  [[nodiscard]] double images_per_second() const {
    return seconds > 0 ? static_cast<double>(predictions.size()) / seconds : 0.0;
  }
};

namespace detail {
/// Calls f(first image, number of images) for consecutive batches.
template <class F>
void for_batches(std::size_t images, std::size_t batch, F&& f) {
  for (std::size_t first = 0; first < images; first += batch) f(first, std::min(batch, images - first));
}
}  // namespace detail

/// Predictions for images [N, C, H, W] in [0, 1]. The session is made, and run once to warm up, before the clock runs.
template <class Network>
Evaluation evaluate(const Network& network, const Tensor<float>& images, EvaluationOptions options = {}) {
  Evaluation out;
  network.input.check(images.extents());
  const std::size_t n = images.extent(0);
  if (n == 0) return out;
  const std::size_t stride = images.size() / n;
  const std::size_t batch = std::min(static_cast<std::size_t>(std::max(options.batch, 1)), n);
  auto session = network.session(static_cast<int>(batch), {.threads = options.threads});
  session.run(images.data(), batch, stride);
  const auto start = std::chrono::steady_clock::now();
  detail::for_batches(n, batch, [&](std::size_t first, std::size_t count) {
    const Tensor<float>& logits = session.run(images.data() + first * stride, count, stride);
    const auto answers = predictions(logits.span(), logits.extent(1));
    out.predictions.insert(out.predictions.end(), answers.begin(), answers.end());
  });
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return out;
}

/// Predictions after 1, 2, ..., T steps of a spiking network whose output can be read at any step: [T][N].
template <class Network>
std::vector<std::vector<int>> evaluate_over_time(const Network& network, const Tensor<float>& images,
                                                 EvaluationOptions options = {}) {
  std::vector<std::vector<int>> out;
  network.input.check(images.extents());
  const std::size_t n = images.extent(0);
  if (n == 0) return out;
  const std::size_t stride = images.size() / n;
  const std::size_t batch = std::min(static_cast<std::size_t>(std::max(options.batch, 1)), n);
  auto session = network.session(static_cast<int>(batch), {.threads = options.threads, .over_time = true});
  out.resize(static_cast<std::size_t>(session.steps()));
  detail::for_batches(n, batch, [&](std::size_t first, std::size_t count) {
    session.run(images.data() + first * stride, count, stride);
    const Tensor<float>& logits = session.logits_over_time();
    const std::size_t slice = logits.size() / out.size();
    for (std::size_t t = 0; t < out.size(); ++t) {
      const auto answers = predictions(logits.span().subspan(t * slice, slice), logits.extent(2));
      out[t].insert(out[t].end(), answers.begin(), answers.end());
    }
  });
  return out;
}

/// Throws unless the layers with neurons of two networks correspond.
template <class A, class B>
void expect_same_neurons(const A& a, const B& b) {
  const auto names = [](const auto& network) {
    std::string text;
    for (const exec::LayerReport& l : network.layers())
      if (l.levels != 0) text += (text.empty() ? "" : ", ") + l.path + " " + to_string(l.shape);
    return text;
  };
  if (names(a) != names(b)) SPIQ_THROW("compare neuron counts", "layers " + names(a), names(b));
}

/// Compares the counts of every neuron of two networks on images [N, C, H, W]. Same result for any number of threads.
/// Throws when their layers do not correspond.
template <class A, class B>
CountDifferences compare_counts(const A& a, const B& b, const Tensor<float>& images, int threads = 0) {
  expect_same_neurons(a, b);
  a.input.check(images.extents());
  b.input.check(images.extents());
  constexpr std::size_t batch = 16;
  const std::size_t n = images.extent(0);
  const std::size_t stride = n == 0 ? 0 : images.size() / n;
  const int workers = std::max(threads > 0 ? threads : max_threads(), 1);
  std::vector<CountDifferences> parts(static_cast<std::size_t>(workers));
  // Sessions are made here, not by the workers: a failure must not leave a parallel region.
  const exec::SessionOptions whole{.threads = 1, .tile = static_cast<int>(batch)};
  std::vector<exec::Session<A>> first_sessions;
  std::vector<exec::Session<B>> second_sessions;
  for (int w = 0; w < workers; ++w) {
    first_sessions.push_back(a.session(static_cast<int>(batch), whole));
    second_sessions.push_back(b.session(static_cast<int>(batch), whole));
  }
  parallel_for((n + batch - 1) / batch, 1, workers, [&](std::size_t begin, std::size_t end, int worker) {
    auto& first = first_sessions[static_cast<std::size_t>(worker)];
    auto& second = second_sessions[static_cast<std::size_t>(worker)];
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t count = std::min(batch, n - i * batch);
      first.run(images.data() + i * batch * stride, count, stride);
      second.run(images.data() + i * batch * stride, count, stride);
      parts[static_cast<std::size_t>(worker)].add(neuron_counts(first), neuron_counts(second));
    }
  });
  CountDifferences out;
  for (const CountDifferences& p : parts) out.add(p);
  return out;
}

}  // namespace report

SPIQ_END_NAMESPACE
