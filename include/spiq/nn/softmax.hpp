/// @file
/// Softmax as a layer.
#pragma once

#include <spiq/core/shape.hpp>
#include <spiq/kernel/softmax.hpp>
#include <spiq/kernel/softmax_backward.hpp>
#include <spiq/nn/pass.hpp>

#include <cstddef>

SPIQ_BEGIN_NAMESPACE

/// y[c] = e^(x[c]) / sum over c of e^(x[c]) over the channels of each position, exponentials in `Rung`
/// (kernel/accuracy.hpp). The gradient is that of a softmax at the y of the forward pass, as exact as y is. For
/// classification leave it out: `CrossEntropy` takes logits.
template <accuracy::Rung Rung = accuracy::full>
struct Softmax {
  static constexpr const char* name = "Softmax";
  using rung = Rung;
  static constexpr bool accepts(Shape) { return true; }
  static constexpr Shape output_shape(Shape in) { return in; }

  struct Cache {};
  Shape in;
  explicit Softmax(Shape input) : in(input) {}

  void forward(const float* x, float* y, std::size_t samples, Cache&, const nn::Pass& pass) const {
    kernel::SoftmaxOptions o;
    o.rows = samples * in.pixels();
    o.cols = static_cast<std::size_t>(in.channels);
    o.threads = pass.threads;
    kernel::softmax<Rung>(x, y, o);
  }
  void backward(const float*, const float* y, const float* dy, float* dx, std::size_t samples, Cache&,
                const nn::Pass& pass) {
    if (dx == nullptr) return;
    kernel::SoftmaxGradientOptions o;
    o.rows = samples * in.pixels();
    o.cols = static_cast<std::size_t>(in.channels);
    o.threads = pass.threads;
    kernel::softmax_backward(y, dy, dx, o);
  }
};

SPIQ_END_NAMESPACE
