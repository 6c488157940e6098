/// @file
/// Executable networks and their sessions.
#pragma once

#include <spiq/core/parallel.hpp>
#include <spiq/core/tensor.hpp>
#include <spiq/exec/chain.hpp>
#include <spiq/exec/input.hpp>
#include <spiq/exec/join.hpp>
#include <spiq/exec/pool.hpp>
#include <spiq/exec/report.hpp>
#include <spiq/exec/synapse.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace exec {

/// How a session divides its work.
struct SessionOptions {
  int threads = 0;       ///< workers at most; 0: as many as a parallel region would get
  int tile = 0;          ///< samples that pass through all layers together; 0: chosen by size
  bool over_time = false;       ///< also keep the logits after every step
  bool count_internal = false;  ///< count PASCAL's internal spikes
};

/// Everything that changes while a network runs: buffers, scratch, logits. Allocates once, when made.
/// Holds a pointer to the network, which must outlive it. One session belongs to one thread at a time.
template <class Network>
class Session {
public:
  using Options = SessionOptions;

  /// A session of a temporary network would dangle.
  Session(const Network&&, int, Options) = delete;
  Session(const Network& network, int batch, Options options) : network_(&network), batch_(batch), options_(options) {
    if (batch < 1) SPIQ_THROW("session batch", "at least 1", std::to_string(batch));
    const int threads = std::clamp(options.threads > 0 ? options.threads : max_threads(), 1, batch);
    const int share = (batch + threads - 1) / threads;
    tile_ = std::clamp(options.tile > 0 ? options.tile : network.preferred_tile(), 1, share);
    workers_.resize(static_cast<std::size_t>(threads));
    for (auto& worker : workers_) {
      worker.in.allocate(network.input.shape, tile_, 1);
      network.chain.allocate(worker.state, tile_, worker.in);
      if (options.count_internal)
        count_internal(worker.state);
    }
    const auto& last = last_buffer(workers_[0]);
    steps_ = last.steps;
    logits_ = Tensor<float>(Extents{static_cast<std::size_t>(batch), classes()});
    if (options.over_time)
      over_time_ = Tensor<float>(Extents{static_cast<std::size_t>(steps_), static_cast<std::size_t>(batch), classes()});
  }

  /// Runs up to `batch` images [N, C, H, W] with values in [0, 1] (a {1, 1, n} input may come as [N, n]).
  /// Returns logits [N, classes], valid until the next run. Never allocates. Throws on other extents.
  const Tensor<float>& run(const Tensor<float>& images) {
    const Extents& e = images.extents();
    if (!network_->input.accepts(e) || e[0] > static_cast<std::size_t>(batch_)) raise_extents(e);
    return run(images.data(), e[0], network_->input.shape.size());
  }
  /// The same on raw memory: `count` <= batch images, `stride` >= the size of one floats apart. Throws on other numbers.
  const Tensor<float>& run(const float* images, std::size_t count, std::size_t stride) {
    if (count > static_cast<std::size_t>(batch_) || stride < network_->input.shape.size())
      raise_counts(count, stride);
    logits_.resize(Extents{count, classes()});
    if (options_.over_time) over_time_.resize(Extents{static_cast<std::size_t>(steps_), count, classes()});
    if (workers_.size() == 1 || count == 1)
      run_range(images, stride, 0, count, workers_[0]);
    else
      parallel_for(count, 1, static_cast<int>(workers_.size()), [&](std::size_t begin, std::size_t end, int worker) {
        run_range(images, stride, begin, end, workers_[static_cast<std::size_t>(worker)]);
      });
    return logits_;
  }

  /// Logits [N, classes] of the last run.
  [[nodiscard]] const Tensor<float>& logits() const { return logits_; }
  /// Logits [T, N, classes] of the last run after 1 ... T steps; needs the option `over_time`.
  [[nodiscard]] const Tensor<float>& logits_over_time() const {
    if (!options_.over_time) SPIQ_THROW("spiq: logits_over_time needs a session with the option over_time");
    return over_time_;
  }
  [[nodiscard]] const Network& network() const { return *network_; }
  [[nodiscard]] int steps() const { return steps_; }
  [[nodiscard]] int batch() const { return batch_; }
  [[nodiscard]] int tile() const { return tile_; }

  /// Calls f(layer, input buffer, layer state) for every layer after the last tile that worker 0 ran.
  /// To see all samples of a batch make the session with {.threads = 1, .tile = batch}.
  template <class F>
  void visit(F f) {
    network_->chain.visit(workers_[0].in, workers_[0].state, f);
  }
  template <class F>
  void visit(F f) const {
    network_->chain.visit(workers_[0].in, workers_[0].state, f);
  }

private:
  struct Worker {
    Buffer<typename Network::input_packing> in;
    typename Network::Chain::State state;
  };

  [[nodiscard]] std::size_t classes() const { return static_cast<std::size_t>(network_->readout.classes); }
  const auto& last_buffer(const Worker& worker) const {
    return view_as<typename Network::output_packing>(network_->chain.output(worker.in, worker.state));
  }
  void count_internal(typename Network::Chain::State& state) {
    auto enable = [](const auto&, const auto&, auto& own) {
      if constexpr (requires { own.count_internal; }) own.count_internal = true;
    };
    network_->chain.visit(workers_[0].in, state, enable);
  }
  [[noreturn]] SPIQ_NOINLINE void raise_extents(const Extents& found) const {
    SPIQ_THROW("session input", network_->input.describe("N <= " + std::to_string(batch_)), to_string(found));
  }
  [[noreturn]] SPIQ_NOINLINE void raise_counts(std::size_t count, std::size_t stride) const {
    SPIQ_THROW("session input",
               "at most " + std::to_string(batch_) + " images, at least " +
                   std::to_string(network_->input.shape.size()) + " floats apart",
               std::to_string(count) + " images, " + std::to_string(stride) + " floats apart");
  }
  void run_range(const float* images, std::size_t stride, std::size_t begin, std::size_t end, Worker& worker) noexcept {
    for (std::size_t first = begin; first < end; first += static_cast<std::size_t>(tile_)) {
      const std::size_t count = std::min(static_cast<std::size_t>(tile_), end - first);
      worker.in.samples = static_cast<int>(count);
      for (std::size_t i = 0; i < count; ++i) network_->input.fill(images + (first + i) * stride, worker.in, i);
      const auto& last = view_as<typename Network::output_packing>(network_->chain.run(worker.in, worker.state));
      const std::size_t k = classes();
      for (std::size_t i = 0; i < count; ++i)
        network_->readout.decode(last, i, logits_.data() + (first + i) * k,
                                 options_.over_time ? over_time_.data() + (first + i) * k : nullptr,
                                 options_.over_time ? over_time_.extent(1) * k : 0);
    }
  }

  const Network* network_;
  int batch_;
  Options options_;
  int tile_ = 1;
  int steps_ = 1;
  std::vector<Worker> workers_;
  Tensor<float> logits_;
  Tensor<float> over_time_;
};

/// What `lower` returns: constant while it runs, so any number of sessions and threads may share it.
template <class InputPacking, class OutputPacking, class ChainType>
struct Network {
  using input_packing = InputPacking;
  using output_packing = OutputPacking;
  using Chain = ChainType;

  InputStage input;
  Chain chain;
  Readout readout;
  std::string target;
  bool spiking = false;

  /// Buffers and scratch for up to `batch` images at a time.
  [[nodiscard]] Session<Network> session(int batch = 1, SessionOptions options = {}) const& {
    return Session<Network>(*this, batch, options);
  }
  /// A session of a temporary network would dangle.
  Session<Network> session(int batch = 1, SessionOptions options = {}) const&& = delete;

  /// Logits [N, classes] of images [N, C, H, W]; makes a session each time: for scripts.
  [[nodiscard]] Tensor<float> operator()(const Tensor<float>& images) const& {
    input.check(images.extents());  // before anything is allocated for them
    auto s = session(static_cast<int>(images.extents().rank() == 0 ? 1 : std::max<std::size_t>(1, images.extent(0))));
    return s.run(images);
  }

  /// One row per executable layer: where it came from, product, packings, threshold, levels.
  [[nodiscard]] std::vector<LayerReport> layers() const {
    std::vector<LayerReport> rows;
    auto add = [&](const auto& layer) { rows.push_back(describe(layer)); };
    chain.for_each_layer(add);
    return rows;
  }
  /// T: the largest number of steps that a layer emits.
  [[nodiscard]] int timesteps() const {
    int steps = 1;
    for (const auto& row : layers()) steps = std::max(steps, row.steps);
    return steps;
  }
  /// Steps from the first input to the last output when every layer waits for the one before: the sum of the neurons'
  /// updates for PASCAL, T for neurons that answer at every step; 0 for networks without neurons.
  [[nodiscard]] int latency_steps() const {
    int total = 0;
    for (const auto& row : layers())
      total = readout.decoding == Decoding::mean ? std::max(total, row.updates) : total + row.updates;
    return total;
  }
  /// Bytes of packed weights.
  [[nodiscard]] std::size_t weight_bytes() const {
    std::size_t bytes = 0;
    for (const auto& row : layers()) bytes += row.packed_bytes;
    return bytes;
  }
  /// Samples that pass through all layers together: few enough for their activations to stay in cache, enough for
  /// weights that do not to be read seldom.
  [[nodiscard]] int preferred_tile() const {
    std::size_t largest = input.shape.size();
    auto measure = [&](const auto& layer) { largest = std::max(largest, layer.output_shape().size()); };
    chain.for_each_layer(measure);
    const std::size_t by_cache = std::max<std::size_t>(1, (std::size_t{256} << 10) / (largest * sizeof(float)));
    const std::size_t by_weights = weight_bytes() > (std::size_t{2} << 20) ? 16 : 1;
    return static_cast<int>(std::min<std::size_t>(std::max(by_cache, by_weights), 64));
  }
};

}  // namespace exec

SPIQ_END_NAMESPACE
