#include "train.hpp"

#include <spiq/io/weights.hpp>
#include <spiq/nn/nn.hpp>
#include <spiq/report/progress.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <iostream>

namespace {

using Net = Vit<spiq::accuracy::full>;

Trained train(Net& net, const spiq::ImageSet& images, const Recipe& recipe, const Options& options) {
  spiq::FitOptions fit;
  fit.epochs = options.epochs > 0 ? options.epochs : recipe.epochs;
  fit.batch = options.batch > 0 ? options.batch : recipe.batch;
  fit.learning_rate = options.learning_rate > 0 ? static_cast<float>(options.learning_rate) : recipe.learning_rate;
  fit.optimiser = spiq::AdamW{};
  fit.schedule = spiq::OneCycle{};
  fit.weight_decay = 1e-2f;
  fit.augmentation = {.shift = recipe.shift};
  fit.validation_fraction = static_cast<float>(options.validation);
  fit.seed = options.seed;
  fit.threads = options.threads;
  std::cout << "recipe: " << recipe.name << "\n";
  spiq::report::Progress progress(std::cout, spiq::report::is_terminal(stdout));
  fit.on_batch = [&](const spiq::BatchReport& r) {
    progress.batch({r.epoch, r.epochs, r.batch, r.batches, r.loss, r.accuracy});
  };
  fit.on_epoch = [&](const spiq::EpochReport& r) {
    const std::string note =
        r.validation_accuracy ? "validation " + spiq::report::fixed(100 * *r.validation_accuracy, 2) + " %" : "";
    progress.epoch({r.epoch, r.epochs, 1, 1, r.loss, r.accuracy}, note);
  };
  const spiq::History history = spiq::fit(net, images, fit);

  double seconds = 0;
  for (const spiq::EpochReport& e : history.epochs) seconds += e.seconds;
  Trained result;
  result.validation = history.validation.empty() ? "none"
                                                 : std::to_string(history.validation.size()) + " of " +
                                                       std::to_string(images.size()) +
                                                       " training images, drawn by the seed";
  result.training = std::to_string(history.epochs.size()) + " epochs of " + std::to_string(history.training_samples) +
                    " images, batch " + std::to_string(fit.batch) + ", learning rate " +
                    spiq::report::shortest(std::round(double{fit.learning_rate} * 1e6) / 1e6) + "; " + recipe.name;
  const double epochs = static_cast<double>(std::max<std::size_t>(history.epochs.size(), 1));
  std::cout << "training took " << spiq::report::fixed(seconds, 1) << " s, " << spiq::report::fixed(seconds / epochs, 2)
            << " s per epoch; validation split: " << result.validation << "\n";
  return result;
}

}  // namespace

Trained trained_weights(const spiq::ImageSet& images, const Recipe& recipe, const Options& options) {
  Net net{spiq::Rng{options.seed}};
  Trained result;
  if (options.load.empty()) {
    result = train(net, images, recipe, options);
  } else {
    spiq::load_weights(options.load, net);
    std::cout << "weights loaded from " << options.load << "\n";
    result.validation = "none: weights were loaded";
    result.training = "loaded from " + options.load;
  }
  if (!options.save.empty()) {
    spiq::save_weights(options.save, net);
    std::cout << "weights saved to " << options.save << "\n";
  }
  std::cout << "\n";
  result.weights = spiq::export_state(net);
  return result;
}
