// Spikes times 1-bit weights, against plain loops.
#include <spiq/kernel/binary_product.hpp>

#include "backends.hpp"
#include "spike_products.hpp"

using namespace spiq_test;
using kernel::BinaryProduct;
using kernel::BinaryValues;

namespace {
SpikeProblem one_bit(const kernel::ConvGeometry& g, int samples, int steps, BinaryValues values, double density = 0.4) {
  auto p = spike_problem(g, samples, steps, density, 100);
  for (float& w : p.weights.weight) w = w > 0 ? 1.0F : values == BinaryValues::signs ? -1.0F : 0.0F;
  return p;
}
template <class Arch, BinaryValues Values>
void check_shapes() {
  static_assert(kernel::Product<BinaryProduct<Arch, Values>>);
  for_spike_shapes([](const kernel::ConvGeometry& g, int samples, int steps) {
    const auto p = one_bit(g, samples, steps, Values);
    check_product(BinaryProduct<Arch, Values>::pack(p.weights), p);
  });
  const auto full = one_bit(kernel::ConvGeometry::linear(1100, 7), 2, 1, Values, 1.0);
  check_product(BinaryProduct<Arch, Values>::pack(full.weights), full);
  // Bits beyond the channels, and more samples than are counted at once.
  auto many = one_bit(spike_geometry({9, 8, 70}, 18, 3, 1, 1), 33, 3, Values);
  for (std::size_t r = 0; r < many.spikes.rows(); ++r) many.spikes.row(r)[1] |= ~std::uint64_t{0} << 6;
  const auto product = BinaryProduct<Arch, Values>::pack(many.weights);
  for (const auto& [first, last] : {std::pair{0, 33}, std::pair{3, 30}, std::pair{32, 33}, std::pair{7, 7}})
    check_product(product, many, first, last, plain_sums(many, first, last));
}
}  // namespace

TEMPLATE_LIST_TEST_CASE("spikes times weights 0 and 1 are exact", "[binary]", spiq_test::Backends) {
  check_shapes<TestType, BinaryValues::zero_one>();
}
TEMPLATE_LIST_TEST_CASE("spikes times weights -1 and 1 are exact", "[binary]", spiq_test::Backends) {
  check_shapes<TestType, BinaryValues::signs>();
}

TEST_CASE("other weights, and groups, are refused", "[binary]") {
  auto p = one_bit(kernel::ConvGeometry::linear(5, 2), 1, 1, BinaryValues::signs);
  using Signs = BinaryProduct<simd::best, BinaryValues::signs>;
  using Zeros = BinaryProduct<simd::best, BinaryValues::zero_one>;
  p.weights.weight[2] = 1;
  p.weights.weight[3] = -1;
  CHECK_THROWS_AS(Zeros::pack(p.weights), Error);
  p.weights.weight[3] = 0;
  CHECK_THROWS_AS(Signs::pack(p.weights), Error);
  p.weights.weight[3] = 2;
  CHECK_THROWS_AS(Signs::pack(p.weights), Error);
  CHECK_THROWS_AS(
      Zeros::pack(one_bit(spike_geometry({2, 2, 4}, 4, 1, 1, 0, 1, 2), 1, 1, BinaryValues::zero_one).weights), Error);
}
