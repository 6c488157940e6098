// What the command lines of the examples share: numbers that are numbers, outputs tried before the work.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/io/file.hpp>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

// CLI11's ranges let "nan" pass: it is neither below nor above.
inline std::string not_nan(const std::string& text) {
  return std::isnan(std::strtod(text.c_str(), nullptr)) ? "Value " + text + " is not a number" : std::string();
}

// Throws unless `path`, the value of `option`, can be written to; nothing for an empty one. `in_place`: written to as it
// is, so that a device or a pipe may stand there; else replaced by a new file.
inline void expect_output(const std::string& option, const std::string& path, bool in_place) {
  if (path.empty()) return;
  std::error_code ignored;
  const auto status = std::filesystem::status(path, ignored);
  if (in_place && std::filesystem::is_other(status)) return;
  if (in_place && std::filesystem::is_regular_file(status)) {
    std::FILE* const file = std::fopen(path.c_str(), "r+b");
    if (file == nullptr) throw spiq::Error(option + ": '" + path + "': expected a file that can be written to, found another");
    std::fclose(file);
    return;
  }
  spiq::io::naming(option, [&] { spiq::io::expect_writable(path); });
}

// Makes the folder `out` of --out and tries the pictures in it.
template <class Pictures>
void expect_pictures(const std::string& out, const Pictures& pictures) {
  std::error_code failed;
  std::filesystem::create_directories(out, failed);
  if (failed || !std::filesystem::is_directory(out, failed))
    throw spiq::Error("--out '" + out + "': expected a folder, found " +
                      (failed ? failed.message() : std::string("something else")));
  for (const char* picture : pictures) expect_output("--out", (std::filesystem::path(out) / picture).string(), true);
}
