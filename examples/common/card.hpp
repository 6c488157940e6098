// What a run's reproducibility card says of its options and images.
#pragma once

#include <spiq/core/parallel.hpp>
#include <spiq/io/images.hpp>
#include <spiq/report/card.hpp>

#include <string>

template <class Options>
spiq::report::Card card_of(const Options& options, const spiq::ImageData& data) {
  spiq::report::Card card;
  card.seed = options.seed;
  card.threads = options.threads > 0 ? options.threads : spiq::max_threads();
  card.data = options.dataset + ", " + std::to_string(data.train.size()) + " training and " +
              std::to_string(data.test.size()) + " test images";
  card.checksum = "training " + spiq::checksum_text(data.train.checksum()) + ", test " +
                  spiq::checksum_text(data.test.checksum()) + " (64-bit FNV-1a)";
  return card;
}
