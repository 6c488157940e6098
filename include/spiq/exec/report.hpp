/// @file
/// What can be said of an executable layer without running it.
#pragma once

#include <spiq/exec/join.hpp>
#include <spiq/exec/pool.hpp>
#include <spiq/exec/synapse.hpp>

#include <cstddef>
#include <string>

SPIQ_BEGIN_NAMESPACE

namespace exec {

/// One row of a lowered network's description.
struct LayerReport {
  std::string path;     ///< of the trained layer, "4.body.0"
  std::string product;  ///< "dense_f32", "pool", "join"
  std::string epilogue; ///< "pascal", "store"
  std::string takes, emits;  ///< packings
  Shape shape{};        ///< of the output
  double threshold = 0; ///< of the neuron, real units; 0 without one
  int levels = 0;       ///< L; 0 without an activation
  int steps = 1;        ///< time steps that the layer emits, however they are packed
  int updates = 0;      ///< of one neuron for one input; 0 without a neuron
  std::size_t macs = 0; ///< multiply-adds of one sample and step on real taps
  std::size_t packed_bytes = 0;
  double density = -1;  ///< of the spikes read, where it was measured (choose_sums); negative: not
};

template <class P>
inline std::string packing_name(P) {
  return P::name;
}
template <class A, class B>
inline std::string packing_name(packing::fanout<A, B>) {
  return packing_name(A{}) + "+" + packing_name(B{});
}

template <class Product, class Epilogue, class Take, class Emit>
LayerReport describe(const Synapse<Product, Epilogue, Take, Emit>& layer) {
  LayerReport row;
  row.path = layer.info.path;
  row.product = Product::name;
  if constexpr (requires { layer.product.sums; }) {
    row.product = std::is_same_v<Take, packing::by_channel> ? layer.product.label() : layer.product.dense.name;
    row.density = layer.product.density;
  }
  row.epilogue = Epilogue::name;
  row.takes = packing_name(Take{});
  row.emits = packing_name(Emit{});
  row.shape = layer.output_shape();
  row.threshold = layer.info.threshold;
  row.levels = layer.info.levels;
  row.steps = layer.epilogue.out_steps(layer.info.in_steps);
  row.updates = layer.epilogue.updates(layer.info.in_steps);
  row.macs = layer.info.macs;
  row.packed_bytes = layer.product.packed_bytes();
  return row;
}
template <PoolKind Kind, class Take, class Emit>
LayerReport describe(const Pool<Kind, Take, Emit>& layer) {
  LayerReport row;
  row.path = layer.info.path;
  row.product = Kind == PoolKind::maximum ? "max_pool" : (std::is_same_v<Take, packing::real> ? "average_pool" : "sum_pool");
  row.takes = packing_name(Take{});
  row.emits = packing_name(Emit{});
  row.shape = layer.output_shape();
  row.steps = layer.info.in_steps;
  return row;
}
template <class Product, class Epilogue, class Take, class Emit, class Body, class Shortcut>
LayerReport describe(const Join<Product, Epilogue, Take, Emit, Body, Shortcut>& layer) {
  LayerReport row;
  row.path = layer.info.path;
  row.product = "join";
  row.epilogue = Epilogue::name;
  row.takes = packing_name(typename Join<Product, Epilogue, Take, Emit, Body, Shortcut>::body_packing{}) + "+" +
              packing_name(typename Shortcut::last_packing{});
  row.emits = packing_name(Emit{});
  row.shape = layer.out;
  row.threshold = layer.info.threshold;
  row.levels = layer.info.levels;
  row.steps = layer.epilogue.out_steps(layer.info.in_steps);
  row.updates = layer.epilogue.updates(layer.info.in_steps);
  return row;
}

}  // namespace exec

SPIQ_END_NAMESPACE
