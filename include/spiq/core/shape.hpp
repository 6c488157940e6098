/// @file
/// The shape of one sample.
#pragma once

#include <spiq/core/abi.hpp>

#include <cstddef>
#include <string>

SPIQ_BEGIN_NAMESPACE

/// Shape of one sample, in the order in which it lies in memory: height, width, channels (channels fastest).
/// A vector of n features is {1, 1, n}.
struct Shape {
  int height = 0;
  int width = 0;
  int channels = 0;

  constexpr bool operator==(const Shape&) const = default;
  /// Number of elements.
  [[nodiscard]] constexpr std::size_t size() const {
    return static_cast<std::size_t>(height) * static_cast<std::size_t>(width) * static_cast<std::size_t>(channels);
  }
  /// Number of pixels.
  [[nodiscard]] constexpr std::size_t pixels() const {
    return static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  }
  /// True when every extent is at least one.
  [[nodiscard]] constexpr bool valid() const { return height > 0 && width > 0 && channels > 0; }
};

/// "28x28x1" (height x width x channels).
inline std::string to_string(const Shape& s) {
  return std::to_string(s.height) + "x" + std::to_string(s.width) + "x" + std::to_string(s.channels);
}

/// Smallest multiple of `step` that is not below `n`.
template <class Int>
constexpr Int round_up(Int n, Int step) {
  return (n + step - 1) / step * step;
}

SPIQ_END_NAMESPACE
