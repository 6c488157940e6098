/// @file
/// The fully connected layer.
#pragma once

#include <spiq/kernel/gemm.hpp>
#include <spiq/nn/chunks.hpp>
#include <spiq/nn/options.hpp>
#include <spiq/nn/weighted.hpp>

#include <algorithm>
#include <cstddef>

SPIQ_BEGIN_NAMESPACE

namespace nn {

/// Forward and backward of a fully connected layer.
struct Dense : Weighted {
  struct Cache {};

  Dense(int inputs, int outputs, bool has_bias)
      : Weighted(kernel::ConvGeometry::linear(inputs, outputs),
                 {static_cast<std::size_t>(outputs), static_cast<std::size_t>(inputs)}, has_bias) {}

  /// y[o] = bias[o] + sum over i of weight[o, i] x[i].
  void forward(const float* x, float* y, std::size_t samples, Cache&, const Pass& pass) const {
    const std::size_t in = inputs(), out = outputs();
    for_chunks(samples, row_chunk, pass.threads, [&](std::size_t first, std::size_t count) {
      if (has_bias())
        for (std::size_t s = first; s < first + count; ++s) std::copy_n(bias.data(), out, y + s * out);
      kernel::gemm(size(count, out, in), x + first * in, in, false, weight.data(), in, true, y + first * out, out, has_bias());
    });
  }
  /// Gradients of weights and bias from the output's gradient; dx too unless null.
  void backward(const float* x, const float*, const float* dy, float* dx, std::size_t samples, Cache&, const Pass& pass) {
    const std::size_t in = inputs(), out = outputs();
    for_chunks(in, column_chunk, pass.threads, [&](std::size_t first, std::size_t count) {
      kernel::gemm(size(out, count, samples), dy, out, true, x + first, in, false, weight_gradient.data() + first, in, false);
    });
    if (has_bias()) {
      bias_gradient.fill(0.0f);
      for (std::size_t s = 0; s < samples; ++s)
        for (std::size_t o = 0; o < out; ++o) bias_gradient[o] += dy[s * out + o];
    }
    if (dx == nullptr) return;
    for_chunks(samples, row_chunk, pass.threads, [&](std::size_t first, std::size_t count) {
      kernel::gemm(size(count, in, out), dy + first * out, out, false, weight.data(), in, false, dx + first * in, in, false);
    });
  }

private:
  static constexpr std::size_t row_chunk = 32;      // samples
  static constexpr std::size_t column_chunk = 128;  // inputs
  static kernel::GemmShape size(std::size_t m, std::size_t n, std::size_t k) {
    return {static_cast<int>(m), static_cast<int>(n), static_cast<int>(k)};
  }
  [[nodiscard]] std::size_t inputs() const { return weight.extent(1); }
  [[nodiscard]] std::size_t outputs() const { return weight.extent(0); }
};

}  // namespace nn

/// y = weight x + bias: {1, 1, n} -> {1, 1, N}; put `Flatten` before it. Weights are [N, n], where n counts
/// features in the (c, h, w) order that `Flatten` yields. Options: `NoBias`.
template <int N, nn::ConvOption... Options>
struct Linear : nn::Dense {
  static_assert(nn::options_among<Options...>(nn::bias_option), "spiq: Linear takes the option NoBias, at most once");
  static constexpr const char* name = "Linear";
  static constexpr nn::ConvOptions options = nn::conv_options<Options...>(1);
  static constexpr bool accepts(Shape in) { return in.height == 1 && in.width == 1 && in.channels > 0 && N > 0; }
  static constexpr Shape output_shape(Shape) { return {1, 1, N}; }

  explicit Linear(Shape in) : Dense(in.channels, N, options.bias) {}
};

SPIQ_END_NAMESPACE
