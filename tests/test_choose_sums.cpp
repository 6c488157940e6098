// Dense and event-driven sums over spikes in whole networks: the choice, and that nothing else changes.
#include <spiq/exec/choose_sums.hpp>
#include <spiq/nn/over_time.hpp>
#include <spiq/nn/spiking.hpp>
#include <spiq/report/layers.hpp>

#include "backends.hpp"
#include "lower_networks.hpp"

#include <bit>
#include <sstream>

using namespace spiq_test;

namespace {

using Model = presets::SpikingJellyLif<>;
using Net = Network<
    Input<9, 8, 2>, Conv2d<20, 3>,
    OverTime<Seq<Spiking<Model>, Conv2d<70, 3, Stride<2>>, Spiking<Model>, Residual<Seq<Conv2d<70, 3>>>, Spiking<Model>,
                 AvgPool<2>, Conv2d<24, 1>, Spiking<Model>, Flatten, Linear<30>, Spiking<Model>, Linear<7>>,
             Steps<5>>>;
using Converted = Network<Input<8, 8, 1>, Conv2d<16, 3>, Qcfs<4>, Conv2d<33, 3>, Qcfs<4>, Flatten, Linear<5>>;

template <class Network>
std::string products(const Network& network) {
  std::string text;
  for (const auto& row : network.layers()) text += row.product + " ";
  return text;
}

// The words of spikes that every layer wrote.
template <class Network>
std::vector<std::vector<std::uint64_t>> spikes(const Network& network, const Tensor<float>& images) {
  const auto n = static_cast<int>(images.extent(0));
  auto session = network.session(n, {.threads = 1, .tile = n});
  session.run(images);
  std::vector<std::vector<std::uint64_t>> all;
  session.visit([&](const auto&, const auto&, const auto& own) {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(own.out)>, Buffer<packing::by_channel>>)
      all.emplace_back(own.out.data.begin(),
                       own.out.data.begin() + static_cast<std::ptrdiff_t>(own.out.rows() * own.out.stride));
  });
  return all;
}
std::size_t count(const std::vector<std::uint64_t>& words) {
  std::size_t n = 0;
  for (const std::uint64_t w : words) n += static_cast<std::size_t>(std::popcount(w));
  return n;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("events give the spikes that dense sums give", "[choose]", spiq_test::Backends) {
  auto net = exact_network<Net>(3);
  const auto images = make_images<Net>(9, 4);
  auto lowered = lower<TestType>(net, target::Spiking{conversion::Trained{}});
  const auto dense = spikes(lowered, images);
  const Tensor<float> logits = lowered(images);
  auto before = lowered.session(9, {.threads = 1});
  exec::use_sums(lowered, kernel::SpikeSums::events);
  CHECK(products(lowered) == "dense_f32 event_f32 event_f32 join sum_pool dense_f32 event_f32 event_f32 ");
  CHECK(spikes(lowered, images) == dense);
  CHECK(largest_difference(lowered(images), logits) == 0);
  // Sessions made before the choice, and of one step at a time.
  CHECK(largest_difference(before.run(images), logits) == 0);
  auto stream = lowered.session(9, {.threads = 2, .streaming = true});
  for (int t = 0; t < 4; ++t) stream.step(images);
  CHECK(largest_difference(stream.step(images), logits) == 0);
  std::size_t fired = 0;
  REQUIRE(dense.size() == 5);
  for (const auto& layer : dense) {
    CHECK(count(layer) > 0);
    fired += count(layer);
  }
  CHECK(fired > 1000);

  auto converted = exact_network<Converted>(5);
  const auto digits = make_images<Converted>(4, 4);
  auto qcfs = lower<TestType>(converted, target::Spiking{conversion::Qcfs{.steps = 6}});
  const auto counts = spikes(qcfs, digits);
  exec::use_sums(qcfs, kernel::SpikeSums::events);
  CHECK(products(qcfs) == "dense_f32 event_f32 event_f32 ");
  CHECK(spikes(qcfs, digits) == counts);
}

TEST_CASE("the density of a calibration batch decides, layer by layer, and the report says so", "[choose]") {
  auto net = exact_network<Net>(3);
  const auto images = make_images<Net>(37, 4);
  auto lowered = lower(net, target::Spiking{conversion::Trained{}});
  exec::choose_sums(lowered, images);
  // Counted another way: layers that read the spikes of the neurons before them, of the batch as a whole.
  const auto counts = spikes(lowered, images);
  const auto rows = lowered.layers();
  REQUIRE(rows.size() == 8);
  const auto density = [&](std::size_t layer, std::size_t neurons) {
    return static_cast<double>(count(counts[layer])) / static_cast<double>(neurons * 5 * 37);
  };
  CHECK(rows[1].density == density(0, 9 * 8 * 20));
  CHECK(rows[2].density == density(1, 5 * 4 * 70));
  CHECK(rows[6].density == density(3, 2 * 2 * 24));
  CHECK(rows[7].density == density(4, 30));
  for (const std::size_t other : {std::size_t{0}, std::size_t{3}, std::size_t{4}, std::size_t{5}})
    CHECK(rows[other].density < 0);
  for (const std::size_t row : {std::size_t{1}, std::size_t{2}, std::size_t{6}, std::size_t{7}})
    CHECK(rows[row].product == (rows[row].density < kernel::event_crossover<simd::best> ? "event_f32" : "dense_f32"));

  // A cross-over between two layers' densities parts them.
  const double between = (rows[1].density + rows[2].density) / 2;
  exec::choose_sums(lowered, images, between);
  CHECK((lowered.layers()[1].product == "event_f32") == (rows[1].density < between));
  CHECK((lowered.layers()[2].product == "event_f32") == (rows[2].density < between));
  CHECK(lowered.layers()[1].product != lowered.layers()[2].product);
  exec::choose_sums(lowered, images, 0.0);
  CHECK(products(lowered) == "dense_f32 dense_f32 dense_f32 join sum_pool dense_f32 dense_f32 dense_f32 ");

  std::ostringstream text;
  text << report::layer_table(lowered);
  CHECK(mentions(text.str(), "dense_f32 d=0."));
  CHECK_THROWS_AS(exec::choose_sums(lowered, images, std::nan("")), Error);
  CHECK_THROWS_AS(exec::choose_sums(lowered, Tensor<float>({0, 2, 9, 8})), Error);
  CHECK_THROWS_AS(exec::choose_sums(lowered, make_images<Converted>(1, 1)), Error);
}
