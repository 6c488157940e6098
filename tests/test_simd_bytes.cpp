// Products of bytes, set bits and spread spikes of every back-end, against plain arithmetic.
#include <spiq/core/random.hpp>

#include "backends.hpp"
#include "catch.hpp"

#include <bit>
#include <vector>

using namespace spiq;

TEMPLATE_LIST_TEST_CASE("products of bytes never saturate", "[simd]", spiq_test::Backends) {
  using I = typename simd::traits<TestType>::i32;
  constexpr auto width = static_cast<std::size_t>(I::width);
  Rng rng{3};
  for (int round = 0; round < 300; ++round) {
    std::int32_t a[width], b[width], acc[width], found[width];
    for (std::size_t i = 0; i < width; ++i) {
      // The extremes in every place come first.
      a[i] = round == 0 ? -1 : static_cast<std::int32_t>(rng.bits());
      b[i] = round == 0   ? static_cast<std::int32_t>(0x80808080)
             : round == 1 ? 0x7f7f7f7f
                          : static_cast<std::int32_t>(rng.bits());
      acc[i] = static_cast<std::int32_t>(rng.bits());
    }
    simd::dot_u8s8(I::load(acc), I::load(a), I::load(b)).store(found);
    for (std::size_t i = 0; i < width; ++i) {
      std::int64_t sum = acc[i];
      for (int k = 0; k < 32; k += 8)
        sum += std::int64_t{static_cast<std::uint8_t>(static_cast<std::uint32_t>(a[i]) >> k)} *
               static_cast<std::int8_t>(static_cast<std::uint32_t>(b[i]) >> k);
      CHECK(found[i] == static_cast<std::int32_t>(static_cast<std::uint32_t>(sum)));
    }
    simd::popcount(I::load(a)).store(found);
    for (std::size_t i = 0; i < width; ++i) CHECK(found[i] == std::popcount(static_cast<std::uint32_t>(a[i])));
  }
}

TEMPLATE_LIST_TEST_CASE("int16 values widen with their sign", "[simd]", spiq_test::Backends) {
  using I = typename simd::traits<TestType>::i32;
  std::int16_t x[static_cast<std::size_t>(I::width)];
  std::int32_t found[static_cast<std::size_t>(I::width)];
  for (int i = 0; i < I::width; ++i) x[i] = static_cast<std::int16_t>(i % 2 == 0 ? -32768 + i : 32767 - i);
  simd::load_s16<TestType>(x).store(found);
  for (int i = 0; i < I::width; ++i) CHECK(found[i] == x[i]);
}

TEMPLATE_LIST_TEST_CASE("bits as lists and as bytes", "[simd]", spiq_test::Backends) {
  Rng rng{4};
  std::vector<std::uint64_t> words = {0, 1, ~std::uint64_t{0}, std::uint64_t{1} << 63, 0x8000000080000001};
  for (int i = 0; i < 200; ++i) {
    std::uint64_t word = (std::uint64_t{rng.bits()} << 32) | rng.bits();
    if (i % 3 == 0) word &= (std::uint64_t{rng.bits()} << 32) | rng.bits();
    words.push_back(word);
  }
  for (const std::uint64_t word : words) {
    std::uint32_t list[128];
    std::uint8_t bytes[64];
    const int n = simd::list_bits<TestType>(word, 1000, list);
    simd::spread_bits<TestType>(word, bytes);
    REQUIRE(n == std::popcount(word));
    int at = 0;
    for (unsigned bit = 0; bit < 64; ++bit) {
      const bool set = (word >> bit & 1) != 0;
      CHECK(bytes[bit] == (set ? 1 : 0));
      if (set) CHECK(list[at++] == 1000 + bit);
    }
  }
}

TEST_CASE("bits spread to bytes", "[simd]") {
  for (std::uint64_t bits = 0; bits < 256; ++bits) {
    std::uint64_t expected = 0;
    for (int k = 0; k < 8; ++k) expected |= (bits >> k & 1) << 8 * k;
    CHECK(simd::spread_bits(bits | 0xab00) == expected);
  }
}
