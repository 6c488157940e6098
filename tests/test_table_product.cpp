// Spikes times 4-bit weights by tables, against plain loops.
#include <spiq/kernel/table_product.hpp>

#include "backends.hpp"
#include "spike_products.hpp"

using namespace spiq_test;

namespace {
// Weights -8 ... 7.
SpikeProblem four_bits(const kernel::ConvGeometry& g, int samples, int steps, double density) {
  auto p = spike_problem(g, samples, steps, density, 8);
  for (float& w : p.weights.weight) w = w == 8.0F ? -8.0F : w;
  return p;
}
}  // namespace

TEMPLATE_LIST_TEST_CASE("spikes times 4-bit weights by tables are exact", "[tables]", spiq_test::Backends) {
  static_assert(kernel::Product<kernel::TableS4<TestType>>);
  for_spike_shapes([&](const kernel::ConvGeometry& g, int samples, int steps) {
    const auto p = four_bits(g, samples, steps, 0.4);
    check_product(kernel::TableS4<TestType>::pack(p.weights), p);
  });
}

TEMPLATE_LIST_TEST_CASE("tables hold the largest sums", "[tables]", spiq_test::Backends) {
  // All spike, all weights -8 or all 7, with more inputs than 16 bits hold.
  for (const int in : {64, 2300, 4500})
    for (const float weight : {-8.0F, 7.0F}) {
      auto p = four_bits(kernel::ConvGeometry::linear(in, 3), 5, 1, 1.0);
      for (float& w : p.weights.weight) w = weight;
      check_product(kernel::TableS4<TestType>::pack(p.weights), p);
    }
}

TEMPLATE_LIST_TEST_CASE("many rows, many steps, some samples", "[tables]", spiq_test::Backends) {
  const auto many = four_bits(kernel::ConvGeometry::linear(70, 20), 300, 2, 0.5);
  const auto product = kernel::TableS4<TestType>::pack(many.weights);
  for (const auto& [first, last] : {std::pair{0, 300}, std::pair{3, 290}, std::pair{299, 300}, std::pair{7, 7}})
    check_product(product, many, first, last, plain_sums(many, first, last));
  const auto long_time = four_bits(kernel::ConvGeometry::linear(9, 20), 3, 270, 0.5);
  check_product(kernel::TableS4<TestType>::pack(long_time.weights), long_time);
  auto stray = four_bits(spike_geometry({4, 5, 20}, 21, 3, 1, 1), 5, 2, 0.3);
  for (std::size_t r = 0; r < stray.spikes.rows(); ++r) *stray.spikes.row(r) |= ~std::uint64_t{0} << 20;
  check_product(kernel::TableS4<TestType>::pack(stray.weights), stray);
}

TEST_CASE("weights of more than 4 bits, and groups, are refused", "[tables]") {
  auto p = four_bits(kernel::ConvGeometry::linear(3, 2), 1, 1, 0.5);
  for (const float weight : {8.0F, -9.0F, 7.6F}) {
    p.weights.weight[4] = weight;
    CHECK_THROWS_AS(kernel::TableS4<simd::best>::pack(p.weights), Error);
  }
  CHECK_THROWS_AS(
      kernel::TableS4<simd::best>::pack(four_bits(spike_geometry({2, 2, 4}, 4, 1, 1, 0, 1, 2), 1, 1, 0.5).weights),
      Error);
}
