/// @file
/// N:M sparse weights: in each group of M consecutive inputs at most N weights are not zero.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/storage.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// What becomes of inputs that fill no group of M.
enum class Remainder { refuse, pad };

/// Float weights of `outputs` over `inputs` in the pattern N:M along the inputs; with R > 1, R consecutive outputs
/// share one pattern (vector-wise N:M), which costs accuracy and saves the product most of its loads. Storage: N values
/// a group and output, and the place of each in its group in ceil(log2 M) bits, once for R outputs. A group with fewer
/// nonzeros holds zeros in its first free places.
template <int N, int M, int R = 1>
class NM {
  static_assert(N >= 1 && N <= M && M <= 256, "spiq: NM<N, M> takes 1 <= N <= M <= 256");
  static_assert(R >= 1 && R <= 16, "spiq: NM<N, M, R> shares a pattern among 1 to 16 outputs");

public:
  static constexpr std::size_t kept = static_cast<std::size_t>(N);
  static constexpr std::size_t group = static_cast<std::size_t>(M);
  static constexpr std::size_t shared = static_cast<std::size_t>(R);
  static constexpr std::size_t place_bits = static_cast<std::size_t>(std::bit_width(group - 1));

  NM() = default;
  /// From a dense matrix [outputs][inputs]. Throws where a group (of R outputs, together) has more than N places that
  /// are not zero, where a weight is not finite, on another size, and, unless `remainder` says to pad with zeros, where
  /// M does not divide the inputs.
  static NM pack(std::size_t outputs, std::size_t inputs, std::span<const float> dense,
                 Remainder remainder = Remainder::refuse) {
    check_size(outputs, inputs, dense.size());
    if (remainder == Remainder::refuse && inputs % group != 0)
      SPIQ_THROW("N:M weights", "inputs in groups of " + std::to_string(M), std::to_string(inputs));
    NM w;
    w.outputs_ = outputs;
    w.inputs_ = inputs;
    w.values_.resize(w.bundles() * shared * w.groups() * kept);
    w.places_.resize((w.bundles() * w.groups() * kept * place_bits + 7) / 8 + 1);
    for (std::size_t b = 0; b < w.bundles(); ++b)
      for (std::size_t g = 0; g < w.groups(); ++g) {
        std::array<bool, group> used{};
        std::size_t count = 0;
        each(outputs, inputs, b, g, [&](std::size_t n, std::size_t i) {
          const float v = dense[n * inputs + g * group + i];
          if (!std::isfinite(v)) SPIQ_THROW("N:M weights", "finite values", std::to_string(v));
          if (v != 0 && !used[i]) used[i] = true, ++count;
        });
        if (count > kept)
          SPIQ_THROW("N:M weights, output " + std::to_string(b * shared) + ", input " + std::to_string(g * group),
                     "at most " + std::to_string(N) + " of " + std::to_string(M), std::to_string(count));
        for (std::size_t i = 0; i < group && count < kept; ++i)
          if (!used[i]) used[i] = true, ++count;
        std::size_t slot = 0;
        for (std::size_t i = 0; i < group; ++i) {
          if (!used[i]) continue;
          w.set_place(b, g, slot, i);
          for (std::size_t r = 0; r < shared; ++r) {
            const std::size_t n = b * shared + r, k = g * group + i;
            w.values_[w.at(n, g, slot)] = n < outputs && k < inputs ? dense[n * inputs + k] : 0.0f;
          }
          ++slot;
        }
      }
    return w;
  }
  /// Writes the dense matrix [outputs][inputs]. Throws on another size.
  void unpack(std::span<float> dense) const {
    check_size(outputs_, inputs_, dense.size());
    std::fill(dense.begin(), dense.end(), 0.0f);
    for (std::size_t n = 0; n < outputs_; ++n)
      for (std::size_t g = 0; g < groups(); ++g)
        for (std::size_t i = 0; i < kept; ++i)
          if (const std::size_t k = g * group + place(n, g, i); k < inputs_) dense[n * inputs_ + k] = value(n, g, i);
  }
  /// Sets all but the N largest magnitudes of each group to zero (with R > 1: sums of magnitudes over the outputs that
  /// share it); of equal ones the first are kept. Throws on another size.
  static void prune(std::size_t outputs, std::size_t inputs, std::span<float> dense) {
    check_size(outputs, inputs, dense.size());
    const std::size_t bundles = (outputs + shared - 1) / shared, groups = (inputs + group - 1) / group;
    for (std::size_t b = 0; b < bundles; ++b)
      for (std::size_t g = 0; g < groups; ++g) {
        std::array<double, group> magnitude{};
        each(outputs, inputs, b, g, [&](std::size_t n, std::size_t i) {
          magnitude[i] += static_cast<double>(std::abs(dense[n * inputs + g * group + i]));
        });
        std::array<std::size_t, group> order;
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::stable_sort(order.begin(), order.end(),
                         [&](std::size_t x, std::size_t y) { return magnitude[x] > magnitude[y]; });
        std::array<bool, group> keep{};
        for (std::size_t i = 0; i < kept; ++i) keep[order[i]] = true;
        each(outputs, inputs, b, g, [&](std::size_t n, std::size_t i) {
          if (!keep[i]) dense[n * inputs + g * group + i] = 0;
        });
      }
  }

  [[nodiscard]] std::size_t outputs() const { return outputs_; }
  [[nodiscard]] std::size_t inputs() const { return inputs_; }
  [[nodiscard]] std::size_t groups() const { return (inputs_ + group - 1) / group; }
  /// Of outputs that share a pattern.
  [[nodiscard]] std::size_t bundles() const { return (outputs_ + shared - 1) / shared; }
  [[nodiscard]] std::size_t bytes() const { return values_.size() * sizeof(float) + places_.size(); }
  /// Value `i` of N in group g of output n, which may be one of the last bundle beyond `outputs()` (zeros).
  [[nodiscard]] float value(std::size_t n, std::size_t g, std::size_t i) const { return values_[at(n, g, i)]; }
  /// Its place in the group; ascending in i.
  [[nodiscard]] std::size_t place(std::size_t n, std::size_t g, std::size_t i) const {
    const std::size_t bit = ((n / shared * groups() + g) * kept + i) * place_bits;
    const std::uint32_t two = places_[bit / 8] | std::uint32_t{places_[bit / 8 + 1]} << 8;
    return two >> bit % 8 & ((1u << place_bits) - 1);
  }

private:
  static void check_size(std::size_t outputs, std::size_t inputs, std::size_t values) {
    if (values != outputs * inputs)
      SPIQ_THROW("N:M weights", std::to_string(outputs * inputs) + " values", std::to_string(values));
  }
  /// f(output, place) for what there is of bundle b, group g.
  template <class F>
  static void each(std::size_t outputs, std::size_t inputs, std::size_t b, std::size_t g, const F& f) {
    for (std::size_t n = b * shared; n < std::min(outputs, (b + 1) * shared); ++n)
      for (std::size_t i = 0; i < std::min(group, inputs - g * group); ++i) f(n, i);
  }
  [[nodiscard]] std::size_t at(std::size_t n, std::size_t g, std::size_t i) const {
    return (n * groups() + g) * kept + i;
  }
  void set_place(std::size_t bundle, std::size_t g, std::size_t i, std::size_t place) {
    const std::size_t bit = ((bundle * groups() + g) * kept + i) * place_bits;
    const std::size_t two = place << bit % 8;
    places_[bit / 8] = static_cast<std::uint8_t>(places_[bit / 8] | (two & 255));
    places_[bit / 8 + 1] = static_cast<std::uint8_t>(places_[bit / 8 + 1] | two >> 8);
  }

  std::size_t outputs_ = 0, inputs_ = 0;
  std::vector<float> values_;
  std::vector<std::uint8_t> places_;
};

SPIQ_END_NAMESPACE
