/// @file
/// Epilogues without a neuron: what becomes of the sums of a product while they are in registers.
#pragma once

#include <spiq/core/packing.hpp>
#include <spiq/exec/parameters.hpp>
#include <spiq/kernel/sink.hpp>
#include <spiq/neuron/qcfs.hpp>
#include <spiq/simd/simd.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace exec {

/// The packing in which plain sums of type T travel.
template <class T>
using currents = std::conditional_t<std::is_same_v<T, float>, packing::real, packing::sums>;

/// Every packing, for epilogues that do not care how their input travelled.
using any_packing = Packings<packing::real, packing::sums, packing::pixels, packing::levels, packing::counts,
                             packing::by_channel>;

namespace detail {
/// Stores f(sum + bias) of each tile; F is one of the maps below. Writes whole vectors where the row has room.
template <class F, class Emit, class T>
struct MapSink {
  typename Emit::word* out;
  std::size_t stride;
  const T* bias;
  F map;

  template <class V, int MR, int NV>
  SPIQ_INLINE void operator()(const V (&acc)[MR][NV], const kernel::TileAt& at) noexcept {
    constexpr int width = V::width;
    typename Emit::word* row = out + at.row * stride + static_cast<std::size_t>(at.channel);
    V offset[NV];
    SPIQ_UNROLL
    for (int j = 0; j < NV; ++j) offset[j] = V::load(bias + at.channel + j * width);
    const bool whole = static_cast<std::size_t>(at.channel + NV * width) <= stride;
    SPIQ_UNROLL
    for (int i = 0; i < MR; ++i) {
      if (i < at.rows) {
        SPIQ_UNROLL
        for (int j = 0; j < NV; ++j) {
          const V y = map(acc[i][j] + offset[j], at.channel + j * width);
          if constexpr (std::is_same_v<typename Emit::word, std::uint8_t>) {
            if (j * width < at.channels) y.store_u8(row + j * width);
          } else if (whole) {
            y.store(row + j * width);
          } else {
            y.store_first(row + j * width, at.channels - j * width);
          }
        }
        row += stride;
      }
    }
  }
};

/// Stores the sum, with the bias added to every `period`-th row.
template <class T>
struct StoreSink {
  T* out;
  std::size_t stride;
  const T* bias;
  int period;

  template <class V, int MR, int NV>
  SPIQ_INLINE void operator()(const V (&acc)[MR][NV], const kernel::TileAt& at) noexcept {
    constexpr int width = V::width;
    T* row = out + at.row * stride + static_cast<std::size_t>(at.channel);
    const bool whole = static_cast<std::size_t>(at.channel + NV * width) <= stride;
    int phase = period == 1 ? 0 : static_cast<int>(at.row % static_cast<std::size_t>(period));
    SPIQ_UNROLL
    for (int i = 0; i < MR; ++i) {
      if (i < at.rows) {
        SPIQ_UNROLL
        for (int j = 0; j < NV; ++j) {
          const V y = phase == 0 ? acc[i][j] + V::load(bias + at.channel + j * width) : acc[i][j];
          if (whole)
            y.store(row + j * width);
          else
            y.store_first(row + j * width, at.channels - j * width);
        }
        row += stride;
        phase = phase + 1 >= period ? 0 : phase + 1;
      }
    }
  }
};

struct Rectified {
  template <class V>
  SPIQ_INLINE V operator()(V z, int) const noexcept {
    return max(V::zero(), z);  // in this order NaN stays NaN
  }
};
struct QcfsReal {
  float lambda, levels;
  template <class V>
  SPIQ_INLINE V operator()(V z, int) const noexcept {
    const V l = V::broadcast(levels);
    return neuron::Qcfs::level(z, V::broadcast(lambda), l) / l * V::broadcast(lambda);
  }
};
struct QcfsLadder {
  const std::int32_t* theta;
  int levels;
  template <class V>
  SPIQ_INLINE V operator()(V z, int channel) const noexcept {
    return neuron::Qcfs::ladder(z, V::load(theta + channel), levels);
  }
};
}  // namespace detail

/// y = sum + bias, as currents: read-outs, branches of a join, linear layers without an activation. T is float or int32.
/// `bias_once` adds the bias at the first step only, for neurons that depend on the sum over time (PASCAL);
/// otherwise it is part of every step's current.
template <class T>
struct Store {
  using emits = Packings<currents<T>>;
  using admits = any_packing;
  static constexpr const char* name = "store";
  PerChannel<T> bias;
  bool bias_once = false;

  [[nodiscard]] int out_steps(int in_steps) const { return in_steps; }
  /// Updates of one neuron for one input; none here.
  [[nodiscard]] int updates(int) const { return 0; }
  template <class Emit>
  [[nodiscard]] auto sink(Buffer<Emit>& out, int in_steps, InternalSpikes*) const {
    return detail::StoreSink<T>{out.data.data(), out.stride, bias.data(), bias_once ? in_steps : 1};
  }
};

/// y = max(sum + bias, 0). NaN stays NaN.
struct Rectify {
  using emits = Packings<packing::real>;
  using admits = any_packing;
  static constexpr const char* name = "relu";
  PerChannel<float> bias;

  [[nodiscard]] int out_steps(int in_steps) const { return in_steps; }
  /// Updates of one neuron for one input; none here.
  [[nodiscard]] int updates(int) const { return 0; }
  template <class Emit>
  [[nodiscard]] auto sink(Buffer<Emit>& out, int, InternalSpikes*) const {
    return detail::MapSink<detail::Rectified, Emit, float>{out.data.data(), out.stride, bias.data(), {}};
  }
};

/// The QCFS activation in f32: y = lambda / L * level(sum + bias). NaN stays NaN.
struct Quantize {
  using emits = Packings<packing::real>;
  using admits = any_packing;
  static constexpr const char* name = "qcfs";
  PerChannel<float> bias;
  float lambda = 1;
  int levels = 1;

  [[nodiscard]] int out_steps(int in_steps) const { return in_steps; }
  /// Updates of one neuron for one input; none here.
  [[nodiscard]] int updates(int) const { return 0; }
  template <class Emit>
  [[nodiscard]] auto sink(Buffer<Emit>& out, int, InternalSpikes*) const {
    return detail::MapSink<detail::QcfsReal, Emit, float>{
        out.data.data(), out.stride, bias.data(), {lambda, static_cast<float>(levels)}};
  }
};

/// The QCFS activation in exact arithmetic: the level, by a ladder of integer thresholds (2k - 1) theta / 2.
struct QuantizeExact {
  using emits = Packings<packing::levels>;
  using admits = any_packing;
  static constexpr const char* name = "qcfs_ladder";
  PerChannel<std::int32_t> bias;
  PerChannel<std::int32_t> theta;
  int levels = 1;

  [[nodiscard]] int out_steps(int in_steps) const { return in_steps; }
  /// Updates of one neuron for one input; none here.
  [[nodiscard]] int updates(int) const { return 0; }
  template <class Emit>
  [[nodiscard]] auto sink(Buffer<Emit>& out, int, InternalSpikes*) const {
    return detail::MapSink<detail::QcfsLadder, Emit, std::int32_t>{
        out.data.data(), out.stride, bias.data(), {theta.data(), levels}};
  }
};

}  // namespace exec

SPIQ_END_NAMESPACE
