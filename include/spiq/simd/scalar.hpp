/// @file
/// One-lane vectors: the scalar back-end, and the reference for the interface every architecture offers.
#pragma once

#include <spiq/simd/arch.hpp>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace simd {

/// A register of T. Every architecture gives the same interface (this one documents it):
/// unaligned loads and stores, the first n lanes of them, arithmetic, comparisons to a mask.
template <class T, class Arch>
struct vec;
/// Lane mask of a vec; `bits()` has lane i in bit i.
template <class T, class Arch>
struct mask;

template <class T>
struct mask<T, scalar> {
  bool v;
  [[nodiscard]] SPIQ_INLINE std::uint32_t bits() const { return v ? 1u : 0u; }
  friend SPIQ_INLINE mask operator&(mask a, mask b) { return {a.v && b.v}; }
  friend SPIQ_INLINE mask operator|(mask a, mask b) { return {a.v || b.v}; }
};

template <class T>
struct vec<T, scalar> {
  static constexpr int width = 1;
  using mask_type = mask<T, scalar>;
  T v;

  static SPIQ_INLINE vec zero() { return {T{}}; }
  static SPIQ_INLINE vec broadcast(T x) { return {x}; }
  static SPIQ_INLINE vec load(const T* p) { return {*p}; }
  /// Lanes [0, n) from memory, the others zero; reads nothing beyond p[n - 1].
  static SPIQ_INLINE vec load_first(const T* p, int n) { return {n > 0 ? *p : T{}}; }
  SPIQ_INLINE void store(T* p) const { *p = v; }
  /// Writes lanes [0, n) only.
  SPIQ_INLINE void store_first(T* p, int n) const {
    if (n > 0) *p = v;
  }
  /// Widens `width` bytes.
  static SPIQ_INLINE vec load_u8(const std::uint8_t* p) { return {static_cast<T>(*p)}; }
  /// Narrows to bytes; the values must lie in [0, 255].
  SPIQ_INLINE void store_u8(std::uint8_t* p) const { *p = static_cast<std::uint8_t>(v); }

  friend SPIQ_INLINE vec operator+(vec a, vec b) {
    if constexpr (std::is_integral_v<T>)
      return {static_cast<T>(static_cast<std::uint32_t>(a.v) + static_cast<std::uint32_t>(b.v))};
    else
      return {a.v + b.v};
  }
  friend SPIQ_INLINE vec operator-(vec a, vec b) {
    if constexpr (std::is_integral_v<T>)
      return {static_cast<T>(static_cast<std::uint32_t>(a.v) - static_cast<std::uint32_t>(b.v))};
    else
      return {a.v - b.v};
  }
  friend SPIQ_INLINE vec operator*(vec a, vec b) {
    if constexpr (std::is_integral_v<T>)
      return {static_cast<T>(static_cast<std::uint32_t>(a.v) * static_cast<std::uint32_t>(b.v))};
    else
      return {a.v * b.v};
  }
  friend SPIQ_INLINE vec operator/(vec a, vec b)
    requires std::is_floating_point_v<T>
  {
    return {a.v / b.v};
  }
  friend SPIQ_INLINE mask_type operator>=(vec a, vec b) { return {a.v >= b.v}; }
  friend SPIQ_INLINE mask_type operator>(vec a, vec b) { return {a.v > b.v}; }
  friend SPIQ_INLINE mask_type operator<(vec a, vec b) { return {a.v < b.v}; }
  friend SPIQ_INLINE mask_type operator<=(vec a, vec b) { return {a.v <= b.v}; }
  friend SPIQ_INLINE mask_type operator==(vec a, vec b) { return {a.v == b.v}; }
};

/// min and max return the second operand when one is NaN, as the x86 instructions do.
template <class T>
SPIQ_INLINE vec<T, scalar> min(vec<T, scalar> a, vec<T, scalar> b) {
  return {a.v < b.v ? a.v : b.v};
}
template <class T>
SPIQ_INLINE vec<T, scalar> max(vec<T, scalar> a, vec<T, scalar> b) {
  return {a.v > b.v ? a.v : b.v};
}
/// m ? a : b, per lane.
template <class T>
SPIQ_INLINE vec<T, scalar> select(mask<T, scalar> m, vec<T, scalar> a, vec<T, scalar> b) {
  return m.v ? a : b;
}
/// a * b + c, in one rounding where the machine has a fused multiply-add.
SPIQ_INLINE vec<float, scalar> fma(vec<float, scalar> a, vec<float, scalar> b, vec<float, scalar> c) {
#if defined(__FMA__) || defined(__aarch64__)
  return {std::fma(a.v, b.v, c.v)};
#else
  return {a.v * b.v + c.v};
#endif
}
// An empty instruction that has the register as operand: g++ would contract across inlined functions otherwise (and
// splits vectors into lanes for its own __builtin_assoc_barrier); clang contracts only within an expression.
#if defined(__GNUC__) && !defined(__clang__) && defined(__AVX512F__)
#define SPIQ_SIMD_ROUND(value) asm("" : "+v"(value))
#elif defined(__GNUC__) && !defined(__clang__) && defined(__SSE2__)
#define SPIQ_SIMD_ROUND(value) asm("" : "+x"(value))
#elif defined(__GNUC__) && !defined(__clang__) && defined(__aarch64__)
#define SPIQ_SIMD_ROUND(value) asm("" : "+w"(value))
#else
#define SPIQ_SIMD_ROUND(value) static_cast<void>(0)
#endif
/// The value itself, rounded: a product passed through it is never contracted with a following sum into one fma.
SPIQ_INLINE vec<float, scalar> rounded(vec<float, scalar> a) {
  SPIQ_SIMD_ROUND(a.v);
  return a;
}
SPIQ_INLINE vec<float, scalar> floor(vec<float, scalar> a) { return {std::floor(a.v)}; }
SPIQ_INLINE vec<float, scalar> sqrt(vec<float, scalar> a) { return {std::sqrt(a.v)}; }
/// Truncation to int32; the values must be representable.
SPIQ_INLINE vec<std::int32_t, scalar> to_i32(vec<float, scalar> a) { return {static_cast<std::int32_t>(a.v)}; }
SPIQ_INLINE vec<float, scalar> to_f32(vec<std::int32_t, scalar> a) { return {static_cast<float>(a.v)}; }
/// The mask of one element type as the mask of another of equal size.
SPIQ_INLINE mask<float, scalar> as_f32(mask<std::int32_t, scalar> m) { return {m.v}; }
SPIQ_INLINE mask<std::int32_t, scalar> as_i32(mask<float, scalar> m) { return {m.v}; }
/// Sum and maximum over the lanes.
template <class T>
SPIQ_INLINE T reduce_add(vec<T, scalar> a) {
  return a.v;
}
template <class T>
SPIQ_INLINE T reduce_max(vec<T, scalar> a) {
  return a.v;
}
/// acc + a.low * b.low + a.high * b.high, where each 32-bit lane of a and b holds two int16.
SPIQ_INLINE vec<std::int32_t, scalar> dot_s16(vec<std::int32_t, scalar> acc, vec<std::int32_t, scalar> a,
                                              vec<std::int32_t, scalar> b) {
  const auto low = [](std::int32_t x) { return std::int32_t{static_cast<std::int16_t>(x & 0xffff)}; };
  const auto high = [](std::int32_t x) { return std::int32_t{static_cast<std::int16_t>(x >> 16)}; };
  const std::uint32_t sum = static_cast<std::uint32_t>(acc.v) + static_cast<std::uint32_t>(low(a.v) * low(b.v)) +
                            static_cast<std::uint32_t>(high(a.v) * high(b.v));
  return {static_cast<std::int32_t>(sum)};
}

/// Asks for the cache line of `p` before it is needed; any address will do.
SPIQ_INLINE void prefetch(const void* p) {
#if defined(__GNUC__)
  __builtin_prefetch(p);
#else
  static_cast<void>(p);
#endif
}
/// The same for the value `ahead` places after p. That may lie outside the array of p, where no pointer may be formed,
/// hence the address is reckoned as a number.
template <class T>
SPIQ_INLINE void prefetch(const T* p, std::size_t ahead) {
  prefetch(reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(p) + ahead * sizeof(T)));
}

/// What an architecture offers: its name, its vectors, how many accumulators it can hold.
template <class Arch>
struct traits;

template <>
struct traits<scalar> {
  static constexpr const char* name = scalar::name;
  static constexpr int width = 1;       ///< lanes of 32 bits
  static constexpr int registers = 16;  ///< vector registers of the machine
  using f32 = vec<float, scalar>;
  using i32 = vec<std::int32_t, scalar>;
};

}  // namespace simd

SPIQ_END_NAMESPACE
