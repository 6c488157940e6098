/// @file
/// What happens to an image before the first layer.
#pragma once

#include <spiq/core/parallel.hpp>
#include <spiq/core/tensor.hpp>

#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// (pixel - mean[c]) / std[c] per channel, for pixels in [0, 1]. Means are multiples of 1/255, so that a centred image
/// byte stays an integer: exact integer arithmetic behind it remains possible. Saved with the weights.
struct Normalization {
  std::vector<float> mean, std;
  bool chosen = false;  ///< set, loaded or computed: `fit` will not choose it again

  explicit Normalization(int channels)
      : mean(static_cast<std::size_t>(channels), 0.0f), std(static_cast<std::size_t>(channels), 1.0f) {}

  [[nodiscard]] Extents extents() const { return {mean.size()}; }

  /// Sets mean (snapped to k/255) and standard deviation (zero becomes 1: a constant channel); throws on wrong sizes
  /// or values that are negative or not finite.
  void set(std::span<const float> means, std::span<const float> deviations) {
    if (means.size() != mean.size() || deviations.size() != std.size())
      SPIQ_THROW("normalization", std::to_string(mean.size()) + " means and deviations",
                 std::to_string(means.size()) + " and " + std::to_string(deviations.size()));
    for (std::size_t c = 0; c < mean.size(); ++c)
      if (!std::isfinite(means[c]) || !std::isfinite(deviations[c]) || deviations[c] < 0.0f)
        SPIQ_THROW("normalization", "finite means and deviations >= 0",
                   std::to_string(means[c]) + " and " + std::to_string(deviations[c]));
    for (std::size_t c = 0; c < mean.size(); ++c) {
      mean[c] = std::round(means[c] * 255.0f) / 255.0f;
      std[c] = deviations[c] > 1e-6f ? deviations[c] : 1.0f;
    }
    chosen = true;
  }

  /// images [n, c, h, w] -> normalised y [n, h, w, c].
  void apply(const float* images, float* y, std::size_t samples, Shape shape, int threads) const {
    const std::size_t pixels = shape.pixels(), channels = mean.size();
    parallel_for(samples, 8, threads, [&](std::size_t begin, std::size_t end, int) {
      for (std::size_t s = begin; s < end; ++s)
        for (std::size_t c = 0; c < channels; ++c) {
          const float* in = images + (s * channels + c) * pixels;
          float* out = y + s * channels * pixels + c;
          const float m = mean[c], scale = 1.0f / std[c];
          for (std::size_t p = 0; p < pixels; ++p) out[p * channels] = (in[p] - m) * scale;
        }
    });
  }
};

SPIQ_END_NAMESPACE
