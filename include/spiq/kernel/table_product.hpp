/// @file
/// Spikes times 4-bit weights by tables in registers.
///
/// A few input channels together (6 with a lookup of 64 bytes, else 4) have as few combinations of spikes as a register
/// has bytes: for every output a table of all their sums is packed, and one instruction looks it up for as many output
/// rows as a vector has bytes. The tables take 64 bytes for 6 weights, 16 for 4: they pay where many rows pass.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/packing.hpp>
#include <spiq/kernel/product.hpp>
#include <spiq/simd/tables.hpp>
#include <spiq/simd/transpose.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// 4-bit integer weights -8 ... 7 with int32 sums, exact: weight = round(w / unit[out]).
template <class Arch>
class TableS4 {
  using Bytes = simd::vec<std::uint8_t, Arch>;
  using Table = simd::byte_table<Arch>;
  using Sums = simd::byte_sums<Arch>;

public:
  using arch = Arch;
  using value = std::int32_t;
  using vector = typename simd::traits<Arch>::i32;
  using consumes = Packings<packing::by_channel>;
  static constexpr const char* name = "table_s4";
  struct Scratch {
    AlignedVector<std::uint8_t> fields;  ///< [vectors of rows, `together` at a time][group][rows]
  };

  /// Throws unless all weights are -8 ... 7 units, or where there are groups.
  static TableS4 pack(const FoldedWeights& w) {
    const ConvGeometry& g = w.geometry;
    if (g.groups != 1) SPIQ_THROW("product by tables", "1 group", std::to_string(g.groups));
    const auto q = integers<std::int8_t>(w, 8);
    if (std::find(q.begin(), q.end(), std::int8_t{8}) != q.end()) SPIQ_THROW("4-bit weight", "-8 ... 7 units", "8");
    TableS4 p;
    p.geometry_ = g;
    const int taps = g.kernel_h * g.kernel_w;
    p.groups_ = round_up(static_cast<std::size_t>(taps * groups_before(g.in.channels)), together);
    p.tables_.assign(static_cast<std::size_t>(g.out_channels) * p.groups_ * Table::entries, bias);
    for (int o = 0; o < g.out_channels; ++o)
      for (int tap = 0; tap < taps; ++tap)
        for (int c = 0; c < g.in.channels; ++c) {
          const std::int8_t weight = q[static_cast<std::size_t>((o * g.in.channels + c) * taps + tap)];
          const auto group = static_cast<std::size_t>(tap * groups_before(g.in.channels) + group_of(c));
          std::uint8_t* const table =
              p.tables_.data() + (static_cast<std::size_t>(o) * p.groups_ + group) * Table::entries;
          for (int e = 0; e < Table::entries; ++e)
            if ((e >> (c % 64 % bits) & 1) != 0) table[e] = static_cast<std::uint8_t>(table[e] + weight);
        }
    return p;
  }
  [[nodiscard]] const ConvGeometry& geometry() const { return geometry_; }
  [[nodiscard]] std::size_t packed_bytes() const { return tables_.size(); }
  [[nodiscard]] Scratch scratch(int steps) const {
    return {AlignedVector<std::uint8_t>(chunks(batch_rows(static_cast<std::size_t>(steps))) * groups_ * chunk)};
  }

  template <class Sink>
  void run(const Buffer<packing::by_channel>& in, int first, int last, Sink& sink, Scratch& s) const noexcept {
    SPIQ_ASSERT(in.shape == geometry_.in && 0 <= first && first <= last && in.holds(last));
    const auto steps = static_cast<std::size_t>(in.steps);
    const std::size_t sample = geometry_.out().pixels() * steps, batch = batch_rows(steps);
    const std::size_t end = static_cast<std::size_t>(last) * sample;
    // Batches end between positions, so that all steps of a neuron come one after the other.
    for (std::size_t row = static_cast<std::size_t>(first) * sample; row < end; row += batch) {
      const std::size_t rows = std::min(batch, end - row);
      for (std::size_t i = 0; i < rows; i += chunk)
        list_fields(in, row + i, std::min(chunk, rows - i), s.fields.data() + i * groups_);
      for (int c = 0; c < geometry_.out_channels; c += block)
        for (std::size_t i = 0; i < rows; i += chunk)
          run_chunk(s.fields.data() + i * groups_,
                    TileAt{row + i, static_cast<int>(std::min(chunk, rows - i)), c,
                           std::min(block, geometry_.out_channels - c)},
                    &sink, &emit<Sink>);
    }
  }

private:
  static constexpr int block_vectors = 2;  // of output channels
  static constexpr int block = block_vectors * vector::width;
  using Tile = vector[static_cast<std::size_t>(vector::width)][block_vectors];
  static constexpr int bits = simd::table_bits<Arch>;
  static constexpr int bias = 8 * bits;                       // entries are unsigned
  static constexpr std::size_t together = 255 / (15 * bits);  // lookups that a byte holds
  static constexpr int vectors = 4;                           // of rows, which share a table
  static constexpr auto chunk = static_cast<std::size_t>(vectors * Bytes::width);
  static constexpr std::size_t segment = 32767 / (15 * bits) / together * together;  // groups that 16 bits hold
  static constexpr auto lanes = static_cast<std::size_t>(vector::width);

  // Groups do not reach over words.
  static constexpr int word_groups = (64 + bits - 1) / bits;
  static int group_of(int c) { return c / 64 * word_groups + c % 64 / bits; }
  static int groups_before(int channels) { return group_of(channels - 1) + 1; }
  // As many rows as fields stay near for: they share the tables that came from afar.
  [[nodiscard]] std::size_t batch_rows(std::size_t steps) const {
    const std::size_t rows = chunk * std::max<std::size_t>(1, (std::size_t{256} << 10) / (groups_ * chunk));
    return std::max<std::size_t>(1, rows / steps) * steps;
  }
  static std::size_t chunks(std::size_t rows) { return (rows + chunk - 1) / chunk; }

  template <class Sink>
  static void emit(void* sink, const Tile& tile, const TileAt& at) noexcept {
    (*static_cast<Sink*>(sink))(tile, at);
  }

  // fields[group][row] of `rows` output rows from `row` on; rows beyond see no spikes.
  SPIQ_NOINLINE void list_fields(const Buffer<packing::by_channel>& in, std::size_t row, std::size_t rows,
                                 std::uint8_t* fields) const noexcept {
    const ConvGeometry& g = geometry_;
    const auto steps = static_cast<std::size_t>(in.steps), out_w = static_cast<std::size_t>(g.out_w());
    const std::size_t pixels = g.out().pixels(), in_w = static_cast<std::size_t>(g.in.width);
    struct Place {
      int y, x;          // of tap (0, 0)
      std::size_t base;  // input row of its sample's first pixel, at its step
    } at[chunk];
    std::size_t byte_row[chunk];  // the row of each byte
    for (std::size_t i = 0; i < chunk; ++i) {
      const std::size_t r = row + std::min(i, rows - 1), position = r / steps, pixel = position % pixels;
      at[i] = {static_cast<int>(pixel / out_w) * g.stride_h - g.pad_h,
               static_cast<int>(pixel % out_w) * g.stride_w - g.pad_w,
               position / pixels * in.sample_rows() + r % steps};
      const std::size_t part = i / static_cast<std::size_t>(Bytes::width);
      byte_row[part * static_cast<std::size_t>(Bytes::width) +
               static_cast<std::size_t>(Sums::place(static_cast<int>(i % static_cast<std::size_t>(Bytes::width))))] = i;
    }
    const int tap_groups = groups_before(g.in.channels), words = (g.in.channels + 63) / 64;
    std::uint64_t word[chunk];
    const std::uint64_t* from[chunk];
    std::uint8_t* out = fields;
    for (int ky = 0; ky < g.kernel_h; ++ky)
      for (int kx = 0; kx < g.kernel_w; ++kx) {
        for (std::size_t b = 0; b < chunk; ++b) {
          const Place& p = at[byte_row[b]];
          const int y = p.y + ky * g.dilation_h, x = p.x + kx * g.dilation_w;
          const bool real = y >= 0 && y < g.in.height && x >= 0 && x < g.in.width;
          from[b] = real ? in.row(p.base + (static_cast<std::size_t>(y) * in_w + static_cast<std::size_t>(x)) * steps)
                         : nullptr;
        }
        for (int w = 0; w < words; ++w) {
          // Bits beyond the channels choose among equal entries.
          for (std::size_t b = 0; b < chunk; ++b) word[b] = from[b] != nullptr ? from[b][w] : 0;
          for (int k = 0; k < std::min(word_groups, tap_groups - w * word_groups); ++k)
            for (int v = 0; v < vectors; ++v, out += Bytes::width)
              simd::table_fields<Arch>(word + v * Bytes::width, k * bits, out);
        }
      }
    std::fill(out, fields + groups_ * chunk, std::uint8_t{0});
  }

  // A block of output channels of one chunk of rows.
  SPIQ_NOINLINE void run_chunk(const std::uint8_t* fields, const TileAt& where, void* sink,
                               void (*to_sink)(void*, const Tile&, const TileAt&) noexcept) const noexcept {
    alignas(64) std::uint16_t narrow[block][chunk];  // of the last segment
    alignas(64) std::int32_t wide[block][chunk];     // of those before
    const std::size_t last = (groups_ - 1) / segment * segment;
    const vector biased = vector::broadcast(static_cast<std::int32_t>(groups_) * bias);
    for (int o = 0; o < where.channels; ++o) {
      const std::uint8_t* const tables =
          tables_.data() + static_cast<std::size_t>(where.channel + o) * groups_ * Table::entries;
      for (std::size_t group = 0;; group += segment) {
        add_groups(narrow[o], tables + group * Table::entries, fields + group * chunk,
                   std::min(segment, groups_ - group));
        if (group == last) break;
        for (std::size_t i = 0; i < chunk; i += lanes) {
          const vector sum = simd::load_s16<Arch>(reinterpret_cast<const std::int16_t*>(narrow[o] + i));
          (group == 0 ? sum : vector::load(wide[o] + i) + sum).store(wide[o] + i);
        }
      }
    }
    for (int row = 0; row < where.rows; row += vector::width) {
      Tile tile;
      SPIQ_UNROLL
      for (int v = 0; v < block_vectors; ++v) {
        typename simd::traits<Arch>::f32 square[lanes];
        SPIQ_UNROLL
        for (std::size_t o = 0; o < lanes; ++o) {
          const int real =
              std::min(v * vector::width + static_cast<int>(o), where.channels - 1);  // the others: garbage
          vector sum = simd::load_s16<Arch>(reinterpret_cast<const std::int16_t*>(narrow[real] + row)) - biased;
          if (last != 0) sum = sum + vector::load(wide[real] + row);
          square[o] = simd::from_bits(sum);
        }
        simd::transpose<Arch>(square);
        SPIQ_UNROLL
        for (std::size_t r = 0; r < lanes; ++r) tile[r][v] = simd::bits_of(square[r]);
      }
      to_sink(sink, tile,
              TileAt{where.row + static_cast<std::size_t>(row), std::min(vector::width, where.rows - row),
                     where.channel, where.channels});
    }
  }

  // Biased sums over groups of one output and a chunk of rows.
  static SPIQ_INLINE void add_groups(std::uint16_t* to, const std::uint8_t* tables, const std::uint8_t* fields,
                                     std::size_t groups) noexcept {
    Sums sums[vectors] = {Sums::zero(), Sums::zero(), Sums::zero(), Sums::zero()};
    for (std::size_t g = 0; g < groups; g += together) {
      Bytes found[vectors];
      SPIQ_UNROLL
      for (std::size_t k = 0; k < together; ++k) {
        const Table table = Table::load(tables + (g + k) * Table::entries);
        SPIQ_UNROLL
        for (int v = 0; v < vectors; ++v) {
          const Bytes entry = table[Bytes::load(fields + (g + k) * chunk + v * Bytes::width)];
          found[v] = k == 0 ? entry : found[v] + entry;
        }
      }
      SPIQ_UNROLL
      for (int v = 0; v < vectors; ++v) sums[v].add(found[v]);
    }
    SPIQ_UNROLL
    for (int v = 0; v < vectors; ++v) sums[v].store(to + v * Bytes::width);
  }

  ConvGeometry geometry_;
  std::size_t groups_ = 0;              ///< of input channels, over all taps
  AlignedVector<std::uint8_t> tables_;  ///< [out][group][entries]
};

}  // namespace kernel

SPIQ_END_NAMESPACE
