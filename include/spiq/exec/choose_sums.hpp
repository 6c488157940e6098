/// @file
/// The choice between dense and event-driven sums over spikes, layer by layer.
#pragma once

#include <spiq/exec/network.hpp>
#include <spiq/kernel/spike_product.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace exec {

/// Layers that read spikes as bits through a product that can walk them.
template <class Layer>
concept WalksSpikes = requires(const Layer& layer) {
  layer.product.sums;
  requires std::is_same_v<typename Layer::takes, packing::by_channel>;
};

namespace detail {
inline std::size_t spikes_in(const Buffer<packing::by_channel>& b) {
  const std::uint64_t last = ~std::uint64_t{0} >> (64 * static_cast<int>(b.stride) - b.shape.channels);
  std::size_t spikes = 0;
  for (std::size_t r = 0; r < b.rows(); ++r)
    for (std::size_t w = 0; w < b.stride; ++w)
      spikes += static_cast<std::size_t>(std::popcount(b.row(r)[w] & (w + 1 == b.stride ? last : ~std::uint64_t{0})));
  return spikes;
}
}  // namespace detail

/// All layers that can sum over spikes as `sums` says. Of sessions only those made from now on walk events. Results
/// differ by rounding at most: linear maps add up in another order.
template <class Network>
void use_sums(Network& network, kernel::SpikeSums sums) {
  auto set = [&]<class Layer>(Layer& layer) {
    if constexpr (WalksSpikes<Layer>) layer.product.sums = sums;
  };
  network.chain.for_each_layer(set);
}

/// Measures the density of the spikes that each layer reads on images [n, C, H, W], by the set bits of their words, and
/// lets those layers walk events where it is below `crossover` (a negative one: that of the architecture). The type of
/// the network does not change; `layers()` tells product and density. Throws on other extents, on no images at all and
/// on a NaN, and the network stays as it is.
template <class Network>
void choose_sums(Network& network, const Tensor<float>& images, double crossover = -1) {
  network.input.check(images.extents());
  const std::size_t count = images.extent(0), batch = std::min<std::size_t>(count, 16),
                    size = network.input.shape.size();
  if (std::isnan(crossover)) SPIQ_THROW("density of spikes below which events are walked", "a number", "NaN");
  if (count == 0) SPIQ_THROW("images to measure the density of spikes", "at least 1", "0");
  std::vector<std::size_t> spikes, neurons;  // of the layers in order, those that read no spikes too
  {
    auto session = network.session(static_cast<int>(batch), {.threads = 1, .tile = static_cast<int>(batch)});
    for (std::size_t first = 0; first < count; first += batch) {
      session.run(images.data() + first * size, std::min(batch, count - first), size);
      std::size_t at = 0;
      session.visit([&]<class Layer>(const Layer&, const auto& in, const auto&) {
        spikes.resize(std::max(spikes.size(), at + 1));
        neurons.resize(spikes.size());
        if constexpr (WalksSpikes<Layer>) {
          const auto& taken = view_as<packing::by_channel>(in);
          spikes[at] += detail::spikes_in(taken);
          neurons[at] += taken.rows() * static_cast<std::size_t>(taken.shape.channels);
        }
        ++at;
      });
    }
  }
  std::size_t at = 0;
  auto choose = [&]<class Layer>(Layer& layer) {
    if constexpr (WalksSpikes<Layer>) {
      auto& product = layer.product;
      using Arch = typename std::remove_cvref_t<decltype(product)>::arch;
      product.density = static_cast<double>(spikes[at]) / static_cast<double>(neurons[at]);
      const double below = crossover < 0 ? kernel::event_crossover<Arch> : crossover;
      product.sums = product.density < below ? kernel::SpikeSums::events : kernel::SpikeSums::dense;
    }
    ++at;
  };
  network.chain.for_each_layer(choose);
}

}  // namespace exec

SPIQ_END_NAMESPACE
