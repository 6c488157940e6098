/// @file
/// Neurons over time: all steps of a group of neurons before the next group, their state in registers.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/neuron/neuron.hpp>
#include <spiq/simd/interleaved.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

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
  std::size_t i = begin;
  for (; i + width <= end; i += width) work.template operator()<V>(i, WholeVector{});
  return i;
}
template <class V, class Work>
SPIQ_INLINE void for_each_vector(std::size_t begin, std::size_t end, const Work& work) {
  const std::size_t i = for_each_whole<V>(begin, end, work);
  if (i < end) work.template operator()<V>(i, FirstLanes{static_cast<int>(end - i)});
}

/// Vectors whose steps are interleaved: the chain of one neuron, from membrane to membrane, is some ten cycles long.
template <Model M, class Arch>
inline constexpr int chains = simd::traits<Arch>::registers >= 32 ? (M::states == 1 ? 8 : 4) : (M::states == 1 ? 4 : 2);
}  // namespace detail

/// Runs `steps` steps of neurons [begin, end) of n: x [steps][n] currents, state [states][n], read and written.
/// `sink(t, i, access, s, v)` gets what the vector of neurons from i on does in step t: a `Spike`, and the membrane
/// potential after it. Vectors are of any width, and for one of them t ascends; lanes that `access` does not store are no
/// neurons. Results do not depend on how neurons are shared out to calls.
/// Bound: the loads of x, with states and spikes 4 + 8 states / steps + 1 / 8 bytes a neuron and step, or in the first
/// cache the instructions of the model.
template <class Arch = simd::best, Model M, class Sink>
void run_range(const M& model, std::size_t steps, std::size_t n, std::size_t begin, std::size_t end, const float* x,
               float* state, Sink&& sink) noexcept {
  const auto work = [&]<class V>(std::size_t i, auto access) SPIQ_LAMBDA_INLINE {
    const auto constants = detail::prepared<V>(model);
    const Comparing<typename M::compare> fire;
    const auto own = sink;  // what it points to may be anything, as far as the compiler knows, but not its copy
    V s[M::states];
    SPIQ_UNROLL
    for (int k = 0; k < M::states; ++k) s[k] = access.template load<V>(state + static_cast<std::size_t>(k) * n + i);
    for (std::size_t t = 0; t < steps; ++t) {
      const Spike<V> spike = M::step(constants, s, access.template load<V>(x + t * n + i), fire);
      own(t, i, access, spike, s[0]);
    }
    SPIQ_UNROLL
    for (int k = 0; k < M::states; ++k) access.store(s[k], state + static_cast<std::size_t>(k) * n + i);
  };
  using Blocks = simd::interleaved<Arch, detail::chains<M, Arch>>;
  const std::size_t rest = detail::for_each_whole<typename simd::traits<Blocks>::f32>(begin, end, work);
  detail::for_each_vector<typename simd::traits<Arch>::f32>(rest, end, work);
}
/// The same for all n neurons.
template <class Arch = simd::best, Model M, class Sink>
void run(const M& model, std::size_t steps, std::size_t n, const float* x, float* state, Sink&& sink) noexcept {
  run_range<Arch>(model, steps, n, 0, n, x, state, sink);
}

/// Words of spikes of n neurons, a bit each.
constexpr std::size_t spike_words(std::size_t n) { return (n + 63) / 64; }

/// A sink of `run` that packs spikes: bit i % 64 of word i / 64 in rows of `spike_words(n)` words, a row per step. It
/// clears the last word of each row first: the bits behind the last neuron are zero.
class SpikeBits {
public:
  SpikeBits(std::uint64_t* words, std::size_t n, std::size_t steps)
      : bytes_(reinterpret_cast<unsigned char*>(words)), stride_(spike_words(n) * 8) {
    for (std::size_t t = 0; t < steps && n != 0; ++t) words[(t + 1) * spike_words(n) - 1] = 0;
  }

  template <class Access, class S, class V>
  SPIQ_INLINE void operator()(std::size_t t, std::size_t i, Access access, const S& spike, V) const {
    if constexpr (requires { spike.fired.part; }) {
      constexpr std::size_t width = V::one::width;
      SPIQ_UNROLL
      for (std::size_t k = 0; k < V::parts; ++k) put<width>(t, i + k * width, spike.fired.part[k].bits());
    } else if constexpr (requires { access.count; }) {
      put<V::width>(t, i, spike.fired.bits() & ((1u << access.count) - 1));
    } else {
      put<V::width>(t, i, spike.fired.bits());
    }
  }

private:
  template <std::size_t Width>
  SPIQ_INLINE void put(std::size_t t, std::size_t i, std::uint32_t bits) const {
    unsigned char* const row = bytes_ + t * stride_;
    if constexpr (Width == 16) {
      const auto two = static_cast<std::uint16_t>(bits);
      std::memcpy(row + i / 8, &two, 2);
    } else if constexpr (Width == 8) {
      row[i / 8] = static_cast<unsigned char>(bits);
    } else {  // part of a byte: the first of it also clears what stands there
      const std::uint32_t shifted = bits << (i % 8);
      row[i / 8] = static_cast<unsigned char>(i % 8 == 0 ? shifted : row[i / 8] | shifted);
    }
  }
  unsigned char* bytes_;
  std::size_t stride_;
};

/// Runs `steps` steps of n neurons from currents x [steps][n]; spikes become bits [steps][spike_words(n)], state
/// [states][n] is read and written. Spans of other sizes throw `spiq::Error`.
template <class Arch = simd::best, Model M>
void run(const M& model, std::size_t steps, std::size_t n, std::span<const float> x, std::span<float> state,
         std::span<std::uint64_t> spikes) {
  const auto expect = [](const char* what, std::size_t found, std::size_t wanted) {
    if (found != wanted)
      SPIQ_THROW(std::string("neurons: ") + what, std::to_string(wanted) + " values", std::to_string(found));
  };
  expect("currents", x.size(), steps * n);
  expect("state", state.size(), static_cast<std::size_t>(M::states) * n);
  expect("spikes", spikes.size(), steps * spike_words(n));
  if (n != 0) run<Arch>(model, steps, n, x.data(), state.data(), SpikeBits(spikes.data(), n, steps));
}

}  // namespace neuron

SPIQ_END_NAMESPACE
