/// @file
/// The executable synapse: a product with its epilogue fused behind it.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/packing.hpp>
#include <spiq/exec/spiking.hpp>
#include <spiq/kernel/product.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace exec {

/// What an executable layer remembers of the layer that it came from; for reports and counters, never while it runs.
struct LayerInfo {
  std::string path;            ///< "4.body.0"
  double threshold = 0;        ///< of the neuron behind, in real units; 0 without one
  int levels = 0;              ///< of the activation behind; 0 without one
  int in_steps = 1;            ///< time steps of the input, however they are packed
  std::vector<std::uint32_t> nonzeros;  ///< [kernel_h][kernel_w][in]: outputs reached through a non-zero weight
  std::size_t macs = 0;        ///< of one sample on real taps
};

namespace detail {
template <class A, class B>
struct FanoutSink {
  A first;
  B second;
  template <class V, int MR, int NV>
  SPIQ_INLINE void operator()(const V (&acc)[MR][NV], const kernel::TileAt& at) noexcept {
    first(acc, at);
    second(acc, at);
  }
};
template <class A, class B>
FanoutSink(A, B) -> FanoutSink<A, B>;

template <class Emit, class Epilogue>
auto make_sink(const Epilogue& epilogue, Buffer<Emit>& out, int in_steps, InternalSpikes* internal) {
  return epilogue.sink(out, in_steps, internal);
}
template <class A, class B, class Epilogue>
auto make_sink(const Epilogue& epilogue, Buffer<packing::fanout<A, B>>& out, int in_steps, InternalSpikes* internal) {
  return FanoutSink{make_sink(epilogue, out.first, in_steps, internal),
                    make_sink(epilogue, out.second, in_steps, nullptr)};
}

template <class P>
void allocate(Buffer<P>& buffer, const Shape& shape, int samples, int steps) {
  buffer.allocate(shape, samples, buffer_steps<P>(steps));
}
template <class A, class B>
void allocate(Buffer<packing::fanout<A, B>>& buffer, const Shape& shape, int samples, int steps) {
  allocate(buffer.first, shape, samples, steps);
  allocate(buffer.second, shape, samples, steps);
}
/// Memory for the neurons of a layer that runs step by step; it emits one step at a time.
template <class Epilogue, class S>
int prepare_stream(const Epilogue& epilogue, S& stream, const Shape& shape, int samples, int in_steps) {
  if (!stream.on) return epilogue.out_steps(in_steps);
  if constexpr (requires { Epilogue::stream_states; })
    stream.allocate(Epilogue::stream_states, static_cast<std::size_t>(samples) * shape.pixels(), shape.channels);
  return 1;
}
template <class Sink, class S>
void attach_stream(Sink& sink, S& stream) noexcept {
  if constexpr (requires { sink.stream = &stream; })
    if (stream.on) sink.stream = &stream;
}
template <class P>
void set_samples(Buffer<P>& buffer, int samples) noexcept {
  buffer.samples = samples;
}
template <class A, class B>
void set_samples(Buffer<packing::fanout<A, B>>& buffer, int samples) noexcept {
  buffer.first.samples = samples;
  buffer.second.samples = samples;
}

/// Whether all values of a buffer are zero.
template <class P>
bool silent(const Buffer<P>& b) noexcept {
  for (std::size_t r = 0; r < b.rows(); ++r) {
    bool any = false;
    for (std::size_t i = 0; i < b.stride; ++i) any |= b.row(r)[i] != typename P::word{};
    if (any) return false;
  }
  return true;
}
/// Hands sums of zero to a sink, as a product does for an input of zeros.
template <class V, class Sink>
void sink_zeros(std::size_t rows, int channels, Sink& sink) noexcept {
  constexpr int height = 32;
  V zeros[height][1];
  for (auto& row : zeros) row[0] = V::zero();
  for (int c = 0; c < channels; c += V::width)
    for (std::size_t r = 0; r < rows; r += height)
      sink(zeros, kernel::TileAt{r, static_cast<int>(std::min<std::size_t>(height, rows - r)), c,
                                 std::min(V::width, channels - c)});
}
}  // namespace detail

/// A linear map or convolution with its neuron, activation or plain store fused as the epilogue.
/// Reads packing Take, writes packing Emit (possibly a fanout). Constant while it runs; see State.
template <kernel::Product Product, class Epilogue, class Take, class Emit>
struct Synapse {
  using takes = Take;
  using emits = Emit;

  Product product;
  Epilogue epilogue;
  LayerInfo info;

  /// What changes while the layer runs; one per worker.
  struct State {
    Buffer<Emit> out;
    typename Product::Scratch scratch;
    InternalSpikes internal;
    bool count_internal = false;
    typename stream_of<Epilogue>::type stream;
  };

  [[nodiscard]] Shape output_shape() const { return product.geometry().out(); }

  template <class In>
  void allocate(State& state, int samples, const In& in) const {
    const auto& taken = view_as<Take>(in);
    detail::allocate(state.out, output_shape(), samples,
                     detail::prepare_stream(epilogue, state.stream, output_shape(), samples, taken.steps));
    state.scratch = product.scratch(taken.steps);
  }
  template <class In>
  const Buffer<Emit>& run(const In& in, State& state) const noexcept {
    const auto& taken = view_as<Take>(in);
    auto sink = make_sink(taken, state);
    product.run(taken, 0, taken.samples, sink, state.scratch);
    return state.out;
  }
  /// As `run`, the same bits: an input of zeros costs no product, what comes from it is the bias.
  template <class In>
  const Buffer<Emit>& run_events(const In& in, State& state) const noexcept {
    const auto& taken = view_as<Take>(in);
    if (!detail::silent(taken)) return run(in, state);
    auto sink = make_sink(taken, state);
    detail::sink_zeros<typename Product::vector>(
        static_cast<std::size_t>(taken.samples * taken.steps) * output_shape().pixels(), output_shape().channels, sink);
    return state.out;
  }

private:
  auto make_sink(const Buffer<Take>& taken, State& state) const noexcept {
    SPIQ_ASSERT(state.out.holds(taken.samples));
    detail::set_samples(state.out, taken.samples);
    auto sink = detail::make_sink(epilogue, state.out, taken.steps, state.count_internal ? &state.internal : nullptr);
    detail::attach_stream(sink, state.stream);
    return sink;
  }
};

}  // namespace exec

SPIQ_END_NAMESPACE
