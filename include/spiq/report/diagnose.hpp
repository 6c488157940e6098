/// @file
/// What ails a spiking or quantised network: rates, silence, saturation, membranes, layer by layer, in sentences.
#pragma once

#include <spiq/core/tensor.hpp>
#include <spiq/neuron/run.hpp>
#include <spiq/nn/calibrate.hpp>
#include <spiq/nn/network.hpp>
#include <spiq/nn/recurrent.hpp>
#include <spiq/report/format.hpp>
#include <spiq/report/text_table.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <ostream>
#include <span>
#include <string>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace report {

/// One layer with neurons, or quantised activations, over a batch.
struct LayerHealth {
  std::string path;           ///< "2.body.0"
  std::size_t neurons = 0;    ///< of one image
  int steps = 1;
  double rate = 0;            ///< spikes a neuron and step; of an activation, mean level over the largest
  double silent = 0;          ///< share of neurons that never fire over the batch; of activations always 0
  double saturated = 0;       ///< share that fires at every step of every image; of activations always at the largest level
  double clipped = 0;         ///< share of inputs above the threshold, of activations
  double median = 0;          ///< of |membrane potential| (after each step), or of |inputs| of an activation, over the threshold
  double top = 0;             ///< 99.9 % of it
  double gradient = 0;        ///< root mean square of the surrogate's slope at those potentials; 0 for activations
  // Beside the network before conversion (report/diagnose_lowered.hpp), in the unit of its activations; else all 0:
  double activation = 0;      ///< its mean
  double difference = 0;      ///< mean of what the spikes of a neuron stand for, less its activation
  double distance = 0;        ///< mean of the absolute value of that
};

/// The layers of `diagnose`, and what it says of them.
struct Diagnosis {
  std::vector<LayerHealth> layers;
  std::size_t images = 0;

  /// A sentence for each layer that is not well; none for a healthy network.
  [[nodiscard]] std::vector<std::string> sentences() const {
    std::vector<std::string> all;
    const auto percent = [](double share) { return fixed(100 * share, 0) + " %"; };
    for (const LayerHealth& l : layers) {
      const std::string layer = "layer " + l.path + ": ";
      if (!std::isfinite(l.top)) {
        all.push_back(layer + "potentials over the threshold are no finite numbers: look at the threshold, which must "
                              "be positive, at weights and at the learning rate");
        continue;
      }
      const std::string over = " over " + std::to_string(images) + " images";
      if (l.silent >= 0.5)
        all.push_back(layer + percent(l.silent) + " of neurons never fire" + over + "; " +
                      (l.top < 0.5 ? "the threshold is " + fixed(l.top > 0 ? 1 / l.top : 0, 1) +
                                         "x the 99.9 % membrane potential: lower it or scale the weights up"
                                   : "their inputs cancel or are negative: look at weights, biases and normalisation"));
      if (l.saturated >= 0.25)
        all.push_back(layer + percent(l.saturated) + " of neurons fire at every step" + over +
                      "; the potentials reach " + fixed(l.top, 1) + "x the threshold: raise it or scale the weights down");
      if (l.clipped >= 0.2)
        all.push_back(layer + percent(l.clipped) + " of inputs lie above the threshold" + over + ": raise it, or train it longer");
      if (l.gradient > 0 && l.gradient < 1e-3)
        all.push_back(layer + "the surrogate's slope is " + shortest(std::round(l.gradient * 1e6) / 1e6) +
                      " where the potentials are: almost nothing is learned through it; take a wider surrogate or "
                      "rescale");
      if (l.activation > 0 && l.distance >= 0.5 * l.activation)
        all.push_back(layer + "counted in spikes the activations are " +
                      percent((l.activation + l.difference) / l.activation) +
                      " of the trained network's on average, and " + percent(l.distance / l.activation) +
                      " off in the mean; " +
                      (l.clipped >= 0.2 ? "they are more than the neurons can count: raise the threshold"
                       : -l.difference >= l.distance / 2
                           ? "too few spikes: take more time steps or a lower threshold"
                           : "spikes come unevenly: take more time steps, or look at the layers before"));
    }
    return all;
  }
  friend std::ostream& operator<<(std::ostream& out, const Diagnosis& d) {
    TextTable table({"layer", "neurons", "T", "rate", "never %", "always %", "clipped %", "median / thr", "99.9 % / thr", "slope",
                     "count - ANN"});
    for (const LayerHealth& l : d.layers)
      table.row({l.path, std::to_string(l.neurons), std::to_string(l.steps), fixed(l.rate, 3), fixed(100 * l.silent, 1),
                 fixed(100 * l.saturated, 1), fixed(100 * l.clipped, 1), fixed(l.median, 2), fixed(l.top, 2),
                 l.gradient > 0 ? fixed(l.gradient, 3) : "-", l.activation > 0 ? fixed(l.difference, 4) : "-"});
    out << table;
    for (const std::string& s : d.sentences()) out << s << "\n";
    return out;
  }
};

namespace detail {

/// x over a threshold; NaN where that is none.
inline double over_threshold(float x, double threshold) {
  return threshold > 0 ? static_cast<double>(x) / threshold : std::numeric_limits<double>::quiet_NaN();
}

/// Rates and potentials of a spiking layer on currents [steps][batch * neurons].
template <class Layer>
LayerHealth spiking_health(const Layer& layer, std::span<const float> currents, std::size_t batch) {
  LayerHealth h;
  h.neurons = layer.in.size();
  const std::size_t n = batch * h.neurons, steps = n == 0 ? 0 : currents.size() / n;
  h.steps = static_cast<int>(steps);
  std::vector<float> state, spikes(currents.size()), membrane(currents.size());
  for (const float v : layer.model.initial_state()) state.insert(state.end(), n, v);
  neuron::run(layer.model, steps, n, currents.data(), state.data(),
              [&](std::size_t t, std::size_t i, auto access, const auto& s, const auto& v) {
                access.store(neuron::amount(s), spikes.data() + t * n + i);
                access.store(v, membrane.data() + t * n + i);
              });
  std::vector<std::size_t> counts(h.neurons);
  std::size_t total = 0;
  for (std::size_t i = 0; i < spikes.size(); ++i)
    if (spikes[i] != 0) {
      ++counts[i % h.neurons];
      ++total;
    }
  const std::size_t most = batch * steps;
  for (const std::size_t c : counts) {
    h.silent += c == 0 ? 1 : 0;
    h.saturated += c == most && most != 0 ? 1 : 0;
  }
  const double all = static_cast<double>(std::max<std::size_t>(h.neurons, 1));
  h.silent /= all;
  h.saturated /= all;
  h.rate = spikes.empty() ? 0 : static_cast<double>(total) / static_cast<double>(spikes.size());
  double threshold = 1;
  for (std::size_t k = 0; k < layer.model.parameters().size(); ++k)
    if (layer.model.parameter_names[k] == "threshold") threshold = static_cast<double>(layer.model.parameters()[k]);
  double slope = 0;
  using V = simd::vec<float, simd::scalar>;
  for (float& v : membrane) {
    using Surrogate = decltype(layer.surrogate);
    if constexpr (requires(V u) { layer.surrogate(u); }) {  // else it does not depend on the potential alone
      constexpr bool relative = neuron::is_relative<Surrogate>;
      const auto theta = static_cast<float>(threshold);
      const auto g = static_cast<double>(layer.surrogate(V{relative ? v / theta - 1 : v - theta}).v) / (relative ? threshold : 1);
      slope += g * g;
    }
    v = std::fabs(v);
  }
  h.gradient = membrane.empty() ? 0 : std::sqrt(slope / static_cast<double>(membrane.size()));
  h.median = over_threshold(nn::percentile(membrane, 50), threshold);
  h.top = over_threshold(nn::percentile(membrane, 99.9), threshold);
  return h;
}

/// The same for neurons whose spikes come back: they are run once to know their currents.
template <class Layer>
LayerHealth recurrent_health(const Layer& layer, std::span<const float> x, std::size_t batch, int threads) {
  const std::size_t samples = x.size() / layer.in.size();
  nn::Pass pass;
  pass.mode = nn::Mode::train;  // keeps the currents
  pass.threads = threads;
  pass.steps = static_cast<int>(samples / batch);
  typename Layer::Cache cache;
  std::vector<float> spikes(x.size());
  layer.forward(x.data(), spikes.data(), samples, cache, pass);
  return spiking_health(layer.body, {cache.current.data(), x.size()}, batch);
}

/// Levels of a quantised activation on inputs [batch][neurons].
template <class Layer>
LayerHealth quantised_health(const Layer& layer, std::span<const float> z, std::size_t batch) {
  LayerHealth h;
  h.neurons = layer.in.size();
  const std::size_t repeats = h.neurons == 0 ? 0 : z.size() / h.neurons;
  h.steps = batch == 0 ? 1 : static_cast<int>(std::max<std::size_t>(repeats / batch, 1));
  std::vector<std::size_t> zero(h.neurons), full(h.neurons);
  const double levels = layer.levels, lambda = static_cast<double>(layer.lambda);
  double sum = 0, above = 0;
  std::vector<float> magnitudes(z.begin(), z.end());
  for (std::size_t i = 0; i < z.size(); ++i) {
    const double level = std::clamp(std::floor(static_cast<double>(z[i]) / lambda * levels + 0.5), 0.0, levels);
    sum += level / levels;
    above += static_cast<double>(z[i]) > lambda ? 1 : 0;
    zero[i % h.neurons] += level == 0 ? 1 : 0;
    full[i % h.neurons] += level == levels ? 1 : 0;
    magnitudes[i] = std::fabs(magnitudes[i]);
  }
  for (std::size_t k = 0; k < h.neurons; ++k) {
    h.silent += zero[k] == repeats ? 1 : 0;
    h.saturated += full[k] == repeats ? 1 : 0;
  }
  const double all = static_cast<double>(std::max<std::size_t>(h.neurons, 1)), count = static_cast<double>(std::max<std::size_t>(z.size(), 1));
  h.silent /= all;
  h.saturated /= all;
  h.rate = sum / count;
  h.clipped = above / count;
  h.median = over_threshold(nn::percentile(magnitudes, 50), lambda);
  h.top = over_threshold(nn::percentile(magnitudes, 99.9), lambda);
  return h;
}

}  // namespace detail

/// Runs images [N, C, H, W] once in evaluation mode and looks at every layer of spiking neurons (`Spiking`, `Recurrent`)
/// and of quantised activations (`Qcfs`). Throws where the images do not fit, or there are none.
template <class In, class... L>
Diagnosis diagnose(Network<In, L...>& net, const Tensor<float>& images, int threads = 0) {
  using Net = Network<In, L...>;
  Net::check_images(images);
  Diagnosis d;
  d.images = images.extent(0);
  if (d.images == 0) SPIQ_THROW("diagnose", "at least one image", "none");
  typename Net::Cache cache;
  nn::Pass pass;
  pass.threads = threads;
  net.normalization.apply(images.data(), cache.input.get(d.images * Net::input_shape.size()), d.images, Net::input_shape, threads);
  cache.logits.resize({d.images, Net::outputs});
  net.observe("", cache.input.data(), cache.logits.data(), d.images, cache.layers, pass,
              [&](const std::string& path, auto& layer, std::span<const float> input) {
                LayerHealth h;
                if constexpr (requires { layer.surrogate; })
                  h = detail::spiking_health(layer, input, d.images);
                else if constexpr (requires { layer.body.surrogate; })
                  h = detail::recurrent_health(layer, input, d.images, threads);
                else if constexpr (requires { layer.lambda; layer.levels; })
                  h = detail::quantised_health(layer, input, d.images);
                else
                  return;
                h.path = path.substr(0, path.size() - 1);
                d.layers.push_back(std::move(h));
              });
  return d;
}

}  // namespace report

SPIQ_END_NAMESPACE
