/// @file
/// Per-channel parameters of an epilogue, and the counters that a session may switch on.
#pragma once

#include <spiq/core/packing.hpp>
#include <spiq/core/storage.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace exec {

/// One value per output channel, padded so that whole vectors may be loaded past the last channel.
template <class T>
class PerChannel {
public:
  PerChannel() = default;
  PerChannel(const std::vector<T>& values, T padding)
      : values_(round_up<std::size_t>(values.size(), 64) + 64, padding) {
    for (std::size_t i = 0; i < values.size(); ++i) values_[i] = values[i];
  }
  [[nodiscard]] const T* data() const { return values_.data(); }
  const T& operator[](std::size_t i) const { return values_[i]; }

private:
  AlignedVector<T> values_;
};

/// Spikes inside PASCAL neurons: forward ones of phases A and B, and inhibitory ones.
/// Emitted spikes are not here: they are read off the buffers.
struct InternalSpikes {
  std::uint64_t forward = 0;
  std::uint64_t inhibitory = 0;
};

}  // namespace exec

SPIQ_END_NAMESPACE
