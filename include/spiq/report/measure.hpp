/// @file
/// From executable networks and labelled images to rows of the comparison table.
#pragma once

#include <spiq/exec/network.hpp>
#include <spiq/nn/dataset.hpp>
#include <spiq/report/comparison.hpp>
#include <spiq/report/evaluate.hpp>
#include <spiq/report/operations.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace report {

/// Labelled images in memory as sessions read them: [N, C, H, W] in [0, 1].
struct LabelledImages {
  Tensor<float> images;
  std::vector<int> labels;

  LabelledImages() = default;
  /// Reads a whole data set.
  template <Dataset Data>
  explicit LabelledImages(Data& data) : labels(data.size()) {
    std::vector<std::uint32_t> all(data.size());
    std::iota(all.begin(), all.end(), 0u);
    data.fill(all, images, std::span<int>(labels));
    if (images.extent(0) != labels.size())
      SPIQ_THROW("data set", std::to_string(labels.size()) + " images", std::to_string(images.extent(0)));
  }
};

/// What the layers of an executable network say about it.
struct NetworkTraits {
  int timesteps = 0;     ///< most steps that a spiking layer emits; 0: no layer spikes
  bool pascal = false;   ///< output stands only after the last step
  bool collapsed = false;  ///< graded inputs (counts, pooled spikes) meet a product: one multiply per count
  Arithmetic arithmetic = Arithmetic::f32;
};

template <class Network>
NetworkTraits network_traits(const Network& network) {
  NetworkTraits t;
  auto look = [&]<class Layer>(const Layer& layer) {
    if constexpr (detail::layer_spikes<Layer>()) {
      if constexpr (detail::WithEpilogue<Layer>) {
        t.timesteps = std::max(t.timesteps, layer.epilogue.out_steps(layer.info.in_steps));
        t.pascal |= detail::answers_at_end<std::remove_cvref_t<decltype(layer.epilogue)>>;
      } else {
        t.timesteps = std::max(t.timesteps, layer.steps);
      }
    }
    if constexpr (detail::WithProduct<Layer>) {
      using Product = std::remove_cvref_t<decltype(layer.product)>;
      constexpr bool graded =
          std::is_same_v<typename Layer::takes, packing::counts> || std::is_same_v<typename Layer::takes, packing::levels>;
      t.collapsed |= graded;
      if constexpr (std::is_integral_v<typename Product::value>) t.arithmetic = Arithmetic::int16;
    }
  };
  network.chain.for_each_layer(look);
  return t;
}

/// A row of the table, and the predictions that it rests on.
struct Measured {
  ComparisonRow row;
  std::vector<int> predictions;
};

/// Runs `network` on all images: accuracy, speed, operations per image, agreement with `reference` (its predictions for
/// the same images; empty: the network is its own reference).
template <class Network>
Measured measure(const std::string& name, const Network& network, const LabelledImages& test,
                 std::span<const int> reference = {}, EvaluationOptions options = {}) {
  Evaluation e = evaluate(network, test.images, options);
  const std::span<const int> labels(test.labels);
  const std::span<const int> answers(e.predictions);
  const std::size_t stride = labels.empty() ? 0 : test.images.size() / labels.size();
  const std::size_t counted = options.count_images == 0 ? labels.size() : std::min(options.count_images, labels.size());
  const auto counter = count_operations(network, test.images.data(), counted, stride, options.threads);
  const NetworkTraits traits = network_traits(network);
  ComparisonRow row;
  row.network = name;
  if (traits.timesteps != 0) row.timesteps = traits.timesteps;
  if (traits.pascal) row.latency_steps = static_cast<int>(counter.latency_steps());
  row.accuracy = accuracy(answers, labels);
  row.agreement = agreement(reference.empty() ? answers : reference, answers, labels);
  row.operations = counter.mean();
  row.counted_images = counter.images();
  row.arithmetic = traits.arithmetic;
  row.collapsed = traits.collapsed && traits.timesteps != 0;
  row.direct_coding = options.direct_coding;
  if (traits.timesteps != 0 && options.direct_coding == DirectCoding::recomputed)
    row.operations.mac *= static_cast<double>(traits.timesteps);
  row.images_per_second = e.images_per_second();
  return {std::move(row), std::move(e.predictions)};
}

/// The table of several networks on one data set; the first is the reference of the others.
///     std::cout << report::compare(test, dense, snn);
template <class Data, class... Networks>
Comparison compare(Data& data, const Networks&... networks) {
  const LabelledImages test(data);
  Comparison table;
  std::vector<int> reference;
  const auto add = [&](const auto& network) {
    Measured m = measure(network.target, network, test, reference);
    if (reference.empty()) reference = std::move(m.predictions);
    table.add(std::move(m.row));
  };
  (add(networks), ...);
  return table;
}

}  // namespace report

SPIQ_END_NAMESPACE
