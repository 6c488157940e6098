/// @file
/// A sequence of layers: shapes, forward, backward, and the fusion of neighbours.
#pragma once

#include <spiq/core/pack.hpp>
#include <spiq/core/random.hpp>
#include <spiq/core/shape.hpp>
#include <spiq/nn/fusion.hpp>
#include <spiq/nn/pass.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>

SPIQ_BEGIN_NAMESPACE

namespace nn {

/// What `Network` asks of a layer. A layer is built from its input shape, knows its output shape at compile time,
/// reads and writes dense NHWC batches, and keeps what a pass needs in a `Cache` beside it.
template <class L>
concept Layer = requires(L& layer, const L& constant, typename L::Cache& cache, const float* in, float* out,
                         std::size_t samples, const Pass& pass) {
  { L::name };
  { L::accepts(Shape{}) };
  { L::output_shape(Shape{}) };
  L(Shape{});
  constant.forward(in, out, samples, cache, pass);
  layer.backward(in, in, in, out, samples, cache, pass);
};

template <class L>
concept Activation = requires { requires L::activation; };
template <class L>
concept WithWeights = requires { requires L::weighted; };

/// Layers that hold other layers.
template <class L>
concept Composite = requires { requires L::composite; };

}  // namespace nn

/// Layers one after the other. Shapes are numbers; the chain is walked once, at compile time.
template <class... L>
struct Seq {
  static constexpr const char* name = "Seq";
  static constexpr bool composite = true;
  static constexpr std::size_t size = sizeof...(L);
  template <std::size_t I>
  using layer_type = pack_element_t<I, Pack<L...>>;

  /// The shapes before, between and behind the layers; from the first misfit on they are {0, 0, 0}.
  static constexpr std::array<Shape, size + 1> shapes(Shape in) {
    std::array<Shape, size + 1> s{in};
    std::size_t i = 0;
    ((s[i + 1] = s[i].valid() && L::accepts(s[i]) ? L::output_shape(s[i]) : Shape{}, ++i), ...);
    return s;
  }
  static constexpr bool accepts(Shape in) { return shapes(in)[size].valid(); }
  static constexpr Shape output_shape(Shape in) { return shapes(in)[size]; }

  /// What a pass needs beside the layers. The output of layer i is kept unless i was fused with its successor.
  struct Cache {
    Pack<typename L::Cache...> layers;
    std::array<nn::Workspace, size> outputs;
    std::array<nn::Workspace, 2> gradients;
  };

  Pack<L...> layers;
  Shape in;

  explicit Seq(Shape input) : Seq(input, shapes(input), std::index_sequence_for<L...>{}) {}

  /// Reference to layer I.
  template <std::size_t I>
  auto& layer() {
    return get<I>(layers);
  }
  template <std::size_t I>
  const auto& layer() const {
    return get<I>(layers);
  }

  /// y = the last layer's output for `samples` inputs x.
  void forward(const float* x, float* y, std::size_t samples, Cache& cache, const nn::Pass& pass) const {
    if constexpr (size == 0) {
      std::copy_n(x, samples * in.size(), y);
    } else {
      const auto s = shapes(in);
      for_each_index<size>([&](auto index) {
        constexpr std::size_t i = index;
        if constexpr (windows[i] != 0) {
          constexpr std::size_t last = i + windows[i] - 1;
          float* out = last + 1 == size ? y : cache.outputs[last].get(samples * s[last + 1].size());
          this->template forward_window<i>(x, out, samples, cache, pass.at(i));
          x = out;
        }
      });
    }
  }

  /// dx (unless null) and the parameters' gradients from dy; x is the input of the preceding forward pass.
  void backward(const float* x, const float* y, const float* dy, float* dx, std::size_t samples, Cache& cache,
                const nn::Pass& pass) {
    if constexpr (size == 0) {
      if (dx != nullptr) std::copy_n(dy, samples * in.size(), dx);
    } else {
      std::size_t largest = 0;
      for (const Shape& shape : shapes(in)) largest = std::max(largest, shape.size());
      std::size_t turn = 0;
      for_each_index<size>([&](auto index) {
        constexpr std::size_t i = size - 1 - index;
        if constexpr (windows[i] != 0) {
          constexpr std::size_t last = i + windows[i] - 1;
          float* out = i == 0 ? dx : cache.gradients[turn].get(samples * largest);
          turn ^= 1;
          const float* input = x;
          if constexpr (i > 0) input = cache.outputs[i - 1].data();
          const float* output = last + 1 == size ? y : cache.outputs[last].data();
          nn::Pass here = pass.at(i);
          here.bias_cancels = centred<last + 1>() && pass.training();
          this->template backward_window<i>(input, output, dy, out, samples, cache, here);
          dy = out;
        }
      });
    }
  }

  /// A forward pass without fusion that calls hook(path, layer, input values) before every leaf layer.
  template <class Hook>
  void observe(const std::string& path, const float* x, float* y, std::size_t samples, Cache& cache,
               const nn::Pass& pass, Hook&& hook) {
    if constexpr (size == 0) {
      std::copy_n(x, samples * in.size(), y);
    } else {
      const auto s = shapes(in);
      for_each_index<size>([&](auto index) {
        constexpr std::size_t i = index;
        float* out = i + 1 == size ? y : cache.outputs[i].get(samples * s[i + 1].size());
        auto& child = get<i>(layers);
        const std::string child_path = path + std::to_string(i) + ".";
        if constexpr (nn::Composite<layer_type<i>>) {
          child.observe(child_path, x, out, samples, get<i>(cache.layers), pass.at(i), hook);
        } else {
          hook(child_path, child, std::span<const float>(x, samples * s[i].size()));
          child.forward(x, out, samples, get<i>(cache.layers), pass.at(i));
        }
        x = out;
      });
    }
  }

  /// Calls f(path, layer) for every leaf layer, in order; paths end in a dot ("4.body.0.").
  template <class Self, class F>
  static void for_each_layer(Self& self, const std::string& path, F&& f) {
    for_each_index<size>([&](auto index) {
      constexpr std::size_t i = index;
      const std::string child = path + std::to_string(i) + ".";
      if constexpr (nn::Composite<layer_type<i>>)
        layer_type<i>::for_each_layer(get<i>(self.layers), child, f);
      else
        f(child, get<i>(self.layers));
    });
  }

  /// Draws the weights: gain sqrt 2 before an activation (He), 1 elsewhere.
  void initialise(Rng rng) {
    for_each_index<size>([&](auto index) {
      constexpr std::size_t i = index;
      if constexpr (requires { get<i>(layers).initialise(rng); })
        get<i>(layers).initialise(rng.split(i));
      else if constexpr (nn::WithWeights<layer_type<i>>)
        get<i>(layers).initialise(rng.split(i), feeds_activation<i + 1>() ? std::sqrt(2.0f) : 1.0f);
    });
  }

private:
  template <std::size_t... I>
  Seq(Shape input, const std::array<Shape, size + 1>& s, std::index_sequence<I...>)
      : layers{{L(s[I])}...}, in(input) {}

  template <std::size_t I>
  static constexpr bool feeds_activation() {
    if constexpr (I >= size)
      return false;
    else if constexpr (nn::Activation<layer_type<I>>)
      return true;
    else if constexpr (nn::WithWeights<layer_type<I>> || nn::Composite<layer_type<I>>)
      return false;
    else
      return feeds_activation<I + 1>();
  }

  template <std::size_t I>
  static constexpr bool centred() {
    if constexpr (I < size)
      return nn::Centring<layer_type<I>>;
    else
      return false;
  }

  // windows[i] = layers that the step beginning at layer i covers; 0 where a step before covers layer i.
  template <std::size_t I>
  static constexpr bool fuses() {
    if constexpr (I + 1 < size)
      return nn::Fusion<layer_type<I>, layer_type<I + 1>>::exists;
    else
      return false;
  }
  static constexpr std::array<std::size_t, size> make_windows() {
    std::array<std::size_t, size> w{};
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      std::size_t next = 0;
      ((I == next ? (w[I] = fuses<I>() ? 2 : 1, next += w[I]) : next), ...);
    }(std::make_index_sequence<size>{});
    return w;
  }
  static constexpr std::array<std::size_t, size> windows = make_windows();

  template <std::size_t I>
  void forward_window(const float* x, float* y, std::size_t n, Cache& cache, const nn::Pass& pass) const {
    if constexpr (windows[I] == 2)
      nn::Fusion<layer_type<I>, layer_type<I + 1>>::forward(get<I>(layers), get<I + 1>(layers), x, y, n,
                                                           get<I>(cache.layers), pass);
    else
      get<I>(layers).forward(x, y, n, get<I>(cache.layers), pass);
  }
  template <std::size_t I>
  void backward_window(const float* x, const float* y, const float* dy, float* dx, std::size_t n, Cache& cache,
                       const nn::Pass& pass) {
    if constexpr (windows[I] == 2)
      nn::Fusion<layer_type<I>, layer_type<I + 1>>::backward(get<I>(layers), get<I + 1>(layers), x, dy, dx, n,
                                                            get<I>(cache.layers), pass);
    else
      get<I>(layers).backward(x, y, dy, dx, n, get<I>(cache.layers), pass);
  }
};

/// No layers: the shortcut of a plain residual block.
using Identity = Seq<>;

SPIQ_END_NAMESPACE
