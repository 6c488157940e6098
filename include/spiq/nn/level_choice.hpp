/// @file
/// How many levels each quantised activation needs: PASCAL's adaptive layerwise steps (arXiv 2505.01730).
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/kernel/activation.hpp>
#include <spiq/nn/network.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// PASCAL's measure of how concentrated activations are, from the counts h of a histogram of K >= 4 bins over their
/// range (get_stats.py of BrainSeek-Lab/PASCAL). A = 1 - (S - 1) / (K - 1), S the bins that hold at least the mean;
/// with g the skewness and k the excess kurtosis of the counts, AL = A (g^2 + 1) (k + 3 K^2 / ((K - 2) (K - 3))).
/// Large: few levels suffice. 0 where all counts are equal, or there are none.
inline double al_metric(std::span<const std::size_t> counts) {
  if (counts.size() < 4) SPIQ_THROW("AL metric", "a histogram of at least 4 bins", std::to_string(counts.size()));
  const double bins = static_cast<double>(counts.size());
  double total = 0, square = 0, cube = 0, fourth = 0, full = 0;
  for (const std::size_t h : counts) total += static_cast<double>(h);
  const double mean = total / bins;
  for (const std::size_t h : counts) {
    const double d = static_cast<double>(h) - mean;
    square += d * d / bins;
    cube += d * d * d / bins;
    fourth += d * d * d * d / bins;
    full += d >= 0 ? 1 : 0;
  }
  if (square == 0) return 0;
  const double g = cube / (square * std::sqrt(square)), k = fourth / (square * square) - 3;
  return (1 - (full - 1) / (bins - 1)) * (g * g + 1) * (k + 3 * bins * bins / ((bins - 2) * (bins - 3)));
}

/// Effective time steps of T steps, r being the cost of one update of a neuron over that of the accumulations of its
/// layer (get_Teff.py of BrainSeek-Lab/PASCAL): T (1 + (5 T - 2) r) / (1 + T r).
constexpr double effective_steps(int steps, double cost_ratio) {
  return steps * (1 + (5 * steps - 2) * cost_ratio) / (1 + steps * cost_ratio);
}

/// A quantised activation and what is known of its levels.
struct LayerLevels {
  std::string path;  ///< "2", as in lowered networks the layers before it
  int levels = 1;
  int fan_in = 0;  ///< of the product last before it
  double al = 0;   ///< AL metric of its outputs

  /// T_eff with r = 4 / (3 fan_in), the ratio that PASCAL's table of costs has.
  [[nodiscard]] double effective_steps() const {
    return spiq::effective_steps(levels, fan_in > 0 ? 4.0 / (3.0 * fan_in) : 0.0);
  }
};
/// PASCAL's T_eff of a network: the mean over its activations.
inline double mean_effective_steps(std::span<const LayerLevels> layers) {
  double sum = 0;
  for (const LayerLevels& l : layers) sum += l.effective_steps();
  return layers.empty() ? 0 : sum / static_cast<double>(layers.size());
}

/// All quantised activations in order, with the AL metric (5 bins) of their outputs on images [N, C, H, W] in [0, 1].
/// Throws where the images do not fit, there are none, or a layer has no levels or threshold to count with.
template <class In, class... L>
std::vector<LayerLevels> measure_levels(Network<In, L...>& net, const Tensor<float>& images, int threads = 0) {
  using Net = Network<In, L...>;
  Net::check_images(images);
  const std::size_t n = images.extent(0);
  if (n == 0) SPIQ_THROW("levels of a network", "at least one image", "none");
  typename Net::Cache cache;
  nn::Pass pass;
  pass.threads = threads;
  net.normalization.apply(images.data(), cache.input.get(n * Net::input_shape.size()), n, Net::input_shape, threads);
  cache.logits.resize({n, Net::outputs});
  std::vector<LayerLevels> layers;
  int fan_in = 0;
  net.observe(
      "", cache.input.data(), cache.logits.data(), n, cache.layers, pass,
      [&](const std::string& path, auto& layer, std::span<const float> z) {
        if constexpr (requires { layer.geometry.fan_in(); layer.weight; }) fan_in = layer.geometry.fan_in();
        if constexpr (requires { layer.lambda; layer.levels; }) {
          const std::string where = "levels of layer " + path.substr(0, path.size() - 1);
          if (layer.levels < 1 || layer.levels > 255) SPIQ_THROW(where, "1 to 255", std::to_string(layer.levels));
          if (!(std::isfinite(layer.lambda) && layer.lambda > 0))
            SPIQ_THROW(where + ": threshold", "a positive finite number", std::to_string(layer.lambda));
          // The range of the data: from the smallest level that there is to the largest.
          std::vector<std::size_t> per_level(static_cast<std::size_t>(layer.levels) + 1);
          const auto function = layer.function();
          std::vector<float> h(z.size());
          kernel::activate(function, z.data(), h.data(), h.size(), threads);
          for (const float v : h) {
            if (!std::isfinite(v)) SPIQ_THROW(where, "finite outputs", std::to_string(v));
            ++per_level[static_cast<std::size_t>(std::lround(v / layer.lambda * static_cast<float>(layer.levels)))];
          }
          const auto filled = [](std::size_t count) { return count != 0; };
          const auto low = std::find_if(per_level.begin(), per_level.end(), filled) - per_level.begin();
          const auto high = per_level.rend() - std::find_if(per_level.rbegin(), per_level.rend(), filled) - 1;
          std::array<std::size_t, 5> bins{};
          for (auto level = low; level <= high; ++level) {
            // The last bin is closed, as numpy's.
            const auto bin = high == low ? 0 : std::min<std::ptrdiff_t>(4, (level - low) * 5 / (high - low));
            bins[static_cast<std::size_t>(bin)] += per_level[static_cast<std::size_t>(level)];
          }
          layers.push_back({path.substr(0, path.size() - 1), layer.levels, fan_in, al_metric(bins)});
        }
      });
  return layers;
}

/// How `choose_levels` goes about it.
struct LevelChoice {
  double fraction = 0.25;    ///< of the layers, halved together; at least one layer
  double tolerance = 0.005;  ///< what validation accuracy may lose, as a fraction
  int least = 1;             ///< no layer gets fewer levels
};

/// PASCAL's assignment: the layers with the largest AL metric get half their levels, group by group, as long as
/// `accuracy()` (of `net` as it stands, on validation data) stays within the tolerance of what it was at the start; a
/// group that costs more is put back and left alone. Thresholds and weights stay: train on afterwards. Returns what
/// `measure_levels` says in the end. The cut from AL to levels is not published; this rule is ours.
template <class In, class... L, class Accuracy>
std::vector<LayerLevels> choose_levels(Network<In, L...>& net, const Tensor<float>& images, Accuracy&& accuracy,
                                       const LevelChoice& choice = {}, int threads = 0) {
  if (!(choice.fraction > 0 && choice.fraction <= 1))
    SPIQ_THROW("LevelChoice::fraction", "a share in (0, 1]", std::to_string(choice.fraction));
  if (!(choice.tolerance >= 0)) SPIQ_THROW("LevelChoice::tolerance", "a number >= 0", std::to_string(choice.tolerance));
  if (choice.least < 1) SPIQ_THROW("LevelChoice::least", "at least 1", std::to_string(choice.least));
  const double wanted = accuracy() - choice.tolerance;
  const auto assign = [&](const std::vector<LayerLevels>& layers) {
    std::size_t i = 0;
    net.for_each_layer([&](const std::string&, auto& layer) {
      if constexpr (requires { layer.lambda; layer.levels; }) layer.levels = layers[i++].levels;
    });
  };
  std::vector<std::string> settled;
  for (;;) {
    const std::vector<LayerLevels> before = measure_levels(net, images, threads);
    std::vector<std::size_t> open;
    for (std::size_t i = 0; i < before.size(); ++i)
      if (before[i].levels / 2 >= choice.least &&
          std::find(settled.begin(), settled.end(), before[i].path) == settled.end())
        open.push_back(i);
    if (open.empty()) return before;
    std::stable_sort(open.begin(), open.end(),
                     [&](std::size_t a, std::size_t b) { return before[a].al > before[b].al; });
    const auto group = static_cast<std::size_t>(std::lround(choice.fraction * static_cast<double>(before.size())));
    open.resize(std::min(open.size(), std::max<std::size_t>(group, 1)));
    std::vector<LayerLevels> after = before;
    for (const std::size_t i : open) after[i].levels /= 2;
    // Put back whatever happens, unless they are good.
    struct PutBack {
      const decltype(assign)& put;
      const std::vector<LayerLevels>& levels;
      bool good = false;
      ~PutBack() {
        if (!good) put(levels);
      }
    } put_back{assign, before};
    assign(after);
    put_back.good = accuracy() >= wanted;
    if (put_back.good) continue;
    for (const std::size_t i : open) settled.push_back(before[i].path);
  }
}

SPIQ_END_NAMESPACE
