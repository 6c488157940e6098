// Sparse weights, spikes by lane and their product, against plain loops.
#include "backends.hpp"
#include "catch.hpp"

#include <spiq/core/random.hpp>
#include <spiq/sparse/dual_sparse.hpp>
#include <spiq/sparse/dual_sparse_list.hpp>
#include <spiq/sparse/dual_sparse_vector.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

using namespace spiq;

namespace {

template <class V>
std::vector<V> random_weights(std::size_t n, double density, Rng rng, int largest = 127) {
  std::vector<V> w(n);
  for (V& v : w)
    if (rng.uniform() < density) {
      const int i = static_cast<int>(rng.below(static_cast<std::uint32_t>(2 * largest + 1))) - largest;
      v = std::is_same_v<V, float> ? static_cast<V>(static_cast<float>(i) * 0.013f) : static_cast<V>(i);
    }
  return w;
}
std::vector<std::uint8_t> random_spikes(std::size_t n, double density, Rng rng) {
  std::vector<std::uint8_t> s(n);
  for (auto& b : s) b = rng.uniform() < density;
  return s;
}

template <class V, int T, class Arch>
void check_product(std::size_t positions, std::size_t inputs, std::size_t outputs, double weights, double spikes,
                   int largest = 127) {
  INFO("M " << positions << " K " << inputs << " N " << outputs << " T " << T << " " << Arch::name);
  const Rng rng(positions * 1000 + inputs * 10 + outputs + T);
  const auto w = random_weights<V>(outputs * inputs, weights, rng.split(0), largest);
  const auto s = random_spikes(positions * inputs * T, spikes, rng.split(1));
  const DualSparse<V, Arch> product(RowSparse<V>::pack(outputs, inputs, w));
  const auto x = SpikeWords<T>::pack(positions, inputs, s);
  using Sum = std::conditional_t<std::is_same_v<V, float>, float, std::int64_t>;
  constexpr std::size_t slot = SpikeWords<T>::slot, tile_positions = SpikeWords<T>::tile_positions;
  std::size_t calls = 0, wrong = 0, wide = 0;
  auto scratch = product.scratch();
  const auto sink = [&](const auto* sums, std::size_t n, std::size_t tile) {
    ++calls;
    wide += std::is_same_v<decltype(sums), const std::int32_t*>;
    for (std::size_t lane = 0; lane < 64; ++lane) {
      const std::size_t p = tile * tile_positions + lane / slot, t = lane % slot;
      Sum expected = 0;
      if (p < positions && t < T)
        for (std::size_t k = 0; k < inputs; ++k)
          if (s[(p * inputs + k) * T + t] != 0) expected += static_cast<Sum>(w[n * inputs + k]);
      wrong += static_cast<Sum>(sums[lane]) != expected;
    }
  };
  const std::size_t half = x.tiles() / 2;
  product.run(x, 0, half, sink, scratch);
  product.run(x, half, x.tiles(), sink, scratch);
  CHECK(calls == x.tiles() * outputs);
  CHECK(wrong == 0);
  if constexpr (!std::is_same_v<V, float>) CHECK(wide <= (outputs - product.narrow_outputs()) * x.tiles());
}

template <int T>
void round_trip() {
  for (const std::size_t positions : {0u, 1u, 3u, 17u, 65u})
    for (const std::size_t inputs : {0u, 1u, 5u, 33u}) {
      const auto s = random_spikes(positions * inputs * T, 0.3, Rng(positions + inputs));
      const auto words = SpikeWords<T>::pack(positions, inputs, s);
      std::vector<std::uint8_t> back(s.size(), 9);
      words.unpack(back);
      CHECK(back == s);
      SpikeWords<T> built(positions, inputs);
      std::size_t silent = 0, count = 0;
      for (std::size_t p = 0; p < positions; ++p)
        for (std::size_t k = 0; k < inputs; ++k) {
          std::uint64_t bits = 0;
          for (std::size_t t = 0; t < T; ++t) bits |= std::uint64_t{s[(p * inputs + k) * T + t]} << t;
          built.set(p, k, ~std::uint64_t{0} >> (64 - T));
          built.set(p, k, bits);
          silent += bits == 0;
          for (std::size_t t = 0; t < T; ++t) count += s[(p * inputs + k) * T + t];
          CHECK(words.at(p, k) == bits);
        }
      for (std::size_t i = 0; i < words.tiles(); ++i)
        CHECK(std::equal(words.tile(i).begin(), words.tile(i).end(), built.tile(i).begin()));
      const double all = static_cast<double>(positions * inputs);
      CHECK(words.silent_ratio() == (all == 0 ? 0 : static_cast<double>(silent) / all));
      CHECK(words.density() == (all == 0 ? 0 : static_cast<double>(count) / (all * T)));
    }
}

}  // namespace

TEST_CASE("spike words come back as they went in, for every number of steps", "[sparse]") {
  round_trip<1>();
  round_trip<2>();
  round_trip<3>();
  round_trip<4>();
  round_trip<7>();
  round_trip<16>();
  round_trip<32>();
  round_trip<33>();
  round_trip<64>();
  CHECK_THROWS_AS(SpikeWords<4>::pack(2, 3, std::vector<std::uint8_t>(23)), Error);
  SpikeWords<3> words(2, 2);
  CHECK_THROWS_AS(words.set(0, 0, 8), Error);
  CHECK_THROWS_AS(words.set(2, 0, 1), Error);
  CHECK_THROWS_AS(words.set(0, 2, 1), Error);
  std::vector<std::uint8_t> small(11);
  CHECK_THROWS_AS(words.unpack(small), Error);
}

TEST_CASE("sparse weights come back as they went in", "[sparse]") {
  const auto w = random_weights<float>(7 * 31, 0.2, Rng(1));
  const auto packed = RowSparse<float>::pack(7, 31, w);
  std::vector<float> back(w.size(), 9.0f);
  packed.unpack(back);
  CHECK(back == w);
  CHECK(packed.nonzeros() ==
        static_cast<std::size_t>(std::count_if(w.begin(), w.end(), [](float v) { return v != 0; })));
  // Indices above 65535.
  std::vector<std::int8_t> wide(2 * 65537);
  wide[65535] = 3;
  wide[65536] = 4;
  wide[65537 + 65536] = -5;
  const auto far = RowSparse<std::int8_t>::pack(2, 65537, wide);
  std::vector<std::int8_t> far_back(wide.size());
  far.unpack(far_back);
  CHECK(far_back == wide);
  CHECK(far.place(1) == 65536);
  CHECK_THROWS_AS(RowSparse<float>::pack(7, 30, w), Error);
  std::vector<float> infinite{1, std::numeric_limits<float>::infinity()};
  CHECK_THROWS_AS(RowSparse<float>::pack(1, 2, infinite), Error);
  CHECK(RowSparse<float>::pack(0, 5, {}).density() == 0);
}

TEMPLATE_LIST_TEST_CASE("dual-sparse sums equal those of plain loops, every bit", "[sparse]", spiq_test::Backends) {
  using Arch = TestType;
  check_product<float, 4, Arch>(16, 70, 9, 0.1, 0.3);
  check_product<float, 4, Arch>(17, 70, 9, 0.5, 0.3);
  check_product<float, 1, Arch>(65, 33, 5, 0.2, 0.5);
  check_product<float, 3, Arch>(5, 40, 3, 0.9, 0.9);
  check_product<float, 16, Arch>(9, 40, 3, 0.3, 0.2);
  check_product<float, 64, Arch>(2, 40, 3, 0.3, 0.2);
  check_product<float, 4, Arch>(1, 0, 3, 0.3, 0.2);
  check_product<float, 4, Arch>(0, 8, 3, 0.3, 0.2);
  check_product<std::int8_t, 4, Arch>(33, 700, 4, 0.5, 0.7);
  check_product<std::int16_t, 8, Arch>(9, 70, 6, 0.5, 0.5, 32767);
  check_product<std::int16_t, 32, Arch>(3, 65, 6, 1.0, 1.0, 900);
  check_product<std::int8_t, 33, Arch>(3, 65, 2, 0.0, 0.5);
}

template <class V, int T, class Arch>
static void check_vector(std::size_t inputs, std::size_t outputs, double weights, double spikes) {
  INFO("K " << inputs << " N " << outputs << " T " << T << " " << Arch::name);
  const Rng rng(inputs * 10 + outputs + T);
  const auto w = random_weights<V>(outputs * inputs, weights, rng.split(0));
  const auto s = random_spikes(inputs * T, spikes, rng.split(1));
  using Product = DualSparseVector<V, Arch>;
  const Product product(ColumnSparse<V>::pack(outputs, inputs, w));
  std::vector<V> back(w.size());
  product.weights().unpack(back);
  CHECK(back == w);
  constexpr std::size_t slot = SpikeWords<T>::slot;
  std::vector<typename Product::sum> sums(outputs * slot, 77);
  product.run(SpikeWords<T>::pack(1, inputs, s), sums);
  std::size_t wrong = 0;
  for (std::size_t n = 0; n < outputs; ++n)
    for (std::size_t t = 0; t < slot; ++t) {
      typename Product::sum expected = 0;
      for (std::size_t k = 0; k < inputs && t < T; ++k)
        if (s[k * T + t] != 0) expected += static_cast<typename Product::sum>(w[n * inputs + k]);
      wrong += sums[n * slot + t] != expected;
    }
  CHECK(wrong == 0);
}
TEMPLATE_LIST_TEST_CASE("dual-sparse sums of one sample equal those of plain loops, every bit", "[sparse]",
                        spiq_test::Backends) {
  using Arch = TestType;
  check_vector<float, 4, Arch>(70, 33, 0.2, 0.3);
  check_vector<float, 1, Arch>(70, 33, 0.2, 0.3);
  check_vector<float, 2, Arch>(70, 33, 0.9, 0.9);
  check_vector<float, 3, Arch>(70, 5, 0.2, 0.1);
  check_vector<float, 8, Arch>(50, 7, 0.2, 0.3);
  check_vector<float, 16, Arch>(50, 7, 0.2, 0.05);
  check_vector<float, 64, Arch>(50, 7, 0.2, 0.05);
  check_vector<float, 4, Arch>(0, 7, 0.2, 0.05);
  check_vector<std::int8_t, 4, Arch>(70, 33, 0.5, 0.5);
  check_vector<std::int16_t, 32, Arch>(70, 3, 0.5, 0.5);
}

// The list walk against the walk over words, which the loops above check.
template <class V, int T, class Arch>
static void check_list(std::size_t positions, std::size_t inputs, std::size_t outputs, double weights, double spikes,
                       int largest = 127) {
  INFO("M " << positions << " K " << inputs << " N " << outputs << " T " << T << " " << Arch::name);
  const Rng rng(positions * 1000 + inputs * 10 + outputs + T);
  const auto w =
      RowSparse<V>::pack(outputs, inputs, random_weights<V>(outputs * inputs, weights, rng.split(0), largest));
  const auto words =
      SpikeWords<T>::pack(positions, inputs, random_spikes(positions * inputs * T, spikes, rng.split(1)));
  const SpikeFiber<T> fiber(words);
  constexpr std::size_t slot = SpikeWords<T>::slot;
  std::vector<double> expected(outputs * words.tiles() * 64), found(outputs * positions * slot, 99);
  const DualSparse<V, Arch> dense(w);
  auto scratch = dense.scratch();
  dense.run(
      words, 0, words.tiles(),
      [&](const auto* s, std::size_t n, std::size_t tile) {
        for (std::size_t i = 0; i < 64; ++i) expected[(n * words.tiles() + tile) * 64 + i] = static_cast<double>(s[i]);
      },
      scratch);
  const DualSparseList<V, Arch> list(w);
  auto own = list.scratch(fiber);
  const auto sink = [&](const auto* s, std::size_t n) {
    for (std::size_t i = 0; i < positions * slot; ++i) found[n * positions * slot + i] = static_cast<double>(s[i]);
  };
  list.run(fiber, 0, outputs / 2, sink, own);
  list.run(fiber, outputs / 2, outputs, sink, own);
  std::size_t wrong = 0;
  for (std::size_t n = 0; n < outputs; ++n)
    for (std::size_t i = 0; i < positions * slot; ++i)
      wrong += found[n * positions * slot + i] != expected[n * words.tiles() * 64 + i];
  CHECK(wrong == 0);
}
TEMPLATE_LIST_TEST_CASE("the list walk gives the sums of the walk over words, every bit", "[sparse]",
                        spiq_test::Backends) {
  using Arch = TestType;
  check_list<float, 16, Arch>(9, 40, 5, 0.3, 0.05);
  check_list<float, 12, Arch>(5, 40, 5, 0.3, 0.5);
  check_list<float, 32, Arch>(3, 70, 2, 0.5, 0.1);
  check_list<float, 64, Arch>(2, 30, 3, 0.5, 0.1);
  check_list<std::int16_t, 16, Arch>(9, 65, 4, 1.0, 0.9, 900);
  check_list<std::int8_t, 32, Arch>(3, 700, 3, 0.5, 0.7);
  check_list<std::int8_t, 64, Arch>(3, 70, 3, 0.5, 0.1);
  check_list<std::int8_t, 16, Arch>(0, 70, 3, 0.5, 0.1);
  check_list<std::int8_t, 16, Arch>(3, 0, 3, 0.5, 0.1);
}

TEST_CASE("a spike fiber holds what is not silent, in the bits that LoAS counts", "[sparse]") {
  const auto words = SpikeWords<4>::pack(37, 29, random_spikes(37 * 29 * 4, 0.1, Rng(8)));
  const SpikeFiber<4> fiber(words);
  const auto back = fiber.unpack();
  for (std::size_t i = 0; i < words.tiles(); ++i)
    CHECK(std::equal(words.tile(i).begin(), words.tile(i).end(), back.tile(i).begin()));
  const double silent = words.silent_ratio(), neurons = 37 * 29;
  CHECK(static_cast<double>(fiber.entries()) == Approx((1 - silent) * neurons));
  // 1 + (1 - s) T bits a neuron, and the pointers.
  CHECK(static_cast<double>(fiber.storage_bits() - 3 * 32) == Approx(neurons * (1 + (1 - silent) * 4)));
  CHECK_THROWS_AS(SpikeFiber<4>(SpikeWords<4>(65537, 1)), Error);
}

TEMPLATE_LIST_TEST_CASE("int16 sums are emptied at the very edge", "[sparse]", spiq_test::Backends) {
  // 258 weights of 127 fit into int16, 259 do not; all spikes set.
  for (const std::size_t inputs : {258u, 259u, 517u, 1000u}) {
    for (const int v : {127, -127}) {
      const std::vector<std::int8_t> w(inputs, static_cast<std::int8_t>(v));
      const DualSparse<std::int8_t, TestType> product(RowSparse<std::int8_t>::pack(1, inputs, w));
      CHECK(product.narrow_outputs() == (inputs == 258 ? 1 : 0));
      const auto x = SpikeWords<4>::pack(16, inputs, std::vector<std::uint8_t>(16 * inputs * 4, 1));
      auto scratch = product.scratch();
      std::vector<std::int64_t> sums;
      product.run(
          x, 0, 1, [&](const auto* s, std::size_t, std::size_t) { sums.assign(s, s + 64); }, scratch);
      CHECK(sums == std::vector<std::int64_t>(64, std::int64_t{v} * static_cast<std::int64_t>(inputs)));
    }
  }
}

TEST_CASE("permuted steps give permuted sums; spikes at all steps the sums of the rows", "[sparse]") {
  constexpr std::size_t positions = 5, inputs = 50, outputs = 4;
  const auto w = random_weights<std::int16_t>(outputs * inputs, 0.3, Rng(3));
  const auto s = random_spikes(positions * inputs * 4, 0.4, Rng(4));
  auto turned = s;
  constexpr std::size_t order[] = {2, 0, 3, 1};
  for (std::size_t i = 0; i < positions * inputs; ++i)
    for (std::size_t t = 0; t < 4; ++t) turned[i * 4 + t] = s[i * 4 + order[t]];
  const DualSparse<std::int16_t> product(RowSparse<std::int16_t>::pack(outputs, inputs, w));
  const auto sums = [&](const std::vector<std::uint8_t>& spikes) {
    std::vector<std::int64_t> all(outputs * 64);
    auto scratch = product.scratch();
    product.run(
        SpikeWords<4>::pack(positions, inputs, spikes), 0, 1,
        [&](const auto* v, std::size_t n, std::size_t) {
          std::copy_n(v, 64, all.begin() + static_cast<std::ptrdiff_t>(n * 64));
        },
        scratch);
    return all;
  };
  const auto plain = sums(s), other = sums(turned), full = sums(std::vector<std::uint8_t>(s.size(), 1));
  for (std::size_t n = 0; n < outputs; ++n) {
    std::int64_t row = 0;
    for (std::size_t k = 0; k < inputs; ++k) row += w[n * inputs + k];
    for (std::size_t p = 0; p < positions; ++p)
      for (std::size_t t = 0; t < 4; ++t) {
        CHECK(other[n * 64 + p * 4 + t] == plain[n * 64 + p * 4 + order[t]]);
        CHECK(full[n * 64 + p * 4 + t] == row);
      }
  }
}
