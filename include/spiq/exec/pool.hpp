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
#include <cstring>
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
    const auto row = [&](int y, int x) SPIQ_LAMBDA_INLINE {
      const std::size_t pixel = (sample * static_cast<std::size_t>(geometry.in.height) + static_cast<std::size_t>(y)) *
                                    static_cast<std::size_t>(geometry.in.width) + static_cast<std::size_t>(x);
      return in.row(pixel * steps + step);
    };
    if constexpr (std::is_same_v<Take, packing::by_channel>) {
      static_assert(std::is_same_v<typename Emit::word, std::uint8_t>);
      for (std::size_t c = 0; c < channels; c += 64) {
        const std::size_t count = std::min<std::size_t>(64, channels - c);
        std::uint64_t bytes[8] = {};
        for (int y = window.y0; y < window.y1; ++y)
          for (int x = window.x0; x < window.x1; ++x) {
            const std::uint64_t bits = row(y, x)[c / 64];
            for (std::size_t k = 0; 8 * k < count; ++k) bytes[k] += simd::spread_bits(bits >> 8 * k);
          }
        std::size_t k = 0;
        for (; 8 * k + 8 <= count; ++k) std::memcpy(to + c + 8 * k, bytes + k, 8);
        for (std::size_t i = 8 * k; i < count; ++i) to[c + i] = static_cast<std::uint8_t>(bytes[k] >> 8 * (i - 8 * k));
      }
    } else {
      bool first = true;
      for (int y = window.y0; y < window.y1; ++y)
        for (int x = window.x0; x < window.x1; ++x) {
          const auto* SPIQ_RESTRICT from = row(y, x);
          if (first)
            std::copy_n(from, channels, to);
          else
            for (std::size_t c = 0; c < channels; ++c) to[c] = static_cast<typename Emit::word>(to[c] + from[c]);
          first = false;
        }
    }
  }
};

}  // namespace exec

SPIQ_END_NAMESPACE
