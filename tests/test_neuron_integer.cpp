// Integer neurons against a loop in int, their saturation, and the proof that there is none.
#include "catch.hpp"

#include <spiq/core/random.hpp>
#include <spiq/neuron/integer.hpp>

#include "backends.hpp"

#include <vector>

using namespace spiq;

namespace {

/// What is documented, in int, one neuron after the other.
template <class T, class Reset>
struct Reference {
  std::vector<T> state;
  std::vector<bool> spikes;  // [steps][n]
  int low = 0, high = 0;     // of potentials before the reset, without an end to the range
  Reference(const neuron::IntegerNeuron<T, Reset>& m, std::size_t steps, const std::vector<T>& x, std::vector<T> start,
            bool saturates = true)
      : state(std::move(start)), spikes(x.size()) {
    const std::size_t n = state.size();
    for (std::size_t i = 0; i < n; ++i) {
      int v = state[i];
      for (std::size_t t = 0; t < steps; ++t) {
        if (m.shift > 0) {
          int down = v / (1 << m.shift);
          if (v % (1 << m.shift) < 0) --down;
          v -= down;
        }
        v += x[t * n + i];
        low = std::min(low, v);
        high = std::max(high, v);
        if (saturates)
          v = std::min<int>(std::max<int>(v, std::numeric_limits<T>::min()), std::numeric_limits<T>::max());
        const bool fires = v >= m.threshold;
        spikes[t * n + i] = fires;
        if (fires) v = m.soft ? v - m.threshold : m.reset_value;
      }
      state[i] = static_cast<T>(v);
    }
  }
};

template <class T>
std::vector<T> random(std::size_t n, int low, int high, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<T> x(n);
  for (T& v : x) v = static_cast<T>(low + static_cast<int>(rng.uniform() * static_cast<float>(high - low + 1)));
  return x;
}

template <class Arch, class T, class Reset>
void check(const neuron::IntegerNeuron<T, Reset>& m, std::size_t n, std::size_t steps, int low, int high,
           std::uint64_t seed) {
  const auto x = random<T>(steps * n, low, high, seed), start = random<T>(n, low, high, seed + 1);
  const Reference<T, Reset> expected(m, steps, x, start);
  auto state = start;
  std::vector<std::uint64_t> words(steps * neuron::spike_words(n), ~std::uint64_t{0});
  neuron::run<Arch>(m, steps, n, std::span<const T>(x), std::span<T>(state), std::span<std::uint64_t>(words));
  REQUIRE(state == expected.state);
  std::size_t wrong = 0;
  const std::size_t row = neuron::spike_words(n);
  for (std::size_t t = 0; t < steps; ++t)
    for (std::size_t i = 0; i < 64 * row; ++i)
      wrong += ((words[t * row + i / 64] >> (i % 64) & 1) != 0) != (i < n && expected.spikes[t * n + i]) ? 1 : 0;
  REQUIRE(wrong == 0);
}

template <class Arch, class T>
void check_all() {
  constexpr int most = std::numeric_limits<T>::max();
  std::uint64_t seed = 1;
  for (const std::size_t n : {1u, 7u, 8u, 63u, 64u, 65u, 200u, 512u, 1100u})
    for (const std::size_t steps : {1u, 3u, 8u}) {
      // Without, and with potentials at both ends of the range.
      for (const int reach : {most / 8, most}) {
        for (const int shift : {0, 1, 3, 7}) {
          check<Arch>(neuron::IntegerNeuron<T>{.threshold = 60, .shift = shift}, n, steps, -reach, reach, ++seed);
          check<Arch>(neuron::IntegerNeuron<T, reset::Hard>{.threshold = 60, .shift = shift, .reset_value = -5}, n,
                      steps, -reach, reach, ++seed);
        }
      }
    }
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("integer neurons equal a loop in int", "[neuron][integer]", spiq_test::Backends) {
  check_all<TestType, std::int8_t>();
  check_all<TestType, std::int16_t>();
}

TEMPLATE_LIST_TEST_CASE("narrow vectors, over all pairs of bytes", "[simd]", spiq_test::Backends) {
  using V = simd::narrow<std::int8_t, TestType>;
  using W = simd::narrow<std::int16_t, TestType>;
  std::size_t wrong = 0;
  const auto clamp = [](int x, int low, int high) { return std::min(std::max(x, low), high); };
  for (int a = -128; a < 128; ++a) {
    std::int8_t row[256], sum[256], difference[256], chosen[256];
    std::int16_t wide[256], wide_sum[256], wide_difference[256];
    for (int b = 0; b < 256; ++b)
      row[b] = static_cast<std::int8_t>(b - 128), wide[b] = static_cast<std::int16_t>((b - 128) * 257);
    const auto left = V::broadcast(static_cast<std::int8_t>(a));
    const auto wide_left = W::broadcast(static_cast<std::int16_t>(a * 256));
    for (std::size_t i = 0; i < 256; i += V::width) {
      const V right = V::load(row + i);
      add_saturated(left, right).store(sum + i);
      subtract_saturated(left, right).store(difference + i);
      const auto m = left >= right;
      select(m, left, right).store(chosen + i);
      for (std::size_t k = 0; k < V::width; ++k) wrong += (m.bits() >> k & 1) != (a >= row[i + k] ? 1u : 0u) ? 1 : 0;
      wrong += V::width < 64 && (m.bits() >> (V::width % 64)) != 0 ? 1 : 0;
    }
    for (std::size_t i = 0; i < 256; i += W::width) {
      const W right = W::load(wide + i);
      add_saturated(wide_left, right).store(wide_sum + i);
      subtract_saturated(wide_left, right).store(wide_difference + i);
      const auto m = wide_left >= right;
      for (std::size_t k = 0; k < W::width; ++k)
        wrong += (m.bits() >> k & 1) != (a * 256 >= wide[i + k] ? 1u : 0u) ? 1 : 0;
      wrong += (m.bits() >> W::width) != 0 ? 1 : 0;
    }
    for (int b = 0; b < 256; ++b) {
      wrong += sum[b] != clamp(a + row[b], -128, 127) ? 1 : 0;
      wrong += difference[b] != clamp(a - row[b], -128, 127) ? 1 : 0;
      wrong += chosen[b] != std::max<int>(a, row[b]) ? 1 : 0;
      wrong += wide_sum[b] != clamp(a * 256 + wide[b], -32768, 32767) ? 1 : 0;
      wrong += wide_difference[b] != clamp(a * 256 - wide[b], -32768, 32767) ? 1 : 0;
    }
  }
  for (int count = 0; count < 16; ++count)
    for (int a = -32768; a < 32768; ++a) {
      std::int16_t out[64];
      shift_right(W::broadcast(static_cast<std::int16_t>(a)), count).store(out);
      wrong += out[W::width - 1] != (a >> count) ? 1 : 0;
      if (count < 8 && a >= -128 && a < 128) {
        std::int8_t bytes[64];
        shift_right(V::broadcast(static_cast<std::int8_t>(a)), count).store(bytes);
        wrong += bytes[V::width - 1] != (a >> count) ? 1 : 0;
      }
    }
  CHECK(wrong == 0);
}

TEST_CASE("a membrane of int8 saturates at both ends", "[neuron][integer]") {
  const auto run = [](std::vector<std::int8_t> x, std::int8_t v, std::int8_t threshold) {
    std::vector<std::int8_t> state{v};
    std::vector<std::uint64_t> words(x.size());
    neuron::run(neuron::IntegerNeuron<std::int8_t>{.threshold = threshold}, x.size(), 1,
                std::span<const std::int8_t>(x), std::span<std::int8_t>(state), std::span<std::uint64_t>(words));
    return std::pair{int{state[0]}, words};
  };
  const auto low = run({-100, -100, 100}, 0, 127);
  CHECK(low.first == -28);  // -128 + 100, not -100
  const auto high = run({120, 120}, 0, 127);
  CHECK(high.first == 0);  // 127 - 127, not 240 - 127
  CHECK(high.second == std::vector<std::uint64_t>{0, 1});
}

TEST_CASE("bounds of the membrane hold, and are reached", "[neuron][integer]") {
  const auto reached = [](const auto& m, neuron::CurrentBounds current, std::size_t steps) {
    using M = std::remove_cvref_t<decltype(m)>;
    // Every sequence of the two extreme currents and the one that leads from 0 to right below the threshold.
    const std::int64_t choices[] = {current.low, current.high,
                                    std::clamp<std::int64_t>(m.threshold - 1, current.low, current.high)};
    std::size_t n = 1;
    for (std::size_t t = 0; t < steps; ++t) n *= 3;
    std::vector<std::int16_t> x(steps * n);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t t = 0, digits = i; t < steps; ++t, digits /= 3)
        x[t * n + i] = static_cast<std::int16_t>(choices[digits % 3]);
    const Reference<std::int16_t, std::conditional_t<M::soft, reset::Soft, reset::Hard>> r(
        m, steps, x, std::vector<std::int16_t>(n, m.initial), false);
    const auto b = neuron::membrane_bounds(m, current, static_cast<int>(steps));
    CHECK(b.low <= r.low);
    CHECK(b.high >= r.high);
    return std::pair{b.low == r.low, b.high == r.high};
  };
  using Soft = neuron::IntegerNeuron<std::int16_t>;
  using Hard = neuron::IntegerNeuron<std::int16_t, reset::Hard>;
  for (const neuron::CurrentBounds c : {neuron::CurrentBounds{-30, 50}, {-300, 900}, {5, 20}, {-20, -1}, {100, 200}})
    for (const int shift : {0, 2}) {
      CHECK(reached(Soft{.threshold = 64, .shift = shift}, c, 6).first);
      CHECK(reached(Hard{.threshold = 64, .shift = shift, .reset_value = 3}, c, 6).first);
    }
  // The top where that current exists.
  CHECK(reached(Soft{.threshold = 64}, {-30, 100}, 6).second);
  CHECK(reached(Soft{.threshold = 64, .shift = 2}, {-30, 150}, 6).second);
  CHECK(reached(Hard{.threshold = 64}, {-30, 100}, 6).second);
}

TEST_CASE("int8 or int16 follows from weights and fan-in", "[neuron][integer]") {
  static constexpr std::int8_t weights[] = {10, -3, 5, 0, -20, 1, 1, 1};  // two rows of four
  constexpr auto current = neuron::current_bounds(weights, 2);
  STATIC_REQUIRE(current.low == -20);
  STATIC_REQUIRE(current.high == 15);
  constexpr std::int32_t bias[] = {-1, 40};
  STATIC_REQUIRE(neuron::current_bounds(weights, 2, 2, bias).high == 46);
  STATIC_REQUIRE(neuron::current_bounds(weights, 2, 2, bias).low == -7);
  CHECK_THROWS_AS(neuron::current_bounds(weights, 3), Error);
  CHECK_THROWS_AS(neuron::current_bounds(weights, 0), Error);
  CHECK_THROWS_AS(neuron::current_bounds(weights, 4, 1, bias), Error);
  CHECK_THROWS_AS(neuron::current_bounds(weights, 2, -1), Error);
  CHECK_THROWS_AS(neuron::membrane_bounds(neuron::IntegerNeuron<std::int16_t>{.shift = 64}, current, 4), Error);
  CHECK_THROWS_AS(neuron::membrane_bounds(neuron::IntegerNeuron<std::int16_t>{.shift = -1}, current, 4), Error);
  constexpr neuron::IntegerNeuron<std::int16_t> m{.threshold = 30};
  constexpr auto four = neuron::membrane_bounds(m, current, 4), hundred = neuron::membrane_bounds(m, current, 100);
  STATIC_REQUIRE(four.low == -80);
  STATIC_REQUIRE(four.high == 44);  // 29 + 15
  STATIC_REQUIRE(std::is_same_v<neuron::membrane_type<four>, std::int8_t>);
  STATIC_REQUIRE(std::is_same_v<neuron::membrane_type<hundred>, std::int16_t>);
  STATIC_REQUIRE(four.bits() == 8);
  STATIC_REQUIRE(hundred.bits() == 12);  // -2000
  STATIC_REQUIRE(!hundred.fits<std::int8_t>());
  // A leak bounds it, whatever the number of steps: at -n it takes n / 8 back.
  constexpr neuron::IntegerNeuron<std::int16_t> leaky{.threshold = 30, .shift = 2};
  STATIC_REQUIRE(neuron::membrane_bounds(leaky, current, 1000000).fits<std::int8_t>());
  // Currents that do not fit saturate before anything is added.
  STATIC_REQUIRE(
      !neuron::membrane_bounds(neuron::IntegerNeuron<std::int16_t>{.threshold = 30, .initial = -128}, {0, 200}, 1)
           .fits<std::int8_t>());
}

TEST_CASE("integer neurons refuse what does not fit", "[neuron][integer]") {
  std::vector<std::int8_t> x(20), state(10);
  std::vector<std::uint64_t> words(2);
  const auto run = [&](neuron::IntegerNeuron<std::int8_t> m, std::size_t steps) {
    neuron::run(m, steps, 10, std::span<const std::int8_t>(x), std::span<std::int8_t>(state),
                std::span<std::uint64_t>(words));
  };
  CHECK_NOTHROW(run({.threshold = 1}, 2));
  CHECK_THROWS_AS(run({.threshold = 1}, 3), Error);
  CHECK_THROWS_AS(run({.threshold = 0}, 2), Error);
  CHECK_THROWS_AS(run({.threshold = 1, .shift = 8}, 2), Error);
  CHECK_THROWS_AS(run({.threshold = 1, .shift = -1}, 2), Error);
  // Products that wrap round to the sizes of empty spans.
  state.resize(128);
  CHECK_THROWS_AS(
      neuron::run(neuron::IntegerNeuron<std::int8_t>{}, std::size_t{1} << 63, 128, std::span<const std::int8_t>(),
                  std::span<std::int8_t>(state), std::span<std::uint64_t>()),
      Error);
}
