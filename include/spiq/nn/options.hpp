/// @file
/// Options of convolutions, written as tags in any order: `Conv2d<32, 3, Stride<2>, NoBias>`.
#pragma once

#include <spiq/kernel/geometry.hpp>

SPIQ_BEGIN_NAMESPACE

namespace nn {

/// What the tags of a convolution add up to. A negative padding means "same": dilation * (kernel - 1) / 2.
struct ConvOptions {
  int kernel_h = 1, kernel_w = 1;
  int stride_h = 1, stride_w = 1;
  int pad_h = -1, pad_w = -1;
  int dilation_h = 1, dilation_w = 1;
  int groups = 1;
  int multiplier = 1;
  bool bias = true;

  /// The geometry on input `in` with `out` output channels in `g` groups.
  [[nodiscard]] constexpr kernel::ConvGeometry geometry(Shape in, int out, int g) const {
    kernel::ConvGeometry c;
    c.in = in;
    c.out_channels = out;
    c.kernel_h = kernel_h;
    c.kernel_w = kernel_w;
    c.stride_h = stride_h;
    c.stride_w = stride_w;
    c.pad_h = pad_h >= 0 ? pad_h : dilation_h * (kernel_h - 1) / 2;
    c.pad_w = pad_w >= 0 ? pad_w : dilation_w * (kernel_w - 1) / 2;
    c.dilation_h = dilation_h;
    c.dilation_w = dilation_w;
    c.groups = g;
    return c;
  }
};

template <class T>
concept ConvOption = requires(ConvOptions& o) { T::apply(o); };

template <ConvOption... Tags>
constexpr ConvOptions conv_options(int kernel) {
  ConvOptions o;
  o.kernel_h = o.kernel_w = kernel;
  (Tags::apply(o), ...);
  return o;
}

}  // namespace nn

/// Rectangular kernel; replaces the square size.
template <int H, int W>
struct Kernel {
  static constexpr void apply(nn::ConvOptions& o) {
    o.kernel_h = H;
    o.kernel_w = W;
  }
};
/// Stride, default 1.
template <int H, int W = H>
struct Stride {
  static constexpr void apply(nn::ConvOptions& o) {
    o.stride_h = H;
    o.stride_w = W;
  }
};
/// Zero padding on each side; default is half of the kernel ("same" for odd kernels at stride 1).
template <int H, int W = H>
struct Padding {
  static constexpr void apply(nn::ConvOptions& o) {
    o.pad_h = H;
    o.pad_w = W;
  }
};
/// Distance between taps, default 1.
template <int H, int W = H>
struct Dilation {
  static constexpr void apply(nn::ConvOptions& o) {
    o.dilation_h = H;
    o.dilation_w = W;
  }
};
/// Channel groups, default 1.
template <int G>
struct Groups {
  static constexpr void apply(nn::ConvOptions& o) { o.groups = G; }
};
/// Output channels per input channel of a depthwise convolution, default 1.
template <int M>
struct Multiplier {
  static constexpr void apply(nn::ConvOptions& o) { o.multiplier = M; }
};
/// No bias.
struct NoBias {
  static constexpr void apply(nn::ConvOptions& o) { o.bias = false; }
};

SPIQ_END_NAMESPACE
