/// @file
/// Executable self-attention: two products with the attention between them.
#pragma once

#include <spiq/core/packing.hpp>
#include <spiq/exec/report.hpp>
#include <spiq/kernel/attention.hpp>
#include <spiq/kernel/convert_half.hpp>

#include <cmath>
#include <cstddef>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace exec {

/// y = out_proj(attention(in_proj(x))) over the positions of a map, exponentials in Rung; q, k and v as Number.
template <kernel::Product Product, class Rung, class Number = float>
struct Attention {
  using takes = packing::real;
  using emits = packing::real;

  Product in_projection;   ///< to [3 C]: q, k, v side by side
  Product out_projection;  ///< [C] to [C]
  Store<float> in_epilogue, out_epilogue;
  int heads = 1;
  bool causal = false;
  LayerInfo info;

  struct State {
    Buffer<packing::real> qkv, merged, out;
    typename Product::Scratch in_scratch, out_scratch;
    AlignedVector<float> workspace;
    AlignedVector<Number> rounded;  ///< q, k and v of one sample, where Number is not float
  };

  [[nodiscard]] Shape output_shape() const { return out_projection.geometry().out(); }

  template <class In>
  void allocate(State& state, int samples, const In&) const {
    state.qkv.allocate(in_projection.geometry().out(), samples, 1);
    state.merged.allocate(output_shape(), samples, 1);
    state.out.allocate(output_shape(), samples, 1);
    state.in_scratch = in_projection.scratch(1);
    state.out_scratch = out_projection.scratch(1);
    state.workspace = AlignedVector<float>(
        kernel::attention_workspace<Number, typename Product::arch>(problem(state.qkv.stride, state.merged.stride)));
    if constexpr (rounds) state.rounded = AlignedVector<Number>(state.qkv.sample_rows() * state.qkv.stride);
  }
  template <class In>
  const Buffer<emits>& run(const In& in, State& state) const noexcept {
    const Buffer<takes>& taken = view_as<takes>(in);
    SPIQ_ASSERT(taken.steps == 1 && state.out.holds(taken.samples));
    state.qkv.samples = state.merged.samples = state.out.samples = taken.samples;
    auto into = detail::make_sink(in_epilogue, state.qkv, 1, nullptr);
    in_projection.run(taken, 0, taken.samples, into, state.in_scratch);
    const kernel::AttentionShape s = problem(state.qkv.stride, state.merged.stride);
    const auto channels = static_cast<std::size_t>(output_shape().channels);
    for (std::size_t i = 0; i < static_cast<std::size_t>(taken.samples); ++i) {
      const Number* q = nullptr;
      if constexpr (rounds) {
        kernel::narrow<typename Product::arch>(state.qkv.row(i * s.queries), state.rounded.data(), state.rounded.size());
        q = state.rounded.data();
      } else {
        q = state.qkv.row(i * s.queries);
      }
      kernel::attention<Rung, typename Product::arch>(s, q, q + channels, q + 2 * channels,
                                                      state.merged.row(i * s.queries), nullptr, state.workspace.data());
    }
    auto out = detail::make_sink(out_epilogue, state.out, 1, nullptr);
    out_projection.run(state.merged, 0, taken.samples, out, state.out_scratch);
    return state.out;
  }

private:
  static constexpr bool rounds = !std::is_same_v<Number, float>;
  /// The attention of one sample, in rows of so many floats.
  [[nodiscard]] kernel::AttentionShape problem(std::size_t qkv_stride, std::size_t out_stride) const {
    const Shape shape = output_shape();
    kernel::AttentionShape s;
    s.queries = s.keys = shape.pixels();
    s.heads = static_cast<std::size_t>(heads);
    s.dim = static_cast<std::size_t>(shape.channels / heads);
    s.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(s.dim)));
    s.causal = causal;
    s.q = s.k = s.v = {qkv_stride, s.dim};
    s.out = {out_stride, s.dim};
    return s;
  }
};

template <class Product, class Rung, class Number>
LayerReport describe(const Attention<Product, Rung, Number>& layer) {
  LayerReport row;
  row.path = layer.info.path;
  row.product = std::is_same_v<Number, float> ? "attention" : "attention_bf16";
  row.epilogue = Store<float>::name;
  row.takes = packing::real::name;
  row.emits = packing::real::name;
  row.shape = layer.output_shape();
  row.macs = layer.info.macs;
  row.packed_bytes = layer.in_projection.packed_bytes() + layer.out_projection.packed_bytes();
  return row;
}

}  // namespace exec

SPIQ_END_NAMESPACE
