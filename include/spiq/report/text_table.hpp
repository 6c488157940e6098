/// @file
/// Aligned tables in plain text.
#pragma once

#include <spiq/core/error.hpp>

#include <algorithm>
#include <cstddef>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace report {

/// Characters that a UTF-8 text takes on screen (code points; combining and wide ones are not told apart).
inline std::size_t display_width(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u; }));
}

/// A table with a header line and a rule under it. The first `left_columns` columns are flush left, the rest flush
/// right, as numbers want.
class TextTable {
public:
  explicit TextTable(std::vector<std::string> header, std::size_t left_columns = 1)
      : header_(std::move(header)), left_(left_columns) {}

  /// Adds a row; it must have as many cells as the header.
  void row(std::vector<std::string> cells) {
    if (cells.size() != header_.size())
      SPIQ_THROW("table row", std::to_string(header_.size()) + " cells", std::to_string(cells.size()));
    rows_.push_back(std::move(cells));
  }
  [[nodiscard]] std::size_t rows() const { return rows_.size(); }

  friend std::ostream& operator<<(std::ostream& out, const TextTable& t) {
    std::vector<std::size_t> widths(t.header_.size());
    const auto widen = [&](const std::vector<std::string>& cells) {
      for (std::size_t c = 0; c < cells.size(); ++c) widths[c] = std::max(widths[c], display_width(cells[c]));
    };
    widen(t.header_);
    for (const auto& r : t.rows_) widen(r);
    t.line(out, t.header_, widths);
    for (std::size_t c = 0; c < widths.size(); ++c) out << (c != 0 ? "  " : "") << std::string(widths[c], '-');
    out << '\n';
    for (const auto& r : t.rows_) t.line(out, r, widths);
    return out;
  }

private:
  void line(std::ostream& out, const std::vector<std::string>& cells, const std::vector<std::size_t>& widths) const {
    std::string text;
    for (std::size_t c = 0; c < cells.size(); ++c) {
      const std::string blanks(widths[c] - display_width(cells[c]), ' ');
      if (c != 0) text += "  ";
      text += c < left_ ? cells[c] + blanks : blanks + cells[c];
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out << text << '\n';
  }

  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
  std::size_t left_;
};

}  // namespace report

SPIQ_END_NAMESPACE
