/// @file
/// bfloat16 as a storage type: the upper half of a float.
#pragma once

#include <spiq/core/abi.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>

SPIQ_BEGIN_NAMESPACE

/// 8 bits of exponent, 8 bits of significand; arithmetic is done in float.
struct bfloat16 {
  std::uint16_t bits = 0;

  bfloat16() = default;
  /// Nearest, ties to even; NaN stays NaN (and becomes quiet), what is beyond the largest bfloat16 becomes infinite.
  explicit constexpr bfloat16(float x) noexcept : bits(rounded(std::bit_cast<std::uint32_t>(x))) {}
  /// The number with this bit pattern.
  static constexpr bfloat16 from_bits(std::uint16_t pattern) noexcept {
    bfloat16 b;
    b.bits = pattern;
    return b;
  }
  /// Exact.
  explicit constexpr operator float() const noexcept {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }

private:
  static constexpr std::uint16_t rounded(std::uint32_t u) noexcept {
    if ((u & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((u >> 16) | 0x40u);
    return static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
};

SPIQ_END_NAMESPACE
