/// @file
/// What a network can be lowered to.
#pragma once

#include <spiq/core/abi.hpp>

#include <map>
#include <string>

SPIQ_BEGIN_NAMESPACE

namespace reset {
struct Hard;
struct Soft;
}  // namespace reset

/// In which numbers a network runs.
namespace arithmetic {
/// Single precision.
struct f32 {};
/// 16-bit weights, int32 sums, integer thresholds: every form of the network gives the same counts, everywhere.
struct exact {};
}  // namespace arithmetic

/// In which form the spikes of a neuron that needs only their number travel.
namespace form {
/// One byte per neuron: the next product runs once, whatever the number of steps.
struct counts {};
/// Explicit binary spikes at every time step.
struct spikes {};
/// Whatever each consumer reads best.
struct negotiated {};
}  // namespace form

/// How an activation becomes spiking neurons.
namespace conversion {

/// QCFS conversion (Bu et al., arXiv 2303.04347): soft-reset integrate-and-fire with threshold lambda, membrane started
/// at lambda / 2, spikes of amplitude lambda, the image repeated at every step, logits averaged over the steps.
struct Qcfs {
  int steps = 8;  ///< T, for all layers
};

/// PASCAL (arXiv 2505.01730): neurons with threshold lambda / L that count spikes, correct them by inhibitory ones and
/// emit again; L of each layer is its number of output steps. Equal to the quantised network in exact arithmetic.
template <class Arithmetic = arithmetic::f32, class Form = form::counts>
struct Pascal {};

/// Bit-serial spikes (after arXiv 2312.06900; neuron/bit_serial.hpp): T = log2(L + 1) steps for the L levels of a layer,
/// the most significant bit first. L must be 2^T - 1 (1, 3, 7, 15, ...); then equal to the quantised network in exact
/// arithmetic, as PASCAL is.
template <class Arithmetic = arithmetic::f32>
struct BitSerial {};

/// Rate coding of ReLU networks: integrate-and-fire neurons whose rate times threshold stands for the activation; the
/// image at every step, spikes of the amplitude of their threshold (which is the network with spikes of amplitude 1 and
/// weights and biases scaled), logits averaged over the steps. Thresholds come from images:
/// `lower(net, target::Spiking{conversion::Rmp{.steps = 64}}, images)`, or `balance` and then `lower`.
template <class Reset>
struct RateCoding {
  int steps = 64;           ///< T, for all layers
  double percentile = 100;  ///< of the weighted input sums over time, batch and units: the threshold; 100: their maximum
  double scale = 1;         ///< of all thresholds: below 1 more spikes, sooner, and more clipping
  double initial = 0;       ///< membrane before the first step over the threshold, in [0, 1)
  /// By the path of the executable layer, not scaled; what `balance` found, or one's own. Infinity: it never fires.
  std::map<std::string, double> thresholds{};
};
/// Soft reset: the membrane keeps what lies above the threshold (RMP-SNN, Han et al., arXiv 2003.01811).
using Rmp = RateCoding<reset::Soft>;
/// Hard reset to 0, which loses it: for comparison.
using HardReset = RateCoding<reset::Hard>;

/// No conversion: spiking layers run as the neurons that they were trained as, over the steps of their `OverTime`.
struct Trained {};

}  // namespace conversion

namespace target {

/// The network as it was trained, in f32: batch norm folded, weights packed.
struct Float {};

/// The quantised network in exact integer arithmetic: the ANN that PASCAL in exact arithmetic reproduces count for count.
struct Exact {};

/// A spiking network; `Conversion` is one of `spiq::conversion`.
template <class Conversion>
struct Spiking {
  Conversion conversion{};
};
template <class Conversion>
Spiking(Conversion) -> Spiking<Conversion>;

/// Spiking target `T` in f32 with every average pool between spikes and a convolution or linear layer merged into that
/// layer, as one convolution with a larger stride: its spikes stay bits, which events are walked from. Pays where few
/// neurons fire, since every spike meets as many weights more as a window has pixels.
template <class T>
struct MergedPools : T {};
template <class T>
MergedPools(T) -> MergedPools<T>;

}  // namespace target

SPIQ_END_NAMESPACE
