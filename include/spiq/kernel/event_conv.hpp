/// @file
/// Event-driven convolution and linear map: the sums of spikes, by adding the weights of those that are there.
///
/// Output-stationary: an output stays in registers while the spikes that it sees are walked, each of which adds one row
/// of weights, contiguous over output channels. The set bits of the words are listed once for all output channels: a
/// loop over a list is foreseen by the processor, one over the bits of a word is not. Taps in the padding are skipped.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/packing.hpp>
#include <spiq/kernel/element.hpp>
#include <spiq/kernel/geometry.hpp>
#include <spiq/kernel/packed_weights.hpp>
#include <spiq/kernel/sink.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// Rows of int16 weights, one per input: of events only.
struct ElementRowS16 {
  using Weight = std::int16_t;
  using Lane = std::int16_t;
  static constexpr int group = 1;
  template <class Arch>
  using vec = simd::vec<std::int16_t, Arch>;

  static Lane lane(const Weight (&w)[group]) { return w[0]; }
};

namespace detail {

/// The rows of weights that one output adds.
struct RowList {
  const std::uint32_t* rows = nullptr;
  std::size_t count = 0;

  /// Takes the first `most` rows away.
  SPIQ_INLINE RowList take(std::size_t most) noexcept {
    const RowList first{rows, std::min(count, most)};
    rows += first.count;
    count -= first.count;
    return first;
  }
};

template <class V, int NV, class Lane>
SPIQ_INLINE void add_row(V (&sum)[NV], const Lane* weights, std::uint32_t row) noexcept {
  const Lane* const w = weights + static_cast<std::size_t>(row) * static_cast<std::size_t>(NV * V::width);
  SPIQ_UNROLL
  for (int v = 0; v < NV; ++v) sum[v] = sum[v] + V::load(w + v * V::width);
}
/// Adds the rows of two lists to two sums, each in the order of its list: two chains of additions side by side.
template <class V, int NV, class Lane>
SPIQ_INLINE void add_rows(V (&a)[NV], V (&b)[NV], const Lane* weights, const RowList& to_a,
                          const RowList& to_b) noexcept {
  const std::size_t both = std::min(to_a.count, to_b.count);
  for (std::size_t i = 0; i < both; ++i) {
    add_row(a, weights, to_a.rows[i]);
    add_row(b, weights, to_b.rows[i]);
  }
  for (std::size_t i = both; i < to_a.count; ++i) add_row(a, weights, to_a.rows[i]);
  for (std::size_t i = both; i < to_b.count; ++i) add_row(b, weights, to_b.rows[i]);
}

/// Sums of two outputs: `sums` vectors of them for each vector of weights.
template <class Arch, class Element>
struct RowSums;

template <class Arch>
struct RowSums<Arch, ElementF32> {
  using sum = typename simd::traits<Arch>::f32;
  static constexpr int sums = 1;

  /// In the order of the lists, which is that of the dense tiles: convolutions get the same bits either way.
  template <int N>
  static SPIQ_INLINE void add(sum (&a)[N], sum (&b)[N], const float* weights, RowList to_a, RowList to_b,
                              int) noexcept {
    SPIQ_UNROLL
    for (int v = 0; v < N; ++v) a[v] = b[v] = sum::zero();
    add_rows(a, b, weights, to_a, to_b);
  }
};

template <class Arch>
struct RowSums<Arch, ElementRowS16> {
  using sum = typename simd::traits<Arch>::i32;
  using narrow = simd::vec<std::int16_t, Arch>;
  static constexpr int sums = narrow::width / sum::width;

  /// In int16 as long as `limit` rows cannot leave its range, then in int32.
  template <int N>
  static SPIQ_INLINE void add(sum (&a)[N], sum (&b)[N], const std::int16_t* weights, RowList to_a, RowList to_b,
                              int limit) noexcept {
    constexpr int NV = N / sums;
    SPIQ_UNROLL
    for (int v = 0; v < N; ++v) a[v] = b[v] = sum::zero();
    do {
      narrow part_a[NV], part_b[NV];
      SPIQ_UNROLL
      for (int v = 0; v < NV; ++v) part_a[v] = part_b[v] = narrow::zero();
      add_rows(part_a, part_b, weights, to_a.take(static_cast<std::size_t>(limit)),
               to_b.take(static_cast<std::size_t>(limit)));
      widen(a, part_a);
      widen(b, part_b);
    } while ((to_a.count | to_b.count) != 0);
  }

private:
  template <int N, int NV>
  static SPIQ_INLINE void widen(sum (&total)[N], const narrow (&part)[NV]) noexcept {
    alignas(64) std::int16_t lanes[static_cast<std::size_t>(NV * narrow::width)];
    SPIQ_UNROLL
    for (int v = 0; v < NV; ++v) part[v].store(lanes + v * narrow::width);
    SPIQ_UNROLL
    for (int v = 0; v < N; ++v) total[v] = total[v] + simd::load_s16<Arch>(lanes + v * sum::width);
  }
};

}  // namespace detail

/// Memory of one worker of an event-driven product.
struct EventScratch {
  AlignedVector<std::uint32_t> spikes;    ///< pixel x channels + channel, by line and step
  std::vector<std::size_t> spike_starts;  ///< [input rows of a sample + 1]
  AlignedVector<std::uint32_t> rows;      ///< rows of weights to add, output row by output row
  std::vector<std::size_t> row_starts;    ///< [output rows together + 1]
};

/// Walks the spikes of a packed convolution. `Weights` is a PackedWeights of groups 1.
template <class Arch, class Element>
class EventConv {
public:
  using Weights = PackedWeights<Arch, Element>;

  EventConv(const ConvGeometry& geometry, int steps) : g_(geometry), steps_(static_cast<std::size_t>(steps)) {
    lines_ = pointwise() ? 1 : static_cast<std::size_t>(g_.out_h());
    line_rows_ = g_.out().pixels() * steps_ / lines_;
    line_spikes_ = line_rows_ * static_cast<std::size_t>(g_.fan_in());
  }

  /// What `run` needs: room for the lists, however many spikes there are.
  [[nodiscard]] EventScratch scratch() const {
    EventScratch s;
    if (!pointwise()) {
      const std::size_t in_rows = g_.in.pixels() * steps_;
      s.spikes.resize(in_rows * static_cast<std::size_t>(g_.in.channels) + slack);
      s.spike_starts.resize(in_rows + 1);
    }
    s.rows.resize(line_spikes_ + kept_spikes + slack);
    s.row_starts.resize(std::max(line_rows_, kept_rows) + 1);
    return s;
  }

  /// Sums of samples [first, last) into the sink. `limit(block)`: rows of a block that its narrow sums hold.
  template <class Limit, class Sink>
  void run(const Weights& weights, const Limit& limit, const Buffer<packing::by_channel>& in, int first, int last,
           Sink& sink, EventScratch& s) const noexcept {
    Call call{&weights, &in, &s, &sink, {&emit<1, Sink>, &emit<2, Sink>, &emit<most, Sink>}};
    const std::size_t end = static_cast<std::size_t>(last) * lines_;
    for (std::size_t line = static_cast<std::size_t>(first) * lines_; line < end;) {
      const std::size_t from = line;
      std::size_t rows = 0;
      s.row_starts[0] = 0;
      // As many lines as the lists hold: so often are weights used that were brought near once.
      do {
        list_line(call, line++, rows);
        rows += line_rows_;
      } while (line < end && rows + line_rows_ < s.row_starts.size() &&
               s.row_starts[rows] + line_spikes_ + slack <= s.rows.size());
      for (std::size_t b = 0; b < weights.blocks().size(); ++b) {
        const auto& block = weights.blocks()[b];
        if (block.vectors == most)
          run_block<most>(call, block, from * line_rows_, rows, limit(b));
        else if (block.vectors == 2)
          run_block<2>(call, block, from * line_rows_, rows, limit(b));
        else
          run_block<1>(call, block, from * line_rows_, rows, limit(b));
      }
    }
  }

private:
  using Sums = detail::RowSums<Arch, Element>;
  using Vec = typename Sums::sum;
  static constexpr int most = TileShape<Arch>::vectors;
  static constexpr int tile_rows = 8;
  static constexpr std::size_t slack = 64;             // lists are written in whole vectors
  static constexpr std::size_t kept_spikes = 1 << 16;  // what is listed at once beyond the longest line
  static constexpr std::size_t kept_rows = 4096;
  template <int NV>
  using Tile = Vec[tile_rows][NV * Sums::sums];

  // The loops know the sink by one function per tile width: they are compiled once for all sinks.
  template <int NV, class Sink>
  static void emit(void* sink, const void* tile, const TileAt& at) noexcept {
    (*static_cast<Sink*>(sink))(*static_cast<const Tile<NV>*>(tile), at);
  }
  struct Call {
    const Weights* weights;
    const Buffer<packing::by_channel>* in;
    EventScratch* scratch;
    void* sink;
    void (*emit[3])(void*, const void*, const TileAt&) noexcept;  // tiles of 1, 2 and `most` vectors of weights
  };

  [[nodiscard]] bool pointwise() const noexcept {
    return g_.kernel_h == 1 && g_.kernel_w == 1 && g_.stride_h == 1 && g_.stride_w == 1 && g_.pad_h == 0 &&
           g_.pad_w == 0;
  }

  // `first` + the channels that spike in one input row, appended at `to`; returns the end.
  std::uint32_t* list_row(const std::uint64_t* words, int first, std::uint32_t* to) const noexcept {
    for (int c = 0; c < g_.in.channels; c += 64) {
      const int channels = std::min(64, g_.in.channels - c);
      const std::uint64_t word = words[c / 64] & (~std::uint64_t{0} >> (64 - channels));
      to += simd::list_bits<Arch>(word, static_cast<std::uint32_t>(first + c), to);
    }
    return to;
  }
  SPIQ_NOINLINE void list_line(const Call& call, std::size_t line, std::size_t row) const noexcept {
    EventScratch& s = *call.scratch;
    const Buffer<packing::by_channel>& in = *call.in;
    const std::size_t sample = line / lines_, in_rows = g_.in.pixels() * steps_;
    const auto in_w = static_cast<std::size_t>(g_.in.width);
    std::uint32_t* to = s.rows.data() + s.row_starts[row];
    if (pointwise()) {
      for (std::size_t r = 0; r < in_rows; ++r) {
        to = list_row(in.row(sample * in_rows + r), 0, to);
        s.row_starts[++row] = static_cast<std::size_t>(to - s.rows.data());
      }
      return;
    }
    const int oy = static_cast<int>(line % lines_);
    if (row == 0 || oy == 0) {  // the lists may be those of another sample
      // Pixels of a line and step follow one another and are numbered through: horizontal taps are one run then.
      std::uint32_t* at = s.spikes.data();
      std::size_t listed = 0;
      s.spike_starts[0] = 0;
      for (std::size_t y = 0; y < static_cast<std::size_t>(g_.in.height); ++y)
        for (std::size_t t = 0; t < steps_; ++t)
          for (std::size_t x = 0; x < in_w; ++x) {
            const std::uint64_t* const words = in.row(sample * in_rows + (y * in_w + x) * steps_ + t);
            at = list_row(words, static_cast<int>(x) * g_.in.channels, at);
            s.spike_starts[++listed] = static_cast<std::size_t>(at - s.spikes.data());
          }
    }
    for (int ox = 0; ox < g_.out_w(); ++ox)
      for (std::size_t t = 0; t < steps_; ++t) {
        to = list_taps(s, oy * g_.stride_h - g_.pad_h, ox * g_.stride_w - g_.pad_w, t, to);
        s.row_starts[++row] = static_cast<std::size_t>(to - s.rows.data());
      }
  }
  // Rows of weights that one output adds: those of the spikes under all its real taps.
  SPIQ_INLINE std::uint32_t* list_taps(const EventScratch& s, int y, int x, std::size_t step,
                                       std::uint32_t* to) const noexcept {
    using I = typename simd::traits<Arch>::i32;
    const int run = g_.dilation_w == 1 ? g_.kernel_w : 1;
    for (int ky = 0; ky < g_.kernel_h; ++ky) {
      const int iy = y + ky * g_.dilation_h;
      if (iy < 0 || iy >= g_.in.height) continue;
      const std::size_t* const starts = s.spike_starts.data() + (static_cast<std::size_t>(iy) * steps_ + step) *
                                                                    static_cast<std::size_t>(g_.in.width);
      for (int kx = 0; kx < g_.kernel_w; kx += run) {
        const int first = x + kx * g_.dilation_w;
        const int left = std::max(first, 0), right = std::min(first + run, g_.in.width);
        if (left >= right) continue;
        const std::uint32_t* const from = s.spikes.data() + starts[left];
        const std::size_t count = starts[right] - starts[left];
        const I tap = I::broadcast((ky * g_.kernel_w + kx - first) * g_.in.channels);
        for (std::size_t i = 0; i < count; i += static_cast<std::size_t>(I::width))
          (I::load(reinterpret_cast<const std::int32_t*>(from + i)) + tap)
              .store(reinterpret_cast<std::int32_t*>(to + i));
        to += count;
      }
    }
    return to;
  }

  template <int NV>
  SPIQ_NOINLINE void run_block(const Call& call, const typename Weights::Block& block, std::size_t first_row,
                               std::size_t rows, int limit) const noexcept {
    const EventScratch& s = *call.scratch;
    const auto* const lanes = call.weights->lanes(block);
    const std::size_t span = pointwise() ? rows : line_rows_;  // tiles end with a line of output pixels
    for (std::size_t start = 0; start < rows; start += span)
      for (std::size_t r = start; r < start + span; r += tile_rows) {
        const std::size_t real = std::min<std::size_t>(tile_rows, start + span - r);
        Tile<NV> tile;
        const auto list = [&](std::size_t i) {
          const std::size_t from = s.row_starts[r + i];
          return detail::RowList{s.rows.data() + from, s.row_starts[r + i + 1] - from};
        };
        for (std::size_t i = 0; i < tile_rows; i += 2) {
          Vec a[NV * Sums::sums], b[NV * Sums::sums];
          Sums::add(a, b, lanes, i < real ? list(i) : detail::RowList{}, i + 1 < real ? list(i + 1) : detail::RowList{},
                    limit);
          SPIQ_UNROLL
          for (int v = 0; v < NV * Sums::sums; ++v) {
            tile[i][v] = a[v];
            tile[i + 1][v] = b[v];
          }
        }
        call.emit[NV == most ? 2 : NV - 1](
            call.sink, &tile, TileAt{first_row + r, static_cast<int>(real), block.channel, block.channels});
      }
  }

  ConvGeometry g_;
  std::size_t steps_;
  std::size_t lines_ = 1;        // per sample; a 1x1 kernel takes a whole sample as one
  std::size_t line_rows_ = 1;    // output rows of a line
  std::size_t line_spikes_ = 0;  // that its outputs see together, at most
};

}  // namespace kernel

SPIQ_END_NAMESPACE
