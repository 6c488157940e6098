/// @file
/// The network: a list of layers with inferred shapes, checked at compile time.
#pragma once

#include <spiq/core/parallel.hpp>
#include <spiq/core/tensor.hpp>
#include <spiq/nn/normalization.hpp>
#include <spiq/nn/parameter.hpp>
#include <spiq/nn/seq.hpp>

#include <string>
#include <utility>

SPIQ_BEGIN_NAMESPACE

/// Shape of the images that a network reads.
template <int Height, int Width, int Channels>
struct Input {
  static_assert(Height > 0 && Width > 0 && Channels > 0, "spiq: Input<height, width, channels> takes positive sizes");
  static constexpr Shape shape{Height, Width, Channels};
};

/// Names a layer and the shape <height, width, channels> that it refuses.
template <class Layer, int Height, int Width, int Channels>
struct misfit {
  static_assert(Layer::accepts(Shape{Height, Width, Channels}),
                "spiq: a layer does not accept the shape before it; the layer and <height, width, channels> are the "
                "arguments of spiq::misfit<...>");
};

/// A network of layers `L` on images of shape `In`.
///
///     using Net = Network<Input<28, 28, 1>, Conv2d<16, 3>, BatchNorm, Qcfs<8>, AvgPool<2>, Flatten, Linear<10>>;
///     Net net{Rng{42}};
///     Tensor<float> logits = net(images);  // images [n, c, h, w] in [0, 1]
///
/// Every shape is inferred; the first misfit is one error that names the layer and the sizes. The network holds
/// parameters and gradients; what a pass needs is a `Cache`, so a const network may serve several threads.
template <class In, class... L>
struct Network : Seq<L...> {
  using Base = Seq<L...>;
  static constexpr Shape input_shape = In::shape;
  static constexpr std::array<Shape, sizeof...(L) + 1> all_shapes = Base::shapes(In::shape);
  /// Values per image that `forward` returns: the number of classes.
  static constexpr std::size_t outputs = all_shapes[sizeof...(L)].size();

  struct Cache {
    typename Base::Cache layers;
    nn::Workspace input;
    Tensor<float> logits;
    std::size_t samples = 0;
    nn::Pass pass;
  };

  /// The last layer's part of a cache.
  static auto& last_cache(Cache& cache)
    requires(sizeof...(L) > 0)
  {
    return get<sizeof...(L) - 1>(cache.layers.layers);
  }

  Normalization normalization{In::shape.channels};

  /// Draws the weights from `rng` (He initialisation); the same seed gives the same network.
  explicit Network(Rng rng = Rng{}) : Base(In::shape) {
    check_shapes(std::index_sequence_for<L...>{});
    this->initialise(rng);
  }

  /// Logits [n, classes] of images [n, c, h, w] in [0, 1] (a {1, 1, c} input may come as [n, c]); throws where their
  /// extents do not fit. The reference is valid until the next forward pass with this cache.
  const Tensor<float>& forward(const Tensor<float>& images, Cache& cache, const nn::Pass& pass = {}) const {
    check_images(images);
    const std::size_t n = images.extent(0);
    normalization.apply(images.data(), cache.input.get(n * input_shape.size()), n, input_shape, pass.threads);
    return forward_prepared(n, cache, pass);
  }
  /// The same for inputs already normalised and channels-last in `cache.input`.
  const Tensor<float>& forward_prepared(std::size_t samples, Cache& cache, const nn::Pass& pass) const {
    cache.samples = samples;
    cache.pass = pass;
    cache.logits.resize({samples, outputs});
    Base::forward(cache.input.data(), cache.logits.data(), samples, cache.layers, pass);
    return cache.logits;
  }
  /// Logits of images, with a cache of its own: for scripts.
  Tensor<float> operator()(const Tensor<float>& images) const {
    Cache cache;
    return forward(images, cache);
  }

  /// Gradients of all parameters from the gradient of the loss with respect to the logits of the preceding forward
  /// pass in Mode::train. Overwrites the gradients of the step before; updates running statistics.
  void backward(const Tensor<float>& dlogits, Cache& cache) {
    if (dlogits.size() != cache.samples * outputs)
      SPIQ_THROW("Network::backward", std::to_string(cache.samples * outputs) + " gradients of logits",
                 std::to_string(dlogits.size()));
    Base::backward(cache.input.data(), cache.logits.data(), dlogits.data(), nullptr, cache.samples, cache.layers,
                   cache.pass);
  }

  /// Calls visitor(nn::Parameter) for everything that learns, in a fixed order.
  template <class Visitor>
  void parameters(Visitor&& visitor) {
    Base::for_each_layer(*this, "", [&](const std::string& path, auto& layer) {
      if constexpr (requires { layer.parameters(path, visitor); }) layer.parameters(path, visitor);
    });
  }
  /// Calls visitor(name, span of floats, extents) or visitor(name, integer&) for everything that a file must hold:
  /// parameters, running statistics, levels, normalisation. Const networks give const spans.
  template <class Visitor>
  void state(Visitor&& visitor) {
    visit_state(*this, visitor);
  }
  template <class Visitor>
  void state(Visitor&& visitor) const {
    visit_state(*this, visitor);
  }
  /// Calls f(path, layer) for every leaf layer, those inside residual blocks too; paths end in a dot.
  template <class F>
  void for_each_layer(F&& f) {
    Base::for_each_layer(*this, "", f);
  }
  template <class F>
  void for_each_layer(F&& f) const {
    Base::for_each_layer(*this, "", f);
  }

  /// Thresholds and input statistics were trained, loaded or set by hand: `fit` will not choose them again.
  void set_calibrated(bool value = true) {
    normalization.chosen = value;
    for_each_layer([&](const std::string&, auto& layer) {
      if constexpr (requires { layer.calibrated; }) layer.calibrated = value;
    });
  }

  /// Throws unless `images` is [n, channels, height, width] of this network's input, or [n, channels] where that is a
  /// vector. Lowered networks accept the same.
  static void check_images(const Tensor<float>& images) {
    const Extents& e = images.extents();
    const auto c = static_cast<std::size_t>(input_shape.channels), h = static_cast<std::size_t>(input_shape.height),
               w = static_cast<std::size_t>(input_shape.width);
    const bool map = e.rank() == 4 && e[1] == c && e[2] == h && e[3] == w;
    const bool vector = e.rank() == 2 && input_shape.pixels() == 1 && e[1] == c;
    if (!map && !vector)
      SPIQ_THROW("images of a network", "extents (n, " + std::to_string(c) + ", " + std::to_string(h) + ", " +
                 std::to_string(w) + ")", to_string(e));
  }

private:
  template <std::size_t... I>
  static void check_shapes(std::index_sequence<I...>) {
    (check_shape<I>(), ...);
  }
  template <std::size_t I>
  static void check_shape() {
    // Behind a misfit shapes are invalid: only the first one is named.
    constexpr Shape s = all_shapes[I];
    if constexpr (s.valid()) static_cast<void>(sizeof(misfit<pack_element_t<I, Pack<L...>>, s.height, s.width, s.channels>));
  }
  template <class Self, class Visitor>
  static void visit_state(Self& self, Visitor&& visitor) {
    visitor(std::string("normalization.mean"), std::span(self.normalization.mean), self.normalization.extents());
    visitor(std::string("normalization.std"), std::span(self.normalization.std), self.normalization.extents());
    Base::for_each_layer(self, "", [&](const std::string& path, auto& layer) {
      using Layer = std::remove_cvref_t<decltype(layer)>;
      if constexpr (requires { Layer::state(layer, path, visitor); }) Layer::state(layer, path, visitor);
    });
  }
};

SPIQ_END_NAMESPACE
