/// @file
/// What a layer learns, as seen by optimisers, files and users: named spans of floats with their gradients.
#pragma once

#include <spiq/core/tensor.hpp>

#include <cstddef>
#include <span>
#include <string>

SPIQ_BEGIN_NAMESPACE

namespace nn {

/// What a parameter is; optimisers treat the kinds differently (weight decay, learning-rate factor, lower bound).
enum class ParameterKind {
  weight,     ///< weights of a product
  bias,       ///< its bias
  norm,       ///< scale and shift of a normalisation
  threshold,  ///< threshold of an activation: positive, scalar
  delay,      ///< positions of delayed synapses, in time steps
};

/// One trainable array of a network. Valid while the network lives and is not assigned to.
struct Parameter {
  std::string path;           ///< "3.weight", "4.body.0.weight"
  std::span<float> value;     ///< row-major
  std::span<float> gradient;  ///< of the loss of the last backward pass; same size
  Extents extents;
  ParameterKind kind;
};

/// Copies a tensor's extents onto another and zeroes it; used for gradients.
inline Tensor<float> zeros_like(const Tensor<float>& t) { return t.size() == 0 ? Tensor<float>() : Tensor<float>(t.extents()); }

}  // namespace nn

SPIQ_END_NAMESPACE
