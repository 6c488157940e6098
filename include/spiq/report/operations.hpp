/// @file
/// Counts the operations of an executable network from what its buffers hold after a run. A network that nobody counts
/// pays nothing: there is no counter in its kernels.
#pragma once

#include <spiq/core/parallel.hpp>
#include <spiq/exec/delay.hpp>
#include <spiq/exec/network.hpp>
#include <spiq/exec/recurrent.hpp>
#include <spiq/report/activity.hpp>
#include <spiq/report/energy.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace report {

/// Operations of one layer, as means per image.
struct LayerOperations {
  std::string path;
  double neurons = 0;  ///< 0 for layers without a neuron
  OperationCounts counts{};
};

namespace detail {
/// Its neurons fire; they answer only when they have seen all steps.
template <class Epilogue>
inline constexpr bool fires = requires { requires Epilogue::fires; };
template <class Epilogue>
inline constexpr bool answers_at_end = requires { requires !Epilogue::streams; };
template <class Layer>
concept WithEpilogue = requires(const Layer& layer) { layer.epilogue; };
template <class Layer>
concept WithProduct = requires(const Layer& layer) { layer.product; };

/// Spikes come back to their own layer, or wait in it.
template <class Layer>
inline constexpr bool recurrent = false;
template <class M, class Arch>
inline constexpr bool recurrent<exec::Recurrent<M, Arch>> = true;
template <class Layer>
inline constexpr bool delays = false;
template <class Take>
inline constexpr bool delays<exec::Delay<Take>> = true;

template <class Layer>
constexpr bool layer_spikes() {
  if constexpr (recurrent<Layer>)
    return true;
  else if constexpr (WithEpilogue<Layer>)
    return fires<std::remove_cvref_t<decltype(std::declval<Layer>().epilogue)>>;
  else
    return false;
}
}  // namespace detail

/// Adds up the operations of the images that a session runs. Definitions: see energy.hpp.
/// Join layers with an identity shortcut count one AC per spike that comes through it; layers with delays or recurrence
/// one per synapse that a value wakes while the run lasts.
class OperationCounter {
public:
  /// Adds the last run. The session must see its whole batch at once and count internal spikes: make it with
  /// {.threads = 1, .tile = batch, .count_internal = true}. One counter serves one session, from its first run on.
  template <class Session>
  void add(const Session& session) {
    bool spiking = false;
    session.visit([&](const auto& layer, const auto&, const auto&) {
      spiking |= detail::layer_spikes<std::remove_cvref_t<decltype(layer)>>();
    });
    std::size_t index = 0;
    std::size_t samples = 0;
    session.visit([&](const auto& layer, const auto& in, const auto& state) {
      if (index == layers_.size()) layers_.emplace_back();
      Row& row = layers_[index++];
      row.path = layer.info.path;
      samples = static_cast<std::size_t>(detail::any_part(state.out).samples);
      count(row, layer, in, state, spiking);
    });
    images_ += samples;
  }

  /// Adds the counts of a counter of other images of the same network.
  void add(const OperationCounter& other) {
    if (layers_.empty()) {
      *this = other;
      return;
    }
    images_ += other.images_;
    for (std::size_t i = 0; i < std::min(layers_.size(), other.layers_.size()); ++i) layers_[i].add(other.layers_[i]);
  }

  [[nodiscard]] std::size_t images() const { return images_; }
  /// Means per image, layer by layer in network order.
  [[nodiscard]] std::vector<LayerOperations> per_layer() const {
    std::vector<LayerOperations> out;
    const double n = static_cast<double>(std::max<std::size_t>(images_, 1));
    const auto mean = [&](std::uint64_t total) { return static_cast<double>(total) / n; };
    for (const Row& r : layers_) {
      LayerOperations o;
      o.path = r.path;
      o.neurons = static_cast<double>(r.neurons);
      o.counts = {.mac = mean(r.mac),
                  .ac = mean(r.ac),
                  .neuron_updates = mean(r.updates),
                  .spikes = mean(r.spikes),
                  .internal_spikes = mean(r.internal),
                  .inhibitory_spikes = mean(r.inhibitory),
                  .neurobench_mac = mean(r.neurobench_mac),
                  .neurobench_ac = mean(r.neurobench_ac)};
      out.push_back(std::move(o));
    }
    return out;
  }
  /// Means per image of the whole network.
  [[nodiscard]] OperationCounts mean() const {
    OperationCounts sum;
    for (const LayerOperations& l : per_layer()) sum += l.counts;
    return sum;
  }
  /// Sum over the PASCAL layers of T1 + (max(T1, T2) - 1) + T2: steps until the output stands. 0 without PASCAL.
  [[nodiscard]] std::size_t latency_steps() const {
    std::size_t n = 0;
    for (const Row& r : layers_) n += r.latency;
    return n;
  }

private:
  struct Row {
    std::string path;
    std::size_t neurons = 0, latency = 0;
    std::uint64_t mac = 0, ac = 0, updates = 0, spikes = 0, internal = 0, inhibitory = 0;
    std::uint64_t neurobench_mac = 0, neurobench_ac = 0;
    std::vector<std::uint32_t> reach;  ///< [pixels][channels]: weights that one spike of this input neuron reaches

    void add(const Row& o) {
      mac += o.mac;
      ac += o.ac;
      updates += o.updates;
      spikes += o.spikes;
      internal += o.internal;
      inhibitory += o.inhibitory;
      neurobench_mac += o.neurobench_mac;
      neurobench_ac += o.neurobench_ac;
    }
  };

  template <class Layer, class In, class State>
  static void count(Row& row, const Layer& layer, const In& in, const State& state, bool spiking) {
    if constexpr (detail::WithProduct<Layer>) {
      count_synapse(row, layer, view_as<typename Layer::takes>(in), spiking);
    } else if constexpr (detail::delays<Layer>) {
      count_delays(row, layer, view_as<typename Layer::takes>(in), spiking);
    } else if constexpr (detail::recurrent<Layer>) {
      count_recurrent(row, layer, state.out);
    } else if constexpr (requires { layer.shortcut; }) {
      using Shortcut = std::remove_cvref_t<decltype(layer.shortcut)>;
      if constexpr (Shortcut::size == 0) count_identity(row, Layer::branch(in), spiking);
    } else if constexpr (requires { layer.out_projection; }) {
      row.mac += static_cast<std::uint64_t>(state.out.samples) * layer.info.macs;
    }
    if constexpr (detail::layer_spikes<Layer>() && detail::WithEpilogue<Layer>) {
      using Epilogue = std::remove_cvref_t<decltype(layer.epilogue)>;
      const auto& buffer = detail::any_part(state.out);
      const auto samples = static_cast<std::size_t>(buffer.samples);
      // Counts do not show the steps that they stand for; the layer knows them.
      const auto updates = static_cast<std::size_t>(layer.epilogue.updates(layer.info.in_steps));
      row.neurons = buffer.shape.size();
      row.latency = detail::answers_at_end<Epilogue> ? updates : 0;
      row.updates += samples * row.neurons * updates;
      detail::for_each_active(buffer, samples, [&](std::size_t, std::size_t, unsigned n) { row.spikes += n; });
      row.internal = state.internal.forward;
      row.inhibitory = state.internal.inhibitory;
    }
  }

  template <class Layer, class P>
  static void count_synapse(Row& row, const Layer& layer, const Buffer<P>& in, bool spiking) {
    const auto samples = static_cast<std::uint64_t>(in.samples);
    if constexpr (detail::integer_packing<P>) {
      if (row.reach.empty()) row.reach = reach(layer);
      const auto channels = static_cast<std::size_t>(in.shape.channels);
      const auto steps = static_cast<std::size_t>(in.steps);
      const std::size_t pixels = in.shape.pixels();
      std::uint64_t events = 0, active = 0;
      detail::for_each_active(in, static_cast<std::size_t>(in.samples), [&](std::size_t r, std::size_t c, unsigned n) {
        const std::uint64_t weights = row.reach[r / steps % pixels * channels + c];
        events += n * weights;
        active += weights;
      });
      // Binary by what the packing can hold, not by what these images happened to give.
      (std::is_same_v<P, packing::by_channel> ? row.neurobench_ac : row.neurobench_mac) += active;
      if (spiking) {
        row.ac += events;
        return;
      }
    } else {
      if (row.reach.empty()) row.reach = reach(layer);
      const auto channels = static_cast<std::size_t>(in.shape.channels);
      const auto steps = static_cast<std::size_t>(in.steps);
      const std::size_t rows = static_cast<std::size_t>(in.samples) * in.sample_rows();
      for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t c = 0; c < channels; ++c)
          if (in.row(r)[c] != 0) row.neurobench_mac += row.reach[r / steps % in.shape.pixels() * channels + c];
    }
    row.mac += samples * static_cast<std::uint64_t>(in.steps) * layer.info.macs;
  }
  /// A value that comes in wakes the synapses that answer within the run.
  template <class Layer, class P>
  static void count_delays(Row& row, const Layer& layer, const Buffer<P>& in, bool spiking) {
    const auto channels = static_cast<std::size_t>(in.shape.channels), held = static_cast<std::size_t>(in.steps);
    const auto steps = static_cast<std::size_t>(layer.steps);
    const exec::DelayedSynapses& s = layer.synapses;
    const auto woken = [&](std::size_t r, std::size_t c) {
      std::uint64_t n = 0;
      const std::size_t input = r / held % in.shape.pixels() * channels + c;
      // The same input at each step comes in at each.
      for (std::size_t t = held == 1 ? 0 : r % held; t < (held == 1 ? steps : r % held + 1); ++t)
        for (std::size_t d = 0; d < std::min(s.taps, steps - t); ++d)
          n += s.first[d * s.inputs + input + 1] - s.first[d * s.inputs + input];
      return n;
    };
    for (std::size_t r = 0; r < in.rows(); ++r)
      kernel::for_each_event<P>(in.row(r), in.shape.channels, [&](std::size_t c, float value) {
        const std::uint64_t n = woken(r, c);
        if constexpr (detail::integer_packing<P>) {
          (std::is_same_v<P, packing::by_channel> ? row.neurobench_ac : row.neurobench_mac) += n;
          (spiking ? row.ac : row.mac) += n * static_cast<std::uint64_t>(value);
        } else {
          row.neurobench_mac += n;
          row.mac += n;
        }
      });
  }
  /// A spike wakes the non-zero weights of its neuron a step later, but for those of the last step.
  template <class Layer>
  static void count_recurrent(Row& row, const Layer& layer, const Buffer<packing::by_channel>& out) {
    const auto steps = static_cast<std::size_t>(out.steps);
    row.neurons = out.shape.size();
    row.updates += static_cast<std::uint64_t>(out.samples) * row.neurons * steps;
    detail::for_each_active(out, static_cast<std::size_t>(out.samples), [&](std::size_t r, std::size_t from, unsigned) {
      ++row.spikes;
      if (r % steps + 1 == steps) return;
      const float* const w = layer.weight.data() + from * layer.stride();
      const auto n = static_cast<std::uint64_t>(row.neurons - static_cast<std::size_t>(std::count(w, w + row.neurons, 0.0f)));
      row.ac += n;
      row.neurobench_ac += n;
    });
  }
  template <class P>
  static void count_identity(Row& row, const Buffer<P>& in, bool spiking) {
    if (!spiking) return;
    if constexpr (detail::integer_packing<P>)
      detail::for_each_active(in, static_cast<std::size_t>(in.samples), [&](std::size_t, std::size_t, unsigned n) {
        row.ac += n;
        ++row.neurobench_ac;
      });
  }

  /// Non-zero weights that read each input neuron, borders included.
  template <class Layer>
  static std::vector<std::uint32_t> reach(const Layer& layer) {
    const auto& g = layer.product.geometry();
    std::vector<std::uint32_t> out(g.in.size());
    const auto target = [](int i, int tap, int pad, int dilation, int stride, int outputs) {
      const int o = i + pad - tap * dilation;
      return o >= 0 && o % stride == 0 && o / stride < outputs;
    };
    const auto channels = static_cast<std::size_t>(g.in.channels);
    for (int y = 0; y < g.in.height; ++y)
      for (int x = 0; x < g.in.width; ++x)
        for (int ky = 0; ky < g.kernel_h; ++ky)
          for (int kx = 0; kx < g.kernel_w; ++kx) {
            if (!target(y, ky, g.pad_h, g.dilation_h, g.stride_h, g.out_h()) ||
                !target(x, kx, g.pad_w, g.dilation_w, g.stride_w, g.out_w()))
              continue;
            const std::size_t to = static_cast<std::size_t>(y * g.in.width + x) * channels;
            const std::size_t from = static_cast<std::size_t>(ky * g.kernel_w + kx) * channels;
            for (std::size_t c = 0; c < channels; ++c) out[to + c] += layer.info.nonzeros[from + c];
          }
    return out;
  }

  std::vector<Row> layers_;
  std::size_t images_ = 0;
};

/// Operations of `network` on `count` images, `stride` floats apart; means per image. Same result for any `threads`.
template <class Network>
OperationCounter count_operations(const Network& network, const float* images, std::size_t count, std::size_t stride,
                                  int threads = 0) {
  constexpr std::size_t batch = 16;
  const int workers = std::max(threads > 0 ? threads : max_threads(), 1);
  std::vector<OperationCounter> counters(static_cast<std::size_t>(workers));
  // Sessions are made here, not by the workers: a failure must not leave a parallel region.
  const exec::SessionOptions whole{.threads = 1, .tile = static_cast<int>(batch), .count_internal = true};
  std::vector<exec::Session<Network>> sessions;
  for (int w = 0; w < workers; ++w) sessions.push_back(network.session(static_cast<int>(batch), whole));
  // Throws here if the images do not fit; a session of its own, since internal spikes are running totals.
  if (count > 0) network.session(1, {.threads = 1, .tile = 1}).run(images, 1, stride);
  parallel_for((count + batch - 1) / batch, 1, workers, [&](std::size_t begin, std::size_t end, int worker) {
    auto& session = sessions[static_cast<std::size_t>(worker)];
    for (std::size_t b = begin; b < end; ++b) {
      session.run(images + b * batch * stride, std::min(batch, count - b * batch), stride);
      counters[static_cast<std::size_t>(worker)].add(session);
    }
  });
  OperationCounter sum;
  for (const OperationCounter& c : counters) sum.add(c);
  return sum;
}

}  // namespace report

SPIQ_END_NAMESPACE
