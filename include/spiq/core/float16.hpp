/// @file
/// float16 (IEEE half precision) as a storage type.
#pragma once

#include <spiq/core/abi.hpp>

#include <bit>
#include <cstdint>

SPIQ_BEGIN_NAMESPACE

/// 5 bits of exponent, 11 bits of significand; arithmetic is done in float.
struct float16 {
  std::uint16_t bits = 0;

  float16() = default;
  /// Nearest, ties to even; NaN stays NaN (and becomes quiet), from 65520 on infinite, gradual underflow.
  explicit constexpr float16(float x) noexcept : bits(rounded(std::bit_cast<std::uint32_t>(x))) {}
  /// The number with this bit pattern.
  static constexpr float16 from_bits(std::uint16_t pattern) noexcept {
    float16 h;
    h.bits = pattern;
    return h;
  }
  /// Exact.
  explicit constexpr operator float() const noexcept {
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
    const std::uint32_t exponent = (bits >> 10) & 31u, mantissa = bits & 1023u;
    if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
    if (exponent == 0) {
      const float magnitude = static_cast<float>(mantissa) * 5.9604644775390625e-8f;  // 2^-24
      return sign != 0 ? -magnitude : magnitude;
    }
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  }

private:
  static constexpr std::uint16_t rounded(std::uint32_t u) noexcept {
    const std::uint32_t sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;
    std::uint32_t h = 0;
    if (a > 0x7f800000u) {
      h = 0x7e00u | ((a >> 13) & 0x3ffu);
    } else if (a >= 0x477ff000u) {
      h = 0x7c00u;
    } else if (a >= 0x38800000u) {  // normal: the exponent's bias changes, the carry of the rounding runs into it
      h = (a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13;
    } else if (a >= 0x33000000u) {  // subnormal: the sum with 0.5 has the result in its last bits
      h = std::bit_cast<std::uint32_t>(std::bit_cast<float>(a) + 0.5f) - 0x3f000000u;
    }
    return static_cast<std::uint16_t>(sign | h);
  }
};

SPIQ_END_NAMESPACE
