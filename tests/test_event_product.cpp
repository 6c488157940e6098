// Event-driven products against plain loops, and against the dense ones.
#include <spiq/exec/synapse.hpp>
#include <spiq/kernel/binary_product.hpp>
#include <spiq/kernel/spike_product.hpp>
#include <spiq/kernel/table_product.hpp>

#include "backends.hpp"
#include "spike_products.hpp"

using namespace spiq_test;

TEMPLATE_LIST_TEST_CASE("event-driven products equal plain loops", "[events]", spiq_test::Backends) {
  for (const double density : {0.0, 0.15, 1.0})
    for_spike_shapes([&](const kernel::ConvGeometry& g, int samples, int steps) {
      if (density == 1.0 && g.fan_in() > 600) return;
      const auto p = spike_problem(g, samples, steps, density, 100);
      auto f32 = kernel::SpikesF32<TestType>::pack(p.weights);
      f32.sums = kernel::SpikeSums::events;
      check_product(f32, p);
      check_product(kernel::EventS16<TestType>::pack(p.weights), p);
    });
}

TEMPLATE_LIST_TEST_CASE("some samples, no samples, and words with bits beyond the channels", "[events]",
                        spiq_test::Backends) {
  auto p = spike_problem(spike_geometry({4, 5, 20}, 21, 3, 1, 1), 5, 2, 0.3, 50);
  for (std::size_t r = 0; r < p.spikes.rows(); ++r) *p.spikes.row(r) |= ~std::uint64_t{0} << 20;
  auto f32 = kernel::SpikesF32<TestType>::pack(p.weights);
  f32.sums = kernel::SpikeSums::events;
  const auto s16 = kernel::EventS16<TestType>::pack(p.weights);
  for (const auto& [first, last] : {std::pair{0, 5}, std::pair{2, 4}, std::pair{4, 5}, std::pair{3, 3}}) {
    check_product(f32, p, first, last, plain_sums(p, first, last));
    check_product(s16, p, first, last, plain_sums(p, first, last));
  }
}

TEMPLATE_LIST_TEST_CASE("long lists are walked in parts", "[events]", spiq_test::Backends) {
  // More than 2^16 spikes and more than 4096 rows.
  const auto linear = spike_problem(kernel::ConvGeometry::linear(150, 3), 600, 1, 0.9, 3);
  const auto map = spike_problem(spike_geometry({72, 60, 1}, 2, 1, 1, 0), 2, 1, 0.5, 3);
  const auto conv = spike_problem(spike_geometry({20, 20, 40}, 2, 3, 1, 1), 2, 1, 0.5, 3);
  for (const auto* p : {&linear, &map, &conv}) {
    auto f32 = kernel::SpikesF32<TestType>::pack(p->weights);
    f32.sums = kernel::SpikeSums::events;
    check_product(f32, *p);
    check_product(kernel::EventS16<TestType>::pack(p->weights), *p);
  }
}

TEMPLATE_LIST_TEST_CASE("int16 sums are proved, or int32 takes over in time", "[events]", spiq_test::Backends) {
  using Product = kernel::EventS16<TestType>;
  const auto g = kernel::ConvGeometry::linear(300, 40);
  auto p = spike_problem(g, 3, 1, 1.0, 127);
  CHECK(Product::pack(p.weights).proved());
  // Sums of one sign leave the range only when all spike: 258 x 127 = 32766 is the last that fits.
  for (const int ones : {258, 259}) {
    for (std::size_t i = 0; i < 300; ++i) p.weights.weight[i] = i < static_cast<std::size_t>(ones) ? 127.0F : 0.0F;
    const auto product = Product::pack(p.weights);
    CHECK(product.proved() == (ones == 258));
    check_product(product, p);
    for (std::size_t i = 0; i < 300; ++i) p.weights.weight[i] = -p.weights.weight[i];
    check_product(Product::pack(p.weights), p);
  }
  for (const int limit : {3000, 32767})
    for (const double density : {0.1, 1.0}) {
      const auto large = spike_problem(g, 3, 1, density, limit);
      const auto product = Product::pack(large.weights);
      CHECK(!product.proved());
      check_product(product, large);
    }
  // 65538 weights of 32767 are the most that int32 holds.
  for (const int in : {65538, 65539}) {
    kernel::FoldedWeights huge{kernel::ConvGeometry::linear(in, 1), {}, {0}, {1}};
    for (const float weight : {32767.0F, -32767.0F}) {
      huge.weight.assign(static_cast<std::size_t>(in), weight);
      if (in == 65538)
        CHECK_NOTHROW(Product::pack(huge));
      else
        CHECK_THROWS_AS(Product::pack(huge), Error);
    }
  }
  auto wrong = spike_problem(g, 1, 1, 0.5, 10);
  wrong.weights.weight[7] = 32768.0F;
  CHECK_THROWS_AS(Product::pack(wrong.weights), Error);
  wrong.weights.weight[7] = std::nanf("");
  CHECK_THROWS_AS(Product::pack(wrong.weights), Error);
  CHECK_THROWS_AS(Product::pack(spike_problem(spike_geometry({2, 2, 4}, 4, 1, 1, 0, 1, 2), 1, 1, 0.5, 10).weights),
                  Error);
}

TEMPLATE_LIST_TEST_CASE("events and dense tiles give a convolution the same bits", "[events]", spiq_test::Backends) {
  auto p = spike_problem(spike_geometry({6, 7, 40}, 50, 3, 1, 1), 2, 3, 0.3, 1000);
  for (float& w : p.weights.weight) w *= 0.001F;  // sums round
  auto product = kernel::SpikesF32<TestType>::pack(p.weights);
  const std::size_t rows = 2 * 42 * 3;
  NotingSink dense{0, rows, 50, 7 * 3}, events{0, rows, 50, 7 * 3};
  auto scratch = product.scratch(3);
  product.run(p.spikes, 0, 2, dense, scratch);
  product.sums = kernel::SpikeSums::events;
  product.run(p.spikes, 0, 2, events, scratch);
  CHECK(dense.sums == events.sums);
}

TEMPLATE_LIST_TEST_CASE("products with groups stay dense", "[events]", spiq_test::Backends) {
  for (const int groups : {2, 8}) {
    const auto p = spike_problem(spike_geometry({5, 4, 8}, 8, 3, 1, 1, 1, groups), 2, 2, 0.4, 20);
    auto product = kernel::SpikesF32<TestType>::pack(p.weights);
    product.sums = kernel::SpikeSums::events;
    CHECK(!product.walks_events());
    check_product(product, p);
  }
}

namespace {
// The spikes of integrate-and-fire neurons behind a product.
template <class Product>
std::vector<std::uint64_t> fired(const SpikeProblem& p) {
  const auto out = static_cast<std::size_t>(p.weights.geometry.out_channels);
  const auto same = [&](std::int32_t v) {
    return exec::PerChannel<std::int32_t>(std::vector<std::int32_t>(out, v), 1);
  };
  const exec::Synapse<Product, exec::Fire<std::int32_t>, packing::by_channel, packing::by_channel> layer{
      Product::pack(p.weights), {same(0), same(3), same(1), p.spikes.steps}, {}};
  typename decltype(layer)::State state;
  layer.allocate(state, p.spikes.samples, p.spikes);
  const auto& spikes = layer.run(p.spikes, state);
  return {spikes.data.begin(), spikes.data.begin() + static_cast<std::ptrdiff_t>(spikes.rows() * spikes.stride)};
}
}  // namespace

TEMPLATE_LIST_TEST_CASE("neurons behind every product for spikes fire alike, over any number of steps", "[events]",
                        spiq_test::Backends) {
  for (const int steps : {1, 3, 8, 13}) {
    auto p = spike_problem(spike_geometry({7, 5, 30}, 70, 3, 1, 1), 3, steps, 0.3, 1);
    for (float& w : p.weights.weight) w = w > 0 ? 1.0F : -1.0F;
    const auto want = fired<kernel::DenseS16<TestType>>(p);
    CHECK(std::count(want.begin(), want.end(), std::uint64_t{0}) < static_cast<std::ptrdiff_t>(want.size()));
    CHECK(fired<kernel::EventS16<TestType>>(p) == want);
    CHECK(fired<kernel::DenseS8<TestType>>(p) == want);
    CHECK(fired<kernel::TableS4<TestType>>(p) == want);
    CHECK(fired<kernel::BinaryProduct<TestType, kernel::BinaryValues::signs>>(p) == want);
  }
}
