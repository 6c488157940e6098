// Training, or loading what was trained before.
#pragma once

#include "options.hpp"
#include "vit.hpp"

#include <spiq/io/images.hpp>
#include <spiq/nn/state.hpp>

#include <string>

struct Trained {
  spiq::NamedArrays weights;
  std::string validation;  // for the card
  std::string training;
};

// The vision transformer with exact exponentials, trained (or loaded) once; its weights serve every rung. Saves them
// where the options say so.
Trained trained_weights(const spiq::ImageSet& images, const Recipe& recipe, const Options& options);
