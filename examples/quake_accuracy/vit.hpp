// The vision transformer of quake_accuracy and the recipes that train it.
#pragma once

#include <spiq/nn/nn.hpp>

#include <cstddef>
#include <string>

// 28x28 grey images to 7x7 tokens of 32 channels, two pre-norm blocks of attention and a GELU network. Two
// convolutions cut the patches (arXiv 2106.14881), which learns in fewer epochs than one. All exponentials of the
// network, those of the attention and of GELU, are in `Rung`; types of different rungs have the same weights.
template <class Rung>
using Attend = spiq::Residual<spiq::Seq<spiq::LayerNorm, spiq::MultiHeadAttention<4, Rung>>>;
template <class Rung>
using Think = spiq::Residual<spiq::Seq<spiq::LayerNorm, spiq::Conv2d<64, 1>, spiq::Gelu<Rung>, spiq::Conv2d<32, 1>>>;
template <class Rung>
using Vit = spiq::Network<spiq::Input<28, 28, 1>,                                                               //
                          spiq::Conv2d<16, 3, spiq::Stride<2>, spiq::Padding<1>>, spiq::BatchNorm, spiq::ReLU,  //
                          spiq::Conv2d<32, 3, spiq::Stride<2>, spiq::Padding<1>>, spiq::PositionEmbedding,      //
                          Attend<Rung>, Think<Rung>, Attend<Rung>, Think<Rung>,                                 //
                          spiq::LayerNorm, spiq::GlobalAvgPool, spiq::Linear<10>>;

struct Recipe {
  std::string name = "AdamW, one cycle, weight decay 0.01";
  int epochs = 5;
  int batch = 64;
  float learning_rate = 6e-3f;
  int shift = 0;  // pixels by which training images move at most
  std::size_t train_images = 0;  // 0: all that the data set has
  std::size_t test_images = 0;
};

inline Recipe recipe_for(const std::string& dataset) {
  Recipe r;
  if (dataset == "mnist") {
    r.name += ", shifts by 2";
    r.epochs = 10;
    r.shift = 2;
  } else {
    r.train_images = 10000;
    r.test_images = 4000;
  }
  return r;
}
