// N:M sparse weights and their product, against plain loops.
#include "backends.hpp"
#include "catch.hpp"

#include <spiq/core/random.hpp>
#include <spiq/sparse/nm_product.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

using namespace spiq;

namespace {

std::vector<float> whole_numbers(std::size_t n, Rng rng) {
  std::vector<float> v(n);
  for (float& x : v) x = static_cast<float>(static_cast<int>(rng.below(31)) - 15);
  return v;
}

template <int N, int M, int R, class Arch>
void check(std::size_t outputs, std::size_t inputs, std::size_t columns) {
  INFO(N << ":" << M << " shared by " << R << ", " << outputs << " x " << inputs << " x " << columns << " "
         << Arch::name);
  const Rng rng(outputs + inputs + columns);
  auto w = whole_numbers(outputs * inputs, rng.split(0));
  NM<N, M, R>::prune(outputs, inputs, w);
  const auto packed = NM<N, M, R>::pack(outputs, inputs, w, Remainder::pad);
  std::vector<float> back(w.size(), 5.0f);
  packed.unpack(back);
  CHECK(back == w);

  const std::size_t ld = columns + 3;
  const auto x = whole_numbers(inputs * ld, rng.split(1));
  const NmProduct<N, M, R, Arch> product(packed);
  std::vector<float> panels(product.panel_size(columns)), y(outputs * ld, 99.0f), again = y;
  product.pack(x.data(), ld, columns, panels.data());
  product.run(panels.data(), columns, y.data(), ld);
  product.run(panels.data(), columns, again.data(), ld, 2);
  CHECK(y == again);
  std::size_t wrong = 0;  // whole numbers: exact
  for (std::size_t n = 0; n < outputs; ++n)
    for (std::size_t b = 0; b < ld; ++b) {
      float expected = b < columns ? 0.0f : 99.0f;
      for (std::size_t k = 0; k < inputs && b < columns; ++k) expected += w[n * inputs + k] * x[k * ld + b];
      wrong += y[n * ld + b] != expected;
    }
  CHECK(wrong == 0);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("N:M products equal plain loops", "[sparse]", spiq_test::Backends) {
  using Arch = TestType;
  check<2, 4, 1, Arch>(5, 64, 200);
  check<2, 4, 1, Arch>(3, 140, 128);
  check<1, 4, 1, Arch>(3, 4, 1);
  check<2, 8, 1, Arch>(2, 80, 17);
  check<1, 8, 1, Arch>(1, 83, 33);
  check<4, 16, 1, Arch>(2, 1040, 9);
  check<1, 16, 1, Arch>(2, 30, 5);
  check<3, 5, 1, Arch>(2, 23, 5);
  check<1, 256, 1, Arch>(2, 300, 5);
  check<2, 4, 8, Arch>(16, 64, 100);
  check<2, 8, 8, Arch>(13, 1600, 49);
  check<2, 4, 4, Arch>(5, 30, 70);
  check<1, 8, 16, Arch>(17, 24, 20);
  check<2, 4, 1, Arch>(0, 8, 5);
  check<2, 4, 1, Arch>(3, 0, 5);
  check<2, 4, 1, Arch>(3, 8, 0);
}

TEST_CASE("N:M pruning keeps the largest, of equal ones the first", "[sparse]") {
  std::vector<float> w{1, -3, 2, 3, 1, 1, -1, 1};
  NM<2, 4>::prune(1, 8, w);
  CHECK(w == std::vector<float>{0, -3, 0, 3, 1, 1, 0, 0});
  // Shared by two outputs: magnitudes 4 + 1, 3 + 3, 0, 5 + 0.
  std::vector<float> two{4, 3, 0, -5, 1, -3, 0, 0};
  NM<2, 4, 2>::prune(2, 4, two);
  CHECK(two == std::vector<float>{4, 3, 0, 0, 1, -3, 0, 0});
  // What one output alone would have chosen differs; the last bundle may have fewer outputs.
  std::vector<float> three{4, 3, 0, -5};
  NM<2, 4, 2>::prune(1, 4, three);
  CHECK(three == std::vector<float>{4, 0, 0, -5});
}

TEST_CASE("N:M storage has the size that its formula promises, and refuses what does not fit", "[sparse]") {
  std::vector<float> w(64 * 128, 1.0f);
  NM<2, 4>::prune(64, 128, w);
  const auto packed = NM<2, 4>::pack(64, 128, w);
  CHECK(packed.bytes() == 64 * 64 * 4 + 64 * 64 * 2 / 8 + 1);
  CHECK(NM<2, 4, 8>::pack(64, 128, w).bytes() == 64 * 64 * 4 + 8 * 64 * 2 / 8 + 1);
  CHECK_THROWS_AS((NM<1, 4>::pack(64, 128, w)), Error);
  CHECK_THROWS_AS((NM<2, 4>::pack(1, 6, std::vector<float>(6))), Error);
  CHECK_THROWS_AS((NM<2, 4>::pack(2, 6, std::vector<float>(11), Remainder::pad)), Error);
  CHECK_THROWS_AS((NM<2, 4>::pack(1, 4, std::vector<float>{std::numeric_limits<float>::quiet_NaN(), 0, 0, 0})), Error);
  // Rows of a bundle with other patterns.
  CHECK_THROWS_AS((NM<1, 4, 2>::pack(2, 4, std::vector<float>{1, 0, 0, 0, 0, 1, 0, 0})), Error);
  CHECK_NOTHROW(NM<1, 4, 1>::pack(2, 4, std::vector<float>{1, 0, 0, 0, 0, 1, 0, 0}));
}
