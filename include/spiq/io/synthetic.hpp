/// @file
/// Image sets made in code: ten classes of glyphs drawn with strokes, for demonstrations and tests without downloads.
#pragma once

#include <spiq/core/parallel.hpp>
#include <spiq/core/random.hpp>
#include <spiq/core/tensor.hpp>
#include <spiq/io/images.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <numbers>
#include <span>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace io {

/// A point; glyphs are drawn in the square [-1, 1] x [-1, 1], y downwards.
struct GlyphPoint {
  float x = 0;
  float y = 0;
};

/// A glyph as polylines; arcs are polylines of short pieces.
class Glyph {
public:
  using Stroke = std::vector<GlyphPoint>;

  [[nodiscard]] const std::vector<Stroke>& strokes() const { return strokes_; }
  [[nodiscard]] std::vector<Stroke>& strokes() { return strokes_; }

  Glyph& line(std::initializer_list<GlyphPoint> points) {
    strokes_.emplace_back(points);
    return *this;
  }
  /// Arc around `centre` from angle `from` to `to` (turns, clockwise on the screen); the radius goes from r0 to r1.
  Glyph& arc(GlyphPoint centre, float r0, float r1, float from, float to) {
    const int pieces = 4 + static_cast<int>(16 * std::abs(to - from));
    Stroke stroke;
    for (int i = 0; i <= pieces; ++i) {
      const float t = static_cast<float>(i) / static_cast<float>(pieces);
      const float angle = 2 * std::numbers::pi_v<float> * (from + t * (to - from));
      const float r = r0 + t * (r1 - r0);
      stroke.push_back({centre.x + r * std::cos(angle), centre.y + r * std::sin(angle)});
    }
    strokes_.push_back(std::move(stroke));
    return *this;
  }

  /// The undistorted glyph of a class 0 ... 9: ring, cross, triangle, zigzag, spiral, fork, hourglass, arrow,
  /// trident, wave. No two differ by a small rotation, shift, scale or shear.
  static Glyph of_class(int label) {
    Glyph g;
    switch (label) {
      case 0:
        return g.arc({0, 0}, 0.8f, 0.8f, 0, 1);
      case 1:
        return g.line({{-0.9f, 0}, {0.9f, 0}}).line({{0, -0.9f}, {0, 0.9f}});
      case 2:
        return g.line({{0, -0.9f}, {0.9f, 0.7f}, {-0.9f, 0.7f}, {0, -0.9f}});
      case 3:
        return g.line({{-0.9f, 0.7f}, {-0.45f, -0.7f}, {0, 0.7f}, {0.45f, -0.7f}, {0.9f, 0.7f}});
      case 4:
        return g.arc({0, 0}, 0.08f, 0.9f, 0, 2.0f);
      case 5:
        return g.line({{-0.75f, -0.85f}, {0, 0}, {0.75f, -0.85f}}).line({{0, 0}, {0, 0.9f}});
      case 6:
        return g.line({{-0.75f, -0.85f}, {0.75f, -0.85f}, {-0.75f, 0.85f}, {0.75f, 0.85f}, {-0.75f, -0.85f}});
      case 7:
        return g.line({{-0.9f, 0}, {0.9f, 0}}).line({{0.3f, -0.6f}, {0.9f, 0}, {0.3f, 0.6f}});
      case 8:
        return g.arc({0, -0.25f}, 0.75f, 0.75f, 0.5f, 0).line({{0, -0.9f}, {0, 0.9f}});
      default:
        return g.arc({-0.42f, 0}, 0.45f, 0.45f, 0.5f, 1.0f).arc({0.48f, 0}, 0.45f, 0.45f, 0.5f, 0);
    }
  }

  /// Moves every point by its own small offset, then the whole by a random affine map about the centre.
  void distort(Rng& rng) {
    const float angle = rng.uniform(-0.45f, 0.45f);
    const float scale = rng.uniform(0.55f, 1.0f), stretch = rng.uniform(0.8f, 1.25f);
    const float shear = rng.uniform(-0.3f, 0.3f);
    const float room = 1.15f - scale;
    const float dx = rng.uniform(-room, room) * 0.6f, dy = rng.uniform(-room, room) * 0.6f;
    const float c = std::cos(angle) * scale, s = std::sin(angle) * scale;
    for (Stroke& stroke : strokes_) {
      // Long strokes of few points wobble more than the short pieces of arcs, which stay smooth.
      const float wobble = stroke.size() > 6 ? 0.02f : 0.07f;
      for (GlyphPoint& p : stroke) {
        const float x = (p.x + rng.uniform(-wobble, wobble)) * stretch + shear * p.y;
        const float y = (p.y + rng.uniform(-wobble, wobble)) / stretch;
        p = {c * x - s * y + dx, s * x + c * y + dy};
      }
    }
  }

  /// Adds the ink of the strokes, in [0, 1], to an image of `size` x `size` pixels: 1 inside a pen of `width` pixels,
  /// falling to 0 over one pixel at its border.
  void draw(std::span<float> ink, int size, float width) const {
    const float unit = static_cast<float>(size) * 0.5f * 0.86f, middle = static_cast<float>(size) * 0.5f;
    for (const Stroke& stroke : strokes_)
      for (std::size_t i = 1; i < stroke.size(); ++i)
        segment(ink, size, 0.5f * width, {middle + unit * stroke[i - 1].x, middle + unit * stroke[i - 1].y},
                {middle + unit * stroke[i].x, middle + unit * stroke[i].y});
  }

private:
  static void segment(std::span<float> ink, int size, float radius, GlyphPoint a, GlyphPoint b) {
    const float reach = radius + 1;
    const auto clamp = [&](float v) { return std::clamp(static_cast<int>(std::floor(v)), 0, size); };
    const int x0 = clamp(std::min(a.x, b.x) - reach), x1 = clamp(std::max(a.x, b.x) + reach + 1);
    const int y0 = clamp(std::min(a.y, b.y) - reach), y1 = clamp(std::max(a.y, b.y) + reach + 1);
    const float ux = b.x - a.x, uy = b.y - a.y;
    const float length2 = std::max(ux * ux + uy * uy, 1e-6f);
    for (int y = y0; y < y1; ++y)
      for (int x = x0; x < x1; ++x) {
        const float px = static_cast<float>(x) + 0.5f - a.x, py = static_cast<float>(y) + 0.5f - a.y;
        const float t = std::clamp((px * ux + py * uy) / length2, 0.0f, 1.0f);
        const float dx = px - t * ux, dy = py - t * uy;
        const float coverage = std::clamp(radius + 0.5f - std::sqrt(dx * dx + dy * dy), 0.0f, 1.0f);
        float& pixel = ink[static_cast<std::size_t>(y * size + x)];
        pixel = std::max(pixel, coverage);
      }
  }

  std::vector<Stroke> strokes_;
};

/// Label of image `index`: every ten consecutive images hold every class once, in random order.
inline int glyph_label(const Rng& rng, std::size_t index) {
  std::array<int, 10> order{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  Rng r = rng.split(0x6c61626c).split(index / 10);
  r.shuffle(std::span<int>(order));
  return order[index % 10];
}

/// A byte from an intensity in [0, 1], rounded, clipped.
inline std::uint8_t intensity_byte(float v) {
  return static_cast<std::uint8_t>(std::clamp(v, 0.0f, 1.0f) * 255.0f + 0.5f);
}

/// Ink of a distorted glyph with two stray strokes that belong to no class.
inline void draw_glyph(std::span<float> ink, int size, int label, Rng& rng) {
  Glyph g = Glyph::of_class(label);
  g.distort(rng);
  g.draw(ink, size, rng.uniform(1.2f, 3.0f) * static_cast<float>(size) / 28.0f);
  for (int i = 0; i < 2; ++i) {
    const float x = rng.uniform(-1.05f, 1.05f), y = rng.uniform(-1.05f, 1.05f);
    Glyph stray;
    stray.line({{x, y}, {x + rng.uniform(-0.3f, 0.3f), y + rng.uniform(-0.3f, 0.3f)}});
    stray.draw(ink, size, 1.0f);
  }
}

}  // namespace io

/// `count` grey images of 28x28 with glyphs of ten classes, balanced within every ten images. Each has its own random
/// affine distortion (rotation up to 26 degrees, scale, stretch, shear, shift), wobble of the strokes, stroke width,
/// contrast, stray strokes and pixel noise; a classifier that is linear in the pixels stays below 90 %.
///
/// Image i depends on the seed and stream of `rng` and on i alone: not on `count`, threads, or the position of `rng`.
/// Use different streams (`rng.split(1)`) for training and test images.
inline ImageSet synthetic_glyphs(std::size_t count, const Rng& rng, int threads = 0) {
  constexpr int size = 28;
  constexpr std::size_t pixels = size * size;
  ImageSet set;
  set.images = Tensor<std::uint8_t>(Extents{count, 1, size, size});
  set.labels.resize(count);
  set.classes = 10;
  parallel_for(count, 16, threads, [&](std::size_t begin, std::size_t end, int) {
    std::array<float, pixels> ink;
    for (std::size_t i = begin; i < end; ++i) {
      Rng r = rng.split(0x676c7970).split(i);
      set.labels[i] = io::glyph_label(rng, i);
      ink.fill(0.0f);
      io::draw_glyph(ink, size, set.labels[i], r);
      const float ground = r.uniform(0.0f, 0.2f), contrast = r.uniform(0.5f, 0.8f), noise = r.uniform(0.03f, 0.12f);
      for (std::size_t p = 0; p < pixels; ++p)
        set.images[i * pixels + p] = io::intensity_byte(ground + contrast * ink[p] + noise * r.normal());
    }
  });
  return set;
}

/// The same glyphs in colour, 32x32x3: ink and ground have random colours of different brightness, the ground shades
/// linearly across the image, and either may be the brighter one. Determinism as synthetic_glyphs.
inline ImageSet synthetic_colour_glyphs(std::size_t count, const Rng& rng, int threads = 0) {
  constexpr int size = 32;
  constexpr std::size_t pixels = size * size;
  ImageSet set;
  set.images = Tensor<std::uint8_t>(Extents{count, 3, size, size});
  set.labels.resize(count);
  set.classes = 10;
  parallel_for(count, 16, threads, [&](std::size_t begin, std::size_t end, int) {
    std::array<float, pixels> ink;
    for (std::size_t i = begin; i < end; ++i) {
      Rng r = rng.split(0x636f6c72).split(i);
      set.labels[i] = io::glyph_label(rng, i);
      ink.fill(0.0f);
      io::draw_glyph(ink, size, set.labels[i], r);
      const bool dark_ink = r.below(2) == 1;
      const float noise = r.uniform(0.02f, 0.07f);
      for (std::size_t c = 0; c < 3; ++c) {
        const float low = r.uniform(0.0f, 0.35f), high = r.uniform(0.6f, 1.0f);
        const float pen = dark_ink ? low : high, ground = dark_ink ? high : low;
        const float across = r.uniform(-0.1f, 0.1f), down = r.uniform(-0.1f, 0.1f);
        for (std::size_t p = 0; p < pixels; ++p) {
          const float x = static_cast<float>(p % size) / (size / 2) - 1,
                      y = static_cast<float>(p / size) / (size / 2) - 1;
          const float shade = ground + across * x + down * y;
          set.images[(i * 3 + c) * pixels + p] =
              io::intensity_byte(shade + ink[p] * (pen - shade) + noise * r.normal());
        }
      }
    }
  });
  return set;
}

SPIQ_END_NAMESPACE
