/// @file
/// The rules of attention, layer normalisation, softmax, position embeddings and smooth activations: real numbers only.
#pragma once

#include <spiq/exec/attention.hpp>
#include <spiq/exec/map.hpp>
#include <spiq/lower/rules.hpp>
#include <spiq/nn/attention.hpp>
#include <spiq/nn/layer_norm.hpp>
#include <spiq/nn/position_embedding.hpp>
#include <spiq/nn/softmax.hpp>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace lowering {

/// A map without a product.
template <class Function>
struct MapDraft {
  Shape shape;
  Function function;
  exec::LayerInfo info;

  template <class Up>
  using emits = Packings<packing::real>;
  template <class Emit, class Up>
  using consumes = Packings<packing::real>;
  template <class Take, class Emit, class Up>
  auto bind() {
    return exec::Map<Function>{shape, std::move(function), info};
  }
};

/// Self-attention with its projections.
template <class Product, class Rung, class Number>
struct AttentionDraft {
  kernel::FoldedWeights in_projection, out_projection;
  int heads;
  bool causal;
  exec::LayerInfo info;

  template <class Up>
  using emits = Packings<packing::real>;
  template <class Emit, class Up>
  using consumes = Packings<packing::real>;
  template <class Take, class Emit, class Up>
  auto bind() {
    return exec::Attention<Product, Rung, Number>{Product::pack(in_projection),
                                          Product::pack(out_projection),
                                          F32Numbers::store(in_projection, false),
                                          F32Numbers::store(out_projection, false),
                                          heads,
                                          causal,
                                          info};
  }
};

/// Throws unless a layer that looks at positions and channels was trained on the map as it lies.
inline void check_map(const Shape& trained, const Context& context, const std::string& path, const char* layer) {
  if (trained != context.shape)
    SPIQ_THROW("layer " + path + ": " + layer, "the map before any Flatten as input: " + to_string(context.shape),
               to_string(trained));
}
template <class Function>
MapDraft<Function> draft_map(Context& c, const std::string& path, Function function) {
  exec::LayerInfo info;
  info.path = path;
  info.in_steps = c.steps;
  return {c.shape, std::move(function), info};
}

template <class Rung>
struct Rule<target::Float, signal::real, Softmax<Rung>> {
  static constexpr bool exists = true;
  using out = signal::real;
  template <class Arch>
  static auto apply(const target::Float&, Context& c, const std::string& path, const Softmax<Rung>& layer) {
    check_map(layer.in, c, path, "Softmax");
    return draft_map(c, path, exec::SoftmaxMap<Rung, Arch>{});
  }
};
template <>
struct Rule<target::Float, signal::real, LayerNorm> {
  static constexpr bool exists = true;
  using out = signal::real;
  template <class Arch>
  static auto apply(const target::Float&, Context& c, const std::string& path, const LayerNorm& layer) {
    check_map(layer.in, c, path, "LayerNorm");
    return draft_map(c, path,
                     exec::LayerNormMap<Arch>{finite(layer.gamma, path), finite(layer.beta, path), layer.eps});
  }
};
template <>
struct Rule<target::Float, signal::real, PositionEmbedding> {
  static constexpr bool exists = true;
  using out = signal::real;
  template <class Arch>
  static auto apply(const target::Float&, Context& c, const std::string& path, const PositionEmbedding& layer) {
    check_map(layer.in, c, path, "PositionEmbedding");
    return draft_map(c, path, exec::PositionMap<Arch>{finite(layer.embedding, path)});
  }
};
/// Without a product before it; behind one it is that product's epilogue.
template <nn::SmoothActivation A>
struct Rule<target::Float, signal::real, A> {
  static constexpr bool exists = true;
  using out = signal::real;
  template <class Arch>
  static auto apply(const target::Float&, Context& c, const std::string& path, const A& layer) {
    return draft_map(c, path, exec::ActivationMap<decltype(layer.function()), Arch>{layer.function()});
  }
};
template <int Heads, class... Options>
struct Rule<target::Float, signal::real, MultiHeadAttention<Heads, Options...>> {
  static constexpr bool exists = true;
  using out = signal::real;
  using Layer = MultiHeadAttention<Heads, Options...>;
  template <class Arch>
  static auto apply(const target::Float&, Context& c, const std::string& path, const Layer& layer) {
    check_map(layer.in, c, path, "MultiHeadAttention");
    AttentionDraft<F32Numbers::product<Arch>, typename Layer::rung, typename Layer::number> draft{
        fold(layer.in_projection, nullptr, c, path), fold(layer.out_projection, nullptr, c, path), layer.heads,
        layer.causal, {}};
    draft.info.path = path;
    draft.info.in_steps = c.steps;
    // Scores and weighted sums of values: two products of positions x positions x channels, half of it behind a mask.
    const std::size_t tokens = c.shape.pixels(), pairs = layer.causal ? tokens * (tokens + 1) / 2 : tokens * tokens;
    draft.info.macs = draft.in_projection.geometry.macs() + draft.out_projection.geometry.macs() +
                      2 * pairs * static_cast<std::size_t>(c.shape.channels);
    return draft;
  }
};

// Sentences for the targets that compute in spikes or levels; the plan instantiates one.
template <class Layer, class Target>
struct softmax_refused {
  static_assert(!std::is_same_v<Target, Target>,
                "spiq: Softmax has no form in spikes or levels; leave it out, for the largest logit is the largest "
                "probability, or lower to target::Float");
};
template <class Layer, class Target>
struct layer_norm_refused {
  static_assert(!std::is_same_v<Target, Target>,
                "spiq: LayerNorm has no form in spikes or levels; train with BatchNorm instead, which folds into "
                "weights, or lower to target::Float");
};
template <class Layer, class Target>
struct position_embedding_refused {
  static_assert(!std::is_same_v<Target, Target>,
                "spiq: PositionEmbedding has no form in spikes or levels; train without it, or lower to target::Float");
};
template <class Layer, class Target>
struct attention_refused {
  static_assert(!std::is_same_v<Target, Target>,
                "spiq: MultiHeadAttention has no form in spikes or levels, for it multiplies activations with each "
                "other; lower to target::Float");
};
template <class Layer, class Target>
struct smooth_refused {
  static_assert(!std::is_same_v<Target, Target>,
                "spiq: a smooth activation (Gelu, Sigmoid, Silu, Tanh) has no form in spikes or levels; train with "
                "Qcfs<L> instead, or lower to target::Float; spiq::lowering::smooth_refused<layer, target> names both");
};
template <class Target, class Signal, nn::SmoothActivation A>
  requires(!Spikable<A, Target>)
struct Rule<Target, Signal, A> {
  static constexpr bool exists = false;
  using refusal = smooth_refused<A, Target>;
};
template <class Target, class Signal, class Rung>
struct Rule<Target, Signal, Softmax<Rung>> {
  static constexpr bool exists = false;
  using refusal = softmax_refused<Softmax<Rung>, Target>;
};
template <class Target, class Signal>
struct Rule<Target, Signal, LayerNorm> {
  static constexpr bool exists = false;
  using refusal = layer_norm_refused<LayerNorm, Target>;
};
template <class Target, class Signal>
struct Rule<Target, Signal, PositionEmbedding> {
  static constexpr bool exists = false;
  using refusal = position_embedding_refused<PositionEmbedding, Target>;
};
template <class Target, class Signal, int Heads, class... Options>
struct Rule<Target, Signal, MultiHeadAttention<Heads, Options...>> {
  static constexpr bool exists = false;
  using refusal = attention_refused<MultiHeadAttention<Heads, Options...>, Target>;
};

}  // namespace lowering

SPIQ_END_NAMESPACE
