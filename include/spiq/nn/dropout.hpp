/// @file
/// Dropout.
#pragma once

#include <spiq/core/parallel.hpp>
#include <spiq/core/shape.hpp>
#include <spiq/nn/pass.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// In training, zeroes each value with probability Percent / 100 and scales the others by 1 / (1 - Percent / 100)
/// (Srivastava et al., JMLR 15, 2014); the identity otherwise. The mask is a function of seed, step, layer and
/// sample.
template <int Percent>
struct Dropout {
  static_assert(Percent >= 0 && Percent < 100, "spiq: Dropout takes a percentage in [0, 100)");
  static constexpr const char* name = "Dropout";
  static constexpr bool training_only = true;
  static constexpr bool accepts(Shape) { return true; }
  static constexpr Shape output_shape(Shape in) { return in; }

  struct Cache {
    std::vector<std::uint8_t> kept;
    bool active = false;
  };
  Shape in;
  explicit Dropout(Shape input) : in(input) {}

  void forward(const float* x, float* y, std::size_t samples, Cache& cache, const nn::Pass& pass) const {
    const std::size_t n = in.size();
    cache.active = pass.training();
    if (!cache.active) {
      std::copy_n(x, samples * n, y);
      return;
    }
    if (cache.kept.size() < samples * n) cache.kept.resize(samples * n);
    parallel_for(samples, 4, pass.threads, [&](std::size_t begin, std::size_t end, int) {
      for (std::size_t s = begin; s < end; ++s) {
        Rng rng = pass.rng.split(s);
        for (std::size_t i = s * n; i < (s + 1) * n; ++i) {
          const bool keep = rng.below(100) >= static_cast<std::uint32_t>(Percent);
          cache.kept[i] = keep ? 1 : 0;
          y[i] = keep ? x[i] * scale : 0.0f;
        }
      }
    });
  }
  void backward(const float*, const float*, const float* dy, float* dx, std::size_t samples, Cache& cache,
                const nn::Pass&) {
    if (dx == nullptr) return;
    const std::size_t n = samples * in.size();
    for (std::size_t i = 0; i < n; ++i) dx[i] = !cache.active ? dy[i] : cache.kept[i] != 0 ? dy[i] * scale : 0.0f;
  }

private:
  static constexpr float scale = 100.0f / static_cast<float>(100 - Percent);
};

SPIQ_END_NAMESPACE
