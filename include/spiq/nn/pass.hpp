/// @file
/// What every forward and backward pass is told.
#pragma once

#include <spiq/core/random.hpp>
#include <spiq/core/storage.hpp>

#include <cstddef>

SPIQ_BEGIN_NAMESPACE

namespace nn {

enum class Mode {
  evaluate,  ///< running statistics, no dropout
  train,     ///< batch statistics, dropout; keeps what the backward pass needs
};

/// Whose mean and variance BatchNorm takes in a training pass.
enum class Statistics {
  own,     ///< those of the pass
  gather,  ///< the running ones; those of the pass are added to what was gathered, from nothing where `fresh`
  pooled,  ///< those gathered; the first backward pass after gathering mixes them into the running ones
};

/// What quantised activations add to the loss while they train; each layer leaves its share in its `penalty`.
struct Penalties {
  /// Times the spikes of an image in the bit-serial network (the ones among the binary digits of all levels), mean over
  /// the batch. Needs 2^T - 1 levels.
  float bits = 0;
  /// Times the mean squared distance between inputs and outputs of an activation, summed over the layers: L_q.
  float quantisation = 0;

  [[nodiscard]] bool any() const { return bits > 0 || quantisation > 0; }
};

/// One pass through a network.
struct Pass {
  Mode mode = Mode::evaluate;
  int threads = 0;    ///< 0: as many as OpenMP would use; never changes a result
  Rng rng{};          ///< of this step; layers take streams of it
  bool pack = true;   ///< weights may have changed since this cache saw them last
  int steps = 1;      ///< time steps that the samples hold, time first: sample t * batch + b
  bool fresh = true;  ///< false: neurons go on from the state that the last forward pass left in the cache
  Statistics statistics = Statistics::own;
  Penalties penalties{};
  int window = 0;     ///< steps that a gradient passes, in windows counted from step 0; 0: all
  float spike_weight = 0;  ///< the backward pass is that of the loss plus this times the mean number of spikes of a sample
  bool turned = false;    ///< the backward pass will see other weights than the forward pass (`Sparsity::both_ways`)
  bool bias_cancels = false;  ///< set by Seq: a BatchNorm behind this layer takes any bias away again

  [[nodiscard]] bool training() const { return mode == Mode::train; }
  /// The pass as layer `i` of a sequence sees it: a stream of its own.
  [[nodiscard]] Pass at(std::size_t i) const {
    Pass p = *this;
    p.rng = rng.split(i);
    p.bias_cancels = false;
    return p;
  }
};

/// A buffer that grows and never shrinks, so that batches of changing size cost no allocation. Contents do not
/// survive growth.
template <class T>
class WorkspaceOf {
public:
  T* get(std::size_t n) {
    if (n > data_.size()) data_ = AlignedVector<T>(n);
    return data_.data();
  }
  [[nodiscard]] T* data() { return data_.data(); }
  [[nodiscard]] const T* data() const { return data_.data(); }

private:
  AlignedVector<T> data_;
};
using Workspace = WorkspaceOf<float>;

}  // namespace nn

SPIQ_END_NAMESPACE
