/// @file
/// The header of an `.npy` array: a Python dictionary literal of three entries.
#pragma once

#include <spiq/core/tensor.hpp>
#include <spiq/io/stream.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

/// Element types of `.npy` arrays, named as NumPy does: kind and bytes.
enum class NpyType : std::uint8_t { f2, f4, f8, i1, i2, i4, i8, u1, u2, u4, u8, b1, c8 };

namespace io {

inline constexpr std::array<std::string_view, 13> npy_names{"f2", "f4", "f8", "i1", "i2", "i4", "i8",
                                                            "u1", "u2", "u4", "u8", "b1", "c8"};

/// "f4".
constexpr std::string_view npy_name(NpyType t) { return npy_names[static_cast<std::size_t>(t)]; }
/// Bytes of an element.
constexpr std::size_t npy_size(NpyType t) { return static_cast<std::size_t>(npy_name(t)[1] - '0'); }

/// The element type that holds T.
template <class T>
constexpr NpyType npy_type_of() {
  static_assert(std::is_arithmetic_v<T> && sizeof(T) <= 8, "spiq: npy files are written from arithmetic types");
  const char kind = std::is_same_v<T, bool> ? 'b' : std::is_floating_point_v<T> ? 'f' : std::is_signed_v<T> ? 'i' : 'u';
  std::size_t i = 0;
  while (npy_names[i][0] != kind || npy_names[i][1] != static_cast<char>('0' + sizeof(T))) ++i;
  return static_cast<NpyType>(i);
}

struct NpyHeader {
  NpyType dtype = NpyType::f4;
  bool big_endian = false;
  bool fortran_order = false;
  Extents shape{};
  std::size_t count = 1;  ///< elements; count * npy_size(dtype) fits size_t
};

/// Parses the dictionary. `offset` is where the text starts in the file.
class NpyHeaderParser {
public:
  NpyHeaderParser(const ByteStream& stream, std::string_view text, std::uint64_t offset)
      : stream_(stream), text_(text), offset_(offset) {}

  NpyHeader parse() {
    NpyHeader h;
    bool seen[3] = {};
    expect('{');
    while (!accept('}')) {
      const std::string_view key = string();
      expect(':');
      const std::size_t which = key == "descr" ? 0 : key == "fortran_order" ? 1 : key == "shape" ? 2 : 3;
      if (which == 3 || seen[which])
        fail("each of 'descr', 'fortran_order', 'shape' once", "'" + std::string(key) + "'");
      seen[which] = true;
      if (which == 0) descr(h);
      if (which == 1) h.fortran_order = boolean();
      if (which == 2) shape(h);
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    space();
    if (at_ != text_.size()) fail("the end of the header", found());
    if (!seen[0] || !seen[1] || !seen[2]) fail("'descr', 'fortran_order' and 'shape'", "the end of the header");
    count(h);
    return h;
  }

private:
  [[noreturn]] void fail(std::string_view expected, std::string_view found) const {
    stream_.fail(offset_ + at_, expected, found);
  }
  [[nodiscard]] std::string found() const {
    return at_ < text_.size() ? "'" + std::string(text_.substr(at_, 12)) + "'" : std::string("the end of the header");
  }
  void space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) ++at_;
  }
  bool accept(char c) {
    space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(std::string("'") + c + "'", found());
  }
  std::string_view string() {
    const char quote = accept('\'') ? '\'' : accept('"') ? '"' : '\0';
    const std::size_t end = quote == '\0' ? std::string_view::npos : text_.find(quote, at_);
    if (end == std::string_view::npos) fail("a string", found());
    const std::string_view s = text_.substr(at_, end - at_);
    at_ = end + 1;
    return s;
  }
  bool boolean() {
    space();
    for (const bool value : {false, true}) {
      const std::string_view word = value ? "True" : "False";
      if (text_.substr(at_, word.size()) == word) {
        at_ += word.size();
        return value;
      }
    }
    fail("True or False", found());
  }
  void descr(NpyHeader& h) {
    space();
    const std::size_t start = at_;
    std::string_view s = string();
    h.big_endian = std::endian::native == std::endian::big;
    if (!s.empty() && (s[0] == '<' || s[0] == '>')) h.big_endian = s[0] == '>';
    if (!s.empty() && (s[0] == '<' || s[0] == '>' || s[0] == '|' || s[0] == '=')) s.remove_prefix(1);
    for (std::size_t i = 0; i < npy_names.size(); ++i) {
      if (npy_names[i] != s) continue;
      h.dtype = static_cast<NpyType>(i);
      return;
    }
    at_ = start;
    fail("an element type f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 b1 or c8", found());
  }
  void shape(NpyHeader& h) {
    std::array<std::size_t, Extents::max_rank> extents{};
    std::size_t rank = 0;
    expect('(');
    while (!accept(')')) {
      if (rank == extents.size()) fail("at most 6 extents", "more");
      extents[rank++] = number();
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    h.shape = Extents::from(std::span(extents).first(rank));
  }
  std::size_t number() {
    space();
    const std::size_t start = at_;
    std::size_t n = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      const auto digit = static_cast<std::size_t>(text_[at_] - '0');
      if (n > (std::numeric_limits<std::size_t>::max() - digit) / 10) fail("an extent of 64 bits", "a larger one");
      n = 10 * n + digit;
    }
    if (at_ == start) fail("an extent", found());
    if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // files of Python 2
    return n;
  }
  /// Elements; the product of the extents that are not zero must fit too, so that no later product overflows.
  void count(NpyHeader& h) const {
    std::size_t n = 1;
    for (const std::size_t e : h.shape.span()) {
      if (e == 0) continue;
      if (n > std::numeric_limits<std::size_t>::max() / 16 / e)
        fail("extents whose product fits 60 bits", to_string(h.shape));
      n *= e;
    }
    h.count = h.shape.size();
  }

  const ByteStream& stream_;
  std::string_view text_;
  std::uint64_t offset_;
  std::size_t at_ = 0;
};

/// Reads magic, version and dictionary.
inline NpyHeader read_npy_header(ByteStream& stream) {
  constexpr std::size_t longest = 1u << 20;  // more than any header of six extents; keeps a lying length harmless
  std::array<std::byte, 8> head{};
  const std::uint64_t start = stream.position();
  stream.read(head, "npy magic and version");
  constexpr std::array<unsigned char, 6> magic{0x93, 'N', 'U', 'M', 'P', 'Y'};
  for (std::size_t i = 0; i < magic.size(); ++i)
    if (std::to_integer<unsigned char>(head[i]) != magic[i])
      stream.fail(start + i, "npy magic byte " + hex32(magic[i]), hex32(std::to_integer<std::uint32_t>(head[i])));
  const int version = std::to_integer<int>(head[6]);
  if (version < 1 || version > 3 || head[7] != std::byte{0})
    stream.fail(start + 6, "npy version 1.0, 2.0 or 3.0",
                std::to_string(version) + "." + std::to_string(std::to_integer<int>(head[7])));
  std::array<std::byte, 4> length{};
  const auto length_bytes = std::span(length).first(version == 1 ? 2 : 4);
  stream.read(length_bytes, "the length of the npy header");
  const std::uint64_t size = little_endian(length_bytes);
  if (size > longest)
    stream.fail(start + 8, "a header of at most " + std::to_string(longest) + " bytes", std::to_string(size));
  stream.require(size, "npy header");
  std::string text(static_cast<std::size_t>(size), '\0');
  const std::uint64_t offset = stream.position();
  stream.read(std::as_writable_bytes(std::span(text)), "npy header");
  return NpyHeaderParser(stream, text, offset).parse();
}

/// Magic, version 1.0 and dictionary, padded with spaces to a multiple of 64 bytes.
inline std::string npy_header_text(NpyType type, const Extents& extents) {
  std::string dict = "{'descr': '";
  dict += npy_size(type) == 1 ? '|' : std::endian::native == std::endian::big ? '>' : '<';
  dict.append(npy_name(type)).append("', 'fortran_order': False, 'shape': (");
  for (std::size_t i = 0; i < extents.rank(); ++i)
    dict.append(std::to_string(extents[i])).append(i + 1 < extents.rank() ? ", " : extents.rank() == 1 ? "," : "");
  dict += "), }";
  dict.append(63 - (10 + dict.size()) % 64, ' ').append("\n");
  std::string text("\x93NUMPY\x01\x00", 8);
  text += static_cast<char>(dict.size() & 0xff);
  text += static_cast<char>(dict.size() >> 8 & 0xff);
  return text + dict;
}

}  // namespace io

SPIQ_END_NAMESPACE
