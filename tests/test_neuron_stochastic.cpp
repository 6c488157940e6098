// The stochastic neuron: its frequency, its draws one by one, the same bits everywhere. And counts under constant
// input.
#include "catch.hpp"

#include <spiq/neuron/constant_input.hpp>
#include <spiq/neuron/integer.hpp>
#include <spiq/neuron/presets.hpp>
#include <spiq/neuron/stochastic.hpp>

#include "backends.hpp"

#include <bit>
#include <cmath>
#include <vector>

using namespace spiq;

namespace {
template <class Arch>
std::vector<std::uint64_t> fired(const neuron::StochasticNeuron& m, std::size_t steps, std::size_t n,
                                 const std::vector<float>& u, std::uint64_t seed, std::size_t first = 0) {
  std::vector<std::uint64_t> words(steps * neuron::spike_words(n), ~std::uint64_t{0});
  neuron::run<Arch>(m, steps, n, std::span<const float>(u), Rng{seed}, std::span<std::uint64_t>(words), first);
  return words;
}
std::vector<float> inputs(std::size_t n) {
  Rng rng{5};
  std::vector<float> u(n);
  for (float& x : u) x = rng.uniform(-8, 8);
  return u;
}
}  // namespace

TEMPLATE_LIST_TEST_CASE("stochastic neurons fire as often as the logistic says", "[neuron][stochastic]",
                        spiq_test::Backends) {
  // specs-core 7: within 4 sigma over 1e5 draws.
  constexpr std::size_t n = 25000, steps = 4;
  for (const float u : {-1.0f, 0.0f, 1.0f})
    for (const neuron::StochasticNeuron m :
         {neuron::StochasticNeuron{}, neuron::StochasticNeuron{.u0 = 0.5f, .sigma = 2}}) {
      const auto words = fired<TestType>(m, steps, n, std::vector<float>(n * steps, u), 11);
      double count = 0;
      for (const std::uint64_t w : words) count += std::popcount(w);
      const double p =
          1 / (1 + std::exp(-(static_cast<double>(u) - static_cast<double>(m.u0)) / static_cast<double>(m.sigma)));
      const double draws = n * steps;
      CHECK(std::abs(count / draws - p) < 4 * std::sqrt(p * (1 - p) / draws));
    }
}

TEMPLATE_LIST_TEST_CASE("stochastic spikes are the same bits everywhere", "[neuron][stochastic]", spiq_test::Backends) {
  const neuron::StochasticNeuron m{.u0 = 0.3f, .sigma = 0.7f};
  for (const std::size_t n : {1u, 5u, 16u, 67u, 1000u}) {
    constexpr std::size_t steps = 7;
    const auto u = inputs(n * steps);
    const auto words = fired<TestType>(m, steps, n, u, 3);
    CHECK(words == fired<simd::scalar>(m, steps, n, u, 3));
    if (n > 60) CHECK(words != fired<TestType>(m, steps, n, u, 4));
    // In portions of one, two and four steps.
    std::vector<std::uint64_t> parts;
    for (const auto& [first, count] : {std::pair<std::size_t, std::size_t>{0, 1}, {1, 2}, {3, 4}}) {
      const std::vector<float> own(u.begin() + static_cast<std::ptrdiff_t>(first * n),
                                   u.begin() + static_cast<std::ptrdiff_t>((first + count) * n));
      const auto part = fired<TestType>(m, count, n, own, 3, first);
      parts.insert(parts.end(), part.begin(), part.end());
    }
    CHECK(parts == words);
  }
}

TEST_CASE("stochastic spikes follow the generator of the library", "[neuron][stochastic]") {
  constexpr std::size_t n = 1000, steps = 6, first = 2;
  const auto u = inputs(n * steps);
  const auto words = fired<simd::best>({}, steps, n, u, 9, first);
  Rng own = Rng{9}.split(0);
  const std::array<std::uint32_t, 2> key{own.bits(), own.bits()};
  std::size_t wrong = 0;
  for (std::size_t t = 0; t < steps; ++t)
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t step = first + t;
      const auto block = philox4x32({static_cast<std::uint32_t>(i), 0, static_cast<std::uint32_t>(step / 4), 0}, key);
      const double drawn = static_cast<double>(block[step % 4] >> 8) * 0x1p-24;
      const double p = 1 / (1 + std::exp(-static_cast<double>(u[t * n + i])));
      if (std::abs(drawn - p) < 1e-6) continue;  // too close to call
      wrong += (words[t * neuron::spike_words(n) + i / 64] >> (i % 64) & 1) != (drawn < p ? 1u : 0u) ? 1 : 0;
    }
  CHECK(wrong == 0);
}

TEST_CASE("stochastic neurons at the ends, and what they refuse", "[neuron][stochastic]") {
  const std::vector<float> u{
      std::numeric_limits<float>::quiet_NaN(), 1e30f, -1e30f, std::numeric_limits<float>::infinity(),
      -std::numeric_limits<float>::infinity(), 80,    -80};
  CHECK(fired<simd::best>({}, 1, 7, u, 1)[0] == 0b0101010);
  CHECK(fired<simd::scalar>({}, 1, 7, u, 1)[0] == 0b0101010);
  // A draw of 0, the least there is, fires what it can alone.
  Rng own = Rng{238}.split(0);
  const std::array<std::uint32_t, 2> key{own.bits(), own.bits()};
  REQUIRE(philox4x32({23, 0, 473 / 4, 0}, key)[473 % 4] >> 8 == 0);
  for (const auto& [input, fires] :
       {std::pair{-std::numeric_limits<float>::infinity(), 0u}, {-18.0f, 0u}, {-17.0f, 1u}}) {
    CHECK((fired<simd::best>({}, 1, 24, std::vector<float>(24, input), 238, 473)[0] >> 23) == fires);
    CHECK((fired<simd::scalar>({}, 1, 24, std::vector<float>(24, input), 238, 473)[0] >> 23) == fires);
  }
  CHECK_THROWS_AS(fired<simd::best>({.sigma = 0}, 1, 7, u, 1), Error);
  CHECK_THROWS_AS(fired<simd::best>({.sigma = 1e-39f}, 1, 7, u, 1), Error);
  CHECK_THROWS_AS(fired<simd::best>({.u0 = std::numeric_limits<float>::infinity()}, 1, 7, u, 1), Error);
  CHECK_THROWS_AS(fired<simd::best>({}, 2, 7, u, 1), Error);
  // Products that wrap round to the sizes of empty spans.
  CHECK_THROWS_AS(neuron::run(neuron::StochasticNeuron{}, std::size_t{1} << 63, 128, std::span<const float>(), Rng{1},
                              std::span<std::uint64_t>()),
                  Error);
}

TEST_CASE("counts under constant input, in integers", "[neuron][constant_input]") {
  using neuron::constant_input_count;
  STATIC_REQUIRE(constant_input_count(3, 5, 10, 4) == 2);
  using I8 = std::int8_t;
  STATIC_REQUIRE(constant_input_count(I8{3}, I8{31}, I8{10}, I8{4}) == 4);
  STATIC_REQUIRE(constant_input_count(I8{0}, I8{-7}, I8{10}, I8{4}) == 0);
  std::size_t wrong = 0;
  for (int theta = 1; theta <= 12; ++theta)
    for (int v0 = 0; v0 < theta; ++v0)
      for (int current = -20; current <= 30; ++current) {
        int v = v0, count = 0;
        for (int t = 1; t <= 12; ++t) {
          v += current;
          if (v >= theta) {
            v -= theta;
            ++count;
          }
          wrong += constant_input_count(v0, current, theta, t) != count ? 1 : 0;
        }
      }
  CHECK(wrong == 0);
}

TEMPLATE_LIST_TEST_CASE("counts under constant input equal those of the neuron", "[neuron][constant_input]",
                        spiq_test::Backends) {
  // In eighths, where floats do not round.
  using V = typename simd::traits<TestType>::f32;
  constexpr std::size_t n = 512, steps = 8;
  const float theta = 1.375f;
  std::vector<float> x(steps * n), state(n), start(n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t t = 0; t < steps; ++t) x[t * n + i] = 0.125f * (static_cast<float>(i % 41) - 12);
    start[i] = state[i] = 0.125f * static_cast<float>(i % 11);
  }
  std::vector<std::uint64_t> words(steps * neuron::spike_words(n));
  neuron::run<TestType>(presets::spikingjelly_if<reset::Soft>(theta), steps, n, std::span<const float>(x),
                        std::span<float>(state), std::span<std::uint64_t>(words));
  std::vector<float> counts(n);
  for (std::size_t i = 0; i < n; i += V::width)
    neuron::constant_input_count(V::load(start.data() + i), V::load(x.data() + i), V::broadcast(theta),
                                 V::broadcast(steps))
        .store(counts.data() + i);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < n; ++i) {
    float count = 0;
    for (std::size_t t = 0; t < steps; ++t)
      count += static_cast<float>(words[t * neuron::spike_words(n) + i / 64] >> (i % 64) & 1);
    wrong += count != counts[i] ? 1 : 0;
  }
  CHECK(wrong == 0);

  // Thresholds of 20 binary digits, where sums lie one unit beside their multiples.
  Rng rng{8};
  for (int trial = 0; trial < 3000; ++trial) {
    const auto t = static_cast<float>(1 + rng.below(15)), multiple = static_cast<float>(rng.below(16));
    const auto theta_here = static_cast<float>((1 << 19) + rng.below(1 << 19));
    const float current = std::floor(theta_here * multiple / t) + static_cast<float>(rng.below(3)) - 1;
    float v = std::floor(theta_here * rng.uniform()), count = 0;
    const V found =
        neuron::constant_input_count(V::broadcast(v), V::broadcast(current), V::broadcast(theta_here), V::broadcast(t));
    for (float step = 0; step < t; ++step) {
      v += current;
      count += v >= theta_here ? 1.0f : 0.0f;
      v -= v >= theta_here ? theta_here : 0.0f;
    }
    wrong += reduce_max(found) != count ? 1 : 0;
  }
  CHECK(wrong == 0);
}
