/// @file
/// Local rules of synapses that see only the ages of spikes: power law, stochastic binary, hybrid Hebbian.
#pragma once

#include <spiq/plasticity/weights.hpp>

#include <cmath>
#include <limits>
#include <string>

SPIQ_BEGIN_NAMESPACE

namespace plasticity {

/// The age of a spike that never was. Other ages are whole steps since the last spike, 0 in the step of the spike.
inline constexpr int never = std::numeric_limits<int>::max();

namespace detail {
// 0 from 20 tau on: 2e-9 is below what a draw of 24 bits can tell from 0.
inline float decay(int age, float tau) {
  const float x = static_cast<float>(age) / tau;
  return x > 20 ? 0.0f : std::exp(-x);
}
/// Throws unless a number of a rule is `good`.
inline void expect(bool good, const char* what, const char* wanted, float found) {
  if (!good) SPIQ_THROW(std::string("local rule: ") + what, wanted, std::to_string(found));
}
inline void expect_probability(float p, const char* what) {
  expect(p >= 0 && p <= 1, what, "a probability in [0, 1]", p);
}
inline void expect_time(float tau, const char* what) { expect(tau > 0, what, "a positive number of steps", tau); }
}  // namespace detail

/// A rule names its `Weights` and has `post(age)`, how strongly a synapse changes when the neuron behind it fires and
/// the input before it fired `age` steps ago, positive for stronger. Where it has them, `pre(age)` is the same when the
/// input fires and the neuron fired `age` steps ago, and `has_pre()` says whether that is ever another number than 0.
/// What a strength does is a matter of the weights: binary ones switch with its magnitude as probability. `weights`
/// gives new ones, and throws where the rule's numbers make no sense.
/// dw = eta (e^(-age / tau) - offset) (w_max - w) (w - w_min) at a spike of the neuron (Srinivasan, Panda and Roy,
/// arXiv 1703.03854, as recalled by the group's later papers): stronger for inputs younger than `crossing()`, weaker
/// for older ones. Weights stay in [w_min, w_max] for eta (w_max - w_min) <= 1.
struct PowerLawStdp {
  float eta = 0.01f;
  float tau = 20;  ///< steps
  float offset = 0.4f;
  float w_min = 0, w_max = 1;

  using Weights = RealWeights;
  [[nodiscard]] Weights weights(std::size_t rows, std::size_t taps, const Rng& rng) const {
    detail::expect(std::isfinite(eta), "eta", "a finite number", eta);
    detail::expect(offset > 0 && offset < 1, "offset", "a number in (0, 1)", offset);
    detail::expect_time(tau, "tau");
    return {rows, taps, w_min, w_max, rng};
  }
  [[nodiscard]] float post(int age) const { return eta * (detail::decay(age, tau) - offset); }
  /// The age at which the change has no sign, in steps.
  [[nodiscard]] float crossing() const { return -tau * std::log(offset); }
};

/// The rule of sBSNN (Koo et al., IEEE TCAS-I 67(8), 2020; arXiv 2002.11163), whose binary weights switch at random: at
/// a spike of the neuron a low weight becomes high with probability p_pot e^(-age / tau_pot), at a spike of the input a
/// high weight becomes low with probability p_dep e^(-age / tau_dep), age that of the last spike of the other side. The
/// paper's numbers are not known to us: those here are ours.
struct StochasticStdp {
  float p_pot = 0.1f, tau_pot = 10;
  float p_dep = 0.05f, tau_dep = 20;
  float low = 0, high = 1;

  using Weights = BinaryWeights;
  [[nodiscard]] Weights weights(std::size_t rows, std::size_t taps, const Rng& rng) const {
    detail::expect_probability(p_pot, "p_pot");
    detail::expect_probability(p_dep, "p_dep");
    detail::expect_time(tau_pot, "tau_pot");
    detail::expect_time(tau_dep, "tau_dep");
    return {rows, taps, low, high, rng};
  }
  [[nodiscard]] float post(int age) const { return p_pot * detail::decay(age, tau_pot); }
  [[nodiscard]] float pre(int age) const { return -p_dep * detail::decay(age, tau_dep); }
  [[nodiscard]] bool has_pre() const { return p_dep > 0; }
};

/// The hybrid rule of ReStoCNet (Srinivasan and Roy, Front. Neurosci. 13:189, 2019; arXiv 1902.04161): at a spike of
/// the neuron, binary weights of inputs at most `t_hebb` old become high with probability `p_h`, those of inputs older
/// than `t_anti`, or that never fired, become low with probability `p_a`. The anti-Hebbian branch exchanges the
/// outcomes for inputs that come after the neuron: at a spike of the input, low with `anti_p_h` if the neuron fired at
/// most `t_hebb` ago, high with `anti_p_a` if longer than `t_anti`. The paper's numbers are not known to us: those here
/// are ours.
struct HybridStdp {
  int t_hebb = 5, t_anti = 5;  ///< steps
  float p_h = 0.1f, p_a = 0.02f;
  float anti_p_h = 0, anti_p_a = 0;
  float low = 0, high = 1;

  using Weights = BinaryWeights;
  [[nodiscard]] Weights weights(std::size_t rows, std::size_t taps, const Rng& rng) const {
    detail::expect(t_hebb >= 0, "t_hebb", "steps that are not negative", static_cast<float>(t_hebb));
    detail::expect(t_anti >= t_hebb, "t_anti", "at least t_hebb", static_cast<float>(t_anti));
    for (const float p : {p_h, p_a, anti_p_h, anti_p_a}) detail::expect_probability(p, "p_h, p_a, anti_p_h, anti_p_a");
    return {rows, taps, low, high, rng};
  }
  [[nodiscard]] float post(int age) const { return age <= t_hebb ? p_h : age > t_anti ? -p_a : 0.0f; }
  [[nodiscard]] float pre(int age) const { return age <= t_hebb ? -anti_p_h : age > t_anti ? anti_p_a : 0.0f; }
  [[nodiscard]] bool has_pre() const { return anti_p_h > 0 || anti_p_a > 0; }
};

}  // namespace plasticity

SPIQ_END_NAMESPACE
