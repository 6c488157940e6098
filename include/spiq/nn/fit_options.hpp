/// @file
/// What `fit` is told and what it reports.
#pragma once

#include <spiq/nn/augment.hpp>
#include <spiq/nn/loss.hpp>
#include <spiq/nn/optimiser.hpp>
#include <spiq/nn/pass.hpp>
#include <spiq/nn/schedule.hpp>
#include <spiq/nn/sparsity.hpp>
#include <spiq/nn/state.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// After every batch.
struct BatchReport {
  int epoch = 0;            ///< from 1
  int epochs = 0;
  std::size_t batch = 0;    ///< from 1
  std::size_t batches = 0;  ///< of an epoch
  double loss = 0;          ///< mean of the epoch so far
  double accuracy = 0;      ///< share of right predictions in the epoch so far, while training
  double learning_rate = 0;
};

/// After every epoch.
struct EpochReport {
  int epoch = 0;  ///< from 1
  int epochs = 0;
  double loss = 0;      ///< mean over the epoch's training batches
  double accuracy = 0;  ///< share of right predictions in them
  double learning_rate = 0;
  std::optional<double> validation_loss;      ///< cross-entropy, whatever the training loss
  std::optional<double> validation_accuracy;
  double seconds = 0;  ///< wall time of training, without validation
};

/// What `fit` returns.
struct History {
  std::vector<EpochReport> epochs;
  std::vector<std::uint32_t> validation;  ///< indices held out, sorted
  std::size_t training_samples = 0;
  int best_epoch = 0;  ///< by validation accuracy; 0 without validation
  bool stopped_early = false;
};

/// Where a run is saved and continued from. `io` makes these for `.npz` files; `save` may also keep arrays in memory.
struct Checkpoint {
  std::function<void(const NamedArrays&)> save;  ///< called every `every` epochs and after the last
  int every = 1;                                 ///< epochs, at least 1
};

/// The last looks at the outputs of every time step: `TemporalEfficient`, for networks that end in an `OverTime`.
enum class LossKind { cross_entropy, mean_squared_error, temporal_efficient };

/// Adds weight(e) * (spikes of all `Spiking` layers and steps, mean over the batch) to what is minimised, not to the loss
/// that is reported (Allred et al., arXiv 2003.01250), with weight(e) = weight (1 - exp(-e / rise)) after e epochs: first
/// the network learns, then it learns to be quiet.
struct SpikeCost {
  float weight = 0;  ///< of one spike, at least 0
  float rise = 0;    ///< epochs, at least 0; 0: the whole weight at once
  [[nodiscard]] float at(double epochs) const {
    if (!(rise > 0)) return weight;
    return static_cast<float>(-static_cast<double>(weight) * std::expm1(-epochs / static_cast<double>(rise)));
  }
};

/// Options of `fit`, written with designated initialisers: `fit(net, data, {.epochs = 5, .seed = 1})`. One out of
/// range is an Error that names it, thrown before the network changes (nn/fit_check.hpp).
/// Rate by 5000 images held out of MNIST's training set: after 3 epochs 2e-3 is 0.4 points worse and 1e-2 0.2 better,
/// after 10 epochs 1e-2 is equal.
struct FitOptions {
  int epochs = 10;              ///< passes over the training images, at least 0
  int batch = 128;              ///< images of a step, at least 1
  float learning_rate = 5e-3f;  ///< per step, at the schedule's factor 1; at least 0
  OptimiserKind optimiser = AdamW{};
  Schedule schedule = OneCycle{};
  float weight_decay = 1e-2f;  ///< at least 0; the optimiser says how it acts, the policies on what
  ParameterPolicies policies{};
  LossKind loss = LossKind::cross_entropy;
  float label_smoothing = 0.0f;       ///< of cross-entropy, in [0, 1); not used by mean_squared_error
  std::vector<float> class_weights{};  ///< of cross-entropy, one >= 0 per class, not all zero; or empty
  nn::Penalties penalties{};           ///< on the spikes or the rounding of quantised activations
  float step_target_share = 1e-3f;     ///< of temporal_efficient: `TemporalEfficient::share`, in [0, 1]
  SpikeCost spike_cost{};
  Sparsity sparsity{};                 ///< of the weights of products
  Augmentation augmentation{};
  float gradient_clip = 0.0f;        ///< largest global norm of the gradient; 0: no clipping
  float validation_fraction = 0.0f;  ///< of the training set, in [0, 1), drawn by `seed`, never trained on
  int patience = 0;                  ///< stop after so many epochs without better validation accuracy; 0: never
  bool keep_best = false;            ///< end with the weights of the best validation epoch
  bool normalize = true;             ///< compute input statistics where the network has none yet
  float threshold_percentile = 99.5f;  ///< of the first batch's pre-activations, in [0, 100]: initial QCFS threshold
  std::uint64_t seed = 1;
  int threads = 0;                   ///< 0: as many as OpenMP would use; never changes a result
  std::function<void(const BatchReport&)> on_batch{};
  std::function<void(const EpochReport&)> on_epoch{};
  std::function<bool()> stop{};      ///< asked after every epoch's report; true ends the run
  Checkpoint checkpoint{};
  std::function<NamedArrays()> resume{};  ///< gives the arrays of a checkpoint to continue from
};

SPIQ_END_NAMESPACE
