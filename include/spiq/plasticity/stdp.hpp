/// @file
/// Spike-timing-dependent plasticity of pairs, with traces.
#pragma once

#include <spiq/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>

SPIQ_BEGIN_NAMESPACE

namespace plasticity {

/// How far a weight is from its bounds decides how fast it moves: A+ and A- of the pair rule.
enum class Bound {
  additive,             ///< eta+ and eta-, whatever the weight
  additive_step,        ///< eta+ below w_max, eta- above w_min, else 0
  multiplicative_pow,   ///< eta+ (w_max - w)^mu, eta- (w - w_min)^mu
  multiplicative_relu   ///< eta+ max(0, w_max - w), eta- max(0, w - w_min)
};

/// Pair STDP (Gerstner et al. 1996; Norse's stdp_step_linear). Traces follow the spikes first,
///     t <- t + dt tau_inv (a z - t),
/// then every weight moves by both orders of its pair and is clamped to its bounds:
///     w <- w + sum over the batch of A+(w) post trace_pre - A-(w) trace_post pre.
struct PairStdp {
  float dt = 0.001f;
  float tau_pre_inv = 50, tau_post_inv = 50;  ///< 1 / s
  float a_pre = 1, a_post = 1;
  float eta_plus = 1e-3f, eta_minus = 1e-3f;
  float mu = 0;
  float w_min = 0, w_max = 1;
  Bound bound = Bound::additive;

  /// One step of `batch` samples: pre [batch][inputs] and post [batch][outputs] are 1 for a spike, else 0; the traces,
  /// of the same shapes, and weights [outputs][inputs] are advanced. Throws `spiq::Error` for spans of other sizes.
  void step(std::size_t batch, std::span<const float> pre, std::span<const float> post, std::span<float> trace_pre,
            std::span<float> trace_post, std::span<float> weights) const {
    const std::size_t inputs = batch == 0 ? 0 : pre.size() / batch, outputs = batch == 0 ? 0 : post.size() / batch;
    const auto expect = [](const char* what, std::size_t found, std::size_t wanted) {
      if (found != wanted)
        SPIQ_THROW(std::string("STDP: ") + what, std::to_string(wanted) + " values", std::to_string(found));
    };
    expect("presynaptic spikes", pre.size(), batch * inputs);
    expect("postsynaptic spikes", post.size(), batch * outputs);
    expect("presynaptic traces", trace_pre.size(), pre.size());
    expect("postsynaptic traces", trace_post.size(), post.size());
    expect("weights", weights.size(), inputs * outputs);
    follow(trace_pre, pre, tau_pre_inv, a_pre);
    follow(trace_post, post, tau_post_inv, a_post);
    for (std::size_t o = 0; o < outputs; ++o)
      for (std::size_t i = 0; i < inputs; ++i) {
        float up = 0, down = 0;
        for (std::size_t b = 0; b < batch; ++b) {
          up += post[b * outputs + o] * trace_pre[b * inputs + i];
          down += trace_post[b * outputs + o] * pre[b * inputs + i];
        }
        float& w = weights[o * inputs + i];
        const Rates a = rates(w);
        w = std::clamp(w + a.plus * up - a.minus * down, w_min, w_max);
      }
  }

private:
  struct Rates {
    float plus, minus;
  };
  [[nodiscard]] Rates rates(float w) const {
    const float room = w_max - w, height = w - w_min;
    switch (bound) {
      case Bound::additive_step: return {room > 0 ? eta_plus : 0.0f, height > 0 ? eta_minus : 0.0f};
      case Bound::multiplicative_pow: return {eta_plus * std::pow(room, mu), eta_minus * std::pow(height, mu)};
      case Bound::multiplicative_relu: return {eta_plus * std::max(room, 0.0f), eta_minus * std::max(height, 0.0f)};
      case Bound::additive: break;
    }
    return {eta_plus, eta_minus};
  }
  void follow(std::span<float> trace, std::span<const float> spikes, float tau_inv, float height) const {
    const float gain = dt * tau_inv;
    for (std::size_t k = 0; k < trace.size(); ++k) trace[k] += gain * (height * spikes[k] - trace[k]);
  }
};

}  // namespace plasticity

SPIQ_END_NAMESPACE
