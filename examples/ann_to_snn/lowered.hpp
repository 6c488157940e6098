// Lowering a trained network to every target, measuring all of them, and what is printed and drawn of it.
#pragma once

#include "options.hpp"

#include <spiq/lower/lower.hpp>
#include <spiq/report/comparison.hpp>
#include <spiq/report/evaluate.hpp>
#include <spiq/report/layers.hpp>
#include <spiq/report/line_chart.hpp>
#include <spiq/report/measure.hpp>
#include <spiq/report/raster.hpp>

#include <algorithm>
#include <cstddef>
#include <iostream>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace conversion = spiq::conversion;
namespace report = spiq::report;
namespace target = spiq::target;

using PascalCounts = target::Spiking<conversion::Pascal<spiq::arithmetic::f32, spiq::form::counts>>;
using PascalSpikes = target::Spiking<conversion::Pascal<spiq::arithmetic::f32, spiq::form::spikes>>;
using ExactCounts = target::Spiking<conversion::Pascal<spiq::arithmetic::exact, spiq::form::counts>>;
using ExactSpikes = target::Spiking<conversion::Pascal<spiq::arithmetic::exact, spiq::form::spikes>>;

// The table under construction: the first network added is the reference of the others.
class Measurements {
public:
  Measurements(const report::LabelledImages& images, const Options& options, report::Card card)
      : test(images), options_(options), comparison_(std::move(card)) {}

  // Runs a network on the test set and adds its row; returns its predictions.
  template <class Network>
  std::vector<int> add(const std::string& name, const Network& network) {
    report::Measured m = report::measure(name, network, test, reference_,
                                         {.threads = options_.threads, .count_images = options_.count_images,
                                          .direct_coding = options_.recomputed ? spiq::DirectCoding::recomputed
                                                                               : spiq::DirectCoding::cached});
    if (reference_.empty()) reference_ = m.predictions;
    comparison_.add(std::move(m.row));
    return std::move(m.predictions);
  }
  [[nodiscard]] double accuracy(const std::vector<int>& predictions) const {
    return report::accuracy(std::span<const int>(predictions), std::span<const int>(test.labels));
  }
  [[nodiscard]] const report::Comparison& comparison() const { return comparison_; }

  const report::LabelledImages& test;

private:
  const Options& options_;
  report::Comparison comparison_;
  std::vector<int> reference_;
};

// "images 3 of 5000, neurons 7, first layer 4, predictions 0".
inline std::string describe(const report::CountDifferences& d, std::size_t predictions) {
  std::string text = std::to_string(d.images_differing) + " of " + std::to_string(d.images) +
                     " images with any differing count, " + std::to_string(d.neurons_differing()) + " neurons";
  if (d.neurons_differing() != 0) {
    text += ", first differing layer " + d.first_layer() + " (by layer:";
    for (std::size_t i = 0; i < d.paths.size(); ++i) text += " " + d.paths[i] + "=" + std::to_string(d.per_layer[i]);
    text += ")";
  }
  return text + ", " + std::to_string(predictions) + " differing predictions";
}
inline std::size_t differing(const std::vector<int>& a, const std::vector<int>& b) {
  std::size_t n = 0;
  for (std::size_t i = 0; i < a.size(); ++i) n += a[i] != b[i] ? 1u : 0u;
  return n;
}

template <class Network>
void print_layers(const std::string& name, const Network& network) {
  std::cout << name << "\n" << report::layer_table(network) << "\n";
}

// Accuracy of the QCFS network after each step, PASCAL as points, the network without spikes as a line.
template <class Network>
void draw_accuracy(const Network& qcfs, const Measurements& m, const Options& options) {
  const auto by_step = report::evaluate_over_time(qcfs, m.test.images, {.threads = options.threads});
  std::vector<std::pair<double, double>> curve;
  for (std::size_t t = 0; t < by_step.size(); ++t)
    curve.emplace_back(static_cast<double>(t + 1), 100 * m.accuracy(by_step[t]));
  report::LineChart chart;
  chart.title = "Accuracy against time steps, " + options.dataset + ", " + std::to_string(m.test.labels.size()) +
                " test images";
  chart.x_label = "time steps T";
  chart.y_label = "accuracy (%)";
  chart.log2_x = true;
  chart.caption = "QCFS: logits averaged over the first T steps. PASCAL has no output before its last step, so it is a "
                  "point at T = L; its latency in steps stands beside it.";
  chart.curve("QCFS spiking", std::move(curve));
  // Counts and explicit spikes mark the same point unless rounding parts them.
  std::set<std::pair<spiq::Arithmetic, double>> points;
  for (const report::ComparisonRow& r : m.comparison().rows()) {
    if (!r.timesteps && chart.series.size() == 1) chart.level(r.network, 100 * r.accuracy);
    if (r.latency_steps && points.emplace(r.arithmetic, r.accuracy).second)
      chart.point(r.network + " (" + std::to_string(*r.latency_steps) + " steps)", *r.timesteps, 100 * r.accuracy);
  }
  chart.write(options.out + "/accuracy_vs_timesteps.svg");
}

// Spikes of the first test image.
template <class Network>
void draw_raster(const Network& network, const report::LabelledImages& test, const Options& options) {
  auto session = network.session(1, {.threads = 1, .tile = 1});
  const auto& logits = session.run(test.images.data(), 1, test.images.size() / test.labels.size());
  report::Raster raster;
  raster.layers = report::raster_layers(session, 0, false);
  raster.title = "Spikes of one " + options.dataset + " image (label " + std::to_string(test.labels[0]) +
                 ", predicted " + std::to_string(report::argmax(logits.span())) + ") in the QCFS network";
  raster.caption = "Each mark is a spike.";
  raster.write(options.out + "/raster.svg");
}

// Lowers, measures, prints and draws. Returns false when exact arithmetic was not exact.
template <class Net>
bool lower_and_compare(const Net& net, const report::LabelledImages& test, const Options& options,
                       const report::Card& card) {
  std::cout << "lowering to " << spiq::simd::best::name << " kernels\n\n";
  const auto dense = spiq::lower(net, target::Float{});
  const auto exact = spiq::lower(net, target::Exact{});
  const auto pascal_counts = spiq::lower(net, PascalCounts{});
  const auto pascal_spikes = spiq::lower(net, PascalSpikes{});
  const auto exact_counts = spiq::lower(net, ExactCounts{});
  const auto exact_spikes = spiq::lower(net, ExactSpikes{});
  const int longest = *std::max_element(options.timesteps.begin(), options.timesteps.end());
  const auto qcfs = spiq::lower(net, target::Spiking{conversion::Qcfs{.steps = longest}});
  print_layers("Float", dense);
  print_layers("QCFS spiking, T = " + std::to_string(longest), qcfs);
  print_layers("PASCAL f32, explicit spikes", pascal_spikes);
  print_layers("PASCAL exact, counts", exact_counts);

  Measurements m(test, options, card);
  const auto dense_answers = m.add("ANN f32", dense);
  for (const int t : options.timesteps)
    m.add("QCFS spiking", spiq::lower(net, target::Spiking{conversion::Qcfs{.steps = t}}));
  const auto f32_spikes = m.add("PASCAL f32 spikes", pascal_spikes);
  const auto f32_counts = m.add("PASCAL f32 counts", pascal_counts);
  const auto exact_answers = m.add("ANN exact", exact);
  const auto int_spikes = m.add("PASCAL exact spikes", exact_spikes);
  const auto int_counts = m.add("PASCAL exact counts", exact_counts);
  std::cout << m.comparison() << "\n";

  const auto compare = [&](const auto& a, const auto& b) {
    return report::compare_counts(a, b, test.images, options.threads);
  };
  const auto spikes_f32 = compare(dense, pascal_spikes);
  const auto counts_f32 = compare(dense, pascal_counts);
  std::cout << "PASCAL f32 against the f32 ANN (rounding may move a neuron over a threshold; reported, not promised)\n"
            << "  explicit spikes: " << describe(spikes_f32, differing(dense_answers, f32_spikes)) << "\n"
            << "  counts:          " << describe(counts_f32, differing(dense_answers, f32_counts)) << "\n";
  const auto spikes_differ = compare(exact, exact_spikes);
  const auto counts_differ = compare(exact, exact_counts);
  const std::size_t answers_differ = differing(exact_answers, int_spikes) + differing(exact_answers, int_counts);
  std::cout << "PASCAL exact against the ANN in the same arithmetic (must be 0)\n"
            << "  explicit spikes: " << describe(spikes_differ, differing(exact_answers, int_spikes)) << "\n"
            << "  counts:          " << describe(counts_differ, differing(exact_answers, int_counts)) << "\n\n";

  draw_accuracy(qcfs, m, options);
  draw_raster(qcfs, test, options);
  std::cout << "wrote " << options.out << "/accuracy_vs_timesteps.svg and " << options.out << "/raster.svg\n";
  if (!options.json.empty()) {
    m.comparison().write_json(options.json);
    std::cout << "wrote " << options.json << "\n";
  }
  std::cout << "\n" << card;
  return spikes_differ.neurons_differing() + counts_differ.neurons_differing() + answers_differ == 0;
}
