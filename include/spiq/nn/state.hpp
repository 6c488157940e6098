/// @file
/// A network's numbers as named arrays: what files hold, what checkpoints restore.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/tensor.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// An array with a name: weights and moments are floats, counters integers, histories doubles.
struct NamedArray {
  using Values = std::variant<std::vector<float>, std::vector<double>, std::vector<std::int64_t>>;
  std::string name;
  Extents extents;
  Values values;

  [[nodiscard]] std::size_t size() const {
    return std::visit([](const auto& v) { return v.size(); }, values);
  }
};
using NamedArrays = std::vector<NamedArray>;

/// Everything that defines a network's function, in a fixed order: "3.weight", "4.running_mean", "5.levels" ...
template <class Net>
NamedArrays export_state(const Net& net) {
  NamedArrays arrays;
  struct {
    NamedArrays& out;
    void operator()(const std::string& name, std::span<const float> values, const Extents& extents) const {
      out.push_back({name, extents, std::vector<float>(values.begin(), values.end())});
    }
    void operator()(const std::string& name, const int& value) const {
      out.push_back({name, Extents{}, std::vector<std::int64_t>{value}});
    }
  } visitor{arrays};
  net.state(visitor);
  return arrays;
}

namespace nn {

/// Finds arrays by name and checks what it finds; errors name the array, the expected and the found.
class ArrayIndex {
public:
  explicit ArrayIndex(const NamedArrays& arrays) {
    for (const NamedArray& a : arrays) index_.emplace(a.name, &a);
  }

  [[nodiscard]] bool contains(const std::string& name) const { return index_.count(name) != 0; }
  [[nodiscard]] const NamedArray& get(const std::string& name) const {
    const auto found = index_.find(name);
    if (found == index_.end())
      SPIQ_THROW("array \"" + name + "\"", "an array of that name", index_.empty() ? "no array at all" : listing());
    return *found->second;
  }
  /// The array's values as floats.
  [[nodiscard]] std::vector<float> floats(const std::string& name, const Extents& extents) const {
    const NamedArray& a = get(name);
    if (!(a.extents == extents) || a.size() != extents.size())
      SPIQ_THROW("array \"" + name + "\"", "extents " + to_string(extents), to_string(a.extents));
    std::vector<float> out(a.size());
    std::visit([&](const auto& v) {
      std::transform(v.begin(), v.end(), out.begin(), [](auto x) { return static_cast<float>(x); });
    }, a.values);
    return out;
  }
  /// The one integer in the array.
  [[nodiscard]] std::int64_t integer(const std::string& name) const {
    const NamedArray& a = get(name);
    if (a.size() != 1) SPIQ_THROW("array \"" + name + "\"", "one number", std::to_string(a.size()));
    return std::visit([&](const auto& v) {
      const auto x = v[0];
      if constexpr (std::is_floating_point_v<std::remove_const_t<decltype(x)>>) {
        if (!(std::abs(x) < 9e15) || x != std::floor(x))
          SPIQ_THROW("array \"" + name + "\"", "a whole number", std::to_string(x));
      }
      return static_cast<std::int64_t>(x);
    }, a.values);
  }
  [[nodiscard]] std::vector<double> doubles(const std::string& name) const {
    const NamedArray& a = get(name);
    std::vector<double> out(a.size());
    std::visit([&](const auto& v) {
      std::transform(v.begin(), v.end(), out.begin(), [](auto x) { return static_cast<double>(x); });
    }, a.values);
    return out;
  }

private:
  [[nodiscard]] std::string listing() const {
    std::string text;
    for (const auto& [name, array] : index_) {
      if (text.size() > 160) return text + ", ...";
      text += (text.empty() ? "" : ", ") + name;
    }
    return text;
  }
  std::map<std::string, const NamedArray*> index_;
};

}  // namespace nn

namespace nn {
/// Throws unless `arrays` hold every number of the network with the right extents and in its range.
template <class Net>
void check_state(const Net& net, const NamedArrays& arrays) {
  const ArrayIndex index(arrays);
  struct Check {
    const ArrayIndex& index;
    void operator()(const std::string& name, std::span<const float>, const Extents& extents) const {
      const std::vector<float> values = index.floats(name, extents);
      const bool positive = name.ends_with(".lambda") || name == "normalization.std";
      const bool variance = name.ends_with(".running_var");
      for (const float v : values)
        if (!std::isfinite(v) || (positive && v <= 0.0f) || (variance && v < 0.0f))
          SPIQ_THROW("array \"" + name + "\"",
                     positive ? "positive finite values" : (variance ? "finite values >= 0" : "finite values"),
                     std::to_string(v));
    }
    void operator()(const std::string& name, const int&) const {
      const std::int64_t v = index.integer(name);
      if (v < 1 || v > 255) SPIQ_THROW("array \"" + name + "\"", "a number in [1, 255]", std::to_string(v));
    }
  };
  net.state(Check{index});
}
}  // namespace nn

/// Sets a network from named arrays. Everything is checked first: on a missing name, wrong extents or a value out of
/// range it throws and the network is unchanged. Arrays that the network does not know are passed over.
template <class Net>
void import_state(Net& net, const NamedArrays& arrays) {
  nn::check_state(std::as_const(net), arrays);
  const nn::ArrayIndex index(arrays);
  struct Assign {
    const nn::ArrayIndex& index;
    void operator()(const std::string& name, std::span<float> values, const Extents& extents) const {
      const std::vector<float> from = index.floats(name, extents);
      std::copy(from.begin(), from.end(), values.begin());
    }
    void operator()(const std::string& name, int& value) const { value = static_cast<int>(index.integer(name)); }
  };
  net.state(Assign{index});
  net.set_calibrated();
}

SPIQ_END_NAMESPACE
