/// @file
/// What the neurons of a network did in the last run of a session: counts per neuron, differences, spikes in time.
#pragma once

#include <spiq/core/packing.hpp>
#include <spiq/exec/join.hpp>
#include <spiq/exec/pool.hpp>
#include <spiq/exec/synapse.hpp>
#include <spiq/report/raster.hpp>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace report {

namespace detail {
/// The buffer to read of a plain buffer or a fanout: both parts of a fanout hold the same spikes.
template <class P>
const Buffer<P>& any_part(const Buffer<P>& b) {
  return b;
}
template <class A, class B>
const Buffer<A>& any_part(const Buffer<packing::fanout<A, B>>& b) {
  return b.first;
}

template <class P>
inline constexpr bool integer_packing =
    std::is_same_v<P, packing::levels> || std::is_same_v<P, packing::counts> || std::is_same_v<P, packing::by_channel>;

/// to[c] += the values of one row of an integer packing.
template <class P>
void add_row(const typename P::word* row, std::uint16_t* to, std::size_t channels) {
  if constexpr (std::is_same_v<P, packing::by_channel>) {
    for (std::size_t c = 0; c < channels; ++c)
      to[c] = static_cast<std::uint16_t>(to[c] + ((row[c / 64] >> (c % 64)) & 1U));
  } else {
    for (std::size_t c = 0; c < channels; ++c) to[c] = static_cast<std::uint16_t>(to[c] + row[c]);
  }
}

/// Calls f(row, channel, n) for every value n != 0 of the first `samples` samples of an integer packing.
template <class P, class F>
void for_each_active(const Buffer<P>& b, std::size_t samples, F&& f) {
  static_assert(integer_packing<P>);
  const std::size_t rows = samples * b.sample_rows();
  const auto channels = static_cast<std::size_t>(b.shape.channels);
  for (std::size_t r = 0; r < rows; ++r) {
    const auto* row = b.row(r);
    if constexpr (std::is_same_v<P, packing::by_channel>) {
      for (std::size_t c = 0; c < channels; c += 64) {
        std::uint64_t word = row[c / 64];
        if (channels - c < 64) word &= (std::uint64_t{1} << (channels - c)) - 1;
        for (; word != 0; word &= word - 1) f(r, c + static_cast<std::size_t>(std::countr_zero(word)), 1u);
      }
    } else {
      for (std::size_t c = 0; c < channels; ++c)
        if (row[c] != 0) f(r, c, static_cast<unsigned>(row[c]));
    }
  }
}
}  // namespace detail

/// Spike counts (or levels of the activation, in a network without spikes) of the neurons of one layer.
struct NeuronCounts {
  std::string path;
  Shape shape{};
  std::size_t samples = 0;
  std::vector<std::uint16_t> counts;  ///< [samples][pixels][channels]
};

/// The counts of every layer with a neuron or a quantised activation after the last run, in network order.
/// The session must see the whole batch at once: make it with {.threads = 1, .tile = batch}.
template <class Session>
std::vector<NeuronCounts> neuron_counts(const Session& session) {
  std::vector<NeuronCounts> out;
  session.visit([&](const auto& layer, const auto&, const auto& state) {
    if (layer.info.levels == 0) return;
    const auto& buffer = detail::any_part(state.out);
    using P = typename std::remove_cvref_t<decltype(buffer)>::packing_type;
    NeuronCounts n;
    n.path = layer.info.path;
    n.shape = buffer.shape;
    n.samples = static_cast<std::size_t>(buffer.samples);
    const auto channels = static_cast<std::size_t>(buffer.shape.channels);
    n.counts.assign(n.samples * buffer.shape.size(), 0);
    if constexpr (detail::integer_packing<P>) {
      // Row by row on plain pointers: clang 16 miscompiles the flat index over rows for AVX-512.
      const auto steps = static_cast<std::size_t>(buffer.steps);
      for (std::size_t p = 0; p < n.samples * buffer.shape.pixels(); ++p)
        for (std::size_t t = 0; t < steps; ++t)
          detail::add_row<P>(buffer.row(p * steps + t), n.counts.data() + p * channels, channels);
    } else if constexpr (requires { layer.epilogue.lambda; }) {
      const float scale = static_cast<float>(layer.epilogue.levels) / layer.epilogue.lambda;
      const std::size_t rows = n.samples * buffer.sample_rows();
      for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t c = 0; c < channels; ++c)
          n.counts[r * channels + c] = static_cast<std::uint16_t>(std::lround(buffer.row(r)[c] * scale));
    } else {
      return;
    }
    out.push_back(std::move(n));
  });
  return out;
}

/// Where two networks with the same neurons give different counts.
struct CountDifferences {
  std::size_t images = 0;
  std::size_t images_differing = 0;      ///< with at least one differing count
  std::vector<std::string> paths;        ///< of the compared layers, in network order
  std::vector<std::size_t> per_layer;    ///< neurons (over all images) whose counts differ

  /// Neurons whose counts differ, over all layers and images.
  [[nodiscard]] std::size_t neurons_differing() const {
    std::size_t n = 0;
    for (const std::size_t d : per_layer) n += d;
    return n;
  }
  /// The first layer with a difference; empty when there is none.
  [[nodiscard]] std::string first_layer() const {
    for (std::size_t i = 0; i < per_layer.size(); ++i)
      if (per_layer[i] != 0) return paths[i];
    return {};
  }

  /// Compares the counts of the same images in two networks; throws when their layers do not correspond.
  void add(const std::vector<NeuronCounts>& a, const std::vector<NeuronCounts>& b) {
    if (a.size() != b.size())
      SPIQ_THROW("compare neuron counts", std::to_string(a.size()) + " layers", std::to_string(b.size()));
    if (per_layer.empty()) {
      per_layer.resize(a.size());
      for (const NeuronCounts& layer : a) paths.push_back(layer.path);
    }
    const std::size_t samples = a.empty() ? 0 : a[0].samples;
    std::vector<char> differs(samples, 0);
    for (std::size_t l = 0; l < a.size(); ++l) {
      if (a[l].counts.size() != b[l].counts.size() || a[l].path != b[l].path || a[l].samples != samples)
        SPIQ_THROW("compare neuron counts", "layer " + a[l].path + " of " + to_string(a[l].shape),
                   "layer " + b[l].path + " of " + to_string(b[l].shape));
      const std::size_t neurons = a[l].shape.size();
      for (std::size_t i = 0; i < a[l].counts.size(); ++i)
        if (a[l].counts[i] != b[l].counts[i]) {
          ++per_layer[l];
          differs[i / neurons] = 1;
        }
    }
    images += samples;
    for (const char d : differs) images_differing += d != 0 ? 1u : 0u;
  }
  /// Adds the differences of other images of the same two networks.
  void add(const CountDifferences& o) {
    if (o.per_layer.empty()) return;
    if (per_layer.empty()) {
      *this = o;
      return;
    }
    images += o.images;
    images_differing += o.images_differing;
    for (std::size_t l = 0; l < per_layer.size(); ++l) per_layer[l] += o.per_layer[l];
  }
};

/// The spikes of sample `sample` of the last run, layer by layer, for a raster. Layers that do not emit explicit spikes
/// are left out. `consecutive`: each layer's window begins where the one before ends (PASCAL), else all begin at 0.
template <class Session>
std::vector<Raster::Layer> raster_layers(const Session& session, std::size_t sample, bool consecutive) {
  std::vector<Raster::Layer> out;
  std::size_t start = 0;
  session.visit([&](const auto& layer, const auto&, const auto& state) {
    const auto& buffer = detail::any_part(state.out);
    if constexpr (std::is_same_v<typename std::remove_cvref_t<decltype(buffer)>::packing_type, packing::by_channel>) {
      Raster::Layer l;
      l.name = "layer " + layer.info.path + " (" + to_string(buffer.shape) + ")";
      l.neurons = buffer.shape.size();
      l.steps = static_cast<std::size_t>(buffer.steps);
      l.first_step = start;
      if (consecutive) start += l.steps;
      const auto channels = static_cast<std::size_t>(buffer.shape.channels);
      const std::size_t first = sample * buffer.sample_rows();
      detail::for_each_active(buffer, sample + 1, [&](std::size_t row, std::size_t c, unsigned) {
        if (row < first) return;
        const std::size_t r = row - first;
        l.spikes.push_back({static_cast<std::uint32_t>(r / l.steps * channels + c),
                            static_cast<std::uint32_t>(r % l.steps)});
      });
      out.push_back(std::move(l));
    }
  });
  return out;
}

}  // namespace report

SPIQ_END_NAMESPACE
