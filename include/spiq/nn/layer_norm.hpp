/// @file
/// Layer normalisation.
#pragma once

#include <spiq/kernel/layer_norm.hpp>
#include <spiq/nn/parameter.hpp>
#include <spiq/nn/pass.hpp>

#include <cstddef>
#include <string>

SPIQ_BEGIN_NAMESPACE

/// y = gamma (x - mean) / sqrt(variance + eps) + beta, mean and variance over the channels of each position, gamma and
/// beta per channel (Ba, Kiros, Hinton, arXiv 1607.06450). The same in training and evaluation.
struct LayerNorm {
  static constexpr const char* name = "LayerNorm";
  static constexpr bool accepts(Shape) { return true; }
  static constexpr Shape output_shape(Shape in) { return in; }

  struct Cache {
    AlignedVector<float> mean, rstd;  // of each position, for the backward pass
    nn::Workspace sums;
    nn::Workspace unused;  // for the gradient that nobody wants
  };
  Shape in;
  Tensor<float> gamma, beta;
  Tensor<float> gamma_gradient, beta_gradient;
  float eps = 1e-5f;  ///< fixed by the code that made the network; not part of its saved state

  explicit LayerNorm(Shape input)
      : in(input), gamma(extents()), beta(extents()), gamma_gradient(extents()), beta_gradient(extents()) {
    gamma.fill(1.0f);
  }

  void forward(const float* x, float* y, std::size_t samples, Cache& cache, const nn::Pass& pass) const {
    const kernel::LayerNormShape s = shape(samples);
    if (cache.mean.size() < s.rows) {
      cache.mean.resize(s.rows);
      cache.rstd.resize(s.rows);
    }
    kernel::layer_norm(s, x, gamma.data(), beta.data(), y, cache.mean.data(), cache.rstd.data(), pass.threads);
  }
  void backward(const float* x, const float*, const float* dy, float* dx, std::size_t samples, Cache& cache,
                const nn::Pass& pass) {
    const kernel::LayerNormShape s = shape(samples);
    if (dx == nullptr) dx = cache.unused.get(s.rows * s.cols);
    kernel::layer_norm_backward(s, x, gamma.data(), cache.mean.data(), cache.rstd.data(), dy, dx, gamma_gradient.data(),
                                beta_gradient.data(), cache.sums.get(kernel::layer_norm_workspace(s)), pass.threads);
  }

  template <class Visitor>
  void parameters(const std::string& path, Visitor&& visit) {
    using nn::ParameterKind;
    visit(nn::Parameter{path + "weight", gamma.span(), gamma_gradient.span(), gamma.extents(), ParameterKind::norm});
    visit(nn::Parameter{path + "bias", beta.span(), beta_gradient.span(), beta.extents(), ParameterKind::norm});
  }
  template <class Self, class Visitor>
  static void state(Self& self, const std::string& path, Visitor&& visit) {
    visit(path + "weight", self.gamma.span(), self.gamma.extents());
    visit(path + "bias", self.beta.span(), self.beta.extents());
  }

private:
  [[nodiscard]] kernel::LayerNormShape shape(std::size_t samples) const {
    return {samples * in.pixels(), static_cast<std::size_t>(in.channels), eps};
  }
  [[nodiscard]] Extents extents() const { return {static_cast<std::size_t>(in.channels)}; }
};

SPIQ_END_NAMESPACE
