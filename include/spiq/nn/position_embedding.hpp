/// @file
/// Learnable position embeddings.
#pragma once

#include <spiq/core/random.hpp>
#include <spiq/kernel/elementwise.hpp>
#include <spiq/nn/parameter.hpp>
#include <spiq/nn/pass.hpp>

#include <algorithm>
#include <cstddef>
#include <string>

SPIQ_BEGIN_NAMESPACE

/// y = x + embedding[position], one learnable vector of channels for each of the height * width positions of a map, so
/// that attention can tell its tokens apart.
struct PositionEmbedding {
  static constexpr const char* name = "PositionEmbedding";
  static constexpr bool accepts(Shape) { return true; }
  static constexpr Shape output_shape(Shape in) { return in; }

  struct Cache {};
  Shape in;
  Tensor<float> embedding;  ///< [height * width, channels]
  Tensor<float> embedding_gradient;

  explicit PositionEmbedding(Shape input) : in(input), embedding(extents()), embedding_gradient(extents()) {}

  /// Normal numbers of standard deviation 0.02 (Dosovitskiy et al., arXiv 2010.11929).
  void initialise(Rng rng) {
    for (float& e : embedding.span()) e = 0.02f * rng.normal();
  }

  void forward(const float* x, float* y, std::size_t samples, Cache&, const nn::Pass& pass) const {
    const std::size_t n = in.size();
    parallel_for(samples, 8, pass.threads, [&](std::size_t begin, std::size_t end, int) {
      for (std::size_t s = begin; s < end; ++s) kernel::add(x + s * n, embedding.data(), y + s * n, n);
    });
  }
  void backward(const float*, const float*, const float* dy, float* dx, std::size_t samples, Cache&,
                const nn::Pass& pass) {
    const std::size_t n = in.size();
    // Threads share the positions; each adds its samples in order.
    parallel_for(n, 4096, pass.threads, [&](std::size_t begin, std::size_t end, int) {
      float* const sum = embedding_gradient.data() + begin;
      std::fill_n(sum, end - begin, 0.0f);
      for (std::size_t s = 0; s < samples; ++s) kernel::add(sum, dy + s * n + begin, sum, end - begin);
    });
    if (dx != nullptr) std::copy_n(dy, samples * n, dx);
  }

  template <class Visitor>
  void parameters(const std::string& path, Visitor&& visit) {
    visit(nn::Parameter{path + "weight", embedding.span(), embedding_gradient.span(), embedding.extents(),
                        nn::ParameterKind::bias});
  }
  template <class Self, class Visitor>
  static void state(Self& self, const std::string& path, Visitor&& visit) {
    visit(path + "weight", self.embedding.span(), self.embedding.extents());
  }

private:
  [[nodiscard]] Extents extents() const { return {in.pixels(), static_cast<std::size_t>(in.channels)}; }
};

SPIQ_END_NAMESPACE
