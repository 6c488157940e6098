/// @file
/// A line chart as a self-contained SVG picture.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/report/json.hpp>
#include <spiq/report/svg.hpp>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace report {

/// Several curves, single points and horizontal reference lines in one plot, with axes, legend and title.
struct LineChart {
  enum class Mark {
    curve,  ///< points joined by a line
    point,  ///< points on their own: diamonds
    level   ///< a dashed horizontal line at the first point's y, across the plot
  };
  struct Series {
    std::string name;
    std::vector<std::pair<double, double>> points;  ///< (x, y); those that are not finite are left out
    Mark mark = Mark::curve;
  };

  std::string title{};
  std::string x_label{};
  std::string y_label{};
  bool log2_x = false;   ///< x by powers of two; all x must be positive
  std::string caption{};  ///< small print under the plot, wrapped
  double width = 820;
  double height = 460;
  std::vector<Series> series{};

  void curve(std::string name, std::vector<std::pair<double, double>> points) {
    series.push_back({std::move(name), std::move(points), Mark::curve});
  }
  void point(std::string name, double x, double y) { series.push_back({std::move(name), {{x, y}}, Mark::point}); }
  void level(std::string name, double y) { series.push_back({std::move(name), {{1, y}}, Mark::level}); }

  /// The picture. Throws when there is no finite point, or log2_x meets an x that is not positive.
  [[nodiscard]] std::string svg() const {
    const Range x = x_range();
    const Range y = y_range();
    double legend = 0;
    for (const Series& s : series) legend = std::max(legend, SvgCanvas::text_width(s.name, 12));
    const std::vector<double> y_ticks = ticks(y.low, y.high, 7);
    std::vector<std::string> y_names;
    double y_room = 0;
    for (const double t : y_ticks) {
      y_names.push_back(tick_name(t, y_ticks));
      y_room = std::max(y_room, SvgCanvas::text_width(y_names.back(), 12));
    }
    const auto lines = wrap_text(caption, 11, width - 40);
    const double left = 44 + y_room;
    const double right = std::max(left + 220, width - legend - 62);
    const double full = std::max(width, right + legend + 62);
    const double top = title.empty() ? 20 : 48;
    const double bottom = height - 56 - (caption.empty() ? 0 : 14 * static_cast<double>(lines.size()) + 6);
    const auto px = [&](double v) { return left + (right - left) * (scale_x(v) - x.low) / (x.high - x.low); };
    const auto py = [&](double v) { return bottom - (bottom - top) * (v - y.low) / (y.high - y.low); };

    SvgCanvas c(full, height, title);
    c.text(full / 2, 28, title, {.size = 15, .anchor = "middle", .bold = true});
    for (std::size_t i = 0; i < y_ticks.size(); ++i) {
      c.line(left, py(y_ticks[i]), right, py(y_ticks[i]), "#e2e2e2");
      c.text(left - 8, py(y_ticks[i]) + 4, y_names[i], {.anchor = "end"});
    }
    const std::vector<double> x_ticks = x_tick_positions(x);
    for (const double t : x_ticks) {
      c.line(px(t), bottom, px(t), bottom + 5, "#222222");
      c.line(px(t), top, px(t), bottom, "#f0f0f0");
      c.text(px(t), bottom + 20, log2_x ? shortest(t) : tick_name(t, x_ticks), {.anchor = "middle"});
    }
    c.line(left, bottom, right, bottom, "#222222");
    c.line(left, top, left, bottom, "#222222");
    c.text((left + right) / 2, bottom + 42, x_label, {.size = 13, .anchor = "middle"});
    c.text(20, (top + bottom) / 2, y_label, {.size = 13, .anchor = "middle", .vertical = true});
    draw(c, px, py, left, right, top);
    if (!caption.empty())
      for (std::size_t i = 0; i < lines.size(); ++i)
        c.text(20, bottom + 62 + 14 * static_cast<double>(i), lines[i], {.size = 11, .color = "#555555"});
    return c.finish();
  }
  /// Writes the picture to a file; throws Error when it cannot.
  void write(const std::string& path) const { write_text_file(path, svg()); }

private:
  struct Range {
    double low;
    double high;
  };

  [[nodiscard]] double scale_x(double v) const { return log2_x ? std::log2(v) : v; }
  static bool finite(const std::pair<double, double>& p) { return std::isfinite(p.first) && std::isfinite(p.second); }

  // Curves first, then levels, points on top; the legend beside the plot in order of the series.
  // Points that lie on each other stay visible: each series of points is smaller than the one before.
  template <class X, class Y>
  void draw(SvgCanvas& c, const X& px, const Y& py, double left, double right, double top) const {
    std::vector<double> radius(series.size());
    double next = 9;
    for (std::size_t i = 0; i < series.size(); ++i)
      if (series[i].mark == Mark::point) {
        radius[i] = next;
        next = std::max(next - 3, 4.0);
      }
    for (const Mark pass : {Mark::level, Mark::curve, Mark::point}) {
      for (std::size_t i = 0; i < series.size(); ++i) {
        const Series& s = series[i];
        if (s.mark != pass) continue;
        std::vector<std::pair<double, double>> shown;
        for (const auto& p : s.points)
          if (finite(p)) shown.emplace_back(pass == Mark::level ? left : px(p.first), py(p.second));
        if (shown.empty()) continue;
        if (pass == Mark::level) c.line(left, shown[0].second, right, shown[0].second, palette_color(i), 1.5, "6 4");
        if (pass == Mark::curve) c.polyline(shown, palette_color(i));
        for (const auto& [a, b] : shown) {
          if (pass == Mark::curve && shown.size() <= 40) c.circle(a, b, 3.2, palette_color(i));
          if (pass == Mark::point) c.diamond(a, b, radius[i], palette_color(i));
        }
      }
    }
    double y = top + 10;
    for (std::size_t i = 0; i < series.size(); ++i, y += 22) {
      const double x = right + 18;
      if (series[i].mark == Mark::point) c.diamond(x + 11, y, radius[i], palette_color(i));
      else c.line(x, y, x + 22, y, palette_color(i), 2, series[i].mark == Mark::level ? "6 4" : "");
      if (series[i].mark == Mark::curve) c.circle(x + 11, y, 3.2, palette_color(i));
      c.text(x + 28, y + 4, series[i].name, {});
    }
  }

  [[nodiscard]] Range x_range() const {
    Range r{INFINITY, -INFINITY};
    for (const Series& s : series)
      for (const auto& p : s.points) {
        if (!finite(p) || s.mark == Mark::level) continue;
        if (log2_x && p.first <= 0) SPIQ_THROW("line chart", "positive x on a logarithmic axis", shortest(p.first));
        r = {std::min(r.low, scale_x(p.first)), std::max(r.high, scale_x(p.first))};
      }
    if (!(r.high >= r.low)) SPIQ_THROW("line chart", "at least one finite point", "none");
    const double margin = r.high > r.low ? 0.03 * (r.high - r.low) : 0.5;
    return {r.low - margin, r.high + margin};
  }
  [[nodiscard]] Range y_range() const {
    Range r{INFINITY, -INFINITY};
    for (const Series& s : series)
      for (const auto& p : s.points)
        if (finite(p)) r = {std::min(r.low, p.second), std::max(r.high, p.second)};
    const double margin = r.high > r.low ? 0.06 * (r.high - r.low) : std::max(0.05 * std::fabs(r.high), 0.5);
    return {r.low - margin, r.high + margin};
  }
  [[nodiscard]] std::vector<double> x_tick_positions(const Range& x) const {
    if (!log2_x) return ticks(x.low, x.high, 8);
    std::vector<double> out;
    for (double e = std::ceil(x.low); e <= x.high; ++e) out.push_back(std::exp2(e));
    return out;
  }
  // As many decimals as the distance of the ticks needs.
  static std::string tick_name(double value, const std::vector<double>& all) {
    const double step = all.size() > 1 ? all[1] - all[0] : 1;
    const int decimals = step >= 1 ? 0 : static_cast<int>(std::ceil(-std::log10(step) - 1e-9));
    return fixed(value == 0 ? 0 : value, decimals);
  }
};

}  // namespace report

SPIQ_END_NAMESPACE
