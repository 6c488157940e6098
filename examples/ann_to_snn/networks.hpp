// The networks of ann_to_snn and the recipes that train them.
#pragma once

#include <spiq/nn/nn.hpp>

#include <cstddef>
#include <string>

// 28x28 grey images: three convolutions of 16, 32 and 64 channels.
using SmallNet = spiq::Network<spiq::Input<28, 28, 1>,                                                        //
                               spiq::Conv2d<16, 3>, spiq::BatchNorm, spiq::Qcfs<8>, spiq::AvgPool<2>,         //
                               spiq::Conv2d<32, 3>, spiq::BatchNorm, spiq::Qcfs<8>, spiq::AvgPool<2>,         //
                               spiq::Conv2d<64, 3>, spiq::BatchNorm, spiq::Qcfs<8>, spiq::AvgPool<2>,         //
                               spiq::Flatten, spiq::Linear<10>>;

// conv-BN-QCFS-conv-BN beside an identity; the activation stands behind the sum.
template <int Channels>
using Block = spiq::Residual<spiq::Seq<spiq::Conv2d<Channels, 3>, spiq::BatchNorm, spiq::Qcfs<8>,
                                       spiq::Conv2d<Channels, 3>, spiq::BatchNorm>>;

// 32x32 colour images: convolutions of 32 to 256 channels with two residual blocks, 95 M multiply-adds.
using ColourNet = spiq::Network<spiq::Input<32, 32, 3>,                                                       //
                                spiq::Conv2d<32, 3>, spiq::BatchNorm, spiq::Qcfs<8>,                          //
                                spiq::Conv2d<64, 3>, spiq::BatchNorm, spiq::Qcfs<8>, spiq::AvgPool<2>,        //
                                spiq::Conv2d<128, 3>, spiq::BatchNorm, spiq::Qcfs<8>, spiq::AvgPool<2>,       //
                                Block<128>, spiq::Qcfs<8>,                                                    //
                                spiq::Conv2d<256, 3>, spiq::BatchNorm, spiq::Qcfs<8>, spiq::AvgPool<2>,       //
                                Block<256>, spiq::Qcfs<8>,                                                    //
                                spiq::GlobalAvgPool, spiq::Linear<10>>;

// Stochastic gradient descent with weight decay on everything, thresholds too, low initial thresholds and smoothed
// labels: activations become nearly binary, which keeps the spikes of different inputs together in time. With AdamW and
// thresholds at the 99.5th percentile the trained network is as good, but its QCFS spikes need 32 steps instead of 8.
struct Recipe {
  std::string name;
  int epochs = 12;
  int batch = 128;
  float learning_rate = 0.1f;
  spiq::OptimiserKind optimiser = spiq::Sgd{.momentum = 0.9f, .nesterov = true};
  float weight_decay = 5e-4f;
  float threshold_rate = 1.0f;  // times the learning rate
  float threshold_percentile = 85.0f;
  float label_smoothing = 0.1f;
  spiq::Schedule schedule = spiq::OneCycle{};
  spiq::Augmentation augmentation{};
  std::size_t train_images = 0;  // 0: all that the data set has
  std::size_t test_images = 0;

  [[nodiscard]] spiq::ParameterPolicies policies() const {
    spiq::ParameterPolicies p;
    p.bias.decay_factor = p.norm.decay_factor = p.threshold.decay_factor = 1.0f;
    p.threshold.rate_factor = threshold_rate;
    return p;
  }
};

inline Recipe recipe_for(const std::string& dataset) {
  Recipe r;
  r.name = "SGD, Nesterov 0.9, one cycle, weight decay 5e-4, label smoothing 0.1, ";
  if (dataset == "cifar10") {
    r.name += "flips and shifts by 4";
    r.epochs = 35;
    r.threshold_rate = 0.1f;  // their gradients sum over whole maps
    r.augmentation = {.flip = true, .shift = 4};
  } else {
    r.name += "shifts by 2";
    r.augmentation = {.shift = 2};
    if (dataset == "mnist") {
      r.epochs = 40;
    } else {
      r.epochs = 5;
      r.train_images = 20000;
      r.test_images = 4000;
    }
  }
  return r;
}
