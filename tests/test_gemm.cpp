// Matrix product against plain loops in double: transpositions, leading dimensions, tails, accumulation.
#include "backends.hpp"
#include "catch.hpp"

#include <spiq/kernel/gemm.hpp>

#include <cmath>
#include <limits>
#include <vector>

namespace kernel = spiq::kernel;

namespace {

// Multiples of 1/8 that stay small: sums of thousands of products are exact in float.
std::vector<float> values(std::size_t n, std::uint32_t seed) {
  std::vector<float> v(n);
  for (auto& x : v) {
    seed = seed * 1664525u + 1013904223u;
    x = static_cast<float>(static_cast<int>((seed >> 16) % 33u) - 16) / 8.0f;
  }
  return v;
}

template <class Arch>
void check(int m, int n, int k, bool trans_a, bool trans_b, bool accumulate, int extra) {
  INFO(Arch::name << " " << m << "x" << n << "x" << k << " " << trans_a << trans_b << accumulate << " +" << extra);
  const std::size_t lda = static_cast<std::size_t>((trans_a ? m : k) + extra);
  const std::size_t ldb = static_cast<std::size_t>((trans_b ? k : n) + extra);
  const std::size_t ldc = static_cast<std::size_t>(n + extra);
  const auto a = values(lda * static_cast<std::size_t>(trans_a ? k : m) + 1, 1);
  const auto b = values(ldb * static_cast<std::size_t>(trans_b ? n : k) + 1, 2);
  auto c = values(ldc * static_cast<std::size_t>(m) + 64, 3);
  const auto before = c;
  kernel::gemm<Arch>({m, n, k}, a.data(), lda, trans_a, b.data(), ldb, trans_b, c.data(), ldc, accumulate);
  std::size_t wrong = 0;
  std::vector<float> want = before;
  for (std::size_t i = 0; i < static_cast<std::size_t>(m); ++i)
    for (std::size_t j = 0; j < static_cast<std::size_t>(n); ++j) {
      double sum = accumulate ? static_cast<double>(before[i * ldc + j]) : 0.0;
      for (std::size_t p = 0; p < static_cast<std::size_t>(k); ++p)
        sum += static_cast<double>(trans_a ? a[p * lda + i] : a[i * lda + p]) *
               static_cast<double>(trans_b ? b[j * ldb + p] : b[p * ldb + j]);
      want[i * ldc + j] = static_cast<float>(sum);
    }
  for (std::size_t i = 0; i < c.size(); ++i) wrong += c[i] == want[i] ? 0 : 1;  // gaps between rows included
  CHECK(wrong == 0);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("gemm equals plain loops", "[gemm]", spiq_test::Backends) {
  for (int form = 0; form < 8; ++form) {
    const bool ta = (form & 1) != 0, tb = (form & 2) != 0, accumulate = (form & 4) != 0;
    for (const int m : {1, 2, 3, 7, 8, 9, 25})
      for (const int n : {1, 4, 15, 16, 17, 33})
        for (const int k : {1, 5, 32}) check<TestType>(m, n, k, ta, tb, accumulate, (m + n) % 3);
  }
}

TEMPLATE_LIST_TEST_CASE("gemm beyond its blocks", "[gemm]", spiq_test::Backends) {
  for (int form = 0; form < 4; ++form) {
    const bool ta = (form & 1) != 0, tb = (form & 2) != 0;
    check<TestType>(10, 400, 30, ta, tb, false, 0);
    check<TestType>(250, 20, 10, ta, tb, true, 3);
    check<TestType>(9, 40, 600, ta, tb, false, 1);
    check<TestType>(9, 40, 257, ta, tb, true, 0);
  }
}

TEMPLATE_LIST_TEST_CASE("gemm with an empty side", "[gemm]", spiq_test::Backends) {
  check<TestType>(0, 5, 3, false, false, false, 0);
  check<TestType>(5, 0, 3, false, false, false, 1);
  check<TestType>(3, 4, 0, false, false, false, 2);
  check<TestType>(3, 4, 0, false, false, true, 2);
}

TEMPLATE_LIST_TEST_CASE("gemm keeps NaN in its row and infinity in its column", "[gemm]", spiq_test::Backends) {
  const int n = 20;
  std::vector<float> a(n * n, 1.0f), b(n * n, 1.0f), c(n * n, 0.0f);
  a[3 * n + 5] = std::numeric_limits<float>::quiet_NaN();
  b[7 * n + 11] = std::numeric_limits<float>::infinity();
  kernel::gemm<TestType>({n, n, n}, a.data(), n, false, b.data(), n, false, c.data(), n, false);
  std::size_t wrong = 0;
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) {
      const float v = c[static_cast<std::size_t>(i * n + j)];
      const bool right = i == 3 ? std::isnan(v) : (j == 11 ? std::isinf(v) : v == 20.0f);
      wrong += right ? 0 : 1;
    }
  CHECK(wrong == 0);
}
