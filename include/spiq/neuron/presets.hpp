/// @file
/// Neurons of known frameworks and papers, with exactly their semantics.
#pragma once

#include <spiq/neuron/neuron.hpp>

#include <cmath>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

/// Each preset is a type of `neuron::Neuron` (or a wrapper of it) and a function that takes the framework's own names
/// and gives a value of it. What differs between frameworks, and is decided here: the comparison, the time of the
/// reset, what the leak does to the input.
namespace presets {

// SpikingJelly: fires at v >= v_threshold, resets in the same step. `Reset` is Hard (v_reset a number) or Soft (None).

template <class Reset = reset::Hard>
using SpikingJellyIf = neuron::Neuron<charge::Integrate, fire::AtThreshold, Reset>;
/// h = v + x
template <class Reset = reset::Hard>
SpikingJellyIf<Reset> spikingjelly_if(float v_threshold = 1, float v_reset = 0) {
  return {{}, v_threshold, v_reset, Reset::has_value ? v_reset : 0};
}

template <class Reset = reset::Hard, charge::Input Input = charge::Input::decayed>
using SpikingJellyLif = neuron::Neuron<charge::Relax<charge::leak::Tau, Input>, fire::AtThreshold, Reset>;
/// LIFNode(tau, decay_input, v_threshold, v_reset); decay_input is `Input::decayed`.
template <class Reset = reset::Hard, charge::Input Input = charge::Input::decayed>
SpikingJellyLif<Reset, Input> spikingjelly_lif(float tau = 2, float v_threshold = 1, float v_reset = 0) {
  return {{tau, v_reset, 1}, v_threshold, v_reset, Reset::has_value ? v_reset : 0};
}

template <class Reset = reset::Hard, charge::Input Input = charge::Input::decayed>
using SpikingJellyPlif = neuron::Neuron<charge::Relax<charge::leak::Logit, Input>, fire::AtThreshold, Reset>;
/// ParametricLIFNode(init_tau, ...), whose parameter is w with 1 / tau = sigma(w).
template <class Reset = reset::Hard, charge::Input Input = charge::Input::decayed>
SpikingJellyPlif<Reset, Input> spikingjelly_plif(float init_tau = 2, float v_threshold = 1, float v_reset = 0) {
  return {{charge::leak::Logit::of_tau(init_tau), v_reset, 1}, v_threshold, v_reset, Reset::has_value ? v_reset : 0};
}

template <class Reset = reset::Hard>
using SpikingJellyCubaLif = neuron::Neuron<charge::DecayingCurrent, fire::AtThreshold, Reset>;
/// CUBALIFNode(c_decay, v_decay, ...)
template <class Reset = reset::Hard>
SpikingJellyCubaLif<Reset> spikingjelly_cuba_lif(float c_decay = 0.5f, float v_decay = 0.75f, float v_threshold = 1,
                                                 float v_reset = 0) {
  return {{c_decay, v_decay}, v_threshold, v_reset, Reset::has_value ? v_reset : 0};
}

// snnTorch: fires at mem > threshold, resets in the next step unless reset_delay = False. `Reset` is Soft ("subtract"),
// Hard ("zero") or None.

template <class Reset = reset::Soft, class Timing = timing::NextStep>
using SnnTorchLeaky =
    neuron::Neuron<charge::Decay, fire::AboveThreshold, Reset,
                   std::conditional_t<std::is_same_v<Reset, reset::Hard> && std::is_same_v<Timing, timing::NextStep>,
                                      timing::BeforeCharge, Timing>>;
/// Leaky(beta, threshold, reset_mechanism, reset_delay); `timing::Corrected` is reset_delay = False.
template <class Reset = reset::Soft, class Timing = timing::NextStep>
SnnTorchLeaky<Reset, Timing> snntorch_leaky(float beta = 0.9f, float threshold = 1) {
  return {{beta}, threshold, 0, 0};
}

/// RLeaky(beta, V, all_to_all = False, threshold, reset_mechanism), recurrent to itself. Between neurons: a layer.
template <class Reset = reset::Soft>
using SnnTorchRLeaky =
    neuron::SelfRecurrent<neuron::Neuron<charge::Decay, fire::AboveThreshold, Reset, timing::NextStep>>;
template <class Reset = reset::Soft>
SnnTorchRLeaky<Reset> snntorch_rleaky(float beta = 0.9f, float V = 1, float threshold = 1) {
  return {{{beta}, threshold, 0, 0}, V};
}

template <class Reset = reset::Soft, class Timing = timing::NextStep>
using SnnTorchSynaptic = neuron::Neuron<charge::DecayingCurrent, fire::AboveThreshold, Reset, Timing>;
/// Synaptic(alpha, beta, threshold, ...)
template <class Reset = reset::Soft, class Timing = timing::NextStep>
SnnTorchSynaptic<Reset, Timing> snntorch_synaptic(float alpha = 0.9f, float beta = 0.8f, float threshold = 1) {
  return {{alpha, beta}, threshold, 0, 0};
}

template <class Reset = reset::Soft>
using SnnTorchAlpha = neuron::AlphaNeuron<Reset>;
/// Alpha(alpha, beta, threshold, ...)
template <class Reset = reset::Soft>
SnnTorchAlpha<Reset> snntorch_alpha(float alpha = 0.85f, float beta = 0.8f, float threshold = 1) {
  return {alpha, beta, threshold};
}

// Norse: fires at v > v_th, resets in the same step; times in seconds. Parameters by Norse's names and defaults.

struct NorseOptions {
  float tau_syn_inv = 200, tau_mem_inv = 100;
  float v_leak = 0, v_th = 1, v_reset = 0;
  float dt = 0.001f;
};
using NorseLif = neuron::Neuron<charge::RelaxingCurrent<>, fire::AboveThreshold, reset::Hard>;
/// lif_feed_forward_step
inline NorseLif norse_lif(const NorseOptions& o = {}) {
  NorseLif n;
  n.charge.membrane_gain = o.dt * o.tau_mem_inv;
  n.charge.synapse_gain = o.dt * o.tau_syn_inv;
  n.charge.rest = o.v_leak;
  n.threshold = o.v_th;
  n.reset_value = o.v_reset;
  n.initial = o.v_leak;
  return n;
}
using NorseLi = neuron::Neuron<charge::RelaxingCurrent<>, fire::Never, reset::None>;
/// li_feed_forward_step: a leaky integrator without a threshold.
inline NorseLi norse_li(const NorseOptions& o = {}) {
  NorseLi n;
  n.charge = norse_lif(o).charge;
  n.initial = o.v_leak;
  return n;
}
/// lif_refrac_feed_forward_step
inline neuron::Refractory<NorseLif> norse_lif_refractory(const NorseOptions& o = {}, float rho_reset = 5) {
  return {norse_lif(o), rho_reset};
}
template <class Reset = reset::Hard>
using NorseBox = neuron::Neuron<charge::Relax<charge::leak::Gain>, fire::AboveThreshold, Reset>;
/// lif_box_feed_forward_step, whose input is no current of its own.
template <class Reset = reset::Hard>
NorseBox<Reset> norse_lif_box(const NorseOptions& o = {}) {
  return {{o.dt * o.tau_mem_inv, o.v_leak, 1}, o.v_th, o.v_reset, o.v_leak};
}
using NorseIaf = neuron::Neuron<charge::Integrate, fire::AboveThreshold, reset::Hard>;
/// iaf_feed_forward_step
inline NorseIaf norse_iaf(float v_th = 1, float v_reset = 0) { return {{}, v_th, v_reset, 0}; }
using NorseLifEx = neuron::Neuron<charge::RelaxingCurrent<true>, fire::AboveThreshold, reset::Hard>;
/// lif_ex_feed_forward_step
inline NorseLifEx norse_lif_ex(const NorseOptions& o = {}, float delta_T = 0.5f) {
  NorseLifEx n;
  const auto base = norse_lif(o);
  n.charge.membrane_gain = base.charge.membrane_gain;
  n.charge.synapse_gain = base.charge.synapse_gain;
  n.charge.rest = o.v_leak;
  n.charge.delta = delta_T;
  n.charge.theta = o.v_th;
  n.threshold = o.v_th;
  n.reset_value = o.v_reset;
  n.initial = o.v_leak;
  return n;
}
using NorseLifAdex = neuron::Neuron<charge::RelaxingCurrent<true, true>, fire::AboveThreshold, reset::Hard>;
/// lif_adex_feed_forward_step
inline NorseLifAdex norse_lif_adex(const NorseOptions& o = {}, float delta_T = 0.5f, float adaptation_current = 4,
                                   float adaptation_spike = 0.02f, float tau_ada_inv = 2) {
  NorseLifAdex n;
  const auto base = norse_lif_ex(o, delta_T);
  n.charge.membrane_gain = base.charge.membrane_gain;
  n.charge.synapse_gain = base.charge.synapse_gain;
  n.charge.rest = o.v_leak;
  n.charge.delta = delta_T;
  n.charge.theta = o.v_th;
  n.charge.adaptation_gain = o.dt * tau_ada_inv;
  n.charge.subthreshold = adaptation_current;
  n.charge.jump = adaptation_spike;
  n.threshold = o.v_th;
  n.reset_value = o.v_reset;
  n.initial = o.v_leak;
  return n;
}

// NIR: fires at v > v_threshold, resets in the same step; the rule of integration is the caller's.

using NirLif = neuron::Neuron<charge::Relax<charge::leak::Gain>, fire::AboveThreshold, reset::Hard>;
struct NirOptions {
  float tau = 0.02f, r = 1, v_leak = 0, v_threshold = 1, v_reset = 0;
  float dt = 0.001f;
};
/// tau dv/dt = v_leak - v + r x, by Euler's rule or, with `exact`, by e^(-dt / tau) for an input held over the step.
inline NirLif nir_lif(const NirOptions& o = {}, bool exact = false) {
  const double ratio = double{o.dt} / double{o.tau};
  return {{static_cast<float>(exact ? -std::expm1(-ratio) : ratio), o.v_leak, o.r}, o.v_threshold, o.v_reset, o.v_leak};
}

// Papers.

using DietLif = neuron::Neuron<charge::Decay, fire::AboveThreshold, reset::Soft>;
/// DIET-SNN and IIR-SNN (arXiv 2008.03658, 2110.05929): v = leak v + x, fires at v / threshold - 1 > 0, soft reset.
inline DietLif diet_lif(float leak = 1, float threshold = 1) { return {{leak}, threshold, 0, 0}; }

using HybridStdb =
    neuron::SinceSpike<neuron::Neuron<charge::Decay, fire::AboveThreshold, reset::Soft, timing::FireFirst>>;
/// Hybrid training (Rathi et al., arXiv 2005.01807): fires at v / threshold - 1 > 0, then v = leak v + x - threshold s.
inline HybridStdb hybrid_stdb(float leak = 1, float threshold = 1) { return {{{leak}, threshold, 0, 0}}; }

/// Izhikevich's model with the presets of his figure (a, b, c, d), at a step of `dt` ms.
using IzhikevichNeuron = neuron::Neuron<charge::Izhikevich, fire::AboveThreshold, reset::Hard>;
struct IzhikevichOptions {
  float a, b, c, d;
};
inline constexpr IzhikevichOptions regular_spiking{0.02f, 0.2f, -65, 8}, intrinsically_bursting{0.02f, 0.2f, -55, 4},
    chattering{0.02f, 0.2f, -50, 2}, fast_spiking{0.1f, 0.2f, -65, 2}, low_threshold_spiking{0.02f, 0.25f, -65, 2},
    thalamo_cortical{0.02f, 0.25f, -65, 0.05f}, resonator{0.1f, 0.26f, -65, 2}, tonic_spiking{0.02f, 0.2f, -65, 6};
inline IzhikevichNeuron izhikevich(const IzhikevichOptions& o = regular_spiking, float dt = 0.25f) {
  IzhikevichNeuron n;
  n.charge.a = o.a;
  n.charge.b = o.b;
  n.charge.d = o.d;
  n.charge.gain = dt;
  n.threshold = 30;
  n.reset_value = o.c;
  n.initial = o.c;
  return n;
}

}  // namespace presets

SPIQ_END_NAMESPACE
