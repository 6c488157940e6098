/// @file
/// How the membrane of a neuron takes up its input: the part of a model before the threshold.
#pragma once

#include <spiq/neuron/constants.hpp>
#include <spiq/neuron/dual.hpp>

#include <array>
#include <cmath>
#include <concepts>
#include <string_view>

SPIQ_BEGIN_NAMESPACE

/// Charges: policies of `Neuron`. Each has
/// - `states`, the number of its state variables, of which the first is the membrane potential; their `state_names`;
/// - `parameter_names`, and `parameters()`, their values;
/// - `Constants<N>`, what a step needs, from `prepare(p)`, p the parameters as numbers N (a vector, or a Dual of one);
/// - `charge(constants, state, x)`: advances the state by the current x and returns the charged membrane potential,
///   which `Neuron` compares, resets and stores; `state[0]` is still the potential before;
/// - where it has them: `check()`, which throws for constants that make no sense (`neuron::check`);
///   `initialise(state)`, which fills in what follows from the potential before the first step;
///   `after(constants, state, s)`, with the spikes s as 0 or 1; `threshold(constants, state, theta)`.
namespace charge {

/// v + x: integrate-and-fire.
struct Integrate {
  static constexpr int states = 1;
  static constexpr std::array<std::string_view, 1> state_names{"v"};
  static constexpr std::array<std::string_view, 0> parameter_names{};
  [[nodiscard]] std::array<float, 0> parameters() const { return {}; }
  template <class N>
  struct Constants {};
  template <class N>
  static Constants<N> prepare(const N*) {
    return {};
  }
  template <class N>
  static SPIQ_INLINE N charge(const Constants<N>&, const N* state, const N& x) {
    return state[0] + x;
  }
};

/// beta v + x: snnTorch's Leaky.
struct Decay {
  float beta = 0.9f;
  static constexpr int states = 1;
  static constexpr std::array<std::string_view, 1> state_names{"v"};
  static constexpr std::array<std::string_view, 1> parameter_names{"beta"};
  [[nodiscard]] std::array<float, 1> parameters() const { return {beta}; }
  template <class N>
  struct Constants {
    N beta;
  };
  template <class N>
  static Constants<N> prepare(const N* p) {
    return {p[0]};
  }
  template <class N>
  static SPIQ_INLINE N charge(const Constants<N>& c, const N* state, const N& x) {
    return fma(c.beta, state[0], x);
  }
};

/// How a leak is stated: by its gain g in v + g (rest - v), or by what it follows from.
namespace leak {
/// The gain itself, for instance dt / tau (Euler) or 1 - e^(-dt / tau) (exact for a held input).
struct Gain {
  static constexpr std::string_view name = "gain";
  template <class N>
  static N gain(const N& p) {
    return p;
  }
};
/// The time constant in steps: g = 1 / tau.
struct Tau {
  static constexpr std::string_view name = "tau";
  template <class N>
  static N gain(const N& p) {
    return N::broadcast(1.0f) / p;
  }
};
/// g = sigma(w), which any w keeps in (0, 1): the learned leak of Fang et al., arXiv 2007.05785.
struct Logit {
  static constexpr std::string_view name = "w";
  template <class N>
  static N gain(const N& p) {
    return neuron::logistic(p);
  }
  /// w of a time constant in steps; throws unless it is greater than 1.
  static float of_tau(float tau) {
    neuron::need(tau > 1, "tau", "a number greater than 1", tau);
    return static_cast<float>(-std::log(double{tau} - 1));
  }
};
}  // namespace leak

/// What reaches the membrane: the input times the gain of the leak, or the input itself.
enum class Input { decayed, direct };

/// v + g (rest + r x - v) if the input is decayed, v + g (rest - v) + x if it is direct: leaky integrate-and-fire.
/// SpikingJelly's LIFNode (r = 1, rest = v_reset), Norse's lif_box and NIR's LIF.
template <class Leak = leak::Tau, Input Kind = Input::decayed>
struct Relax {
  float leak = 2;  ///< in the unit of `Leak`
  float rest = 0;
  float resistance = 1;  ///< of a decayed input
  static constexpr int states = 1;
  static constexpr std::array<std::string_view, 1> state_names{"v"};
  static constexpr std::array<std::string_view, 2> parameter_names{Leak::name, "rest"};
  [[nodiscard]] std::array<float, 2> parameters() const { return {leak, rest}; }
  void check() const {
    if constexpr (std::same_as<Leak, charge::leak::Tau>) neuron::need(leak > 0, "tau", "a positive number", leak);
  }
  template <class N>
  struct Constants {
    N gain, rest, resistance;
  };
  template <class N>
  Constants<N> prepare(const N* p) const {
    return {Leak::gain(p[0]), p[1], N::broadcast(resistance)};
  }
  template <class N>
  static SPIQ_INLINE N charge(const Constants<N>& c, const N* state, const N& x) {
    const N& v = state[0];
    if constexpr (Kind == Input::decayed)
      return fma(c.gain, fma(c.resistance, x, c.rest - v), v);
    else
      return fma(c.gain, c.rest - v, v) + x;
  }
};

/// i <- alpha i + x; beta v + i: snnTorch's Synaptic, SpikingJelly's CUBALIFNode.
struct DecayingCurrent {
  float alpha = 0.9f, beta = 0.8f;
  static constexpr int states = 2;
  static constexpr std::array<std::string_view, 2> state_names{"v", "i"};
  static constexpr std::array<std::string_view, 2> parameter_names{"alpha", "beta"};
  [[nodiscard]] std::array<float, 2> parameters() const { return {alpha, beta}; }
  template <class N>
  struct Constants {
    N alpha, beta;
  };
  template <class N>
  static Constants<N> prepare(const N* p) {
    return {p[0], p[1]};
  }
  template <class N>
  static SPIQ_INLINE N charge(const Constants<N>& c, N* state, const N& x) {
    state[1] = fma(c.alpha, state[1], x);
    return fma(c.beta, state[0], state[1]);
  }
};

/// j = i + x; v + g_m (rest - v + j); i <- j - g_s j: Norse's lif, g = dt / tau. With `Steep` the bracket also has
/// delta e^((v - theta) / delta) (lif_ex), with `Adaptive` it loses a, and a <- a + g_a (k (v - rest) - a), then
/// a <- a + b s (lif_adex).
template <bool Steep = false, bool Adaptive = false>
struct RelaxingCurrent {
  float membrane_gain = 0.1f, synapse_gain = 0.2f;
  float rest = 0;
  float delta = 0.5f, theta = 1;                                 ///< of a steep one
  float adaptation_gain = 0.002f, subthreshold = 4, jump = 0.02f;  ///< of an adaptive one: g_a, k, b
  static constexpr int states = Adaptive ? 3 : 2;
  static constexpr std::array<std::string_view, 3> all_state_names{"v", "i", "a"};
  static constexpr auto state_names = [] {
    std::array<std::string_view, states> names{};
    for (std::size_t i = 0; i < names.size(); ++i) names[i] = all_state_names[i];
    return names;
  }();
  static constexpr std::array<std::string_view, 3> parameter_names{"membrane_gain", "synapse_gain", "rest"};
  [[nodiscard]] std::array<float, 3> parameters() const { return {membrane_gain, synapse_gain, rest}; }
  void check() const { neuron::need(!Steep || delta > 0, "delta", "a positive number", delta); }
  template <class N>
  struct Constants {
    N membrane, synapse, rest, delta, inverse_delta, theta, adaptation, subthreshold, jump;
  };
  template <class N>
  Constants<N> prepare(const N* p) const {
    const auto n = [](float x) { return N::broadcast(x); };
    return {p[0], p[1], p[2], n(delta), n(1 / delta), n(theta), n(adaptation_gain), n(subthreshold), n(jump)};
  }
  template <class N>
  static SPIQ_INLINE N charge(const Constants<N>& c, N* state, const N& x) {
    const N v = state[0], current = state[1] + x;
    N drive = c.rest - v + current;
    if constexpr (Steep) drive = fma(c.delta, neuron::exponential((v - c.theta) * c.inverse_delta), drive);
    if constexpr (Adaptive) {
      drive = drive - state[2];
      state[2] = fma(c.adaptation, fma(c.subthreshold, v - c.rest, N::zero() - state[2]), state[2]);
    }
    state[1] = fnma(c.synapse, current, current);
    return fma(c.membrane, drive, v);
  }
  template <class N>
  static SPIQ_INLINE void after(const Constants<N>& c, N* state, const N& s)
    requires Adaptive
  {
    state[2] = fma(c.jump, s, state[2]);
  }
};

/// v + (x + a (v - rest) (v - critical)) / tau: quadratic integrate-and-fire, SpikingJelly's QIFNode. `Adaptive`
/// subtracts w inside the bracket, and w <- w + (k (h - rest) - w) / tau_w with the charged potential h, then
/// w <- w + b s: its IzhikevichNode.
template <bool Adaptive = false>
struct QuadraticLeak {
  float tau = 2, curvature = 1, rest = 0, critical = 0.8f;
  float adaptation_tau = 4, subthreshold = 0.2f, jump = 0.1f;  ///< of an adaptive one: tau_w, k, b
  static constexpr int states = Adaptive ? 2 : 1;
  static constexpr auto state_names = [] {
    if constexpr (Adaptive)
      return std::array<std::string_view, 2>{"v", "w"};
    else
      return std::array<std::string_view, 1>{"v"};
  }();
  static constexpr std::array<std::string_view, 1> parameter_names{"tau"};
  [[nodiscard]] std::array<float, 1> parameters() const { return {tau}; }
  void check() const {
    neuron::need(tau > 0, "tau", "a positive number", tau);
    neuron::need(!Adaptive || adaptation_tau > 0, "adaptation_tau", "a positive number", adaptation_tau);
  }
  template <class N>
  struct Constants {
    N gain, curvature, rest, critical, adaptation, subthreshold, jump;
  };
  template <class N>
  Constants<N> prepare(const N* p) const {
    const auto n = [](float x) { return N::broadcast(x); };
    return {N::broadcast(1.0f) / p[0], n(curvature),    n(rest), n(critical),
            n(1 / adaptation_tau),     n(subthreshold), n(jump)};
  }
  template <class N>
  static SPIQ_INLINE N charge(const Constants<N>& c, N* state, const N& x) {
    const N v = state[0];
    N drive = fma(c.curvature * (v - c.rest), v - c.critical, x);
    if constexpr (Adaptive) drive = drive - state[1];
    const N h = fma(c.gain, drive, v);
    if constexpr (Adaptive)
      state[1] = fma(c.adaptation, fma(c.subthreshold, h - c.rest, N::zero() - state[1]), state[1]);
    return h;
  }
  template <class N>
  static SPIQ_INLINE void after(const Constants<N>& c, N* state, const N& s)
    requires Adaptive
  {
    state[1] = fma(c.jump, s, state[1]);
  }
};

/// v + (x + rest - v + delta e^((v - rheobase) / delta)) / tau: exponential integrate-and-fire, SpikingJelly's EIFNode.
struct ExponentialLeak {
  float tau = 2, rest = 0, delta = 1, rheobase = 0.8f;
  static constexpr int states = 1;
  static constexpr std::array<std::string_view, 1> state_names{"v"};
  static constexpr std::array<std::string_view, 1> parameter_names{"tau"};
  [[nodiscard]] std::array<float, 1> parameters() const { return {tau}; }
  void check() const {
    neuron::need(tau > 0, "tau", "a positive number", tau);
    neuron::need(delta > 0, "delta", "a positive number", delta);
  }
  template <class N>
  struct Constants {
    N gain, rest, delta, inverse_delta, rheobase;
  };
  template <class N>
  Constants<N> prepare(const N* p) const {
    const auto n = [](float x) { return N::broadcast(x); };
    return {N::broadcast(1.0f) / p[0], n(rest), n(delta), n(1 / delta), n(rheobase)};
  }
  template <class N>
  static SPIQ_INLINE N charge(const Constants<N>& c, const N* state, const N& x) {
    const N& v = state[0];
    const N steep = neuron::exponential((v - c.rheobase) * c.inverse_delta);
    return fma(c.gain, fma(c.delta, steep, x + (c.rest - v)), v);
  }
};

/// v + g (sq v^2 + mn v + bias - u + x), u <- u + g a (b v - u), then u <- u + d s, potentials in mV (Izhikevich 2003,
/// doi 10.1109/TNN.2003.820440). g is the step in ms; the reset value is its c, the threshold 30 mV.
struct Izhikevich {
  float a = 0.02f, b = 0.2f, d = 6;
  float gain = 0.25f;
  float sq = 0.04f, mn = 5, bias = 140;
  static constexpr int states = 2;
  static constexpr std::array<std::string_view, 2> state_names{"v", "u"};
  static constexpr std::array<std::string_view, 3> parameter_names{"a", "b", "d"};
  [[nodiscard]] std::array<float, 3> parameters() const { return {a, b, d}; }
  void initialise(float* state) const { state[1] = b * state[0]; }
  template <class N>
  struct Constants {
    N a, b, d, gain, sq, mn, bias;
  };
  template <class N>
  Constants<N> prepare(const N* p) const {
    const auto n = [](float x) { return N::broadcast(x); };
    return {p[0], p[1], p[2], n(gain), n(sq), n(mn), n(bias)};
  }
  template <class N>
  static SPIQ_INLINE N charge(const Constants<N>& c, N* state, const N& x) {
    const N v = state[0], u = state[1];
    state[1] = fma(c.gain * c.a, fma(c.b, v, N::zero() - u), u);
    return fma(c.gain, fma(fma(c.sq, v, c.mn), v, c.bias - u + x), v);
  }
  template <class N>
  static SPIQ_INLINE void after(const Constants<N>& c, N* state, const N& s) {
    state[1] = fma(c.d, s, state[1]);
  }
};

/// Another charge whose threshold rises with every spike: theta + k a, a <- rho a + s (LSNN, Bellec et al.,
/// arXiv 1803.09574). The threshold of a step is that before its spike.
template <class Inner = Decay>
struct Adaptive {
  Inner inner{};
  float rho = 0.97f, k = 1.8f;
  static constexpr int states = Inner::states + 1;
  static constexpr auto state_names = neuron::appended(Inner::state_names, "a");
  static constexpr auto parameter_names = neuron::appended(Inner::parameter_names, "rho", "k");
  [[nodiscard]] auto parameters() const { return neuron::appended(inner.parameters(), rho, k); }
  void initialise(float* state) const
    requires requires { inner.initialise(state); }
  {
    inner.initialise(state);
  }
  template <class N>
  struct Constants {
    typename Inner::template Constants<N> inner;
    N rho, k;
  };
  template <class N>
  Constants<N> prepare(const N* p) const {
    return {inner.template prepare<N>(p), p[parameter_names.size() - 2], p[parameter_names.size() - 1]};
  }
  template <class N>
  static SPIQ_INLINE N charge(const Constants<N>& c, N* state, const N& x) {
    return Inner::charge(c.inner, state, x);
  }
  template <class N>
  static SPIQ_INLINE N threshold(const Constants<N>& c, const N* state, const N& theta) {
    N own = theta;
    if constexpr (requires { Inner::threshold(c.inner, state, theta); }) own = Inner::threshold(c.inner, state, theta);
    return fma(c.k, state[states - 1], own);
  }
  template <class N>
  static SPIQ_INLINE void after(const Constants<N>& c, N* state, const N& s) {
    if constexpr (requires { Inner::after(c.inner, state, s); }) Inner::after(c.inner, state, s);
    state[states - 1] = fma(c.rho, state[states - 1], s);
  }
};

/// max(0, k h) of another charge's h, k learned: KLIF (Jiang and Zhang, arXiv 2302.09238).
template <class Inner = Relax<>>
struct Rectified {
  Inner inner{};
  float k = 1;
  static constexpr int states = Inner::states;
  static constexpr auto state_names = Inner::state_names;
  static constexpr auto parameter_names = neuron::appended(Inner::parameter_names, "k");
  [[nodiscard]] auto parameters() const { return neuron::appended(inner.parameters(), k); }
  void initialise(float* state) const
    requires requires { inner.initialise(state); }
  {
    inner.initialise(state);
  }
  template <class N>
  struct Constants {
    typename Inner::template Constants<N> inner;
    N k;
  };
  template <class N>
  Constants<N> prepare(const N* p) const {
    return {inner.template prepare<N>(p), p[parameter_names.size() - 1]};
  }
  template <class N>
  static SPIQ_INLINE N charge(const Constants<N>& c, N* state, const N& x) {
    return max(c.k * Inner::charge(c.inner, state, x), N::zero());
  }
  template <class N>
  static SPIQ_INLINE N threshold(const Constants<N>& c, const N* state, const N& theta)
    requires requires { Inner::threshold(c.inner, state, theta); }
  {
    return Inner::threshold(c.inner, state, theta);
  }
  template <class N>
  static SPIQ_INLINE void after(const Constants<N>& c, N* state, const N& s)
    requires requires { Inner::after(c.inner, state, s); }
  {
    Inner::after(c.inner, state, s);
  }
};

}  // namespace charge

SPIQ_END_NAMESPACE
