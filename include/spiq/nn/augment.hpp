/// @file
/// Random variation of training images, fused with normalisation and the change to channels-last.
#pragma once

#include <spiq/core/parallel.hpp>
#include <spiq/core/random.hpp>
#include <spiq/nn/normalization.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

SPIQ_BEGIN_NAMESPACE

/// What a shift brings in from outside the image.
enum class Fill { zero, edge };

/// Variation of training images. Each image draws its own from a stream keyed by seed, epoch and index in the data
/// set, so that a run does not depend on batches or threads.
struct Augmentation {
  bool flip = false;  ///< mirrors left and right with probability 1/2
  int shift = 0;      ///< moves by up to this many pixels in each direction (pad and crop)
  Fill fill = Fill::zero;

  [[nodiscard]] bool active() const { return flip || shift > 0; }

  /// images [n, c, h, w] in [0, 1] -> varied, normalised y [n, h, w, c]; image i draws from rng.split(indices[i]).
  void apply(const Normalization& normalization, Rng rng, std::span<const std::uint32_t> indices, const float* images,
             float* y, Shape shape, int threads) const {
    if (!active()) return normalization.apply(images, y, indices.size(), shape, threads);
    const std::size_t channels = normalization.mean.size(), size = shape.size();
    parallel_for(indices.size(), 4, threads, [&](std::size_t begin, std::size_t end, int) {
      for (std::size_t s = begin; s < end; ++s) {
        Rng draw = rng.split(indices[s]);
        const auto span = static_cast<std::uint32_t>(2 * shift + 1);
        const int dy = static_cast<int>(draw.below(span)) - shift;
        const int dx = static_cast<int>(draw.below(span)) - shift;
        const bool mirror = (draw.bits() & 1u) != 0 && flip;
        for (std::size_t c = 0; c < channels; ++c)
          plane(images + (s * channels + c) * shape.pixels(), y + s * size + c, channels, shape, dy, dx, mirror,
                normalization.mean[c], 1.0f / normalization.std[c]);
      }
    });
  }

private:
  void plane(const float* in, float* out, std::size_t stride, Shape shape, int dy, int dx, bool mirror, float mean,
             float scale) const {
    const int h = shape.height, w = shape.width;
    const float outside = -mean * scale;
    for (int row = 0; row < h; ++row) {
      float* const to = out + static_cast<std::size_t>(row * w) * stride;
      const int from_row = row + dy;
      const bool inside = from_row >= 0 && from_row < h;
      if (!inside && fill == Fill::zero) {
        for (int x = 0; x < w; ++x) to[static_cast<std::size_t>(x) * stride] = outside;
        continue;
      }
      const float* const from = in + std::clamp(from_row, 0, h - 1) * w;
      for (int x = 0; x < w; ++x) {
        const int source = (mirror ? w - 1 - x : x) + dx;
        const bool real = source >= 0 && source < w;
        to[static_cast<std::size_t>(x) * stride] =
            !real && fill == Fill::zero ? outside : (from[std::clamp(source, 0, w - 1)] - mean) * scale;
      }
    }
  }
};

SPIQ_END_NAMESPACE
