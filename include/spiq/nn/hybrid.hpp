/// @file
/// From a trained network to one with spikes: weights copied, thresholds balanced, ready to be trained on.
#pragma once

#include <spiq/nn/calibrate.hpp>
#include <spiq/nn/network.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace nn {

/// What products and normalisations hold, in the order of the layers; neurons and activations are passed over.
template <class Float, class Net>
auto synapses_of(Net& net) {
  struct Array {
    std::string path;
    std::span<Float> values;
    Extents extents;
  };
  std::vector<Array> list;
  net.for_each_layer([&](const std::string& path, auto& layer) {
    using Layer = std::remove_cvref_t<decltype(layer)>;
    const auto visit = [&](const std::string& name, std::span<Float> values, const Extents& extents) {
      list.push_back({name, values, extents});
    };
    if constexpr (!Activation<Layer> && requires { Layer::state(layer, path, visit); })
      Layer::state(layer, path, visit);
  });
  return list;
}

}  // namespace nn

/// Copies the weights, biases, normalisations and input statistics of `from` into `to`, layer by layer in their order:
/// activations and neurons may differ, `OverTime` may stand around some of them. Throws, with `to` unchanged, unless
/// both have as many arrays, of the same extents.
template <class From, class To>
void copy_synapses(const From& from, To& to) {
  const auto source = nn::synapses_of<const float>(from);
  const auto target = nn::synapses_of<float>(to);
  if (source.size() != target.size())
    SPIQ_THROW("copying synapses", std::to_string(target.size()) + " arrays", std::to_string(source.size()));
  for (std::size_t i = 0; i < source.size(); ++i)
    if (!(source[i].extents == target[i].extents))
      SPIQ_THROW("copying synapses: " + source[i].path + " to " + target[i].path, to_string(target[i].extents),
                 to_string(source[i].extents));
  if (!(from.normalization.extents() == to.normalization.extents()))
    SPIQ_THROW("copying synapses: channels of the input", to_string(to.normalization.extents()),
               to_string(from.normalization.extents()));
  for (std::size_t i = 0; i < source.size(); ++i)
    std::copy(source[i].values.begin(), source[i].values.end(), target[i].values.begin());
  to.normalization = from.normalization;
}

/// Threshold balancing (Rathi et al., arXiv 2005.01807; with a percentile, DIET-SNN, arXiv 2008.03658): runs images
/// [N, C, H, W] through the network, front to back, and sets the threshold of each `Spiking` layer to the percentile
/// (100: the maximum) of its inputs over time, images and neurons, those before it being set; then all of them times
/// `scale`. Throws, with the network unchanged, where `images` do not fit or there are none, `percent` is not in
/// [0, 100], `scale` not positive, or a layer's inputs are not finite.
template <class In, class... L>
void balance_thresholds(Network<In, L...>& net, const Tensor<float>& images, double percent = 99.7, float scale = 1,
                        int threads = 0) {
  using Net = Network<In, L...>;
  Net::check_images(images);
  if (!(percent >= 0 && percent <= 100))
    SPIQ_THROW("balancing: percentile", "per cent in [0, 100]", std::to_string(percent));
  if (!(std::isfinite(scale) && scale > 0))
    SPIQ_THROW("balancing: scale", "a finite number > 0", std::to_string(scale));
  const std::size_t n = images.extent(0);
  if (n == 0) SPIQ_THROW("balancing", "at least one image", "none");
  typename Net::Cache cache;
  nn::Pass pass;
  pass.threads = threads;
  net.normalization.apply(images.data(), cache.input.get(n * Net::input_shape.size()), n, Net::input_shape, threads);
  cache.logits.resize({n, Net::outputs});
  struct Balanced {
    float* threshold;
    float before;
  };
  // Those that were set while a layer behind them turns out to be broken go back.
  struct Thresholds {
    std::vector<Balanced> list;
    bool good = false;
    ~Thresholds() {
      if (!good)
        for (const Balanced& b : list) *b.threshold = b.before;
    }
  } thresholds;
  net.observe("", cache.input.data(), cache.logits.data(), n, cache.layers, pass,
              [&](const std::string& path, auto& layer, std::span<const float> input) {
                if constexpr (requires {
                                layer.model.values;
                                layer.surrogate;
                              }) {
                  for (std::size_t k = 0; k < layer.model.values.size(); ++k)
                    if (layer.model.parameter_names[k] == "threshold") {
                      const float found = nn::initial_threshold(path, input, percent, 1e-30f);
                      thresholds.list.push_back({&layer.model.values[k], layer.model.values[k]});
                      layer.model.values[k] = found;
                    }
                }
              });
  thresholds.good = true;
  for (const Balanced& b : thresholds.list) *b.threshold *= scale;
}

SPIQ_END_NAMESPACE
