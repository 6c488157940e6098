/// @file
/// Sizes of a convolution or a linear map, as plain run-time numbers.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/shape.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// A 2-d convolution (cross-correlation, as the field defines it) of one sample, channels last.
/// Weights are [out, in / groups, kernel_h, kernel_w]. A linear map of n features is a 1x1 convolution on {1, 1, n}.
struct ConvGeometry {
  Shape in{};
  int out_channels = 0;
  int kernel_h = 1, kernel_w = 1;
  int stride_h = 1, stride_w = 1;
  int pad_h = 0, pad_w = 0;  ///< rows above and below, columns left and right
  int dilation_h = 1, dilation_w = 1;
  int groups = 1;

  constexpr bool operator==(const ConvGeometry&) const = default;

  /// Output extents; only of valid numbers (a stride of 0 divides by zero).
  [[nodiscard]] constexpr int out_h() const { return (in.height + 2 * pad_h - dilation_h * (kernel_h - 1) - 1) / stride_h + 1; }
  [[nodiscard]] constexpr int out_w() const { return (in.width + 2 * pad_w - dilation_w * (kernel_w - 1) - 1) / stride_w + 1; }
  [[nodiscard]] constexpr Shape out() const { return {out_h(), out_w(), out_channels}; }
  [[nodiscard]] constexpr int group_in() const { return in.channels / groups; }
  [[nodiscard]] constexpr int group_out() const { return out_channels / groups; }
  /// Inputs of one output neuron, padding included.
  [[nodiscard]] constexpr int fan_in() const { return group_in() * kernel_h * kernel_w; }
  [[nodiscard]] constexpr std::size_t weight_count() const {
    return static_cast<std::size_t>(out_channels) * static_cast<std::size_t>(fan_in());
  }
  /// Taps (kernel positions) of all output pixels that read a real pixel, not padding.
  [[nodiscard]] constexpr std::size_t real_taps() const {
    const auto axis = [](int n_out, int n_in, int k, int stride, int pad, int dilation) {
      std::size_t taps = 0;
      for (int o = 0; o < n_out; ++o)
        for (int t = 0; t < k; ++t) {
          const int i = o * stride - pad + t * dilation;
          taps += (i >= 0 && i < n_in) ? 1 : 0;
        }
      return taps;
    };
    return axis(out_h(), in.height, kernel_h, stride_h, pad_h, dilation_h) *
           axis(out_w(), in.width, kernel_w, stride_w, pad_w, dilation_w);
  }
  /// Multiply-adds of one sample on real pixels: taps in the padding are not counted.
  [[nodiscard]] constexpr std::size_t macs() const {
    return real_taps() * static_cast<std::size_t>(group_in()) * static_cast<std::size_t>(out_channels);
  }
  /// Whether the numbers describe a convolution, and none of the members above leaves the range of int: what is asked
  /// here may come from a file, so it is computed in 64 bits.
  [[nodiscard]] constexpr bool valid() const {
    return in.valid() && out_channels > 0 && kernel_h > 0 && kernel_w > 0 && stride_h > 0 && stride_w > 0 &&
           pad_h >= 0 && pad_w >= 0 && dilation_h > 0 && dilation_w > 0 && groups > 0 && in.channels % groups == 0 &&
           out_channels % groups == 0 && fits(in.height, pad_h, dilation_h, kernel_h, stride_h) &&
           fits(in.width, pad_w, dilation_w, kernel_w, stride_w) &&
           std::int64_t{kernel_h} * kernel_w <= most / group_in();
  }
  /// A linear map from `inputs` to `outputs` features.
  static constexpr ConvGeometry linear(int inputs, int outputs) {
    ConvGeometry g;
    g.in = {1, 1, inputs};
    g.out_channels = outputs;
    return g;
  }

private:
  static constexpr std::int64_t most = std::numeric_limits<int>::max();

  /// One axis: the kernel lies inside the padded input, and every position that a loop computes is an int.
  static constexpr bool fits(std::int64_t n, std::int64_t pad, std::int64_t dilation, std::int64_t k, std::int64_t stride) {
    const std::int64_t padded = n + 2 * pad;
    return padded > dilation * (k - 1) && padded <= most && stride <= most - padded;
  }
};

inline std::string to_string(const ConvGeometry& g) {
  return to_string(g.in) + " -> " + std::to_string(g.out_channels) + " channels, kernel " + std::to_string(g.kernel_h) +
         "x" + std::to_string(g.kernel_w) + ", stride " + std::to_string(g.stride_h) + "x" + std::to_string(g.stride_w) +
         ", padding " + std::to_string(g.pad_h) + "x" + std::to_string(g.pad_w) + ", groups " + std::to_string(g.groups);
}

/// Throws when the numbers do not describe a convolution or `weights` values do not fill it.
inline void check(const ConvGeometry& g, std::size_t weights) {
  if (!g.valid()) SPIQ_THROW("convolution", "positive sizes, channels divisible by groups, kernel inside the padded input",
                             to_string(g));
  if (weights != g.weight_count())
    SPIQ_THROW("weights of convolution " + to_string(g), std::to_string(g.weight_count()) + " values",
               std::to_string(weights));
}

}  // namespace kernel

SPIQ_END_NAMESPACE
