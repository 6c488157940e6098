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

// 32x32 colour images: a small residual network.
using ColourNet = spiq::Network<spiq::Input<32, 32, 3>,                                                       //
                                spiq::Conv2d<32, 3>, spiq::BatchNorm, spiq::Qcfs<8>,                          //
                                Block<32>, spiq::Qcfs<8>, spiq::AvgPool<2>,                                   //
                                spiq::Conv2d<64, 3>, spiq::BatchNorm, spiq::Qcfs<8>,                          //
                                Block<64>, spiq::Qcfs<8>, spiq::AvgPool<2>,                                   //
                                spiq::Conv2d<128, 3>, spiq::BatchNorm, spiq::Qcfs<8>,                         //
                                Block<128>, spiq::Qcfs<8>, spiq::AvgPool<2>,                                  //
                                spiq::Flatten, spiq::Linear<10>>;

struct Recipe {
  std::string name;
  int epochs = 10;
  int batch = 128;
  float learning_rate = 3e-3f;
  spiq::OptimiserKind optimiser = spiq::AdamW{};
  float weight_decay = 1e-2f;
  float label_smoothing = 0.0f;
  spiq::Schedule schedule = spiq::OneCycle{};
  spiq::Augmentation augmentation{};
  std::size_t train_images = 0;  // 0: all that the data set has
  std::size_t test_images = 0;
};

inline Recipe recipe_for(const std::string& dataset) {
  Recipe r;
  if (dataset == "cifar10") {
    r.name = "SGD, Nesterov 0.9, cosine, flips and shifts by 4, label smoothing 0.1";
    r.epochs = 30;
    r.learning_rate = 0.1f;
    r.optimiser = spiq::Sgd{.momentum = 0.9f, .nesterov = true};
    r.weight_decay = 5e-4f;
    r.label_smoothing = 0.1f;
    r.schedule = spiq::Cosine{.warmup = 0.1f};
    r.augmentation = {.flip = true, .shift = 4};
  } else if (dataset == "mnist") {
    r.name = "AdamW, one cycle, shifts by 2";
    r.epochs = 15;
    r.augmentation = {.shift = 2};
  } else {
    r.name = "AdamW, one cycle, shifts by 2";
    r.epochs = 5;
    r.augmentation = {.shift = 2};
    r.train_images = 20000;
    r.test_images = 4000;
  }
  return r;
}
