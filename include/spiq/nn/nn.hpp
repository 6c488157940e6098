/// @file
/// Everything that describes and trains a network.
#pragma once

#include <spiq/nn/fit.hpp>
#include <spiq/nn/layers.hpp>
#include <spiq/nn/level_choice.hpp>
