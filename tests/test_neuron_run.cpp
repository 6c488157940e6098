// Currents beyond the caches take another way through `run`: the same bits as in portions that stay within.
#include "catch.hpp"

#include <spiq/core/random.hpp>
#include <spiq/core/storage.hpp>
#include <spiq/neuron/integer.hpp>
#include <spiq/neuron/presets.hpp>

#include "backends.hpp"

#include <vector>

using namespace spiq;

namespace {

template <class Arch, class Model>
void far_equals_near(const Model& model, std::size_t n, std::size_t steps) {
  REQUIRE(n * steps * sizeof(float) > neuron::detail::far_bytes);
  AlignedVector<float> x(steps * n);
  Rng rng{n + steps};
  for (float& v : x) v = rng.uniform(-0.5f, 1.2f);
  std::vector<float> state;
  for (const float v : model.initial_state()) state.insert(state.end(), n, v);
  auto pieces = state, traced = state;
  std::vector<std::uint64_t> words(steps * neuron::spike_words(n), ~std::uint64_t{0}), near(words.size());
  neuron::run<Arch>(model, steps, n, std::span<const float>(x), std::span<float>(state),
                    std::span<std::uint64_t>(words));

  const neuron::SpikeBits sink(near.data(), n, steps);
  constexpr std::size_t piece = 64 * 37;
  for (std::size_t begin = 0; begin < n; begin += piece)
    neuron::run_range<simd::scalar>(model, steps, n, begin, std::min(n, begin + piece), x.data(), pieces.data(), sink);
  if constexpr (!simd::fuses_multiply_add<Arch> && simd::fuses_multiply_add<simd::scalar>)
    return;  // sse2 rounds twice where the scalar of this unit rounds once
  CHECK(state == pieces);
  CHECK(words == near);

  // Any sink is told the same.
  std::size_t wrong = 0;
  std::vector<float> spikes(steps * n);
  neuron::run<Arch>(model, steps, n, x.data(), traced.data(),
                    [&](std::size_t t, std::size_t i, auto access, const auto& s, const auto&) {
                      access.store(neuron::amount(s), spikes.data() + t * n + i);
                    });
  for (std::size_t t = 0; t < steps; ++t)
    for (std::size_t i = 0; i < n; ++i)
      wrong +=
          (words[t * neuron::spike_words(n) + i / 64] >> (i % 64) & 1) != (spikes[t * n + i] != 0 ? 1u : 0u) ? 1 : 0;
  CHECK(wrong == 0);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("currents from afar give the same bits", "[neuron]", spiq_test::Backends) {
  for (const std::size_t steps : {3u, 8u, 13u}) {
    const std::size_t n = (std::size_t{1} << 18) / steps + 101;
    far_equals_near<TestType>(presets::spikingjelly_if<reset::Soft>(), n, steps);
    far_equals_near<TestType>(presets::snntorch_leaky<reset::Hard>(), n, steps);
    far_equals_near<TestType>(presets::spikingjelly_cuba_lif<>(), n, steps);
  }
}

TEMPLATE_LIST_TEST_CASE("integer currents from afar give the same bits", "[neuron][integer]", spiq_test::Backends) {
  constexpr std::size_t steps = 7, n = (std::size_t{1} << 20) / steps + 77;
  const neuron::IntegerNeuron<std::int8_t> model{.threshold = 40, .shift = 3};
  std::vector<std::int8_t> x(steps * n), state(n), expected(n);
  Rng rng{1};
  for (auto& v : x) v = static_cast<std::int8_t>(static_cast<int>(rng.below(100)) - 40);
  REQUIRE(x.size() > neuron::detail::far_bytes);
  std::vector<std::uint64_t> words(steps * neuron::spike_words(n)), scalar(words.size());
  neuron::run<TestType>(model, steps, n, std::span<const std::int8_t>(x), std::span<std::int8_t>(state),
                        std::span<std::uint64_t>(words));
  neuron::run<simd::scalar>(model, steps, n, std::span<const std::int8_t>(x), std::span<std::int8_t>(expected),
                            std::span<std::uint64_t>(scalar));
  CHECK(state == expected);
  CHECK(words == scalar);
}
