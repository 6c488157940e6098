// Training with its progress shown, and the choices that the spiking examples share.
#pragma once

#include <spiq/nn/nn.hpp>
#include <spiq/report/diagnose.hpp>
#include <spiq/report/format.hpp>
#include <spiq/report/progress.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <numeric>
#include <span>
#include <string>
#include <vector>

inline std::string percent(double share) { return spiq::report::fixed(100 * share, 2) + " %"; }

// `fit`, a line per epoch.
template <class Net, class Data>
spiq::History fit_shown(Net& net, Data& data, spiq::FitOptions fit) {
  spiq::report::Progress progress(std::cout, spiq::report::is_terminal(stdout), 1);
  fit.on_batch = [&](const spiq::BatchReport& r) {
    progress.batch({r.epoch, r.epochs, r.batch, r.batches, r.loss, r.accuracy});
  };
  fit.on_epoch = [&](const spiq::EpochReport& r) {
    progress.epoch({r.epoch, r.epochs, 1, 1, r.loss, r.accuracy},
                   r.validation_accuracy ? "validation " + percent(*r.validation_accuracy) : "");
    std::cout.flush();
  };
  return spiq::fit(net, data, fit);
}

// The first `most` of the images `indices` as a batch [n, c, h, w].
template <class Data>
spiq::Tensor<float> some_images(Data& data, std::span<const std::uint32_t> indices, std::size_t most) {
  indices = indices.first(std::min(most, indices.size()));
  spiq::Tensor<float> images;
  std::vector<int> labels(indices.size());
  data.fill(indices, images, labels);
  return images;
}
template <class Data>
spiq::Tensor<float> some_images(Data& data, std::size_t most) {
  std::vector<std::uint32_t> first(data.size());
  std::iota(first.begin(), first.end(), 0u);
  return some_images(data, first, most);
}

// Spikes of all layers and steps, an image.
inline double spikes_per_image(const spiq::report::Diagnosis& d) {
  double sum = 0;
  for (const auto& layer : d.layers) sum += layer.rate * static_cast<double>(layer.neurons) * layer.steps;
  return sum;
}
