/// @file
/// A small JSON writer (RFC 8259): indentation, escapes, numbers that read back exactly.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/report/format.hpp>

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace report {

/// `text` between quotes, with quotes, backslashes and control characters escaped. Bytes above 127 pass through, so
/// UTF-8 stays UTF-8.
inline std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(byte));
      out += code;
    } else {
      out += c;
    }
  }
  return out += '"';
}

/// Writes one JSON document into a string. Inside an object every value is preceded by `key`.
/// Containers nested deeper than `inline_depth` are written on one line.
class JsonWriter {
public:
  explicit JsonWriter(std::size_t inline_depth = 2) : inline_depth_(inline_depth) {}

  JsonWriter& begin_object() { return open('{', '}'); }
  JsonWriter& begin_array() { return open('[', ']'); }
  /// Closes the innermost container.
  JsonWriter& end() {
    if (stack_.empty()) SPIQ_THROW("json: end() without an open container");
    const Level level = stack_.back();
    stack_.pop_back();
    if (level.filled) new_line();
    text_ += level.close;
    return *this;
  }
  JsonWriter& key(std::string_view name) {
    if (stack_.empty() || stack_.back().close != '}') SPIQ_THROW("json: key() outside an object");
    separate();
    text_.append(json_string(name)).append(": ");
    after_key_ = true;
    return *this;
  }

  JsonWriter& value(std::string_view text) { return raw(json_string(text)); }
  JsonWriter& value(const char* text) { return raw(json_string(text)); }
  JsonWriter& value(bool flag) { return raw(flag ? "true" : "false"); }
  /// Numbers that are not finite become null: JSON has no other name for them.
  JsonWriter& value(double number) { return raw(std::isfinite(number) ? shortest(number) : "null"); }
  template <std::integral Int>
  JsonWriter& value(Int number) {
    return raw(std::to_string(number));
  }
  JsonWriter& null() { return raw("null"); }
  template <class T>
  JsonWriter& field(std::string_view name, const T& v) {
    return key(name).value(v);
  }

  /// The document; throws while a container is still open.
  [[nodiscard]] const std::string& text() const {
    if (!stack_.empty()) SPIQ_THROW("json: a container is still open");
    return text_;
  }

private:
  struct Level {
    char close;
    bool filled;
  };

  JsonWriter& open(char begin, char close) {
    separate();
    text_ += begin;
    stack_.push_back({close, false});
    return *this;
  }
  JsonWriter& raw(std::string_view text) {
    separate();
    text_ += text;
    return *this;
  }
  // Comma and line break before an element; nothing before the value of a key.
  void separate() {
    if (after_key_) {
      after_key_ = false;
      return;
    }
    if (stack_.empty()) return;
    if (stack_.back().filled) text_ += ',';
    const bool first = !stack_.back().filled;
    stack_.back().filled = true;
    if (stack_.size() > inline_depth_) {
      if (!first) text_ += ' ';
    } else {
      text_.append("\n").append(2 * stack_.size(), ' ');
    }
  }
  // Line break before a closing bracket; its level has been popped already.
  void new_line() {
    if (stack_.size() + 1 > inline_depth_) return;
    text_.append("\n").append(2 * stack_.size(), ' ');
  }

  std::size_t inline_depth_;
  std::string text_;
  std::vector<Level> stack_;
  bool after_key_ = false;
};

/// Writes `text` to `path`, replacing what was there. Throws Error when it cannot.
inline void write_text_file(const std::string& path, std::string_view text) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) SPIQ_THROW("write " + path, "a file that can be opened for writing", "an error");
  const bool complete = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  const bool closed = std::fclose(file) == 0;
  if (!complete || !closed) SPIQ_THROW("write " + path, std::to_string(text.size()) + " bytes written", "an error");
}

}  // namespace report

SPIQ_END_NAMESPACE
