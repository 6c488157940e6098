/// @file
/// Optimisers over the parameters of a network.
#pragma once

#include <spiq/core/storage.hpp>
#include <spiq/kernel/elementwise.hpp>
#include <spiq/nn/parameter.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <variant>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// v = momentum v + g; w -= rate v, or with Nesterov's look-ahead w -= rate (g + momentum v). Weight decay adds to g.
struct Sgd {
  float momentum = 0.9f;  ///< in [0, 1)
  bool nesterov = false;
};
/// Adam (Kingma and Ba, arXiv 1412.6980) with bias correction. Weight decay adds to g.
struct Adam {
  float beta1 = 0.9f;     ///< in [0, 1): share of the mean of gradients that a step keeps
  float beta2 = 0.999f;   ///< in [0, 1): of the mean of their squares
  float epsilon = 1e-8f;  ///< above 0
};
/// Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101): w -= rate * decay * w beside the step.
struct AdamW {
  float beta1 = 0.9f;     ///< in [0, 1): share of the mean of gradients that a step keeps
  float beta2 = 0.999f;   ///< in [0, 1): of the mean of their squares
  float epsilon = 1e-8f;  ///< above 0
};
using OptimiserKind = std::variant<Sgd, Adam, AdamW>;

/// How one kind of parameter is treated.
struct ParameterPolicy {
  float rate_factor = 1.0f;                                  ///< times the learning rate; at least 0
  float decay_factor = 1.0f;                                 ///< times the weight decay; at least 0
  float minimum = -std::numeric_limits<float>::infinity();  ///< values are kept at or above it; of thresholds above 0
  float minimum_share = 0.0f;  ///< ... and this share, in [0, 1), of the array's smallest value before the first step
};

/// Policies by kind: decay acts on weights only; thresholds stay positive. Their bound is 1 % of what the run starts
/// with, for thresholds have the scale of their layer's inputs, which no constant knows; the absolute one only keeps
/// z / lambda finite.
struct ParameterPolicies {
  ParameterPolicy weight{};
  ParameterPolicy bias{1.0f, 0.0f};
  ParameterPolicy norm{1.0f, 0.0f};
  ParameterPolicy threshold{1.0f, 0.0f, 1e-30f, 1e-2f};
  ParameterPolicy delay{100.0f, 0.0f};  ///< delays have the scale of time steps (arXiv 2306.17670)

  [[nodiscard]] const ParameterPolicy& of(nn::ParameterKind kind) const {
    switch (kind) {
      case nn::ParameterKind::bias: return bias;
      case nn::ParameterKind::norm: return norm;
      case nn::ParameterKind::threshold: return threshold;
      case nn::ParameterKind::delay: return delay;
      default: return weight;
    }
  }
};

namespace nn {

/// Updates parameters in place; holds the moments. Steps do not depend on the number of threads.
class Optimiser {
public:
  Optimiser(const OptimiserKind& kind, float weight_decay, const ParameterPolicies& policies,
            std::span<const Parameter> parameters)
      : kind_(kind), weight_decay_(weight_decay), policies_(policies) {
    for (const Parameter& p : parameters) {
      first_.emplace_back(p.value.size());
      second_.emplace_back(std::holds_alternative<Sgd>(kind) ? 0 : p.value.size());
    }
  }

  /// One step at learning rate `rate`, with gradients scaled by `gradient_scale`.
  void step(std::span<const Parameter> parameters, double rate, double gradient_scale, int threads) {
    if (bounds_.empty()) choose_bounds(parameters);
    ++steps_;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const Parameter& p = parameters[i];
      const ParameterPolicy& policy = policies_.of(p.kind);
      const Numbers n{static_cast<float>(rate * static_cast<double>(policy.rate_factor)),
                      weight_decay_ * policy.decay_factor, static_cast<float>(gradient_scale), bounds_[i]};
      std::visit([&](const auto& k) { update(k, p, first_[i], second_[i], n, threads); }, kind_);
    }
  }

  /// Steps taken; with moments and bounds, all that a checkpoint must hold.
  [[nodiscard]] std::uint64_t steps() const { return steps_; }
  void set_steps(std::uint64_t n) { steps_ = n; }
  [[nodiscard]] std::span<float> first_moment(std::size_t i) { return first_[i]; }
  [[nodiscard]] std::span<float> second_moment(std::size_t i) { return second_[i]; }
  /// Lower bound of every parameter; empty before the first step, which chooses them.
  [[nodiscard]] const std::vector<float>& bounds() const { return bounds_; }
  void set_bounds(std::vector<float> bounds) { bounds_ = std::move(bounds); }

private:
  using V = simd::traits<simd::best>::f32;
  struct Numbers {
    float rate, decay, gradient_scale, minimum;
  };

  void choose_bounds(std::span<const Parameter> parameters) {
    for (const Parameter& p : parameters) {
      const ParameterPolicy& policy = policies_.of(p.kind);
      bounds_.push_back(policy.minimum);
      if (policy.minimum_share > 0.0f && !p.value.empty())
        bounds_.back() = std::max(bounds_.back(), policy.minimum_share * *std::min_element(p.value.begin(), p.value.end()));
    }
  }

  // Calls body(w, g, m[, s]) on vectors; the gradient comes scaled.
  template <class Body>
  static void each(const Parameter& p, const Numbers& n, int threads, const Body& body) {
    const V scale = V::broadcast(n.gradient_scale), minimum = V::broadcast(n.minimum);
    parallel_for(p.value.size(), kernel::map_grain, threads, [&](std::size_t begin, std::size_t end, int) {
      kernel::for_vectors<V>(begin, end, [&](auto access, std::size_t i) SPIQ_LAMBDA_INLINE {
        const V w = access.template load<V>(p.value.data() + i);
        const V g = scale * access.template load<V>(p.gradient.data() + i);
        access.store(max(body(access, i, w, g), minimum), p.value.data() + i);
      });
    });
  }

  void update(const Sgd& k, const Parameter& p, std::span<float> velocity, std::span<float>, const Numbers& n,
              int threads) const {
    const V momentum = V::broadcast(k.momentum), rate = V::broadcast(-n.rate), decay = V::broadcast(n.decay);
    each(p, n, threads, [&](auto access, std::size_t i, V w, V g) SPIQ_LAMBDA_INLINE {
      const V decayed = fma(decay, w, g);
      const V v = fma(momentum, access.template load<V>(velocity.data() + i), decayed);
      access.store(v, velocity.data() + i);
      return fma(rate, k.nesterov ? fma(momentum, v, decayed) : v, w);
    });
  }
  void update(const Adam& k, const Parameter& p, std::span<float> mean, std::span<float> square, const Numbers& n,
              int threads) const {
    adam(k.beta1, k.beta2, k.epsilon, n.decay, 0.0f, p, mean, square, n, threads);
  }
  void update(const AdamW& k, const Parameter& p, std::span<float> mean, std::span<float> square, const Numbers& n,
              int threads) const {
    adam(k.beta1, k.beta2, k.epsilon, 0.0f, n.rate * n.decay, p, mean, square, n, threads);
  }
  void adam(float beta1, float beta2, float epsilon, float coupled, float decoupled, const Parameter& p,
            std::span<float> mean, std::span<float> square, const Numbers& n, int threads) const {
    const double t = static_cast<double>(steps_);
    const double correct1 = 1 - std::pow(static_cast<double>(beta1), t), correct2 = 1 - std::pow(static_cast<double>(beta2), t);
    const V b1 = V::broadcast(beta1), rest1 = V::broadcast(1 - beta1), b2 = V::broadcast(beta2), rest2 = V::broadcast(1 - beta2);
    const V rate = V::broadcast(static_cast<float>(-static_cast<double>(n.rate) / correct1));
    const V inverse2 = V::broadcast(static_cast<float>(1 / correct2)), eps = V::broadcast(epsilon);
    const V decay = V::broadcast(coupled), keep = V::broadcast(1 - decoupled);
    each(p, n, threads, [&](auto access, std::size_t i, V w, V g) SPIQ_LAMBDA_INLINE {
      const V decayed = fma(decay, w, g);
      const V m = fma(b1, access.template load<V>(mean.data() + i), rest1 * decayed);
      const V s = fma(b2, access.template load<V>(square.data() + i), rest2 * (decayed * decayed));
      access.store(m, mean.data() + i);
      access.store(s, square.data() + i);
      return fma(rate, m / (sqrt(s * inverse2) + eps), keep * w);
    });
  }

  OptimiserKind kind_;
  float weight_decay_;
  ParameterPolicies policies_;
  std::uint64_t steps_ = 0;
  std::vector<AlignedVector<float>> first_, second_;
  std::vector<float> bounds_;
};

/// Euclidean norm of all gradients together.
inline double gradient_norm(std::span<const Parameter> parameters, int threads) {
  using V = simd::traits<simd::best>::f32;
  double total = 0;
  for (const Parameter& p : parameters) {
    const kernel::FixedChunks chunks(p.gradient.size(), kernel::map_grain);
    std::array<double, kernel::FixedChunks::limit> partial{};
    parallel_for(chunks.count, 1, threads, [&](std::size_t first, std::size_t last, int) {
      for (std::size_t c = first; c < last; ++c)
        for (std::size_t i = chunks.begin(c); i < chunks.end(c); i += 4096) {
          V sum = V::zero();
          kernel::for_vectors<V>(i, std::min(chunks.end(c), i + 4096), [&](auto access, std::size_t j) SPIQ_LAMBDA_INLINE {
            const V g = access.template load<V>(p.gradient.data() + j);
            sum = fma(g, g, sum);
          });
          partial[c] += static_cast<double>(reduce_add(sum));
        }
    });
    for (std::size_t c = 0; c < chunks.count; ++c) total += partial[c];
  }
  return std::sqrt(total);
}

}  // namespace nn

SPIQ_END_NAMESPACE
