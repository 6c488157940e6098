// Products for spikes, rows of 64 spikes a word: event-driven, by bytes, by tables, by bits. The rate counts the
// multiply-adds that a dense product would do, so that rows compare across densities; the bound of an event-driven one
// is what it reads of its weights, at the rate of the first cache, the others' the peak of their instruction.
//
// Peers: dense products of floats of the same size, as those of spikes that were expanded beforehand; what the floats
// are does not matter to their time.
#include "harness.hpp"
#include "peers.hpp"

#include <spiq/core/random.hpp>
#include <spiq/kernel/binary_product.hpp>
#include <spiq/kernel/spike_product.hpp>
#include <spiq/kernel/table_product.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace {

namespace kernel = spiq::kernel;
namespace packing = spiq::packing;
using Best = spiq::simd::best;

struct Problem {
  Problem(const kernel::ConvGeometry& g, int samples, double density, int limit) {
    spiq::Rng rng{7};
    weights.geometry = g;
    weights.bias.resize(static_cast<std::size_t>(g.out_channels));
    weights.unit.assign(static_cast<std::size_t>(g.out_channels), 1.0);
    weights.weight.resize(g.weight_count());
    for (float& w : weights.weight)
      w = static_cast<float>(static_cast<int>(rng.below(static_cast<std::uint32_t>(2 * limit + 1))) - limit);
    in.allocate(g.in, samples, 1);
    for (std::size_t r = 0; r < in.rows(); ++r)
      for (int c = 0; c < g.in.channels; ++c)
        if (rng.uniform(0.0F, 1.0F) < static_cast<float>(density)) in.row(r)[c / 64] |= std::uint64_t{1} << (c % 64);
    out.resize(rows() * channels() + 64);
  }
  [[nodiscard]] std::size_t rows() const {
    return static_cast<std::size_t>(in.samples) * weights.geometry.out().pixels();
  }
  [[nodiscard]] std::size_t channels() const { return static_cast<std::size_t>(weights.geometry.out_channels); }

  // Worst difference to plain sums, of every 37th row.
  template <class T>
  [[nodiscard]] double error(const T* sums) const {
    const auto& g = weights.geometry;
    const std::size_t pixels = g.out().pixels();
    double worst = 0;
    for (std::size_t row = 0; row < rows(); row += 37)
      for (std::size_t o = 0; o < channels(); ++o) {
        const int y = static_cast<int>(row % pixels) / g.out_w(), x = static_cast<int>(row % pixels) % g.out_w();
        double sum = 0;
        std::size_t i = o * static_cast<std::size_t>(g.fan_in());
        for (int c = 0; c < g.in.channels; ++c)
          for (int ky = 0; ky < g.kernel_h; ++ky)
            for (int kx = 0; kx < g.kernel_w; ++kx, ++i) {
              const int iy = y * g.stride_h - g.pad_h + ky, ix = x * g.stride_w - g.pad_w + kx;
              if (iy < 0 || ix < 0 || iy >= g.in.height || ix >= g.in.width) continue;
              const std::size_t from = row / pixels * g.in.pixels() + static_cast<std::size_t>(iy * g.in.width + ix);
              if (in.row(from)[c / 64] >> (c % 64) & 1) sum += static_cast<double>(weights.weight[i]);
            }
        worst = std::max(worst, std::abs(sum - static_cast<double>(sums[row * channels() + o])));
      }
    return worst;
  }

  kernel::FoldedWeights weights;
  spiq::Buffer<packing::by_channel> in;
  spiq::AlignedVector<std::int32_t> out;  // or floats, as bits
};

// Stores sums of either type.
struct StoreSums {
  std::int32_t* out;
  std::size_t stride;
  template <class V, int MR, int NV>
  SPIQ_INLINE void operator()(const V (&acc)[MR][NV], const kernel::TileAt& at) noexcept {
    using lane = std::remove_cvref_t<decltype(reduce_add(acc[0][0]))>;
    lane* row = reinterpret_cast<lane*>(out) + at.row * stride + static_cast<std::size_t>(at.channel);
    if (at.rows == MR && at.channels == NV * V::width) {
      SPIQ_UNROLL
      for (int r = 0; r < MR; ++r) {
        SPIQ_UNROLL
        for (int v = 0; v < NV; ++v) acc[r][v].store(row + static_cast<std::size_t>(r) * stride + v * V::width);
      }
      return;
    }
    for (int r = 0; r < at.rows; ++r, row += stride)
      for (int v = 0; v < NV; ++v) acc[r][v].store_first(row + v * V::width, at.channels - v * V::width);
  }
};

template <class Product>
bench::Case timed(std::shared_ptr<Problem> p, Product packed) {
  auto product = std::make_shared<Product>(std::move(packed));
  auto scratch = std::make_shared<typename Product::Scratch>(product->scratch(1));
  return {.run =
              [=] {
                StoreSums sink{p->out.data(), p->channels()};
                product->run(p->in, 0, p->in.samples, sink, *scratch);
              },
          .error = [=] { return p->error(reinterpret_cast<const typename Product::value*>(p->out.data())); }};
}

std::string with_density(const std::string& shape, double density) {
  char text[16];
  std::snprintf(text, sizeof text, "-d%.2f", density);
  return shape + text;
}

template <class Product, class Pack>
void add_events(bench::Suite& suite, const bench::Row& base, const char* implementation, const kernel::ConvGeometry& g,
                int samples, double density, std::size_t weight_bytes, const Pack& pack) {
  bench::Row row = base;
  row.implementation = implementation;
  row.items = base.flops;
  row.item = "OP";
  row.flops = 0;
  row.bytes =
      static_cast<double>(samples) * static_cast<double>(g.macs()) * density * static_cast<double>(weight_bytes);
  row.working_set = 16384;
  row.exact = true;
  row.prepare = [=] {
    auto p = std::make_shared<Problem>(g, samples, density, 127);
    return timed<Product>(p, pack(p->weights));
  };
  suite.add(std::move(row));
}
void add_events(bench::Suite& suite, const bench::Row& base, const kernel::ConvGeometry& g, int samples,
                double density) {
  using F32 = kernel::SpikesF32<Best>;
  add_events<F32>(suite, base, "spiq_f32", g, samples, density, 4, [](const kernel::FoldedWeights& w) {
    auto product = F32::pack(w);
    product.sums = kernel::SpikeSums::events;
    return product;
  });
  using S16 = kernel::EventS16<Best>;
  add_events<S16>(suite, base, "spiq_i16", g, samples, density, 2, S16::pack);
  bench::Row dense = base;
  dense.implementation = "spiq_dense_f32";
  dense.prepare = [=] {
    auto p = std::make_shared<Problem>(g, samples, density, 127);
    return timed(p, F32::pack(p->weights));
  };
  suite.add(std::move(dense));
}

bench::Row base_row(const char* name, const std::string& shape, const kernel::ConvGeometry& g, int samples) {
  bench::Row base;
  base.kernel = name;
  base.shape = shape;
  base.flops = 2.0 * static_cast<double>(samples) * static_cast<double>(g.macs());
  return base;
}

}  // namespace

SPIQ_BENCH(event_linear) {
  const auto g = kernel::ConvGeometry::linear(512, 512);
  for (const double density : {0.05, 0.1, 0.2, 0.3, 0.4, 0.5}) {
    const bench::Row base = base_row("event_linear", with_density("512x512x512", density), g, 512);
    add_events(suite, base, g, 512, density);
    bench::add_gemm_peers(suite, base, 512, 512, 512);
  }
}

SPIQ_BENCH(event_conv) {
  for (const auto& [size, channels, samples] : {std::tuple{32, 64, 1}, std::tuple{8, 256, 1}}) {
    kernel::ConvGeometry g;
    g.in = {size, size, channels};
    g.out_channels = channels;
    g.kernel_h = g.kernel_w = 3;
    g.pad_h = g.pad_w = 1;
    for (const double density : {0.1, 0.2, 0.3, 0.4}) {
      const std::string shape = std::to_string(samples) + "x" + std::to_string(size) + "x" + std::to_string(size) +
                                "x" + std::to_string(channels);
      const bench::Row base = base_row("event_conv3x3", with_density(shape, density), g, samples);
      add_events(suite, base, g, samples, density);
      if (density == 0.1)
        bench::add_conv_peers(suite, base, g, static_cast<std::size_t>(samples), bench::Pass::forward);
    }
  }
}

SPIQ_BENCH(spike_gemm) {
  const auto g = kernel::ConvGeometry::linear(512, 512);
  const bench::Row base = base_row("spike_gemm", "512", g, 512);
  bench::Row row = base;
  row.peak = bench::Peak::s8;
  row.exact = true;
  row.implementation = "spiq_i8";
  row.prepare = [=] {
    auto p = std::make_shared<Problem>(g, 512, 0.3, 127);
    return timed(p, kernel::DenseS8<Best>::pack(p->weights));
  };
  suite.add(std::move(row));
  bench::add_gemm_peers(suite, base, 512, 512, 512);
}

namespace {
// A dense product of other arithmetic than multiply-adds.
template <class Product>
void add_dense(bench::Suite& suite, const char* name, int limit) {
  const auto g = kernel::ConvGeometry::linear(512, 512);
  const bench::Row base = base_row(name, "512", g, 512);
  bench::Row row = base;
  row.exact = true;
  row.implementation = "spiq";
  row.items = row.flops;
  row.item = "OP";
  row.flops = 0;
  row.prepare = [=] {
    auto p = std::make_shared<Problem>(g, 512, 0.3, limit);
    if (limit == 1)
      for (float& w : p->weights.weight) w = w > 0 ? 1.0F : -1.0F;
    return timed(p, Product::pack(p->weights));
  };
  suite.add(std::move(row));
  bench::add_gemm_peers(suite, base, 512, 512, 512);
}
}  // namespace

SPIQ_BENCH(spike_tables) {
  add_dense<kernel::TableS4<Best>>(suite, "spike_lut4", 7);
  add_dense<kernel::BinaryProduct<Best, kernel::BinaryValues::signs>>(suite, "spike_bits", 1);
}
