// The networks of train_snn.
#pragma once

#include "../common/spiking_network.hpp"

// The neurons of hybrid training whose surrogate asks how long ago they fired.
using StdbNeuron = spiq::Spiking<spiq::neuron::SinceSpike<spiq::presets::DietLif>, spiq::surrogate::Stdb, spiq::Learned,
                                 spiq::DetachReset>;

// What hybrid training starts from, without biases and normalisation, and what it becomes.
using ReluNet =
    spiq::Network<spiq::Input<28, 28, 1>, spiq::Conv2d<16, 3, spiq::NoBias>, spiq::ReLU, spiq::AvgPool<2>,
                  spiq::Conv2d<32, 3, spiq::NoBias>, spiq::ReLU, spiq::AvgPool<2>, spiq::Conv2d<32, 3, spiq::NoBias>,
                  spiq::ReLU, spiq::AvgPool<2>, spiq::Flatten, spiq::Linear<10, spiq::NoBias>>;
template <class N>
using HybridNet =
    spiq::Network<spiq::Input<28, 28, 1>, spiq::Conv2d<16, 3, spiq::NoBias>,
                  spiq::OverTime<spiq::Seq<N, spiq::AvgPool<2>, spiq::Conv2d<32, 3, spiq::NoBias>, N, spiq::AvgPool<2>,
                                           spiq::Conv2d<32, 3, spiq::NoBias>, N, spiq::AvgPool<2>, spiq::Flatten,
                                           spiq::Linear<10, spiq::NoBias>>,
                                 spiq::Steps<4>>>;

// Event streams: frames of two channels, the steps one after another.
template <class Learning>
using EventNet = spiq::Network<
    spiq::Input<16, 16, 16>,
    spiq::OverTime<spiq::Seq<spiq::Conv2d<16, 3>, spiq::BatchNorm, Neuron, spiq::AvgPool<2>, spiq::Conv2d<32, 3>,
                             spiq::BatchNorm, Neuron, spiq::AvgPool<2>, spiq::Flatten, spiq::Linear<8>>,
                   spiq::Steps<8>, spiq::FrameInput, Learning>>;
