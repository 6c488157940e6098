// Bitmask weights, and their product with sparse vectors, against plain loops.
#include "backends.hpp"
#include "catch.hpp"

#include <spiq/core/random.hpp>
#include <spiq/sparse/sparse_vector.hpp>

#include <cstddef>
#include <limits>
#include <vector>

using namespace spiq;

namespace {
std::vector<float> whole_numbers(std::size_t n, double density, Rng rng) {
  std::vector<float> v(n);
  for (float& x : v)
    if (rng.uniform() < static_cast<float>(density)) x = static_cast<float>(static_cast<int>(rng.below(31)) - 15);
  return v;
}
}  // namespace

TEMPLATE_LIST_TEST_CASE("sparse weights times sparse vectors equal plain loops", "[sparse]", spiq_test::Backends) {
  struct Size {
    std::size_t outputs, inputs;
    double weights, activations;
  };
  for (const Size s : {Size{70, 50, 0.5, 0.5},
                       {64, 9, 0.1, 1.0},
                       {1, 1, 1.0, 1.0},
                       {129, 33, 1.0, 0.3},
                       {5, 40, 0.0, 0.9},
                       {200, 17, 0.4, 0.0},
                       {0, 5, 0.5, 0.5},
                       {5, 0, 0.5, 0.5},
                       {63, 64, 0.9, 0.1},
                       {2050, 601, 0.9, 0.5}}) {
    INFO(s.outputs << " x " << s.inputs);
    const Rng rng(s.outputs + s.inputs);
    const auto w = whole_numbers(s.outputs * s.inputs, s.weights, rng.split(0));
    const auto x = whole_numbers(s.inputs, s.activations, rng.split(1));
    const SparseVectorProduct<TestType> product(BitmaskWeights::pack(s.outputs, s.inputs, w));
    std::vector<float> back(w.size(), 3.0f), y(s.outputs, 7.0f), expected(s.outputs);
    product.weights().unpack(back);
    CHECK(back == w);
    auto scratch = product.scratch();
    for (std::size_t n = 0; n < s.outputs; ++n)
      for (std::size_t k = 0; k < s.inputs; ++k) expected[n] += w[n * s.inputs + k] * x[k];
    for (int again = 0; again < 2; ++again) {
      product.run(x, y, scratch);
      CHECK(y == expected);
    }
  }
}

TEST_CASE("bitmask weights have their size, and refuse what is not finite", "[sparse]") {
  const auto w = whole_numbers(128 * 32, 0.5, Rng(2));
  const auto packed = BitmaskWeights::pack(128, 32, w);
  CHECK(packed.bytes() == 32 * 2 * 8 + 33 * sizeof(std::size_t) + packed.nonzeros() * 4);
  CHECK_THROWS_AS(BitmaskWeights::pack(128, 31, w), Error);
  CHECK_THROWS_AS(BitmaskWeights::pack(1, 1, std::vector<float>{std::numeric_limits<float>::infinity()}), Error);
  std::vector<float> small(5);
  CHECK_THROWS_AS(packed.unpack(small), Error);
}
