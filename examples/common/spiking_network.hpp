// The spiking network for images that train_snn trains and early_exit runs.
#pragma once

#include <spiq/nn/nn.hpp>

#include <string>

// Neurons of DIET-SNN and IIR-SNN with learned thresholds and leaks. Their surrogate is a triangle over
// v / threshold - 1.
using Neuron =
    spiq::Spiking<spiq::presets::DietLif, spiq::surrogate::Relative<spiq::surrogate::Triangle>, spiq::Learned>;

// 28x28 grey images, given as currents at every step: the first convolution is computed once.
template <class Learning>
using ImageNet = spiq::Network<spiq::Input<28, 28, 1>, spiq::Conv2d<16, 3>, spiq::BatchNorm,
                               spiq::OverTime<spiq::Seq<Neuron, spiq::AvgPool<2>, spiq::Conv2d<32, 3>, spiq::BatchNorm,
                                                        Neuron, spiq::AvgPool<2>, spiq::Conv2d<32, 3>, spiq::BatchNorm,
                                                        Neuron, spiq::AvgPool<2>, spiq::Flatten, spiq::Linear<10>>,
                                              spiq::Steps<4>, Learning>>;

// Surrogates of height 1, behind a normalisation; leaks to begin with.
template <class Net>
void prepare(Net& net, double leak) {
  net.for_each_layer([&](const std::string&, auto& layer) {
    if constexpr (requires { layer.surrogate.slope; }) {
      layer.surrogate.slope = 1;
      layer.set(spiq::presets::diet_lif(static_cast<float>(leak), 1));
    }
  });
}
