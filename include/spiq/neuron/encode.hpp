/// @file
/// Encoders: numbers or frames to spikes over time; and what reads an answer out of spikes or potentials over time.
#pragma once

#include <spiq/core/checked.hpp>
#include <spiq/core/random.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>

SPIQ_BEGIN_NAMESPACE

/// Encoders. Time comes first: the output is [steps][n], 1 for a spike and 0 for none unless said. Spans of other sizes
/// throw `spiq::Error`.
namespace encode {

/// The numbers themselves at every step: direct coding, whose first product is the same at every step.
inline void direct(std::span<const float> x, std::size_t steps, std::span<float> y) {
  expect_values("encode direct: output", y.size(), steps, x.size());
  for (std::size_t t = 0; t < steps; ++t)
    std::copy(x.begin(), x.end(), y.begin() + static_cast<std::ptrdiff_t>(t * x.size()));
}

/// sign(x) with probability min(1, |x|) at each step, else 0: rate coding; NaN never fires. A spike depends on the
/// generator, its step and its place alone.
inline void poisson(std::span<const float> x, std::size_t steps, const Rng& rng, std::span<float> y) {
  expect_values("encode poisson: output", y.size(), steps, x.size());
  for (std::size_t t = 0; t < steps; ++t) {
    Rng draw = rng.split(t);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const bool fires = draw.uniform() < std::fabs(x[i]);
      y[t * x.size() + i] = fires ? std::copysign(1.0f, x[i]) : 0.0f;
    }
  }
}

/// How `latency` maps x in [0, 1] to the time of its only spike (snnTorch's spikegen.latency, same defaults).
struct LatencyOptions {
  float threshold = 0.01f;  ///< smaller numbers fire as it does, or not at all with `clip`
  float tau = 1;            ///< steps; of the membrane charged by x, or of the line
  bool linear = false;      ///< tau (1 - x) in place of tau ln(x / (x - threshold))
  bool normalize = false;   ///< stretches the times over all steps
  bool clip = false;
};

/// One spike each, the earlier the larger x: logarithmic (the charging of a membrane) or linear. The time is rounded to
/// the nearest step, halves to even; a time behind the last step gives no spike.
inline void latency(std::span<const float> x, std::size_t steps, const LatencyOptions& o, std::span<float> y) {
  expect_values("encode latency: output", y.size(), steps, x.size());
  if (!(o.threshold >= 0 && o.threshold < 1))
    SPIQ_THROW("encode latency: threshold", "a number in [0, 1)", std::to_string(o.threshold));
  if (!(o.tau > 0 && std::isfinite(o.tau)))
    SPIQ_THROW("encode latency: tau", "a positive number of steps", std::to_string(o.tau));
  for (const float v : x)
    if (!(v >= 0 && v <= (o.linear ? 1 : std::numeric_limits<float>::max())))
      SPIQ_THROW("encode latency: input", o.linear ? "numbers in [0, 1]" : "finite numbers that are not negative",
                 std::to_string(v));
  std::fill(y.begin(), y.end(), 0.0f);
  if (steps == 0 || x.empty()) return;
  const auto last = static_cast<float>(steps - 1);
  const float tau = o.linear && o.normalize ? last : o.tau;
  const auto time = [&](float v) {
    if (o.linear) return std::min(-tau * (v - 1), -tau * (o.threshold - 1));
    const float d = std::max(v, o.threshold + 1e-7f);
    return tau * std::log(d / (d - o.threshold));
  };
  float stretch = 1;
  if (!o.linear && o.normalize) {
    float latest = 0;
    for (const float v : x) latest = std::max(latest, time(v));
    if (latest > 0) stretch = last / latest;
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (o.clip && x[i] < o.threshold) continue;
    const float at = std::nearbyint(time(x[i]) * stretch);
    if (at >= 0 && at <= last) y[static_cast<std::size_t>(at) * x.size() + i] = 1;
  }
}

/// 1 where a number rises by at least `threshold` from one frame to the next, -1 where it falls by as much if `off`
/// (snnTorch's spikegen.delta). x and y are [steps][n], apart from each other; before the first frame is zero. A
/// threshold that is negative or NaN throws.
inline void delta(std::span<const float> x, std::size_t steps, float threshold, bool off, std::span<float> y) {
  expect_values("encode delta: output", y.size(), x.size(), 1);
  if (steps == 0 || x.size() % steps != 0)
    SPIQ_THROW("encode delta: frames", "a number of steps that divides " + std::to_string(x.size()) + " values",
               std::to_string(steps));
  if (!(threshold >= 0)) SPIQ_THROW("encode delta: threshold", "a number of at least 0", std::to_string(threshold));
  const std::size_t n = x.size() / steps;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float change = x[i] - (i < n ? 0.0f : x[i - n]);
    y[i] = change >= threshold ? 1.0f : off && change <= -threshold ? -1.0f : 0.0f;
  }
}

/// y[n][k] = e^(-(x - c_k)^2 s / 2), c_k evenly from 0 to s, the largest x: how near a number is to each of `units`
/// centres (Norse's population_encode with its defaults). No time axis: feed it to another encoder.
inline void population(std::span<const float> x, std::size_t units, std::span<float> y) {
  expect_values("encode population: output", y.size(), x.size(), units);
  const float s = x.empty() ? 0.0f : *std::max_element(x.begin(), x.end());
  for (std::size_t i = 0; i < x.size(); ++i)
    for (std::size_t k = 0; k < units; ++k) {
      const float centre = units < 2 ? 0.0f : s * static_cast<float>(k) / static_cast<float>(units - 1);
      y[i * units + k] = std::exp(-(x[i] - centre) * (x[i] - centre) * s / 2);
    }
}

/// The binary digits of x in [0, 1) one per step, most significant first, again and again: 2^-(1 + t mod period) where
/// that digit of x, rounded to `period` digits, is 1 (weighted spikes, Kim et al., Neurocomputing 311, 2018). The
/// spikes of a period sum to x. What lies beyond is clipped; NaN counts as 0.
inline void phase(std::span<const float> x, std::size_t steps, int period, std::span<float> y) {
  expect_values("encode phase: output", y.size(), steps, x.size());
  if (period < 1 || period > 24) SPIQ_THROW("encode phase: period", "1 to 24 steps", std::to_string(period));
  const float top = static_cast<float>((1 << period) - 1);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float scaled = std::nearbyint(x[i] * static_cast<float>(1 << period));
    const auto digits = static_cast<unsigned>(scaled > 0 ? std::min(scaled, top) : 0.0f);
    for (std::size_t t = 0; t < steps; ++t) {
      const int place = static_cast<int>(t % static_cast<std::size_t>(period));
      y[t * x.size() + i] = (digits >> (period - 1 - place) & 1u) != 0 ? std::ldexp(1.0f, -1 - place) : 0.0f;
    }
  }
}

}  // namespace encode

/// How an answer is read from the outputs [steps][n] of a last layer.
enum class ReadOut {
  sum,         ///< over the steps
  mean,        ///< over the steps
  last,        ///< what the last step says; of a leaky integrator, its membrane potential
  max,         ///< the largest over the steps
  membrane,    ///< potential of a neuron that never fires after the last step: v <- leak v + output
  first_spike  ///< 1 / (1 + step) of the first output above 0; 0 if there is none
};

/// y[i] of n outputs over time x [steps][n]. `leak` is that of `membrane`, in [0, 1]. Throws `spiq::Error` for spans of
/// other sizes.
inline void read_out(ReadOut kind, std::size_t steps, std::span<const float> x, std::span<float> y, float leak = 1) {
  expect_values("read-out: outputs over time", x.size(), steps, y.size());
  if (!(leak >= 0 && leak <= 1)) SPIQ_THROW("read-out: leak", "a number in [0, 1]", std::to_string(leak));
  const std::size_t n = y.size();
  for (std::size_t i = 0; i < n; ++i) {
    float value = 0;
    for (std::size_t t = 0; t < steps; ++t) {
      const float v = x[t * n + i];
      switch (kind) {
        case ReadOut::sum:
        case ReadOut::mean:
          value += v;
          break;
        case ReadOut::last:
          value = v;
          break;
        case ReadOut::max:
          value = t == 0 ? v : std::max(value, v);
          break;
        case ReadOut::membrane:
          value = leak * value + v;
          break;
        case ReadOut::first_spike:
          if (value == 0 && v > 0) value = 1.0f / static_cast<float>(1 + t);
          break;
      }
    }
    y[i] = kind == ReadOut::mean && steps != 0 ? value / static_cast<float>(steps) : value;
  }
}

SPIQ_END_NAMESPACE
