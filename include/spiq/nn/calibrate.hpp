/// @file
/// What a network takes from its data before the first step: input statistics and initial thresholds.
#pragma once

#include <spiq/nn/dataset.hpp>
#include <spiq/nn/pass.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace nn {

/// Value below which `percent` per cent of the values lie (nearest rank); 0 for none, NaN if one is NaN.
inline float percentile(std::span<const float> values, double percent) {
  if (values.empty()) return 0.0f;
  for (const float v : values)
    if (std::isnan(v)) return v;  // has no rank
  std::vector<float> sorted(values.begin(), values.end());
  const double rank = std::clamp(percent, 0.0, 100.0) / 100.0 * static_cast<double>(sorted.size() - 1);
  const auto at = sorted.begin() + static_cast<std::ptrdiff_t>(std::lround(rank));
  std::nth_element(sorted.begin(), at, sorted.end());
  return *at;
}

/// Channels that have statistics of their own: frames of different time steps share those of a channel.
template <class Net>
constexpr std::size_t distinct_channels() {
  const auto all = static_cast<std::size_t>(Net::input_shape.channels);
  if constexpr (requires { requires Net::template layer_type<0>::options::frames; })
    return all / static_cast<std::size_t>(Net::template layer_type<0>::options::steps);
  else
    return all;
}

/// Sets the network's normalisation to mean and deviation per channel of up to 20000 of the images `indices`. Throws,
/// with the network unchanged, where `data` gives other images than it was asked for or values that are not finite.
template <class Net, class Data>
void choose_normalization(Net& net, Data& data, std::span<const std::uint32_t> indices) {
  constexpr std::size_t most = 20000, batch = 256;
  constexpr Shape shape = Net::input_shape;
  const auto channels = static_cast<std::size_t>(shape.channels);
  // Of more than that many, evenly spaced ones: a set may be ordered by class.
  std::vector<std::uint32_t> spread;
  if (indices.size() > most) {
    for (std::size_t i = 0; i < most; ++i) spread.push_back(indices[i * indices.size() / most]);
    indices = spread;
  }
  constexpr std::size_t distinct = distinct_channels<Net>();
  std::vector<double> sum(distinct), square(distinct);
  Tensor<float> images;
  std::vector<int> labels;
  for (std::size_t first = 0; first < indices.size(); first += batch) {
    const auto chosen = indices.subspan(first, std::min(batch, indices.size() - first));
    fill_batch<Net>(data, chosen, images, labels);
    for (std::size_t i = 0; i < chosen.size() * channels; ++i) {
      double s = 0, q = 0;
      for (std::size_t p = 0; p < shape.pixels(); ++p) {
        const double v = static_cast<double>(images[i * shape.pixels() + p]);
        s += v;
        q += v * v;
      }
      sum[i % distinct] += s;
      square[i % distinct] += q;
    }
  }
  const double n = static_cast<double>(std::max<std::size_t>(indices.size() * shape.pixels() * (channels / distinct), 1));
  std::vector<float> mean(channels), deviation(channels);
  for (std::size_t c = 0; c < channels; ++c) {
    const double m = sum[c % distinct] / n;
    mean[c] = static_cast<float>(m);
    deviation[c] = static_cast<float>(std::sqrt(std::max(0.0, square[c % distinct] / n - m * m)));
  }
  net.normalization.set(mean, deviation);
}

/// Initial threshold of a layer with inputs z: their percentile, or that of |z| where it is not positive, for the
/// threshold must have the scale of z; 1 where that is 0, too. At least `minimum`. Throws where it is not finite.
inline float initial_threshold(const std::string& path, std::span<const float> z, double percent, float minimum) {
  float threshold = percentile(z, percent);
  if (threshold <= 0.0f) {
    std::vector<float> magnitudes(z.begin(), z.end());
    for (float& v : magnitudes) v = std::abs(v);
    threshold = percentile(magnitudes, percent);
  }
  if (!std::isfinite(threshold)) SPIQ_THROW("threshold " + path + "lambda", "finite inputs", std::to_string(threshold));
  return std::max(threshold > 0.0f ? threshold : 1.0f, minimum);
}

/// Sets the threshold of every QCFS layer that has none yet by `initial_threshold` from the batch that lies prepared in
/// `cache.input`, layer by layer from the front.
template <class Net>
void choose_thresholds(Net& net, typename Net::Cache& cache, std::size_t samples, const Pass& pass, double percent,
                       float minimum) {
  bool wanted = false;
  net.for_each_layer([&](const std::string&, auto& layer) {
    if constexpr (requires { layer.calibrated; }) wanted = wanted || !layer.calibrated;
  });
  if (!wanted) return;
  cache.logits.resize({samples, Net::outputs});
  net.observe("", cache.input.data(), cache.logits.data(), samples, cache.layers, pass,
              [&](const std::string& path, auto& layer, std::span<const float> input) {
                if constexpr (requires { layer.calibrated; }) {
                  if (layer.calibrated) return;
                  layer.lambda = initial_threshold(path, input, percent, minimum);
                  layer.calibrated = true;
                }
              });
}

}  // namespace nn

SPIQ_END_NAMESPACE
