// One network, every way to spikes: with ReLU by rate coding (RMP and hard reset), with quantised activations by QCFS,
// PASCAL and bit-serial spikes; then PASCAL's adapted levels and the penalty on bits.
//
//     conversion_zoo                                  # on images drawn by the program itself
//     conversion_zoo --dataset mnist --data DIR
#include <CLI/CLI.hpp>

#include "common/card.hpp"
#include "common/images.hpp"
#include "conversion_zoo/options.hpp"
#include "conversion_zoo/train.hpp"

#include <spiq/core/error.hpp>
#include <spiq/lower/balance.hpp>
#include <spiq/report/card.hpp>
#include <spiq/report/evaluate.hpp>
#include <spiq/report/measure.hpp>
#include <spiq/report/unevenness.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iostream>
#include <span>
#include <string>
#include <vector>

namespace {

namespace conversion = spiq::conversion;
namespace report = spiq::report;
namespace target = spiq::target;

std::string points(double fraction) { return report::fixed(100 * fraction, 2); }

// The first of the given images as sessions read them.
spiq::Tensor<float> first_images(const spiq::ImageSet& set, std::span<const std::uint32_t> indices, std::size_t most) {
  const auto chosen = indices.first(std::min(most, indices.size()));
  spiq::Tensor<float> images;
  std::vector<int> labels(chosen.size());
  set.fill(chosen, images, labels);
  return images;
}

// The table under construction; the first row is the reference of the others.
struct Table {
  const report::LabelledImages& test;
  const Options& options;
  report::Comparison rows;
  std::vector<int> reference{};

  template <class Network>
  report::ComparisonRow add(const std::string& name, const Network& network) {
    report::Measured m = report::measure(name, network, test, reference,
                                         {.threads = options.threads, .count_images = options.count_images});
    if (reference.empty()) reference = m.predictions;
    rows.add(std::move(m.row));
    return rows.rows().back();
  }
};

// Steps after which a network stays within `loss` of an accuracy; 0: never.
template <class Network>
std::size_t steps_within(const Network& network, const Table& table, double accuracy, double loss) {
  const auto by_step = report::evaluate_over_time(network, table.test.images, {.threads = table.options.threads});
  std::size_t steps = by_step.size() + 1;
  while (steps > 1 && report::accuracy(std::span<const int>(by_step[steps - 2]),
                                       std::span<const int>(table.test.labels)) >= accuracy - loss)
    --steps;
  return steps > by_step.size() ? 0 : steps;
}

template <class Conversion>
std::size_t add_rate_coded(Table& table, const ReluNet& net, const std::string& name, Conversion rate, double accuracy,
                           const spiq::Tensor<float>& calibration) {
  const Options& options = table.options;
  rate.steps = options.timesteps.back();
  rate.percentile = options.percentile;
  rate.scale = options.scale;
  rate = spiq::balance(net, rate, calibration);
  for (const int t : options.timesteps) {
    rate.steps = t;
    table.add(name, spiq::lower(net, target::Spiking{rate}));
  }
  return steps_within(spiq::lower(net, target::Spiking{rate}), table, accuracy, 0.005);
}

std::string levels_of(const std::vector<spiq::LayerLevels>& layers) {
  std::string text;
  for (const auto& l : layers) text += (text.empty() ? "" : " ") + std::to_string(l.levels);
  return text;
}

int run(const Options& options) {
  const spiq::ImageData data = load_images(options, recipe_for(options.dataset));
  std::cout << options.dataset << ": " << data.train.size() << " training images, " << data.test.size()
            << " test images\n";

  ReluNet relu{spiq::Rng{options.seed}};
  const spiq::History history = train("the ReLU network", relu, data.train, options.epochs, 0.1f, options);
  QcfsNet quantised{spiq::Rng{options.seed}};
  train("the QCFS network", quantised, data.train, options.epochs, 0.1f, options);

  // Every choice is made on validation images, which no training has seen.
  const spiq::ImageSet validation = data.train.subset(history.validation);
  std::vector<std::uint32_t> all(data.train.size());
  for (std::uint32_t i = 0; i < all.size(); ++i) all[i] = i;
  const spiq::Tensor<float> calibration = first_images(data.train, all, options.calibration);

  QcfsNet longer = quantised, adapted = quantised, sparse = quantised;
  const auto before = spiq::measure_levels(adapted, calibration, options.threads);
  spiq::choose_levels(
      adapted, calibration, [&] { return spiq::evaluate(adapted, validation, {.threads = options.threads}).accuracy; },
      {.fraction = 1.0 / 3, .tolerance = 0.01}, options.threads);
  const float rate = 0.02f;
  train("on, as it is", longer, data.train, options.more_epochs, rate, options);
  train("on, with adapted levels", adapted, data.train, options.more_epochs, rate, options);
  train("on, with a penalty on bits", sparse, data.train, options.more_epochs, rate, options,
        {.bits = static_cast<float>(options.bits)});
  const auto after = spiq::measure_levels(adapted, calibration, options.threads);

  report::Card card = card_of(options, data);
  card.validation = std::to_string(history.validation.size()) + " training images, drawn by the seed";
  card.more.emplace_back("training",
                         std::to_string(options.epochs) + " epochs, then " + std::to_string(options.more_epochs));
  const report::LabelledImages test(data.test);
  Table table{test, options, report::Comparison(card)};

  const double relu_accuracy = table.add("ReLU ANN", spiq::lower(relu, target::Float{})).accuracy;
  const std::size_t soft = add_rate_coded(table, relu, "ReLU, RMP", conversion::Rmp{}, relu_accuracy, calibration);
  const std::size_t hard =
      add_rate_coded(table, relu, "ReLU, hard reset", conversion::HardReset{}, relu_accuracy, calibration);
  table.add("QCFS ANN", spiq::lower(quantised, target::Float{}));
  for (const int t : options.timesteps)
    table.add("QCFS spikes", spiq::lower(quantised, target::Spiking{conversion::Qcfs{.steps = t}}));
  using PascalSpikes = conversion::Pascal<spiq::arithmetic::f32, spiq::form::spikes>;
  table.add("PASCAL", spiq::lower(quantised, target::Spiking{PascalSpikes{}}));
  table.add("bit-serial", spiq::lower(quantised, target::Spiking{conversion::BitSerial<>{}}));
  const double longer_accuracy =
      table.add("PASCAL, longer", spiq::lower(longer, target::Spiking{PascalSpikes{}})).accuracy;
  const double adapted_accuracy =
      table.add("PASCAL, adapted", spiq::lower(adapted, target::Spiking{PascalSpikes{}})).accuracy;
  const auto plain_bits =
      table.add("bit-serial, longer", spiq::lower(longer, target::Spiking{conversion::BitSerial<>{}}));
  const auto sparse_bits =
      table.add("bit-serial, penalty", spiq::lower(sparse, target::Spiking{conversion::BitSerial<>{}}));
  std::cout << "\n" << table.rows << "\n";

  const auto steps = [&](std::size_t n) {
    return n == 0 ? "more than " + std::to_string(options.timesteps.back()) : std::to_string(n);
  };
  std::cout << "steps to stay within 0.5 points of the ReLU ANN: RMP " << steps(soft) << ", hard reset " << steps(hard)
            << "\n"
            << "adapted levels: " << levels_of(before) << " -> " << levels_of(after) << ", mean effective steps "
            << report::fixed(spiq::mean_effective_steps(before), 2) << " -> "
            << report::fixed(spiq::mean_effective_steps(after), 2) << ", accuracy " << points(longer_accuracy) << " -> "
            << points(adapted_accuracy) << " %\n"
            << "penalty on bits: spikes an image " << report::fixed(plain_bits.operations.spikes, 0) << " -> "
            << report::fixed(sparse_bits.operations.spikes, 0) << ", accuracy " << points(plain_bits.accuracy) << " -> "
            << points(sparse_bits.accuracy) << " %\n\n"
            << "unevenness of the QCFS spikes at T = " << options.timesteps.front() << "\n"
            << report::unevenness_table(report::unevenness(
                   spiq::lower(quantised, target::Spiking{conversion::Qcfs{.steps = options.timesteps.front()}}),
                   calibration))
            << "\n"
            << card;
  if (!options.json.empty()) table.rows.write_json(options.json);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Trains one network with ReLU and with quantised activations, turns it into spikes in every way that the\n"
      "library has, and compares accuracy, steps, spikes and energy."};
  Options options;
  options.declare(app);
  CLI11_PARSE(app, argc, argv);
  options.settle();
  try {
    expect_output("--json", options.json, true);
    return run(options);
  } catch (const std::exception& e) {
    std::cerr << "conversion_zoo: " << e.what() << "\n";
    return 1;
  }
}
