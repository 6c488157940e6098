/// @file
/// Sparse weights times the sparse spikes of one sample: fully connected layers at batch 1.
#pragma once

#include <spiq/simd/simd.hpp>
#include <spiq/sparse/spike_words.hpp>
#include <spiq/sparse/weights.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

SPIQ_BEGIN_NAMESPACE

/// sum over k of weight[n, k] spike[k, step] for one position: inputs that are silent at all steps are passed over, the
/// others add their column of nonzero weights to the steps of each output at once (after LoAS, Yin et al.,
/// arXiv 2407.14073). Time is proportional to the weights met by inputs that are not silent.
///
/// float weights: sums in f32 in the order of the inputs, equal in every bit on all architectures and to `DualSparse`.
/// Integer weights: int32, exact while a row's magnitudes sum to less than 2^31.
template <class V, class Arch = simd::best>
class DualSparseVector {
public:
  using sum = std::conditional_t<std::is_same_v<V, float>, float, std::int32_t>;

  explicit DualSparseVector(ColumnSparse<V> weights) : weights_(std::move(weights)) {}
  [[nodiscard]] const ColumnSparse<V>& weights() const { return weights_; }
  [[nodiscard]] std::size_t bytes() const { return weights_.bytes(); }

  /// Of position 0 of x, which must have as many inputs as the weights: `sums` [outputs][slot], T steps and zeros.
  template <int T>
  void run(const SpikeWords<T>& x, std::span<sum> sums) const noexcept {
    constexpr std::size_t slot = SpikeWords<T>::slot;
    SPIQ_ASSERT(x.positions() >= 1 && x.inputs() == weights_.inputs() && sums.size() == weights_.outputs() * slot);
    std::fill(sums.begin(), sums.end(), sum{});
    const auto words = x.tile(0);
    constexpr std::uint64_t first = slot == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << (slot % 64)) - 1;
    weights_.with_places([&](auto outputs) {
      for (std::size_t k = 0; k < words.size(); ++k)
        if (const std::uint64_t spikes = words[k] & first; spikes != 0)
          column<slot>(k, spikes, outputs.data(), sums.data());
    });
  }

private:
  // The widest vector that the steps of an output fill.
  template <std::size_t Slot>
  using vector = simd::vec<sum, simd::at_most<Arch, static_cast<int>(Slot)>>;

  template <std::size_t Slot, class Index>
  SPIQ_INLINE void column(std::size_t k, std::uint64_t spikes, const Index* outputs, sum* sums) const noexcept {
    using W = vector<Slot>;
    using I = simd::vec<std::int32_t, simd::at_most<Arch, static_cast<int>(Slot)>>;
    constexpr std::size_t parts = Slot / static_cast<std::size_t>(W::width);
    alignas(64) std::int32_t lanes[Slot];
    for (std::size_t t = 0; t < Slot; ++t) lanes[t] = -static_cast<std::int32_t>(spikes >> t & 1);
    I where[parts];
    for (std::size_t i = 0; i < parts; ++i) where[i] = I::load(lanes + i * static_cast<std::size_t>(W::width));
    const V* const values = weights_.values().data();
    const std::size_t end = weights_.end(k);
    for (std::size_t j = weights_.begin(k); j < end; ++j) {
      sum* const to = sums + std::size_t{outputs[j]} * Slot;
      const W w = W::broadcast(static_cast<sum>(values[j]));
      SPIQ_UNROLL
      for (std::size_t i = 0; i < parts; ++i) {
        sum* const at = to + i * static_cast<std::size_t>(W::width);
        if constexpr (std::is_same_v<sum, float>)
          (W::load(at) + from_bits(bits_of(w) & where[i])).store(at);
        else
          (W::load(at) + (w & where[i])).store(at);
      }
    }
  }

  ColumnSparse<V> weights_;
};

SPIQ_END_NAMESPACE
