/// @file
/// What a product multiplies: float by float, pairs of int16, or four bytes.
#pragma once

#include <spiq/simd/simd.hpp>

#include <cstdint>
#include <cstring>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// float x float -> float, one input per lane and step of the inner loop.
struct ElementF32 {
  using Input = float;
  using Weight = float;
  using Lane = float;              ///< what one lane of packed weights holds
  static constexpr int group = 1;  ///< inputs that one lane takes at once
  template <class Arch>
  using vec = typename simd::traits<Arch>::f32;

  /// One lane of packed weights from up to `group` weights; absent ones are zero.
  static Lane lane(const Weight (&w)[group]) { return w[0]; }
  template <class Arch>
  static SPIQ_INLINE vec<Arch> broadcast(const Input* p) {
    return vec<Arch>::broadcast(*p);
  }
  template <class Arch>
  static SPIQ_INLINE vec<Arch> multiply_add(vec<Arch> acc, vec<Arch> input, vec<Arch> weight) {
    return simd::fma(input, weight, acc);
  }
};

/// int16 x int16 -> int32, two inputs per lane: acc + x[0] w[0] + x[1] w[1] (modulo 2^32).
struct ElementS16 {
  using Input = std::int16_t;
  using Weight = std::int16_t;
  using Lane = std::int32_t;
  static constexpr int group = 2;
  template <class Arch>
  using vec = typename simd::traits<Arch>::i32;

  static Lane lane(const Weight (&w)[group]) {
    const auto low = static_cast<std::uint32_t>(static_cast<std::uint16_t>(w[0]));
    const auto high = static_cast<std::uint32_t>(static_cast<std::uint16_t>(w[1]));
    return static_cast<std::int32_t>(low | (high << 16));
  }
  template <class Arch>
  static SPIQ_INLINE vec<Arch> broadcast(const Input* p) {
    std::int32_t pair;
    std::memcpy(&pair, p, sizeof(pair));
    return vec<Arch>::broadcast(pair);
  }
  template <class Arch>
  static SPIQ_INLINE vec<Arch> multiply_add(vec<Arch> acc, vec<Arch> input, vec<Arch> weight) {
    return simd::dot_s16(acc, input, weight);
  }
};

/// uint8 x int8 -> int32, four inputs per lane (modulo 2^32).
struct ElementU8S8 {
  using Input = std::uint8_t;
  using Weight = std::int8_t;
  using Lane = std::int32_t;
  static constexpr int group = 4;
  template <class Arch>
  using vec = typename simd::traits<Arch>::i32;

  static Lane lane(const Weight (&w)[group]) {
    std::uint32_t bytes = 0;
    for (int i = 0; i < group; ++i) bytes |= std::uint32_t{static_cast<std::uint8_t>(w[i])} << (8 * i);
    return static_cast<std::int32_t>(bytes);
  }
  template <class Arch>
  static SPIQ_INLINE vec<Arch> broadcast(const Input* p) {
    std::int32_t four;
    std::memcpy(&four, p, sizeof(four));
    return vec<Arch>::broadcast(four);
  }
  template <class Arch>
  static SPIQ_INLINE vec<Arch> multiply_add(vec<Arch> acc, vec<Arch> input, vec<Arch> weight) {
    return simd::dot_u8s8(acc, input, weight);
  }
};

}  // namespace kernel

SPIQ_END_NAMESPACE
