// The largest of many errors, for tests: NaN counts as infinite, where std::max would drop it.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>

namespace spiq_test {

inline constexpr double infinite = std::numeric_limits<double>::infinity();

/// Smallest and largest of the values added.
struct Extremes {
  double low = infinite, high = -infinite;
  void add(double value) {
    low = std::isnan(value) ? -infinite : std::min(low, value);
    high = std::isnan(value) ? infinite : std::max(high, value);
  }
};

/// Largest of the values added, at least 0.
class Worst {
public:
  void add(double value) { errors_.add(value); }
  [[nodiscard]] double value() const { return std::max(errors_.high, 0.0); }

private:
  Extremes errors_;
};

}  // namespace spiq_test
