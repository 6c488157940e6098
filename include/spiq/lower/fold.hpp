/// @file
/// Folding: batch norm and input amplitude into weights, and the choice of units in exact arithmetic.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/kernel/product.hpp>
#include <spiq/lower/context.hpp>
#include <spiq/nn/batch_norm.hpp>
#include <spiq/nn/weighted.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace lowering {

/// Throws unless a layer without weights was trained on the data as they lie: Flatten moves nothing here, so what
/// pools pixels behind it would pool others.
inline void check_input(const Shape& trained, const Context& context, const std::string& path) {
  if (trained != context.shape)
    SPIQ_THROW("layer " + path, "the map that it pools as input, before any Flatten: " + to_string(context.shape),
               to_string(trained));
}

/// A copy of numbers; throws where one is not finite.
inline std::vector<float> finite(const Tensor<float>& values, const std::string& path) {
  for (const float v : values.span())
    if (!std::isfinite(v)) SPIQ_THROW("layer " + path, "parameters that are finite numbers", std::to_string(v));
  return {values.span().begin(), values.span().end()};
}

/// Throws unless a layer on a single pixel is the linear map that its weights [out, in] say.
inline void check_linear(const kernel::ConvGeometry& g, const std::string& path) {
  if (g.kernel_h != 1 || g.kernel_w != 1 || g.pad_h != 0 || g.pad_w != 0)
    SPIQ_THROW("layer " + path + ": weights behind Flatten or global average pooling",
               "a Linear layer or a 1x1 kernel without padding", to_string(g));
}

/// The convolution that a layer is on data that lie as `context` says. A linear layer behind a flattened map is a
/// convolution with a kernel of the map's size: its [out, (c, h, w)] weights are already those of [out, c, h, w].
inline kernel::ConvGeometry geometry_on(const kernel::ConvGeometry& trained, const Context& context,
                                        const std::string& path) {
  if (trained.in == context.shape) return trained;
  if (trained.in.pixels() != 1 || trained.in.size() != context.shape.size())
    SPIQ_THROW("layer " + path, "input " + to_string(trained.in), to_string(context.shape));
  check_linear(trained, path);
  // Groups of features are groups of channels only if they end between maps.
  if (context.shape.channels % trained.groups != 0)
    SPIQ_THROW("layer " + path + ": groups behind Flatten", "a divisor of " + std::to_string(context.shape.channels),
               std::to_string(trained.groups));
  kernel::ConvGeometry g;
  g.in = context.shape;
  g.out_channels = trained.out_channels;
  g.kernel_h = context.shape.height;
  g.kernel_w = context.shape.width;
  g.groups = trained.groups;
  return g;
}

/// Weights with the batch norm behind them (or none) and the amplitude of the input folded in:
/// w' = gamma / sqrt(var + eps) * w * amplitude, b' = beta + (b - mean) * gamma / sqrt(var + eps). In double.
inline kernel::FoldedWeights fold(const nn::Weighted& layer, const BatchNorm* norm, const Context& context,
                                  const std::string& path) {
  kernel::FoldedWeights folded;
  folded.geometry = geometry_on(layer.geometry, context, path);
  const auto outputs = static_cast<std::size_t>(folded.geometry.out_channels);
  if (layer.weight.size() != folded.geometry.weight_count())
    SPIQ_THROW("layer " + path + ": weights", std::to_string(folded.geometry.weight_count()),
               std::to_string(layer.weight.size()));
  if (norm != nullptr && norm->gamma.size() != outputs)
    SPIQ_THROW("layer " + path + ": BatchNorm",
               "one scale for each of " + std::to_string(outputs) +
                   " channels (Flatten a map after BatchNorm, not before)",
               std::to_string(norm->gamma.size()));
  const auto fan_in = static_cast<std::size_t>(folded.geometry.fan_in());
  const std::size_t taps = fan_in / static_cast<std::size_t>(folded.geometry.group_in());
  folded.weight.resize(outputs * fan_in);
  folded.bias.assign(outputs, 0.0F);
  for (std::size_t o = 0; o < outputs; ++o) {
    const double scale = norm == nullptr ? 1.0 : norm->gamma[o] / std::sqrt(double{norm->running_var[o]} + double{norm->eps});
    const int first_input = static_cast<int>(o) / folded.geometry.group_out() * folded.geometry.group_in();
    for (std::size_t i = 0; i < fan_in; ++i)
      folded.weight[o * fan_in + i] = static_cast<float>(
          layer.weight[o * fan_in + i] * scale * context.amplitude_of(first_input + static_cast<int>(i / taps)));
    const double bias = layer.has_bias() ? layer.bias[o] : 0.0F;
    folded.bias[o] = static_cast<float>(norm == nullptr ? bias : norm->beta[o] + (bias - norm->running_mean[o]) * scale);
  }
  // A lowered network would hide what a broken one shows: thresholds turn NaN into a level.
  const auto require_finite = [&](const std::vector<float>& values, const char* what) {
    for (const float v : values)
      if (!std::isfinite(v))
        SPIQ_THROW("layer " + path, std::string(what) + " (after folding) that is a finite number", std::to_string(v));
  };
  require_finite(folded.weight, "a weight");
  require_finite(folded.bias, "a bias");
  return folded;
}

/// A map without weights (an activation or batch norm that stands alone) as a depthwise 1x1 product.
inline kernel::FoldedWeights fold_elementwise(const BatchNorm* norm, const Context& context, const std::string& path) {
  kernel::ConvGeometry g;
  g.in = context.shape;
  g.out_channels = g.groups = context.shape.channels;
  nn::Weighted one(g, {static_cast<std::size_t>(g.groups), 1, 1, 1}, false);
  one.weight.fill(1.0F);
  return fold(one, norm, context, path);
}

/// Outputs reached through a non-zero weight from each (kernel position, input channel), for counting operations. In
/// exact arithmetic the weights are those of the integer grid.
inline std::vector<std::uint32_t> count_nonzeros(const kernel::FoldedWeights& w) {
  const auto& g = w.geometry;
  const auto taps = static_cast<std::size_t>(g.kernel_h) * static_cast<std::size_t>(g.kernel_w);
  const auto inputs = static_cast<std::size_t>(g.in.channels);
  const auto group_in = static_cast<std::size_t>(g.group_in());
  std::vector<std::uint32_t> reached(taps * inputs);
  for (std::size_t o = 0; o < static_cast<std::size_t>(g.out_channels); ++o) {
    const std::size_t first = o / static_cast<std::size_t>(g.group_out()) * group_in;
    for (std::size_t i = 0; i < group_in; ++i)
      for (std::size_t t = 0; t < taps; ++t) {
        const float weight = w.weight[(o * group_in + i) * taps + t];
        if (w.unit.empty() ? weight != 0.0F : std::lround(weight / w.unit[o]) != 0) ++reached[t * inputs + first + i];
      }
  }
  return reached;
}

/// What feeds one neuron in exact arithmetic.
struct ExactInputs {
  kernel::FoldedWeights* weights = nullptr;  ///< of a product; null for an identity
  std::vector<double> amplitude;              ///< of an identity, per channel
  int max_level = 0;
};

/// Largest |sum| that exact networks allow themselves: doubling it (the threshold ladder) stays inside int32.
inline constexpr double exact_limit = 1 << 30;

/// Throws unless thresholds and amplitudes are finite (`fold` has looked at weights and biases).
inline void check_finite(const std::vector<ExactInputs>& inputs, double theta, const std::string& where) {
  const auto require = [&](double value, const char* what) {
    if (!std::isfinite(value))
      SPIQ_THROW(where + ": exact arithmetic", std::string(what) + " (after folding) that is a finite number",
                 std::to_string(value));
  };
  require(theta, "a threshold");
  for (const auto& in : inputs)
    for (const double a : in.amplitude) require(a, "an amplitude");
}

/// Chooses, per output channel, the real value of one integer step: the finest grid on which all weights that feed the
/// neuron are 16-bit integers, the threshold `theta` is an even integer, and no sum can leave +-2^30, proved from the
/// row sums and the largest input. For theta = 0 (a read-out) one unit serves all channels, so that logits compare.
inline void choose_units(std::vector<ExactInputs> inputs, double theta, int levels, const std::string& where) {
  check_finite(inputs, theta, where);
  std::size_t outputs = 0;
  for (const auto& in : inputs)
    if (in.weights != nullptr) outputs = in.weights->bias.size();
  std::vector<double> unit(outputs, 0.0);
  const auto peak_of = [&](std::size_t o) {
    double peak = 0;
    for (const auto& in : inputs) {
      if (in.weights == nullptr) {
        peak = std::max(peak, in.amplitude[o]);
        continue;
      }
      const auto fan_in = static_cast<std::size_t>(in.weights->geometry.fan_in());
      for (std::size_t i = 0; i < fan_in; ++i)
        peak = std::max(peak, std::abs(double{in.weights->weight[o * fan_in + i]}));
    }
    return peak;
  };
  const auto bound = [&](std::size_t o, double u) {
    double sum = theta > 0 ? (levels + 1) * theta / u : 0.0;
    for (const auto& in : inputs) {
      if (in.weights == nullptr) {
        sum += in.max_level * (in.amplitude[o] / u + 1);
        continue;
      }
      const auto fan_in = static_cast<std::size_t>(in.weights->geometry.fan_in());
      double row = 0;
      for (std::size_t i = 0; i < fan_in; ++i)
        row += std::abs(std::round(in.weights->weight[o * fan_in + i] / u));
      sum += in.max_level * row + std::abs(in.weights->bias[o] / u) + 1;
    }
    return sum;
  };
  // As the product rounds its weights: 32767.5 would become 32768.
  const auto fits = [&](std::size_t o, double peak, double u) {
    return bound(o, u) < exact_limit && peak / u < 32767.5;
  };
  if (theta > 0) {
    for (std::size_t o = 0; o < outputs; ++o) {
      const double peak = std::max(peak_of(o), theta / (1 << 20));
      double steps = std::max(2.0, 2 * std::floor(theta * 32767 / peak / 2));
      while (steps > 2 && !fits(o, peak, theta / steps))
        steps = std::max(2.0, 2 * std::floor(steps / 4));
      unit[o] = theta / steps;
      if (!fits(o, peak, unit[o]))
        SPIQ_THROW(where + ", channel " + std::to_string(o) + ": exact arithmetic",
                   "weights and sums that fit in 16 and 31 bits on a grid of half the threshold",
                   "a weight of " + std::to_string(peak / theta) + " thresholds");
    }
  } else {
    double peak = 1e-30;
    for (std::size_t o = 0; o < outputs; ++o) peak = std::max(peak, peak_of(o));
    double u = peak / 32767;
    for (std::size_t o = 0; o < outputs; ++o)
      while (bound(o, u) >= exact_limit) u *= 2;
    unit.assign(outputs, u);
  }
  for (auto& in : inputs)
    if (in.weights != nullptr) in.weights->unit = unit;
}

}  // namespace lowering

SPIQ_END_NAMESPACE
