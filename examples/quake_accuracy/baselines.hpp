// The exponentials that the rungs are measured against, put into the same kernels as rungs of their own.
#pragma once

#include <spiq/kernel/exp_vector.hpp>
#include <spiq/simd/interleaved.hpp>

#include <cmath>
#include <concepts>
#include <cstddef>

// Kernels treat these as rungs near `full`: one more argument reduction than degree 4 would have is theirs to do.
struct Baseline : spiq::accuracy::detail::reduced<4> {
  static constexpr double lower = -2.4e-7, upper = 2.4e-7;
};

// std::exp, value by value.
struct StdExp : Baseline {
  static constexpr const char* name = "std::exp";
  template <class V>
  static SPIQ_INLINE V apply(V x) {
    alignas(64) float lanes[static_cast<std::size_t>(V::width)];
    x.store(lanes);
    for (float& lane : lanes) lane = std::exp(lane);
    return V::load(lanes);
  }
};

// xsimd::exp, the exponential of the library that spiq takes its vectors from.
struct SimdExp : Baseline {
  static constexpr const char* name = "xsimd::exp";
  static SPIQ_INLINE spiq::simd::vec<float, spiq::simd::scalar> apply(spiq::simd::vec<float, spiq::simd::scalar> x) {
    return {std::exp(x.v)};
  }
  template <class Arch>
  static SPIQ_INLINE spiq::simd::vec<float, Arch> apply(spiq::simd::vec<float, Arch> x) {
    return {xsimd::exp(x.v)};
  }
  template <class Arch, int N>
  static SPIQ_INLINE spiq::simd::vec<float, spiq::simd::interleaved<Arch, N>> apply(
      spiq::simd::vec<float, spiq::simd::interleaved<Arch, N>> x) {
    for (auto& part : x.part) part = apply(part);
    return x;
  }
};

// No exponential at all: the input is handed on. What the rest of a network costs; its answers mean nothing.
struct NoExp : Baseline {
  static constexpr const char* name = "none (a copy)";
  template <class V>
  static SPIQ_INLINE V apply(V x) {
    return x;
  }
};

// spiq computes every exponential in `kernel::Exp`: with this, its kernels take the types above as rungs.
template <spiq::accuracy::Rung Rung, class Arch, spiq::kernel::ExpInput Input, spiq::kernel::ExpDomain Domain>
  requires std::derived_from<Rung, Baseline>
class spiq::kernel::Exp<Rung, Arch, Input, Domain> {
public:
  using V = typename simd::traits<Arch>::f32;
  static constexpr double unit = 1;

  SPIQ_INLINE explicit Exp(float scale = Input == ExpInput::negated ? -1.0f : 1.0f, float shift = 0)
      : scale_(V::broadcast(scale)), shift_(V::broadcast(shift)) {}

  [[nodiscard]] SPIQ_INLINE Exp relative_to(V origin) const
    requires(Input == ExpInput::affine)
  {
    Exp moved = *this;
    moved.shift_ = fma(V::zero() - origin, scale_, shift_);
    return moved;
  }
  [[nodiscard]] SPIQ_INLINE V operator()(V x) const {
    if constexpr (Input == ExpInput::plain)
      return Rung::apply(x);
    else if constexpr (Input == ExpInput::affine)
      return Rung::apply(fma(x, scale_, shift_));
    else
      return Rung::apply(x * scale_);
  }
  // exp(x factor + shift): a scale of its own for each lane.
  [[nodiscard]] SPIQ_INLINE V operator()(V x, V factor) const
    requires(Input == ExpInput::scaled || Input == ExpInput::affine)
  {
    return Rung::apply(fma(x, factor, shift_));
  }

private:
  V scale_, shift_;
};
