/// @file
/// Residual blocks.
#pragma once

#include <spiq/kernel/elementwise.hpp>
#include <spiq/nn/seq.hpp>

SPIQ_BEGIN_NAMESPACE

/// y = body(x) + shortcut(x) (He et al., arXiv 1512.03385). Both branches must give the same shape; the activation
/// behind the sum is the next layer of the network.
template <class Body, class Shortcut = Identity>
struct Residual {
  static constexpr const char* name = "Residual";
  static constexpr bool composite = true;
  static constexpr bool identity_shortcut = Shortcut::size == 0;
  using body_type = Body;
  using shortcut_type = Shortcut;
  static constexpr bool accepts(Shape in) {
    return Body::accepts(in) && Shortcut::accepts(in) && Body::output_shape(in) == Shortcut::output_shape(in);
  }
  static constexpr Shape output_shape(Shape in) { return Body::output_shape(in); }

  struct Cache {
    typename Body::Cache body;
    typename Shortcut::Cache shortcut;
    nn::Workspace body_output, shortcut_output, gradient;
  };

  Body body;
  Shortcut shortcut;
  Shape in;
  explicit Residual(Shape input) : body(input), shortcut(input), in(input) {}

  void forward(const float* x, float* y, std::size_t samples, Cache& cache, const nn::Pass& pass) const {
    const std::size_t n = samples * output_shape(in).size();
    float* a = cache.body_output.get(n);
    body.forward(x, a, samples, cache.body, pass.at(0));
    const float* b = x;
    if constexpr (!identity_shortcut) {
      float* s = cache.shortcut_output.get(n);
      shortcut.forward(x, s, samples, cache.shortcut, pass.at(1));
      b = s;
    }
    kernel::add(a, b, y, n, pass.threads);
  }

  void backward(const float* x, const float*, const float* dy, float* dx, std::size_t samples, Cache& cache,
                const nn::Pass& pass) {
    body.backward(x, cache.body_output.data(), dy, dx, samples, cache.body, pass.at(0));
    const std::size_t n = samples * in.size();
    if constexpr (identity_shortcut) {
      if (dx != nullptr) kernel::add(dx, dy, dx, n, pass.threads);
    } else {
      float* other = dx != nullptr ? cache.gradient.get(n) : nullptr;
      shortcut.backward(x, cache.shortcut_output.data(), dy, other, samples, cache.shortcut, pass.at(1));
      if (dx != nullptr) kernel::add(dx, other, dx, n, pass.threads);
    }
  }

  template <class Hook>
  void observe(const std::string& path, const float* x, float* y, std::size_t samples, Cache& cache,
               const nn::Pass& pass, Hook&& hook) {
    const std::size_t n = samples * output_shape(in).size();
    float* a = cache.body_output.get(n);
    float* b = cache.shortcut_output.get(n);
    body.observe(path + "body.", x, a, samples, cache.body, pass.at(0), hook);
    shortcut.observe(path + "shortcut.", x, b, samples, cache.shortcut, pass.at(1), hook);
    kernel::add(a, b, y, n, pass.threads);
  }

  template <class Self, class F>
  static void for_each_layer(Self& self, const std::string& path, F&& f) {
    Body::for_each_layer(self.body, path + "body.", f);
    Shortcut::for_each_layer(self.shortcut, path + "shortcut.", f);
  }

  void initialise(Rng rng) {
    body.initialise(rng.split(0));
    shortcut.initialise(rng.split(1));
  }
};

SPIQ_END_NAMESPACE
