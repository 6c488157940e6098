// Every operation of simd::vec on every back-end against plain scalar code.
#include "backends.hpp"
#include "catch.hpp"
#include "guarded.hpp"

#include <spiq/core/random.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>
#include <tuple>
#include <vector>

namespace simd = spiq::simd;

namespace {

constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();
constexpr float inf = std::numeric_limits<float>::infinity();
constexpr int max_width = 16;

/// Equal bits, any NaN being equal to any other.
bool same(float a, float b) {
  std::uint32_t x = 0, y = 0;
  std::memcpy(&x, &a, 4);
  std::memcpy(&y, &b, 4);
  return x == y || (std::isnan(a) && std::isnan(b));
}
bool same(std::int32_t a, std::int32_t b) { return a == b; }

/// Values with all special cases, at least `count`, padded so that every window of a vector is inside.
std::vector<float> float_values(std::uint64_t seed) {
  std::vector<float> values{0.0f,  -0.0f, 1.0f,   -1.0f,    0.5f,    -0.5f,  1.5f,     -1.5f,  2.5f,       -2.5f,
                            inf,   -inf,  1e-40f, -1e-40f,  3.4e38f, 1e-38f, 8388607.5f, -8388607.5f, 1e9f, nan_value,
                            -1e9f, 4.2e9f, -4.2e9f, 1e20f, -1e20f,  0.9999999f, -0.9999999f};
  spiq::Rng rng(seed);
  while (values.size() < 200) values.push_back(rng.uniform(-100.0f, 100.0f));
  rng.shuffle(std::span<float>(values));
  return values;
}
std::vector<std::int32_t> int_values(std::uint64_t seed) {
  std::vector<std::int32_t> values{0, 1, -1, 2147483647, -2147483647 - 1, 65535, -65536, 32767, -32768};
  spiq::Rng rng(seed);
  while (values.size() < 200) values.push_back(static_cast<std::int32_t>(rng.bits()));
  rng.shuffle(std::span<std::int32_t>(values));
  return values;
}
template <class T>
std::vector<T> values_of(std::uint64_t seed) {
  if constexpr (std::is_same_v<T, float>)
    return float_values(seed);
  else
    return int_values(seed);
}

template <class V, class T>
std::array<T, max_width> lanes(const V& v, T) {
  std::array<T, max_width> result{};
  v.store(result.data());
  return result;
}

/// Applies a vector operation and its scalar twin to every window of two arrays; true when all lanes agree.
template <class V, class T, class Op, class Twin>
bool agree(const Op& op, const Twin& twin) {
  const std::vector<T> a = values_of<T>(1), b = values_of<T>(2);
  for (std::size_t i = 0; i + V::width <= a.size(); ++i) {
    const auto found = lanes(op(V::load(&a[i]), V::load(&b[i])), T{});
    for (std::size_t j = 0; j < static_cast<std::size_t>(V::width); ++j)
      if (!same(found[j], twin(a[i + j], b[i + j]))) {
        UNSCOPED_INFO("operands " << a[i + j] << ", " << b[i + j] << "; found " << found[j] << ", expected "
                                  << twin(a[i + j], b[i + j]));
        return false;
      }
  }
  return true;
}

/// The same for comparisons, whose result is a mask.
template <class V, class T, class Op, class Twin>
bool agree_mask(const Op& op, const Twin& twin) {
  const std::vector<T> a = values_of<T>(3), raw = values_of<T>(4);
  std::vector<T> b = raw;
  for (std::size_t i = 0; i < b.size(); i += 3) b[i] = a[i];  // equal operands are rare otherwise
  for (std::size_t i = 0; i + V::width <= a.size(); ++i) {
    std::uint32_t expected = 0;
    for (std::size_t j = 0; j < static_cast<std::size_t>(V::width); ++j)
      expected |= (twin(a[i + j], b[i + j]) ? 1u : 0u) << j;
    if (op(V::load(&a[i]), V::load(&b[i])).bits() != expected) return false;
  }
  return true;
}

std::int32_t wrapped(std::uint32_t x) { return static_cast<std::int32_t>(x); }
std::uint32_t bits_of(std::int32_t x) { return static_cast<std::uint32_t>(x); }

template <class V, class T>
void check_memory() {
  constexpr int width = V::width;
  for (int n = -1; n <= width + 2; ++n) {
    const int held = std::clamp(n, 0, width);
    CAPTURE(n);
    // The last readable element is the last of the first n: reading one more would crash.
    spiq_test::Guarded<T> from(static_cast<std::size_t>(held));
    for (int i = 0; i < held; ++i) from[static_cast<std::size_t>(i)] = static_cast<T>(i + 1);
    const V v = V::load_first(from.data(), n);
    const auto found = lanes(v, T{});
    for (int i = 0; i < width; ++i) REQUIRE(found[static_cast<std::size_t>(i)] == static_cast<T>(i < held ? i + 1 : 0));

    // Writing behind the n-th would crash; before it nothing but the n elements changes.
    spiq_test::Guarded<T> to(static_cast<std::size_t>(held) + 1);
    to[0] = T{77};
    std::array<T, max_width> ramp{};
    for (int i = 0; i < max_width; ++i) ramp[static_cast<std::size_t>(i)] = static_cast<T>(i + 1);
    V::load(ramp.data()).store_first(to.data() + 1, n);
    REQUIRE(to[0] == T{77});
    for (int i = 0; i < held; ++i) REQUIRE(to[static_cast<std::size_t>(i) + 1] == static_cast<T>(i + 1));

    // And elements behind the n-th inside the vector keep their values.
    std::array<T, max_width + 2> kept;
    kept.fill(T{55});
    V::load(ramp.data()).store_first(kept.data(), n);
    for (int i = 0; i < max_width + 2; ++i)
      REQUIRE(kept[static_cast<std::size_t>(i)] == static_cast<T>(i < held ? i + 1 : 55));
  }
  // Whole loads and stores, at every alignment, touch exactly `width` elements.
  spiq_test::Guarded<T> exact(width);
  for (int i = 0; i < width; ++i) exact[static_cast<std::size_t>(i)] = static_cast<T>(i + 3);
  const auto found = lanes(V::load(exact.data()), T{});
  for (int i = 0; i < width; ++i) CHECK(found[static_cast<std::size_t>(i)] == static_cast<T>(i + 3));
  V::broadcast(T{9}).store(exact.data());
  for (int i = 0; i < width; ++i) CHECK(exact[static_cast<std::size_t>(i)] == T{9});
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("vec: loads and stores touch only their elements", "[simd]", spiq_test::Backends) {
  using f32 = typename simd::traits<TestType>::f32;
  using i32 = typename simd::traits<TestType>::i32;
  STATIC_REQUIRE(f32::width == i32::width);
  STATIC_REQUIRE(f32::width == simd::traits<TestType>::width);
  check_memory<f32, float>();
  check_memory<i32, std::int32_t>();
}

TEMPLATE_LIST_TEST_CASE("vec: zero and broadcast fill all lanes", "[simd]", spiq_test::Backends) {
  using f32 = typename simd::traits<TestType>::f32;
  using i32 = typename simd::traits<TestType>::i32;
  const auto zero = lanes(f32::zero(), 0.0f);
  const auto value = lanes(f32::broadcast(-2.5f), 0.0f);
  const auto number = lanes(i32::broadcast(-7), 0);
  for (std::size_t i = 0; i < static_cast<std::size_t>(f32::width); ++i) {
    CHECK(same(zero[i], 0.0f));
    CHECK(value[i] == -2.5f);
    CHECK(number[i] == -7);
  }
}

TEMPLATE_LIST_TEST_CASE("vec: bytes widen and narrow", "[simd]", spiq_test::Backends) {
  using f32 = typename simd::traits<TestType>::f32;
  using i32 = typename simd::traits<TestType>::i32;
  constexpr auto width = static_cast<std::size_t>(f32::width);
  for (int base = 0; base < 256; ++base) {
    spiq_test::Guarded<std::uint8_t> bytes(width);
    for (std::size_t i = 0; i < width; ++i) bytes[i] = static_cast<std::uint8_t>(base + 13 * static_cast<int>(i));
    const auto as_float = lanes(f32::load_u8(bytes.data()), 0.0f);
    const auto as_int = lanes(i32::load_u8(bytes.data()), 0);
    for (std::size_t i = 0; i < width; ++i) {
      REQUIRE(as_float[i] == static_cast<float>(bytes[i]));
      REQUIRE(as_int[i] == static_cast<std::int32_t>(bytes[i]));
    }
    spiq_test::Guarded<std::uint8_t> back(width);
    i32::load_u8(bytes.data()).store_u8(back.data());
    REQUIRE(std::equal(back.data(), back.data() + width, bytes.data()));
  }
}

TEMPLATE_LIST_TEST_CASE("vec: float arithmetic is that of scalar code, bit by bit", "[simd]", spiq_test::Backends) {
  using V = typename simd::traits<TestType>::f32;
  CHECK(agree<V, float>([](V a, V b) { return a + b; }, [](float a, float b) { return a + b; }));
  CHECK(agree<V, float>([](V a, V b) { return a - b; }, [](float a, float b) { return a - b; }));
  CHECK(agree<V, float>([](V a, V b) { return a * b; }, [](float a, float b) { return a * b; }));
  CHECK(agree<V, float>([](V a, V b) { return a / b; }, [](float a, float b) { return a / b; }));
  CHECK(agree<V, float>([](V a, V) { return simd::sqrt(a); }, [](float a, float) { return std::sqrt(a); }));
  // Without a rounding instruction, floor(-0) may come out as +0; adding 0 makes both the same.
  CHECK(agree<V, float>([](V a, V) { return simd::floor(a) + V::zero(); }, [](float a, float) { return std::floor(a) + 0.0f; }));
}

TEMPLATE_LIST_TEST_CASE("vec: int32 arithmetic wraps", "[simd]", spiq_test::Backends) {
  using V = typename simd::traits<TestType>::i32;
  using I = std::int32_t;
  CHECK(agree<V, I>([](V a, V b) { return a + b; }, [](I a, I b) { return wrapped(bits_of(a) + bits_of(b)); }));
  CHECK(agree<V, I>([](V a, V b) { return a - b; }, [](I a, I b) { return wrapped(bits_of(a) - bits_of(b)); }));
  CHECK(agree<V, I>([](V a, V b) { return a * b; }, [](I a, I b) { return wrapped(bits_of(a) * bits_of(b)); }));
}

TEMPLATE_LIST_TEST_CASE("vec: comparisons, false for NaN", "[simd]", spiq_test::Backends) {
  const auto check = [](auto zero) {
    using T = decltype(zero);
    using V = simd::vec<T, TestType>;
    CHECK(agree_mask<V, T>([](V a, V b) { return a >= b; }, [](T a, T b) { return a >= b; }));
    CHECK(agree_mask<V, T>([](V a, V b) { return a > b; }, [](T a, T b) { return a > b; }));
    CHECK(agree_mask<V, T>([](V a, V b) { return a < b; }, [](T a, T b) { return a < b; }));
    CHECK(agree_mask<V, T>([](V a, V b) { return a <= b; }, [](T a, T b) { return a <= b; }));
    CHECK(agree_mask<V, T>([](V a, V b) { return a == b; }, [](T a, T b) { return a == b; }));
    CHECK(agree_mask<V, T>([](V a, V b) { return (a >= b) & (a <= b); }, [](T a, T b) { return a >= b && a <= b; }));
    CHECK(agree_mask<V, T>([](V a, V b) { return (a > b) | (a < b); }, [](T a, T b) { return a > b || a < b; }));
  };
  check(0.0f);
  check(std::int32_t{0});
}

TEMPLATE_LIST_TEST_CASE("vec: min and max give the second operand for NaN and for zeros", "[simd]", spiq_test::Backends) {
  const auto check = [](auto zero) {
    using T = decltype(zero);
    using V = simd::vec<T, TestType>;
    CHECK(agree<V, T>([](V a, V b) { return simd::min(a, b); }, [](T a, T b) { return a < b ? a : b; }));
    CHECK(agree<V, T>([](V a, V b) { return simd::max(a, b); }, [](T a, T b) { return a > b ? a : b; }));
    CHECK(agree<V, T>([](V a, V b) { return simd::select(a > b, a, b); }, [](T a, T b) { return a > b ? a : b; }));
  };
  check(0.0f);
  check(std::int32_t{0});

  using V = simd::vec<float, TestType>;
  const V nan = V::broadcast(nan_value), one = V::broadcast(1.0f);
  CHECK(lanes(simd::min(nan, one), 0.0f)[0] == 1.0f);
  CHECK(lanes(simd::max(nan, one), 0.0f)[0] == 1.0f);
  CHECK(std::isnan(lanes(simd::min(one, nan), 0.0f)[0]));
  CHECK(std::isnan(lanes(simd::max(one, nan), 0.0f)[0]));
  CHECK(same(lanes(simd::max(V::broadcast(0.0f), V::broadcast(-0.0f)), 0.0f)[0], -0.0f));
  CHECK(same(lanes(simd::min(V::broadcast(-0.0f), V::broadcast(0.0f)), 0.0f)[0], 0.0f));
}

TEMPLATE_LIST_TEST_CASE("vec: masks move between float and int32", "[simd]", spiq_test::Backends) {
  using F = simd::vec<float, TestType>;
  using I = simd::vec<std::int32_t, TestType>;
  constexpr std::uint32_t all = (1u << (F::width - 1) << 1) - 1u;
  for (std::uint32_t pattern : {0u, all, 0x5555u & all, 0x8421u & all, 0x1u}) {
    std::array<float, max_width> f{};
    std::array<std::int32_t, max_width> n{};
    for (std::size_t i = 0; i < static_cast<std::size_t>(F::width); ++i) {
      f[i] = (pattern >> i & 1u) != 0 ? 1.0f : -1.0f;
      n[i] = (pattern >> i & 1u) != 0 ? 1 : -1;
    }
    const auto fm = F::load(f.data()) > F::zero();
    const auto im = I::load(n.data()) > I::zero();
    CHECK(fm.bits() == pattern);
    CHECK(im.bits() == pattern);
    CHECK(simd::as_i32(fm).bits() == pattern);
    CHECK(simd::as_f32(im).bits() == pattern);
    const auto chosen = lanes(simd::select(simd::as_i32(fm), I::broadcast(5), I::broadcast(6)), 0);
    for (std::size_t i = 0; i < static_cast<std::size_t>(F::width); ++i) CHECK(chosen[i] == ((pattern >> i & 1u) != 0 ? 5 : 6));
  }
}

TEMPLATE_LIST_TEST_CASE("vec: fma rounds once where the flags promise it, rounded() keeps a product apart", "[simd]", spiq_test::Backends) {
  using V = typename simd::traits<TestType>::f32;
#if defined(__FMA__) || defined(__aarch64__)
  constexpr bool fused = std::string_view(TestType::name) != "sse2";
#else
  constexpr bool fused = false;
#endif
  spiq::Rng rng(9);
  for (int round = 0; round < 200; ++round) {
    std::array<float, max_width> a{}, b{}, c{};
    for (std::size_t i = 0; i < max_width; ++i) {
      a[i] = rng.uniform(-2.0f, 2.0f);
      b[i] = rng.uniform(-2.0f, 2.0f);
      c[i] = -a[i] * b[i] * (round % 2 == 0 ? 1.0f : 0.5f);  // cancellation shows the second rounding
    }
    const V va = V::load(a.data()), vb = V::load(b.data()), vc = V::load(c.data());
    const auto found = lanes(simd::fma(va, vb, vc), 0.0f);
    const auto separate = lanes(simd::rounded(va * vb) + vc, 0.0f);
    for (std::size_t i = 0; i < static_cast<std::size_t>(V::width); ++i) {
      const float once = std::fma(a[i], b[i], c[i]);
      volatile float product = a[i] * b[i];
      const float twice = product + c[i];
      REQUIRE(found[i] == (fused ? once : twice));
      REQUIRE(separate[i] == twice);
    }
  }
}

TEMPLATE_LIST_TEST_CASE("vec: conversions", "[simd]", spiq_test::Backends) {
  using F = typename simd::traits<TestType>::f32;
  using I = typename simd::traits<TestType>::i32;
  spiq::Rng rng(4);
  for (int round = 0; round < 100; ++round) {
    std::array<float, max_width> f{};
    std::array<std::int32_t, max_width> n{};
    for (std::size_t i = 0; i < max_width; ++i) {
      f[i] = rng.uniform(-1.0f, 1.0f) * (round % 3 == 0 ? 2.0f : round % 3 == 1 ? 1e6f : 2.1e9f);
      n[i] = static_cast<std::int32_t>(rng.bits()) >> (round % 24);
    }
    f[0] = -0.75f;
    f[max_width - 1] = 1.99f;
    const auto truncated = lanes(simd::to_i32(F::load(f.data())), 0);
    const auto widened = lanes(simd::to_f32(I::load(n.data())), 0.0f);
    for (std::size_t i = 0; i < static_cast<std::size_t>(F::width); ++i) {
      REQUIRE(truncated[i] == static_cast<std::int32_t>(f[i]));
      REQUIRE(widened[i] == static_cast<float>(n[i]));
    }
  }
}

TEMPLATE_LIST_TEST_CASE("vec: reductions over the lanes", "[simd]", spiq_test::Backends) {
  using F = typename simd::traits<TestType>::f32;
  using I = typename simd::traits<TestType>::i32;
  constexpr auto width = static_cast<std::size_t>(F::width);
  spiq::Rng rng(8);
  for (int round = 0; round < 100; ++round) {
    std::array<float, max_width> f{};
    std::array<std::int32_t, max_width> n{};
    std::uint32_t sum = 0;
    float whole = 0;
    for (std::size_t i = 0; i < width; ++i) {
      f[i] = static_cast<float>(static_cast<int>(rng.below(2001)) - 2000);  // integers: every order gives the same sum
      n[i] = static_cast<std::int32_t>(rng.bits());
      sum += bits_of(n[i]);
      whole += f[i];
    }
    REQUIRE(simd::reduce_add(F::load(f.data())) == whole);
    REQUIRE(simd::reduce_add(I::load(n.data())) == wrapped(sum));
    REQUIRE(simd::reduce_max(F::load(f.data())) == *std::max_element(f.begin(), f.begin() + width));
    REQUIRE(simd::reduce_max(I::load(n.data())) == *std::max_element(n.begin(), n.begin() + width));
  }
}

TEMPLATE_LIST_TEST_CASE("vec: dot_s16 adds two products per lane and wraps", "[simd]", spiq_test::Backends) {
  using I = typename simd::traits<TestType>::i32;
  spiq::Rng rng(6);
  const std::array<std::int16_t, 5> special{-32768, 32767, -1, 0, 1};
  for (int round = 0; round < 500; ++round) {
    std::array<std::int32_t, max_width> acc{};
    std::array<std::int16_t, 2 * max_width> a{}, b{};
    const auto draw = [&] {
      return rng.below(3) == 0 ? special[rng.below(5)] : static_cast<std::int16_t>(rng.bits() & 0xffffu);
    };
    for (auto& v : a) v = draw();
    for (auto& v : b) v = draw();
    for (auto& v : acc) v = static_cast<std::int32_t>(rng.bits());
    std::array<std::int32_t, max_width> pa{}, pb{};
    std::memcpy(pa.data(), a.data(), sizeof a);
    std::memcpy(pb.data(), b.data(), sizeof b);
    const auto found = lanes(simd::dot_s16(I::load(acc.data()), I::load(pa.data()), I::load(pb.data())), 0);
    for (std::size_t i = 0; i < static_cast<std::size_t>(I::width); ++i) {
      const std::uint32_t expected = bits_of(acc[i]) + bits_of(a[2 * i] * b[2 * i]) + bits_of(a[2 * i + 1] * b[2 * i + 1]);
      REQUIRE(found[i] == wrapped(expected));
    }
  }
}

TEST_CASE("back-ends: scalar is always there, the best one comes last", "[simd]") {
  constexpr std::size_t count = std::tuple_size_v<spiq_test::Backends>;
  STATIC_REQUIRE(std::is_same_v<std::tuple_element_t<0, spiq_test::Backends>, simd::scalar>);
  STATIC_REQUIRE(std::is_same_v<std::tuple_element_t<count - 1, spiq_test::Backends>, simd::best>);
}
