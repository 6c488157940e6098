/// @file
/// The doctor for networks that were lowered to spikes: what their neurons count beside what the trained ones compute.
#pragma once

#include <spiq/exec/network.hpp>
#include <spiq/nn/activation.hpp>
#include <spiq/report/activity.hpp>
#include <spiq/report/diagnose.hpp>

#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace report {

namespace detail {

/// An activation of the trained network over a batch, [sample][pixel][channel].
struct TrainedActivation {
  std::string path;
  Shape shape;
  std::vector<float> in, out;
};

/// The number that each neuron emitted over its steps, [sample][pixel][channel]; with `digits` the steps are those of a
/// binary number, the most significant first.
template <class P>
std::vector<float> emitted_numbers(const Buffer<P>& b, bool digits) {
  const std::size_t samples = static_cast<std::size_t>(b.samples), size = b.shape.size();
  std::vector<float> numbers(samples * size);
  const auto add = [&](std::size_t sample, std::size_t, std::span<const float> step) {
    float* const to = numbers.data() + sample * size;
    for (std::size_t i = 0; i < size; ++i) to[i] = (digits ? 2 * to[i] : to[i]) + step[i];
  };
  exec::probe_output(b, {0, samples, 0}, add);
  return numbers;
}

/// Neurons that count up to `most`, which stands for `full`, beside the activation that they stand for. `shape` is
/// theirs: where the trained network flattened before, its features are in the order (channel, pixel).
inline LayerHealth lowered_health(const std::vector<float>& numbers, const Shape& shape, int most, double full,
                                  const TrainedActivation& trained) {
  LayerHealth h;
  h.path = trained.path;
  h.neurons = shape.size();
  const std::size_t channels = static_cast<std::size_t>(shape.channels), pixels = shape.pixels();
  const std::size_t batch = numbers.size() / h.neurons;
  const bool flattened = trained.shape.pixels() != pixels;
  const double count = static_cast<double>(numbers.size()), largest = most;
  std::vector<float> magnitudes(numbers.size());
  for (std::size_t n = 0; n < h.neurons; ++n) {
    const std::size_t there = flattened ? n % channels * pixels + n / channels : n;
    bool never = true, always = true;
    for (std::size_t s = 0; s < batch; ++s) {
      const double number = static_cast<double>(numbers[s * h.neurons + n]);
      const double z = static_cast<double>(trained.in[s * h.neurons + there]);
      const double activation = static_cast<double>(trained.out[s * h.neurons + there]);
      const double off = (number == 0 ? 0 : number / largest * full) - activation;  // full may be infinite
      never = never && number == 0;
      always = always && number == largest;
      h.rate += number / largest / count;
      h.clipped += z > full ? 1 / count : 0;
      h.activation += activation / count;
      h.difference += off / count;
      h.distance += std::fabs(off) / count;
      magnitudes[s * h.neurons + n] = std::fabs(static_cast<float>(z));
    }
    h.silent += never ? 1 : 0;
    h.saturated += always ? 1 : 0;
  }
  h.silent /= static_cast<double>(h.neurons);
  h.saturated /= static_cast<double>(h.neurons);
  h.median = over_threshold(nn::percentile(magnitudes, 50), full);
  h.top = over_threshold(nn::percentile(magnitudes, 99.9), full);
  return h;
}

}  // namespace detail

/// Runs images [N, C, H, W] through a network that was lowered to spikes (or, in exact arithmetic, to levels) by
/// conversion, and through `net`, which it was lowered from, and compares what each neuron counted, in the unit of
/// activations, with the activation: an average of spikes of amplitude lambda or of the threshold, a sum of spikes of
/// lambda / L, or the number that bits stand for. Rates of counts and bits are shares of the largest number;
/// potentials are the trained network's inputs of activations, over what the neuron can count at most. Throws where
/// there are no images, they do not fit, or the two networks have other neurons.
template <class InputPacking, class OutputPacking, class Chain, class In, class... L>
Diagnosis diagnose(const exec::Network<InputPacking, OutputPacking, Chain>& lowered, Network<In, L...>& net,
                   const Tensor<float>& images, int threads = 0) {
  using Net = Network<In, L...>;
  Net::check_images(images);
  lowered.input.check(images.extents());
  Diagnosis d;
  d.images = images.extent(0);
  if (d.images == 0) SPIQ_THROW("diagnose", "at least one image", "none");

  std::vector<detail::TrainedActivation> trained;
  typename Net::Cache cache;
  nn::Pass pass;
  pass.threads = threads;
  net.normalization.apply(images.data(), cache.input.get(d.images * Net::input_shape.size()), d.images,
                          Net::input_shape, threads);
  cache.logits.resize({d.images, Net::outputs});
  net.observe("", cache.input.data(), cache.logits.data(), d.images, cache.layers, pass,
              [&](const std::string& path, auto& layer, std::span<const float> in) {
                if constexpr (requires { layer.function(); }) {
                  detail::TrainedActivation a{path.substr(0, path.size() - 1), layer.in, {in.begin(), in.end()}, {}};
                  a.out.resize(in.size());
                  kernel::activate(layer.function(), in.data(), a.out.data(), in.size(), threads);
                  trained.push_back(std::move(a));
                }
              });

  const auto batch = static_cast<int>(d.images);
  auto session = lowered.session(batch, {.threads = 1, .tile = batch});
  session.run(images);
  std::size_t neurons = 0;
  session.visit([&](const auto& layer, const auto&, const auto& state) {
    const auto& buffer = detail::any_part(state.out);
    using P = typename std::remove_cvref_t<decltype(buffer)>::packing_type;
    if constexpr (detail::integer_packing<P>) {
      if (layer.info.levels == 0) return;
      if (neurons < trained.size() && trained[neurons].shape.size() == buffer.shape.size()) {
        constexpr bool digits = requires { layer.epilogue.bits; };
        const bool mean = lowered.readout.decoding == exec::Decoding::mean;
        const int steps = exec::describe(layer).steps, most = mean ? steps : layer.info.levels;
        LayerHealth h = detail::lowered_health(detail::emitted_numbers(buffer, digits), buffer.shape, most,
                                               layer.info.threshold * (mean ? 1 : most), trained[neurons]);
        h.steps = steps;
        d.layers.push_back(std::move(h));
      }
      ++neurons;
    }
  });
  if (neurons != trained.size() || d.layers.size() != neurons)
    SPIQ_THROW("diagnose: network before conversion",
               "the one that was lowered, with " + std::to_string(neurons) + " layers of neurons of the same sizes",
               std::to_string(trained.size()) + " activations, of which " + std::to_string(d.layers.size()) + " fit");
  return d;
}

}  // namespace report

SPIQ_END_NAMESPACE
