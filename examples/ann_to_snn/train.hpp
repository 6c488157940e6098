// Training, or loading what was trained before.
#pragma once

#include "networks.hpp"
#include "options.hpp"

#include <spiq/io/images.hpp>
#include <spiq/io/weights.hpp>
#include <spiq/nn/nn.hpp>
#include <spiq/report/progress.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>
#include <system_error>

struct TrainingResult {
  std::string validation;  // for the card
  std::string training;
};

// Sets L of every activation.
template <class Net>
void set_levels(Net& net, int levels) {
  net.for_each_layer([&](const std::string&, auto& layer) {
    if constexpr (requires { layer.levels; }) layer.levels = levels;
  });
}

// L of every activation, for the card: "8 8 8".
template <class Net>
std::string levels_of(const Net& net) {
  std::string text;
  net.for_each_layer([&](const std::string&, const auto& layer) {
    if constexpr (requires { layer.levels; }) text += (text.empty() ? "" : " ") + std::to_string(layer.levels);
  });
  return text;
}

template <class Net>
TrainingResult load(Net& net, const Options& options) {
  const std::string asked = levels_of(net);
  spiq::load_weights(options.load, net);
  if (levels_of(net) != asked)
    throw spiq::Error("--levels: expected " + levels_of(net) + ", the levels of the weights in '" + options.load +
                      "', found " + asked);
  std::cout << "weights loaded from " << options.load << "\n\n";
  return {"none: weights were loaded", "loaded from " + options.load};
}

template <class Net>
TrainingResult train(Net& net, const spiq::ImageSet& images, const Recipe& recipe, const Options& options) {
  spiq::FitOptions fit;
  fit.epochs = options.epochs > 0 ? options.epochs : recipe.epochs;
  fit.batch = options.batch > 0 ? options.batch : recipe.batch;
  fit.learning_rate = options.learning_rate > 0 ? static_cast<float>(options.learning_rate) : recipe.learning_rate;
  fit.optimiser = recipe.optimiser;
  fit.schedule = recipe.schedule;
  fit.weight_decay = recipe.weight_decay;
  fit.policies = recipe.policies();
  fit.threshold_percentile = recipe.threshold_percentile;
  fit.label_smoothing = recipe.label_smoothing;
  fit.augmentation = recipe.augmentation;
  fit.validation_fraction = static_cast<float>(options.validation);
  fit.keep_best = options.keep_best;
  fit.seed = options.seed;
  fit.threads = options.threads;
  int first_epoch = 1;
  if (!options.checkpoint.empty()) {
    fit.checkpoint = spiq::save_checkpoint(options.checkpoint);
    // What cannot be looked at (a loop of links) counts as there: reading it says why.
    std::error_code failed;
    if (options.resume && (std::filesystem::exists(options.checkpoint, failed) || failed)) {
      fit.resume = spiq::resume_from(options.checkpoint);
      first_epoch = 0;  // known only when the first report comes
    }
  }

  std::cout << "recipe: " << recipe.name << "\n";
  std::optional<spiq::report::Progress> progress;
  const auto bar = [&](int epoch) -> spiq::report::Progress& {
    if (!progress)
      progress.emplace(std::cout, spiq::report::is_terminal(stdout), first_epoch == 0 ? epoch : first_epoch);
    return *progress;
  };
  if (first_epoch == 1) bar(1);
  fit.on_batch = [&](const spiq::BatchReport& r) {
    bar(r.epoch).batch({r.epoch, r.epochs, r.batch, r.batches, r.loss, r.accuracy});
  };
  fit.on_epoch = [&](const spiq::EpochReport& r) {
    const std::string note =
        r.validation_accuracy ? "validation " + spiq::report::fixed(100 * *r.validation_accuracy, 2) + " %" : "";
    bar(r.epoch).epoch({r.epoch, r.epochs, 1, 1, r.loss, r.accuracy}, note);
  };
  // fit() sees the arrays of a checkpoint, not its file: name it in what is said before the first batch.
  bool started = false;
  const auto on_batch = fit.on_batch;
  fit.on_batch = [&](const spiq::BatchReport& r) {
    started = true;
    on_batch(r);
  };
  const spiq::History history = [&] {
    try {
      return spiq::fit(net, images, fit);
    } catch (const spiq::Error& e) {
      if (started || !fit.resume) throw;
      throw spiq::Error("--resume from '" + options.checkpoint + "': " + e.what());
    }
  }();

  double seconds = 0;
  for (const spiq::EpochReport& e : history.epochs) seconds += e.seconds;
  const double epochs = static_cast<double>(std::max<std::size_t>(history.epochs.size(), 1));
  TrainingResult result;
  result.validation = history.validation.empty()
                          ? "none"
                          : std::to_string(history.validation.size()) + " of " + std::to_string(images.size()) +
                                " training images, drawn by the seed; kept: the weights of " +
                                (options.keep_best ? "epoch " + std::to_string(history.best_epoch) + ", the best on it"
                                                   : std::string("the last epoch"));
  result.training = std::to_string(history.epochs.size()) + " epochs of " + std::to_string(history.training_samples) +
                    " images, batch " + std::to_string(fit.batch) + ", learning rate " +
                    spiq::report::shortest(std::round(double{fit.learning_rate} * 1e6) / 1e6) + "; " + recipe.name;
  std::cout << "training took " << spiq::report::fixed(seconds, 1) << " s, " << spiq::report::fixed(seconds / epochs, 2)
            << " s per epoch; validation split: " << result.validation << "\n\n";
  return result;
}
