// bfloat16: conversions of every pattern, and the vector forms against them.
#include "backends.hpp"
#include "catch.hpp"
#include "guarded.hpp"

#include <spiq/core/bfloat16.hpp>
#include <spiq/core/random.hpp>
#include <spiq/simd/bf16.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace simd = spiq::simd;
using spiq::bfloat16;

namespace {
float of_bits(std::uint32_t bits) { return std::bit_cast<float>(bits); }

/// Numbers that round down, up, to even either way, overflow; zeros, infinities, NaN.
std::vector<float> samples() {
  std::vector<float> x;
  for (std::uint32_t high : {0x0000u, 0x3f80u, 0x3f81u, 0x4049u, 0x7f7fu, 0x7f80u, 0x7fc0u, 0x0080u})
    for (std::uint32_t low : {0x0000u, 0x0001u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu})
      for (std::uint32_t sign : {0u, 0x80000000u}) x.push_back(of_bits(sign | (high << 16) | low));
  return x;
}
bool same(bfloat16 a, bfloat16 b) {
  const auto fa = static_cast<float>(a), fb = static_cast<float>(b);
  return (std::isnan(fa) && std::isnan(fb)) || a.bits == b.bits;
}
bool subnormal(float x) { return x != 0 && std::abs(x) < std::numeric_limits<float>::min(); }
}  // namespace

TEST_CASE("every bfloat16 survives the way through float", "[bfloat16]") {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto b = bfloat16::from_bits(static_cast<std::uint16_t>(bits));
    const auto f = static_cast<float>(b);
    if (std::isnan(f)) {
      REQUIRE(std::isnan(static_cast<float>(bfloat16(f))));
    } else {
      REQUIRE(bfloat16(f).bits == bits);
    }
  }
  STATIC_REQUIRE(static_cast<float>(bfloat16(1.5f)) == 1.5f);
}

TEST_CASE("floats round to the nearest bfloat16, ties to even", "[bfloat16]") {
  CHECK(bfloat16(of_bits(0x3f808000)).bits == 0x3f80);
  CHECK(bfloat16(of_bits(0x3f818000)).bits == 0x3f82);
  CHECK(bfloat16(of_bits(0x3f808001)).bits == 0x3f81);
  CHECK(bfloat16(std::numeric_limits<float>::max()).bits == 0x7f80);
  CHECK(bfloat16(-std::numeric_limits<float>::infinity()).bits == 0xff80);
  CHECK(std::isnan(static_cast<float>(bfloat16(of_bits(0x7f800001)))));
  CHECK(std::isnan(static_cast<float>(bfloat16(of_bits(0xffffffff)))));
  spiq::Rng rng(5);
  for (int i = 0; i < 10000; ++i) {
    const float x = rng.uniform(-100.0f, 100.0f);
    const auto y = static_cast<float>(bfloat16(x));
    CHECK(std::abs(y - x) <= std::abs(x) / 256);
  }
}

TEMPLATE_LIST_TEST_CASE("vectors widen and round as the scalar conversion does", "[bfloat16]", spiq_test::Backends) {
  using V = typename simd::traits<TestType>::f32;
  const std::vector<float> x = samples();
  for (int n = 0; n <= V::width; ++n) {
    spiq_test::Guarded<bfloat16> memory(static_cast<std::size_t>(n));
    for (std::size_t start = 0; start + static_cast<std::size_t>(n) <= x.size(); ++start) {
      std::vector<float> lanes(x.begin() + static_cast<std::ptrdiff_t>(start),
                               x.begin() + static_cast<std::ptrdiff_t>(start) + n);
      lanes.resize(static_cast<std::size_t>(V::width));
      simd::store_bf16(V::load(lanes.data()), memory.data(), n);
      for (int i = 0; i < n; ++i)
        REQUIRE(same(memory[static_cast<std::size_t>(i)], bfloat16(lanes[static_cast<std::size_t>(i)])));
      std::vector<float> back(static_cast<std::size_t>(V::width), 7.0f);
      simd::load_bf16<TestType>(memory.data(), n).store(back.data());
      for (int i = 0; i < V::width; ++i) {
        const auto at = static_cast<std::size_t>(i);
        const float expected = i < n ? static_cast<float>(memory[at]) : 0.0f;
        REQUIRE(std::bit_cast<std::uint32_t>(back[at]) == std::bit_cast<std::uint32_t>(expected));
      }
    }
  }
}

TEMPLATE_LIST_TEST_CASE("pairs of bfloat16 and their products", "[bfloat16]", spiq_test::Backends) {
  using V = typename simd::traits<TestType>::f32;
  using I = typename simd::traits<TestType>::i32;
  constexpr std::size_t width = static_cast<std::size_t>(V::width);
  std::vector<float> x = samples();
  spiq::Rng rng(6);
  while (x.size() % width != 0) x.push_back(rng.uniform(-1.0f, 1.0f));
  for (std::size_t at = 0; at + width <= x.size(); at += width) {
    const std::size_t other = x.size() - width - at;
    std::vector<std::int32_t> pairs(width);
    I(pair_bf16(V::load(x.data() + at), V::load(x.data() + other))).store(pairs.data());
    for (std::size_t i = 0; i < width; ++i) {
      const auto bits = static_cast<std::uint32_t>(pairs[i]);
      const auto low = bfloat16::from_bits(static_cast<std::uint16_t>(bits)),
                 high = bfloat16::from_bits(static_cast<std::uint16_t>(bits >> 16));
      if (!subnormal(x[at + i])) REQUIRE(same(low, bfloat16(x[at + i])));
      if (!subnormal(x[other + i])) REQUIRE(same(high, bfloat16(x[other + i])));
    }
  }
  std::vector<float> a(width), b(width), c(width), d(width), acc(width), found(width);
  for (int round = 0; round < 100; ++round) {
    for (auto* v : {&a, &b, &c, &d, &acc})
      for (float& f : *v) f = static_cast<float>(bfloat16(rng.uniform(-4.0f, 4.0f)));
    const I first = pair_bf16(V::load(a.data()), V::load(b.data())),
            second = pair_bf16(V::load(c.data()), V::load(d.data()));
    dot_bf16(V::load(acc.data()), first, second).store(found.data());
    for (std::size_t i = 0; i < width; ++i) REQUIRE(std::abs(found[i] - (acc[i] + a[i] * c[i] + b[i] * d[i])) <= 1e-5f);
  }
}
