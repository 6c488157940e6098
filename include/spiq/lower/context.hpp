/// @file
/// What flows through a network while it is lowered.
#pragma once

#include <spiq/core/packing.hpp>

#include <string>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// What an edge of the network carries, known at compile time.
namespace signal {
/// Real numbers: images, currents, activations of a float network; in exact arithmetic the sums that only a read-out
/// or a join can read.
struct real {};
/// Integers in units of an amplitude: spikes, counts, levels, image bytes.
struct discrete {};
}  // namespace signal

namespace lowering {

/// Numbers that flow from left to right while rules fold weights.
struct Context {
  Shape shape{};              ///< as the data lie: Flatten moves nothing
  int steps = 1;              ///< time steps of the signal
  double amplitude = 1;       ///< real value of one unit (spike, level, byte)
  std::vector<double> channel_amplitude;  ///< per channel, where it differs (image bytes); else empty
  int max_level = 0;          ///< largest unit count of a neuron, summed over the steps; 0: not bounded (reals)
  int max_word = 0;           ///< largest unit count in one stored word: of one step, or of all where counts may travel
  int word_limit = 255;       ///< what a stored word holds: spikes and levels are bytes, centred image bytes int16
  std::string prefix;         ///< "4.body."
  std::vector<std::string> paths{};  ///< of the layers one by one, where they do not lie in one list; else empty
  int time_steps = 1;         ///< that neurons fire for

  [[nodiscard]] double amplitude_of(int channel) const {
    return channel_amplitude.empty() ? amplitude : channel_amplitude[static_cast<std::size_t>(channel)];
  }
};

}  // namespace lowering

SPIQ_END_NAMESPACE
