// The network of conversion_zoo, with ReLU or quantised activations, and how it is trained.
#pragma once

#include "options.hpp"

#include <spiq/io/images.hpp>
#include <spiq/nn/nn.hpp>
#include <spiq/report/progress.hpp>

#include <cstddef>
#include <cstdio>
#include <iostream>
#include <string>

template <class Activation>
using ZooNet = spiq::Network<spiq::Input<28, 28, 1>,                                              //
                             spiq::Conv2d<12, 3>, spiq::BatchNorm, Activation, spiq::AvgPool<2>,  //
                             spiq::Conv2d<24, 3>, spiq::BatchNorm, Activation, spiq::AvgPool<2>,  //
                             spiq::Conv2d<48, 3>, spiq::BatchNorm, Activation, spiq::AvgPool<2>,  //
                             spiq::Flatten, spiq::Linear<10>>;
using ReluNet = ZooNet<spiq::ReLU>;
using QcfsNet = ZooNet<spiq::Qcfs<7>>;  // 7 = 2^3 - 1: three bits

struct Recipe {
  std::size_t train_images = 0, test_images = 0;  // 0: all that the data set has
};
inline Recipe recipe_for(const std::string& dataset) { return dataset == "synthetic" ? Recipe{10000, 2000} : Recipe{}; }

// Stochastic gradient descent with weight decay on everything, as in ann_to_snn. `rate`: peak learning rate.
template <class Net>
spiq::History train(const std::string& name, Net& net, const spiq::ImageSet& images, int epochs, float rate,
                    const Options& options, spiq::nn::Penalties penalties = {}) {
  spiq::FitOptions fit;
  fit.epochs = epochs;
  fit.learning_rate = rate;
  fit.optimiser = spiq::Sgd{.momentum = 0.9f, .nesterov = true};
  fit.weight_decay = 5e-4f;
  fit.policies.bias.decay_factor = fit.policies.norm.decay_factor = fit.policies.threshold.decay_factor = 1.0f;
  fit.threshold_percentile = 85.0f;
  fit.label_smoothing = 0.1f;
  fit.penalties = penalties;
  fit.augmentation = {.shift = 2};
  fit.validation_fraction = static_cast<float>(options.validation);
  fit.seed = options.seed;
  fit.threads = options.threads;
  std::cout << "training " << name << "\n";
  spiq::report::Progress bar(std::cout, spiq::report::is_terminal(stdout), 1);
  fit.on_batch = [&](const spiq::BatchReport& r) {
    bar.batch({r.epoch, r.epochs, r.batch, r.batches, r.loss, r.accuracy});
  };
  fit.on_epoch = [&](const spiq::EpochReport& r) {
    bar.epoch({r.epoch, r.epochs, 1, 1, r.loss, r.accuracy},
              "validation " + spiq::report::fixed(100 * r.validation_accuracy.value_or(0), 2) + " %");
  };
  return spiq::fit(net, images, fit);
}
