// Kernels before and after learning, as a sheet of small pictures.
#pragma once

#include <spiq/report/svg.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

// Kernels of one rule: [kernel][y][x] of single-channel inputs.
struct KernelRow {
  std::string name;
  std::size_t size = 0;  // pixels along an edge
  std::vector<std::vector<float>> before, after;
};

template <class Layer>
std::vector<std::vector<float>> kernels(const Layer& layer) {
  std::vector<std::vector<float>> all(layer.maps(), std::vector<float>(layer.taps()));
  for (std::size_t m = 0; m < layer.maps(); ++m)
    for (std::size_t k = 0; k < layer.taps(); ++k) all[m][k] = layer.weights()(m, k);
  return all;
}

inline std::string grey(float share) {
  char text[8];
  const int level = 255 - static_cast<int>(std::lround(255 * std::clamp(share, 0.0f, 1.0f)));
  std::snprintf(text, sizeof text, "#%02x%02x%02x", level, level, level);
  return text;
}

inline std::string kernel_sheet(const std::vector<KernelRow>& rows) {
  constexpr std::size_t most = 16;
  constexpr double edge = 56, gap = 6, left = 70, top = 40, title = 24;
  constexpr double block = title + 2 * (edge + gap) + 12;
  spiq::report::SvgCanvas canvas(left + most * (edge + gap) + 10, top + static_cast<double>(rows.size()) * block,
                                 "Kernels before and after local learning");
  canvas.text(10, 24, "Kernels before and after local learning", {.size = 16, .bold = true});
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const KernelRow& row = rows[r];
    const double y0 = top + static_cast<double>(r) * block;
    canvas.text(10, y0 + 14, row.name + ": light is low, dark is high", {.size = 12, .bold = true});
    float low = row.before[0][0], high = low;
    for (const auto* side : {&row.before, &row.after})
      for (const auto& kernel : *side)
        for (const float w : kernel) {
          low = std::min(low, w);
          high = std::max(high, w);
        }
    const auto draw = [&](const std::vector<std::vector<float>>& all, double y, const char* name) {
      canvas.text(10, y + edge / 2 + 4, name, {.size = 11});
      for (std::size_t m = 0; m < std::min(most, all.size()); ++m) {
        const double x = left + static_cast<double>(m) * (edge + gap), across = static_cast<double>(row.size);
        const double pixel = std::floor(edge / across);  // whole, so that no seams show
        canvas.rect(x - 1, y - 1, pixel * across + 2, pixel * across + 2, "#999999");
        for (std::size_t k = 0; k < row.size * row.size; ++k)
          canvas.rect(x + static_cast<double>(k % row.size) * pixel, y + static_cast<double>(k / row.size) * pixel,
                      pixel, pixel, grey((all[m][k] - low) / std::max(high - low, 1e-6f)));
      }
    };
    draw(row.before, y0 + title, "before");
    draw(row.after, y0 + title + edge + gap, "after");
  }
  return canvas.finish();
}
