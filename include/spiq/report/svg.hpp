/// @file
/// A canvas that collects SVG elements, and the colours and ticks that the charts share.
#pragma once

#include <spiq/report/format.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace report {

/// `text` with the characters that XML reserves replaced by entities; control characters become blanks.
inline std::string xml_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

/// Eight colours that stay apart for colour-blind readers (Okabe and Ito, "Color universal design", 2008; the yellow
/// darkened so that it shows on white).
inline constexpr std::array<std::string_view, 8> palette = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                            "#56b4e9", "#e69f00", "#8a7a00", "#444444"};
inline std::string_view palette_color(std::size_t i) { return palette[i % palette.size()]; }

/// Round tick positions (1, 2 or 5 times a power of ten apart) inside [low, high], about `wanted` of them.
inline std::vector<double> ticks(double low, double high, int wanted) {
  std::vector<double> out;
  if (!(high > low) || !std::isfinite(low) || !std::isfinite(high)) return {low};
  const double rough = (high - low) / std::max(wanted, 1);
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  const double step = power * (rough <= 1.5 * power ? 1 : rough <= 3.5 * power ? 2 : rough <= 7.5 * power ? 5 : 10);
  const double first = std::ceil(low / step - 1e-9);
  const double last = std::floor(high / step + 1e-9);
  for (double i = first; i <= last; ++i) out.push_back(i * step);
  return out;
}

/// An SVG document under construction. Coordinates are pixels, y downwards.
class SvgCanvas {
public:
  struct TextStyle {
    int size = 12;
    std::string_view anchor = "start";  ///< start, middle or end
    std::string_view color = "#222222";
    bool bold = false;
    bool vertical = false;  ///< turned by 90 degrees, read upwards
  };

  /// White background, so that the picture reads on dark pages too. `description` is for screen readers.
  SvgCanvas(double width, double height, std::string_view description) {
    body_ = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + number(width) + "\" height=\"" + number(height) +
            "\" viewBox=\"0 0 " + number(width) + " " + number(height) + "\" role=\"img\"" +
            " font-family=\"DejaVu Sans, Verdana, Arial, sans-serif\">\n<title>" + xml_text(description) + "</title>\n";
    rect(0, 0, width, height, "#ffffff");
  }

  void rect(double x, double y, double width, double height, std::string_view fill, double opacity = 1) {
    body_ += "<rect x=\"" + number(x) + "\" y=\"" + number(y) + "\" width=\"" + number(width) + "\" height=\"" +
             number(height) + "\" fill=\"" + std::string(fill) + "\"";
    if (opacity < 1) body_ += " fill-opacity=\"" + number(opacity) + "\"";
    body_ += "/>\n";
  }
  void line(double x1, double y1, double x2, double y2, std::string_view color, double width = 1,
            std::string_view dashes = {}) {
    body_ += "<line x1=\"" + number(x1) + "\" y1=\"" + number(y1) + "\" x2=\"" + number(x2) + "\" y2=\"" + number(y2) +
             "\"" + stroke(color, width, dashes) + "/>\n";
  }
  void polyline(std::span<const std::pair<double, double>> points, std::string_view color, double width = 2) {
    body_ += "<polyline fill=\"none\" points=\"";
    for (const auto& [x, y] : points) body_ += number(x) + "," + number(y) + " ";
    body_ += "\"" + stroke(color, width, {}) + " stroke-linejoin=\"round\"/>\n";
  }
  void circle(double x, double y, double radius, std::string_view fill) {
    body_ += "<circle cx=\"" + number(x) + "\" cy=\"" + number(y) + "\" r=\"" + number(radius) + "\" fill=\"" +
             std::string(fill) + "\"/>\n";
  }
  /// A square on its corner, for points that belong to no curve.
  void diamond(double x, double y, double radius, std::string_view fill) {
    body_ += "<path d=\"M" + number(x) + " " + number(y - radius) + "L" + number(x + radius) + " " + number(y) + "L" +
             number(x) + " " + number(y + radius) + "L" + number(x - radius) + " " + number(y) + "Z\" fill=\"" +
             std::string(fill) + "\" stroke=\"#ffffff\" stroke-width=\"1\"/>\n";
  }
  /// Filled path from SVG path commands.
  void path(std::string_view commands, std::string_view fill) {
    body_ += "<path d=\"" + std::string(commands) + "\" fill=\"" + std::string(fill) + "\"/>\n";
  }
  void text(double x, double y, std::string_view content, const TextStyle& style) {
    body_ += "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" font-size=\"" + std::to_string(style.size) +
             "\" fill=\"" + std::string(style.color) + "\"";
    if (style.anchor != "start") body_ += " text-anchor=\"" + std::string(style.anchor) + "\"";
    if (style.bold) body_ += " font-weight=\"bold\"";
    if (style.vertical) body_ += " transform=\"rotate(-90 " + number(x) + " " + number(y) + ")\"";
    body_ += ">" + xml_text(content) + "</text>\n";
  }

  /// The finished document.
  [[nodiscard]] std::string finish() const { return body_ + "</svg>\n"; }

  /// At most two decimals, without trailing zeros.
  static std::string number(double v) {
    std::string s = fixed(v, 2);
    if (s.find('.') != std::string::npos) {
      s.erase(s.find_last_not_of('0') + 1);
      if (s.back() == '.') s.pop_back();
    }
    return s == "-0" ? "0" : s;
  }
  /// Room that a text takes, in pixels: a generous estimate, since the reader's font is not known.
  static double text_width(std::string_view text, int size) {
    const auto starts = [](char c) { return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u; };
    const auto characters = std::count_if(text.begin(), text.end(), starts);
    return 0.62 * size * static_cast<double>(characters);
  }

private:
  static std::string stroke(std::string_view color, double width, std::string_view dashes) {
    std::string s = " stroke=\"" + std::string(color) + "\" stroke-width=\"" + number(width) + "\"";
    if (!dashes.empty()) s += " stroke-dasharray=\"" + std::string(dashes) + "\"";
    return s;
  }

  std::string body_;
};

/// Words of `text` in lines of at most `width` pixels.
inline std::vector<std::string> wrap_text(std::string_view text, int size, double width) {
  std::vector<std::string> lines(1);
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word(text.substr(begin, end - begin));
    const std::string longer = lines.back().empty() ? word : lines.back() + " " + word;
    if (!lines.back().empty() && SvgCanvas::text_width(longer, size) > width) lines.push_back(word);
    else lines.back() = longer;
    begin = end + 1;
  }
  return lines;
}

}  // namespace report

SPIQ_END_NAMESPACE
