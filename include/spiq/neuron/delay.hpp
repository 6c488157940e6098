/// @file
/// Synapses with learned delays: kernels over time whose taps lie at real positions (DCLS).
#pragma once

#include <spiq/core/abi.hpp>

#include <cmath>
#include <cstddef>

SPIQ_BEGIN_NAMESPACE

/// Dilated convolution with learnable spacings (Khalfaoui-Hassani et al., arXiv 2112.03740; delays of spiking networks:
/// Hammouamri et al., arXiv 2306.17670). A synapse has one or more weights at real positions p of a kernel of `taps`
/// values over time. Positions count from the centre: c = p + taps / 2; the last tap is delay 0, so that the delay is
/// taps - 1 - c. Between taps a weight is spread by a window g, divided by its sum; as the width shrinks in training,
/// positions become integers, which execution rounds to.
namespace delay {

/// The window g(i - c) of tap i.
enum class Window {
  split,     ///< 1 - f at floor(c) and f behind it, f = c - floor(c) (DCLS "v0"; not divided by its sum)
  triangle,  ///< max(0, 1 - |i - c|) ("v1")
  gauss,     ///< e^(-((i - c) / s)^2 / 2), s = |width| + 0.27
  wide       ///< max(0, |width| + 1 - |i - c|) ("max")
};

namespace detail {
/// g and its derivatives by position and width.
struct Sample {
  double value = 0, by_position = 0, by_width = 0;
};
inline Sample sample(Window window, double distance, double width) {
  const double sign = distance > 0 ? 1 : distance < 0 ? -1 : 0, width_sign = width < 0 ? -1 : 1;
  switch (window) {
    case Window::triangle: {
      const double g = 1 - std::fabs(distance);
      return g > 0 ? Sample{g, sign, 0} : Sample{};
    }
    case Window::wide: {
      const double g = std::fabs(width) + 1 - std::fabs(distance);
      return g > 0 ? Sample{g, sign, width_sign} : Sample{};
    }
    case Window::gauss: {
      const double s = std::fabs(width) + 0.27, u = distance / s, g = std::exp(-0.5 * u * u);
      return {g, g * u / s, width_sign * g * u * u / s};
    }
    case Window::split: break;
  }
  return {};
}
inline constexpr double sum_guard = 1e-7;
}  // namespace detail

/// Adds the kernel of one synapse to kernel[taps]: `count` weights at their positions, with widths (not read by `split`
/// and `triangle`; may be null there).
inline void add_kernel(Window window, std::size_t taps, std::size_t count, const float* weight, const float* position,
                       const float* width, float* kernel) noexcept {
  for (std::size_t k = 0; k < count; ++k) {
    const double c = double{position[k]} + static_cast<double>(taps / 2), w = double{weight[k]};
    if (window == Window::split) {
      const double below = std::floor(c), f = c - below;
      const auto put = [&](double at, double value) {
        if (at >= 0 && at < static_cast<double>(taps)) kernel[static_cast<std::size_t>(at)] += static_cast<float>(value);
      };
      put(below, w * (1 - f));
      put(below + 1, w * f);
      continue;
    }
    const double s = width == nullptr ? 0 : double{width[k]};
    double sum = detail::sum_guard;
    for (std::size_t i = 0; i < taps; ++i) sum += detail::sample(window, static_cast<double>(i) - c, s).value;
    for (std::size_t i = 0; i < taps; ++i)
      kernel[i] += static_cast<float>(w * detail::sample(window, static_cast<double>(i) - c, s).value / sum);
  }
}

/// Gradients of one synapse from that of its kernel [taps]: added to those of weights, positions and widths (null where
/// the window has none).
inline void kernel_backward(Window window, std::size_t taps, std::size_t count, const float* weight,
                            const float* position, const float* width, const float* kernel_gradient,
                            float* weight_gradient, float* position_gradient, float* width_gradient) noexcept {
  for (std::size_t k = 0; k < count; ++k) {
    const double c = double{position[k]} + static_cast<double>(taps / 2), w = double{weight[k]};
    if (window == Window::split) {
      const double below = std::floor(c), f = c - below;
      const auto at = [&](double i) {
        return i >= 0 && i < static_cast<double>(taps) ? double{kernel_gradient[static_cast<std::size_t>(i)]} : 0.0;
      };
      weight_gradient[k] += static_cast<float>((1 - f) * at(below) + f * at(below + 1));
      position_gradient[k] += static_cast<float>(w * (at(below + 1) - at(below)));
      continue;
    }
    const double s = width == nullptr ? 0 : double{width[k]};
    // With n_i = g_i / S: sum over i of G_i dn_i = (sum G_i dg_i - (sum G_i n_i) (sum dg_i)) / S.
    double sum = detail::sum_guard, value = 0, by_position = 0, by_width = 0, position_sum = 0, width_sum = 0;
    for (std::size_t i = 0; i < taps; ++i) {
      const detail::Sample g = detail::sample(window, static_cast<double>(i) - c, s);
      const double up = double{kernel_gradient[i]};
      sum += g.value;
      value += up * g.value;
      by_position += up * g.by_position;
      by_width += up * g.by_width;
      position_sum += g.by_position;
      width_sum += g.by_width;
    }
    const double mean = value / sum;
    weight_gradient[k] += static_cast<float>(mean);
    position_gradient[k] += static_cast<float>(w * (by_position - mean * position_sum) / sum);
    if (width_gradient != nullptr) width_gradient[k] += static_cast<float>(w * (by_width - mean * width_sum) / sum);
  }
}

/// current[t][o] = sum over i, tap of kernel[o][i][tap] x[t - (taps - 1 - tap)][i], zeros before the first step: the
/// causal convolution over time of x [steps][inputs].
inline void current(std::size_t steps, std::size_t inputs, std::size_t outputs, std::size_t taps, const float* kernel,
                    const float* x, float* y) noexcept {
  for (std::size_t t = 0; t < steps; ++t)
    for (std::size_t o = 0; o < outputs; ++o) {
      float sum = 0;
      for (std::size_t back = 0; back < taps && back <= t; ++back)
        for (std::size_t i = 0; i < inputs; ++i)
          sum += kernel[(o * inputs + i) * taps + taps - 1 - back] * x[(t - back) * inputs + i];
      y[t * outputs + o] = sum;
    }
}

/// Gradients of `current`: added to kernel_gradient [outputs][inputs][taps]; x_gradient [steps][inputs] is written (null:
/// not wanted).
inline void current_backward(std::size_t steps, std::size_t inputs, std::size_t outputs, std::size_t taps,
                             const float* kernel, const float* x, const float* dy, float* kernel_gradient,
                             float* x_gradient) noexcept {
  for (std::size_t t = 0; x_gradient != nullptr && t < steps * inputs; ++t) x_gradient[t] = 0;
  for (std::size_t t = 0; t < steps; ++t)
    for (std::size_t o = 0; o < outputs; ++o)
      for (std::size_t back = 0; back < taps && back <= t; ++back)
        for (std::size_t i = 0; i < inputs; ++i) {
          const std::size_t at = (o * inputs + i) * taps + taps - 1 - back;
          kernel_gradient[at] += dy[t * outputs + o] * x[(t - back) * inputs + i];
          if (x_gradient != nullptr) x_gradient[(t - back) * inputs + i] += dy[t * outputs + o] * kernel[at];
        }
}

}  // namespace delay

SPIQ_END_NAMESPACE
