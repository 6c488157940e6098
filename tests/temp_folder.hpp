// A folder that lives as long as a test, and files of given bytes in it.
#pragma once

#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <span>
#include <string>
#include <system_error>
#include <vector>

namespace spiq_test {

using Bytes = std::vector<std::byte>;

inline Bytes bytes_of(const std::string& text) {
  const auto view = std::as_bytes(std::span(text));
  return {view.begin(), view.end()};
}

class TempFolder {
public:
  TempFolder() {
    std::random_device seed;
    do {
      path_ = std::filesystem::temp_directory_path() / ("spiq_test_" + std::to_string(seed()));
    } while (!std::filesystem::create_directory(path_));
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

  /// Writes (or replaces) a file and returns its path.
  std::filesystem::path write(const std::string& name, std::span<const std::byte> bytes) const {
    std::filesystem::path file = path_ / name;
    std::error_code ignored;
    std::filesystem::remove(file, ignored);  // truncating a file makes some file systems flush it: slow
    std::ofstream out(file, std::ios::binary | std::ios::trunc);
    out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return file;
  }
  std::filesystem::path write(const std::string& name, const std::string& text) const {
    return write(name, std::as_bytes(std::span(text)));
  }

private:
  std::filesystem::path path_;
};

inline Bytes read_bytes(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return bytes_of(std::string(std::istreambuf_iterator<char>(in), {}));
}

}  // namespace spiq_test
