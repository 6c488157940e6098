/// @file
/// Spike-timing-dependent plasticity of pairs, with traces.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/kernel/conv_dw.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

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
  /// of the same shapes, and weights [outputs][inputs] are advanced. Throws `spiq::Error` for spans of other sizes,
  /// numbers of the rule that are not finite and bounds that leave no room; nothing has moved then.
  void step(std::size_t batch, std::span<const float> pre, std::span<const float> post, std::span<float> trace_pre,
            std::span<float> trace_post, std::span<float> weights) const {
    const std::size_t inputs = batch == 0 ? 0 : pre.size() / batch, outputs = batch == 0 ? 0 : post.size() / batch;
    expect_sizes(batch * inputs, batch * outputs, inputs * outputs, pre, post, trace_pre, trace_post, weights);
    follow(trace_pre, pre, tau_pre_inv, a_pre);
    follow(trace_post, post, tau_post_inv, a_post);
    for (std::size_t o = 0; o < outputs; ++o)
      for (std::size_t i = 0; i < inputs; ++i) {
        float up = 0, down = 0;
        for (std::size_t b = 0; b < batch; ++b) {
          up += post[b * outputs + o] * trace_pre[b * inputs + i];
          down += trace_post[b * outputs + o] * pre[b * inputs + i];
        }
        move(weights[o * inputs + i], up, down);
      }
  }

private:
  friend class SharedPairStdp;

  void expect_sizes(std::size_t inputs, std::size_t outputs, std::size_t weight_count, std::span<const float> pre,
                    std::span<const float> post, std::span<const float> trace_pre,
                    std::span<const float> trace_post, std::span<const float> weights) const {
    const float power = bound == Bound::multiplicative_pow ? mu : 0;  // no other rule looks at it
    for (const float v : {dt, tau_pre_inv, tau_post_inv, a_pre, a_post, eta_plus, eta_minus, power})
      if (!std::isfinite(v)) SPIQ_THROW("STDP: numbers of the rule", "finite ones", std::to_string(v));
    if (!(w_min <= w_max)) SPIQ_THROW("STDP: w_min", "at most w_max, " + std::to_string(w_max), std::to_string(w_min));
    const auto expect = [](const char* what, std::size_t found, std::size_t wanted) {
      if (found != wanted)
        SPIQ_THROW(std::string("STDP: ") + what, std::to_string(wanted) + " values", std::to_string(found));
    };
    expect("presynaptic spikes", pre.size(), inputs);
    expect("postsynaptic spikes", post.size(), outputs);
    expect("presynaptic traces", trace_pre.size(), inputs);
    expect("postsynaptic traces", trace_post.size(), outputs);
    expect("weights", weights.size(), weight_count);
  }
  void move(float& w, float up, float down) const {
    const Rates a = rates(w);
    w = std::clamp(w + a.plus * up - a.minus * down, w_min, w_max);
  }

  struct Rates {
    float plus, minus;
  };
  [[nodiscard]] Rates rates(float w) const {
    const float room = w_max - w, height = w - w_min;
    switch (bound) {
      case Bound::additive_step: return {room > 0 ? eta_plus : 0.0f, height > 0 ? eta_minus : 0.0f};
      case Bound::multiplicative_pow: return {eta_plus * std::pow(std::max(room, 0.0f), mu), eta_minus * std::pow(std::max(height, 0.0f), mu)};
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

/// `PairStdp` of a convolution, whose kernels all positions share (Norse's stdp_step_conv2d): a weight moves by the pairs
/// of all positions and samples together, or by their mean.
class SharedPairStdp {
public:
  /// Throws for a geometry that is no convolution. `average`: divides by the positions and samples.
  explicit SharedPairStdp(const kernel::ConvGeometry& geometry, const PairStdp& pair = {}, bool average = false)
      : rule(pair), geometry_(geometry), average_(average) {
    kernel::check(geometry, geometry.weight_count());
    up_.resize(geometry.weight_count());
    down_.resize(geometry.weight_count());
  }

  PairStdp rule;

  /// One step of `batch` samples: pre [batch][height][width][in] and post [batch][out_h][out_w][out] are 1 for a spike,
  /// else 0; the traces, of the same shapes, and weights [out, in / groups, kernel_h, kernel_w] are advanced. Throws
  /// `spiq::Error` for spans of other sizes.
  void step(std::size_t batch, std::span<const float> pre, std::span<const float> post, std::span<float> trace_pre,
            std::span<float> trace_post, std::span<float> weights) {
    rule.expect_sizes(batch * geometry_.in.size(), batch * geometry_.out().size(), geometry_.weight_count(), pre, post,
                      trace_pre, trace_post, weights);
    rule.follow(trace_pre, pre, rule.tau_pre_inv, rule.a_pre);
    rule.follow(trace_post, post, rule.tau_post_inv, rule.a_post);
    if (batch == 0) return;
    // The sum over positions of pre times post is the gradient of a convolution with respect to its weights.
    pairs_.run(geometry_, trace_pre.data(), post.data(), up_.data(), nullptr, batch);
    pairs_.run(geometry_, pre.data(), trace_post.data(), down_.data(), nullptr, batch);
    const float share = average_ ? 1 / static_cast<float>(batch * geometry_.out().pixels()) : 1.0f;
    for (std::size_t k = 0; k < weights.size(); ++k) rule.move(weights[k], share * up_[k], share * down_[k]);
  }

private:
  kernel::ConvGeometry geometry_;
  bool average_;
  kernel::ConvBackwardWeights<> pairs_;
  std::vector<float> up_, down_;
};

}  // namespace plasticity

SPIQ_END_NAMESPACE
