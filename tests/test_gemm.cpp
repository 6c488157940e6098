// The matrix product against plain loops in double: all transpositions, ragged sizes, leading dimensions, accumulation.
#include <spiq/core/random.hpp>
#include <spiq/kernel/gemm.hpp>

#include "backends.hpp"
#include "catch.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

using namespace spiq;

namespace {

std::vector<float> random_values(std::size_t n, std::uint64_t stream) {
  Rng rng{5, stream};
  std::vector<float> v(n);
  for (float& x : v) x = rng.uniform(-1.0F, 1.0F);
  return v;
}

template <class Arch>
void check_gemm(std::size_t m, std::size_t n, std::size_t k, bool ta, bool tb, bool accumulate, std::size_t slack) {
  const std::size_t lda = (ta ? m : k) + slack, ldb = (tb ? k : n) + slack, ldc = n + slack;
  const auto a = random_values((ta ? k : m) * lda, 1);
  const auto b = random_values((tb ? n : k) * ldb, 2);
  const auto before = random_values(m * ldc, 3);
  auto c = before;
  kernel::gemm<Arch>({m, n, k}, a.data(), lda, ta, b.data(), ldb, tb, c.data(), ldc, accumulate);
  CAPTURE(m, n, k, ta, tb, accumulate, slack);
  double worst = 0;
  for (std::size_t i = 0; i < m; ++i)
    for (std::size_t j = 0; j < ldc; ++j) {
      if (j >= n) {
        REQUIRE(c[i * ldc + j] == before[i * ldc + j]);
        continue;
      }
      double sum = accumulate ? before[i * ldc + j] : 0.0;
      for (std::size_t p = 0; p < k; ++p)
        sum += double{ta ? a[p * lda + i] : a[i * lda + p]} * double{tb ? b[j * ldb + p] : b[p * ldb + j]};
      worst = std::max(worst, std::abs(sum - double{c[i * ldc + j]}));
    }
  CHECK(worst <= 1e-6 * (1.0 + std::sqrt(static_cast<double>(k)) * 4));
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("gemm agrees with plain loops", "[gemm]", spiq_test::Backends) {
  for (const bool ta : {false, true})
    for (const bool tb : {false, true})
      for (const bool accumulate : {false, true}) {
        for (const std::size_t m : {0, 1, 2, 5, 12, 13, 25})
          for (const std::size_t n : {0, 1, 7, 15, 16, 17, 31, 33, 65})
            for (const std::size_t k : {0, 1, 3, 17}) check_gemm<TestType>(m, n, k, ta, tb, accumulate, k % 2);
        check_gemm<TestType>(37, 50, 600, ta, tb, accumulate, 3);
      }
}

TEMPLATE_LIST_TEST_CASE("gemm lets NaN and infinity through and no further", "[gemm]", spiq_test::Backends) {
  std::vector<float> a(4 * 3, 1.0F), b(3 * 20, 1.0F), c(4 * 20);
  a[1 * 3 + 2] = std::numeric_limits<float>::quiet_NaN();
  b[0 * 20 + 18] = std::numeric_limits<float>::infinity();
  kernel::gemm<TestType>({4, 20, 3}, a.data(), 3, false, b.data(), 20, false, c.data(), 20, false);
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t j = 0; j < 20; ++j) {
      const float v = c[i * 20 + j];
      if (i == 1)
        CHECK(std::isnan(v));
      else if (j == 18)
        CHECK(std::isinf(v));
      else
        CHECK(v == 3.0F);
    }
}
