/// @file
/// Weights that become sparse while they are trained.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/nn/parameter.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <variant>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// The `n` largest magnitudes of every `m` consecutive inputs of an output stay (of equal ones the first); in
/// convolutions along the input channels of one kernel position. A group that is not full keeps up to n.
struct NmPattern {
  int n = 2;  ///< 1 to m
  int m = 4;
};
/// The largest magnitudes of each layer stay. The share of the others rises from 0 to `share` between two epochs as
/// share (1 - (1 - x)^3) (Zhu and Gupta, arXiv 1710.01878).
struct UnstructuredPattern {
  float share = 0.9f;  ///< of weights that are zero in the end, in [0, 1)
  float from = 0;      ///< epochs
  float to = 0;        ///< epochs, at least `from`; the whole share from here on
  [[nodiscard]] double at(double epochs) const {
    const double begin = static_cast<double>(from), end = static_cast<double>(to), s = static_cast<double>(share);
    if (epochs >= end) return s;
    if (epochs <= begin) return 0;
    const double left = (end - epochs) / (end - begin);
    return s * (1 - left * left * left);
  }
};
/// What is zero stays zero: fine-tuning of a network that was pruned.
struct KeptZeros {};
using SparsityPattern = std::variant<std::monostate, NmPattern, UnstructuredPattern, KeptZeros>;

/// Sparse weights in training. Forward passes see the weights through a mask; the weights behind it stay dense, and
/// with `regrow` they go on learning with the gradient of the masked ones (straight-through) plus `decay` times
/// themselves where the mask hides them (SR-STE, Zhou et al., arXiv 2102.04010), so that masks may change. After `fit`
/// the network holds the masked weights; checkpoints hold the dense ones.
struct Sparsity {
  SparsityPattern pattern{};
  bool regrow = true;      ///< false: hidden weights do not learn. `KeptZeros` never regrows
  float decay = 2e-4f;     ///< at least 0
  bool both_ways = false;  ///< NmPattern alone: gradients to the inputs see the weights masked along the outputs (BDWP,
                           ///< arXiv 2309.13015), so that both products are sparse. Not with `Sltt`
  int every = 1;           ///< steps between new masks, at least 1; also new at the start of every epoch
  bool first = false;      ///< whether the first layer with weights is masked, too
  bool last = false;       ///< ... and the last
  [[nodiscard]] bool any() const { return !std::holds_alternative<std::monostate>(pattern); }
};

namespace nn {

/// How the weights of a layer lie: [outputs][inputs][positions], positions those of a kernel.
struct WeightShape {
  std::size_t outputs = 0, inputs = 0, positions = 1;
  explicit WeightShape(const Extents& e) : outputs(e[0]), inputs(e[1]) {
    for (std::size_t i = 2; i < e.rank(); ++i) positions *= e[i];
  }
};

/// Writes 1 into `mask` for the n largest magnitudes of every m weights of a line, 0 for the others. Lines run along
/// the inputs, or with `across` along the outputs.
inline void nm_mask(std::span<const float> w, const WeightShape& s, NmPattern p, bool across,
                    std::span<std::uint8_t> mask) {
  const std::size_t length = across ? s.outputs : s.inputs, others = across ? s.inputs : s.outputs;
  const auto n = static_cast<std::size_t>(p.n), m = static_cast<std::size_t>(p.m);
  const auto at = [&](std::size_t other, std::size_t along, std::size_t position) {
    return ((across ? along : other) * s.inputs + (across ? other : along)) * s.positions + position;
  };
  std::vector<std::size_t> order(m);
  for (std::size_t other = 0; other < others; ++other)
    for (std::size_t position = 0; position < s.positions; ++position)
      for (std::size_t first = 0; first < length; first += m) {
        const std::size_t count = std::min(m, length - first);
        std::iota(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), std::size_t{0});
        std::stable_sort(
            order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), [&](std::size_t a, std::size_t b) {
              return std::abs(w[at(other, first + a, position)]) > std::abs(w[at(other, first + b, position)]);
            });
        for (std::size_t i = 0; i < count; ++i) mask[at(other, first + order[i], position)] = i < n ? 1 : 0;
      }
}

/// Writes 0 into `mask` for the round(share size) smallest magnitudes (of equal ones the last), 1 for the others.
inline void magnitude_mask(std::span<const float> w, double share, std::span<std::uint8_t> mask) {
  const auto hidden = static_cast<std::size_t>(std::lround(share * static_cast<double>(w.size())));
  std::vector<std::uint32_t> order(w.size());
  std::iota(order.begin(), order.end(), 0u);
  const auto larger = [&](std::uint32_t a, std::uint32_t b) {
    const float x = std::abs(w[a]), y = std::abs(w[b]);
    return x != y ? x > y : a < b;
  };
  const auto kept = static_cast<std::ptrdiff_t>(w.size() - hidden);
  std::nth_element(order.begin(), order.begin() + kept, order.end(), larger);
  std::fill(mask.begin(), mask.end(), std::uint8_t{0});
  for (auto i = order.begin(); i != order.begin() + kept; ++i) mask[*i] = 1;
}

/// The masks of one training run: hides weights before a forward pass and brings them back before the optimiser's step.
class Masks {
public:
  Masks(const Sparsity& sparsity, const std::vector<Parameter>& parameters) : sparsity_(sparsity) {
    if (!sparsity.any()) return;
    for (const Parameter& p : parameters)
      if (p.kind == ParameterKind::weight && p.extents.rank() >= 2)
        layers_.push_back({p, WeightShape(p.extents), {}, {}, {}});
    if (!sparsity.first && !layers_.empty()) layers_.erase(layers_.begin());
    if (!sparsity.last && !layers_.empty()) layers_.pop_back();
    if (layers_.empty())
      SPIQ_THROW("FitOptions::sparsity", "layers with weights beside the first and the last", "none");
    for (Layer& l : layers_) {
      l.mask.assign(l.parameter.value.size(), 1);
      l.dense.resize(l.parameter.value.size());
      if (sparsity.both_ways) l.across.assign(l.parameter.value.size(), 1);
    }
  }
  [[nodiscard]] bool any() const { return !layers_.empty(); }

  /// New masks from the weights as they are after so many epochs.
  void renew(double epochs) {
    for (Layer& l : layers_) {
      const std::span<const float> w = l.parameter.value;
      if (const auto* p = std::get_if<NmPattern>(&sparsity_.pattern)) {
        nm_mask(w, l.shape, *p, false, l.mask);
        if (sparsity_.both_ways) nm_mask(w, l.shape, *p, true, l.across);
      } else if (const auto* u = std::get_if<UnstructuredPattern>(&sparsity_.pattern)) {
        magnitude_mask(w, u->at(epochs), l.mask);
      } else {
        for (std::size_t i = 0; i < w.size(); ++i) l.mask[i] = w[i] != 0;
      }
    }
  }
  /// Keeps the weights and leaves the masked ones in the network.
  void hide() {
    for (Layer& l : layers_) {
      std::copy(l.parameter.value.begin(), l.parameter.value.end(), l.dense.begin());
      show(l, l.mask);
    }
    hidden_ = true;
  }
  /// For the backward pass, behind `hide`.
  void turn() {
    if (sparsity_.both_ways)
      for (Layer& l : layers_) show(l, l.across);
  }
  /// The dense weights are back.
  void restore() {
    if (!hidden_) return;
    for (Layer& l : layers_) std::copy(l.dense.begin(), l.dense.end(), l.parameter.value.begin());
    hidden_ = false;
  }
  /// What hidden weights learn, behind `restore`.
  void adjust_gradients() {
    const bool regrow = sparsity_.regrow && !std::holds_alternative<KeptZeros>(sparsity_.pattern);
    for (Layer& l : layers_)
      for (std::size_t i = 0; i < l.mask.size(); ++i)
        if (l.mask[i] == 0)
          l.parameter.gradient[i] = regrow ? l.parameter.gradient[i] + sparsity_.decay * l.parameter.value[i] : 0.0f;
  }

private:
  struct Layer {
    Parameter parameter;
    WeightShape shape;
    std::vector<std::uint8_t> mask, across;
    std::vector<float> dense;
  };
  static void show(Layer& l, const std::vector<std::uint8_t>& mask) {
    for (std::size_t i = 0; i < mask.size(); ++i) l.parameter.value[i] = mask[i] != 0 ? l.dense[i] : 0.0f;
  }

  Sparsity sparsity_;
  std::vector<Layer> layers_;
  bool hidden_ = false;
};

/// Hidden weights come back at the end of the scope, whatever ends it.
class HiddenWeights {
public:
  explicit HiddenWeights(Masks& masks) : masks_(masks) { masks_.hide(); }
  ~HiddenWeights() { masks_.restore(); }
  HiddenWeights(const HiddenWeights&) = delete;
  HiddenWeights& operator=(const HiddenWeights&) = delete;

private:
  Masks& masks_;
};

}  // namespace nn

SPIQ_END_NAMESPACE
