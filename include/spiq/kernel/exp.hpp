/// @file
/// exp over arrays, in a chosen accuracy.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/kernel/accuracy.hpp>
#include <spiq/kernel/exp_vector.hpp>
#include <spiq/kernel/stream_map.hpp>

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// y[i] = exp(scale x[i] + shift) for i < n; y may be x. The map of the input is free in the rungs up to `ladder3`; its
/// two numbers must not exceed `max_exp_map` in magnitude.
template <class Rung, class Arch = simd::best>
void exp(const float* x, float* y, std::size_t n, float scale = 1, float shift = 0, int threads = 1) noexcept {
  const auto run = [&](const auto& f) { stream_map<Arch>(x, y, n, f, threads); };
  if (shift != 0)
    run(Exp<Rung, Arch, ExpInput::affine>(scale, shift));
  else if (scale != 1)
    run(Exp<Rung, Arch, ExpInput::scaled>(scale));
  else
    run(Exp<Rung, Arch>());
}

namespace detail {
/// Both spans of an elementwise function must be equally long.
inline void check_lengths(const char* function, std::size_t x, std::size_t y) {
  if (x != y) SPIQ_THROW(std::string(function) + ": output", std::to_string(x) + " values", std::to_string(y));
}
/// A scale or shift must be finite (NaN fails the comparison) and not overflow inside.
inline void check_exp_map(const char* what, double value, double limit = double{max_exp_map}) {
  if (std::abs(value) <= limit) return;
  char expected[48], found[32];
  std::snprintf(expected, sizeof expected, "a magnitude of at most %g", limit);
  std::snprintf(found, sizeof found, "%g", value);
  SPIQ_THROW(what, expected, found);
}
}  // namespace detail

}  // namespace kernel

namespace math {

/// Maps that `math::exp` folds into its constants.
struct ExpOptions {
  float scale = 1;
  float shift = 0;
  int threads = 1;
};

}  // namespace math

namespace kernel::detail {
inline void check_exp(std::size_t x, std::size_t y, const math::ExpOptions& options) {
  check_lengths("exp", x, y);
  check_exp_map("exp: scale", double{options.scale});
  check_exp_map("exp: shift", double{options.shift});
}
}  // namespace kernel::detail

namespace math {

/// y[i] = exp(scale x[i] + shift) to the relative error of `Rung` (kernel/accuracy.hpp); y may be x.
/// Throws `spiq::Error` if the spans differ in length, or if scale or shift is not finite or beyond 1e30 in magnitude.
/// Source: rungs `quake*`: QuAKE, arXiv 2412.00408.
template <accuracy::Rung Rung, class Arch = simd::best>
void exp(std::span<const float> x, std::span<float> y, ExpOptions options = {}) {
  kernel::detail::check_exp(x.size(), y.size(), options);
  kernel::exp<Rung, Arch>(x.data(), y.data(), x.size(), options.scale, options.shift, options.threads);
}

}  // namespace math

SPIQ_END_NAMESPACE
