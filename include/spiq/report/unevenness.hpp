/// @file
/// The unevenness error of QCFS conversion: spikes that come at other times than evenly, and what they cost in counts.
#pragma once

#include <spiq/exec/network.hpp>
#include <spiq/report/activity.hpp>
#include <spiq/report/format.hpp>
#include <spiq/report/text_table.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace report {

/// One layer of QCFS neurons over a batch.
struct LayerUnevenness {
  std::string path;
  std::size_t neurons = 0;    ///< over all images
  std::size_t differing = 0;  ///< whose spike count is not that of QCFS (L = T) on their mean current
  long long difference = 0;   ///< counts less those of QCFS, summed
  long long distance = 0;     ///< their absolute values, summed

  [[nodiscard]] double share() const {
    return neurons == 0 ? 0 : static_cast<double>(differing) / static_cast<double>(neurons);
  }
  [[nodiscard]] double mean_difference() const {
    return neurons == 0 ? 0 : static_cast<double>(difference) / static_cast<double>(neurons);
  }
  [[nodiscard]] double mean_distance() const {
    return neurons == 0 ? 0 : static_cast<double>(distance) / static_cast<double>(neurons);
  }
};

namespace detail {

/// to[sample][pixel][channel] += scale[channel] (1 without) times the mean over the steps of a buffer.
template <class P>
void add_mean(const Buffer<P>& b, std::vector<double>& to, const float* scale) {
  const auto channels = static_cast<std::size_t>(b.shape.channels), steps = static_cast<std::size_t>(b.steps);
  for (std::size_t p = 0; p < static_cast<std::size_t>(b.samples) * b.shape.pixels(); ++p)
    for (std::size_t t = 0; t < steps; ++t)
      for (std::size_t c = 0; c < channels; ++c) {
        double v = 0;
        if constexpr (std::is_same_v<P, packing::by_channel>)
          v = static_cast<double>((b.row(p * steps + t)[c / 64] >> (c % 64)) & 1U);
        else
          v = static_cast<double>(b.row(p * steps + t)[c]);
        to[p * channels + c] +=
            v / static_cast<double>(steps) * (scale == nullptr ? 1.0 : static_cast<double>(scale[c]));
      }
}

/// Mean currents, without the bias, of a layer's neurons in the last run: [sample][pixel][channel].
template <class Layer, class In, class State>
std::vector<double> mean_currents(const Layer& layer, const In& in, const State& state) {
  const Shape shape = layer.output_shape();
  const auto samples = static_cast<std::size_t>(any_part(state.out).samples);
  std::vector<double> mean(samples * shape.size());
  if constexpr (requires { layer.product; }) {
    // The product is linear: it runs once on the mean of its input.
    const auto& taken = view_as<typename Layer::takes>(in);
    std::vector<double> input(static_cast<std::size_t>(taken.samples) * taken.shape.size());
    add_mean(taken, input, nullptr);
    Buffer<packing::real> x, y;
    x.allocate(taken.shape, taken.samples, 1);
    y.allocate(shape, taken.samples, 1);
    const auto channels = static_cast<std::size_t>(taken.shape.channels);
    for (std::size_t i = 0; i < input.size(); ++i) x.row(i / channels)[i % channels] = static_cast<float>(input[i]);
    const exec::Store<float> store{
        exec::PerChannel<float>(std::vector<float>(static_cast<std::size_t>(shape.channels)), 0.0F)};
    auto sink = store.sink(y, 1, nullptr);
    auto scratch = layer.product.scratch(1);
    layer.product.run(x, 0, taken.samples, sink, scratch);
    add_mean(y, mean, nullptr);
  } else {
    add_mean(view_as<typename Layer::body_packing>(layer.body.output(in, state.body)), mean, nullptr);
    add_mean(Layer::branch(layer.shortcut.output(in, state.shortcut)), mean, layer.scale.data());
  }
  return mean;
}

}  // namespace detail

/// The unevenness error (Bu et al., arXiv 2303.04347, section 4) of every layer of a network lowered to
/// `conversion::Qcfs`, on images [N, C, H, W]: a neuron that got its mean current at every step would fire as often as
/// QCFS with L = T says. Counts and currents are those of the running network, so a layer's row is its own error, not
/// that of the layers before it. Empty for networks without such neurons.
template <class Network>
std::vector<LayerUnevenness> unevenness(const Network& network, const Tensor<float>& images) {
  network.input.check(images.extents());
  constexpr std::size_t batch = 16;
  const std::size_t n = images.extent(0), stride = n == 0 ? 0 : images.size() / n;
  auto session = network.session(static_cast<int>(batch), {.threads = 1, .tile = static_cast<int>(batch)});
  std::vector<LayerUnevenness> rows;
  for (std::size_t first = 0; first < n; first += batch) {
    session.run(images.data() + first * stride, std::min(batch, n - first), stride);
    std::size_t index = 0;
    session.visit([&](const auto& layer, const auto& in, const auto& state) {
      if constexpr (requires { layer.epilogue; }) {
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(layer.epilogue)>, exec::Fire<float>>) {
          if (index == rows.size()) {
            rows.emplace_back();
            rows.back().path = layer.info.path;
          }
          LayerUnevenness& row = rows[index++];
          const auto& out = detail::any_part(state.out);
          const auto channels = static_cast<std::size_t>(out.shape.channels),
                     steps = static_cast<std::size_t>(out.steps);
          const double t = static_cast<double>(steps);
          const std::vector<double> mean = detail::mean_currents(layer, in, state);
          std::vector<std::uint16_t> counts(channels);
          for (std::size_t p = 0; p < mean.size() / channels; ++p) {
            std::fill(counts.begin(), counts.end(), std::uint16_t{0});
            for (std::size_t s = 0; s < steps; ++s)
              detail::add_row<packing::by_channel>(out.row(p * steps + s), counts.data(), channels);
            for (std::size_t c = 0; c < channels; ++c) {
              const double z = mean[p * channels + c] + static_cast<double>(layer.epilogue.bias[c]);
              const double even =
                  std::clamp(std::floor(z / static_cast<double>(layer.epilogue.theta[c]) * t + 0.5), 0.0, t);
              const long long d = static_cast<long long>(counts[c]) - static_cast<long long>(even);
              ++row.neurons;
              row.differing += d != 0 ? 1U : 0U;
              row.difference += d;
              row.distance += d < 0 ? -d : d;
            }
          }
        }
      }
    });
  }
  return rows;
}

/// One row per layer: the share of neurons with another count, and the mean difference of the counts.
inline TextTable unevenness_table(const std::vector<LayerUnevenness>& layers) {
  TextTable table({"layer", "uneven %", "mean difference", "mean |difference|"});
  for (const LayerUnevenness& l : layers)
    table.row({l.path, fixed(100 * l.share(), 2), fixed(l.mean_difference(), 4), fixed(l.mean_distance(), 4)});
  return table;
}

}  // namespace report

SPIQ_END_NAMESPACE
