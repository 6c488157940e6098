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
/// The windows of an average pool on the map as it lies.
template <int K, nn::ConvOption... Options>
kernel::PoolGeometry windows(const AvgPool<K, Options...>& pool, const Context& c, const std::string& path) {
  check_input(pool.geometry.in, c, path);
  return pool.geometry;
}
inline kernel::PoolGeometry windows(const GlobalAvgPool& pool, const Context& c, const std::string& path) {
  check_input(pool.in, c, path);
  kernel::PoolGeometry g;
  g.in = c.shape;
  g.kernel_h = g.stride_h = c.shape.height;
  g.kernel_w = g.stride_w = c.shape.width;
  return g;
}

template <class Target, class Signal>
struct Rule<Target, Signal, GlobalAvgPool> {
  static constexpr bool exists = true;
  using out = Signal;
  template <class Arch>
  static auto apply(const Target&, Context& c, const std::string& path, const GlobalAvgPool& pool) {
    return draft_average<Target, Signal>(c, path, windows(pool, c, path));
  }
};

/// One axis of a pool and the convolution behind it as one convolution. Throws where the padding of the convolution
/// would lie on pixels that the pool left out or shared.
struct MergedAxis {
  int kernel, stride, pad;
  MergedAxis(int n, int pool, int pool_stride, int pool_pad, int k, int stride_, int pad_, int dilation,
             const std::string& path)
      : kernel((k - 1) * dilation * pool_stride + pool),
        stride(stride_ * pool_stride),
        pad(pad_ * pool_stride + pool_pad) {
    const int pooled = (n + 2 * pool_pad - pool) / pool_stride + 1;
    if (pad_ > 0 && (pooled * pool_stride - pool_pad < n || pool > pool_stride + pool_pad))
      SPIQ_THROW("layer " + path + ": average pool merged into a padded convolution",
                 "a map that pooling windows side by side cover without a rest",
                 std::to_string(n) + " pixels, windows of " + std::to_string(pool) + " every " +
                     std::to_string(pool_stride));
  }
};

/// An average pool and the layer behind it as that layer with its weights spread over the windows: 2x2 pooling and a
/// 3x3 convolution are a 6x6 convolution of stride 2 with a quarter of the weights. No sum of spikes has to fit a byte.
inline kernel::FoldedWeights fold_pooled(const kernel::PoolGeometry& pool, const nn::Weighted& layer,
                                         const BatchNorm* norm, const Context& c, const std::string& path) {
  Context pooled = c;
  pooled.shape = pool.out();
  const kernel::FoldedWeights one = fold(layer, norm, pooled, path);
  const kernel::ConvGeometry& g = one.geometry;
  const MergedAxis y(pool.in.height, pool.kernel_h, pool.stride_h, pool.pad_h, g.kernel_h, g.stride_h, g.pad_h,
                     g.dilation_h, path);
  const MergedAxis x(pool.in.width, pool.kernel_w, pool.stride_w, pool.pad_w, g.kernel_w, g.stride_w, g.pad_w,
                     g.dilation_w, path);
  kernel::FoldedWeights spread = one;
  spread.geometry.in = c.shape;
  spread.geometry.kernel_h = y.kernel;
  spread.geometry.kernel_w = x.kernel;
  spread.geometry.stride_h = y.stride;
  spread.geometry.stride_w = x.stride;
  spread.geometry.pad_h = y.pad;
  spread.geometry.pad_w = x.pad;
  spread.geometry.dilation_h = spread.geometry.dilation_w = 1;
  spread.weight.assign(spread.geometry.weight_count(), 0.0F);
  const auto window = static_cast<float>(pool.kernel_h * pool.kernel_w);
  const auto taps = static_cast<std::size_t>(g.kernel_h * g.kernel_w);
  const auto merged = static_cast<std::size_t>(y.kernel * x.kernel);
  for (std::size_t i = 0; i < one.weight.size(); ++i) {
    const int ky = static_cast<int>(i % taps) / g.kernel_w * g.dilation_h * pool.stride_h;
    const int kx = static_cast<int>(i % taps) % g.kernel_w * g.dilation_w * pool.stride_w;
    for (int py = 0; py < pool.kernel_h; ++py)
      for (int px = 0; px < pool.kernel_w; ++px)
        spread.weight[i / taps * merged + static_cast<std::size_t>((ky + py) * x.kernel + kx + px)] +=
            one.weight[i] / window;
  }
  return spread;
}

/// Pools that become part of the layer behind them: before a linear layer those over the whole map, others where the
/// target says so.
template <int K, nn::ConvOption... Options, class T>
  requires(!Coding<T>::numbers::exact)
inline constexpr bool merged_by_choice<AvgPool<K, Options...>, target::MergedPools<T>> = true;
template <class Pool, class Target>
inline constexpr bool merges_into_next = merged_by_choice<Pool, Target>;
template <class Target>
inline constexpr bool merges_into_next<GlobalAvgPool, Target> = true;
template <class Pool, class Target>
concept MergingPool = merges_into_next<Pool, Target>;

template <class Pool>
void check_merged(const Pool&, const nn::Weighted& layer, const std::string& path) {
  if constexpr (std::is_same_v<Pool, GlobalAvgPool>) check_linear(layer.geometry, path);
}
template <class Target, MergingPool<Target> Pool, nn::WithWeights W>
struct Rule<Target, signal::discrete, Pool, W> {
  static constexpr bool exists = true;
  using out = signal::real;
  template <class Arch>
  static auto apply(const Target& t, Context& c, const std::string& path, const Pool& pool, const W& w) {
    check_merged(pool, w, path);
    return draft_store<Arch>(t, c, path, fold_pooled(windows(pool, c, path), w, nullptr, c, path));
  }
};
template <class Target, MergingPool<Target> Pool, nn::WithWeights W>
struct Rule<Target, signal::discrete, Pool, W, BatchNorm> {
  static constexpr bool exists = true;
  using out = signal::real;
  template <class Arch>
  static auto apply(const Target& t, Context& c, const std::string& path, const Pool& pool, const W& w,
                    const BatchNorm& norm) {
    check_merged(pool, w, path);
    return draft_store<Arch>(t, c, path, fold_pooled(windows(pool, c, path), w, &norm, c, path));
  }
};
template <class Target, MergingPool<Target> Pool, nn::WithWeights W, Spikable<Target> A>
struct Rule<Target, signal::discrete, Pool, W, A> {
  static constexpr bool exists = true;
  using out = typename Coding<Target>::output;
  template <class Arch>
  static auto apply(const Target& t, Context& c, const std::string& path, const Pool& pool, const W& w, const A& a) {
    check_merged(pool, w, path);
    return draft_activation<Arch>(t, c, path, fold_pooled(windows(pool, c, path), w, nullptr, c, path), a);
  }
};
template <class Target, MergingPool<Target> Pool, nn::WithWeights W, Spikable<Target> A>
struct Rule<Target, signal::discrete, Pool, W, BatchNorm, A> {
  static constexpr bool exists = true;
  using out = typename Coding<Target>::output;
  template <class Arch>
  static auto apply(const Target& t, Context& c, const std::string& path, const Pool& pool, const W& w,
                    const BatchNorm& norm, const A& a) {
    check_merged(pool, w, path);
    return draft_activation<Arch>(t, c, path, fold_pooled(windows(pool, c, path), w, &norm, c, path), a);
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
