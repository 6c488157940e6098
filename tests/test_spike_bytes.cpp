// Spikes times 8-bit weights as products of bytes, against plain loops.
#include "backends.hpp"
#include "spike_products.hpp"

#include <limits>

using namespace spiq_test;

TEMPLATE_LIST_TEST_CASE("spikes times 8-bit weights are exact", "[spike_bytes]", spiq_test::Backends) {
  for_spike_shapes([&](const kernel::ConvGeometry& g, int samples, int steps) {
    const auto p = spike_problem(g, samples, steps, 0.4, 127);
    check_product(kernel::DenseS8<TestType>::pack(p.weights), p);
  });
  for (const int groups : {2, 8}) {
    const auto p = spike_problem(spike_geometry({5, 4, 8}, 8, 3, 1, 1, 1, groups), 2, 2, 0.4, 127);
    check_product(kernel::DenseS8<TestType>::pack(p.weights), p);
  }
}

TEMPLATE_LIST_TEST_CASE("some samples of many, more than are unpacked at once", "[spike_bytes]", spiq_test::Backends) {
  const auto p = spike_problem(kernel::ConvGeometry::linear(70, 5), 600, 1, 0.5, 127);
  const auto product = kernel::DenseS8<TestType>::pack(p.weights);
  for (const auto& [first, last] : {std::pair{0, 600}, std::pair{3, 420}, std::pair{599, 600}, std::pair{7, 7}})
    check_product(product, p, first, last, plain_sums(p, first, last));
}

TEMPLATE_LIST_TEST_CASE("counts and levels are bytes as they lie, up to 255", "[spike_bytes]", spiq_test::Backends) {
  auto p = spike_problem(spike_geometry({4, 3, 21}, 10, 3, 1, 1), 2, 2, 1.0, 127);
  const auto product = kernel::DenseS8<TestType>::pack(p.weights);
  Buffer<packing::levels> in;
  in.allocate(p.spikes.shape, 2, 2);
  std::fill(in.data.begin(), in.data.end(), std::uint8_t{255});  // beyond the channels, too
  NotingSink sink{0, 2 * 12 * 2, 10, 3 * 2};
  auto scratch = product.scratch(2);
  product.run(in, 0, 2, sink, scratch);
  auto want = plain_sums(p, 0, 2);
  for (double& v : want) v *= 255;
  CHECK(sink.sums == want);
}

TEST_CASE("weights that are no bytes are refused", "[spike_bytes]") {
  auto p = spike_problem(kernel::ConvGeometry::linear(3, 2), 1, 1, 0.5, 127);
  p.weights.weight[1] = 127.5F;
  CHECK_THROWS_AS(kernel::DenseS8<simd::best>::pack(p.weights), Error);
  p.weights.weight[1] = 127.4F;
  CHECK_NOTHROW(kernel::DenseS8<simd::best>::pack(p.weights));
  p.weights.unit.pop_back();
  CHECK_THROWS_AS(kernel::DenseS8<simd::best>::pack(p.weights), Error);
}

TEST_CASE("rows go into every packing and out again, and bytes hold no other numbers", "[spike_bytes]") {
  const auto there_and_back = [](auto packing, std::vector<float> in) {
    using P = decltype(packing);
    std::vector<typename P::word> row(Buffer<P>::row_words(static_cast<int>(in.size())));
    kernel::pack_row<P>(in.data(), row.data(), static_cast<int>(in.size()));
    kernel::unpack_row<P>(row.data(), in.data(), static_cast<int>(in.size()));
    return in;
  };
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  for (const std::size_t n : {1u, 63u, 64u, 65u, 130u}) {
    std::vector<float> spikes(n), bytes(n);
    for (std::size_t i = 0; i < n; ++i) {
      spikes[i] = i * i % 7 < 3 ? 1.0F : 0.0F;
      bytes[i] = static_cast<float>(i * 37 % 256);
    }
    CHECK(there_and_back(packing::by_channel{}, spikes) == spikes);
    CHECK(there_and_back(packing::levels{}, bytes) == bytes);
    CHECK(there_and_back(packing::counts{}, bytes) == bytes);
    CHECK(there_and_back(packing::real{}, bytes) == bytes);
  }
  CHECK(there_and_back(packing::counts{}, {-1, 256, 1e30F, inf, -inf, nan, 254.9F}) ==
        std::vector<float>{0, 255, 255, 255, 0, 0, 254});
}
