/// @file
/// Pooling layers.
#pragma once

#include <spiq/kernel/pool.hpp>
#include <spiq/nn/options.hpp>
#include <spiq/nn/pass.hpp>

#include <cstddef>

SPIQ_BEGIN_NAMESPACE

namespace nn {

/// The kinds of options that pools take.
inline constexpr unsigned pool_options = kernel_option | stride_option | padding_option;

/// Windows of `kernel`x`kernel` on input `in`; stride is the window and padding none unless tags say otherwise.
template <ConvOption... Tags>
constexpr kernel::PoolGeometry pool_geometry(int kernel, Shape in) {
  ConvOptions o = conv_options<Tags...>(kernel);
  if (!has_option<Tags...>(stride_option)) {
    o.stride_h = o.kernel_h;
    o.stride_w = o.kernel_w;
  }
  if (!has_option<Tags...>(padding_option)) o.pad_h = o.pad_w = 0;
  kernel::PoolGeometry g;
  g.in = in;
  g.kernel_h = o.kernel_h;
  g.kernel_w = o.kernel_w;
  g.stride_h = o.stride_h;
  g.stride_w = o.stride_w;
  g.pad_h = o.padding_above();
  g.pad_w = o.padding_left();
  return g;
}

}  // namespace nn

/// Mean of `K`x`K` windows, by default side by side; rows and columns that fill no window are dropped:
/// {h, w, c} -> {h / K, w / K, c}. Options: `Kernel` (a rectangular window), `Stride`, `Padding` (at most half the
/// window; padded pixels count as zeros).
template <int K, nn::ConvOption... Options>
struct AvgPool {
  static_assert(nn::options_among<Options...>(nn::pool_options),
                "spiq: AvgPool takes the options Kernel, Stride and Padding, each at most once");
  static constexpr const char* name = "AvgPool";
  static constexpr kernel::PoolGeometry geometry_on(Shape in) { return nn::pool_geometry<Options...>(K, in); }
  static constexpr bool accepts(Shape in) { return geometry_on(in).valid(); }
  static constexpr Shape output_shape(Shape in) { return geometry_on(in).out(); }

  struct Cache {};
  kernel::PoolGeometry geometry;
  explicit AvgPool(Shape in) : geometry(geometry_on(in)) {}

  void forward(const float* x, float* y, std::size_t samples, Cache&, const nn::Pass& pass) const {
    kernel::average_pool_forward(geometry, x, y, samples, pass.threads);
  }
  void backward(const float*, const float*, const float* dy, float* dx, std::size_t samples, Cache&,
                const nn::Pass& pass) {
    if (dx != nullptr) kernel::average_pool_backward(geometry, dy, dx, samples, pass.threads);
  }
};

/// Maximum of `K`x`K` windows, by default side by side; the gradient goes to the first maximum.
/// {h, w, c} -> {h / K, w / K, c}. Options: `Kernel` (a rectangular window), `Stride`, `Padding` (at most half the
/// window; padded pixels never win).
template <int K, nn::ConvOption... Options>
struct MaxPool {
  static_assert(nn::options_among<Options...>(nn::pool_options),
                "spiq: MaxPool takes the options Kernel, Stride and Padding, each at most once");
  static constexpr const char* name = "MaxPool";
  static constexpr kernel::PoolGeometry geometry_on(Shape in) { return nn::pool_geometry<Options...>(K, in); }
  static constexpr bool accepts(Shape in) { return geometry_on(in).valid(); }
  static constexpr Shape output_shape(Shape in) { return geometry_on(in).out(); }

  struct Cache {};
  kernel::PoolGeometry geometry;
  explicit MaxPool(Shape in) : geometry(geometry_on(in)) {}

  void forward(const float* x, float* y, std::size_t samples, Cache&, const nn::Pass& pass) const {
    kernel::max_pool_forward(geometry, x, y, samples, pass.threads);
  }
  void backward(const float* x, const float*, const float* dy, float* dx, std::size_t samples, Cache&,
                const nn::Pass& pass) {
    if (dx != nullptr) kernel::max_pool_backward(geometry, x, dy, dx, samples, pass.threads);
  }
};

/// Mean over all pixels: {h, w, c} -> {1, 1, c}.
struct GlobalAvgPool {
  static constexpr const char* name = "GlobalAvgPool";
  static constexpr bool accepts(Shape in) { return in.valid(); }
  static constexpr Shape output_shape(Shape in) { return {1, 1, in.channels}; }

  struct Cache {};
  Shape in;
  explicit GlobalAvgPool(Shape input) : in(input) {}

  void forward(const float* x, float* y, std::size_t samples, Cache&, const nn::Pass& pass) const {
    kernel::global_average_pool_forward(in, x, y, samples, pass.threads);
  }
  void backward(const float*, const float*, const float* dy, float* dx, std::size_t samples, Cache&,
                const nn::Pass& pass) {
    if (dx != nullptr) kernel::global_average_pool_backward(in, dy, dx, samples, pass.threads);
  }
};

SPIQ_END_NAMESPACE
