/// @file
/// Gradients of neurons, one step of time at a time: the model's own step on vectors that carry derivatives.
#pragma once

#include <spiq/neuron/run.hpp>

#include <array>
#include <cstddef>

SPIQ_BEGIN_NAMESPACE

namespace neuron {

/// One step backward of neurons [begin, end) of n. Given x [n] and `before` [states][n], the state before the step, and
/// - `spike_gradient` [n], dL / d spike of this step (may be null),
/// - `state_gradient` [states][n], dL / d state after the step; becomes that of the state before it,
/// writes `x_gradient` [n] and adds dL / d parameter to `parameter_gradient` [M::parameter_count] (null: not wanted).
/// `spike_cost` is added to the gradient of every spike.
/// Walk t from the last step to the first. Truncation is a matter of the caller: zero `state_gradient` where it ends
/// (after every step: spatial learning through time, SLTT, arXiv 2302.14311).
template <class Arch = simd::best, Model M, class Surrogate>
void step_backward(const M& model, const Differentiable<typename M::compare, Surrogate>& fire, std::size_t n,
                   std::size_t begin, std::size_t end, const float* x, const float* before, const float* spike_gradient, float* state_gradient,
                   float* x_gradient, float* parameter_gradient, float spike_cost = 0) noexcept {
  using V = typename simd::traits<Arch>::f32;
  constexpr int states = M::states, parameters = static_cast<int>(M::parameter_count);
  const auto sweep = [&]<bool Learns>(std::bool_constant<Learns>) {
    // Directions: the states, the current, then the parameters.
    using N = Dual<V, states + 1 + (Learns ? parameters : 0)>;
    const auto values = model.parameters();
    std::array<N, static_cast<std::size_t>(parameters > 0 ? parameters : 1)> p;
    for (int i = 0; i < parameters; ++i) {
      const V value = V::broadcast(values[static_cast<std::size_t>(i)]);
      p[static_cast<std::size_t>(i)] = Learns ? N::variable(value, states + 1 + i) : N::constant(value);
    }
    const auto constants = model.template prepare<N>(p.data());
    [[maybe_unused]] std::array<V, static_cast<std::size_t>(parameters > 0 ? parameters : 1)> sums;
    if constexpr (Learns) sums.fill(V::zero());
    detail::for_each_vector<V>(begin, end, [&]<class>(std::size_t i, auto access) {
      N s[states];
      V g[states];
      for (int k = 0; k < states; ++k) {
        const std::size_t at = static_cast<std::size_t>(k) * n + i;
        s[k] = N::variable(access.template load<V>(before + at), k);
        g[k] = access.template load<V>(state_gradient + at);
      }
      const Spike<N> spike =
          M::step(constants, s, N::variable(access.template load<V>(x + i), states), fire);
      const V gs = (spike_gradient == nullptr ? V::zero() : access.template load<V>(spike_gradient + i)) +
                   V::broadcast(spike_cost);
      const auto along = [&](int direction) {
        V sum = gs * spike.slope[direction];
        for (int k = 0; k < states; ++k) sum = fma(g[k], s[k].slope[direction], sum);
        return sum;
      };
      for (int k = 0; k < states; ++k) access.store(along(k), state_gradient + static_cast<std::size_t>(k) * n + i);
      access.store(along(states), x_gradient + i);
      if constexpr (Learns) {
        for (int k = 0; k < parameters; ++k) {
          V part = along(states + 1 + k);
          if constexpr (requires { access.count; }) {  // lanes beyond the last neuron have no part in a sum
            alignas(64) float lanes[V::width] = {};
            part.store_first(lanes, access.count);
            part = V::load(lanes);
          }
          sums[static_cast<std::size_t>(k)] = sums[static_cast<std::size_t>(k)] + part;
        }
      }
    });
    if constexpr (Learns)
      for (int k = 0; k < parameters; ++k) parameter_gradient[k] += reduce_add(sums[static_cast<std::size_t>(k)]);
  };
  if (parameter_gradient != nullptr)
    sweep(std::true_type{});
  else
    sweep(std::false_type{});
}

/// The same for all n neurons.
template <class Arch = simd::best, Model M, class Surrogate>
void step_backward(const M& model, const Differentiable<typename M::compare, Surrogate>& fire, std::size_t n,
                   const float* x, const float* before, const float* spike_gradient, float* state_gradient,
                   float* x_gradient, float* parameter_gradient) noexcept {
  step_backward<Arch>(model, fire, n, 0, n, x, before, spike_gradient, state_gradient, x_gradient, parameter_gradient);
}

}  // namespace neuron

SPIQ_END_NAMESPACE
