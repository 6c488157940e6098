/// @file
/// NumPy's `.npy` arrays, format versions 1.0 to 3.0, in and out.
/// Format: numpy/lib/format.py (NEP 1).
#pragma once

#include <spiq/core/tensor.hpp>
#include <spiq/io/file.hpp>
#include <spiq/io/npy_header.hpp>
#include <spiq/io/stream.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace io {

/// IEEE half precision to single, exactly.
inline float half_to_float(std::uint16_t h) {
  const std::uint32_t sign = (h & 0x8000u) << 16, exponent = h >> 10 & 31u, fraction = h & 0x3ffu;
  if (exponent == 0) return (sign != 0 ? -1.0f : 1.0f) * static_cast<float>(fraction) * 0x1p-24f;
  return std::bit_cast<float>(sign | (exponent == 31 ? 0xffu : exponent + 112u) << 23 | fraction << 13);
}

/// True where `value` converts to T without losing more than rounding: integers need a whole number in range.
template <class T, class From>
bool representable(From value) {
  if constexpr (std::is_floating_point_v<T>) {
    return true;
  } else if constexpr (std::is_floating_point_v<From>) {
    const double v = value;
    // 2^digits is exact in double, unlike the largest 64-bit integer.
    const double top = std::ldexp(1.0, std::numeric_limits<T>::digits);
    return v >= (std::is_signed_v<T> ? -top : 0.0) && v < top && v == std::trunc(v);
  } else {
    return std::in_range<T>(value);
  }
}

}  // namespace io

/// An array of an `.npy` file: element type, extents, and the bytes in C order and the machine's byte order.
struct NpyArray {
  NpyType dtype = NpyType::f4;
  Extents shape{};
  std::vector<std::byte> data;

  /// Number of elements (1 for rank 0).
  [[nodiscard]] std::size_t size() const { return shape.size(); }

  /// The elements as a tensor of the same extents. Complex numbers give their real part; booleans are 0 and 1;
  /// floats that exceed the range of T become infinite. Throws where T is an integer type that cannot hold a value.
  template <class T>
  [[nodiscard]] Tensor<T> as() const {
    static_assert(!std::is_same_v<T, bool>, "spiq: read booleans as std::uint8_t; there is no Tensor<bool>");
    Tensor<T> out(shape);
    copy_to(out.span());
    return out;
  }
  /// The elements in C order as doubles (64-bit integers beyond 2^53 are rounded).
  [[nodiscard]] std::vector<double> as_doubles() const {
    std::vector<double> out(size());
    copy_to(std::span(out));
    return out;
  }

private:
  template <class From, class T>
  void convert(std::span<T> out, std::size_t stride = sizeof(From)) const {
    for (std::size_t i = 0; i < out.size(); ++i) {
      From v;
      std::memcpy(&v, data.data() + i * stride, sizeof v);
      if (!io::representable<T>(v))
        SPIQ_THROW("npy array of type " + std::string(io::npy_name(dtype)) + ", element " + std::to_string(i),
                   "a whole number in the range of the wanted type", std::to_string(v));
      out[i] = static_cast<T>(v);
    }
  }
  template <class T>
  void copy_to(std::span<T> out) const {
    switch (dtype) {
      case NpyType::f4:
        return convert<float>(out);
      case NpyType::f8:
        return convert<double>(out);
      case NpyType::i1:
        return convert<std::int8_t>(out);
      case NpyType::i2:
        return convert<std::int16_t>(out);
      case NpyType::i4:
        return convert<std::int32_t>(out);
      case NpyType::i8:
        return convert<std::int64_t>(out);
      case NpyType::u1:
        return convert<std::uint8_t>(out);
      case NpyType::u2:
        return convert<std::uint16_t>(out);
      case NpyType::u4:
        return convert<std::uint32_t>(out);
      case NpyType::u8:
        return convert<std::uint64_t>(out);
      case NpyType::c8:
        return convert<float>(out, 8);
      case NpyType::b1:
        for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<T>(data[i] != std::byte{0});
        return;
      case NpyType::f2:
        for (std::size_t i = 0; i < out.size(); ++i) {
          std::uint16_t bits;
          std::memcpy(&bits, data.data() + 2 * i, 2);
          const float v = io::half_to_float(bits);
          if (!io::representable<T>(v))
            SPIQ_THROW("npy array of type f2, element " + std::to_string(i),
                       "a whole number in the range of the wanted type", std::to_string(v));
          out[i] = static_cast<T>(v);
        }
        return;
    }
  }
};

namespace io {

/// Bytes of a Fortran-ordered array put into C order.
inline std::vector<std::byte> from_fortran(std::span<const std::byte> data, const Extents& shape, std::size_t item) {
  std::vector<std::byte> out(data.size());
  std::array<std::size_t, Extents::max_rank> at{}, stride{};
  std::size_t step = item;
  for (std::size_t d = 0; d < shape.rank(); ++d, step *= shape[d - 1]) stride[d] = step;
  std::size_t from = 0;
  for (std::size_t to = 0; to < data.size(); to += item) {
    std::memcpy(out.data() + to, data.data() + from, item);
    for (std::size_t d = shape.rank(); d-- > 0;) {
      from += stride[d];
      if (++at[d] < shape[d]) break;
      from -= stride[d] * shape[d];
      at[d] = 0;
    }
  }
  return out;
}

/// Reads one array from a stream; `expect_end()` is left to the caller. The header is checked against the bytes that
/// can follow before anything is allocated for them.
inline NpyArray read_npy(ByteStream& stream) {
  const NpyHeader header = read_npy_header(stream);
  const std::size_t item = npy_size(header.dtype);
  NpyArray a;
  a.dtype = header.dtype;
  a.shape = header.shape;
  const std::size_t bytes = header.count * item;
  stream.read_growing(bytes, "array data", [&](std::size_t n) {
    a.data.resize(n);
    return std::span(a.data);
  });
  if (header.big_endian != (std::endian::native == std::endian::big)) {
    const std::size_t word = header.dtype == NpyType::c8 ? 4 : item;
    for (std::size_t i = 0; i < bytes; i += word) std::reverse(a.data.data() + i, a.data.data() + i + word);
  }
  if (header.fortran_order && a.shape.rank() > 1)
    a.data = in_memory(stream.name(), [&] { return from_fortran(a.data, a.shape, item); });
  return a;
}

/// The bytes of an `.npy` file, version 1.0, C order, data aligned to 64 bytes as NumPy does.
template <class T>
std::vector<std::byte> npy_bytes(const Extents& extents, std::span<const T> values) {
  if (values.size() != extents.size())
    SPIQ_THROW("npy array of extents " + to_string(extents), std::to_string(extents.size()) + " values",
               std::to_string(values.size()));
  const std::string text = npy_header_text(npy_type_of<T>(), extents);
  std::vector<std::byte> out(text.size() + values.size_bytes());
  std::memcpy(out.data(), text.data(), text.size());
  if (!values.empty()) std::memcpy(out.data() + text.size(), values.data(), values.size_bytes());
  return out;
}

}  // namespace io

/// Reads an `.npy` file: C and Fortran order, either byte order, up to six extents. Throws spiq::Error naming file,
/// offset, expected and found on anything else: another magic, a truncated or longer file, unknown element types.
inline NpyArray read_npy(const io::Path& path) {
  const io::File file(path);
  io::ByteStream stream(file, file.name(), 0, file.size(), io::Coding::stored);
  NpyArray a = io::read_npy(stream);
  stream.expect_end();
  return a;
}

/// Writes an `.npy` file atomically.
template <class T>
void write_npy(const io::Path& path, const Extents& extents, std::span<const T> values) {
  io::write_file(path, io::npy_bytes(extents, values));
}
template <class T>
void write_npy(const io::Path& path, const Tensor<T>& tensor) {
  write_npy(path, tensor.extents(), tensor.span());
}

SPIQ_END_NAMESPACE
