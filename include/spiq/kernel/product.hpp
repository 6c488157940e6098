/// @file
/// Products: what a synapse multiplies with. Each packs folded weights once and then runs on any packing it can read.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/packing.hpp>
#include <spiq/kernel/conv.hpp>
#include <spiq/kernel/sink.hpp>
#include <spiq/kernel/unpack.hpp>
#include <spiq/simd/simd.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
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

template <class Arch, class Element, class Native, class T>
struct DirectProduct {
  using arch = Arch;
  using Scratch = AlignedVector<T>;

  PackedConv<Arch, Element> packed;

  [[nodiscard]] const ConvGeometry& geometry() const { return packed.geometry(); }
  [[nodiscard]] std::size_t packed_bytes() const { return packed.packed_bytes(); }
  /// Room for one sample of unpacked input.
  [[nodiscard]] Scratch scratch(int steps) const {
    const auto& in = packed.geometry().in;
    return Scratch(in.pixels() * static_cast<std::size_t>(steps) * row_elements() + 64);
  }

  template <class P, class Sink>
  void run(const Buffer<P>& in, int first, int last, Sink& sink, Scratch& scratch) const noexcept {
    SPIQ_ASSERT(in.shape == packed.geometry().in && 0 <= first && first <= last && in.holds(last));
    if constexpr (std::is_same_v<P, Native>) {
      packed.run(in.data.data(), in.stride, in.steps, static_cast<std::size_t>(first), static_cast<std::size_t>(last), sink);
    } else {
      const std::size_t in_rows = in.sample_rows();
      const std::size_t out_rows = packed.geometry().out().pixels() * static_cast<std::size_t>(in.steps);
      const std::size_t stride = row_elements();
      const int channels = packed.geometry().in.channels;
      SPIQ_ASSERT(scratch.size() >= in_rows * stride);
      for (int n = first; n < last; ++n) {
        const auto sample = static_cast<std::size_t>(n);
        for (std::size_t r = 0; r < in_rows; ++r)
          unpack_row<P>(in.row(sample * in_rows + r), scratch.data() + r * stride, channels);
        OffsetSink<Sink> shifted{sink, sample * out_rows};
        packed.run(scratch.data(), stride, in.steps, 0, 1, shifted);
      }
    }
  }

protected:
  [[nodiscard]] std::size_t row_elements() const {
    return round_up<std::size_t>(static_cast<std::size_t>(packed.geometry().in.channels), 16);
  }
};
}  // namespace detail

/// f32 weights; graded and binary inputs are unpacked to floats one sample at a time.
template <class Arch>
struct DenseF32 : detail::DirectProduct<Arch, ElementF32, packing::real, float> {
  using value = float;
  using vector = typename simd::traits<Arch>::f32;
  using consumes = Packings<packing::real, packing::counts, packing::by_channel, packing::levels>;
  static constexpr const char* name = "dense_f32";

  static DenseF32 pack(const FoldedWeights& w) { return {{PackedConv<Arch, ElementF32>(w.geometry, w.weight)}}; }
};

/// 16-bit integer weights with int32 sums, exact: weight = round(w / unit[out]) for the units chosen at lowering,
/// which also proved that no sum leaves int32.
template <class Arch>
struct DenseS16 : detail::DirectProduct<Arch, ElementS16, packing::pixels, std::int16_t> {
  using value = std::int32_t;
  using vector = typename simd::traits<Arch>::i32;
  using consumes = Packings<packing::pixels, packing::counts, packing::by_channel, packing::levels>;
  static constexpr const char* name = "dense_s16";

  static DenseS16 pack(const FoldedWeights& w) {
    return {{PackedConv<Arch, ElementS16>(w.geometry, integers(w))}};
  }
  /// The integer weights, in field layout.
  static std::vector<std::int16_t> integers(const FoldedWeights& w) {
    std::vector<std::int16_t> q(w.weight.size());
    const std::size_t fan_in = static_cast<std::size_t>(w.geometry.fan_in());
    for (std::size_t i = 0; i < q.size(); ++i) {
      const double steps = std::round(static_cast<double>(w.weight[i]) / w.unit[i / fan_in]);
      SPIQ_ASSERT(std::abs(steps) <= 32767);  // false for NaN, too
      q[i] = static_cast<std::int16_t>(steps);
    }
    return q;
  }
};

}  // namespace kernel

SPIQ_END_NAMESPACE
