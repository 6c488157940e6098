/// @file
/// Products made for spikes: event-driven ones, whose work is proportional to the number of spikes.
#pragma once

#include <spiq/kernel/event_conv.hpp>
#include <spiq/kernel/product.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// How sums over spikes are formed: over all inputs, or over those that spiked.
enum class SpikeSums { dense, events };

/// Share of spikes below which events are faster than dense tiles of f32 weights: where a 3x3 convolution of 64
/// channels takes as long either way. Linear maps gain a little longer.
template <class Arch>
inline constexpr double event_crossover = 0.5;
template <>
inline constexpr double event_crossover<simd::avx512> = 0.35;
template <>
inline constexpr double event_crossover<simd::sse2> = 0.9;

/// f32 weights as DenseF32, and sums over spikes by events where `sums` says so: both read the same packed weights. A
/// convolution has the same bits either way; a linear map adds in another order.
template <class Arch>
struct SpikesF32 {
  using arch = Arch;
  using value = float;
  using vector = typename simd::traits<Arch>::f32;
  using consumes = typename DenseF32<Arch>::consumes;
  static constexpr const char* name = "spikes_f32";
  struct Scratch {
    typename DenseF32<Arch>::Scratch dense;
    EventScratch events;
  };

  DenseF32<Arch> dense;
  SpikeSums sums = SpikeSums::dense;
  double density = -1;  ///< of the spikes of a calibration batch; negative: not measured

  static SpikesF32 pack(const FoldedWeights& w) { return {DenseF32<Arch>::pack(w)}; }
  [[nodiscard]] const ConvGeometry& geometry() const { return dense.geometry(); }
  [[nodiscard]] std::size_t packed_bytes() const { return dense.packed_bytes(); }
  /// Whether events can be walked: not through groups, whose packed weights hold no row per input.
  [[nodiscard]] bool walks_events() const { return geometry().groups == 1; }
  /// The product that spikes meet.
  [[nodiscard]] const char* label() const {
    return sums == SpikeSums::events && walks_events() ? "event_f32" : dense.name;
  }

  /// With room for events if `sums` says so by now; without it, sums stay dense.
  [[nodiscard]] Scratch scratch(int steps) const {
    Scratch s{dense.scratch(steps), {}};
    if (sums == SpikeSums::events && walks_events())
      s.events = EventConv<Arch, ElementF32>(geometry(), steps).scratch();
    return s;
  }
  template <class P, class Sink>
  void run(const Buffer<P>& in, int first, int last, Sink& sink, Scratch& scratch) const noexcept {
    if constexpr (std::is_same_v<P, packing::by_channel>) {
      if (sums == SpikeSums::events && !scratch.events.row_starts.empty()) {
        SPIQ_ASSERT(in.shape == geometry().in && 0 <= first && first <= last && in.holds(last));
        const auto unlimited = [](std::size_t) { return std::numeric_limits<int>::max(); };
        EventConv<Arch, ElementF32>(geometry(), in.steps)
            .run(dense.packed.weights(), unlimited, in, first, last, sink, scratch.events);
        return;
      }
    }
    dense.run(in, first, last, sink, scratch.dense);
  }
};

/// 16-bit integer weights as those of DenseS16, event-driven, exact. Sums are added up in int16 for as long as no
/// subset of a row of weights can leave its range, which their sums prove at packing; where they do not prove it for
/// all inputs, int32 sums take over every `limit` spikes. Small weights (8 bits) need that seldom.
template <class Arch>
class EventS16 {
public:
  using arch = Arch;
  using value = std::int32_t;
  using vector = typename simd::traits<Arch>::i32;
  using consumes = Packings<packing::by_channel>;
  using Scratch = EventScratch;
  static constexpr const char* name = "event_s16";

  /// Throws unless all weights are -32767 ... 32767 units and no spikes whatsoever can bring sums out of int32, or where
  /// there are groups.
  static EventS16 pack(const FoldedWeights& w) {
    if (w.geometry.groups != 1) SPIQ_THROW("event-driven product", "1 group", std::to_string(w.geometry.groups));
    EventS16 p;
    const auto q = integers<std::int16_t>(w, 32767);
    p.geometry_ = w.geometry;
    p.weights_ = Weights(w.geometry, q);
    const auto fan_in = static_cast<std::size_t>(w.geometry.fan_in());
    constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
    for (const auto& block : p.weights_.blocks()) {
      int limit = std::numeric_limits<int>::max();
      for (int o = block.channel; o < block.channel + block.channels; ++o) {
        std::int64_t up = 0, down = 0;
        int largest = 1;
        for (std::size_t i = static_cast<std::size_t>(o) * fan_in; i < (static_cast<std::size_t>(o) + 1) * fan_in;
             ++i) {
          (q[i] > 0 ? up : down) += q[i];
          largest = std::max(largest, std::abs(int{q[i]}));
        }
        if (up > most || down < -most)
          SPIQ_THROW("event-driven product: sums", "at most " + std::to_string(most), std::to_string(up - down));
        if (up > 32767 || down < -32768) limit = std::min(limit, 32767 / largest);
      }
      p.limits_.push_back(limit);
    }
    return p;
  }
  [[nodiscard]] const ConvGeometry& geometry() const { return geometry_; }
  [[nodiscard]] std::size_t packed_bytes() const { return weights_.bytes(); }
  /// Whether no spikes whatsoever can bring the sums out of int16.
  [[nodiscard]] bool proved() const {
    return std::all_of(limits_.begin(), limits_.end(), [](int l) { return l == std::numeric_limits<int>::max(); });
  }
  [[nodiscard]] Scratch scratch(int steps) const { return EventConv<Arch, ElementRowS16>(geometry_, steps).scratch(); }

  template <class Sink>
  void run(const Buffer<packing::by_channel>& in, int first, int last, Sink& sink, Scratch& scratch) const noexcept {
    SPIQ_ASSERT(in.shape == geometry_.in && 0 <= first && first <= last && in.holds(last));
    EventConv<Arch, ElementRowS16>(geometry_, in.steps)
        .run(
            weights_, [this](std::size_t block) { return limits_[block]; }, in, first, last, sink, scratch);
  }

private:
  using Weights = PackedWeights<Arch, ElementRowS16>;
  ConvGeometry geometry_;
  Weights weights_;
  std::vector<int> limits_;  // per block: rows that int16 sums hold
};

}  // namespace kernel

SPIQ_END_NAMESPACE
