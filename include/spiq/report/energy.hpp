/// @file
/// Operation counts of one inference and the energy model on top of them.
///
/// What is counted (one definition for every network and every target):
/// - a layer that reads real numbers counts the multiply-accumulates (MAC) truly done, taps in the padding excluded;
/// - a spiking synapse counts one accumulation (AC) per spike and non-zero weight that it reaches; behind a pool the
///   spikes before the pool count, and `neurobench_*` holds what NeuroBench would count there;
/// - n spikes that travel as one count n are n ACs, although the processor executes one multiply;
/// - direct coding: the first layer's MACs once if its currents are kept (`cached`, what these networks do), or T times
///   as on hardware that keeps none (`recomputed`);
/// - a neuron update is one add and one compare; an IF neuron is updated once per step, a PASCAL neuron
///   T1 + (max(T1, T2) - 1) + T2 times, a bit-serial one T1 + T2 times; activations of a network without spikes are not
///   counted.
#pragma once

#include <spiq/core/abi.hpp>

SPIQ_BEGIN_NAMESPACE

/// Number formats that the energy model prices.
enum class Arithmetic {
  f32,    ///< 32-bit floats
  int16,  ///< 16-bit weights and inputs, 32-bit sums: spiking networks in exact arithmetic
  int8    ///< 8-bit weights and inputs, 32-bit sums
};

/// "f32", "int16" or "int8".
constexpr const char* to_string(Arithmetic a) {
  return a == Arithmetic::f32 ? "f32" : a == Arithmetic::int16 ? "int16" : "int8";
}

/// How often the first layer of a spiking network, which reads real numbers, is counted.
enum class DirectCoding {
  cached,     ///< once: its currents are kept over the time steps
  recomputed  ///< once per time step
};

/// Operations of one layer or network, as means per image.
struct OperationCounts {
  double mac = 0;                ///< multiply-accumulates with real inputs
  double ac = 0;                 ///< accumulations, one per spike and non-zero weight reached
  double neuron_updates = 0;     ///< neuron steps: one add and one compare each
  double spikes = 0;             ///< spikes that neurons emit to the next layer
  double internal_spikes = 0;    ///< PASCAL's forward spikes before re-emission
  double inhibitory_spikes = 0;  ///< PASCAL's inhibitory (correcting) spikes
  double neurobench_mac = 0;     ///< NeuroBench: non-zero weight x non-zero input that is not binary
  double neurobench_ac = 0;      ///< NeuroBench: non-zero weight x binary input that is not zero

  constexpr OperationCounts& operator+=(const OperationCounts& o) {
    mac += o.mac;
    ac += o.ac;
    neuron_updates += o.neuron_updates;
    spikes += o.spikes;
    internal_spikes += o.internal_spikes;
    inhibitory_spikes += o.inhibitory_spikes;
    neurobench_mac += o.neurobench_mac;
    neurobench_ac += o.neurobench_ac;
    return *this;
  }
  friend constexpr OperationCounts operator+(OperationCounts a, const OperationCounts& b) { return a += b; }
  constexpr bool operator==(const OperationCounts&) const = default;
};

namespace energy {

/// Energy per arithmetic operation in picojoules. The defaults are the 45 nm, 0.9 V values of M. Horowitz, "Computing's
/// energy problem (and what we can do about it)", ISSCC 2014, figure 1.1.9, quoted from memory of the table; the one
/// derived value says so.
struct Coefficients {
  const char* name = "cmos45 (Horowitz, ISSCC 2014, 45 nm, 0.9 V)";
  double f32_multiply = 3.7;
  double f32_add = 0.9;
  double int32_multiply = 3.1;
  double int32_add = 0.1;
  double int8_multiply = 0.2;
  double int8_add = 0.03;
  /// Derived, not published: a multiplier's energy grows with the product of its operand widths. The two published
  /// points agree (0.2 at 8 bits, 3.1 at 32 bits: exponent 1.98), which puts 16 bits at sqrt(0.2 * 3.1) = 0.79.
  double int16_multiply = 0.79;

  /// pJ of one multiply-accumulate; integer products are summed in 32 bits.
  [[nodiscard]] constexpr double mac(Arithmetic a) const {
    switch (a) {
      case Arithmetic::int16: return int16_multiply + int32_add;
      case Arithmetic::int8: return int8_multiply + int32_add;
      default: return f32_multiply + f32_add;
    }
  }
  /// pJ of one accumulation.
  [[nodiscard]] constexpr double ac(Arithmetic a) const { return a == Arithmetic::f32 ? f32_add : int32_add; }
  /// pJ of one neuron update: an add, and a compare that costs as much as an add.
  [[nodiscard]] constexpr double update(Arithmetic a) const { return 2 * ac(a); }
};

/// The default table.
inline constexpr Coefficients cmos45{};

/// Energy per byte moved, in picojoules; same source (64-bit accesses: 32 KB cache 20 pJ, DRAM 1.3 to 2.6 nJ, of which
/// the lower is taken). `energy_nj` leaves memory out; see `memory_nj`.
struct Memory {
  double sram_pj_per_byte = 2.5;
  double dram_pj_per_byte = 162.5;
};
inline constexpr Memory memory{};

/// Energy of one image in nanojoules, arithmetic only: memory counts 0.
/// energy = (mac * E_mac + ac * E_ac + neuron_updates * E_update) / 1000.
constexpr double energy_nj(const OperationCounts& c, Arithmetic a, const Coefficients& e = cmos45) {
  return 1e-3 * (c.mac * e.mac(a) + c.ac * e.ac(a) + c.neuron_updates * e.update(a));
}

/// Energy of moving `sram_bytes` and `dram_bytes`, in nanojoules.
constexpr double memory_nj(double sram_bytes, double dram_bytes, const Memory& m = memory) {
  return 1e-3 * (sram_bytes * m.sram_pj_per_byte + dram_bytes * m.dram_pj_per_byte);
}

}  // namespace energy

SPIQ_END_NAMESPACE
