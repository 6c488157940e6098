// Trains spiking networks with surrogate gradients: through time or step by step, from scratch, from a network without
// spikes, or with fewer and fewer time steps.
//
//     train_snn                                   # on images drawn by the program itself
//     train_snn --dataset mnist --data DIR --rule sltt
//     train_snn --memory
//     train_snn --help
#include <CLI/CLI.hpp>

#include "common/images.hpp"
#include "common/memory.hpp"
#include "common/training.hpp"
#include "train_snn/events.hpp"
#include "train_snn/networks.hpp"
#include "train_snn/options.hpp"

#include <spiq/core/error.hpp>
#include <spiq/io/weights.hpp>
#include <spiq/nn/hybrid.hpp>
#include <spiq/report/text_table.hpp>

#include <chrono>
#include <exception>
#include <iostream>
#include <string>

namespace {

using spiq::report::fixed;

struct Sizes {
  std::size_t train_images = 10000, test_images = 2000;
};

spiq::FitOptions recipe(const Options& options) {
  spiq::FitOptions fit;
  fit.epochs = options.epochs;
  fit.batch = options.batch;
  fit.learning_rate = static_cast<float>(options.learning_rate);
  fit.loss = options.loss == "tet" ? spiq::LossKind::temporal_efficient : spiq::LossKind::cross_entropy;
  fit.spike_cost = {.weight = static_cast<float>(options.spike_weight), .rise = static_cast<float>(options.spike_rise)};
  fit.validation_fraction = static_cast<float>(options.validation);
  fit.augmentation = {.shift = options.dataset == "events" ? 0 : 2};
  fit.seed = options.seed;
  fit.threads = options.threads;
  return fit;
}

template <class Net>
auto& time_of(Net& net) {
  return net.template layer<Net::size - 1>();
}

template <class Net>
void diagnose(Net& net, const spiq::Tensor<float>& images, const Options& options) {
  const auto health = spiq::report::diagnose(net, images, options.threads);
  std::cout << health << "spikes an image: " << fixed(spikes_per_image(health), 0) << "\n";
}

// Trains, and says how good the network is, how many spikes it needs and what ails it.
template <class Net, class Data>
double train(Net& net, Data& train_set, Data& test_set, const spiq::FitOptions& fit, const Options& options) {
  const spiq::History history = fit_shown(net, train_set, fit);
  const double accuracy = spiq::evaluate(net, test_set, {.threads = options.threads}).accuracy;
  double seconds = 0;
  for (const auto& e : history.epochs) seconds += e.seconds;
  std::cout << "after " << history.epochs.size() << " epochs (" << fixed(seconds, 1) << " s): ";
  if (!history.epochs.empty() && history.epochs.back().validation_accuracy)
    std::cout << "validation " << percent(*history.epochs.back().validation_accuracy) << ", ";
  std::cout << "test " << percent(accuracy) << "\n";
  return accuracy;
}

template <class Learning>
void train_images(spiq::ImageData& data, const Options& options) {
  using Net = ImageNet<Learning>;
  Net net{spiq::Rng{options.seed}};
  prepare(net, options.leak);
  const spiq::Tensor<float> look = some_images(data.train, 500);
  if (!options.iir) {
    time_of(net).steps = options.steps;
    train(net, data.train, data.test, recipe(options), options);
    diagnose(net, look, options);
  } else {
    for (const int steps : {5, 3, 2, 1}) {
      std::cout << "\nT = " << steps << "\n";
      time_of(net).steps = steps;
      spiq::FitOptions fit = recipe(options);
      if (steps != 5) fit.learning_rate *= 0.5f;
      train(net, data.train, data.test, fit, options);
      diagnose(net, look, options);
    }
  }
  if (!options.save.empty()) spiq::save_weights(options.save, net);
}

template <class N>
void train_hybrid(spiq::ImageData& data, const Options& options) {
  ReluNet ann{spiq::Rng{options.seed}};
  std::cout << "without spikes\n";
  spiq::FitOptions fit = recipe(options);
  fit.loss = spiq::LossKind::cross_entropy;
  const double before = train(ann, data.train, data.test, fit, options);

  HybridNet<N> net{spiq::Rng{options.seed}};
  time_of(net).steps = options.steps;
  spiq::copy_synapses(ann, net);
  spiq::balance_thresholds(net, some_images(data.train, 512), options.percentile, static_cast<float>(options.scale),
                           options.threads);
  std::cout << "\nconverted, T = " << options.steps << ": test "
            << percent(spiq::evaluate(net, data.test, {.threads = options.threads}).accuracy)
            << "\ntrained on with spikes\n";
  fit = recipe(options);
  fit.learning_rate *= 0.2f;
  const double after = train(net, data.train, data.test, fit, options);
  std::cout << "with spikes: " << fixed(100 * (after - before), 2) << " points against the network without\n";
  diagnose(net, some_images(data.train, 500), options);
  if (!options.save.empty()) spiq::save_weights(options.save, net);
}

// One row: ten batches.
template <class Learning>
void measure(int steps, const char* name, const spiq::ImageSet& images, const Options& options,
             spiq::report::TextTable& table) {
  ImageNet<Learning> net{spiq::Rng{options.seed}};
  prepare(net, options.leak);
  time_of(net).steps = steps;
  spiq::FitOptions fit = recipe(options);
  fit.epochs = 1;
  fit.validation_fraction = 0;
  fit.augmentation = {};
  const std::size_t before = memory::restart();
  const auto start = std::chrono::steady_clock::now();
  spiq::fit(net, images, fit);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const std::size_t batches =
      (images.size() + static_cast<std::size_t>(options.batch) - 1) / static_cast<std::size_t>(options.batch);
  table.row({name, std::to_string(steps), fixed(1000 * seconds / static_cast<double>(batches), 1),
             fixed(static_cast<double>(memory::peak() - before) / 1048576, 2)});
}
void measure_all(const Options& options) {
  const spiq::ImageSet images =
      spiq::synthetic_glyphs(static_cast<std::size_t>(10 * options.batch), spiq::Rng(options.seed), options.threads);
  spiq::report::TextTable table({"rule", "T", "ms a batch", "peak MiB"});
  for (const int steps : {2, 4, 8, 16}) {
    measure<spiq::Bptt>(steps, "bptt", images, options, table);
    measure<spiq::Sltt>(steps, "sltt", images, options, table);
    measure<spiq::SlttK<2>>(steps, "sltt-k, 2 steps", images, options, table);
  }
  std::cout << "batches of " << options.batch << "; memory that training takes beside the data and the network\n"
            << table;
}

template <class Learning>
void train_events(const Options& options) {
  const Sizes sizes;
  EventBars train_set(options.train_images != 0 ? options.train_images : sizes.train_images,
                      spiq::Rng(options.seed).split(1));
  EventBars test_set(options.test_images != 0 ? options.test_images : sizes.test_images,
                     spiq::Rng(options.seed).split(2));
  EventNet<Learning> net{spiq::Rng{options.seed}};
  prepare(net, options.leak);
  train(net, train_set, test_set, recipe(options), options);
  diagnose(net, some_images(train_set, 500), options);
  if (!options.save.empty()) spiq::save_weights(options.save, net);
}

// Calls `use` with the learning rule of the command line.
template <class Use>
void with_rule(const Options& options, const Use& use) {
  if (options.rule == "bptt")
    use(spiq::Bptt{});
  else if (options.rule == "sltt")
    use(spiq::Sltt{});
  else
    use(spiq::SlttK<2>{});
}

void run(const Options& options) {
  if (options.memory) return measure_all(options);
  if (options.dataset == "events") {
    if (options.hybrid || options.iir) throw spiq::Error("--hybrid and --iir: expected images, found --dataset events");
    return with_rule(options, [&](auto rule) { train_events<decltype(rule)>(options); });
  }
  spiq::ImageData data = load_images(options, options.dataset == "mnist" ? Sizes{0, 0} : Sizes{});
  std::cout << options.dataset << ": " << data.train.size() << " training images, " << data.test.size()
            << " test images; seed " << options.seed << ", rule " << options.rule << ", loss " << options.loss
            << ", T = " << options.steps << "\n";
  if (!options.hybrid) return with_rule(options, [&](auto rule) { train_images<decltype(rule)>(data, options); });
  if (options.surrogate == "stdb")
    train_hybrid<StdbNeuron>(data, options);
  else
    train_hybrid<Neuron>(data, options);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Trains spiking networks with surrogate gradients: BPTT, SLTT or SLTT-K, from scratch, from a network with\n"
      "ReLU (--hybrid), or with fewer and fewer time steps (--iir). Weights are those of the last epoch."};
  Options options;
  options.declare(app);
  CLI11_PARSE(app, argc, argv);
  options.settle();
  try {
    options.check_outputs();
    run(options);
    return 0;
  } catch (const std::exception& e) {
    std::cerr << "train_snn: " << e.what() << "\n";
    return 1;
  }
}
