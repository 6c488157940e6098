/// @file
/// Neighbouring layers that are computed in one pass over memory.
#pragma once

#include <spiq/core/abi.hpp>

SPIQ_BEGIN_NAMESPACE

namespace nn {

/// Specialise with `exists = true` and static `forward` and `backward` where layer A followed by layer B has a
/// fused form; the value between them is then not stored.
template <class A, class B>
struct Fusion {
  static constexpr bool exists = false;
};

/// True for layers that subtract the mean over the batch from every channel, in training.
template <class L>
concept Centring = requires { requires L::centring; };

}  // namespace nn

SPIQ_END_NAMESPACE
