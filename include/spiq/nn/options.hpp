/// @file
/// Options of layers, written as tags in any order: `Conv2d<32, 3, Stride<2>, NoBias>`. Each layer names those it
/// takes and refuses the others at compile time.
#pragma once

#include <spiq/kernel/geometry.hpp>

#include <concepts>

SPIQ_BEGIN_NAMESPACE

namespace nn {

/// Padding of dilation * (kernel - 1) / 2 pixels on each side: at stride 1 an odd kernel keeps height and width.
inline constexpr int same_padding = -1;

/// What the tags of a layer add up to.
struct ConvOptions {
  int kernel_h = 1, kernel_w = 1;
  int stride_h = 1, stride_w = 1;
  int pad_h = same_padding, pad_w = same_padding;
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
    c.pad_h = padding_above();
    c.pad_w = padding_left();
    c.dilation_h = dilation_h;
    c.dilation_w = dilation_w;
    c.groups = g;
    return c;
  }
  /// Rows above and below, "same" resolved.
  [[nodiscard]] constexpr int padding_above() const { return pad_h >= 0 ? pad_h : dilation_h * (kernel_h - 1) / 2; }
  /// Columns left and right, "same" resolved.
  [[nodiscard]] constexpr int padding_left() const { return pad_w >= 0 ? pad_w : dilation_w * (kernel_w - 1) / 2; }
};

/// What a tag sets; a layer takes a set of these, joined by `|`.
enum OptionKind : unsigned {
  kernel_option = 1,
  stride_option = 2,
  padding_option = 4,
  dilation_option = 8,
  groups_option = 16,
  multiplier_option = 32,
  bias_option = 64,
};

/// A tag: its kind, and what it does to the options.
template <class T>
concept ConvOption = requires(ConvOptions& o) {
  { T::kind } -> std::convertible_to<OptionKind>;
  T::apply(o);
};

/// True where every tag is of a kind in `accepted` and no kind comes twice: of two strides one would be ignored.
template <ConvOption... Tags>
constexpr bool options_among(unsigned accepted) {
  [[maybe_unused]] unsigned left = accepted;  // unused without tags
  bool good = true;
  ((good = good && (left & Tags::kind) != 0, left &= ~static_cast<unsigned>(Tags::kind)), ...);
  return good;
}

/// True where a tag of this kind is among them.
template <ConvOption... Tags>
constexpr bool has_option([[maybe_unused]] OptionKind kind) {
  return ((Tags::kind == kind) || ...);
}

/// The options of a layer with a square kernel of size `kernel` unless a tag says otherwise.
template <ConvOption... Tags>
constexpr ConvOptions conv_options(int kernel) {
  ConvOptions o;
  o.kernel_h = o.kernel_w = kernel;
  (Tags::apply(o), ...);
  return o;
}

}  // namespace nn

/// Rectangular kernel or window; replaces the square size.
template <int H, int W>
struct Kernel {
  static constexpr nn::OptionKind kind = nn::kernel_option;
  static constexpr void apply(nn::ConvOptions& o) {
    o.kernel_h = H;
    o.kernel_w = W;
  }
};
/// Pixels from one window to the next, default 1; of pools the size of the window.
template <int H, int W = H>
struct Stride {
  static constexpr nn::OptionKind kind = nn::stride_option;
  static constexpr void apply(nn::ConvOptions& o) {
    o.stride_h = H;
    o.stride_w = W;
  }
};
/// Zero padding on each side, in pixels, or `nn::same_padding`: the default of convolutions. Pools pad by 0.
template <int H, int W = H>
struct Padding {
  static constexpr nn::OptionKind kind = nn::padding_option;
  static constexpr void apply(nn::ConvOptions& o) {
    // Here and not in the class, which clang would then refuse in further errors.
    static_assert((H >= 0 || H == nn::same_padding) && (W >= 0 || W == nn::same_padding),
                  "spiq: Padding takes pixels >= 0 or nn::same_padding");
    o.pad_h = H;
    o.pad_w = W;
  }
};
/// Distance between taps in pixels, default 1.
template <int H, int W = H>
struct Dilation {
  static constexpr nn::OptionKind kind = nn::dilation_option;
  static constexpr void apply(nn::ConvOptions& o) {
    o.dilation_h = H;
    o.dilation_w = W;
  }
};
/// Channel groups, default 1.
template <int G>
struct Groups {
  static constexpr nn::OptionKind kind = nn::groups_option;
  static constexpr void apply(nn::ConvOptions& o) { o.groups = G; }
};
/// Output channels per input channel of a depthwise convolution, default 1.
template <int M>
struct Multiplier {
  static constexpr nn::OptionKind kind = nn::multiplier_option;
  static constexpr void apply(nn::ConvOptions& o) { o.multiplier = M; }
};
/// No bias.
struct NoBias {
  static constexpr nn::OptionKind kind = nn::bias_option;
  static constexpr void apply(nn::ConvOptions& o) { o.bias = false; }
};

SPIQ_END_NAMESPACE
