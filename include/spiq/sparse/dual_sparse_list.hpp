/// @file
/// Sparse weights times sparse spikes over many steps: only positions that are not silent are visited.
#pragma once

#include <spiq/simd/simd.hpp>
#include <spiq/simd/word_sums.hpp>
#include <spiq/sparse/integer_limits.hpp>
#include <spiq/sparse/spike_fiber.hpp>
#include <spiq/sparse/weights.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

SPIQ_BEGIN_NAMESPACE

/// The sums of `DualSparse`, by another walk: for each nonzero weight of an output, over the positions at which its
/// input spikes, adding it under the word of the steps. Faster where the steps of a position fill a vector (9 steps and
/// more), most of the inputs are silent and positions are many. Same bits: a sum adds in the order of the inputs in
/// both.
template <class V, class Arch = simd::best>
class DualSparseList {
  using Summand = std::conditional_t<std::is_same_v<V, float>, float, std::int16_t>;

public:
  /// Sums of one output, [position][slot], and those that int16 cannot hold.
  struct Scratch {
    AlignedVector<Summand> sums;
    AlignedVector<std::int32_t> wide;
  };
  explicit DualSparseList(RowSparse<V> weights) : weights_(std::move(weights)), limits_(weights_) {}
  [[nodiscard]] const RowSparse<V>& weights() const { return weights_; }
  [[nodiscard]] std::size_t bytes() const { return weights_.bytes() + limits_.bytes(); }
  template <int T>
  [[nodiscard]] Scratch scratch(const SpikeFiber<T>& x) const {
    const std::size_t n = x.positions() * SpikeFiber<T>::slot;
    return {AlignedVector<Summand>(n), AlignedVector<std::int32_t>(limits_.all_narrow() ? 0 : n)};
  }

  /// Outputs [first, last): sink(sums, output) with the sums [position][slot], T steps and zeros, as const float*, or
  /// as const int16_t* or const int32_t*. x must have as many inputs as the weights; `scratch` is that of as many
  /// positions.
  template <int T, class Sink>
  void run(const SpikeFiber<T>& x, std::size_t first, std::size_t last, Sink&& sink, Scratch& scratch) const noexcept {
    static_assert(SpikeFiber<T>::slot >= 16, "spiq: the list walk needs 9 time steps or more; DualSparse takes any");
    SPIQ_ASSERT(x.inputs() == weights_.inputs() && first <= last && last <= weights_.outputs());
    const std::size_t size = x.positions() * SpikeFiber<T>::slot;
    SPIQ_ASSERT(scratch.sums.size() == size);
    Summand* const sums = scratch.sums.data();
    weights_.with_places([&](auto inputs) {
      for (std::size_t n = first; n < last; ++n) {
        const std::size_t begin = weights_.begin(n), end = weights_.end(n), limit = limits_.of(n);
        if (limit >= end - begin) {
          std::fill_n(sums, size, Summand{});
          walk(x, inputs.data(), begin, end, sums);
          sink(static_cast<const Summand*>(sums), n);
          continue;
        }
        std::int32_t* const wide = scratch.wide.data();
        std::fill_n(wide, size, 0);
        for (std::size_t from = begin; from < end; from += limit) {
          std::fill_n(sums, size, Summand{});
          walk(x, inputs.data(), from, std::min(end, from + limit), sums);
          for (std::size_t i = 0; i < size; ++i) wide[i] += static_cast<std::int32_t>(sums[i]);
        }
        sink(static_cast<const std::int32_t*>(wide), n);
      }
    });
  }

private:
  template <int T, class Index>
  SPIQ_INLINE void walk(const SpikeFiber<T>& x, const Index* inputs, std::size_t begin, std::size_t end,
                        Summand* sums) const noexcept {
    const V* const values = weights_.values().data();
    const std::uint16_t* const places = x.places();
    const auto* const words = x.words();
    for (std::size_t j = begin; j < end; ++j) {
      const std::size_t k = inputs[j], stop = x.end(k);
      const auto value = static_cast<Summand>(values[j]);
      for (std::size_t i = x.begin(k); i < stop; ++i)
        simd::add_where<Arch>(sums + std::size_t{places[i]} * SpikeFiber<T>::slot, value, words + i);
    }
  }

  RowSparse<V> weights_;
  IntegerLimits<V> limits_;
};

SPIQ_END_NAMESPACE
