/// @file
/// Neuron models, composed of a charge, a comparison and a reset: one step in time, for any number type.
#pragma once

#include <spiq/neuron/charge.hpp>
#include <spiq/neuron/fire.hpp>

#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <string_view>

SPIQ_BEGIN_NAMESPACE

/// What a spike does to the membrane potential.
namespace reset {
/// v = value: hard reset.
struct Hard {
  static constexpr bool has_value = true;
  template <class N>
  static SPIQ_INLINE N apply(const N& v, const neuron::Spike<N>& s, const N&, const N& value) {
    return where(s, value, v);
  }
};
/// v = v - threshold: soft reset, which keeps what lies above.
struct Soft {
  static constexpr bool has_value = false;
  template <class N>
  static SPIQ_INLINE N apply(const N& v, const neuron::Spike<N>& s, const N& threshold, const N&) {
    return where(s, v - threshold, v);
  }
};
/// Nothing.
struct None {
  static constexpr bool has_value = false;
  template <class N>
  static SPIQ_INLINE N apply(const N& v, const neuron::Spike<N>&, const N&, const N&) {
    return v;
  }
};
}  // namespace reset

/// When it does so.
namespace timing {
/// In the step of the spike: the potential stored is that after the reset.
struct SameStep {};
/// In the step behind it, on the charged potential, by the spikes that the stored potential says there were: snnTorch.
/// No gradient passes through these.
struct NextStep {};
/// As `NextStep`, but on the stored potential, before it takes up the input, which so is kept: snnTorch's Leaky with
/// reset_mechanism = "zero".
struct BeforeCharge {};
/// As `NextStep`, then in the step of the spike what would follow in the next one is done and what was done for the
/// last one undone: snnTorch with reset_delay = False.
struct Corrected {};
/// Fires by the stored potential, resets it and takes up the input behind that, which so acts from the next step on
/// (Rathi et al., arXiv 2005.01807).
struct FireFirst {};
}  // namespace timing

namespace neuron {

/// A membrane model: charge, compare with the threshold, fire, reset. `x` is the current of one step, already in the
/// unit of the membrane potential. Membrane, threshold and reset value share one unit.
template <class Charge, class Compare = fire::AtThreshold, class Reset = reset::Hard, class Timing = timing::SameStep>
struct Neuron {
  Charge charge{};
  float threshold = 1;
  float reset_value = 0;  ///< of a hard reset
  float initial = 0;      ///< membrane potential before the first step

  using compare = Compare;
  static constexpr int states = Charge::states;
  static constexpr auto state_names = Charge::state_names;
  /// Of the charge, then `threshold`, then `reset_value`.
  static constexpr std::size_t parameter_count = Charge::parameter_names.size() + 2;
  static constexpr auto parameter_names = appended(Charge::parameter_names, "threshold", "reset_value");
  [[nodiscard]] std::array<float, parameter_count> parameters() const {
    return appended(charge.parameters(), threshold, reset_value);
  }

  /// State before the first step.
  [[nodiscard]] std::array<float, static_cast<std::size_t>(states)> initial_state() const {
    std::array<float, static_cast<std::size_t>(states)> state{initial};
    if constexpr (requires { charge.initialise(state.data()); }) charge.initialise(state.data());
    return state;
  }

  template <class N>
  struct Constants {
    typename Charge::template Constants<N> charge;
    N threshold, reset_value;
  };
  /// What steps need, from the parameters (in the order of `parameter_names`).
  template <class N>
  [[nodiscard]] Constants<N> prepare(const N* p) const {
    return {charge.template prepare<N>(p), p[parameter_count - 2], p[parameter_count - 1]};
  }

  /// One step: advances the state by the current x and returns who fires. `fire` is `Comparing<compare>` or
  /// `Differentiable<compare, Surrogate>`.
  template <class N, class Fire>
  static SPIQ_INLINE Spike<N> step(const Constants<N>& c, N* state, const N& x, const Fire& fire) {
    N theta = c.threshold;
    if constexpr (requires { Charge::threshold(c.charge, state, theta); })
      theta = Charge::threshold(c.charge, state, theta);
    if constexpr (std::same_as<Timing, timing::SameStep>) {
      const N h = Charge::charge(c.charge, state, x);
      const Spike<N> s = fire(h, theta), by = fire.for_reset(s);
      state[0] = Reset::apply(h, by, theta, c.reset_value);
      after(c, state, by);
      return s;
    } else if constexpr (std::same_as<Timing, timing::FireFirst>) {
      const Spike<N> s = fire(state[0], theta), by = fire.for_reset(s);
      const N v = Charge::charge(c.charge, state, x);
      state[0] = Reset::apply(v, by, theta, c.reset_value);
      after(c, state, by);
      return s;
    } else {
      const Spike<N> before = detached(fire(state[0], theta));
      if constexpr (std::same_as<Timing, timing::BeforeCharge>)
        state[0] = Reset::apply(state[0], before, theta, c.reset_value);
      N v = Charge::charge(c.charge, state, x);
      if constexpr (!std::same_as<Timing, timing::BeforeCharge>) v = Reset::apply(v, before, theta, c.reset_value);
      const Spike<N> s = fire(v, theta);
      if constexpr (std::same_as<Timing, timing::Corrected>) {
        const N change = amount(s) - amount(before);
        if constexpr (std::same_as<Reset, reset::Soft>)
          v = fnma(change, theta, v);
        else if constexpr (std::same_as<Reset, reset::Hard>)
          v = fnma(change, v - c.reset_value, v);
      }
      state[0] = v;
      after(c, state, s);
      return s;
    }
  }

private:
  template <class N>
  static SPIQ_INLINE void after(const Constants<N>& c, N* state, const Spike<N>& s) {
    if constexpr (requires { Charge::after(c.charge, state, amount(s)); }) Charge::after(c.charge, state, amount(s));
  }
};

/// Another model that rests after a spike: for `period` steps its membrane keeps its value and it does not fire, while
/// the rest of its state goes on, as if spikes held back had been fired: not for charges that remember spikes, such as
/// `Adaptive`. A counter rho is set to `period` by a spike and counts down to 0 (Norse's lif_refrac).
template <class Inner>
struct Refractory {
  Inner inner{};
  float period = 4;  ///< steps, a whole number
  void check() const {
    need(period >= 0 && period < 0x1p24f && period == std::floor(period), "refractory period", "a number of steps",
         period);
  }

  using compare = typename Inner::compare;
  static constexpr int states = Inner::states + 1;
  static constexpr auto state_names = appended(Inner::state_names, "rho");
  static constexpr auto parameter_names = Inner::parameter_names;
  static constexpr std::size_t parameter_count = Inner::parameter_count;
  [[nodiscard]] auto parameters() const { return inner.parameters(); }
  [[nodiscard]] auto initial_state() const { return appended(inner.initial_state(), 0); }

  template <class N>
  struct Constants {
    typename Inner::template Constants<N> inner;
    N period;
  };
  template <class N>
  [[nodiscard]] Constants<N> prepare(const N* p) const {
    return {inner.template prepare<N>(p), N::broadcast(period)};
  }
  template <class N, class Fire>
  static SPIQ_INLINE Spike<N> step(const Constants<N>& c, N* state, const N& x, const Fire& fire) {
    const N before = state[0], rho = state[states - 1];
    const Spike<N> fired = Inner::step(c.inner, state, x, fire);
    // rho counts whole steps: models that fire at their threshold ask whether it reaches a half.
    constexpr float least = std::same_as<compare, fire::AtThreshold> ? 0.5f : 0.0f;
    const Spike<N> resting = fire(rho, N::broadcast(least));
    state[0] = where(resting, before, state[0]);
    const Spike<N> s = without(fired, resting);
    state[states - 1] = where(fire.for_reset(s), c.period, max(rho - amount(resting), N::zero()));
    return s;
  }
};

/// Another model whose input also has `weight` times its own spike of the step before (snnTorch's RLeaky with
/// all_to_all = False). Recurrence between neurons is a matter of layers.
template <class Inner>
struct SelfRecurrent {
  Inner inner{};
  float weight = 0.25f;

  using compare = typename Inner::compare;
  static constexpr int states = Inner::states + 1;
  static constexpr auto state_names = appended(Inner::state_names, "s");
  static constexpr std::size_t parameter_count = Inner::parameter_count + 1;
  static constexpr auto parameter_names = appended(Inner::parameter_names, "weight");
  [[nodiscard]] auto parameters() const { return appended(inner.parameters(), weight); }
  [[nodiscard]] auto initial_state() const { return appended(inner.initial_state(), 0); }

  template <class N>
  struct Constants {
    typename Inner::template Constants<N> inner;
    N weight;
  };
  template <class N>
  [[nodiscard]] Constants<N> prepare(const N* p) const {
    return {inner.template prepare<N>(p), p[parameter_count - 1]};
  }
  template <class N, class Fire>
  static SPIQ_INLINE Spike<N> step(const Constants<N>& c, N* state, const N& x, const Fire& fire) {
    const Spike<N> s = Inner::step(c.inner, state, fma(c.weight, state[states - 1], x), fire);
    state[states - 1] = amount(s);
    return s;
  }
};

/// Another model that counts the steps since its last spike, for surrogates that ask (`surrogate::Stdb`): 1 in the step
/// behind a spike, `never` in the first step.
template <class Inner>
struct SinceSpike : Inner {
  static constexpr float never = 999;

  static constexpr int states = Inner::states + 1;
  static constexpr auto state_names = appended(Inner::state_names, "age");
  [[nodiscard]] auto initial_state() const { return appended(Inner::initial_state(), never); }
  template <class N, class Fire>
  static SPIQ_INLINE Spike<N> step(const typename Inner::template Constants<N>& c, N* state, const N& x,
                                   const Fire& fire) {
    const N age = state[states - 1], one = N::broadcast(1.0f);
    const Spike<N> s = Inner::step(c, state, x, fire.since(age));
    state[states - 1] = where(detached(s), one, age + one);
    return s;
  }
};

/// Two exponential currents whose difference rises and falls, snnTorch's Alpha, 0 < beta < alpha < 1:
/// e <- alpha e + x, i <- beta i - x, v = tau (e + i), tau = ln alpha / (ln beta - ln alpha) + 1. Its reset, in the
/// next step, acts on the currents: soft, e loses the threshold, i is emptied and v gains the i of before; hard, all
/// are 0.
template <class Reset = reset::Soft>
struct AlphaNeuron {
  static_assert(std::same_as<Reset, reset::Soft> || std::same_as<Reset, reset::Hard>,
                "spiq: an alpha neuron resets soft or hard");
  float alpha = 0.85f, beta = 0.8f;
  float threshold = 1;
  void check() const {
    need(alpha < 1, "alpha", "a number below 1", alpha);
    need(beta > 0 && beta < alpha, "beta", "a number greater than 0 and smaller than alpha", beta);
  }

  using compare = fire::AboveThreshold;
  static constexpr int states = 3;
  static constexpr std::array<std::string_view, 3> state_names{"v", "syn_exc", "syn_inh"};
  static constexpr std::size_t parameter_count = 1;
  static constexpr std::array<std::string_view, 1> parameter_names{"threshold"};
  [[nodiscard]] std::array<float, 1> parameters() const { return {threshold}; }
  [[nodiscard]] std::array<float, 3> initial_state() const { return {}; }

  template <class N>
  struct Constants {
    N alpha, beta, tau, threshold;
  };
  template <class N>
  [[nodiscard]] Constants<N> prepare(const N* p) const {
    const double a = std::log(double{alpha}), b = std::log(double{beta});
    return {N::broadcast(alpha), N::broadcast(beta), N::broadcast(static_cast<float>(a / (b - a) + 1)), p[0]};
  }
  template <class N, class Fire>
  static SPIQ_INLINE Spike<N> step(const Constants<N>& c, N* state, const N& x, const Fire& fire) {
    const Spike<N> before = detached(fire(state[0], c.threshold));
    const N inhibition = state[2];
    const N e = fma(c.alpha, state[1], x), i = fma(c.beta, state[2], N::zero() - x);
    const N v = c.tau * (e + i);
    if constexpr (std::same_as<Reset, reset::Soft>) {
      state[0] = where(before, v + inhibition, v);
      state[1] = where(before, e - c.threshold, e);
      state[2] = where(before, N::zero(), i);
    } else {
      state[0] = where(before, N::zero(), v);
      state[1] = where(before, N::zero(), e);
      state[2] = where(before, N::zero(), i);
    }
    return fire(state[0], c.threshold);
  }
};

/// Throws `spiq::Error` for a model whose numbers make no sense: any that is not finite (but a threshold, which may be
/// infinite), and what `check()` of the model, of its charge and of what they wrap refuses.
template <class M>
void check(const M& model) {
  const auto values = model.parameters();
  for (std::size_t i = 0; i < values.size(); ++i)
    need(std::isfinite(values[i]) || (M::parameter_names[i] == "threshold" && values[i] > 0), M::parameter_names[i],
         "a finite number", values[i]);
  if constexpr (requires { model.initial_state(); })
    for (const float v : model.initial_state()) need(std::isfinite(v), "initial state", "finite numbers", v);
  if constexpr (requires { model.check(); }) model.check();
  if constexpr (requires { model.charge.parameters(); }) check(model.charge);
  if constexpr (requires { model.inner.parameters(); }) check(model.inner);
}

/// Something with states, parameters, `prepare` and `step` as above.
template <class M>
concept Model = requires(const M model) {
  typename M::compare;
  { M::states } -> std::convertible_to<int>;
  { M::parameter_count } -> std::convertible_to<std::size_t>;
  M::state_names;
  M::parameter_names;
  model.parameters();
  model.initial_state();
};

}  // namespace neuron

SPIQ_END_NAMESPACE
