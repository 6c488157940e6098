/// @file
/// Spikes times 1-bit weights: AND and population count of words.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/packing.hpp>
#include <spiq/kernel/packed_conv.hpp>
#include <spiq/kernel/product.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// 32 inputs of one bit with 32 weights of one bit per lane: the number of places where both are set.
struct ElementBits {
  /// Half a word of spikes, which lie in memory as whole ones.
#if defined(__GNUC__)
  struct [[gnu::may_alias]] Input {
#else
  struct Input {
#endif
    std::uint32_t bits;
  };
  using Weight = std::uint32_t;
  using Lane = std::int32_t;
  static constexpr int group = 1;
  template <class Arch>
  using vec = typename simd::traits<Arch>::i32;

  static Lane lane(const Weight (&w)[group]) { return static_cast<Lane>(w[0]); }
  template <class Arch>
  static SPIQ_INLINE vec<Arch> broadcast(const Input* p) {
    return vec<Arch>::broadcast(static_cast<std::int32_t>(p->bits));
  }
  template <class Arch>
  static SPIQ_INLINE vec<Arch> multiply_add(vec<Arch> acc, vec<Arch> input, vec<Arch> weight) {
    return acc + simd::popcount(input & weight);
  }
};

/// The two values of a 1-bit weight, in units.
enum class BinaryValues {
  zero_one,  ///< 0 and 1: the sum is popcount(spikes & weights)
  signs      ///< -1 and +1: 2 popcount(spikes & weights) - popcount(spikes)
};

/// 1-bit weights with int32 sums, exact: weight = round(w / unit[out]).
template <class Arch, BinaryValues Values>
class BinaryProduct {
public:
  using arch = Arch;
  using value = std::int32_t;
  using vector = typename simd::traits<Arch>::i32;
  using consumes = Packings<packing::by_channel>;
  static constexpr const char* name = Values == BinaryValues::signs ? "binary_signs" : "binary_zero_one";
  struct Scratch {
    std::vector<std::int32_t> in_spikes;   ///< of each input row of a sample
    std::vector<std::int32_t> out_spikes;  ///< under the real taps of each output row of some samples
  };

  /// Throws unless all weights are one of the two values, or where there are groups.
  static BinaryProduct pack(const FoldedWeights& w) {
    const ConvGeometry& g = w.geometry;
    if (g.groups != 1) SPIQ_THROW("product of bits", "1 group", std::to_string(g.groups));
    const auto q = integers<std::int8_t>(w, 1);
    if (std::find(q.begin(), q.end(), std::int8_t{signed_values ? 0 : -1}) != q.end())
      SPIQ_THROW("1-bit weights", signed_values ? "-1 and 1 unit" : "0 and 1 unit", signed_values ? "0" : "-1");
    BinaryProduct p;
    p.geometry_ = g;
    ConvGeometry of_words = g;
    of_words.in.channels = (g.in.channels + 63) / 64 * 2;
    const int taps = g.kernel_h * g.kernel_w;
    std::vector<std::uint32_t> words(of_words.weight_count());
    for (int o = 0; o < g.out_channels; ++o)
      for (int c = 0; c < g.in.channels; ++c)
        for (int tap = 0; tap < taps; ++tap)
          if (q[static_cast<std::size_t>((o * g.in.channels + c) * taps + tap)] == 1)
            words[static_cast<std::size_t>((o * of_words.in.channels + c / 32) * taps + tap)] |= std::uint32_t{1}
                                                                                                 << (c % 32);
    p.packed_ = PackedConv<Arch, ElementBits>(of_words, words);
    return p;
  }
  [[nodiscard]] const ConvGeometry& geometry() const { return geometry_; }
  [[nodiscard]] std::size_t packed_bytes() const { return packed_.packed_bytes(); }
  [[nodiscard]] Scratch scratch(int steps) const {
    Scratch s;
    if (signed_values) {
      s.in_spikes.resize(geometry_.in.pixels() * static_cast<std::size_t>(steps));
      s.out_spikes.resize(together(steps) * out_rows(steps));
    }
    return s;
  }

  template <class Sink>
  void run(const Buffer<packing::by_channel>& in, int first, int last, Sink& sink, Scratch& s) const noexcept {
    SPIQ_ASSERT(in.shape == geometry_.in && 0 <= first && first <= last && in.holds(last));
    static_assert(std::endian::native == std::endian::little, "spiq: halves of words lie lower half first");
    const auto* const x = reinterpret_cast<const ElementBits::Input*>(in.data.data());
    const auto from = static_cast<std::size_t>(first), to = static_cast<std::size_t>(last);
    if constexpr (!signed_values) {
      packed_.run(x, 2 * in.stride, in.steps, from, to, sink);
    } else {
      const std::size_t most = together(in.steps), rows = out_rows(in.steps);
      for (std::size_t n = from; n < to; n += most) {
        const std::size_t end = std::min(to, n + most);
        for (std::size_t sample = n; sample < end; ++sample)
          count_spikes(in, sample, s, s.out_spikes.data() + (sample - n) * rows);
        SignSink<Sink> signs{sink, s.out_spikes.data(), n * rows};
        packed_.run(x, 2 * in.stride, in.steps, n, end, signs);
      }
    }
  }

private:
  static constexpr bool signed_values = Values == BinaryValues::signs;

  template <class Sink>
  struct SignSink {
    Sink& sink;
    const std::int32_t* spikes;
    std::size_t first_row;
    template <class V, int MR, int NV>
    SPIQ_INLINE void operator()(const V (&acc)[MR][NV], const TileAt& at) noexcept {
      V sums[MR][NV];
      SPIQ_UNROLL
      for (int r = 0; r < MR; ++r) {
        const V seen = V::broadcast(spikes[at.row - first_row + static_cast<std::size_t>(std::min(r, at.rows - 1))]);
        SPIQ_UNROLL
        for (int v = 0; v < NV; ++v) sums[r][v] = acc[r][v] + acc[r][v] - seen;
      }
      sink(sums, at);
    }
  };

  [[nodiscard]] std::size_t out_rows(int steps) const {
    return geometry_.out().pixels() * static_cast<std::size_t>(steps);
  }
  // Samples whose spikes are counted at once.
  [[nodiscard]] std::size_t together(int steps) const { return std::max<std::size_t>(1, 4096 / out_rows(steps)); }

  SPIQ_NOINLINE void count_spikes(const Buffer<packing::by_channel>& in, std::size_t sample, Scratch& s,
                                  std::int32_t* out) const noexcept {
    const ConvGeometry& g = geometry_;
    const auto steps = static_cast<std::size_t>(in.steps);
    const std::uint64_t last = ~std::uint64_t{0} >> (64 * static_cast<int>(in.stride) - g.in.channels);
    for (std::size_t r = 0; r < in.sample_rows(); ++r) {
      const std::uint64_t* const words = in.row(sample * in.sample_rows() + r);
      int count = std::popcount(words[in.stride - 1] & last);
      for (std::size_t w = 0; w + 1 < in.stride; ++w) count += std::popcount(words[w]);
      s.in_spikes[r] = count;
    }
    for (int oy = 0; oy < g.out_h(); ++oy)
      for (int ox = 0; ox < g.out_w(); ++ox, out += steps) {
        std::fill_n(out, steps, 0);
        for (int ky = 0; ky < g.kernel_h; ++ky)
          for (int kx = 0; kx < g.kernel_w; ++kx) {
            const int y = oy * g.stride_h - g.pad_h + ky * g.dilation_h,
                      x = ox * g.stride_w - g.pad_w + kx * g.dilation_w;
            if (y < 0 || y >= g.in.height || x < 0 || x >= g.in.width) continue;
            const std::int32_t* const seen =
                s.in_spikes.data() +
                (static_cast<std::size_t>(y) * static_cast<std::size_t>(g.in.width) + static_cast<std::size_t>(x)) *
                    steps;
            for (std::size_t t = 0; t < steps; ++t) out[t] += seen[t];
          }
      }
  }

  ConvGeometry geometry_;
  PackedConv<Arch, ElementBits> packed_;
};

}  // namespace kernel

SPIQ_END_NAMESPACE
