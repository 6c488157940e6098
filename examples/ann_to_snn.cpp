// Trains a quantised network on images, lowers it to spiking networks and compares them all.
//
//     ann_to_snn                                  # on images drawn by the program itself
//     ann_to_snn --dataset mnist --data DIR
//     ann_to_snn --help
#include <CLI/CLI.hpp>

#include "common/card.hpp"
#include "common/images.hpp"
#include "ann_to_snn/lowered.hpp"
#include "ann_to_snn/networks.hpp"
#include "ann_to_snn/options.hpp"
#include "ann_to_snn/train.hpp"

#include <spiq/core/error.hpp>
#include <spiq/core/parallel.hpp>
#include <spiq/core/random.hpp>
#include <spiq/report/card.hpp>
#include <spiq/report/measure.hpp>

#include <exception>
#include <iostream>
#include <string>

namespace {

template <class Net>
int run(const Options& options) {
  const Recipe recipe = recipe_for(options.dataset);
  const spiq::ImageData data = load_images(options, recipe);
  std::cout << options.dataset << ": " << data.train.size() << " training images, " << data.test.size()
            << " test images, " << spiq::to_string(data.train.shape()) << "\n";

  Net net{spiq::Rng{options.seed}};
  set_levels(net, options.levels);
  const TrainingResult trained = options.load.empty() ? train(net, data.train, recipe, options) : load(net, options);
  if (!options.save.empty()) {
    spiq::save_weights(options.save, net);
    std::cout << "weights saved to " << options.save << "\n\n";
  }

  spiq::report::Card card = card_of(options, data);
  card.validation = trained.validation;
  card.more.emplace_back("training", trained.training);
  card.more.emplace_back("levels", levels_of(net));
  // Here the test set is used for the first time: nothing above has seen it, and nothing is chosen by it.
  if (lower_and_compare(net, spiq::report::LabelledImages(data.test), options, card)) return 0;
  std::cerr << "ann_to_snn: networks in exact arithmetic differ; this is an error of the library\n";
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Trains a QCFS network on images, lowers it to f32, to a QCFS spiking network and to PASCAL spiking\n"
               "networks (f32 and exact), and compares accuracy, spikes, operations, energy and speed."};
  Options options;
  options.declare(app);
  CLI11_PARSE(app, argc, argv);
  options.settle();
  try {
    options.check_outputs();
    return options.dataset == "cifar10" ? run<ColourNet>(options) : run<SmallNet>(options);
  } catch (const std::exception& e) {
    std::cerr << "ann_to_snn: " << e.what() << "\n";
    return 1;
  }
}
