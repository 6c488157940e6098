/// @file
/// Files as byte ranges: random access with every range checked, and whole files written atomically.
#pragma once

#include <spiq/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

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

/// Calls `f`; memory that it asks for in vain becomes an Error. What files promise may be honest and still larger than
/// the machine.
template <class F>
decltype(auto) in_memory(const std::string& where, F&& f) {
#if defined(__cpp_exceptions)
  try {
    return std::forward<F>(f)();
  } catch (const std::bad_alloc&) {
    SPIQ_THROW(where, "as much memory as the data need", "less");
  } catch (const std::length_error&) {  // what containers throw beyond their largest size
    SPIQ_THROW(where, "as much memory as the data need", "less");
  }
#else
  return std::forward<F>(f)();
#endif
}

/// Calls `f`; an Error that comes out of it gets "`where`: " in front.
template <class F>
decltype(auto) naming(const std::string& where, F&& f) {
#if defined(__cpp_exceptions)
  try {
    return std::forward<F>(f)();
  } catch (const Error& e) {
    SPIQ_THROW(where + ": " + e.what());
  }
#else
  return std::forward<F>(f)();
#endif
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
    if (status.type() == std::filesystem::file_type::none)  // a loop of links, a name too long, a folder without access
      SPIQ_THROW(name_, "a file", "a path that leads nowhere (" + failed.message() + ")");
    if (!std::filesystem::is_regular_file(status))
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

/// Where a write to `path` goes: behind symbolic links, so that their target is replaced and not the link. Throws where
/// that is neither a regular file nor free: a device or a pipe must not become a file.
inline Path write_target(const Path& path) {
  const std::string name = "'" + path.string() + "'";
  Path target = path;
  std::error_code failed;
  for (int links = 0; std::filesystem::symlink_status(target, failed).type() == std::filesystem::file_type::symlink; ++links) {
    const Path next = std::filesystem::read_symlink(target, failed);
    if (failed || links == 40) SPIQ_THROW(name, "a link that leads somewhere", failed ? failed.message() : "a loop");
    target = next.is_absolute() ? next : target.parent_path() / next;
  }
  const auto type = std::filesystem::symlink_status(target, failed).type();
  if (type == std::filesystem::file_type::none) SPIQ_THROW(name, "a path that can be written to", failed.message());
  if (type != std::filesystem::file_type::regular && type != std::filesystem::file_type::not_found)
    SPIQ_THROW(name, "a regular file, or nothing of that name",
               type == std::filesystem::file_type::directory ? "a folder" : "a device, a pipe or the like");
  return target;
}

/// A new file beside `target`, opened for writing; its path goes to `temporary`.
inline std::FILE* open_temporary(const Path& target, Path& temporary) {
  std::FILE* f = nullptr;
  for (int attempt = 0; attempt < 100 && f == nullptr; ++attempt) {
    temporary = target;
    temporary += ".part" + std::to_string(attempt);
    f = std::fopen(temporary.string().c_str(), "wbx");  // x: never the temporary file of another writer
  }
  if (f == nullptr) SPIQ_THROW("'" + target.string() + "'", "a folder that can be written to", "none");
  return f;
}

/// Throws what `write_file(path, ...)` would throw before it writes: for programs that work for hours first.
inline void expect_writable(const Path& path) {
  Path temporary;
  std::fclose(open_temporary(write_target(path), temporary));
  std::error_code ignored;
  std::filesystem::remove(temporary, ignored);
}

/// Writes `bytes` to a temporary file beside `path` and renames it: readers see the old file or the new one, never a
/// part. A symbolic link stays, its target is replaced. Throws, with the old file untouched, where the disk refuses and
/// where `path` is something other than a file.
inline void write_file(const Path& path, std::span<const std::byte> bytes) {
  const Path target = write_target(path);
  Path temporary;
  std::FILE* const f = open_temporary(target, temporary);
  bool ok = bytes.empty() || std::fwrite(bytes.data(), 1, bytes.size(), f) == bytes.size();
  ok = std::fflush(f) == 0 && ok;
#if defined(__unix__)
  ok = ok && ::fsync(::fileno(f)) == 0;
#endif
  ok = std::fclose(f) == 0 && ok;
  std::error_code failed;
  if (ok) std::filesystem::rename(temporary, target, failed);
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
