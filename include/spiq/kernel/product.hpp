/// @file
/// Products: what a synapse multiplies with. Each packs folded weights once and then runs on any packing it can read.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/packing.hpp>
#include <spiq/kernel/conv.hpp>
#include <spiq/kernel/sink.hpp>
#include <spiq/kernel/unpack.hpp>
#include <spiq/simd/simd.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// Weights as a lowering hands them to a product: field layout [out, in / groups, kernel_h, kernel_w], everything that
/// precedes folded in (batch norm, amplitude of the incoming spikes). One input unit contributes `weight` real units.
struct FoldedWeights {
  ConvGeometry geometry{};
  std::vector<float> weight;
  std::vector<float> bias;  ///< [out], real units
  std::vector<double> unit; ///< [out], real value of one integer step of the sums; empty for float products
};

/// A product P packs weights and runs them:
/// - `arch`, `value` (what a sum is: float or int32), `vector` (a register of it), `consumes` (packings, best first);
/// - `P::pack(weights)`; `scratch(steps)` for one worker; `run(in, first, last, sink, scratch)` on samples [first, last).
template <class P>
concept Product = requires(const P product, const FoldedWeights& weights) {
  typename P::arch;
  typename P::value;
  typename P::vector;
  typename P::consumes;
  typename P::Scratch;
  { P::pack(weights) } -> std::same_as<P>;
  { product.scratch(1) } -> std::same_as<typename P::Scratch>;
  { product.packed_bytes() } -> std::convertible_to<std::size_t>;
};

/// The integer weights round(w / unit[out]) in field layout. Throws unless they lie in [-limit, limit].
template <class T>
std::vector<T> integers(const FoldedWeights& w, int limit) {
  check(w.geometry, w.weight.size());
  if (w.unit.size() != static_cast<std::size_t>(w.geometry.out_channels))
    SPIQ_THROW("units of integer weights", std::to_string(w.geometry.out_channels), std::to_string(w.unit.size()));
  std::vector<T> q(w.weight.size());
  const std::size_t fan_in = static_cast<std::size_t>(w.geometry.fan_in());
  for (std::size_t i = 0; i < q.size(); ++i) {
    const double steps = std::round(static_cast<double>(w.weight[i]) / w.unit[i / fan_in]);
    if (!(std::abs(steps) <= limit))  // false for NaN, too
      SPIQ_THROW("integer weight", "at most " + std::to_string(limit) + " units", std::to_string(steps));
    q[i] = static_cast<T>(steps);
  }
  return q;
}

namespace detail {
/// Shifts row numbers, for products that see one unpacked sample at a time.
template <class Sink>
struct OffsetSink {
  Sink& sink;
  std::size_t rows;
  template <class V, int MR, int NV>
  SPIQ_INLINE void operator()(const V (&acc)[MR][NV], TileAt at) noexcept {
    at.row += rows;
    sink(acc, at);
  }
};

/// Packings whose words are T are read where they lie; others are unpacked to T first, a few samples at a time.
template <class Arch, class Element, class T>
struct DirectProduct {
  using arch = Arch;
  using Scratch = AlignedVector<T>;

  PackedConv<Arch, Element> packed;

  [[nodiscard]] const ConvGeometry& geometry() const { return packed.geometry(); }
  [[nodiscard]] std::size_t packed_bytes() const { return packed.packed_bytes(); }
  /// Room for the samples that are unpacked together.
  [[nodiscard]] Scratch scratch(int steps) const {
    const std::size_t rows = packed.geometry().in.pixels() * static_cast<std::size_t>(steps);
    return Scratch(static_cast<std::size_t>(together(rows)) * rows * row_elements() + 64);
  }

  template <class P, class Sink>
  void run(const Buffer<P>& in, int first, int last, Sink& sink, Scratch& scratch) const noexcept {
    SPIQ_ASSERT(in.shape == packed.geometry().in && 0 <= first && first <= last && in.holds(last));
    if constexpr (std::is_same_v<typename P::word, T>) {
      packed.run(in.data.data(), in.stride, in.steps, static_cast<std::size_t>(first), static_cast<std::size_t>(last), sink);
    } else {
      const std::size_t in_rows = in.sample_rows();
      const std::size_t out_rows = packed.geometry().out().pixels() * static_cast<std::size_t>(in.steps);
      const std::size_t stride = row_elements();
      const int most = together(in_rows);
      SPIQ_ASSERT(scratch.size() >= static_cast<std::size_t>(most) * in_rows * stride);
      for (int n = first; n < last; n += most) {
        const auto sample = static_cast<std::size_t>(n);
        const auto samples = static_cast<std::size_t>(std::min(most, last - n));
        for (std::size_t r = 0; r < samples * in_rows; ++r)
          unpack<P>(in.row(sample * in_rows + r), scratch.data() + r * stride);
        OffsetSink<Sink> shifted{sink, sample * out_rows};
        packed.run(scratch.data(), stride, in.steps, 0, samples, shifted);
      }
    }
  }

protected:
  [[nodiscard]] std::size_t row_elements() const {
    return round_up<std::size_t>(static_cast<std::size_t>(packed.geometry().in.channels), 16);
  }
  /// Samples of `rows` rows that are unpacked at once: as stay in the first caches, so that weights serve many rows.
  [[nodiscard]] int together(std::size_t rows) const {
    return static_cast<int>(std::max<std::size_t>(1, (std::size_t{32} << 10) / (rows * row_elements() * sizeof(T))));
  }
  template <class P>
  SPIQ_INLINE void unpack(const typename P::word* row, T* out) const noexcept {
    const int channels = packed.geometry().in.channels;
    if constexpr (std::is_same_v<P, packing::by_channel> && sizeof(T) == 1)
      for (int c = 0; c < channels; c += 64)  // what lies beyond the row is written later, or is slack
        simd::spread_bits<Arch>(row[c / 64], reinterpret_cast<std::uint8_t*>(out + c));
    else
      unpack_row<P>(row, out, channels);
  }
};
}  // namespace detail

/// f32 weights; graded and binary inputs are unpacked to floats one sample at a time.
template <class Arch>
struct DenseF32 : detail::DirectProduct<Arch, ElementF32, float> {
  using value = float;
  using vector = typename simd::traits<Arch>::f32;
  using consumes = Packings<packing::real, packing::counts, packing::by_channel, packing::levels>;
  static constexpr const char* name = "dense_f32";

  static DenseF32 pack(const FoldedWeights& w) { return {{PackedConv<Arch, ElementF32>(w.geometry, w.weight)}}; }
};

/// 16-bit integer weights with int32 sums, exact: weight = round(w / unit[out]) for the units chosen at lowering,
/// which also proved that no sum leaves int32.
template <class Arch>
struct DenseS16 : detail::DirectProduct<Arch, ElementS16, std::int16_t> {
  using value = std::int32_t;
  using vector = typename simd::traits<Arch>::i32;
  using consumes = Packings<packing::pixels, packing::counts, packing::by_channel, packing::levels>;
  static constexpr const char* name = "dense_s16";

  static DenseS16 pack(const FoldedWeights& w) {
    return {{PackedConv<Arch, ElementS16>(w.geometry, integers<std::int16_t>(w, 32767))}};
  }
};

/// 8-bit integer weights with int32 sums, exact: weight = round(w / unit[out]), by the instruction that adds four
/// products of bytes where there is one. Spikes become bytes as they are read.
template <class Arch>
struct DenseS8 : detail::DirectProduct<Arch, ElementU8S8, std::uint8_t> {
  using value = std::int32_t;
  using vector = typename simd::traits<Arch>::i32;
  using consumes = Packings<packing::counts, packing::by_channel, packing::levels>;
  static constexpr const char* name = "dense_s8";

  /// Throws unless all weights are -127 ... 127 units.
  static DenseS8 pack(const FoldedWeights& w) {
    return {{PackedConv<Arch, ElementU8S8>(w.geometry, integers<std::int8_t>(w, 127))}};
  }
};

}  // namespace kernel

SPIQ_END_NAMESPACE
