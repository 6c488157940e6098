// Learns the kernels of spiking layers without labels, by three local rules, and compares their features with those of
// the same kernels left at random, under the same linear read-out.
//
//     local_learning                              # on images drawn by the program itself
//     local_learning --dataset mnist --data DIR
//     local_learning --help
#include <CLI/CLI.hpp>

#include "common/images.hpp"
#include "local_learning/learn.hpp"
#include "local_learning/options.hpp"
#include "local_learning/pictures.hpp"

#include <spiq/report/format.hpp>
#include <spiq/report/json.hpp>
#include <spiq/report/text_table.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <iostream>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace {

namespace report = spiq::report;

// Training images, and those that accuracy is measured on: test images, or training images held out.
std::pair<spiq::ImageSet, spiq::ImageSet> images_of(Options options) {
  const std::size_t training = options.train_images != 0 ? options.train_images : Recipe{}.train_images;
  options.train_images = training + options.validation_images;
  spiq::ImageData data = load_images(options, Recipe{});
  if (options.validation_images == 0) return {std::move(data.train), std::move(data.test)};
  if (data.train.size() <= training)
    throw spiq::Error("--validation-images: expected more than " + std::to_string(training) +
                      " training images, found " + std::to_string(data.train.size()));
  std::vector<std::uint32_t> held(data.train.size() - training);
  std::iota(held.begin(), held.end(), static_cast<std::uint32_t>(training));
  spiq::ImageSet validation = data.train.subset(held);
  keep_first(data.train, training);
  return {std::move(data.train), std::move(validation)};
}

// A layer of square kernels on the maps of the one before.
template <class Rule>
struct Layer {
  int size, maps, stride;
  plasticity::LocalOptions neurons;
  Rule rule;
};

// The same rule with all strengths 0: only thresholds adapt.
plasticity::PowerLawStdp frozen(plasticity::PowerLawStdp rule) {
  rule.eta = 0;
  return rule;
}
plasticity::StochasticStdp frozen(plasticity::StochasticStdp rule) {
  rule.p_pot = rule.p_dep = 0;
  return rule;
}
plasticity::HybridStdp frozen(plasticity::HybridStdp rule) {
  rule.p_h = rule.p_a = rule.anti_p_h = rule.anti_p_a = 0;
  return rule;
}

class Comparison {
public:
  Comparison(const Options& options, const spiq::ImageSet& train, const spiq::ImageSet& test)
      : options_(options), train_(train), test_(test) {}

  // Learned kernels beside the same at random. `Features` is what windows of `pool` x `pool` neurons of the last layer
  // make, whose inhibition is `inhibition_after` once it has learned.
  template <int Features, class Rule>
  void add(const std::string& name, const std::vector<Layer<Rule>>& layers, std::size_t pool, float inhibition_after) {
    const spiq::Rng rng = spiq::Rng(options_.seed).split(3);
    Stack<Rule> at_random, learned;
    spiq::Shape in = train_.shape();
    std::size_t bytes = 0;
    for (const auto& layer : layers) {
      spiq::kernel::ConvGeometry g;
      g.in = in;
      g.out_channels = layer.maps;
      g.kernel_h = g.kernel_w = layer.size;
      g.stride_h = g.stride_w = layer.stride;
      in = g.out();
      at_random.emplace_back(g, layer.neurons, frozen(layer.rule), rng.split(learned.size()));
      learned.emplace_back(g, layer.neurons, layer.rule, rng.split(learned.size()));
      bytes += learned.back().weights().bytes();
    }
    KernelRow row{layers.size() > 1 ? name + ", the first" : name,
                  static_cast<std::size_t>(layers[0].size),
                  kernels(learned[0]),
                  {}};
    const auto [random_accuracy, random_spikes] = measure<Features>(at_random, pool, inhibition_after);
    const auto [accuracy, spikes] = measure<Features>(learned, pool, inhibition_after);
    row.after = kernels(learned[0]);
    pictures_.push_back(std::move(row));
    table_.row({name, std::to_string(bytes), report::fixed(random_spikes, 0), report::fixed(spikes, 0),
                report::fixed(100 * random_accuracy, 2), report::fixed(100 * accuracy, 2),
                report::fixed(100 * (accuracy - random_accuracy), 2)});
    std::cout << name << ": done\n" << std::flush;
  }

  [[nodiscard]] const report::TextTable& table() const { return table_; }
  [[nodiscard]] const std::vector<KernelRow>& pictures() const { return pictures_; }

private:
  // Accuracy and spikes per image.
  template <int Features, class Rule>
  std::pair<double, double> measure(Stack<Rule>& stack, std::size_t pool, float inhibition_after) {
    const spiq::Rng rng(options_.seed);
    const Encoder learning(options_, rng.split(4)), training(options_, rng.split(5)), testing(options_, rng.split(6));
    learn(stack, train_, learning, options_.passes);
    stack.back().options.inhibition = inhibition_after;
    const auto a = features(stack, train_, training, pool), b = features(stack, test_, testing, pool);
    return {read_out<Features>(a, train_, b, test_, options_), b.spikes};
  }

  const Options& options_;
  const spiq::ImageSet& train_;
  const spiq::ImageSet& test_;
  std::vector<KernelRow> pictures_;
  report::TextTable table_{
      {"rule", "kernel bytes", "spikes, random", "learned", "accuracy %, random", "learned", "gain"}};
};

void run(const Options& options) {
  const auto [train, test] = images_of(options);
  std::cout << options.dataset << ": " << train.size() << " training images, " << test.size()
            << (options.validation_images == 0 ? " test images" : " images for validation") << ", seed " << options.seed
            << "\n";
  if (!(train.shape() == spiq::Shape{28, 28, 1}))
    throw spiq::Error("images: expected 28x28x1, found " + spiq::to_string(train.shape()));

  using plasticity::Sharing;
  Comparison comparison(options, train, test);
  // Chosen on images held out of MNIST's training set, with seed 1.
  constexpr float all = 1e9f;  // inhibition that leaves nothing
  const plasticity::LocalOptions for_power{.leak = 0.9f,
                                           .threshold = 8,
                                           .theta_plus = 0.002f,
                                           .theta_decay = 0.999f,
                                           .inhibition = all,
                                           .sharing = Sharing::winner};
  const plasticity::PowerLawStdp power{.eta = 0.05f, .tau = 5, .offset = 0.4f};
  comparison.add<6 * 6 * 8, plasticity::PowerLawStdp>("STDP, power law", {{5, 8, 1, for_power, power}}, 4, all);

  // Kernels as large as the image: fully connected layers. The first has sBSNN's stochastic neurons, without a memory,
  // the second the same kind of synapses behind neurons that integrate. Inhibition is for learning only.
  const plasticity::LocalOptions for_stochastic{
      .leak = 0, .threshold = 15, .theta_plus = 0.3f, .theta_decay = 0.9998f, .noise = 1, .inhibition = all};
  const plasticity::StochasticStdp stochastic{.p_pot = 0.1f, .tau_pot = 1, .p_dep = 0.005f, .tau_dep = 100};
  comparison.add<64, plasticity::StochasticStdp>("sBSNN", {{28, 64, 1, for_stochastic, stochastic}}, 1, 0);
  const plasticity::LocalOptions for_integrating{
      .leak = 1, .threshold = 20, .theta_plus = 4, .theta_decay = 0.9999f, .inhibition = all};
  const plasticity::StochasticStdp slower{.p_pot = 0.1f, .tau_pot = 3, .p_dep = 0.01f, .tau_dep = 100};
  comparison.add<64, plasticity::StochasticStdp>("sBSNN's synapses, IF neurons", {{28, 64, 1, for_integrating, slower}},
                                                 1, 0);

  const plasticity::LocalOptions for_hybrid{.leak = 0.9f,
                                            .threshold = 5,
                                            .theta_plus = 0.001f,
                                            .theta_decay = 0.9995f,
                                            .inhibition = all,
                                            .sharing = Sharing::winner};
  const plasticity::HybridStdp hybrid{.t_hebb = 4, .t_anti = 4, .p_h = 0.01f, .p_a = 0.01f};
  comparison.add<6 * 6 * 8, plasticity::HybridStdp>("ReStoCNet, one layer", {{5, 8, 1, for_hybrid, hybrid}}, 4, all);
  auto for_second = for_hybrid;
  for_second.threshold = 3;
  const plasticity::HybridStdp hybrid_second{.t_hebb = 10, .t_anti = 10, .p_h = 0.05f, .p_a = 0.005f};
  comparison.add<5 * 5 * 32, plasticity::HybridStdp>(
      "ReStoCNet, two layers", {{5, 8, 1, for_hybrid, hybrid}, {5, 32, 2, for_second, hybrid_second}}, 2, all);
  std::cout << "\n" << comparison.table();
  const std::string picture = (std::filesystem::path(options.out) / "kernels.svg").string();
  report::write_text_file(picture, kernel_sheet(comparison.pictures()));
  std::cout << "\nwrote " << picture << "\n";
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Learns kernels of spiking layers by local rules, without labels: power-law STDP, the stochastic rule of\n"
      "sBSNN and the hybrid rule of ReStoCNet; and compares them with the same kernels left at random."};
  Options options;
  options.declare(app);
  CLI11_PARSE(app, argc, argv);
  options.settle();
  try {
    options.check_outputs();
    run(options);
  } catch (const std::exception& e) {
    std::cerr << "local_learning: " << e.what() << "\n";
    return 1;
  }
}
