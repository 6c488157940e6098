// Golden vectors: what one case of a `manifest.json` holds, how its arrays are compared, what running it yields.
// `golden_check.cpp` loads the cases; one header per group (`golden_<group>.hpp`) runs them through the library.
#pragma once

#include <spiq/core/tensor.hpp>
#include <spiq/io/file.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace golden {

enum class Verdict { passed, skipped, failed };

/// What running a case, or a part of one, yields. Default: passed.
struct Result {
  Verdict verdict = Verdict::passed;
  std::string message;

  static Result pass() { return {}; }
  static Result fail(std::string why) { return {Verdict::failed, std::move(why)}; }
  static Result skip(std::string why) { return {Verdict::skipped, std::move(why)}; }

  [[nodiscard]] bool passed() const { return verdict == Verdict::passed; }
  /// Adds another part: the worse verdict wins, messages of that verdict are joined.
  Result& merge(const Result& part) {
    if (part.verdict > verdict) {
      *this = part;
    } else if (part.verdict == verdict && !part.message.empty()) {
      message += (message.empty() ? "" : "; ") + part.message;
    }
    return *this;
  }
};

/// The text of a file of the vectors; a pipe or a device is refused, not waited for.
inline std::string read_text(const std::filesystem::path& path) {
  const spiq::io::File file(path);
  std::string text(static_cast<std::size_t>(file.size()), '\0');
  file.read(0, std::as_writable_bytes(std::span(text)), "text");
  return text;
}

/// A number of a file as int; throws where it is none.
inline int to_int(const std::string& what, double value) {
  if (!(value >= std::numeric_limits<int>::min() && value <= std::numeric_limits<int>::max()) || value != std::trunc(value))
    spiq::raise(what, "a whole number of 32 bits", std::to_string(value));
  return static_cast<int>(value);
}

/// An array of a case as doubles in C order (every dtype of the format but large 64-bit integers fits exactly).
struct Array {
  std::string dtype;  ///< numpy name without byte order: "f8", "f4", "u1", "i8" ...
  std::vector<std::size_t> shape;
  std::vector<double> values;

  [[nodiscard]] std::size_t size() const { return values.size(); }
  /// Extent i; throws when the array has fewer.
  [[nodiscard]] std::size_t extent(std::size_t i) const { return shape.at(i); }
  [[nodiscard]] bool is_integer() const { return !dtype.empty() && dtype[0] != 'f' && dtype[0] != 'c'; }
  [[nodiscard]] std::vector<float> floats() const {
    std::vector<float> f(values.size());
    std::transform(values.begin(), values.end(), f.begin(), [](double v) { return static_cast<float>(v); });
    return f;
  }
  [[nodiscard]] std::vector<int> ints() const {
    std::vector<int> f(values.size());
    std::transform(values.begin(), values.end(), f.begin(), [](double v) { return to_int("element", v); });
    return f;
  }
  [[nodiscard]] spiq::Tensor<float> tensor() const { return spiq::Tensor<float>(spiq::Extents::from(shape), floats()); }
};

/// One case of a manifest. Parameters: None and null are NaN, booleans 0 or 1.
struct Case {
  std::filesystem::path directory;  ///< where the manifest is
  std::filesystem::path file;       ///< the case's own file
  std::string group;
  std::string name;
  std::string source;
  std::string notes;
  std::map<std::string, std::vector<double>> params;
  std::map<std::string, std::string> strings;  ///< lists and objects stand here as JSON text
  std::map<std::string, Array> arrays;         ///< without `p_*` and `meta`
  std::map<std::string, double> f32_dev;
  std::vector<std::filesystem::path> companions;

  [[nodiscard]] bool has(const std::string& array) const { return arrays.count(array) != 0; }
  [[nodiscard]] bool has_param(const std::string& key) const { return params.count(key) != 0; }

  /// Array of that name; throws spiq::Error naming the case where there is none.
  [[nodiscard]] const Array& array(const std::string& key) const {
    const auto found = arrays.find(key);
    if (found == arrays.end()) spiq::raise("case " + name, "an array \"" + key + "\"", "none");
    return found->second;
  }
  /// Array of that name with `rank` extents, each at least 1 and an int; throws where it is another. Vectors come from
  /// files: operators index by these extents, so they are checked before anything is computed.
  [[nodiscard]] const Array& array(const std::string& key, std::size_t rank) const {
    const Array& a = array(key);
    bool good = a.shape.size() == rank;
    std::size_t count = 1;
    for (const std::size_t e : a.shape) {
      good = good && e > 0 && e <= static_cast<std::size_t>(std::numeric_limits<int>::max());
      if (good && count > a.size() / e) good = false;
      if (good) count *= e;
    }
    if (!good || count != a.size())
      spiq::raise("case " + name + ", array \"" + key + "\"", std::to_string(rank) + " positive extents", text(a.shape));
    return a;
  }
  /// Throws unless the array has exactly these extents.
  const Array& expect(const std::string& key, const std::vector<std::size_t>& shape) const {
    const Array& a = array(key, shape.size());
    if (a.shape != shape) spiq::raise("case " + name + ", array \"" + key + "\"", "extents " + text(shape), text(a.shape));
    return a;
  }
  /// Scalar parameter; throws where there is none.
  [[nodiscard]] double param(const std::string& key) const {
    const auto found = params.find(key);
    if (found == params.end() || found->second.size() != 1)
      spiq::raise("case " + name, "a scalar parameter \"" + key + "\"", found == params.end() ? "none" : "a list");
    return found->second[0];
  }
  [[nodiscard]] double param(const std::string& key, double otherwise) const {
    return has_param(key) ? param(key) : otherwise;
  }
  [[nodiscard]] int int_param(const std::string& key) const {
    return to_int("case " + name + ", parameter \"" + key + "\"", param(key));
  }
  [[nodiscard]] int int_param(const std::string& key, int otherwise) const {
    return has_param(key) ? int_param(key) : otherwise;
  }
  /// Text of that name, empty where there is none.
  [[nodiscard]] std::string string(const std::string& key) const {
    const auto found = strings.find(key);
    return found == strings.end() ? std::string() : found->second;
  }

  /// Largest accepted |found - expected| of array `key` for a float32 implementation: 8 f32_dev + 1e-6 max(1, max|e|).
  /// An array without a measured f32_dev (gradients) takes the largest one of its case.
  [[nodiscard]] double tolerance(const std::string& key) const {
    double dev = 0;
    const auto own = f32_dev.find(key);
    if (own != f32_dev.end()) {
      dev = own->second;
    } else {
      for (const auto& entry : f32_dev) dev = std::max(dev, entry.second);
    }
    double scale = 1;
    for (double e : array(key).values)
      if (std::isfinite(e)) scale = std::max(scale, std::abs(e));
    return 8 * dev + 1e-6 * scale;
  }

  /// Compares results of float32 code: integer arrays (spikes, counts, codes) exactly, others within tolerance(key).
  [[nodiscard]] Result compare(const std::string& key, std::span<const float> found) const {
    const double limit = array(key).is_integer() ? 0 : tolerance(key);
    return compare_within(key, found, limit, 0);
  }
  [[nodiscard]] Result compare(const std::string& key, const spiq::Tensor<float>& found) const {
    return compare(key, found.span());
  }
  /// Exact equality, for spikes, counts and codes in any arithmetic type.
  template <class T>
  [[nodiscard]] Result compare_exact(const std::string& key, std::span<const T> found) const {
    return compare_within(key, found, 0, 0);
  }
  /// Compares results of double code: |found - expected| <= absolute + relative |expected|, element by element.
  [[nodiscard]] Result compare_double(const std::string& key, std::span<const double> found, double absolute = 1e-9,
                                      double relative = 1e-9) const {
    return compare_within(key, found, absolute, relative);
  }

  template <class T>
  [[nodiscard]] Result compare_within(const std::string& key, std::span<const T> found, double absolute,
                                      double relative) const {
    const Array& expected = array(key);
    if (found.size() != expected.size())
      return Result::fail(key + ": expected " + std::to_string(expected.size()) + " values, found " +
                          std::to_string(found.size()));
    std::size_t wrong = 0, worst = 0;
    double worst_excess = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      const double e = expected.values[i], f = static_cast<double>(found[i]);
      if (std::isnan(e) ? std::isnan(f) : e == f) continue;
      double excess = std::abs(f - e) - (absolute + relative * std::abs(e));
      if (excess <= 0) continue;
      if (std::isnan(excess)) excess = std::numeric_limits<double>::infinity();
      if (wrong++ == 0 || excess > worst_excess) {
        worst = i;
        worst_excess = excess;
      }
    }
    if (wrong == 0) return Result::pass();
    char text[256];
    std::snprintf(text, sizeof text, ": %zu of %zu differ; worst at %zu%s: expected %.9g, found %.9g, accepted +-%.3g",
                  wrong, found.size(), worst, position(expected.shape, worst).c_str(), expected.values[worst],
                  static_cast<double>(found[worst]), absolute + relative * std::abs(expected.values[worst]));
    return Result::fail(key + text);
  }

private:
  /// "(2, 3)".
  static std::string text(const std::vector<std::size_t>& shape) {
    std::string all;
    for (const std::size_t e : shape) all += (all.empty() ? "" : ", ") + std::to_string(e);
    return "(" + all + ")";
  }
  /// " (1, 0, 3)" for a flat index.
  static std::string position(const std::vector<std::size_t>& shape, std::size_t flat) {
    if (shape.size() < 2) return "";
    std::string text;
    for (std::size_t i = shape.size(); i-- > 0; flat /= shape[i])
      text = std::to_string(flat % shape[i]) + (text.empty() ? "" : ", " + text);
    return " (" + text + ")";
  }
};

}  // namespace golden
