/// @file
/// Files as byte ranges: random access with every range checked, and whole files written atomically.
#pragma once

#include <spiq/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#if defined(__unix__)
#include <unistd.h>
#endif

SPIQ_BEGIN_NAMESPACE

namespace io {

using Path = std::filesystem::path;

/// Throws "`file`, offset `offset`: expected ..., found ...". Every complaint about the content of a file has this
/// form.
[[noreturn]] inline void bad_file(std::string_view file, std::uint64_t offset, std::string_view expected,
                                  std::string_view found) {
  SPIQ_THROW(std::string(file) + ", offset " + std::to_string(offset), expected, found);
}

/// "0x00000803".
inline std::string hex32(std::uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", static_cast<unsigned>(value));
  return text;
}

/// A regular file opened for reading. The size is taken once; all reads are checked against it before they happen.
class File {
public:
  /// Throws where the path is not a readable regular file (a folder, a pipe and a device are refused).
  explicit File(const Path& path) : name_("'" + path.string() + "'") {
    std::error_code failed;
    const auto status = std::filesystem::status(path, failed);
    if (failed || !std::filesystem::is_regular_file(status))
      SPIQ_THROW(name_, "a file", std::filesystem::exists(status) ? "something else" : "nothing of that name");
    size_ = std::filesystem::file_size(path, failed);
    if (!failed) handle_.reset(std::fopen(path.string().c_str(), "rb"));
    if (handle_ == nullptr) SPIQ_THROW(name_, "a readable file", "one that cannot be opened");
  }

  /// The path in quotes, as messages show it.
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::uint64_t size() const { return size_; }

  /// Fills `out` from `offset`; throws, naming what was wanted, where the file is too short.
  void read(std::uint64_t offset, std::span<std::byte> out, std::string_view what) const {
    if (offset > size_ || out.size() > size_ - offset)
      bad_file(name_, offset, std::to_string(out.size()) + " bytes of " + std::string(what),
               std::to_string(offset > size_ ? 0 : size_ - offset) + " before the end of the file");
    if (out.empty()) return;
    if (std::fseek(handle_.get(), static_cast<long>(offset), SEEK_SET) != 0 ||
        std::fread(out.data(), 1, out.size(), handle_.get()) != out.size())
      bad_file(name_, offset, std::to_string(out.size()) + " bytes of " + std::string(what), "a read error");
  }

private:
  struct Close {
    void operator()(std::FILE* f) const noexcept { std::fclose(f); }
  };
  std::string name_;
  std::uint64_t size_ = 0;
  std::unique_ptr<std::FILE, Close> handle_;
};

/// Writes `bytes` to a temporary file beside `path` and renames it: readers see the old file or the new one, never a
/// part. Throws, with the old file untouched, where the disk refuses.
inline void write_file(const Path& path, std::span<const std::byte> bytes) {
  Path temporary;
  std::FILE* f = nullptr;
  for (int attempt = 0; attempt < 100 && f == nullptr; ++attempt) {
    temporary = path;
    temporary += ".part" + std::to_string(attempt);
    f = std::fopen(temporary.string().c_str(), "wbx");  // x: never the temporary file of another writer
  }
  if (f == nullptr) SPIQ_THROW("'" + path.string() + "'", "a folder that can be written to", "none");
  bool ok = bytes.empty() || std::fwrite(bytes.data(), 1, bytes.size(), f) == bytes.size();
  ok = std::fflush(f) == 0 && ok;
#if defined(__unix__)
  ok = ok && ::fsync(::fileno(f)) == 0;
#endif
  ok = std::fclose(f) == 0 && ok;
  std::error_code failed;
  if (ok) std::filesystem::rename(temporary, path, failed);
  if (!ok || failed) {
    std::error_code ignored;
    std::filesystem::remove(temporary, ignored);
    SPIQ_THROW("'" + path.string() + "'", "to write " + std::to_string(bytes.size()) + " bytes",
               failed ? failed.message() : std::string("a write error"));
  }
}

/// Unsigned integer of `bytes.size()` bytes, least significant first.
inline std::uint64_t little_endian(std::span<const std::byte> bytes) {
  std::uint64_t v = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) v = v << 8 | std::to_integer<std::uint64_t>(bytes[i]);
  return v;
}

/// Unsigned integer of `bytes.size()` bytes, most significant first.
inline std::uint64_t big_endian(std::span<const std::byte> bytes) {
  std::uint64_t v = 0;
  for (const std::byte b : bytes) v = v << 8 | std::to_integer<std::uint64_t>(b);
  return v;
}

}  // namespace io

SPIQ_END_NAMESPACE
