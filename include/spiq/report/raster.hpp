/// @file
/// A spike raster as a self-contained SVG picture: time to the right, the neurons of the layers below each other.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/report/json.hpp>
#include <spiq/report/svg.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace report {

/// Spikes of one image through the layers of a network.
struct Raster {
  struct Spike {
    std::uint32_t neuron = 0;
    std::uint32_t step = 0;  ///< counts from 0 inside the layer's own window
  };
  struct Layer {
    std::string name;
    std::size_t neurons = 0;
    std::size_t steps = 0;       ///< steps in which the layer can fire
    std::size_t first_step = 0;  ///< where its window begins on the common time axis
    std::vector<Spike> spikes;
  };

  std::string title{};
  std::string caption{};         ///< small print under the plot; the rule of sub-sampling is appended
  std::size_t limit = 64;        ///< neurons drawn per layer at most
  double row_height = 1.8;       ///< pixels per neuron
  double width = 860;
  std::vector<Layer> layers{};

  /// Distance between the neurons of `layer` that are drawn: the smallest odd k for which neurons 0, k, 2k ... are at
  /// most `limit`. Odd, because neurons are numbered with channels fastest and channels are mostly an even number: all
  /// of them get their turn.
  [[nodiscard]] std::size_t stride(const Layer& layer) const {
    const std::size_t most = std::max<std::size_t>(limit, 1);
    const std::size_t k = std::max<std::size_t>((layer.neurons + most - 1) / most, 1);
    return k % 2 == 0 ? k + 1 : k;
  }

  /// The picture. Throws when a spike lies outside its layer.
  [[nodiscard]] std::string svg() const {
    std::size_t steps = 1;
    double name_room = 0;
    bool sampled = false;
    for (const Layer& l : layers) {
      steps = std::max(steps, l.first_step + l.steps);
      name_room = std::max({name_room, SvgCanvas::text_width(l.name, 12), SvgCanvas::text_width(label(l), 10)});
      sampled |= stride(l) > 1;
    }
    std::string small = caption;
    if (sampled)
      small += std::string(small.empty() ? "" : " ") + "Layers with more than " + std::to_string(limit) +
               " neurons show every k-th neuron (0, k, 2k, ...), k as stated under the layer's name; the spike counts "
               "are those of all neurons.";
    const double left = name_room + 34;
    const double right = width - 24;
    const auto lines = wrap_text(small, 11, width - 40);
    const double top = title.empty() ? 20 : 46;
    double y = top;
    for (const Layer& l : layers) y += band_height(l) + gap;
    const double bottom = y;
    const double step_width = (right - left) / static_cast<double>(steps);

    SvgCanvas c(width, bottom + 52 + (small.empty() ? 0 : 14 * static_cast<double>(lines.size()) + 8), title);
    c.text(width / 2, 26, title, {.size = 15, .anchor = "middle", .bold = true});
    y = top;
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const Layer& l = layers[i];
      const double height = band_height(l);
      const double x = left + step_width * static_cast<double>(l.first_step);
      c.rect(x, y, step_width * static_cast<double>(l.steps), height, palette_color(i), 0.09);
      c.path(marks(l, x, y, step_width, height), palette_color(i));
      c.text(left - 12, y + height / 2 - 3, l.name, {.anchor = "end", .color = palette_color(i), .bold = true});
      c.text(left - 12, y + height / 2 + 10, label(l), {.size = 10, .anchor = "end", .color = "#555555"});
      y += height + gap;
    }
    c.line(left, bottom, right, bottom, "#222222");
    // Ticks stand in the middle of a step; steps count from 1.
    for (const double t : ticks(1, static_cast<double>(steps), steps <= 16 ? static_cast<int>(steps) : 12)) {
      if (t < 1 || t != std::floor(t)) continue;
      const double x = left + step_width * (t - 0.5);
      c.line(x, bottom, x, bottom + 5, "#222222");
      c.text(x, bottom + 18, shortest(t), {.size = 11, .anchor = "middle"});
    }
    c.text((left + right) / 2, bottom + 38, "time step", {.size = 13, .anchor = "middle"});
    if (!small.empty())
      for (std::size_t i = 0; i < lines.size(); ++i)
        c.text(20, bottom + 60 + 14 * static_cast<double>(i), lines[i], {.size = 11, .color = "#555555"});
    return c.finish();
  }
  /// Writes the picture to a file; throws Error when it cannot.
  void write(const std::string& path) const { write_text_file(path, svg()); }

private:
  static constexpr double gap = 8;

  [[nodiscard]] std::size_t rows(const Layer& l) const { return (l.neurons + stride(l) - 1) / stride(l); }
  // Never lower than its two lines of text.
  [[nodiscard]] double band_height(const Layer& l) const {
    return std::max(row_height * static_cast<double>(rows(l)), 26.0);
  }
  [[nodiscard]] std::string label(const Layer& l) const {
    const std::size_t k = stride(l);
    return std::to_string(l.neurons) + " neurons, " + std::to_string(l.spikes.size()) + " spikes" +
           (k > 1 ? ", k = " + std::to_string(k) : "");
  }
  // One path for all spikes of a layer: a file of a few hundred kilobytes at most.
  [[nodiscard]] std::string marks(const Layer& l, double x, double y, double step_width, double height) const {
    const std::size_t k = stride(l);
    const double row = height / static_cast<double>(std::max<std::size_t>(rows(l), 1));
    const double mark_width = std::min(0.8 * step_width, 14.0);
    const double mark_height = std::min(0.86 * row, 6.0);
    std::string path;
    for (const Spike& s : l.spikes) {
      if (s.neuron >= l.neurons || s.step >= l.steps)
        SPIQ_THROW("raster layer " + l.name,
                   "neurons below " + std::to_string(l.neurons) + ", steps below " + std::to_string(l.steps),
                   "neuron " + std::to_string(s.neuron) + ", step " + std::to_string(s.step));
      if (s.neuron % k != 0) continue;
      path += "M" + SvgCanvas::number(x + step_width * (s.step + 0.5) - mark_width / 2) + " " +
              SvgCanvas::number(y + row * (static_cast<double>(s.neuron / k) + 0.5) - mark_height / 2) + "h" +
              SvgCanvas::number(mark_width) + "v" + SvgCanvas::number(mark_height) + "h-" +
              SvgCanvas::number(mark_width) + "z";
    }
    return path;
  }
};

}  // namespace report

SPIQ_END_NAMESPACE
