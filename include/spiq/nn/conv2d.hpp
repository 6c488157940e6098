/// @file
/// Convolution layers.
#pragma once

#include <spiq/kernel/conv.hpp>
#include <spiq/kernel/conv_backward.hpp>
#include <spiq/kernel/winograd.hpp>
#include <spiq/nn/options.hpp>
#include <spiq/nn/weighted.hpp>

SPIQ_BEGIN_NAMESPACE

namespace nn {

/// Forward and backward of a convolution on dense NHWC activations: the direct kernels, or Winograd's where the
/// geometry prefers it (for one sample, so that a result does not depend on the size of its batch).
struct Convolution : Weighted {
  struct Cache {
    kernel::ConvForward<> forward;
    kernel::ConvBackwardData<> data;
    kernel::ConvBackwardWeights<> weights;
    kernel::WinogradConv<> winograd_forward, winograd_data;
  };

  Convolution(const kernel::ConvGeometry& g, bool has_bias)
      : Weighted(g,
                 {static_cast<std::size_t>(g.out_channels), static_cast<std::size_t>(g.group_in()),
                  static_cast<std::size_t>(g.kernel_h), static_cast<std::size_t>(g.kernel_w)},
                 has_bias) {}

  /// y[o, p] = bias[o] + sum over taps and inputs of weight * x, a cross-correlation with zero padding.
  void forward(const float* x, float* y, std::size_t samples, Cache& cache, const Pass& pass) const {
    const float* const b = has_bias() ? bias.data() : nullptr;
    if (kernel::prefers_winograd(geometry)) {
      if (pass.pack) cache.winograd_forward.pack(geometry, weight.span());
      cache.winograd_forward.run(x, b, y, samples, pass.threads);
    } else {
      if (pass.pack) cache.forward.pack(geometry, weight.span());
      cache.forward.run(x, b, y, samples, pass.threads);
    }
  }
  /// Gradients of weights and bias from the output's gradient; dx too unless null.
  void backward(const float* x, const float*, const float* dy, float* dx, std::size_t samples, Cache& cache,
                const Pass& pass) {
    // Where batch statistics take the bias away again its gradient is zero: no need to sum rounding errors.
    const bool wants_bias = has_bias() && !pass.bias_cancels;
    cache.weights.run(geometry, x, dy, weight_gradient.data(), wants_bias ? bias_gradient.data() : nullptr, samples,
                      pass.threads);
    if (pass.bias_cancels) bias_gradient.fill(0.0f);
    if (dx == nullptr) return;
    if (kernel::prefers_winograd(geometry)) {
      cache.winograd_data.pack_backward(geometry, weight.span());
      cache.winograd_data.run(dy, nullptr, dx, samples, pass.threads);
    } else {
      cache.data.pack(geometry, weight.span());
      cache.data.run(dy, dx, samples, pass.threads);
    }
  }
};

}  // namespace nn

/// 2-d convolution with `Out` channels and a `K`x`K` kernel; stride 1 and "same" padding unless tags say otherwise.
/// {h, w, c} -> {(h + 2 pad - dilation (K - 1) - 1) / stride + 1, likewise, Out}.
/// Options: `Kernel`, `Stride`, `Padding`, `Dilation`, `Groups` (must divide c and Out), `NoBias`.
template <int Out, int K, nn::ConvOption... Options>
struct Conv2d : nn::Convolution {
  static_assert(nn::options_among<Options...>(nn::kernel_option | nn::stride_option | nn::padding_option |
                                              nn::dilation_option | nn::groups_option | nn::bias_option),
                "spiq: Conv2d takes the options Kernel, Stride, Padding, Dilation, Groups and NoBias, each at most once");
  static constexpr const char* name = "Conv2d";
  static constexpr nn::ConvOptions options = nn::conv_options<Options...>(K);
  static constexpr kernel::ConvGeometry geometry_on(Shape in) { return options.geometry(in, Out, options.groups); }
  static constexpr bool accepts(Shape in) { return geometry_on(in).valid(); }
  static constexpr Shape output_shape(Shape in) { return geometry_on(in).out(); }

  explicit Conv2d(Shape in) : Convolution(geometry_on(in), options.bias) {}
};

/// Convolution of each channel with its own `K`x`K` kernel (`Multiplier<M>` kernels, M outputs per channel); stride 1
/// and "same" padding unless tags say otherwise. {h, w, c} -> {as `Conv2d`, likewise, c M}.
/// Options: `Kernel`, `Stride`, `Padding`, `Dilation`, `Multiplier`, `NoBias`.
template <int K, nn::ConvOption... Options>
struct DepthwiseConv2d : nn::Convolution {
  static_assert(nn::options_among<Options...>(nn::kernel_option | nn::stride_option | nn::padding_option |
                                              nn::dilation_option | nn::multiplier_option | nn::bias_option),
                "spiq: DepthwiseConv2d takes the options Kernel, Stride, Padding, Dilation, Multiplier and NoBias, each "
                "at most once");
  static constexpr const char* name = "DepthwiseConv2d";
  static constexpr nn::ConvOptions options = nn::conv_options<Options...>(K);
  static constexpr kernel::ConvGeometry geometry_on(Shape in) {
    return options.geometry(in, in.channels * options.multiplier, in.channels);
  }
  static constexpr bool accepts(Shape in) { return geometry_on(in).valid(); }
  static constexpr Shape output_shape(Shape in) { return geometry_on(in).out(); }

  explicit DepthwiseConv2d(Shape in) : Convolution(geometry_on(in), options.bias) {}
};

SPIQ_END_NAMESPACE
