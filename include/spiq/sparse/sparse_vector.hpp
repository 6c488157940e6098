/// @file
/// Sparse weights times a sparse vector of activations.
#pragma once

#include <spiq/simd/simd.hpp>
#include <spiq/simd/word_sums.hpp>
#include <spiq/sparse/bitmask.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// y[n] = sum over k of weight[n, k] x[k] for one vector x, in f32: weights of inputs that are zero are never read,
/// those of the others only where they are not zero themselves (the use that DuoGPT, arXiv 2506.20194, makes of both).
/// Weights stream from memory input by input, a few inputs at a time, while y stays in the first caches.
template <class Arch = simd::best>
class SparseVectorProduct {
  using V = typename simd::traits<Arch>::f32;
  static constexpr std::size_t width = static_cast<std::size_t>(V::width);
  static constexpr std::size_t at_once = 4;          // inputs
  static constexpr std::size_t in_cache = 1u << 22;  // bytes of weights that need not be asked for ahead of time

public:
  /// What `run` writes on the way; one for each thread.
  struct Scratch {
    AlignedVector<float> sums;  // of whole words
    std::vector<std::uint32_t> active;
  };
  explicit SparseVectorProduct(BitmaskWeights weights) : weights_(std::move(weights)) {}
  [[nodiscard]] const BitmaskWeights& weights() const { return weights_; }
  [[nodiscard]] std::size_t bytes() const { return weights_.bytes(); }
  [[nodiscard]] Scratch scratch() const {
    return {AlignedVector<float>(weights_.words() * 64), std::vector<std::uint32_t>(weights_.inputs())};
  }

  /// x of as many values as inputs, y as outputs. A sum adds in the order of the inputs. Infinite or NaN activations
  /// may spoil sums of outputs without a weight for them.
  void run(std::span<const float> x, std::span<float> y, Scratch& scratch) const noexcept {
    SPIQ_ASSERT(x.size() == weights_.inputs() && y.size() == weights_.outputs());
    std::size_t active = 0;
    for (std::size_t k = 0; k < x.size(); ++k) {
      scratch.active[active] = static_cast<std::uint32_t>(k);
      active += x[k] != 0;
    }
    float* const sums = scratch.sums.data();
    std::fill(scratch.sums.begin(), scratch.sums.end(), 0.0f);
    std::size_t i = 0;
    const std::size_t ahead = weights_.bytes() > in_cache ? active : 0;
    for (; i + 2 * at_once <= ahead; i += at_once) add<at_once, true>(x, scratch.active.data() + i, sums);
    for (; i + at_once <= active; i += at_once) add<at_once>(x, scratch.active.data() + i, sums);
    for (; i < active; ++i) add<1>(x, scratch.active.data() + i, sums);
    std::copy_n(sums, y.size(), y.data());
  }

private:
  /// The columns of some inputs. `Ahead`: as many more follow in the list, whose memory is asked for on the way:
  /// machines that see four short streams end and four others begin do not foresee it.
  template <std::size_t Inputs, bool Ahead = false>
  SPIQ_INLINE void add(std::span<const float> x, const std::uint32_t* inputs, float* sums) const noexcept {
    const std::uint64_t* masks[Inputs];
    const float* values[Inputs];
    V factor[Inputs];
    for (std::size_t i = 0; i < Inputs; ++i) {
      masks[i] = weights_.masks(inputs[i]);
      values[i] = weights_.values(inputs[i]);
      factor[i] = V::broadcast(x[inputs[i]]);
    }
    const float* next[Inputs];
    std::size_t stride[Inputs];
    for (std::size_t i = 0; Ahead && i < Inputs; ++i) {
      next[i] = weights_.values(inputs[Inputs + i]);
      stride[i] = static_cast<std::size_t>(weights_.values(inputs[Inputs + i] + 1) - next[i]) / weights_.words() + 1;
    }
    for (std::size_t word = 0; word < weights_.words(); ++word, sums += 64) {
      for (std::size_t i = 0; Ahead && i < Inputs; ++i, next[i - 1] += stride[i - 1]) {
        simd::prefetch(next[i]);
        if (stride[i] > 16) simd::prefetch(next[i] + 16);
        if (word % 8 == 0) simd::prefetch(weights_.masks(inputs[Inputs + i]) + word);
      }
      for (std::size_t lane = 0; lane < 64; lane += width) {
        V sum = V::load(sums + lane);
        SPIQ_UNROLL
        for (std::size_t i = 0; i < Inputs; ++i) {
          const auto* const part = reinterpret_cast<const unsigned char*>(masks[i] + word);
          sum = fma(simd::expand<Arch>(part, lane, values[i]), factor[i], sum);
        }
        sum.store(sums + lane);
      }
    }
  }

  BitmaskWeights weights_;
};

SPIQ_END_NAMESPACE
