/// @file
/// The stochastic neuron: it fires with a probability that is a logistic function of its input.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/random.hpp>
#include <spiq/neuron/run.hpp>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>

SPIQ_BEGIN_NAMESPACE

namespace neuron {

/// P(spike) = 1 / (1 + e^(-(u - u0) / sigma)), u the sum of a step's input: the neuron of sBSNN (arXiv 2002.11163). It
/// has no memory. NaN never fires, nor does what is less likely than 2^-25: a draw has 24 bits.
struct StochasticNeuron {
  float u0 = 0;
  float sigma = 1;  ///< > 0
};

namespace detail {

/// Philox4x32-10 (core/random.hpp) with a counter of its own in each lane; words as int32.
template <class I>
struct PhiloxLanes {
  static SPIQ_INLINE I constant(std::uint32_t x) { return I::broadcast(static_cast<std::int32_t>(x)); }
  static SPIQ_INLINE I exclusive_or(I a, I b) { return (a | b) - (a & b); }
  static SPIQ_INLINE I high_half(I a) { return simd::shift_right<16>(a) & constant(0xffff); }
  static SPIQ_INLINE I low_half(I a) { return a & constant(0xffff); }
  /// Upper 32 bits of the unsigned product, of halves.
  static SPIQ_INLINE I multiply_high(I a, std::uint32_t b) {
    const I al = low_half(a), ah = high_half(a), bl = constant(b & 0xffff), bh = constant(b >> 16);
    const I first = ah * bl, second = al * bh;
    const I middle = high_half(al * bl) + low_half(first) + low_half(second);
    return ah * bh + high_half(first) + high_half(second) + high_half(middle);
  }
  static SPIQ_INLINE std::array<I, 4> words(std::array<I, 4> counter, std::array<std::uint32_t, 2> key) {
    for (int round = 0; round < 10; ++round) {
      constexpr std::uint32_t a = 0xD2511F53u, b = 0xCD9E8D57u;
      counter = {exclusive_or(exclusive_or(multiply_high(counter[2], b), counter[1]), constant(key[0])),
                 counter[2] * constant(b),
                 exclusive_or(exclusive_or(multiply_high(counter[0], a), counter[3]), constant(key[1])),
                 counter[0] * constant(a)};
      key[0] += 0x9E3779B9u;
      key[1] += 0xBB67AE85u;
    }
    return counter;
  }
};

/// e^x to a relative error of 1e-6 for |x| <= 87, by products and sums that are rounded one by one: the same bits on
/// every architecture, whether it fuses them or not.
template <class V>
SPIQ_INLINE V exp_same_everywhere(V x) {
  const auto add_product = [](V a, V b, V c) SPIQ_LAMBDA_INLINE { return rounded(a * b) + c; };
  const auto c = [](float value) SPIQ_LAMBDA_INLINE { return V::broadcast(value); };
  const V n = floor(add_product(x, c(1.44269504f), c(0.5f)));
  // x - n ln 2, its upper part in few bits so that the first product is exact.
  const V r = add_product(n, c(2.12194440e-4f), add_product(n, c(-0.693359375f), x));
  V p = c(1.0f / 720);
  for (const float coefficient : {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f})
    p = add_product(p, r, c(coefficient));
  return from_bits(bits_of(p) + simd::shift_left<23>(to_i32(n)));
}
template <class V>
SPIQ_INLINE V firing_probability(V u, V u0, V inverse_sigma) {
  const V y = (u0 - u) * inverse_sigma;
  const V e = exp_same_everywhere(max(min(y, V::broadcast(87.0f)), V::broadcast(-87.0f)));
  return V::broadcast(1.0f) / (V::broadcast(1.0f) + e);
}

}  // namespace detail

/// Steps [first_step, first_step + steps) of n stochastic neurons on u [steps][n]; spikes become bits
/// [steps][spike_words(n)] as `SpikeBits` packs them. A spike depends on u, the generator, its neuron and its step
/// alone (24 random bits each): steps may be run in any portions, and all architectures give the same bits. Spans of
/// other sizes, a sigma that is not positive (or so small that 1 / sigma is infinite), a u0 that is not finite and 2^31
/// neurons throw `spiq::Error`.
template <class Arch = simd::best>
void run(const StochasticNeuron& neuron, std::size_t steps, std::size_t n, std::span<const float> u, const Rng& rng,
         std::span<std::uint64_t> spikes, std::size_t first_step = 0) {
  using V = typename simd::traits<Arch>::f32;
  using I = typename simd::traits<Arch>::i32;
  using Philox = detail::PhiloxLanes<I>;
  if (!(neuron.sigma > 0 && std::isfinite(1 / neuron.sigma)))
    SPIQ_THROW("stochastic neurons: sigma", "a positive number", std::to_string(neuron.sigma));
  if (!std::isfinite(neuron.u0)) SPIQ_THROW("stochastic neurons: u0", "a finite number", std::to_string(neuron.u0));
  if (n > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()))
    SPIQ_THROW("stochastic neurons: number", "less than 2^31", std::to_string(n));
  expect_values("stochastic neurons: inputs", u.size(), steps, n);
  expect_values("stochastic neurons: spikes", spikes.size(), steps, spike_words(n));
  if (n == 0) return;
  Rng own = rng.split(0);
  const std::array<std::uint32_t, 2> key{own.bits(), own.bits()};
  const SpikeBits bits(spikes.data(), n, steps);
  const V u0 = V::broadcast(neuron.u0), inverse_sigma = V::broadcast(1 / neuron.sigma);
  constexpr int width = V::width;
  alignas(64) std::int32_t lanes[width];
  for (int k = 0; k < width; ++k) lanes[k] = k;
  const I numbers = I::load(lanes);
  detail::for_each_vector<V>(0, n, [&]<class>(std::size_t i, auto access) SPIQ_LAMBDA_INLINE {
    const I neurons = numbers + Philox::constant(static_cast<std::uint32_t>(i));
    for (std::size_t t = 0; t < steps;) {
      // A block has words for four steps, of which the first and the last may lie outside.
      const std::uint64_t block = (first_step + t) / 4;
      const auto words = Philox::words({neurons, I::zero(), Philox::constant(static_cast<std::uint32_t>(block)),
                                        Philox::constant(static_cast<std::uint32_t>(block >> 32))},
                                       key);
      for (std::size_t w = (first_step + t) % 4; w < 4 && t < steps; ++w, ++t) {
        const V drawn = to_f32(simd::shift_right<8>(words[w]) & Philox::constant(0xffffff)) * V::broadcast(0x1p-24f);
        const V p = detail::firing_probability(access.template load<V>(u.data() + t * n + i), u0, inverse_sigma);
        // Without the second comparison a draw of 0 would fire what cannot, -inf for one.
        bits(t, i, access, Spike<V>{drawn < select(p >= V::broadcast(0x1p-25f), p, V::zero())}, p);
      }
    }
  });
}

}  // namespace neuron

SPIQ_END_NAMESPACE
