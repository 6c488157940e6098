/// @file
/// Integer neurons: int8 or int16 membranes, leaks by shifts, and what proves that such a membrane is wide enough.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/neuron/neuron.hpp>
#include <spiq/neuron/run.hpp>
#include <spiq/simd/narrow.hpp>

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

SPIQ_BEGIN_NAMESPACE

namespace neuron {

/// Integrate-and-fire in integers, leaky if `shift` > 0. A step, with `floor` rounding towards minus infinity:
///   v <- v - floor(v / 2^shift)          if shift > 0: potentials in [0, 2^shift) do not leak, negative ones reach 0
///   h  = v + x                           at the ends of T where it leaves them
///   fires if h >= threshold; then v <- h - threshold (soft reset) or reset_value (hard reset), else v <- h.
template <simd::narrow_integer T, class Reset = reset::Soft>
struct IntegerNeuron {
  static_assert(std::same_as<Reset, reset::Soft> || std::same_as<Reset, reset::Hard>,
                "spiq: an integer neuron resets soft or hard");
  using value_type = T;
  static constexpr bool soft = std::same_as<Reset, reset::Soft>;
  T threshold = 64;   ///< > 0
  int shift = 0;      ///< 0 <= shift < bits of T; 0: no leak
  T reset_value = 0;  ///< of a hard reset
  T initial = 0;      ///< membrane potential before the first step
};

/// What currents an integer neuron can meet in one step.
struct CurrentBounds {
  std::int64_t low = 0, high = 0;
};
/// The smallest and largest potentials that it compares with its threshold, whatever the currents within the bounds.
struct MembraneBounds {
  std::int64_t low = 0, high = 0;
  CurrentBounds current{};
  /// True where neither currents nor potentials leave T: nothing saturates.
  template <std::signed_integral T>
  [[nodiscard]] constexpr bool fits() const {
    constexpr std::int64_t least = std::numeric_limits<T>::min(), most = std::numeric_limits<T>::max();
    return std::min(low, current.low) >= least && std::max(high, current.high) <= most;
  }
  /// Bits of a two's complement number that holds both.
  [[nodiscard]] constexpr int bits() const {
    const auto needed = [](std::int64_t x) { return std::bit_width(static_cast<std::uint64_t>(x < 0 ? ~x : x)) + 1; };
    return static_cast<int>(std::max({needed(low), needed(high), needed(current.low), needed(current.high)}));
  }
};

/// Bounds of the currents of `outputs` neurons from weights [outputs][fan_in] and inputs in [0, largest_input]: the
/// sums of positive and of negative weights of a row, the worst of all rows. `bias` [outputs] may be empty. Throws
/// `spiq::Error` for weights that are no rows, biases of another number and a largest input below 0.
constexpr CurrentBounds current_bounds(std::span<const std::int8_t> weights, std::size_t outputs,
                                       std::int64_t largest_input = 1, std::span<const std::int32_t> bias = {}) {
  CurrentBounds worst;
  const std::size_t fan_in = outputs == 0 ? 0 : weights.size() / outputs;
  if (weights.size() != outputs * fan_in)
    SPIQ_THROW("bounds of currents: weights", std::to_string(outputs) + " rows", std::to_string(weights.size()));
  if (!bias.empty() && bias.size() != outputs)
    SPIQ_THROW("bounds of currents: biases", std::to_string(outputs), std::to_string(bias.size()));
  if (largest_input < 0)
    SPIQ_THROW("bounds of currents: largest input", "at least 0", std::to_string(largest_input));
  for (std::size_t o = 0; o < outputs; ++o) {
    std::int64_t low = 0, high = 0;
    for (const std::int8_t w : weights.subspan(o * fan_in, fan_in)) (w < 0 ? low : high) += w * largest_input;
    const std::int64_t b = bias.empty() ? 0 : bias[o];
    worst.low = o == 0 ? low + b : std::min(worst.low, low + b);
    worst.high = o == 0 ? high + b : std::max(worst.high, high + b);
  }
  return worst;
}

/// How far the potential of a neuron can come in `steps` steps without saturation, by interval arithmetic: never
/// further, as the leak rises with v, and as far as that if all potentials between the extremes occur. `neuron` has the
/// members of `IntegerNeuron`, whatever their types. Throws `spiq::Error` for a shift below 0 or above 62.
template <class N>
constexpr MembraneBounds membrane_bounds(const N& neuron, CurrentBounds current, int steps) {
  if (neuron.shift < 0 || neuron.shift > 62)
    SPIQ_THROW("bounds of the membrane: shift", "0 to 62", std::to_string(neuron.shift));
  const std::int64_t theta = neuron.threshold;
  const auto leaked = [&](std::int64_t v) { return neuron.shift == 0 ? v : v - (v >> neuron.shift); };
  std::int64_t low = neuron.initial, high = neuron.initial;
  MembraneBounds all{low, high, current};
  for (int t = 0; t < steps; ++t) {
    const std::int64_t from = leaked(low) + current.low, to = leaked(high) + current.high;
    all.low = std::min(all.low, from);
    all.high = std::max(all.high, to);
    // What fires not, and what fires.
    std::int64_t next_low = from, next_high = std::min(to, theta - 1);
    if (to >= theta) {
      const std::int64_t first = neuron.soft ? std::max(from, theta) - theta : neuron.reset_value;
      const std::int64_t last = neuron.soft ? to - theta : neuron.reset_value;
      next_low = from >= theta ? first : std::min(from, first);
      next_high = from >= theta ? last : std::max(next_high, last);
    }
    if (next_low == low && next_high == high) break;  // as in all steps to come
    low = next_low;
    high = next_high;
  }
  return all;
}

namespace detail {
template <MembraneBounds B>
struct membrane_type {
  static_assert(B.fits<std::int16_t>(),
                "spiq: these currents can drive a membrane of 16 bits beyond its range; "
                "scale the weights down, or let it saturate");
  using type = std::conditional_t<B.fits<std::int8_t>(), std::int8_t, std::int16_t>;
};
}  // namespace detail
/// int8 or int16, whichever is the narrower that holds the bounds for certain.
template <MembraneBounds B>
using membrane_type = typename detail::membrane_type<B>::type;

namespace detail {
template <bool Leaks, class T, class Reset, class V>
SPIQ_INLINE auto integer_step(V& v, V x, V threshold, V reset_value, int shift) {
  if constexpr (Leaks) v = subtract_saturated(v, shift_right(v, shift));
  const V h = add_saturated(v, x);
  const auto fired = h >= threshold;
  v = select(fired, IntegerNeuron<T, Reset>::soft ? subtract_saturated(h, threshold) : reset_value, h);
  return fired.bits();
}

/// Masks First + K... joined, the first in the lowest bits.
template <std::size_t Width, std::size_t First, std::size_t... K>
SPIQ_INLINE std::uint64_t joined_bits(const std::uint64_t* fired, std::index_sequence<K...>) {
  return ((general_register<Width>(fired[First + K]) << (K * Width)) | ...);
}

/// Blocks of `Chains` vectors of V; returns where the last ends. `Far`: see `run_blocks`.
template <bool Leaks, bool Far, class V, std::size_t Chains, class T, class Reset>
SPIQ_INLINE std::size_t run_integer(const IntegerNeuron<T, Reset>& neuron, std::size_t steps, std::size_t n,
                                    std::size_t begin, const T* x, T* state, unsigned char* bytes) {
  constexpr std::size_t width = V::width, block = width * Chains;
  constexpr std::size_t joint = std::min<std::size_t>(Chains, 64 / width);  // vectors of a word
  constexpr std::size_t ahead_here = ahead * sizeof(float) / sizeof(T);
  const std::size_t stride = spike_words(n) * 8;
  const V threshold = V::broadcast(neuron.threshold), reset_value = V::broadcast(neuron.reset_value);
  const int shift = neuron.shift;
  return [&]<std::size_t... K, std::size_t... Word>(std::index_sequence<K...>, std::index_sequence<Word...>)
      SPIQ_LAMBDA_INLINE {
    std::size_t i = begin;
    for (; i + block <= n; i += block) {
      V v[] = {V::load(state + i + K * width)...};
      if constexpr (Far) (simd::prefetch(state + i + K * width, ahead_here), ...);
      const auto step = [&](std::size_t t) SPIQ_LAMBDA_INLINE {
        const T* const row = x + t * n + i;
        if constexpr (Far) (simd::prefetch(row + K * width, ahead_here), ...);
        const std::uint64_t fired[] = {
            integer_step<Leaks, T, Reset>(v[K], V::load(row + K * width), threshold, reset_value, shift)...};
        (put_bits<joint * width>(bytes + t * stride, i + Word * joint * width,
                                 joined_bits<width, Word * joint>(fired, std::make_index_sequence<joint>())),
         ...);
      };
      std::size_t t = 0;
      for (; t + 4 <= steps; t += 4) {  // see `together`
        SPIQ_UNROLL
        for (std::size_t d = 0; d < 4; ++d) step(t + d);
      }
      for (; t < steps; ++t) step(t);
      (v[K].store(state + i + K * width), ...);
    }
    return i;
  }(std::make_index_sequence<Chains>(), std::make_index_sequence<Chains / joint>());
}
}  // namespace detail

/// Runs `steps` steps of n integer neurons from currents x [steps][n]; state [n] is read and written, spikes become
/// bits [steps][spike_words(n)] as `SpikeBits` packs them. All architectures give the same bits. Spans of other sizes,
/// a threshold below 1 and a shift that leaves nothing throw `spiq::Error`. Bound: in the first cache a load, two
/// saturating operations, a comparison and a selection a vector.
template <class Arch = simd::best, class T, class Reset>
void run(const IntegerNeuron<T, Reset>& neuron, std::size_t steps, std::size_t n, std::span<const T> x,
         std::span<T> state, std::span<std::uint64_t> spikes) {
  expect_values("integer neurons: state", state.size(), 1, n);
  expect_values("integer neurons: currents", x.size(), steps, n);
  expect_values("integer neurons: spikes", spikes.size(), steps, spike_words(n));
  if (neuron.threshold < 1)
    SPIQ_THROW("integer neurons: threshold", "at least 1", std::to_string(int{neuron.threshold}));
  if (neuron.shift < 0 || neuron.shift >= std::numeric_limits<T>::digits + 1)
    SPIQ_THROW("integer neurons: shift", "0 to " + std::to_string(std::numeric_limits<T>::digits),
               std::to_string(neuron.shift));
  for (std::size_t t = 0; t < steps && n != 0; ++t) spikes[(t + 1) * spike_words(n) - 1] = 0;
  const auto sweep = [&]<bool Leaks>(std::bool_constant<Leaks>) {
    using V = simd::narrow<T, Arch>;
    auto* const bytes = reinterpret_cast<unsigned char*>(spikes.data());
    std::size_t i = 0;
    if constexpr (V::width > 1) {
      if (steps * n * sizeof(T) > detail::far_bytes)
        i = detail::run_integer<Leaks, true, V, 4>(neuron, steps, n, i, x.data(), state.data(), bytes);
      else
        i = detail::run_integer<Leaks, false, V, 8>(neuron, steps, n, i, x.data(), state.data(), bytes);
      i = detail::run_integer<Leaks, false, V, 1>(neuron, steps, n, i, x.data(), state.data(), bytes);
    }
    detail::run_integer<Leaks, false, simd::narrow<T, simd::scalar>, 1>(neuron, steps, n, i, x.data(), state.data(),
                                                                        bytes);
  };
  if (neuron.shift > 0)
    sweep(std::true_type{});
  else
    sweep(std::false_type{});
}

}  // namespace neuron

SPIQ_END_NAMESPACE
