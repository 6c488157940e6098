// The networks of train_snn.
#pragma once

#include <spiq/nn/nn.hpp>

#include <string>

// Neurons of DIET-SNN and IIR-SNN with learned thresholds and leaks. Their surrogate is a triangle over
// v / threshold - 1.
using Neuron = spiq::Spiking<spiq::presets::DietLif, spiq::surrogate::Relative<spiq::surrogate::Triangle>, spiq::Learned>;
// The same for hybrid training: the surrogate asks how long ago the neuron fired.
using StdbNeuron = spiq::Spiking<spiq::neuron::SinceSpike<spiq::presets::DietLif>, spiq::surrogate::Stdb, spiq::Learned, spiq::DetachReset>;

// 28x28 grey images, given as currents at every step: the first convolution is computed once.
template <class Learning>
using ImageNet = spiq::Network<
    spiq::Input<28, 28, 1>, spiq::Conv2d<16, 3>, spiq::BatchNorm,
    spiq::OverTime<spiq::Seq<Neuron, spiq::AvgPool<2>, spiq::Conv2d<32, 3>, spiq::BatchNorm, Neuron, spiq::AvgPool<2>,
                             spiq::Conv2d<32, 3>, spiq::BatchNorm, Neuron, spiq::AvgPool<2>, spiq::Flatten, spiq::Linear<10>>,
                   spiq::Steps<4>, Learning>>;

// What hybrid training starts from, without biases and normalisation, and what it becomes.
using ReluNet = spiq::Network<spiq::Input<28, 28, 1>, spiq::Conv2d<16, 3, spiq::NoBias>, spiq::ReLU, spiq::AvgPool<2>,
                              spiq::Conv2d<32, 3, spiq::NoBias>, spiq::ReLU, spiq::AvgPool<2>,
                              spiq::Conv2d<32, 3, spiq::NoBias>, spiq::ReLU, spiq::AvgPool<2>, spiq::Flatten,
                              spiq::Linear<10, spiq::NoBias>>;
template <class N>
using HybridNet = spiq::Network<
    spiq::Input<28, 28, 1>, spiq::Conv2d<16, 3, spiq::NoBias>,
    spiq::OverTime<spiq::Seq<N, spiq::AvgPool<2>, spiq::Conv2d<32, 3, spiq::NoBias>, N, spiq::AvgPool<2>,
                             spiq::Conv2d<32, 3, spiq::NoBias>, N, spiq::AvgPool<2>, spiq::Flatten, spiq::Linear<10, spiq::NoBias>>,
                   spiq::Steps<4>>>;

// Event streams: frames of two channels, the steps one after another.
template <class Learning>
using EventNet = spiq::Network<
    spiq::Input<16, 16, 16>,
    spiq::OverTime<spiq::Seq<spiq::Conv2d<16, 3>, spiq::BatchNorm, Neuron, spiq::AvgPool<2>, spiq::Conv2d<32, 3>, spiq::BatchNorm,
                             Neuron, spiq::AvgPool<2>, spiq::Flatten, spiq::Linear<8>>,
                   spiq::Steps<8>, spiq::FrameInput, Learning>>;

// Surrogates of height 1: behind a normalisation.
template <class Net>
void sharpen(Net& net) {
  net.for_each_layer([](const std::string&, auto& layer) {
    if constexpr (requires { layer.surrogate.slope; }) layer.surrogate.slope = 1;
  });
}
