// Core: random numbers, tensors, buffers, layer lists, parallel loops, errors.
#include "catch.hpp"

#include <spiq/core/checked.hpp>
#include <spiq/core/error.hpp>
#include <spiq/core/pack.hpp>
#include <spiq/core/packing.hpp>
#include <spiq/core/parallel.hpp>
#include <spiq/core/random.hpp>
#include <spiq/core/tensor.hpp>
#include <spiq/version.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

using spiq::Extents;
using spiq::Rng;
using spiq::Shape;
using spiq::Tensor;

namespace {

bool aligned(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % spiq::storage_alignment == 0; }

template <class F>
std::string message_of(const F& f) {
  try {
    f();
  } catch (const spiq::Error& e) {
    return e.what();
  }
  return "nothing was thrown";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

// The three vectors for philox4x32-10 in the file kat_vectors of Random123.
TEST_CASE("Philox gives the known answers of Random123", "[core][random]") {
  using Words = std::array<std::uint32_t, 4>;
  CHECK(spiq::philox4x32({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(spiq::philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}) ==
        Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(spiq::philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
  STATIC_REQUIRE(spiq::philox4x32({0, 0, 0, 0}, {0, 0})[0] == 0x6627e8d5);
}

TEST_CASE("Rng draws the Philox blocks in order", "[core][random]") {
  Rng rng(0x299f31d0a4093822, 0x0370734413198a2e);
  for (std::uint32_t block = 0; block < 3; ++block) {
    const auto expected = spiq::philox4x32({block, 0, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0});
    for (std::size_t i = 0; i < 4; ++i) CHECK(rng.bits() == expected[i]);
  }
}

TEST_CASE("Rng: a copy continues identically, streams and seeds differ", "[core][random]") {
  Rng a(5);
  for (int i = 0; i < 7; ++i) a.bits();
  Rng b = a;
  for (int i = 0; i < 100; ++i) REQUIRE(a.bits() == b.bits());

  const auto first = [](Rng r) { return std::array{r.bits(), r.bits(), r.bits(), r.bits()}; };
  CHECK(first(Rng(1)) != first(Rng(2)));
  CHECK(first(Rng(1, 1)) != first(Rng(1, 2)));
  CHECK(first(Rng(1).split(3)) != first(Rng(1).split(4)));
  CHECK(first(Rng(1).split(3)) == first(Rng(1).split(3)));
  CHECK(first(Rng(1).split(3).split(4)) != first(Rng(1).split(4).split(3)));
  // The position of a generator does not change what it splits into.
  Rng moved(1);
  for (int i = 0; i < 9; ++i) moved.bits();
  CHECK(first(moved.split(3)) == first(Rng(1).split(3)));
}

TEST_CASE("Rng: ranges, mean and variance", "[core][random]") {
  Rng rng(11);
  const int n = 200000;
  double sum = 0, normal_sum = 0, normal_square = 0;
  std::array<int, 7> histogram{};
  for (int i = 0; i < n; ++i) {
    const float u = rng.uniform();
    REQUIRE((u >= 0.0f && u < 1.0f));
    sum += static_cast<double>(u);
    const float v = rng.uniform(-3.0f, 5.0f);
    REQUIRE((v >= -3.0f && v <= 5.0f));
    ++histogram[rng.below(7)];
    const auto g = static_cast<double>(rng.normal());
    REQUIRE(std::isfinite(g));
    normal_sum += g;
    normal_square += g * g;
  }
  // Five standard deviations of each mean.
  CHECK(std::abs(sum / n - 0.5) < 5 * std::sqrt(1.0 / 12 / n));
  CHECK(std::abs(normal_sum / n) < 5 / std::sqrt(n));
  CHECK(std::abs(normal_square / n - 1) < 5 * std::sqrt(2.0 / n));
  for (int count : histogram) CHECK(std::abs(count - n / 7.0) < 5 * std::sqrt(n / 7.0));
  CHECK(Rng(3).below(1) == 0);
}

TEST_CASE("Rng: shuffle permutes, and depends on the seed", "[core][random]") {
  std::vector<int> a(100);
  std::iota(a.begin(), a.end(), 0);
  std::vector<int> b = a;
  const std::vector<int> sorted = a;
  Rng(1).shuffle(std::span<int>(a));
  Rng(2).shuffle(std::span<int>(b));
  CHECK(a != sorted);
  CHECK(a != b);
  CHECK(std::is_permutation(a.begin(), a.end(), sorted.begin()));
  std::vector<int> none;
  Rng(1).shuffle(std::span<int>(none));
  CHECK(none.empty());
}

TEST_CASE("Shape: size, text, validity", "[core][shape]") {
  constexpr Shape s{28, 14, 3};
  STATIC_REQUIRE(s.size() == 28 * 14 * 3);
  STATIC_REQUIRE(s.pixels() == 28 * 14);
  STATIC_REQUIRE(s.valid());
  STATIC_REQUIRE(!Shape{0, 1, 1}.valid());
  CHECK(to_string(s) == "28x14x3");
  STATIC_REQUIRE(spiq::round_up(17, 16) == 32);
  STATIC_REQUIRE(spiq::round_up(16, 16) == 16);
  STATIC_REQUIRE(spiq::round_up(0, 16) == 0);
}

TEST_CASE("Sizes stop at the largest number instead of wrapping round", "[core][checked]") {
  using spiq::saturating_product, spiq::saturating_sum, spiq::strided_extent;
  constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();
  STATIC_REQUIRE(saturating_sum(3, 4) == 7);
  STATIC_REQUIRE(saturating_sum(largest, 0) == largest);
  STATIC_REQUIRE(saturating_sum(largest - 1, 1) == largest);
  STATIC_REQUIRE(saturating_sum(largest, 1) == largest);
  STATIC_REQUIRE(saturating_sum(largest, largest) == largest);
  STATIC_REQUIRE(saturating_product(3, 4) == 12);
  STATIC_REQUIRE(saturating_product(0, largest) == 0);
  STATIC_REQUIRE(saturating_product(largest, 0) == 0);
  STATIC_REQUIRE(saturating_product(largest, 1) == largest);
  STATIC_REQUIRE(saturating_product(largest / 4, 4) == largest - 3);
  STATIC_REQUIRE(saturating_product(largest / 4 + 2, 4) == largest);
  STATIC_REQUIRE(saturating_product(largest, largest) == largest);
  STATIC_REQUIRE(strided_extent(3, 10, 4) == 24);
  STATIC_REQUIRE(strided_extent(1, largest, 4) == 4);
  STATIC_REQUIRE(strided_extent(0, largest, 4) == 0);
  STATIC_REQUIRE(strided_extent(largest, largest, 0) == 0);
  STATIC_REQUIRE(strided_extent(largest / 4 + 2, 4, 4) == largest);
  STATIC_REQUIRE(noexcept(strided_extent(1, 1, 1)));
}

TEST_CASE("Extents: product, comparison, limits", "[core][tensor]") {
  CHECK(Extents{}.size() == 1);
  CHECK(Extents{0, 5}.size() == 0);
  CHECK(Extents{2, 3, 4}.size() == 24);
  CHECK(to_string(Extents{2, 3, 4}) == "(2, 3, 4)");
  CHECK(Extents{2, 3} == Extents{2, 3});
  CHECK(!(Extents{2, 3} == Extents{3, 2}));
  CHECK(!(Extents{2, 3} == Extents{2, 3, 1}));
  const std::size_t huge = std::size_t{1} << 40;
  CHECK_THROWS_AS((Extents{huge, huge}.size()), spiq::Error);
  CHECK_THROWS_AS((Extents{1, 1, 1, 1, 1, 1, 1}), spiq::Error);
  const std::vector<std::size_t> seven(7, 1);
  CHECK(contains(message_of([&] { Extents::from(seven); }), "found 7"));
}

TEST_CASE("Tensor: zeroed, aligned, copied, reshaped", "[core][tensor]") {
  for (std::size_t n : {0u, 1u, 15u, 16u, 17u, 1000u}) {
    const Tensor<float> t({n});
    CHECK(t.size() == n);
    CHECK(aligned(t.data()));
    CHECK(std::all_of(t.span().begin(), t.span().end(), [](float v) { return v == 0.0f; }));
  }
  CHECK(Tensor<int>().size() == 0);

  Tensor<int> t({2, 3, 4});
  std::iota(t.span().begin(), t.span().end(), 0);
  const Tensor<int> copy = t;
  t.fill(7);
  CHECK(copy[5] == 5);
  CHECK(t[5] == 7);
  CHECK(copy.view().slice(1)[0] == 12);
  CHECK(copy.view().slice(1).extents() == Extents{3, 4});
  CHECK(copy.view().slice(1).slice(2)[3] == 23);

  t.reshape({4, 6});
  CHECK(t.extents() == Extents{4, 6});
  const std::string text = message_of([&] { t.reshape({5, 5}); });
  CHECK(contains(text, "expected 24"));
  CHECK(contains(text, "found 25"));
  CHECK(t.extents() == Extents{4, 6});

  t.resize({3, 3});
  CHECK(t.size() == 9);

  const std::vector<int> values{1, 2, 3};
  CHECK(Tensor<int>({3}, values)[2] == 3);
  CHECK(contains(message_of([&] { Tensor<int>({4}, values); }), "expected 4 values, found 3"));
}

TEST_CASE("Tensor: moved from, it is empty in its extents too", "[core][tensor]") {
  Tensor<float> a(Extents{2, 3}), b(Extents{4});
  a[5] = 7;
  Tensor<float> c(std::move(a));
  CHECK(c[5] == 7);
  CHECK(a.size() == 0);              
  CHECK(a.extents() == Extents{0});
  b = std::move(c);
  CHECK(b.extents() == Extents{2, 3});
  CHECK(b[5] == 7);
  CHECK(c.size() == 0);
  CHECK(c.extents() == Extents{0});
  c.resize(Extents{2, 3});
  CHECK(c.size() == 6);
}

TEST_CASE("Tensor: an impossible size is an error, not a small allocation", "[core][tensor]") {
  const std::size_t huge = std::size_t{1} << 33;
  CHECK_THROWS_AS(Tensor<float>({huge, huge}), spiq::Error);
}

TEST_CASE("Buffer: rows, strides and slack of each packing", "[core][packing]") {
  using spiq::Buffer;
  namespace packing = spiq::packing;
  CHECK(Buffer<packing::real>::row_words(1) == 1);
  CHECK(Buffer<packing::real>::row_words(4) == 4);
  CHECK(Buffer<packing::real>::row_words(5) == 16);
  CHECK(Buffer<packing::real>::row_words(17) == 32);
  CHECK(Buffer<packing::by_channel>::row_words(1) == 1);
  CHECK(Buffer<packing::by_channel>::row_words(64) == 1);
  CHECK(Buffer<packing::by_channel>::row_words(65) == 2);

  Buffer<packing::levels> b;
  b.allocate({3, 2, 20}, 4, 5);
  CHECK(b.rows() == 4u * 6u * 5u);
  CHECK(b.sample_rows() == 30);
  CHECK(b.stride == 32);
  CHECK(aligned(b.data.data()));
  CHECK(b.data.size() >= b.rows() * b.stride + 64);
  CHECK(std::all_of(b.data.begin(), b.data.end(), [](auto v) { return v == 0; }));
  CHECK(b.row(7) == b.data.data() + 7 * 32);

  Buffer<packing::fanout<packing::counts, packing::real>> both;
  both.first.allocate({1, 1, 3}, 1, 1);
  CHECK(&spiq::view_as<packing::counts>(both) == &both.first);
  CHECK(&spiq::view_as<packing::real>(both) == &both.second);
  CHECK(&spiq::view_as<packing::levels>(b) == &b);
}

TEST_CASE("Pack: elements by index, in order, without room for empty types", "[core][pack]") {
  struct Empty {};
  using P = spiq::Pack<int, double, Empty, int>;
  STATIC_REQUIRE(spiq::pack_size_v<P> == 4);
  STATIC_REQUIRE(std::is_same_v<spiq::pack_element_t<1, P>, double>);
  STATIC_REQUIRE(std::is_same_v<spiq::pack_element_t<3, P>, int>);
  STATIC_REQUIRE(spiq::pack_size_v<spiq::Pack<>> == 0);
  P p{{1}, {2.5}, {}, {4}};
  CHECK(spiq::get<0>(p) == 1);
  CHECK(spiq::get<1>(p) == 2.5);
  CHECK(spiq::get<3>(p) == 4);
  spiq::get<3>(p) = 9;
  CHECK(spiq::get<3>(std::as_const(p)) == 9);
  std::vector<std::size_t> order;
  spiq::for_each_index<4>([&](auto i) { order.push_back(decltype(i)::value); });
  CHECK(order == std::vector<std::size_t>{0, 1, 2, 3});
}

TEST_CASE("parallel_for covers every index once, for any count, grain and number of threads", "[core][parallel]") {
  for (std::size_t n : {0u, 1u, 2u, 3u, 7u, 64u, 1000u})
    for (std::size_t grain : {0u, 1u, 3u, 64u, 5000u})
      for (int threads : {-1, 0, 1, 2, 3, 7}) {
        std::vector<std::atomic<int>> seen(n);
        std::atomic<int> worst_worker{0};
        spiq::parallel_for(n, grain, threads, [&](std::size_t begin, std::size_t end, int worker) {
          for (std::size_t i = begin; i < end; ++i) ++seen[i];
          int old = worst_worker.load();
          while (old < worker && !worst_worker.compare_exchange_weak(old, worker)) {
          }
        });
        CAPTURE(n, grain, threads);
        REQUIRE(std::all_of(seen.begin(), seen.end(), [](const auto& v) { return v == 1; }));
        REQUIRE(worst_worker.load() < (threads <= 0 ? spiq::max_threads() : threads));
      }
}

TEST_CASE("parallel_for cuts at most ceil(n / grain) ranges, none below half a grain", "[core][parallel]") {
  for (std::size_t n : {1u, 2u, 3u, 9u, 17u, 40u})
    for (std::size_t grain : {0u, 1u, 2u, 7u, 8u, 50u})
      for (int threads : {1, 2, 5}) {
        CAPTURE(n, grain, threads);
        std::atomic<std::size_t> ranges{0}, shortest{n}, longest{0};
        spiq::parallel_for(n, grain, threads, [&](std::size_t begin, std::size_t end, int) {
          const std::size_t length = end - begin;
          ++ranges;
          for (std::size_t old = shortest; length < old && !shortest.compare_exchange_weak(old, length);) {
          }
          for (std::size_t old = longest; length > old && !longest.compare_exchange_weak(old, length);) {
          }
        });
        const std::size_t unit = std::max<std::size_t>(grain, 1);
        REQUIRE(ranges <= (n + unit - 1) / unit);
        REQUIRE(shortest >= std::min(n, grain / 2));
        REQUIRE(longest <= shortest + 1);
#if defined(_OPENMP)
        if (omp_get_thread_limit() >= threads && omp_get_dynamic() == 0)
          REQUIRE(ranges == std::min((n + unit - 1) / unit, static_cast<std::size_t>(threads)));
#endif
      }
}

TEST_CASE("parallel_for inside parallel_for runs, on one thread", "[core][parallel]") {
  std::vector<std::atomic<int>> seen(100);
  spiq::parallel_for(10, 1, 2, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t i = begin; i < end; ++i)
      spiq::parallel_for(10, 1, 4, [&](std::size_t b, std::size_t e, int) {
        for (std::size_t j = b; j < e; ++j) ++seen[i * 10 + j];
      });
  });
  CHECK(std::all_of(seen.begin(), seen.end(), [](const auto& v) { return v == 1; }));
}

TEST_CASE("Error: the sentence says expected and found", "[core][error]") {
  const std::string text = message_of([] { SPIQ_THROW("layer 2", "128 inputs", "64"); });
  CHECK(text == "layer 2: expected 128 inputs, found 64");
}

TEST_CASE("Version: the text agrees with the numbers", "[core][version]") {
  const std::string text = std::to_string(SPIQ_VERSION_MAJOR) + "." + std::to_string(SPIQ_VERSION_MINOR) + "." +
                           std::to_string(SPIQ_VERSION_PATCH);
  CHECK(text == SPIQ_VERSION_STRING);
  CHECK(text == spiq::version());
}
