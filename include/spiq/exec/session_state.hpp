/// @file
/// Options of sessions, and what the layers of a streaming one keep from step to step: forgotten, thinned out, written
/// and read.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/exec/spiking.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace exec {

/// How a session divides its work.
struct SessionOptions {
  int threads = 0;              ///< workers at most; 0: as many as a parallel region would get
  int tile = 0;                 ///< samples that pass through all layers together; 0: chosen by size
  bool over_time = false;       ///< also keep the logits after every step
  bool count_internal = false;  ///< count PASCAL's internal spikes
  bool streaming = false;       ///< for `step`: neurons keep their state from step to step
  std::int64_t event_step = 0;  ///< for `push`: microseconds of a time step; streaming, batch 1
};

/// Throws where numbers of them make no sense.
inline void check(const SessionOptions& options, int batch) {
  if (batch < 1) SPIQ_THROW("session batch", "at least 1", std::to_string(batch));
  if (options.threads < 0) SPIQ_THROW("session threads", "at least 0", std::to_string(options.threads));
  if (options.tile < 0) SPIQ_THROW("session tile", "at least 0", std::to_string(options.tile));
}

/// Appends a count, in floats that hold it exactly: 24 bits each.
inline constexpr std::size_t saved_count = 2;
inline void save_count(std::size_t n, std::vector<float>& to) {
  to.push_back(static_cast<float>(n & 0xffffff));
  to.push_back(static_cast<float>(n >> 24));
}
/// Reads it; throws where it is none.
inline std::size_t load_count(std::span<const float> from) {
  const auto digit = [](float v) {
    if (!(v >= 0 && v < 0x1p24f && v == std::floor(v))) SPIQ_THROW("session state: a count", "whole numbers below 2^24", std::to_string(v));
    return static_cast<std::size_t>(v);
  };
  return digit(from[0]) | digit(from[1]) << 24;
}

/// A layer L with state S that keeps more than the potentials of an epilogue's neurons has its own functions:
/// `forget(state)`, `keep(state, samples)`, `save(state, to)` and `load(state, from)`, which returns what is left.
template <class L, class S>
concept Remembers = requires(const L& layer, S& state, std::vector<float>& to, std::span<const float> from) {
  layer.forget(state);
  layer.save(state, to);
  from = layer.load(state, from);
};
template <class S>
concept Streams = requires(S& state) {
  state.stream.values;
};

/// As before the first step.
template <class L, class S>
void forget(const L& layer, S& state) {
  if constexpr (Remembers<L, S>) {
    layer.forget(state);
  } else if constexpr (requires { layer.epilogue.reset(state.stream, 0); }) {
    if (state.stream.on) layer.epilogue.reset(state.stream, layer.output_shape().channels);
  }
}
/// Goes on with `samples` only, which ascend.
template <class L, class S>
void keep(const L& layer, S& state, std::span<const std::size_t> samples) {
  if constexpr (Remembers<L, S>)
    layer.keep(state, samples);
  else if constexpr (Streams<S>)
    state.stream.keep(samples, layer.output_shape().pixels());
}
/// Appends everything to `to`.
template <class L, class S>
void save(const L& layer, const S& state, std::vector<float>& to) {
  if constexpr (Remembers<L, S>)
    layer.save(state, to);
  else if constexpr (Streams<S>)
    to.insert(to.end(), state.stream.values.begin(), state.stream.values.end());
}
/// Reads what `save` wrote from the front of `from`; returns what is left of it.
template <class L, class S>
std::span<const float> load(const L& layer, S& state, std::span<const float> from) {
  if constexpr (Remembers<L, S>) return layer.load(state, from);
  if constexpr (Streams<S>) {
    std::copy_n(from.begin(), state.stream.values.size(), state.stream.values.begin());
    return from.subspan(state.stream.values.size());
  }
  return from;
}

}  // namespace exec

SPIQ_END_NAMESPACE
