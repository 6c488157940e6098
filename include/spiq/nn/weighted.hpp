/// @file
/// What convolutions and linear layers share: geometry, weights, gradients, initialisation.
#pragma once

#include <spiq/core/random.hpp>
#include <spiq/kernel/geometry.hpp>
#include <spiq/nn/parameter.hpp>
#include <spiq/nn/pass.hpp>

#include <cmath>
#include <string>

SPIQ_BEGIN_NAMESPACE

namespace nn {

/// Base of the layers with weights. Weights are [out, in / groups, kernel_h, kernel_w] or, in a linear layer,
/// [out, in]; the bias is [out] or empty.
struct Weighted {
  static constexpr bool weighted = true;

  kernel::ConvGeometry geometry;
  Tensor<float> weight, bias;
  Tensor<float> weight_gradient, bias_gradient;

  Weighted(const kernel::ConvGeometry& g, const Extents& weight_extents, bool has_bias)
      : geometry(g), weight(weight_extents), weight_gradient(weight_extents) {
    if (has_bias) {
      bias = Tensor<float>({static_cast<std::size_t>(g.out_channels)});
      bias_gradient = zeros_like(bias);
    }
  }

  [[nodiscard]] bool has_bias() const { return bias.size() != 0; }

  /// Normal weights of standard deviation gain / sqrt(fan in) (He et al., arXiv 1502.01852, for gain = sqrt 2);
  /// zero bias.
  void initialise(Rng rng, float gain) {
    const float deviation = gain / std::sqrt(static_cast<float>(geometry.fan_in()));
    for (float& w : weight.span()) w = deviation * rng.normal();
    bias.fill(0.0f);
  }

  template <class Visitor>
  void parameters(const std::string& path, Visitor&& visit) {
    visit(Parameter{path + "weight", weight.span(), weight_gradient.span(), weight.extents(), ParameterKind::weight});
    if (has_bias())
      visit(Parameter{path + "bias", bias.span(), bias_gradient.span(), bias.extents(), ParameterKind::bias});
  }
  template <class Self, class Visitor>
  static void state(Self& self, const std::string& path, Visitor&& visit) {
    visit(path + "weight", self.weight.span(), self.weight.extents());
    if (self.has_bias()) visit(path + "bias", self.bias.span(), self.bias.extents());
  }
};

}  // namespace nn

SPIQ_END_NAMESPACE
