/// @file
/// NumPy's `.npz` archives: named `.npy` arrays in a zip, stored or deflated, in and out.
#pragma once

#include <spiq/core/tensor.hpp>
#include <spiq/io/npy.hpp>
#include <spiq/io/zip.hpp>

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace io {

/// "w.npy" -> "w"; other names stay.
inline std::string npz_key(std::string_view member) {
  if (member.ends_with(".npy")) member.remove_suffix(4);
  return std::string(member);
}

}  // namespace io

/// The arrays of an `.npz` file in memory, by name without ".npy".
class NpzFile {
public:
  NpzFile() = default;
  NpzFile(std::string source, std::map<std::string, NpyArray> arrays)
      : source_(std::move(source)), arrays_(std::move(arrays)) {}

  [[nodiscard]] bool contains(const std::string& name) const { return arrays_.count(name) != 0; }
  /// The array of that name; throws, listing those that exist, where there is none.
  [[nodiscard]] const NpyArray& operator[](const std::string& name) const {
    const auto found = arrays_.find(name);
    if (found == arrays_.end()) {
      std::string all;
      for (const auto& entry : arrays_) {
        if (all.size() > 200) {
          all += ", ...";
          break;
        }
        all += (all.empty() ? "" : ", ") + entry.first;
      }
      SPIQ_THROW(source_, "an array \"" + name + "\"", all.empty() ? "no array at all" : all);
    }
    return found->second;
  }
  /// The array of that name as a tensor; what cannot be converted gives an Error that names file and array.
  template <class T>
  [[nodiscard]] Tensor<T> as(const std::string& name) const {
    const NpyArray& array = (*this)[name];
    const std::string where = source_ + ", array \"" + name + "\"";
    return io::naming(where, [&] { return io::in_memory("memory", [&] { return array.as<T>(); }); });
  }
  /// All names, sorted.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> list;
    list.reserve(arrays_.size());
    for (const auto& entry : arrays_) list.push_back(entry.first);
    return list;
  }
  [[nodiscard]] std::size_t size() const { return arrays_.size(); }
  /// The quoted path, as messages show it.
  [[nodiscard]] const std::string& source() const { return source_; }

private:
  std::string source_ = "npz";
  std::map<std::string, NpyArray> arrays_;
};

/// Reads every array of an `.npz` file. Members that are not `.npy` files are passed over. Throws spiq::Error naming
/// file, member, offset, expected and found on anything inconsistent, wrong checksums included.
inline NpzFile read_npz(const io::Path& path) {
  const io::ZipReader zip(path);
  std::map<std::string, NpyArray> arrays;
  for (const io::ZipEntry& e : zip.entries()) {
    if (!e.name.ends_with(".npy")) continue;
    zip.read(e, [&](io::ByteStream& stream) { arrays[io::npz_key(e.name)] = io::read_npy(stream); });
  }
  return NpzFile(zip.file().name(), std::move(arrays));
}

/// Collects named arrays and writes them as one `.npz` file.
class NpzWriter {
public:
  /// Adds an array of `extents` (C order). Throws on a name that is taken and where sizes disagree.
  template <class T>
  void add(const std::string& name, const Extents& extents, std::span<const T> values) {
    std::vector<std::byte> bytes = io::npy_bytes(extents, values);  // checked before the name is taken
    if (!members_.try_emplace(name, std::move(bytes)).second)
      SPIQ_THROW("npz array \"" + name + "\"", "a new name", "one that is taken");
  }
  template <class T>
  void add(const std::string& name, const Tensor<T>& tensor) {
    add(name, tensor.extents(), tensor.span());
  }
  /// Adds a vector.
  template <class T>
  void add(const std::string& name, std::span<const T> values) {
    add(name, Extents{values.size()}, values);
  }
  template <class T>
  void add(const std::string& name, const std::vector<T>& values) {
    add(name, std::span<const T>(values));
  }
  /// Adds a number as an array of rank 0.
  template <class T>
  requires std::is_arithmetic_v<T>
  void add(const std::string& name, T value) { add(name, Extents{}, std::span<const T>(&value, 1)); }

  /// Writes the file in one go (temporary file, then rename). Equal content gives equal bytes.
  void save(const io::Path& path, Compression compression = Compression::stored) const {
    io::ZipWriter zip;
    for (const auto& [name, bytes] : members_) zip.add(name + ".npy", bytes, compression);
    io::write_file(path, zip.bytes());
  }

private:
  std::map<std::string, std::vector<std::byte>> members_;
};

SPIQ_END_NAMESPACE
