/// @file
/// What travels between executable layers: the packings, and the buffers that hold them.
#pragma once

#include <spiq/core/shape.hpp>
#include <spiq/core/storage.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

/// The forms in which activations travel. All lie as [sample][y][x][step][channel], channels fastest.
namespace packing {
/// f32 values per step.
struct real {
  using word = float;
  static constexpr const char* name = "real";
};
/// Integer currents per step (int32), of networks in exact arithmetic.
struct sums {
  using word = std::int32_t;
  static constexpr const char* name = "sums";
};
/// Centred integer image bytes (int16): the input of networks in exact arithmetic.
struct pixels {
  using word = std::int16_t;
  static constexpr const char* name = "pixels";
};
/// Graded u8 per step: pooled spikes, or the levels of a quantised activation.
struct levels {
  using word = std::uint8_t;
  static constexpr const char* name = "levels";
};
/// u8 per neuron, summed over all steps.
struct counts {
  using word = std::uint8_t;
  static constexpr const char* name = "counts";
};
/// One bit per neuron and step; 64 channels of one pixel and step per word.
struct by_channel {
  using word = std::uint64_t;
  static constexpr const char* name = "by_channel";
};
/// Two consumers of one producer that share no packing: both are written.
template <class A, class B>
struct fanout {};
}  // namespace packing

/// Preference list of packings, best first.
template <class... P>
struct Packings {};

/// Row-major buffer of one packing: `rows() = samples * height * width * steps` rows of `stride` words.
template <class P>
struct Buffer {
  using packing_type = P;
  using word = typename P::word;

  Shape shape{};            ///< of one sample
  int samples = 0;          ///< batch
  int steps = 1;            ///< time steps held (1 for real values, counts)
  std::size_t stride = 0;   ///< words per row
  AlignedVector<word> data;

  /// Words in a row for `channels` channels. Bit packings hold 64 channels a word; others round up to 16 channels,
  /// except that images of up to four channels stay dense (int16 pixels: even, for pairwise products).
  static constexpr std::size_t row_words(int channels) {
    const auto c = static_cast<std::size_t>(channels);
    if constexpr (std::is_same_v<P, packing::by_channel>) return (c + 63) / 64;
    if constexpr (std::is_same_v<P, packing::real>) {
      if (c <= 4) return c;
    }
    if constexpr (std::is_same_v<P, packing::pixels>) {
      if (c <= 4) return round_up<std::size_t>(c, 2);
    }
    return round_up<std::size_t>(c, 16);
  }
  /// Words behind the last row: they allow whole-vector loads there.
  static constexpr std::size_t slack = 64;
  /// Allocates for `n` samples and `t` steps, zeroed.
  void allocate(const Shape& s, int n, int t) {
    shape = s;
    samples = n;
    steps = t;
    stride = row_words(s.channels);
    data.assign(rows() * stride + slack, word{});
  }
  /// Whether `n` samples fit into what was allocated.
  [[nodiscard]] bool holds(int n) const {
    return n >= 0 && static_cast<std::size_t>(n) * sample_rows() * stride + slack <= data.size();
  }
  [[nodiscard]] std::size_t rows() const {
    return static_cast<std::size_t>(samples) * shape.pixels() * static_cast<std::size_t>(steps);
  }
  [[nodiscard]] word* row(std::size_t r) { return data.data() + r * stride; }
  [[nodiscard]] const word* row(std::size_t r) const { return data.data() + r * stride; }
  /// Rows of one sample.
  [[nodiscard]] std::size_t sample_rows() const { return shape.pixels() * static_cast<std::size_t>(steps); }
};

template <class A, class B>
struct Buffer<packing::fanout<A, B>> {
  Buffer<A> first;
  Buffer<B> second;
  [[nodiscard]] bool holds(int n) const { return first.holds(n) && second.holds(n); }
};

/// The buffer of packing P inside `b`, which is a Buffer<P> or a fanout that holds one.
template <class P, class B>
const auto& view_as(const B& b) {
  if constexpr (requires { b.first; }) {
    if constexpr (requires { typename std::enable_if_t<std::is_same_v<P, typename decltype(b.first)::packing_type>>; })
      return b.first;
    else
      return b.second;
  } else {
    return b;
  }
}

SPIQ_END_NAMESPACE
