/// @file
/// From maps to vectors.
#pragma once

#include <spiq/core/parallel.hpp>
#include <spiq/core/shape.hpp>
#include <spiq/nn/pass.hpp>

#include <cstddef>

SPIQ_BEGIN_NAMESPACE

/// {h, w, c} -> {1, 1, h w c}, features in (c, h, w) order, so that the weights of the `Linear` behind it are those
/// of the field.
struct Flatten {
  static constexpr const char* name = "Flatten";
  static constexpr bool accepts(Shape) { return true; }
  static constexpr Shape output_shape(Shape in) { return {1, 1, static_cast<int>(in.size())}; }

  struct Cache {};
  Shape in;
  explicit Flatten(Shape input) : in(input) {}

  void forward(const float* x, float* y, std::size_t samples, Cache&, const nn::Pass& pass) const {
    const std::size_t pixels = in.pixels(), channels = static_cast<std::size_t>(in.channels);
    parallel_for(samples, 8, pass.threads, [&](std::size_t begin, std::size_t end, int) {
      for (std::size_t s = begin; s < end; ++s)
        for (std::size_t p = 0; p < pixels; ++p)
          for (std::size_t c = 0; c < channels; ++c)
            y[(s * channels + c) * pixels + p] = x[(s * pixels + p) * channels + c];
    });
  }
  void backward(const float*, const float*, const float* dy, float* dx, std::size_t samples, Cache&,
                const nn::Pass& pass) {
    if (dx == nullptr) return;
    const std::size_t pixels = in.pixels(), channels = static_cast<std::size_t>(in.channels);
    parallel_for(samples, 8, pass.threads, [&](std::size_t begin, std::size_t end, int) {
      for (std::size_t s = begin; s < end; ++s)
        for (std::size_t p = 0; p < pixels; ++p)
          for (std::size_t c = 0; c < channels; ++c)
            dx[(s * pixels + p) * channels + c] = dy[(s * channels + c) * pixels + p];
    });
  }
};

SPIQ_END_NAMESPACE
