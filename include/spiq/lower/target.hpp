/// @file
/// What a network can be lowered to.
#pragma once

#include <spiq/core/abi.hpp>

SPIQ_BEGIN_NAMESPACE

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
