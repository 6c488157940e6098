/// @file
/// Numbers as text, independent of the locale.
#pragma once

#include <spiq/core/abi.hpp>

#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

SPIQ_BEGIN_NAMESPACE

namespace report {

/// `value` with `decimals` digits after the point ("99.21"); "nan", "inf" or "-inf" where it is not finite.
inline std::string fixed(double value, int decimals) {
  if (!std::isfinite(value)) return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
  char text[400];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value, std::chars_format::fixed, decimals);
  return error == std::errc{} ? std::string(text, end) : std::string("?");
}

/// Shortest decimal that reads back as the same double; integers without a point.
inline std::string shortest(double value) {
  if (!std::isfinite(value)) return fixed(value, 0);
  char text[64];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value);
  return error == std::errc{} ? std::string(text, end) : std::string("?");
}

/// Three significant digits and a unit prefix: 1234567 -> "1.23 M", 950 -> "950", 0 -> "0".
inline std::string engineering(double value) {
  if (!std::isfinite(value)) return fixed(value, 0);
  static constexpr std::string_view prefixes[] = {"", " k", " M", " G", " T", " P"};
  double magnitude = std::fabs(value);
  std::size_t i = 0;
  while (magnitude >= 999.5 && i + 1 < std::size(prefixes)) {
    magnitude /= 1000;
    value /= 1000;
    ++i;
  }
  const bool whole = i == 0 && value == std::floor(value);
  const int decimals = whole || magnitude >= 99.95 ? 0 : magnitude >= 9.995 ? 1 : 2;
  return fixed(value, decimals).append(prefixes[i]);
}

/// "1:07" (minutes and seconds) or "2:03:09" with hours; "-:--" where it is not known.
inline std::string duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 3.6e7) return "-:--";
  const auto total = static_cast<std::uint64_t>(seconds + 0.5);
  const auto two = [](std::uint64_t n) { return (n < 10 ? "0" : "") + std::to_string(n); };
  const std::uint64_t hours = total / 3600;
  const std::uint64_t minutes = total / 60 % 60;
  return (hours != 0 ? std::to_string(hours) + ":" + two(minutes) : std::to_string(minutes)) + ":" + two(total % 60);
}

}  // namespace report

SPIQ_END_NAMESPACE
