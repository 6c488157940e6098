/// @file
/// The reproducibility card: what one needs to know to repeat a run.
#pragma once

#include <spiq/core/parallel.hpp>
#include <spiq/report/json.hpp>
#include <spiq/simd/arch.hpp>
#include <spiq/version.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace report {

/// Name and version of the compiler of this unit: "g++ 12.2.0", "clang++ 16.0.6".
inline std::string compiler_name() {
#if defined(__clang__)
  return "clang++ " + std::to_string(__clang_major__) + "." + std::to_string(__clang_minor__) + "." +
         std::to_string(__clang_patchlevel__);
#elif defined(__GNUC__)
  return "g++ " + std::to_string(__GNUC__) + "." + std::to_string(__GNUC_MINOR__) + "." +
         std::to_string(__GNUC_PATCHLEVEL__);
#elif defined(_MSC_VER)
  return "msvc " + std::to_string(_MSC_VER);
#else
  return "unknown";
#endif
}

#define SPIQ_REPORT_TEXT_(x) #x
#define SPIQ_REPORT_TEXT(x) SPIQ_REPORT_TEXT_(x)
/// The inline namespace of this unit, which names its instruction set and configuration: "abi1_avx512_omp".
inline std::string abi_name() { return SPIQ_REPORT_TEXT(SPIQ_ABI); }
#undef SPIQ_REPORT_TEXT
#undef SPIQ_REPORT_TEXT_

/// Everything that decides the result of a run. Same card, same binary: same numbers.
struct Card {
  std::uint64_t seed = 0;
  int threads = max_threads();
  std::string isa = simd::best::name;       ///< architecture that `simd::best` stands for in this unit
  std::string abi = abi_name();
  std::string compiler = compiler_name();
  std::string data{};                       ///< name of the data set and what was read of it
  std::string checksum{};                   ///< of the data as read
  std::string validation{};                 ///< how the validation split was drawn
  std::vector<std::pair<std::string, std::string>> more{};  ///< further lines: options, recipe

  /// The card's lines as (name, value), in print order.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> lines() const {
    std::vector<std::pair<std::string, std::string>> out = {
        {"spiq", SPIQ_VERSION_STRING}, {"seed", std::to_string(seed)}, {"threads", std::to_string(threads)},
        {"isa", isa},             {"abi", abi},                   {"compiler", compiler},
        {"data", data},           {"checksum", checksum},         {"validation", validation}};
    out.insert(out.end(), more.begin(), more.end());
    return out;
  }
};

/// Prints one line per entry, names aligned.
inline std::ostream& operator<<(std::ostream& out, const Card& card) {
  const auto lines = card.lines();
  std::size_t width = 0;
  for (const auto& [name, value] : lines) width = std::max(width, name.size());
  out << "reproducibility card\n";
  for (const auto& [name, value] : lines)
    out << "  " << name << std::string(width + 2 - name.size(), ' ') << value << '\n';
  return out;
}

/// Writes the card as a JSON object; seed and threads as numbers, the rest as strings.
inline void write(JsonWriter& json, const Card& card) {
  json.begin_object();
  for (const auto& [name, value] : card.lines()) {
    if (name == "seed") json.field(name, card.seed);
    else if (name == "threads") json.field(name, card.threads);
    else json.field(name, value);
  }
  json.end();
}

}  // namespace report

SPIQ_END_NAMESPACE
