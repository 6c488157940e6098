// Event streams made in code: a bar moves over a small sensor, in one of eight directions.
#pragma once

#include <spiq/core/random.hpp>
#include <spiq/core/tensor.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <span>

// Streams of `steps` frames of 16x16 pixels with two channels: brighter, darker. The label is the direction of the
// motion, in eighths of a turn. One event in five is lost and some come from noise. Stream i depends on the generator
// and i alone.
class EventBars {
public:
  static constexpr int steps = 8;
  static constexpr std::size_t side = 16;

  EventBars(std::size_t count, spiq::Rng rng) : count_(count), rng_(rng) {}
  [[nodiscard]] std::size_t size() const { return count_; }

  void fill(std::span<const std::uint32_t> indices, spiq::Tensor<float>& out, std::span<int> labels) const {
    constexpr std::size_t size = steps * 2 * side * side;
    out.resize({indices.size(), steps * 2, side, side});
    for (std::size_t i = 0; i < indices.size(); ++i) labels[i] = draw(rng_.split(indices[i]), out.data() + i * size);
  }

private:
  static int draw(spiq::Rng rng, float* frames) {
    const int label = static_cast<int>(rng.uniform() * 8) % 8;
    const float angle = (static_cast<float>(label) + rng.uniform(-0.2f, 0.2f)) * std::numbers::pi_v<float> / 4;
    const float dx = std::cos(angle), dy = std::sin(angle), speed = rng.uniform(0.9f, 1.5f);
    const float start = rng.uniform(-7.0f, -3.0f), offset = rng.uniform(-3.0f, 3.0f), width = rng.uniform(1.5f, 3.0f);
    const float half = rng.uniform(3.0f, 6.0f);
    const auto bright = [&](std::size_t row, std::size_t column, float time) {
      const float x = static_cast<float>(column) - 7.5f, y = static_cast<float>(row) - 7.5f;
      const float along = x * dx + y * dy - start - speed * time, across = y * dx - x * dy - offset;
      return std::fabs(along) < width && std::fabs(across) < half;
    };
    for (std::size_t t = 0; t < steps; ++t)
      for (std::size_t row = 0; row < side; ++row)
        for (std::size_t column = 0; column < side; ++column) {
          const bool before = bright(row, column, static_cast<float>(t)),
                     after = bright(row, column, static_cast<float>(t + 1));
          const bool noise = rng.uniform() < 0.02f, kept = rng.uniform() >= 0.2f;
          const std::size_t pixel = row * side + column;
          frames[(2 * t) * side * side + pixel] = (after && !before && kept) || noise ? 1.0f : 0.0f;
          frames[(2 * t + 1) * side * side + pixel] =
              (before && !after && kept) || (noise && rng.uniform() < 0.5f) ? 1.0f : 0.0f;
        }
    return label;
  }

  std::size_t count_;
  spiq::Rng rng_;
};
