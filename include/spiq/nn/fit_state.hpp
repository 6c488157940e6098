/// @file
/// What a checkpoint of a training run holds, and how it is read back.
#pragma once

#include <spiq/nn/dataset.hpp>
#include <spiq/nn/fit_options.hpp>
#include <spiq/nn/network.hpp>
#include <spiq/nn/optimiser.hpp>
#include <spiq/nn/state.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace nn {

/// Options that a resumed run must share with the run it continues.
struct Fingerprint {
  std::int64_t seed = 0, batch = 0, samples = 0, validation = 0;  ///< samples: trained on; validation: held out
  std::int64_t data = 0;    ///< hash of some of the training labels
  std::int64_t recipe = 0;  ///< hash of everything else that decides the weights
  std::int64_t batches = 0;  ///< steps of an epoch; follows from the others
};

/// 64-bit FNV-1a over numbers: equal options give equal hashes.
class RecipeHash {
public:
  template <class... T>
  void add(T... values) {
    (add_one(static_cast<double>(values)), ...);
  }
  void add(const Sgd& o) { add(1, o.momentum, o.nesterov); }
  void add(const Adam& o) { add(2, o.beta1, o.beta2, o.epsilon); }
  void add(const AdamW& o) { add(3, o.beta1, o.beta2, o.epsilon); }
  void add(const ConstantRate&) { add(1); }
  void add(const Cosine& s) { add(2, s.warmup, s.floor); }
  void add(const OneCycle& s) { add(3, s.rise, s.divide, s.final_divide); }
  void add(const ParameterPolicy& p) { add(p.rate_factor, p.decay_factor, p.minimum, p.minimum_share); }
  [[nodiscard]] std::int64_t value() const { return static_cast<std::int64_t>(hash_ >> 1); }

private:
  void add_one(double v) {
    const auto bits = std::bit_cast<std::uint64_t>(v);
    for (int i = 0; i < 64; i += 8) hash_ = (hash_ ^ ((bits >> i) & 255U)) * 0x100000001b3U;
  }
  std::uint64_t hash_ = 0xcbf29ce484222325U;
};

/// Hash of the options that decide the weights: the optimiser, its schedule over all epochs, loss, augmentation,
/// clipping, the share held out, and the levels that the activations start with.
template <class Net>
std::int64_t recipe_of(const Net& net, const FitOptions& o) {
  RecipeHash hash;
  net.for_each_layer([&](const std::string&, const auto& layer) {
    if constexpr (requires { layer.levels; }) hash.add(layer.levels);
  });
  std::visit([&](const auto& kind) { hash.add(kind); }, o.optimiser);
  std::visit([&](const auto& schedule) { hash.add(schedule); }, o.schedule);
  hash.add(std::holds_alternative<ConstantRate>(o.schedule) ? 0 : o.epochs, o.learning_rate, o.weight_decay,
           o.label_smoothing, o.gradient_clip, o.augmentation.flip, o.augmentation.shift,
           static_cast<int>(o.augmentation.fill), static_cast<int>(o.loss), o.keep_best, o.patience, o.validation_fraction);
  for (const float w : o.class_weights) hash.add(w);
  if (o.penalties.any()) hash.add(o.penalties.bits, o.penalties.quantisation);
  if (o.loss == LossKind::temporal_efficient) hash.add(o.step_target_share);
  if (const auto* nm = std::get_if<NmPattern>(&o.sparsity.pattern)) hash.add(nm->n, nm->m);
  if (const auto* u = std::get_if<UnstructuredPattern>(&o.sparsity.pattern)) hash.add(u->share, u->from, u->to);
  if (o.sparsity.any())
    hash.add(static_cast<int>(o.sparsity.pattern.index()), o.sparsity.regrow, o.sparsity.decay, o.sparsity.both_ways,
             o.sparsity.every, o.sparsity.first, o.sparsity.last);
  if (o.spike_cost.weight > 0) hash.add(o.spike_cost.weight, o.spike_cost.rise);
  hash.add(o.policies.weight);
  hash.add(o.policies.bias);
  hash.add(o.policies.norm);
  hash.add(o.policies.threshold);
  hash.add(o.policies.delay);
  return hash.value();
}

/// Hash of the labels of up to 256 training images, evenly spaced: tells data sets apart without reading one whole, and
/// leaves a data set free to vary its images.
template <class Net, class Data>
std::int64_t data_hash(Data& data, std::span<const std::uint32_t> training) {
  const std::size_t count = std::min<std::size_t>(training.size(), 256);
  std::vector<std::uint32_t> sample(count);
  for (std::size_t i = 0; i < count; ++i) sample[i] = training[i * training.size() / count];
  Tensor<float> images;
  std::vector<int> labels;
  fill_batch<Net>(data, sample, images, labels);
  RecipeHash hash;
  for (const int label : labels) hash.add(label);
  return hash.value();
}

/// Where a run stands, beside weights and moments. Random numbers need no state: they are functions of seed, epoch,
/// step and image.
struct Progress {
  std::vector<EpochReport> epochs;
  int best_epoch = 0, stale = 0;
  double best_accuracy = 0;
  NamedArrays best;  ///< the network's state after the best epoch, with `keep_best`
};

/// Columns of the array "fit.history".
inline constexpr std::size_t history_columns = 6;

/// All arrays of a checkpoint: the network's own names, so that the file also loads as weights, and "fit.*".
template <class Net>
NamedArrays snapshot(const Net& net, Optimiser& optimiser, std::span<const Parameter> parameters, const Progress& progress,
                     const Fingerprint& print) {
  NamedArrays out = export_state(net);
  const auto integer = [&](const char* name, std::int64_t v) {
    out.push_back({name, Extents{}, std::vector<std::int64_t>{v}});
  };
  integer("fit.seed", print.seed);
  integer("fit.batch", print.batch);
  integer("fit.samples", print.samples);
  integer("fit.validation", print.validation);
  integer("fit.data", print.data);
  integer("fit.recipe", print.recipe);
  integer("fit.steps", static_cast<std::int64_t>(optimiser.steps()));
  integer("fit.best_epoch", progress.best_epoch);
  integer("fit.stale", progress.stale);
  out.push_back({"fit.best_accuracy", Extents{}, std::vector<double>{progress.best_accuracy}});
  std::vector<double> rows;
  const double none = std::numeric_limits<double>::quiet_NaN();
  for (const EpochReport& r : progress.epochs)
    for (const double v : {r.loss, r.accuracy, r.learning_rate, r.validation_loss.value_or(none),
                           r.validation_accuracy.value_or(none), r.seconds})
      rows.push_back(v);
  out.push_back({"fit.history", Extents{progress.epochs.size(), history_columns}, std::move(rows)});
  const auto moment = [&](const char* kind, const Parameter& p, std::span<const float> values) {
    if (!values.empty())
      out.push_back({std::string("fit.") + kind + "." + p.path, p.extents, std::vector<float>(values.begin(), values.end())});
  };
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    moment("first", parameters[i], optimiser.first_moment(i));
    moment("second", parameters[i], optimiser.second_moment(i));
  }
  out.push_back({"fit.bounds", Extents{optimiser.bounds().size()}, optimiser.bounds()});
  for (const NamedArray& a : progress.best) out.push_back({"fit.best." + a.name, a.extents, a.values});
  return out;
}

/// Sets network, optimiser and progress from a checkpoint. Throws, with everything unchanged, where an array is
/// missing or does not fit, or where the run was made with another seed, batch, number of images or recipe. `epochs` is
/// what the run is to reach, which its reports name.
template <class Net>
void restore(Net& net, Optimiser& optimiser, std::span<const Parameter> parameters, Progress& progress,
             const Fingerprint& print, int epochs, const NamedArrays& arrays) {
  const ArrayIndex index(arrays);
  const auto same = [&](const char* name, std::int64_t expected) {
    const std::int64_t found = index.integer(name);
    if (found != expected)
      SPIQ_THROW("resume: " + std::string(name) + " of the checkpoint", std::to_string(expected), std::to_string(found));
  };
  const auto agrees = [&](const char* name, std::int64_t expected, const char* what) {
    if (index.integer(name) != expected)
      SPIQ_THROW("resume: " + std::string(name) + " of the checkpoint", what, "another");
  };
  same("fit.seed", print.seed);
  same("fit.batch", print.batch);
  same("fit.samples", print.samples);
  same("fit.validation", print.validation);
  agrees("fit.data", print.data, "the data set of this run");
  agrees("fit.recipe", print.recipe,
         "that of this run (epochs, optimiser, rates, schedule, loss, augmentation, policies, validation, levels)");

  Progress p;
  p.best_epoch = static_cast<int>(index.integer("fit.best_epoch"));
  p.stale = static_cast<int>(index.integer("fit.stale"));
  const std::vector<double> best = index.doubles("fit.best_accuracy"), rows = index.doubles("fit.history");
  const std::size_t done = rows.size() / history_columns;
  if (index.get("fit.history").extents != Extents{done, history_columns})
    SPIQ_THROW("resume: fit.history", "extents [epochs, " + std::to_string(history_columns) + "]",
               to_string(index.get("fit.history").extents));
  const auto within = [&](const char* name, std::int64_t low, std::int64_t high) {
    const std::int64_t v = index.integer(name);
    if (v < low || v > high)
      SPIQ_THROW("resume: " + std::string(name), std::to_string(low) + " to " + std::to_string(high), std::to_string(v));
  };
  const auto epochs_done = static_cast<std::int64_t>(done);
  within("fit.best_epoch", 0, epochs_done);
  within("fit.stale", 0, epochs_done);
  within("fit.steps", epochs_done * print.batches, epochs_done * print.batches);
  if (best.size() != 1 || !(best[0] >= -1 && best[0] <= 1))
    SPIQ_THROW("resume: fit.best_accuracy", "one number in [-1, 1]",
               best.size() == 1 ? std::to_string(best[0]) : std::to_string(best.size()) + " numbers");
  p.best_accuracy = best[0];
  for (std::size_t i = 0; i < rows.size(); i += history_columns) {
    EpochReport r;
    r.epoch = static_cast<int>(i / history_columns) + 1;
    r.epochs = epochs;
    r.loss = rows[i];
    r.accuracy = rows[i + 1];
    r.learning_rate = rows[i + 2];
    if (print.validation > 0) {  // the loss may be NaN and yet have been reported
      r.validation_loss = rows[i + 3];
      r.validation_accuracy = rows[i + 4];
    }
    r.seconds = rows[i + 5];
    p.epochs.push_back(r);
  }
  for (const NamedArray& a : arrays)
    if (a.name.starts_with("fit.best.")) p.best.push_back({a.name.substr(9), a.extents, a.values});
  if (!p.best.empty()) check_state(std::as_const(net), p.best);

  const auto moment = [&](const std::string& name, const Extents& extents, bool square) {
    std::vector<float> values = index.floats(name, extents);
    for (const float v : values)
      if (!std::isfinite(v) || (square && v < 0.0f))
        SPIQ_THROW("array \"" + name + "\"", square ? "finite values >= 0" : "finite values", std::to_string(v));
    return values;
  };
  std::vector<std::vector<float>> moments;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& q = parameters[i];
    moments.push_back(moment("fit.first." + q.path, q.extents, false));
    moments.push_back(optimiser.second_moment(i).empty() ? std::vector<float>()
                                                         : moment("fit.second." + q.path, q.extents, true));
  }
  std::vector<float> bounds = index.floats("fit.bounds", Extents{parameters.size()});
  const auto steps = static_cast<std::uint64_t>(index.integer("fit.steps"));

  import_state(net, arrays);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    std::copy(moments[2 * i].begin(), moments[2 * i].end(), optimiser.first_moment(i).begin());
    std::copy(moments[2 * i + 1].begin(), moments[2 * i + 1].end(), optimiser.second_moment(i).begin());
  }
  optimiser.set_bounds(std::move(bounds));
  optimiser.set_steps(steps);
  progress = std::move(p);
}

}  // namespace nn

SPIQ_END_NAMESPACE
