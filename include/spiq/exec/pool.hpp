/// @file
/// Executable pooling. Between spikes and a synapse it stays in integers: the sum of the window, whose factor
/// 1 / (k k) goes into the weights behind it.
#pragma once

#include <spiq/exec/synapse.hpp>
#include <spiq/kernel/pool.hpp>
#include <spiq/kernel/unpack.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace exec {

enum class PoolKind { average, maximum };

/// Pooling of each step by itself. real: average or maximum, by the kernels of training. counts, levels and pixels: sum
/// of the window. by_channel: sum of the spikes of each step, as levels. The lowering proved that sums fit in a word.
template <PoolKind Kind, class Take, class Emit>
struct Pool {
  static_assert(Kind == PoolKind::average || std::is_same_v<Take, packing::real>);
  using takes = Take;
  using emits = Emit;
  kernel::PoolGeometry geometry;
  LayerInfo info;

  struct State {
    Buffer<Emit> out;
  };

  [[nodiscard]] Shape output_shape() const { return geometry.out(); }

  template <class In>
  void allocate(State& state, int samples, const In& input) const {
    state.out.allocate(output_shape(), samples, view_as<Take>(input).steps);
  }

  template <class In>
  const Buffer<Emit>& run(const In& input, State& state) const noexcept {
    const auto& taken = view_as<Take>(input);
    SPIQ_ASSERT(taken.shape == geometry.in && state.out.holds(taken.samples));
    state.out.samples = taken.samples;
    if constexpr (std::is_same_v<Take, packing::real>)
      pool_reals(taken, state.out);
    else
      sum_windows(taken, state.out);
    return state.out;
  }
  /// As `run`: zeros of zeros, without a look at the windows.
  template <class In>
  const Buffer<Emit>& run_events(const In& input, State& state) const noexcept {
    const auto& taken = view_as<Take>(input);
    if (!detail::silent(taken)) return run(input, state);
    state.out.samples = taken.samples;
    std::fill_n(state.out.data.data(), state.out.rows() * state.out.stride, typename Emit::word{});
    return state.out;
  }

private:
  // Steps and the padding of rows are channels to a pooling.
  void pool_reals(const Buffer<Take>& in, Buffer<Emit>& out) const noexcept {
    kernel::PoolGeometry g = geometry;
    g.in.channels = in.steps * static_cast<int>(in.stride);
    const auto samples = static_cast<std::size_t>(in.samples);
    if constexpr (Kind == PoolKind::average)
      kernel::average_pool_forward(g, in.data.data(), out.data.data(), samples);
    else
      kernel::max_pool_forward(g, in.data.data(), out.data.data(), samples);
  }

  void sum_windows(const Buffer<Take>& in, Buffer<Emit>& out) const noexcept {
    const Shape shape = output_shape();
    const auto steps = static_cast<std::size_t>(in.steps);
    std::size_t to_row = 0;
    for (std::size_t n = 0; n < static_cast<std::size_t>(in.samples); ++n)
      for (int y = 0; y < shape.height; ++y)
        for (int x = 0; x < shape.width; ++x) {
          const kernel::PoolWindow window(geometry, y, x);
          for (std::size_t t = 0; t < steps; ++t, ++to_row) sum(in, window, n, t, out.row(to_row));
        }
  }
  SPIQ_INLINE void sum(const Buffer<Take>& in, const kernel::PoolWindow& window, std::size_t sample,
                       std::size_t step, typename Emit::word* SPIQ_RESTRICT to) const noexcept {
    const auto steps = static_cast<std::size_t>(in.steps);
    const auto channels = static_cast<std::size_t>(geometry.in.channels);
    bool first = true;
    for (int y = window.y0; y < window.y1; ++y)
      for (int x = window.x0; x < window.x1; ++x) {
        const std::size_t pixel = (sample * static_cast<std::size_t>(geometry.in.height) + static_cast<std::size_t>(y)) *
                                      static_cast<std::size_t>(geometry.in.width) + static_cast<std::size_t>(x);
        add(in.row(pixel * steps + step), to, channels, first);
        first = false;
      }
  }

  static SPIQ_INLINE void add(const typename Take::word* SPIQ_RESTRICT from, typename Emit::word* SPIQ_RESTRICT to,
                              std::size_t channels, bool first) noexcept {
    using word = typename Emit::word;
    if constexpr (std::is_same_v<Take, packing::by_channel>) {
      for (std::size_t c = 0; c < channels; c += 64) {
        const std::uint64_t bits = from[c / 64];
        const std::size_t m = std::min<std::size_t>(64, channels - c);
        if (first)
          for (std::size_t i = 0; i < m; ++i) to[c + i] = static_cast<word>((bits >> i) & 1U);
        else
          for (std::size_t i = 0; i < m; ++i) to[c + i] = static_cast<word>(to[c + i] + ((bits >> i) & 1U));
      }
    } else if (first) {
      for (std::size_t c = 0; c < channels; ++c) to[c] = from[c];
    } else {
      for (std::size_t c = 0; c < channels; ++c) to[c] = static_cast<word>(to[c] + from[c]);
    }
  }
};

}  // namespace exec

SPIQ_END_NAMESPACE
