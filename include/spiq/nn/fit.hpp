/// @file
/// Training.
#pragma once

#include <spiq/nn/calibrate.hpp>
#include <spiq/nn/evaluate.hpp>
#include <spiq/nn/fit_check.hpp>
#include <spiq/nn/fit_options.hpp>
#include <spiq/nn/fit_state.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace nn {

/// Networks whose last layer can tell its outputs at every time step.
template <class Net>
inline constexpr bool answers_each_step = requires(typename Net::Cache& cache) { Net::last_cache(cache).each_step; };

/// One training run of one network on one data set.
template <class Net, class Data>
class Training {
public:
  Training(Net& net, Data& data, const FitOptions& options)
      : net_(net), data_(data), options_(options), parameters_(collect(net)),
        optimiser_(options.optimiser, options.weight_decay, options.policies, parameters_),
        masks_((check(options, Net::outputs), options.sparsity), parameters_) {
    if (options.loss == LossKind::temporal_efficient && !answers_each_step<Net>)
      SPIQ_THROW("FitOptions::loss temporal_efficient", "a network that ends in OverTime", "another");
    if (!options.resume) check_activations(net, options.penalties);  // a checkpoint replaces what a diverged run left
    split();
    recipe_ = recipe_of(net, options);
    if (options.checkpoint.save || options.resume) data_hash_ = data_hash<Net>(data, training_);
  }

  History run() {
    if (options_.resume) {
      restore(net_, optimiser_, parameters_, progress_, fingerprint(), options_.epochs, options_.resume());
    } else if (options_.normalize && !net_.normalization.chosen) {
      choose_normalization(net_, data_, training_);
    }
    // A run that had stopped early when it was saved has nothing left to do.
    stopped_early_ = out_of_patience();
    for (int epoch = static_cast<int>(progress_.epochs.size()) + 1; epoch <= options_.epochs && !stopped_early_; ++epoch) {
      progress_.epochs.push_back(train_epoch(epoch));
      validate(progress_.epochs.back());
      if (options_.on_epoch) options_.on_epoch(progress_.epochs.back());
      stopped_early_ = out_of_patience();
      const bool stop = stopped_early_ || (options_.stop && options_.stop());
      if (options_.checkpoint.save && (stop || epoch == options_.epochs || epoch % std::max(options_.checkpoint.every, 1) == 0))
        options_.checkpoint.save(snapshot(net_, optimiser_, parameters_, progress_, fingerprint()));
      if (stop) break;
    }
    if (masks_.any() && !progress_.epochs.empty()) {
      masks_.renew(static_cast<double>(progress_.epochs.size()));
      masks_.hide();
    }
    if (options_.keep_best && !progress_.best.empty()) import_state(net_, progress_.best);
    return {progress_.epochs, validation_, training_.size(), progress_.best_epoch, stopped_early_};
  }

private:
  // One stream of random numbers per purpose.
  enum Stream : std::uint64_t { split_stream = 1, order_stream, augmentation_stream, layer_stream };

  static std::vector<Parameter> collect(Net& net) {
    std::vector<Parameter> list;
    net.parameters([&](const Parameter& p) { list.push_back(p); });
    return list;
  }

  [[nodiscard]] bool out_of_patience() const { return options_.patience > 0 && progress_.stale >= options_.patience; }

  void split() {
    std::vector<std::uint32_t> all(data_.size());
    std::iota(all.begin(), all.end(), 0u);
    Rng rng = Rng(options_.seed).split(split_stream);
    rng.shuffle(std::span(all));
    const auto held = static_cast<std::size_t>(std::lround(static_cast<double>(options_.validation_fraction) *
                                                           static_cast<double>(all.size())));
    validation_.assign(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(held));
    training_.assign(all.begin() + static_cast<std::ptrdiff_t>(held), all.end());
    std::sort(validation_.begin(), validation_.end());
    std::sort(training_.begin(), training_.end());
    if (training_.empty()) SPIQ_THROW("fit", "at least one training image", "none of " + std::to_string(data_.size()));
    const auto batch = static_cast<std::size_t>(options_.batch);
    batches_ = (training_.size() + batch - 1) / batch;
  }

  [[nodiscard]] Fingerprint fingerprint() const {
    return {static_cast<std::int64_t>(options_.seed), options_.batch, static_cast<std::int64_t>(training_.size()),
            static_cast<std::int64_t>(validation_.size()), data_hash_, recipe_, static_cast<std::int64_t>(batches_)};
  }

  EpochReport train_epoch(int epoch) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::uint32_t> order = training_;
    Rng rng = Rng(options_.seed).split(order_stream).split(static_cast<std::uint64_t>(epoch));
    rng.shuffle(std::span(order));
    BatchReport report{epoch, options_.epochs, 0, batches_};
    double loss = 0;
    std::size_t correct = 0, seen = 0;
    for (std::size_t b = 0; b < batches_; ++b) {
      // Batches of nearly equal size: no small last one with poor statistics.
      const std::size_t first = order.size() * b / batches_, last = order.size() * (b + 1) / batches_;
      report.batch = b + 1;
      const LossValue value = step(report, std::span(order).subspan(first, last - first));
      loss += value.mean * static_cast<double>(last - first);
      correct += value.correct;
      seen += last - first;
      report.loss = loss / static_cast<double>(seen);
      report.accuracy = static_cast<double>(correct) / static_cast<double>(seen);
      if (options_.on_batch) options_.on_batch(report);
    }
    EpochReport r;
    r.epoch = epoch;
    r.epochs = options_.epochs;
    r.loss = report.loss;
    r.accuracy = report.accuracy;
    r.learning_rate = report.learning_rate;
    r.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return r;
  }

  static void check_finite(const BatchReport& at, const char* what, double value) {
    if (!std::isfinite(value))
      SPIQ_THROW("fit, epoch " + std::to_string(at.epoch) + ", batch " + std::to_string(at.batch),
                 std::string("a finite ") + what, std::to_string(value) + " (is the learning rate too large?)");
  }

  // Trains on one batch, the one that `report` names, and notes the learning rate there.
  LossValue step(BatchReport& report, std::span<const std::uint32_t> indices) {
    const std::uint64_t number = optimiser_.steps();
    nn::fill_batch<Net>(data_, indices, images_, labels_);
    const Rng seed(options_.seed);
    const Rng augmentation = seed.split(augmentation_stream).split(static_cast<std::uint64_t>(report.epoch));
    options_.augmentation.apply(net_.normalization, augmentation, indices, images_.data(), cache_.input.get(images_.size()),
                                Net::input_shape, options_.threads);
    Pass pass{Mode::train, options_.threads, seed.split(layer_stream).split(number)};
    pass.penalties = options_.penalties;
    pass.turned = options_.sparsity.both_ways;
    pass.spike_weight = options_.spike_cost.at(static_cast<double>(number) / static_cast<double>(batches_));
    if constexpr (answers_each_step<Net>)
      Net::last_cache(cache_).each_step = options_.loss == LossKind::temporal_efficient;
    if (number == 0)
      choose_thresholds(net_, cache_, indices.size(), pass, static_cast<double>(options_.threshold_percentile),
                        options_.policies.threshold.minimum);
    if (report.batch == 1 || number % static_cast<std::uint64_t>(options_.sparsity.every) == 0)
      masks_.renew(static_cast<double>(number) / static_cast<double>(batches_));
    LossValue value;
    {
      const HiddenWeights hidden(masks_);
      value = gradients(report, indices.size(), pass);
    }
    masks_.adjust_gradients();
    const double norm = gradient_norm(parameters_, options_.threads);
    check_finite(report, "norm of the gradient", norm);
    const double most = static_cast<double>(options_.gradient_clip);
    const double scale = most > 0 && norm > most ? most / norm : 1.0;
    const std::size_t total = static_cast<std::size_t>(options_.epochs) * batches_;
    report.learning_rate =
        static_cast<double>(options_.learning_rate) * rate_factor(options_.schedule, static_cast<std::size_t>(number), total);
    optimiser_.step(parameters_, report.learning_rate, scale, options_.threads);
    return value;
  }

  // Forward and backward pass of the batch; its loss.
  LossValue gradients(const BatchReport& report, std::size_t samples, const Pass& pass) {
    const Tensor<float>& logits = net_.forward_prepared(samples, cache_, pass);
    LossValue value = loss(logits);
    // Before anything of the network changes: backward moves the running statistics, the optimiser weights and moments.
    check_finite(report, "loss", value.mean);
    masks_.turn();
    net_.backward(dlogits_, cache_);
    if (options_.penalties.any()) {
      net_.for_each_layer([&](const std::string&, const auto& layer) {
        if constexpr (requires { layer.penalty; }) value.mean += layer.penalty;
      });
      check_finite(report, "loss", value.mean);
    }
    return value;
  }

  // The loss of the batch, with its gradient in dlogits_ or, where it looks at every step, in the cache of the last layer.
  LossValue loss(const Tensor<float>& logits) {
    const CrossEntropy entropy{options_.label_smoothing, options_.class_weights};
    if (options_.loss == LossKind::cross_entropy) return entropy(logits, labels_, dlogits_);
    if (options_.loss == LossKind::mean_squared_error) return MeanSquaredError{}(logits, labels_, dlogits_);
    if constexpr (answers_each_step<Net>) {
      auto& last = Net::last_cache(cache_);
      const auto steps = static_cast<std::size_t>(net_.template layer<Net::size - 1>().steps);
      by_step_.resize({steps, labels_.size(), Net::outputs});
      std::copy_n(last.output.data(), by_step_.size(), by_step_.data());
      const LossValue value = TemporalEfficient{options_.step_target_share, 1.0f, entropy}(by_step_, labels_, dby_step_);
      std::copy_n(dby_step_.data(), dby_step_.size(), last.output_gradient.get(dby_step_.size()));
      dlogits_.resize(logits.extents());
      return value;
    }
    return {};
  }

  void validate(EpochReport& report) {
    if (validation_.empty()) return;
    if (masks_.any()) masks_.renew(static_cast<double>(report.epoch));
    const HiddenWeights hidden(masks_);
    const Evaluation e = evaluate(net_, data_, validation_, cache_, {options_.batch, options_.threads});
    report.validation_loss = e.loss;
    report.validation_accuracy = e.accuracy;
    ++progress_.stale;
    if (progress_.best_epoch == 0 || e.accuracy > progress_.best_accuracy) {
      progress_.best_epoch = report.epoch;
      progress_.best_accuracy = e.accuracy;
      progress_.stale = 0;
      if (options_.keep_best) progress_.best = export_state(net_);
    }
  }

  Net& net_;
  Data& data_;
  const FitOptions& options_;
  std::vector<Parameter> parameters_;
  Optimiser optimiser_;
  Masks masks_;
  Progress progress_;
  std::vector<std::uint32_t> training_, validation_;
  std::size_t batches_ = 0;
  std::int64_t recipe_ = 0, data_hash_ = 0;
  bool stopped_early_ = false;
  typename Net::Cache cache_;
  Tensor<float> images_, dlogits_, by_step_, dby_step_;
  std::vector<int> labels_;
};

}  // namespace nn

/// Trains `net` on `data` and returns what happened. The network ends with the last epoch's weights, or the best
/// validation epoch's with `keep_best`. Equal seeds give equal weights, bit for bit, for any number of threads; a run
/// resumed from a checkpoint equals one that was never interrupted. Throws on options out of range, images that do
/// not fit, labels that are no class, a loss or a gradient that is not finite. A batch that throws takes no step: the
/// weights are those of the last batch whose loss and gradient were finite (where only the gradient was not, running
/// statistics of BatchNorm have seen the batch).
template <class In, class... L, Dataset Data>
History fit(Network<In, L...>& net, Data& data, const FitOptions& options = {}) {
  return nn::Training<Network<In, L...>, Data>(net, data, options).run();
}
template <class In, class... L, Dataset Data>
History fit(Network<In, L...>& net, const Data& data, const FitOptions& options = {}) {
  return nn::Training<Network<In, L...>, const Data>(net, data, options).run();
}

SPIQ_END_NAMESPACE
