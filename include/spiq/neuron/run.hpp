/// @file
/// Neurons over time: all steps of a group of neurons before the next group, their state in registers.
#pragma once

#include <spiq/core/parallel.hpp>
#include <spiq/neuron/neuron.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

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

/// Calls `work(begin, access)` for each vector of n lanes.
template <class V, class Work>
SPIQ_INLINE void for_each_vector(std::size_t begin, std::size_t end, const Work& work) {
  constexpr std::size_t width = V::width;
  std::size_t i = begin;
  for (; i + width <= end; i += width) work(i, WholeVector{});
  if (i < end) work(i, FirstLanes{static_cast<int>(end - i)});
}
}  // namespace detail

/// Runs `steps` steps of n neurons: x [steps][n] currents, state [states][n], read and written. `sink(t, i, access,
/// s, v)` gets what the vector of neurons from i on does in step t: a `Spike`, and the membrane potential after it.
/// Calls for one t come in ascending i; bits beyond n are not spikes of anything.
template <class Arch = simd::best, Model M, class Sink>
void run(const M& model, std::size_t steps, std::size_t n, const float* x, float* state, Sink&& sink) noexcept {
  using V = typename simd::traits<Arch>::f32;
  const auto constants = detail::prepared<V>(model);
  const Comparing<typename M::compare> fire;
  detail::for_each_vector<V>(0, n, [&](std::size_t i, auto access) SPIQ_LAMBDA_INLINE {
    V s[M::states];
    for (int k = 0; k < M::states; ++k) s[k] = access.template load<V>(state + static_cast<std::size_t>(k) * n + i);
    for (std::size_t t = 0; t < steps; ++t) {
      const Spike<V> spike = M::step(constants, s, access.template load<V>(x + t * n + i), fire);
      sink(t, i, access, spike, s[0]);
    }
    for (int k = 0; k < M::states; ++k) access.store(s[k], state + static_cast<std::size_t>(k) * n + i);
  });
}

}  // namespace neuron

SPIQ_END_NAMESPACE
