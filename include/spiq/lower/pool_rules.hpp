/// @file
/// The rules of pooling: between spikes in integers, before a linear layer as part of its weights.
#pragma once

#include <spiq/lower/rules.hpp>
#include <spiq/nn/pool.hpp>

#include <string>
#include <type_traits>
#include <utility>

SPIQ_BEGIN_NAMESPACE

namespace lowering {

/// Average pooling: integers (spikes, levels, image bytes) are summed, and the sum's unit is 1 / window of what it was.
template <class Target, class Signal>
PoolDraft<exec::PoolKind::average> draft_average(Context& c, const std::string& path, kernel::PoolGeometry g) {
  g.in = c.shape;
  if constexpr (std::is_same_v<Signal, signal::discrete>) {
    const int window = g.kernel_h * g.kernel_w;
    const bool ragged = (!g.count_include_pad && (g.pad_h != 0 || g.pad_w != 0)) || g.ceil_mode;
    if (ragged)
      SPIQ_THROW("layer " + path + ": average pooling of integers", "windows of one size", "windows cut by the border");
    if (c.max_word > c.word_limit / window)
      SPIQ_THROW("layer " + path + ": sum of a pooling window",
                 "at most " + std::to_string(c.word_limit) +
                     " (levels times window; use a smaller window or fewer levels, or pool after the last layer)",
                 std::to_string(c.max_word) + " x " + std::to_string(window));
    c.amplitude /= window;
    for (double& a : c.channel_amplitude) a /= window;
    c.max_level *= window;
    c.max_word *= window;
  }
  c.shape = g.out();
  exec::LayerInfo info;
  info.path = path;
  info.in_steps = c.steps;
  return {g, info};
}

template <class Target, class Signal, int K, nn::ConvOption... Options>
struct Rule<Target, Signal, AvgPool<K, Options...>> {
  static constexpr bool exists = true;
  using out = Signal;
  template <class Arch>
  static auto apply(const Target&, Context& c, const std::string& path, const AvgPool<K, Options...>& pool) {
    check_input(pool.geometry.in, c, path);
    return draft_average<Target, Signal>(c, path, pool.geometry);
  }
};
template <class Target, class Signal>
struct Rule<Target, Signal, GlobalAvgPool> {
  static constexpr bool exists = true;
  using out = Signal;
  template <class Arch>
  static auto apply(const Target&, Context& c, const std::string& path, const GlobalAvgPool& pool) {
    check_input(pool.in, c, path);
    kernel::PoolGeometry g;
    g.in = c.shape;
    g.kernel_h = g.stride_h = c.shape.height;
    g.kernel_w = g.stride_w = c.shape.width;
    return draft_average<Target, Signal>(c, path, g);
  }
};
/// Global average pooling before a linear layer is that layer with its weights spread over the map: no sum of spikes
/// over a whole map has to fit in a byte.
inline kernel::FoldedWeights fold_pooled(const GlobalAvgPool& pool, const nn::Weighted& layer, const BatchNorm* norm,
                                         const Context& c, const std::string& path) {
  check_input(pool.in, c, path);
  check_linear(layer.geometry, path);
  Context pooled = c;
  pooled.shape = {1, 1, c.shape.channels};
  const kernel::FoldedWeights one = fold(layer, norm, pooled, path);
  kernel::FoldedWeights spread = one;
  spread.geometry.in = c.shape;
  spread.geometry.kernel_h = c.shape.height;
  spread.geometry.kernel_w = c.shape.width;
  const std::size_t taps = c.shape.pixels();
  spread.weight.resize(one.weight.size() * taps);
  for (std::size_t i = 0; i < spread.weight.size(); ++i) spread.weight[i] = one.weight[i / taps] / static_cast<float>(taps);
  return spread;
}
template <class Target, nn::WithWeights W>
struct Rule<Target, signal::discrete, GlobalAvgPool, W> {
  static constexpr bool exists = true;
  using out = signal::real;
  template <class Arch>
  static auto apply(const Target& t, Context& c, const std::string& path, const GlobalAvgPool& pool, const W& w) {
    return draft_store<Arch>(t, c, path, fold_pooled(pool, w, nullptr, c, path));
  }
};
template <class Target, nn::WithWeights W>
struct Rule<Target, signal::discrete, GlobalAvgPool, W, BatchNorm> {
  static constexpr bool exists = true;
  using out = signal::real;
  template <class Arch>
  static auto apply(const Target& t, Context& c, const std::string& path, const GlobalAvgPool& pool, const W& w,
                    const BatchNorm& norm) {
    return draft_store<Arch>(t, c, path, fold_pooled(pool, w, &norm, c, path));
  }
};
template <class Target, nn::WithWeights W, Spikable<Target> A>
struct Rule<Target, signal::discrete, GlobalAvgPool, W, A> {
  static constexpr bool exists = true;
  using out = typename Coding<Target>::output;
  template <class Arch>
  static auto apply(const Target& t, Context& c, const std::string& path, const GlobalAvgPool& pool, const W& w,
                    const A& a) {
    return draft_activation<Arch>(t, c, path, fold_pooled(pool, w, nullptr, c, path), a);
  }
};
template <class Target, nn::WithWeights W, Spikable<Target> A>
struct Rule<Target, signal::discrete, GlobalAvgPool, W, BatchNorm, A> {
  static constexpr bool exists = true;
  using out = typename Coding<Target>::output;
  template <class Arch>
  static auto apply(const Target& t, Context& c, const std::string& path, const GlobalAvgPool& pool, const W& w,
                    const BatchNorm& norm, const A& a) {
    return draft_activation<Arch>(t, c, path, fold_pooled(pool, w, &norm, c, path), a);
  }
};

template <int K, nn::ConvOption... Options>
struct Rule<target::Float, signal::real, MaxPool<K, Options...>> {
  static constexpr bool exists = true;
  using out = signal::real;
  template <class Arch>
  static auto apply(const target::Float&, Context& c, const std::string& path, const MaxPool<K, Options...>& pool) {
    check_input(pool.geometry.in, c, path);
    c.shape = pool.geometry.out();
    exec::LayerInfo info;
    info.path = path;
    return PoolDraft<exec::PoolKind::maximum>{pool.geometry, info};
  }
};

/// A sentence for a layer that a target refuses, with the remedy; the plan instantiates it, once.
template <class Layer, class Target>
struct max_pool_refused {
  static_assert(!std::is_same_v<Target, Target>,
                "spiq: max pooling has no exact form between spikes; train with AvgPool instead of MaxPool, or lower to "
                "target::Float");
};
template <class Target, class Signal, int K, nn::ConvOption... Options>
struct Rule<Target, Signal, MaxPool<K, Options...>> {
  static constexpr bool exists = false;
  using refusal = max_pool_refused<MaxPool<K, Options...>, Target>;
};

}  // namespace lowering

SPIQ_END_NAMESPACE
