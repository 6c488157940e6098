/// @file
/// Sizes that do not wrap round: what is too large for std::size_t becomes its largest value, which no array has.
#pragma once

#include <spiq/core/error.hpp>

#include <cstddef>
#include <limits>
#include <string>
#include <string_view>

SPIQ_BEGIN_NAMESPACE

/// a + b, or the largest size where that does not fit.
[[nodiscard]] constexpr std::size_t saturating_sum(std::size_t a, std::size_t b) noexcept {
  constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();
  return a > largest - b ? largest : a + b;
}

/// a * b, or the largest size where that does not fit.
[[nodiscard]] constexpr std::size_t saturating_product(std::size_t a, std::size_t b) noexcept {
  using limits = std::numeric_limits<std::size_t>;
  if ((a | b) >> limits::digits / 2 == 0) return a * b;  // the common case, without a division
  return b != 0 && a > limits::max() / b ? limits::max() : a * b;
}

/// Elements that `count` rows of `length` take, each `stride` after the one before: (count - 1) * stride + length, and
/// none where there is no row or nothing in it; the largest size where that does not fit.
[[nodiscard]] constexpr std::size_t strided_extent(std::size_t count, std::size_t stride, std::size_t length) noexcept {
  return count == 0 || length == 0 ? 0 : saturating_sum(saturating_product(count - 1, stride), length);
}

/// Throws unless `found` values are rows * columns, which may be more than can be counted.
inline void expect_values(std::string_view where, std::size_t found, std::size_t rows, std::size_t columns) {
  if (found != saturating_product(rows, columns))
    SPIQ_THROW(where, std::to_string(rows) + " * " + std::to_string(columns) + " values", std::to_string(found));
}

SPIQ_END_NAMESPACE
