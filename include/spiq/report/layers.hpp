/// @file
/// The per-layer description of an executable network as a table.
#pragma once

#include <spiq/exec/network.hpp>
#include <spiq/report/format.hpp>
#include <spiq/report/text_table.hpp>

#include <string>

SPIQ_BEGIN_NAMESPACE

namespace report {

/// One row per executable layer: where it came from, what multiplies, what stands behind it, how data travel, and the
/// numbers of its neuron: threshold (real units), levels L, emitted steps T. Behind the product stands the density d of
/// the spikes that it was chosen for, where exec::choose_sums measured it.
template <class Network>
TextTable layer_table(const Network& network) {
  TextTable table(
      {"layer", "product", "epilogue", "reads", "writes", "output", "threshold", "L", "T", "MAC", "weights"}, 5);
  for (const exec::LayerReport& l : network.layers()) {
    const bool neuron = l.levels != 0;
    const std::string product = l.density < 0 ? l.product : l.product + " d=" + fixed(l.density, 3);
    table.row({l.path, product, l.epilogue.empty() ? "-" : l.epilogue, l.takes, l.emits, to_string(l.shape),
               l.threshold > 0 ? fixed(l.threshold, 4) : "-", neuron ? std::to_string(l.levels) : "-",
               std::to_string(l.steps), l.macs != 0 ? engineering(static_cast<double>(l.macs)) : "-",
               l.packed_bytes != 0 ? engineering(static_cast<double>(l.packed_bytes)) + "B" : "-"});
  }
  return table;
}

}  // namespace report

SPIQ_END_NAMESPACE
