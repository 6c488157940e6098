/// @file
/// What `fit` refuses before it changes anything: options out of range, activations that cannot be trained.
#pragma once

#include <spiq/nn/fit_options.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <limits>
#include <span>
#include <string>
#include <variant>

SPIQ_BEGIN_NAMESPACE

namespace nn {

namespace detail {

/// A number as a user would write it: small ones are not rounded to zero.
inline std::string shortest(double v) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", v);
  return text;
}

/// Throws "FitOptions::`option`: expected `expected`, found `found`" unless `good`. Conditions are written so that
/// NaN fails them.
inline void need(bool good, const std::string& option, const char* expected, double found) {
  if (!good) SPIQ_THROW("FitOptions::" + option, expected, shortest(found));
}
inline void need_not_negative(const std::string& option, float v) {
  need(std::isfinite(v) && v >= 0.0f, option, "a finite number >= 0", static_cast<double>(v));
}
inline void need_positive(const std::string& option, float v) {
  need(std::isfinite(v) && v > 0.0f, option, "a finite number > 0", static_cast<double>(v));
}
/// A share that must not be the whole: moments' decay, smoothing, validation.
inline void need_below_one(const std::string& option, float v) {
  need(v >= 0.0f && v < 1.0f, option, "a number in [0, 1)", static_cast<double>(v));
}
inline void need_count(const std::string& option, int v, int least) {
  need(v >= least, option, least == 0 ? "a number >= 0" : "a number >= 1", v);
}

inline void check(const Sgd& o) { need_below_one("optimiser, Sgd::momentum", o.momentum); }
template <class A>
void check_adam(const A& o, const std::string& name) {
  need_below_one("optimiser, " + name + "::beta1", o.beta1);
  need_below_one("optimiser, " + name + "::beta2", o.beta2);
  need_positive("optimiser, " + name + "::epsilon", o.epsilon);
}
inline void check(const Adam& o) { check_adam(o, "Adam"); }
inline void check(const AdamW& o) { check_adam(o, "AdamW"); }

inline void check(const ConstantRate&) {}
inline void check(const Cosine& s) {
  need(s.warmup >= 0.0f && s.warmup <= 1.0f, "schedule, Cosine::warmup", "a share of the steps in [0, 1]",
       static_cast<double>(s.warmup));
  need_not_negative("schedule, Cosine::floor", s.floor);
}
inline void check(const OneCycle& s) {
  need(s.rise > 0.0f && s.rise < 1.0f, "schedule, OneCycle::rise", "a share of the steps in (0, 1)",
       static_cast<double>(s.rise));
  need_positive("schedule, OneCycle::divide", s.divide);
  need_positive("schedule, OneCycle::final_divide", s.final_divide);
}

inline void check(const ParameterPolicy& p, const std::string& kind) {
  need_not_negative("policies." + kind + ".rate_factor", p.rate_factor);
  need_not_negative("policies." + kind + ".decay_factor", p.decay_factor);
  need(p.minimum < std::numeric_limits<float>::infinity(), "policies." + kind + ".minimum", "a number below infinity",
       static_cast<double>(p.minimum));
  need_below_one("policies." + kind + ".minimum_share", p.minimum_share);
}

inline void check(const Sparsity& s) {
  if (const auto* p = std::get_if<NmPattern>(&s.pattern)) {
    need(p->m >= 1 && p->m <= 256, "sparsity, NmPattern::m", "1 to 256", p->m);
    need(p->n >= 1 && p->n <= p->m, "sparsity, NmPattern::n", "1 to m", p->n);
  } else if (const auto* u = std::get_if<UnstructuredPattern>(&s.pattern)) {
    need_below_one("sparsity, UnstructuredPattern::share", u->share);
    need_not_negative("sparsity, UnstructuredPattern::from", u->from);
    need(u->to >= u->from && u->to < std::numeric_limits<float>::infinity(), "sparsity, UnstructuredPattern::to",
         "a number of epochs, at least `from`", static_cast<double>(u->to));
  }
  need_not_negative("sparsity.decay", s.decay);
  need(!s.both_ways || std::holds_alternative<NmPattern>(s.pattern), "sparsity.both_ways", "NmPattern", 1);
  need_count("sparsity.every", s.every, 1);
}

inline void check_class_weights(std::span<const float> weights, std::size_t classes) {
  if (weights.empty()) return;
  if (weights.size() != classes)
    SPIQ_THROW("FitOptions::class_weights", std::to_string(classes) + " values or none", std::to_string(weights.size()));
  for (std::size_t c = 0; c < classes; ++c) need_not_negative("class_weights[" + std::to_string(c) + "]", weights[c]);
  need(std::any_of(weights.begin(), weights.end(), [](float w) { return w > 0.0f; }), "class_weights",
       "a weight > 0 for at least one class", 0.0);
}

}  // namespace detail

/// Throws, naming the option, what is expected and what was found, unless every option is one that `fit` can follow
/// for a network of so many `classes`. Options that the chosen loss does not use are held to the same ranges.
inline void check(const FitOptions& o, std::size_t classes) {
  detail::need_count("epochs", o.epochs, 0);
  detail::need_count("batch", o.batch, 1);
  detail::need_not_negative("learning_rate", o.learning_rate);
  std::visit([](const auto& kind) { detail::check(kind); }, o.optimiser);
  std::visit([](const auto& schedule) { detail::check(schedule); }, o.schedule);
  detail::need_not_negative("weight_decay", o.weight_decay);
  detail::check(o.policies.weight, "weight");
  detail::check(o.policies.bias, "bias");
  detail::check(o.policies.norm, "norm");
  detail::check(o.policies.threshold, "threshold");
  detail::check(o.policies.delay, "delay");
  if (!(o.policies.threshold.minimum_share > 0.0f))  // thresholds divide
    detail::need_positive("policies.threshold.minimum", o.policies.threshold.minimum);
  detail::need_below_one("label_smoothing", o.label_smoothing);
  detail::check_class_weights(o.class_weights, classes);
  detail::need_not_negative("penalties.bits", o.penalties.bits);
  detail::need_not_negative("penalties.quantisation", o.penalties.quantisation);
  detail::need(o.step_target_share >= 0.0f && o.step_target_share <= 1.0f, "step_target_share", "a number in [0, 1]",
               static_cast<double>(o.step_target_share));
  detail::need_not_negative("spike_cost.weight", o.spike_cost.weight);
  detail::need_not_negative("spike_cost.rise", o.spike_cost.rise);
  detail::check(o.sparsity);
  detail::need(o.augmentation.shift >= 0 && o.augmentation.shift < 4096, "augmentation.shift", "pixels in [0, 4095]",
               o.augmentation.shift);
  detail::need(o.gradient_clip >= 0.0f, "gradient_clip", "a number >= 0", static_cast<double>(o.gradient_clip));
  detail::need_below_one("validation_fraction", o.validation_fraction);
  detail::need_count("patience", o.patience, 0);
  detail::need(o.validation_fraction > 0.0f || (o.patience == 0 && !o.keep_best), "validation_fraction",
               "more than 0 where patience or keep_best is set", static_cast<double>(o.validation_fraction));
  detail::need(o.threshold_percentile >= 0.0f && o.threshold_percentile <= 100.0f, "threshold_percentile",
               "per cent in [0, 100]", static_cast<double>(o.threshold_percentile));
  detail::need_count("threads", o.threads, 0);
  detail::need_count("checkpoint.every", o.checkpoint.every, 1);
}

/// Throws, naming the layer by its path, where a quantised activation has levels or (unless `fit` will choose it) a
/// threshold that no pass can be computed with: the loss would be NaN, and the learning rate blamed for it; or levels
/// that are not those of binary digits, which a penalty counts.
template <class Net>
void check_activations(const Net& net, const Penalties& penalties = {}) {
  net.for_each_layer([&](const std::string& path, const auto& layer) {
    if constexpr (requires { layer.levels; layer.lambda; layer.calibrated; }) {
      const std::string where = "layer " + path.substr(0, path.size() - 1) + ": " + layer.name + "::";  // paths end in a dot
      if (layer.levels < 1 || layer.levels > 255)
        SPIQ_THROW(where + "levels", "1 to 255", std::to_string(layer.levels));
      if (penalties.bits > 0 && (layer.levels & (layer.levels + 1)) != 0)
        SPIQ_THROW(where + "levels", "2^T - 1 for FitOptions::penalties.bits", std::to_string(layer.levels));
      if (layer.calibrated && !(std::isfinite(layer.lambda) && layer.lambda > 0.0f))
        SPIQ_THROW(where + "lambda", "a finite number > 0", detail::shortest(static_cast<double>(layer.lambda)));
    }
  });
}

}  // namespace nn

SPIQ_END_NAMESPACE
