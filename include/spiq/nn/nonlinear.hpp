/// @file
/// Smooth activations, their exponentials in a chosen accuracy: GELU, sigmoid, SiLU, tanh.
#pragma once

#include <spiq/core/shape.hpp>
#include <spiq/kernel/activation.hpp>
#include <spiq/kernel/nonlinear_map.hpp>
#include <spiq/nn/pass.hpp>

#include <cstddef>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace nn {

/// Base of the activations that are a functor of kernel/nonlinear.hpp. The backward pass computes the exponential again
/// from x, in the rung of the forward pass; the gradient is that of the exact function within the error stated there.
template <class Function>
struct Nonlinear {
  static constexpr bool activation = true;
  static constexpr bool smooth = true;
  static constexpr bool accepts(Shape) { return true; }
  static constexpr Shape output_shape(Shape in) { return in; }

  struct Cache {};
  Shape in;
  explicit Nonlinear(Shape input) : in(input) {}

  [[nodiscard]] Function function() const { return {}; }
  void set_parameter_gradient(double) {}

  void forward(const float* x, float* y, std::size_t samples, Cache&, const Pass& pass) const {
    kernel::pointwise(function(), x, y, samples * in.size(), pass.threads);
  }
  void backward(const float* x, const float*, const float* dy, float* dx, std::size_t samples, Cache&,
                const Pass& pass) {
    if (dx != nullptr) kernel::activate_backward(function(), x, dy, dx, samples * in.size(), pass.threads);
  }
};

/// Activations of the base above.
template <class L>
concept SmoothActivation = requires { requires L::smooth; };

template <class Rung, math::GeluForm Form>
using GeluFunction = std::conditional_t<Form == math::GeluForm::tanh, kernel::GeluTanh<Rung>,
                                        std::conditional_t<Form == math::GeluForm::erf, kernel::GeluErf<Rung>,
                                                           kernel::GeluSigmoid<Rung>>>;

}  // namespace nn

using math::GeluForm;

/// x Phi(x), Phi the normal distribution (Hendrycks and Gimpel, arXiv 1606.08415), by tanh unless `Form` says otherwise
/// (PyTorch's default is `GeluForm::erf`).
template <accuracy::Rung Rung = accuracy::full, GeluForm Form = GeluForm::tanh>
struct Gelu : nn::Nonlinear<nn::GeluFunction<Rung, Form>> {
  static constexpr const char* name = "Gelu";
  using rung = Rung;
  using nn::Nonlinear<nn::GeluFunction<Rung, Form>>::Nonlinear;
};
/// 1 / (1 + e^-x).
template <accuracy::Rung Rung = accuracy::full>
struct Sigmoid : nn::Nonlinear<kernel::Logistic<Rung>> {
  static constexpr const char* name = "Sigmoid";
  using rung = Rung;
  using nn::Nonlinear<kernel::Logistic<Rung>>::Nonlinear;
};
/// x / (1 + e^-x).
template <accuracy::Rung Rung = accuracy::full>
struct Silu : nn::Nonlinear<kernel::Silu<Rung>> {
  static constexpr const char* name = "Silu";
  using rung = Rung;
  using nn::Nonlinear<kernel::Silu<Rung>>::Nonlinear;
};
/// tanh(x).
template <accuracy::Rung Rung = accuracy::full>
struct Tanh : nn::Nonlinear<kernel::Tanh<Rung>> {
  static constexpr const char* name = "Tanh";
  using rung = Rung;
  using nn::Nonlinear<kernel::Tanh<Rung>>::Nonlinear;
};

SPIQ_END_NAMESPACE
