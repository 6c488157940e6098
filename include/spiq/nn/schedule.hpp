/// @file
/// Learning-rate schedules, one value per step.
#pragma once

#include <spiq/core/abi.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <variant>

SPIQ_BEGIN_NAMESPACE

/// The base rate at every step.
struct ConstantRate {
  [[nodiscard]] double factor(std::size_t, std::size_t) const { return 1.0; }
};

/// From 1 to `floor` along half a cosine (Loshchilov and Hutter, arXiv 1608.03983, without restarts), after a linear
/// warm-up over the given share of the steps.
struct Cosine {
  float warmup = 0.0f;  ///< share of the steps, in [0, 1]
  float floor = 0.0f;   ///< factor of the base rate, at least 0
  [[nodiscard]] double factor(std::size_t step, std::size_t total) const {
    const double n = static_cast<double>(std::max<std::size_t>(total, 1)), t = static_cast<double>(step);
    const double rise = static_cast<double>(warmup) * n;
    if (t < rise) return (t + 1) / (rise + 1);
    const double low = static_cast<double>(floor), share = (t - rise) / std::max(n - rise, 1.0);
    return low + (1 - low) * 0.5 * (1 + std::cos(std::numbers::pi * std::min(share, 1.0)));
  }
};

/// One cycle (Smith and Topin, arXiv 1708.07120): along half cosines from 1/`divide` up to 1 within the first
/// `rise` of the steps, then down to 1/(`divide` * `final_divide`).
struct OneCycle {
  float rise = 0.3f;          ///< share of the steps, in (0, 1)
  float divide = 25.0f;       ///< above 0
  float final_divide = 1e4f;  ///< above 0
  [[nodiscard]] double factor(std::size_t step, std::size_t total) const {
    const double n = static_cast<double>(std::max<std::size_t>(total, 2)) - 1, t = static_cast<double>(step);
    const double peak = std::max(static_cast<double>(rise) * n, 1e-9);
    const double low = 1 / static_cast<double>(divide), end = low / static_cast<double>(final_divide);
    const auto half_cosine = [](double from, double to, double share) {
      return to + (from - to) * 0.5 * (1 + std::cos(std::numbers::pi * std::clamp(share, 0.0, 1.0)));
    };
    if (t <= peak) return half_cosine(low, 1.0, t / peak);
    return half_cosine(1.0, end, (t - peak) / std::max(n - peak, 1e-9));
  }
};

using Schedule = std::variant<ConstantRate, Cosine, OneCycle>;

/// Factor of the base learning rate at `step` of `total`.
inline double rate_factor(const Schedule& schedule, std::size_t step, std::size_t total) {
  return std::visit([&](const auto& s) { return s.factor(step, total); }, schedule);
}

SPIQ_END_NAMESPACE
