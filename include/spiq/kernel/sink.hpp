/// @file
/// The seam between a product and what is fused behind it: register tiles and the sinks that consume them.
#pragma once

#include <spiq/core/abi.hpp>

#include <concepts>
#include <cstddef>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// Where a register tile of accumulators lies in the output.
/// A row is one output position at one step: row = ((sample * out_h + y) * out_w + x) * steps + step.
struct TileAt {
  std::size_t row = 0;  ///< first row
  int rows = 0;         ///< rows that are real, <= the tile's; the others hold garbage
  int channel = 0;      ///< first output channel
  int channels = 0;     ///< channels that are real, <= the tile's; the others hold garbage
};

/// A sink takes tiles `acc[rows][vectors]` while they are in registers and stores what it makes of them
/// (a bias added, an activation, a neuron's spikes). A product promises every sink:
/// - each (row, channel) of the samples it was asked for comes exactly once;
/// - for one block of channels, rows of a sample come in ascending order, `row + rows` being the next tile's row
///   unless an output row of pixels ended: so a neuron may carry its membrane from tile to tile;
/// - `channel` is a multiple of the tile's width in channels.
/// Called as sink(acc, at); must be always-inline and noexcept.
template <class S, class V>
concept Sink = requires(S& sink, const V (&acc)[1][1], const TileAt& at) {
  { sink(acc, at) } noexcept;
};

}  // namespace kernel

SPIQ_END_NAMESPACE
