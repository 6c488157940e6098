/// @file
/// Neurons over time: all steps of a group of neurons before the next group, their state in registers.
#pragma once

#include <spiq/core/checked.hpp>
#include <spiq/neuron/neuron.hpp>
#include <spiq/simd/interleaved.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

SPIQ_BEGIN_NAMESPACE

namespace neuron {

namespace detail {
/// The parameters of a model as numbers N, the same for all lanes.
template <class N, Model M>
auto prepared(const M& model) {
  const auto values = model.parameters();
  std::array<N, std::max<std::size_t>(M::parameter_count, 1)> p;
  for (std::size_t i = 0; i < M::parameter_count; ++i) p[i] = N::broadcast(values[i]);
  return model.template prepare<N>(p.data());
}

/// Reads and writes whole vectors, or the first lanes of one.
struct WholeVector {
  template <class V>
  static SPIQ_INLINE V load(const float* p) {
    return V::load(p);
  }
  template <class V>
  static SPIQ_INLINE void store(V v, float* p) {
    v.store(p);
  }
};
struct FirstLanes {
  int count;
  template <class V>
  SPIQ_INLINE V load(const float* p) const {
    return V::load_first(p, count);
  }
  template <class V>
  SPIQ_INLINE void store(V v, float* p) const {
    v.store_first(p, count);
  }
};

/// Calls `work.template operator()<V>(begin, access)` for each vector of n lanes.
template <class V, class Work>
SPIQ_INLINE std::size_t for_each_whole(std::size_t begin, std::size_t end, const Work& work) {
  constexpr std::size_t width = V::width;
  const std::size_t last = begin + (end - begin) / width * width;
  for (std::size_t i = begin; i < last; i += width) work.template operator()<V>(i, WholeVector{});
  return last;
}
template <class V, class Work>
SPIQ_INLINE void for_each_vector(std::size_t begin, std::size_t end, const Work& work) {
  const std::size_t i = for_each_whole<V>(begin, end, work);
  if (i < end) work.template operator()<V>(i, FirstLanes{static_cast<int>(end - i)});
}

/// Vectors that go through time together: the chain of one neuron, from membrane to membrane, is some ten cycles long.
template <Model M, class Arch>
inline constexpr std::size_t chains = M::states == 1 ? 8 : simd::traits<Arch>::registers >= 32 ? 4 : 2;
/// Currents beyond this many bytes come from further away than the second cache of a core.
inline constexpr std::size_t far_bytes = std::size_t{1} << 20;
/// How far ahead, in floats, rows of currents that are far away are asked for.
inline constexpr std::size_t ahead = 256;

/// Steps that are written out one after the other: a load of its own for each keeps machines from foreseeing, behind
/// the last row, rows that are not there. Architectures beside the best one of the unit do without: they are there to
/// compare with, and this costs time to compile.
template <Model M, class Arch, bool Far>
inline constexpr std::size_t together = M::states > 1 || !std::same_as<Arch, simd::best> ? 1 : Far ? 8 : 4;

/// All steps of blocks of `Chains` vectors of [begin, end), one block after the other; returns where the last ends.
template <class Arch, std::size_t Chains, bool Far, Model M, class Constants, class Sink>
SPIQ_INLINE std::size_t run_blocks(const Constants& constants, std::size_t steps, std::size_t n, std::size_t begin,
                                   std::size_t end, const float* x, float* state, const Sink& sink) {
  using V = typename simd::traits<Arch>::f32;
  constexpr std::size_t width = V::width, states = static_cast<std::size_t>(M::states);
  constexpr std::size_t at_once = std::min<std::size_t>(Chains, 64 / width);
  using Joint = typename simd::traits<simd::interleaved<Arch, static_cast<int>(at_once)>>::f32;
  const Comparing<typename M::compare> fire;
  return [&]<std::size_t... K>(std::index_sequence<K...>) SPIQ_LAMBDA_INLINE {
    const std::size_t last = begin + (end - begin) / (Chains * width) * (Chains * width);
    for (std::size_t i = begin; i < last; i += Chains * width) {
      V s[Chains][states];
      const auto each_state = [&](const auto& f) SPIQ_LAMBDA_INLINE {
        SPIQ_UNROLL
        for (std::size_t j = 0; j < states; ++j) (f(s[K][j], state + j * n + i + K * width), ...);
      };
      each_state([](V& v, const float* p) SPIQ_LAMBDA_INLINE {
        v = V::load(p);
        if constexpr (Far) simd::prefetch(p, ahead);
      });
      const auto step = [&](std::size_t t) SPIQ_LAMBDA_INLINE {
        const float* const row = x + t * n + i;
        if constexpr (Far) (simd::prefetch(row + K * width, ahead), ...);
        // Vector by vector: steps on the block as one vector make compilers keep copies of it in memory. Spikes of 64
        // neurons at a time: masks of the whole block are more than registers can hold.
        const auto joint = [&]<std::size_t... J>(auto first, std::index_sequence<J...>) SPIQ_LAMBDA_INLINE {
          const Spike<V> spikes[] = {M::step(constants, s[first + J], V::load(row + (first + J) * width), fire)...};
          sink(t, i + first * width, WholeVector{}, Spike<Joint>{{{spikes[J].fired...}}}, Joint{{s[first + J][0]...}});
        };
        [&]<std::size_t... G>(std::index_sequence<G...>) SPIQ_LAMBDA_INLINE {
          (joint(std::integral_constant<std::size_t, G * at_once>(), std::make_index_sequence<at_once>()), ...);
        }(std::make_index_sequence<Chains / at_once>());
      };
      constexpr std::size_t written_out = together<M, Arch, Far>;
      const std::size_t whole = steps / written_out * written_out;
      for (std::size_t t = 0; t < whole; t += written_out) {
        SPIQ_UNROLL
        for (std::size_t d = 0; d < written_out; ++d) step(t + d);
      }
      if constexpr (written_out > 1)
        for (std::size_t t = whole; t < steps; ++t) step(t);
      each_state([](const V& v, float* p) SPIQ_LAMBDA_INLINE { v.store(p); });
    }
    return last;
  }(std::make_index_sequence<Chains>());
}
}  // namespace detail

/// Runs `steps` steps of neurons [begin, end) of n: x [steps][n] currents, state [states][n], read and written.
/// `sink(t, i, access, s, v)` gets what the vector of neurons from i on does in step t: a `Spike`, and the membrane
/// potential after it. Vectors are of any width, and for one of them t ascends; lanes that `access` does not store are
/// no neurons. Results do not depend on how neurons are shared out to calls.
/// Bound: the loads of x, with states and spikes 4 + 8 states / steps + 1 / 8 bytes a neuron and step, or in the first
/// cache the instructions of the model.
template <class Arch = simd::best, Model M, class Sink>
void run_range(const M& model, std::size_t steps, std::size_t n, std::size_t begin, std::size_t end, const float* x,
               float* state, Sink&& sink) noexcept {
  using V = typename simd::traits<Arch>::f32;
  constexpr std::size_t chains = detail::chains<M, Arch>;
  const auto constants = detail::prepared<V>(model);
  const auto own = sink;  // what it points to may be anything, as far as the compiler knows, but not its copy
  // Rows from afar come in faster in shorter pieces, which hold fewer lines on their way at a time.
  std::size_t rest = begin;
  if constexpr (std::same_as<Arch, simd::best>)
    if ((end - begin) * steps * sizeof(float) > detail::far_bytes)
      rest = detail::run_blocks<Arch, chains / 2, true, M>(constants, steps, n, rest, end, x, state, own);
  rest = detail::run_blocks<Arch, chains, false, M>(constants, steps, n, rest, end, x, state, own);
  detail::for_each_vector<V>(rest, end, [&]<class>(std::size_t i, auto access) SPIQ_LAMBDA_INLINE {
    const Comparing<typename M::compare> fire;
    V s[M::states];
    SPIQ_UNROLL
    for (int k = 0; k < M::states; ++k) s[k] = access.template load<V>(state + static_cast<std::size_t>(k) * n + i);
    for (std::size_t t = 0; t < steps; ++t) {
      const Spike<V> spike = M::step(constants, s, access.template load<V>(x + t * n + i), fire);
      own(t, i, access, spike, s[0]);
    }
    SPIQ_UNROLL
    for (int k = 0; k < M::states; ++k) access.store(s[k], state + static_cast<std::size_t>(k) * n + i);
  });
}
/// The same for all n neurons.
template <class Arch = simd::best, Model M, class Sink>
void run(const M& model, std::size_t steps, std::size_t n, const float* x, float* state, Sink&& sink) noexcept {
  run_range<Arch>(model, steps, n, 0, n, x, state, sink);
}

/// Words of spikes of n neurons, a bit each.
constexpr std::size_t spike_words(std::size_t n) { return (n + 63) / 64; }

namespace detail {
/// A mask of `Width` bits, where integers are computed. Masks that have registers of their own g++ shifts there, and each
/// time that costs a neuron's chain a few cycles; clang joins them in vectors, by way of the stack.
template <std::size_t Width>
SPIQ_INLINE std::uint64_t general_register(std::uint64_t bits) {
#if defined(__GNUC__)
  if constexpr (Width > 8) asm("" : "+r"(bits));
#endif
  return bits;
}
/// Writes `Width` bits, 1 to 64, from bit i of a row on; i is a multiple of Width.
template <std::size_t Width>
SPIQ_INLINE void put_bits(unsigned char* row, std::size_t i, std::uint64_t bits) {
  static_assert(std::has_single_bit(Width) && Width <= 64);
  static_assert(std::endian::native == std::endian::little, "spiq: bytes of words lie lowest first");
#if defined(__clang__)  // g++ makes one store of the bytes below, and better code around it than with this
  if constexpr (Width >= 8) {
    std::memcpy(row + i / 8, &bits, Width / 8);
    return;
  }
#endif
  if constexpr (Width >= 8) {
    SPIQ_UNROLL
    for (std::size_t k = 0; k < Width / 8; ++k) row[i / 8 + k] = static_cast<unsigned char>(bits >> (8 * k));
  } else {  // part of a byte: the first of it also clears what stands there
    const std::uint64_t shifted = bits << (i % 8);
    row[i / 8] = static_cast<unsigned char>(i % 8 == 0 ? shifted : row[i / 8] | shifted);
  }
}
}  // namespace detail

/// A sink of `run` that packs spikes: bit i % 64 of word i / 64 in rows of `spike_words(n)` words, a row per step. It
/// clears the last word of each row first: the bits behind the last neuron are zero. Ranges of `run_range` must begin
/// at multiples of 64 neurons.
class SpikeBits {
public:
  SpikeBits(std::uint64_t* words, std::size_t n, std::size_t steps)
      : bytes_(reinterpret_cast<unsigned char*>(words)), stride_(spike_words(n) * 8) {
    for (std::size_t t = 0; t < steps && n != 0; ++t) words[(t + 1) * spike_words(n) - 1] = 0;
  }

  template <class Access, class S, class V>
  SPIQ_INLINE void operator()(std::size_t t, std::size_t i, Access access, const S& spike, V) const {
    if constexpr (requires { spike.fired.part; }) {
      put<V::width>(t, i, joined<V::one::width>(spike.fired, std::make_index_sequence<V::parts>()));
    } else if constexpr (requires { access.count; }) {
      put<V::width>(t, i, spike.fired.bits() & ((1u << access.count) - 1));
    } else {
      put<V::width>(t, i, spike.fired.bits());
    }
  }

private:
  // Masks of several vectors, the first in the lowest bits.
  template <std::size_t Width, class Mask, std::size_t... K>
  static SPIQ_INLINE std::uint64_t joined(const Mask& m, std::index_sequence<K...>) {
    return ((detail::general_register<Width>(m.part[K].bits()) << (K * Width)) | ...);
  }
  template <std::size_t Width>
  SPIQ_INLINE void put(std::size_t t, std::size_t i, std::uint64_t bits) const {
    detail::put_bits<Width>(bytes_ + t * stride_, i, bits);
  }
  unsigned char* bytes_;
  std::size_t stride_;
};

/// Runs `steps` steps of n neurons from currents x [steps][n]; spikes become bits [steps][spike_words(n)], state
/// [states][n] is read and written. Spans of other sizes and models that `check` refuses throw `spiq::Error`.
template <class Arch = simd::best, Model M>
void run(const M& model, std::size_t steps, std::size_t n, std::span<const float> x, std::span<float> state,
         std::span<std::uint64_t> spikes) {
  check(model);
  expect_values("neurons: state", state.size(), static_cast<std::size_t>(M::states), n);
  expect_values("neurons: currents", x.size(), steps, n);
  expect_values("neurons: spikes", spikes.size(), steps, spike_words(n));
  if (n != 0) run<Arch>(model, steps, n, x.data(), state.data(), SpikeBits(spikes.data(), n, steps));
}

}  // namespace neuron

SPIQ_END_NAMESPACE
