// Matrix-vector product, and the one-row linear path against the tiled one, on every back-end.
#include "backends.hpp"
#include "catch.hpp"

#include <spiq/kernel/conv.hpp>
#include <spiq/kernel/gemv.hpp>

#include <cmath>
#include <vector>

namespace kernel = spiq::kernel;

namespace {
std::vector<float> values(std::size_t n, std::uint32_t seed, float scale = 0.125f) {
  std::vector<float> v(n);
  for (auto& x : v) {
    seed = seed * 1664525u + 1013904223u;
    x = static_cast<float>(static_cast<int>((seed >> 16) % 33u) - 16) * scale;
  }
  return v;
}
}  // namespace

TEMPLATE_LIST_TEST_CASE("gemv equals plain loops", "[gemv]", spiq_test::Backends) {
  for (const bool trans : {false, true})
    for (const bool accumulate : {false, true})
      for (const std::size_t m : {std::size_t{0}, std::size_t{1}, std::size_t{7}, std::size_t{8}, std::size_t{21}})
        for (const std::size_t n :
             {std::size_t{0}, std::size_t{1}, std::size_t{15}, std::size_t{16}, std::size_t{17}, std::size_t{130}}) {
          INFO(TestType::name << " " << m << "x" << n << " " << trans << accumulate);
          const std::size_t lda = n + m % 3;
          const auto a = values(m * lda + 1, 1), x = values((trans ? m : n) + 1, 2);
          auto y = values((trans ? n : m) + 8, 3);
          auto want = y;
          kernel::gemv<TestType>(m, n, a.data(), lda, trans, x.data(), y.data(), accumulate);
          for (std::size_t o = 0; o < (trans ? n : m); ++o) {
            double sum = accumulate ? static_cast<double>(want[o]) : 0.0;
            for (std::size_t i = 0; i < (trans ? m : n); ++i)
              sum += static_cast<double>(trans ? a[i * lda + o] : a[o * lda + i]) * static_cast<double>(x[i]);
            want[o] = static_cast<float>(sum);
          }
          CHECK(y == want);
        }
}

TEMPLATE_LIST_TEST_CASE("a linear row is the same bits alone, in a batch and over steps", "[gemv]",
                        spiq_test::Backends) {
  for (const int in : {1, 2, 3, 4, 5, 16, 63, 128})
    for (const int out : {1, 4, 17, 33, 70}) {
      INFO(TestType::name << " " << in << " -> " << out);
      const auto g = kernel::ConvGeometry::linear(in, out);
      const auto w = values(g.weight_count(), 4, 0.1f);
      const std::size_t samples = 11, columns = static_cast<std::size_t>(out);
      const auto x = values(samples * static_cast<std::size_t>(in), 5, 0.3f);
      using Conv = kernel::PackedConv<TestType, kernel::ElementF32>;
      const Conv conv(g, w);
      std::vector<float> together(samples * columns), alone(together.size()), steps(together.size());
      kernel::StoreRows<TestType> all{together.data(), nullptr, columns};
      conv.run(x.data(), static_cast<std::size_t>(in), 1, 0, samples, all);
      kernel::StoreRows<TestType> single{alone.data(), nullptr, columns};
      for (std::size_t s = 0; s < samples; ++s) conv.run(x.data(), static_cast<std::size_t>(in), 1, s, s + 1, single);
      kernel::StoreRows<TestType> timed{steps.data(), nullptr, columns};
      conv.run(x.data(), static_cast<std::size_t>(in), static_cast<int>(samples), 0, 1, timed);
      CHECK(together == alone);
      CHECK(together == steps);
      double worst = 0;
      for (std::size_t s = 0; s < samples; ++s)
        for (std::size_t o = 0; o < columns; ++o) {
          double sum = 0;
          for (std::size_t i = 0; i < static_cast<std::size_t>(in); ++i)
            sum += static_cast<double>(x[s * static_cast<std::size_t>(in) + i]) *
                   static_cast<double>(w[o * static_cast<std::size_t>(in) + i]);
          worst = std::max(worst, std::abs(sum - static_cast<double>(together[s * columns + o])));
        }
      CHECK(worst < 2e-4);
    }
}
