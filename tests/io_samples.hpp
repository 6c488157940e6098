// Small valid files of every format, made by hand (not by the writers under test) where that is possible.
#pragma once

#include "temp_folder.hpp"

#include <spiq/io/stream.hpp>

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

namespace spiq_test {

/// What the message of the Error thrown by `f` says; empty when nothing is thrown.
template <class F>
std::string message(F&& f) {
  try {
    f();
  } catch (const spiq::Error& e) {
    return e.what();
  }
  return "";
}

/// Whether `part` stands in `text`.
inline bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// An `.npy` file of the given version, dictionary text and data.
inline std::string npy_file(int version, std::string dict, const std::string& data) {
  const std::size_t fixed = version == 1 ? 10 : 12;
  dict.append(63 - (fixed + dict.size()) % 64, ' ');
  dict += '\n';
  std::string out("\x93NUMPY", 6);
  out += static_cast<char>(version);
  out += '\0';
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) out += static_cast<char>(dict.size() >> 8 * i & 0xff);
  return out + dict + data;
}

/// The bytes of values in the machine's order, or reversed.
template <class T>
std::string raw(std::initializer_list<T> values, bool reversed = false) {
  std::string out;
  for (T v : values) {
    char bytes[sizeof v];
    std::memcpy(bytes, &v, sizeof v);
    for (std::size_t i = 0; i < sizeof v; ++i) out += bytes[reversed ? sizeof v - 1 - i : i];
  }
  return out;
}

/// An IDX header and data.
inline std::string idx_file(std::uint32_t magic, std::initializer_list<std::uint32_t> extents,
                            const std::string& data) {
  std::string out;
  const auto put = [&out](std::uint32_t v) {
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(v >> shift & 0xff);
  };
  put(magic);
  for (std::uint32_t e : extents) put(e);
  return out + data;
}

#if SPIQ_HAS_ZLIB
/// `text` as a gzip file.
inline std::string gzip(const std::string& text) {
  z_stream z{};
  if (::deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) throw std::runtime_error("zlib");
  std::string out(::deflateBound(&z, static_cast<uLong>(text.size())) + 64, '\0');
  std::string in = text;
  z.next_in = reinterpret_cast<unsigned char*>(in.data());
  z.avail_in = static_cast<uInt>(in.size());
  z.next_out = reinterpret_cast<unsigned char*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  const int status = ::deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  ::deflateEnd(&z);
  if (status != Z_STREAM_END) throw std::runtime_error("zlib");
  return out;
}
#endif

/// Two CIFAR-10 records.
inline std::string cifar_file() {
  std::string out;
  for (int r = 0; r < 2; ++r) {
    out += static_cast<char>(3 + r);
    for (int i = 0; i < 3072; ++i) out += static_cast<char>((i * 7 + r) & 0xff);
  }
  return out;
}

}  // namespace spiq_test
