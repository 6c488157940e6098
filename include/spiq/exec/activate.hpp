/// @file
/// The epilogue of smooth activations: GELU and others behind a product, in one pass.
#pragma once

#include <spiq/exec/epilogue.hpp>
#include <spiq/kernel/nonlinear_map.hpp>

#include <cstddef>

SPIQ_BEGIN_NAMESPACE

namespace exec {

namespace detail {
/// Stores function(sum + bias). The tile is staged in L1: the function, long and with chains of its own that have to
/// overlap, then exists once and not in every tile of a product.
template <class F>
struct ActivateSink {
  float* out;
  std::size_t stride;
  const float* bias;
  F function;

  template <class V, int MR, int NV>
  SPIQ_INLINE void operator()(const V (&acc)[MR][NV], const kernel::TileAt& at) noexcept {
    constexpr int width = V::width;
    alignas(64) float staged[static_cast<std::size_t>(MR * NV * width)];
    SPIQ_UNROLL
    for (int i = 0; i < MR; ++i) {
      SPIQ_UNROLL
      for (int j = 0; j < NV; ++j)
        (acc[i][j] + V::load(bias + at.channel + j * width)).store(staged + (i * NV + j) * width);
    }
    process<V>(staged, NV * width, at);
  }

private:
  template <class V>
  SPIQ_NOINLINE void process(float* tile, int columns, const kernel::TileAt& at) noexcept {
    kernel::pointwise<kernel::detail::arch_of<V>>(function, tile, tile, static_cast<std::size_t>(at.rows * columns));
    float* row = out + at.row * stride + static_cast<std::size_t>(at.channel);
    const bool whole = static_cast<std::size_t>(at.channel + columns) <= stride;
    for (int i = 0; i < at.rows; ++i, row += stride)
      for (int c = 0; c < columns; c += V::width) {
        const V y = V::load(tile + i * columns + c);
        if (whole)
          y.store(row + c);
        else
          y.store_first(row + c, at.channels - c);
      }
  }
};
}  // namespace detail

/// y = function(sum + bias); F is a functor of kernel/nonlinear.hpp.
template <class F>
struct Activate {
  using emits = Packings<packing::real>;
  using admits = any_packing;
  static constexpr const char* name = "activation";
  PerChannel<float> bias;
  F function{};

  [[nodiscard]] int out_steps(int in_steps) const { return in_steps; }
  /// Updates of one neuron for one input; none here.
  [[nodiscard]] int updates(int) const { return 0; }
  template <class Emit>
  [[nodiscard]] auto sink(Buffer<Emit>& out, int, InternalSpikes*) const {
    return detail::ActivateSink<F>{out.data.data(), out.stride, bias.data(), function};
  }
};

}  // namespace exec

SPIQ_END_NAMESPACE
