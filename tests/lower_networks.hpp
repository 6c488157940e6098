// Networks, images and comparisons that the tests of lowering and sessions share.
#pragma once

#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>
#include <spiq/report/activity.hpp>
#include <spiq/report/operations.hpp>

#include "catch.hpp"

#include <cmath>
#include <string>
#include <vector>

namespace spiq_test {

using namespace spiq;

using Plain = Network<Input<9, 7, 2>, Conv2d<5, 3>, BatchNorm, Qcfs<4>, AvgPool<2>, Conv2d<70, 3>, BatchNorm, Qcfs<8>,
                      Flatten, Dropout<20>, Linear<6>>;
using Deep = Network<Input<8, 8, 3>, Conv2d<16, 3>, BatchNorm, Qcfs<8>,
                     Residual<Seq<Conv2d<16, 3>, BatchNorm, Qcfs<2>, Conv2d<16, 3>, BatchNorm>>, Qcfs<4>,
                     Residual<Seq<Conv2d<24, 3, Stride<2>>, BatchNorm, Qcfs<8>, Conv2d<24, 3>, BatchNorm>,
                              Seq<Conv2d<24, 1, Stride<2>>, BatchNorm>>,
                     Qcfs<4>, GlobalAvgPool, Linear<10>>;

// Weights k / 64: sums of spikes, and of windows of 2 or 4 of them, are exact in any order.
template <class Net>
Net exact_network(std::uint64_t seed) {
  Net net{Rng{seed}};
  Rng rng{seed, 3};
  net.for_each_layer([&](const std::string&, auto& layer) {
    if constexpr (requires { layer.weight; }) {
      for (float& w : layer.weight.span()) w = static_cast<float>(static_cast<int>(rng.below(41)) - 16) / 64.0F;
      for (float& b : layer.bias.span()) b = static_cast<float>(static_cast<int>(rng.below(17)) - 4) / 16.0F;
    }
    if constexpr (requires { layer.lambda; }) layer.lambda = 1.0F;
  });
  return net;
}

// Weights as training leaves them: batch statistics and thresholds away from their defaults.
template <class Net>
Net make_network(std::uint64_t seed) {
  Net net{Rng{seed}};
  Rng rng{seed, 1};
  const std::size_t channels = net.normalization.mean.size();
  std::vector<float> mean(channels), deviation(channels);
  for (std::size_t c = 0; c < channels; ++c) {
    mean[c] = rng.uniform(0.2F, 0.6F);
    deviation[c] = rng.uniform(0.2F, 0.4F);
  }
  net.normalization.set(mean, deviation);
  net.for_each_layer([&](const std::string&, auto& layer) {
    if constexpr (requires { layer.running_var; }) {
      for (std::size_t c = 0; c < layer.gamma.size(); ++c) {
        layer.gamma[c] = rng.uniform(0.5F, 1.5F);
        layer.beta[c] = rng.uniform(-0.3F, 0.5F);
        layer.running_mean[c] = rng.uniform(-0.2F, 0.2F);
        layer.running_var[c] = rng.uniform(0.5F, 2.0F);
      }
    }
    if constexpr (requires { layer.lambda; }) layer.lambda = rng.uniform(0.8F, 2.0F);
  });
  return net;
}

template <class Net>
Tensor<float> make_images(std::size_t n, std::uint64_t seed) {
  const Shape s = Net::input_shape;
  Tensor<float> images({n, static_cast<std::size_t>(s.channels), static_cast<std::size_t>(s.height),
                        static_cast<std::size_t>(s.width)});
  Rng rng{seed, 2};
  for (float& v : images.span()) v = static_cast<float>(rng.below(256)) / 255.0F;
  return images;
}

inline double largest_difference(const Tensor<float>& a, const Tensor<float>& b) {
  REQUIRE(a.extents() == b.extents());
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(double{a[i]} - double{b[i]}));
  return worst;
}

// Spikes or levels of every neuron, layer by layer.
template <class Exec>
std::vector<std::vector<std::uint16_t>> neuron_counts(const Exec& network, const Tensor<float>& images) {
  const auto n = static_cast<int>(images.extent(0));
  auto session = network.session(n, {.threads = 1, .tile = n});
  session.run(images);
  std::vector<std::vector<std::uint16_t>> all;
  for (auto& layer : report::neuron_counts(session)) all.push_back(std::move(layer.counts));
  return all;
}

// The text of the spiq::Error that `f` throws, empty when it throws none.
template <class F>
std::string error_text(F f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return {};
}

inline bool mentions(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace spiq_test
