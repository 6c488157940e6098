/// @file
/// Executable maps without a product: softmax, layer normalisation, position embeddings, activations that stand alone.
#pragma once

#include <spiq/core/packing.hpp>
#include <spiq/exec/report.hpp>
#include <spiq/kernel/layer_norm.hpp>
#include <spiq/kernel/nonlinear_map.hpp>
#include <spiq/kernel/softmax.hpp>

#include <cstddef>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace exec {

/// Softmax over the channels of each position.
template <class Rung, class Arch>
struct SoftmaxMap {
  static constexpr const char* name = "softmax";

  void operator()(const Buffer<packing::real>& in, Buffer<packing::real>& out) const noexcept {
    kernel::SoftmaxOptions o;
    o.rows = in.rows();
    o.cols = static_cast<std::size_t>(in.shape.channels);
    o.input_stride = in.stride;
    o.output_stride = out.stride;
    kernel::softmax<Rung, Arch>(in.data.data(), out.data.data(), o);
  }
};

/// Layer normalisation over the channels of each position.
template <class Arch>
struct LayerNormMap {
  static constexpr const char* name = "layer_norm";
  std::vector<float> gamma, beta;  ///< [channels]
  float epsilon = 1e-5F;

  void operator()(const Buffer<packing::real>& in, Buffer<packing::real>& out) const noexcept {
    kernel::LayerNormShape s{in.rows(), gamma.size(), epsilon};
    if (in.stride == s.cols && out.stride == s.cols) {
      kernel::layer_norm<Arch>(s, in.data.data(), gamma.data(), beta.data(), out.data.data(), nullptr, nullptr);
      return;
    }
    s.rows = 1;
    for (std::size_t r = 0; r < in.rows(); ++r)
      kernel::layer_norm<Arch>(s, in.row(r), gamma.data(), beta.data(), out.row(r), nullptr, nullptr);
  }
};

/// Adds a vector of channels to each position.
template <class Arch>
struct PositionMap {
  static constexpr const char* name = "position_embedding";
  std::vector<float> embedding;  ///< [positions][channels]

  void operator()(const Buffer<packing::real>& in, Buffer<packing::real>& out) const noexcept {
    const auto channels = static_cast<std::size_t>(in.shape.channels);
    const std::size_t positions = in.sample_rows();
    for (std::size_t s = 0; s < static_cast<std::size_t>(in.samples); ++s)
      for (std::size_t p = 0; p < positions; ++p) {
        const std::size_t row = s * positions + p;
        kernel::add<Arch>(in.row(row), embedding.data() + p * channels, out.row(row), channels);
      }
  }
};

/// An activation with no product before it; F is a functor of kernel/nonlinear.hpp.
template <class F, class Arch>
struct ActivationMap {
  static constexpr const char* name = "activation";
  F function;

  void operator()(const Buffer<packing::real>& in, Buffer<packing::real>& out) const noexcept {
    // Rows are padded alike: their padding passes through the function too, and nobody reads it.
    kernel::pointwise<Arch>(function, in.data.data(), out.data.data(), in.rows() * in.stride);
  }
};

/// A function of real activations that keeps their shape. `Function` fills the rows of one buffer from those of another
/// of the same shape and stride.
template <class Function>
struct Map {
  using takes = packing::real;
  using emits = packing::real;
  Shape shape;
  Function function;
  LayerInfo info;

  struct State {
    Buffer<packing::real> out;
  };

  [[nodiscard]] Shape output_shape() const { return shape; }

  template <class In>
  void allocate(State& state, int samples, const In& in) const {
    state.out.allocate(shape, samples, view_as<takes>(in).steps);
  }
  template <class In>
  const Buffer<emits>& run(const In& in, State& state) const noexcept {
    const Buffer<takes>& taken = view_as<takes>(in);
    SPIQ_ASSERT(taken.shape == shape && state.out.holds(taken.samples));
    state.out.samples = taken.samples;
    function(taken, state.out);
    return state.out;
  }
};

template <class Function>
LayerReport describe(const Map<Function>& layer) {
  LayerReport row;
  row.path = layer.info.path;
  row.product = Function::name;
  row.takes = packing::real::name;
  row.emits = packing::real::name;
  row.shape = layer.shape;
  row.steps = layer.info.in_steps;
  return row;
}

}  // namespace exec

SPIQ_END_NAMESPACE
