// The images that an example trains on and tests with, as its command line and recipe say.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/random.hpp>
#include <spiq/io/cifar.hpp>
#include <spiq/io/idx.hpp>
#include <spiq/io/images.hpp>
#include <spiq/io/synthetic.hpp>

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

// The first n images of a set; all of them for n = 0.
inline void keep_first(spiq::ImageSet& set, std::size_t n) {
  if (n == 0 || n >= set.size()) return;
  std::vector<std::uint32_t> first(n);
  std::iota(first.begin(), first.end(), 0u);
  set = set.subset(first);
}

template <class Options, class Recipe>
spiq::ImageData load_images(const Options& options, const Recipe& recipe) {
  const std::size_t training = options.train_images != 0 ? options.train_images : recipe.train_images;
  const std::size_t test = options.test_images != 0 ? options.test_images : recipe.test_images;
  if (options.dataset == "synthetic") {
    const spiq::Rng rng(options.seed);
    return {spiq::synthetic_glyphs(training, rng.split(1), options.threads),
            spiq::synthetic_glyphs(test, rng.split(2), options.threads)};
  }
  if (options.data.empty())
    throw spiq::Error("--dataset " + options.dataset + " needs --data DIR, the folder of its files");
  spiq::ImageData data = options.dataset == "mnist" ? spiq::load_mnist(options.data) : spiq::load_cifar10(options.data);
  keep_first(data.train, training);
  keep_first(data.test, test);
  return data;
}
