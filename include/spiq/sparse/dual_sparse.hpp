/// @file
/// Sparse weights times sparse spikes: all steps of several positions in the lanes of one addition.
#pragma once

#include <spiq/simd/simd.hpp>
#include <spiq/simd/word_sums.hpp>
#include <spiq/sparse/integer_limits.hpp>
#include <spiq/sparse/spike_words.hpp>
#include <spiq/sparse/weights.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

SPIQ_BEGIN_NAMESPACE

/// sum over k of weight[n, k] spike[position, k, step], for all steps at once: the fully temporal-parallel product of
/// LoAS (Yin et al., arXiv 2407.14073), output-stationary. Every nonzero weight is added under the word of its input,
/// 64 lanes of positions and steps together, so time does not depend on the density of spikes; silent words cost as
/// much as others.
///
/// float weights: sums in f32, in the order of the inputs, equal in every bit on all architectures. Integer weights:
/// exact; sums are int16 for as long as no subset of a row can leave that range, which its positive and its negative
/// weights prove when packed, else int32, into which int16 sums are emptied before they can overflow.
template <class V, class Arch = simd::best>
class DualSparse {
  using Summand = std::conditional_t<std::is_same_v<V, float>, float, std::int16_t>;
  using Sums = simd::WordSums<Summand, Arch>;
  using Form = typename Sums::form;
  static constexpr bool exact = std::is_same_v<Summand, std::int16_t>;

public:
  /// What `run` writes on the way; one for each thread.
  struct Scratch {
    AlignedVector<Form> forms;
  };

  explicit DualSparse(RowSparse<V> weights) : weights_(std::move(weights)), limits_(weights_) {}
  [[nodiscard]] const RowSparse<V>& weights() const { return weights_; }
  [[nodiscard]] std::size_t bytes() const { return weights_.bytes() + limits_.bytes(); }
  /// Outputs whose sums int16 holds, whatever spikes. Integer weights only.
  [[nodiscard]] std::size_t narrow_outputs() const requires exact { return limits_.narrow(); }
  [[nodiscard]] Scratch scratch() const {
    Scratch s;
    if constexpr (!reads_words) s.forms.resize(weights_.inputs() * Sums::stored);
    return s;
  }

  /// Tiles [first, last) of x, which must have as many inputs as the weights: sink(sums, output, tile) with the 64 sums
  /// of a tile's lanes, as const float*, or as const int16_t* or const int32_t*; outputs in ascending order for each
  /// tile. Lanes without a position or step hold 0. `sink` must not throw.
  template <int T, class Sink>
  void run(const SpikeWords<T>& x, std::size_t first, std::size_t last, Sink&& sink, Scratch& scratch) const noexcept {
    SPIQ_ASSERT(x.inputs() == weights_.inputs() && first <= last && last <= x.tiles());
    weights_.with_places([&](auto inputs) {
      for (std::size_t tile = first; tile < last; ++tile) {
        const Form* forms = nullptr;
        if constexpr (reads_words) {
          forms = x.tile(tile).data();
        } else {
          const auto words = x.tile(tile);
          for (std::size_t k = 0; k < words.size(); ++k)
            Sums::expand(words[k], scratch.forms.data() + k * Sums::stored);
          forms = scratch.forms.data();
        }
        for (std::size_t n = 0; n < weights_.outputs(); ++n) row(inputs.data(), forms, n, tile, sink);
      }
    });
  }

private:
  static constexpr bool reads_words = std::is_same_v<Form, std::uint64_t>;

  template <class Index, class Sink>
  SPIQ_INLINE void row(const Index* inputs, const Form* forms, std::size_t n, std::size_t tile,
                       Sink& sink) const noexcept {
    alignas(64) Summand sums[64];
    const std::size_t begin = weights_.begin(n), end = weights_.end(n);
    if constexpr (exact) {
      if (limits_.of(n) < end - begin) {
        alignas(64) std::int32_t wide[64] = {};
        for (std::size_t from = begin; from < end; from += limits_.of(n)) {
          part(inputs, forms, from, std::min(end, from + limits_.of(n)), sums);
          for (std::size_t i = 0; i < 64; ++i) wide[i] += sums[i];
        }
        sink(static_cast<const std::int32_t*>(wide), n, tile);
        return;
      }
    }
    part(inputs, forms, begin, end, sums);
    sink(static_cast<const Summand*>(sums), n, tile);
  }
  template <class Index>
  SPIQ_INLINE void part(const Index* inputs, const Form* forms, std::size_t begin, std::size_t end,
                        Summand* to) const noexcept {
    const V* const values = weights_.values().data();
    for (std::size_t lane = 0; lane < 64; lane += Sums::lanes) {
      Sums sums;
      for (std::size_t j = begin; j < end; ++j)
        sums.add(static_cast<Summand>(values[j]), forms + std::size_t{inputs[j]} * Sums::stored, lane);
      sums.store(to + lane);
    }
  }

  RowSparse<V> weights_;
  IntegerLimits<V> limits_;
};

SPIQ_END_NAMESPACE
