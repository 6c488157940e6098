// Operation counts, neuron counts and rasters of small networks, against loops over weights and outputs.
#include "catch.hpp"

#include <spiq/core/random.hpp>
#include <spiq/exec/network.hpp>
#include <spiq/report/activity.hpp>
#include <spiq/report/operations.hpp>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

using namespace spiq;
using Catch::Matchers::WithinAbs;

namespace {

constexpr Shape image{6, 5, 2};
constexpr int hidden = 7, levels = 4, classes = 3;
constexpr std::size_t images = 5;

kernel::ConvGeometry first_geometry() {
  kernel::ConvGeometry g;
  g.in = image;
  g.out_channels = hidden;
  g.kernel_h = g.kernel_w = 3;
  g.pad_h = g.pad_w = 1;
  return g;
}
// Strided, padded convolution on the pooled 3x2 map.
kernel::ConvGeometry second_geometry() {
  kernel::ConvGeometry g;
  g.in = {3, 2, hidden};
  g.out_channels = classes;
  g.kernel_h = 3;
  g.kernel_w = 2;
  g.stride_h = 2;
  g.pad_h = 1;
  return g;
}

// Weights of which every fourth is zero.
kernel::FoldedWeights weights(const kernel::ConvGeometry& g, std::uint64_t seed, float scale) {
  kernel::FoldedWeights w;
  w.geometry = g;
  Rng rng(seed);
  for (std::size_t i = 0; i < g.weight_count(); ++i) w.weight.push_back(i % 4 == 0 ? 0.0f : scale * rng.normal());
  w.bias.assign(static_cast<std::size_t>(g.out_channels), 0.05f);
  return w;
}
float weight_at(const kernel::FoldedWeights& w, int o, int i, int ky, int kx) {
  const auto& g = w.geometry;
  return w.weight[static_cast<std::size_t>(((o * g.group_in() + i) * g.kernel_h + ky) * g.kernel_w + kx)];
}
exec::LayerInfo info(const std::string& path, const kernel::FoldedWeights& w, double threshold, int l) {
  exec::LayerInfo r;
  r.path = path;
  r.threshold = threshold;
  r.levels = l;
  const auto& g = w.geometry;
  for (int ky = 0; ky < g.kernel_h; ++ky)
    for (int kx = 0; kx < g.kernel_w; ++kx)
      for (int i = 0; i < g.in.channels; ++i) {
        std::uint32_t n = 0;
        for (int o = 0; o < g.out_channels; ++o) n += weight_at(w, o, i, ky, kx) != 0.0f ? 1u : 0u;
        r.nonzeros.push_back(n);
      }
  r.macs = g.macs();
  return r;
}

using Product = kernel::DenseF32<simd::best>;
template <class P>
using Neuron = exec::PascalFire<float, Packings<P>>;
template <class P>
using Pooled = std::conditional_t<std::is_same_v<P, packing::counts>, packing::counts, packing::levels>;
template <class P>
using Spiking = exec::Network<
    packing::real, packing::real,
    exec::Chain<packing::real, exec::Synapse<Product, Neuron<P>, packing::real, P>,
                exec::Pool<exec::PoolKind::average, P, Pooled<P>>,
                exec::Synapse<Product, exec::Store<float>, Pooled<P>, packing::real>>>;

const kernel::FoldedWeights& first() {
  static const auto w = weights(first_geometry(), 1, 0.4f);
  return w;
}
const kernel::FoldedWeights& second() {
  static const auto w = weights(second_geometry(), 2, 0.4f);
  return w;
}
exec::PerChannel<float> same(int n, float v) { return {std::vector<float>(static_cast<std::size_t>(n), v), 1.0f}; }

exec::Pool<exec::PoolKind::average, packing::real, packing::real> pool_numbers() {
  exec::Pool<exec::PoolKind::average, packing::real, packing::real> p;
  p.geometry.in = {6, 5, hidden};
  p.geometry.kernel_h = p.geometry.kernel_w = p.geometry.stride_h = p.geometry.stride_w = 2;
  p.info.path = "1";
  return p;
}

template <class P>
Spiking<P> spiking() {
  const auto numbers = pool_numbers();
  exec::Synapse<Product, Neuron<P>, packing::real, P> a{
      Product::pack(first()), {same(hidden, 0.25f), same(hidden, 0.175f), levels}, info("0", first(), 0.25, levels)};
  exec::Pool<exec::PoolKind::average, P, Pooled<P>> pool{numbers.geometry, numbers.info};
  exec::Synapse<Product, exec::Store<float>, Pooled<P>, packing::real> b{
      Product::pack(second()), {same(classes, 0.05f)}, info("2", second(), 0, 0)};
  Spiking<P> net;
  net.input.shape = image;
  net.chain = {{{a}, {pool}, {b}}};
  net.readout.classes = static_cast<int>(second_geometry().out().size());
  return net;
}

std::vector<float> pictures() {
  Rng rng(9);
  std::vector<float> x(images * image.size());
  for (float& v : x) v = rng.uniform();
  return x;
}

// Pre-activations [images][6][5][hidden] of the first layer, by a plain loop in double.
std::vector<double> hidden_currents(const std::vector<float>& x) {
  std::vector<double> currents;
  for (std::size_t s = 0; s < images; ++s)
    for (int y = 0; y < 6; ++y)
      for (int px = 0; px < 5; ++px)
        for (int o = 0; o < hidden; ++o) {
          double z = 0.05;
          for (int c = 0; c < 2; ++c)
            for (int ky = 0; ky < 3; ++ky)
              for (int kx = 0; kx < 3; ++kx) {
                const int iy = y + ky - 1, ix = px + kx - 1;
                if (iy < 0 || iy >= 6 || ix < 0 || ix >= 5) continue;
                z += double{weight_at(first(), o, c, ky, kx)} *
                     double{x[s * image.size() + static_cast<std::size_t>((c * 6 + iy) * 5 + ix)]};
              }
          currents.push_back(z);
        }
  return currents;
}
// Their counts by the closed form of PASCAL.
std::vector<int> hidden_counts(const std::vector<float>& x) {
  std::vector<int> n;
  for (const double z : hidden_currents(x))
    n.push_back(std::min(std::max(static_cast<int>(std::floor(z / 0.25 + 0.5)), 0), levels));
  return n;
}

// Forward and inhibitory spikes inside the PASCAL neurons of the first layer, step by step as arXiv 2505.01730 writes
// them (one slice of input, T2 - 1 corrections).
struct Internal {
  double forward = 0, inhibitory = 0;
};
Internal hidden_internal(const std::vector<double>& currents) {
  Internal sum;
  for (const double z : currents) {
    double membrane = 0.125 + z;
    const auto step = [&](bool correcting) {
      if (membrane >= 0.25) {
        membrane -= 0.25;
        sum.forward += 1;
      } else if (correcting && membrane < 0) {
        membrane += 0.25;
        sum.inhibitory += 1;
      }
    };
    step(false);
    for (int t = 1; t < levels; ++t) step(true);
  }
  sum.forward /= images;
  sum.inhibitory /= images;
  return sum;
}

struct Expected {
  double spikes = 0, ac = 0, pooled_active = 0;
};
// For every output neuron and non-zero weight: the spikes of the pooled window that come through it.
Expected expected(const std::vector<int>& counts) {
  Expected e;
  const auto g = second_geometry();
  for (const int n : counts) e.spikes += n;
  for (std::size_t s = 0; s < images; ++s)
    for (int oy = 0; oy < g.out_h(); ++oy)
      for (int ox = 0; ox < g.out_w(); ++ox)
        for (int o = 0; o < classes; ++o)
          for (int c = 0; c < hidden; ++c)
            for (int ky = 0; ky < 3; ++ky)
              for (int kx = 0; kx < 2; ++kx) {
                const int iy = oy * 2 + ky - 1, ix = ox + kx;
                if (iy < 0 || iy >= 3 || ix < 0 || ix >= 2 || weight_at(second(), o, c, ky, kx) == 0.0f) continue;
                int window = 0;
                for (int dy = 0; dy < 2; ++dy)
                  for (int dx = 0; dx < 2; ++dx)
                    window += counts[s * 210 +
                                     static_cast<std::size_t>(((iy * 2 + dy) * 5 + ix * 2 + dx) * hidden + c)];
                e.ac += window;
                e.pooled_active += window != 0 ? 1 : 0;
              }
  e.spikes /= images;
  e.ac /= images;
  e.pooled_active /= images;
  return e;
}

}  // namespace

TEMPLATE_TEST_CASE("operations of a spiking network with a pool", "[report]", packing::counts, packing::by_channel) {
  const auto net = spiking<TestType>();
  const std::vector<float> x = pictures();
  const std::vector<int> counts = hidden_counts(x);
  const Expected e = expected(counts);
  REQUIRE(e.ac > 100);
  const Internal internal = hidden_internal(hidden_currents(x));
  REQUIRE(internal.inhibitory > 10);

  for (const int threads : {1, 2}) {
    const auto counter = report::count_operations(net, x.data(), images, image.size(), threads);
    CHECK(counter.images() == images);
    const OperationCounts total = counter.mean();
    CHECK_THAT(total.spikes, WithinAbs(e.spikes, 1e-9));
    CHECK_THAT(total.ac, WithinAbs(e.ac, 1e-9));
    CHECK(total.mac == static_cast<double>(first_geometry().macs()));
    // 1 input step: 1 + 3 corrections + 4 emission steps for each of the 6 x 5 x 7 neurons.
    CHECK(total.neuron_updates == 210.0 * (1 + (levels - 1) + levels));
    CHECK_THAT(total.internal_spikes, WithinAbs(internal.forward, 1e-9));
    CHECK_THAT(total.inhibitory_spikes, WithinAbs(internal.inhibitory, 1e-9));
    CHECK(counter.latency_steps() == 8);
    const auto layers = counter.per_layer();
    REQUIRE(layers.size() == 3);
    CHECK(layers[0].path == "0");
    CHECK(layers[0].neurons == 210);
    CHECK(layers[2].counts.spikes == 0);
    if (std::is_same_v<TestType, packing::counts>)
      CHECK_THAT(layers[2].counts.neurobench_mac, WithinAbs(e.pooled_active, 1e-9));
    CHECK(layers[2].counts.neurobench_ac == 0);  // pooled spikes are not binary
  }
}

TEST_CASE("a network without spikes counts MACs on real taps", "[report]") {
  using Layer = exec::Synapse<Product, exec::Quantize, packing::real, packing::real>;
  using Net = exec::Network<packing::real, packing::real, exec::Chain<packing::real, Layer>>;
  Net net;
  net.input.shape = image;
  net.chain = {{{{Product::pack(first()), {same(hidden, 0.05f), 1.0f, levels}, info("0", first(), 1, levels)}}}};
  net.readout.classes = static_cast<int>(first_geometry().out().size());
  const std::vector<float> x = pictures();
  const auto counter = report::count_operations(net, x.data(), images, image.size());
  // 3x3 taps on 6x5 pixels, those in the padding left out: (3*6 - 2) * (3*5 - 2) of them.
  const OperationCounts total = counter.mean();
  CHECK(total == OperationCounts{.mac = 16.0 * 13 * 2 * hidden, .neurobench_mac = total.neurobench_mac});
  // NeuroBench counts non-zero inputs only.
  CHECK(total.neurobench_mac > 0);
  CHECK(total.neurobench_mac <= total.mac);
  CHECK(counter.latency_steps() == 0);

  // lambda / L = 0.25: the levels are the counts of the spiking network.
  auto session = net.session(images, {.threads = 1, .tile = images});
  session.run(x.data(), images, image.size());
  const auto levels_of = report::neuron_counts(session);
  const auto spike_net = spiking<packing::by_channel>();
  auto spike_session = spike_net.session(images, {.threads = 1, .tile = images});
  spike_session.run(x.data(), images, image.size());
  auto spikes_of = report::neuron_counts(spike_session);
  REQUIRE(levels_of.size() == 1);
  REQUIRE(spikes_of.size() == 1);
  const std::vector<int> counts = hidden_counts(x);
  CHECK(std::equal(counts.begin(), counts.end(), levels_of[0].counts.begin(), levels_of[0].counts.end()));
  CHECK(levels_of[0].counts == spikes_of[0].counts);

  report::CountDifferences d;
  d.add(levels_of, spikes_of);
  CHECK(d.images == images);
  CHECK(d.images_differing == 0);
  CHECK(d.first_layer().empty());
  spikes_of[0].counts[3] ^= 1u;
  spikes_of[0].counts[2 * 210 + 1] ^= 1u;
  spikes_of[0].counts[2 * 210 + 2] ^= 1u;
  d.add(levels_of, spikes_of);
  CHECK(d.images == 2 * images);
  CHECK(d.images_differing == 2);
  CHECK(d.neurons_differing() == 3);
  CHECK(d.first_layer() == "0");
  report::CountDifferences sum;
  sum.add(d);
  sum.add(d);
  CHECK(sum.neurons_differing() == 6);
  CHECK(sum.images == 4 * images);
  spikes_of[0].path = "9";
  CHECK_THROWS_AS(d.add(levels_of, spikes_of), Error);

  // The raster of one image holds its spikes, front-loaded as PASCAL emits them.
  const auto layers = report::raster_layers(spike_session, 2, true);
  REQUIRE(layers.size() == 1);
  CHECK(layers[0].neurons == 210);
  CHECK(layers[0].steps == levels);
  std::vector<int> seen(210, 0);
  for (const auto& s : layers[0].spikes) {
    ++seen[s.neuron];
    CHECK(static_cast<int>(s.step) < counts[2 * 210 + s.neuron]);
  }
  CHECK(std::equal(seen.begin(), seen.end(), counts.begin() + 2 * 210));
}
