/// @file
/// Executable networks and their sessions.
#pragma once

#include <spiq/core/parallel.hpp>
#include <spiq/core/tensor.hpp>
#include <spiq/exec/chain.hpp>
#include <spiq/exec/event_frame.hpp>
#include <spiq/exec/input.hpp>
#include <spiq/exec/join.hpp>
#include <spiq/exec/pool.hpp>
#include <spiq/exec/probe.hpp>
#include <spiq/exec/report.hpp>
#include <spiq/exec/session_state.hpp>
#include <spiq/exec/synapse.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace exec {

/// Everything that changes while a network runs: buffers, scratch, logits. Allocates once, when made.
/// Holds a pointer to the network, which must outlive it. One session belongs to one thread at a time.
template <class Network>
class Session {
public:
  using Options = SessionOptions;

  /// A session of a temporary network would dangle.
  Session(const Network&&, int, Options) = delete;
  Session(const Network& network, int batch, Options options) : network_(&network), batch_(batch), options_(options) {
    check(options, batch);
    if (options.event_step != 0) {
      if (!options.streaming || batch != 1) SPIQ_THROW("spiq: events need a session of batch 1 with the option streaming");
      events_.allocate(network.input.shape, options.event_step);
    }
    const int threads = std::clamp(options.threads > 0 ? options.threads : max_threads(), 1, batch);
    const int share = (batch + threads - 1) / threads;
    tile_ = options.streaming ? share : std::clamp(options.tile > 0 ? options.tile : network.preferred_tile(), 1, share);
    workers_.resize(static_cast<std::size_t>(threads));
    for (auto& worker : workers_) {
      worker.in.allocate(network.input.shape, tile_, options.streaming ? 1 : network.input.steps);
      if (options.streaming) enable_streaming(worker);
      network.chain.allocate(worker.state, tile_, worker.in);
      if (options.count_internal)
        count_internal(worker.state);
    }
    const auto& last = last_buffer(workers_[0]);
    steps_ = last.steps;
    logits_ = Tensor<float>(Extents{static_cast<std::size_t>(batch), classes()});
    if (options.over_time)
      over_time_ = Tensor<float>(Extents{static_cast<std::size_t>(steps_), static_cast<std::size_t>(batch), classes()});
    if (options.streaming) {
      sums_ = Tensor<float>(logits_.extents());
      step_logits_ = Tensor<float>(logits_.extents());
      reset();
    }
  }

  /// One time step: the images [n, C, H, W] of this step (of a network trained on frames, its next ones), one for each of
  /// the n samples in the session (all of the batch, unless `keep` took some out). Returns the read-out [n, classes] of all
  /// steps since `reset`: T steps with the same images give what `run` gives for T, bit for bit.
  /// Needs the option `streaming`. Never allocates. Throws on other extents.
  const Tensor<float>& step(const Tensor<float>& images) {
    if (!options_.streaming) SPIQ_THROW("spiq: step needs a session with the option streaming");
    const Extents& e = images.extents();
    if (!network_->input.accepts(e, 1) || e[0] != samples_) raise_extents(e, 1);
    if (events_.pending()) SPIQ_THROW("spiq: step while pushed events wait; advance the session past them first");
    return step_all<false>(images);
  }
  /// Takes an event, of a session with the option `event_step` = dt: time starts with 0 at `reset`, time step k has the
  /// events with k dt <= t < (k + 1) dt. Steps that end before it are stepped first, with what was gathered for them: an
  /// input channel (OFF, ON) holds the number of its events of a pixel. The state is that after `step` with the same
  /// frames, bit for bit; a layer whose input is silent costs no product, only its neurons, which decay by one step's leak
  /// for each step (their spikes, where a bias lets them fire, included). Returns the read-out of the finished steps.
  /// Throws, the session unchanged, where time goes back, or more than 2^24 steps on, or pixel or polarity do not exist.
  const Tensor<float>& push(const Event& event) {
    events_.check(event, steps_done_);
    step_to(events_.step_of(event.t));
    events_.add(event);
    return logits_;
  }
  /// Time is `t` (microseconds) now: finishes the steps that end by then, as `push` does. No event before t may follow.
  const Tensor<float>& advance(std::int64_t t) {
    events_.check_time(t, steps_done_);
    step_to(events_.step_of(t));
    events_.pass(t);
    return logits_;
  }
  /// What the last step alone gave, [batch, classes].
  [[nodiscard]] const Tensor<float>& step_logits() const { return step_logits_; }
  /// Steps since the last reset.
  [[nodiscard]] std::size_t steps_done() const { return steps_done_; }
  /// Goes on with some of the samples only, in the order given, which must ascend; the next step takes as many images.
  /// For a streaming session on one thread. Throws where a sample is not in the session.
  void keep(std::span<const std::size_t> samples) {
    if (!options_.streaming || workers_.size() != 1) SPIQ_THROW("spiq: keep needs a streaming session on one thread");
    for (std::size_t i = 0; i < samples.size(); ++i)
      if (samples[i] >= samples_ || (i > 0 && samples[i] <= samples[i - 1]))
        SPIQ_THROW("session samples to keep", "ascending numbers below " + std::to_string(samples_), std::to_string(samples[i]));
    const std::size_t k = classes();
    for (std::size_t to = 0; to < samples.size(); ++to) std::copy_n(sums_.data() + samples[to] * k, k, sums_.data() + to * k);
    auto move = [&](const auto& layer, const auto&, auto& own) { exec::keep(layer, own, samples); };
    network_->chain.visit(workers_[0].in, workers_[0].state, move);
    resize_samples(samples.size());
  }
  /// Neurons as before the first step, all samples of the batch.
  void reset() {
    resize_samples(static_cast<std::size_t>(batch_));
    steps_done_ = 0;
    for (Tensor<float>* const t : {&sums_, &logits_}) std::fill(t->span().begin(), t->span().end(), 0.0f);
    events_.reset();
    for (auto& worker : workers_) {
      auto clear = [](const auto& layer, const auto&, auto& own) { forget(layer, own); };
      network_->chain.visit(worker.in, worker.state, clear);
    }
  }
  /// Everything that `step` goes on from: neurons, sums, number of steps. For `load_state` of a session of the same
  /// network, batch and threads.
  [[nodiscard]] std::vector<float> save_state() const {
    std::vector<float> all{static_cast<float>(samples_)};
    save_count(steps_done_, all);
    all.insert(all.end(), sums_.span().begin(), sums_.span().end());
    for (const auto& worker : workers_) {
      auto append = [&](const auto& layer, const auto&, const auto& own) { save(layer, own, all); };
      network_->chain.visit(worker.in, worker.state, append);
    }
    events_.save(steps_done_, all);
    return all;
  }
  /// Throws where the state is of another size, or its number of steps or time is none; the session then stays as it is.
  void load_state(std::span<const float> state) {
    const std::size_t wanted = save_state().size();
    if (state.size() != wanted) SPIQ_THROW("session state", std::to_string(wanted) + " values", std::to_string(state.size()));
    if (state[0] != static_cast<float>(samples_))
      SPIQ_THROW("session state: samples", std::to_string(samples_), std::to_string(state[0]));
    const std::size_t steps = load_count(state.subspan(1));
    events_.check_saved(steps, state.last(events_.saved()));
    steps_done_ = steps;
    std::span<const float> rest = state.subspan(1 + saved_count + sums_.size());
    std::copy_n(state.begin() + 1 + saved_count, sums_.size(), sums_.data());
    for (std::size_t i = 0; i < sums_.size(); ++i) logits_[i] = network_->readout.of_sum(sums_[i], steps);
    for (auto& worker : workers_) {
      auto restore = [&](const auto& layer, const auto&, auto& own) { rest = load(layer, own, rest); };
      network_->chain.visit(worker.in, worker.state, restore);
    }
    events_.load(steps_done_, rest);
  }

  /// Runs up to `batch` images [N, C, H, W] with values in [0, 1] (a {1, 1, n} input may come as [N, n]), from a fresh
  /// state (a streaming session takes steps, and throws here).
  /// Returns logits [N, classes], valid until the next run. Never allocates. Throws on other extents.
  const Tensor<float>& run(const Tensor<float>& images) {
    const Extents& e = images.extents();
    if (!network_->input.accepts(e) || e[0] > static_cast<std::size_t>(batch_)) raise_extents(e, network_->input.steps);
    return run(images.data(), e[0], network_->input.size());
  }
  /// The same on raw memory: `count` <= batch images, `stride` >= the size of one floats apart. Throws on other numbers.
  const Tensor<float>& run(const float* images, std::size_t count, std::size_t stride) {
    if (options_.streaming) SPIQ_THROW("spiq: run starts fresh; a session with the option streaming takes steps");
    if (count > static_cast<std::size_t>(batch_) || stride < network_->input.size())
      raise_counts(count, stride);
    logits_.resize(Extents{count, classes()});
    samples_ = count;
    for (Worker& worker : workers_) worker.count = 0;
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

  /// Takes out what layer I (a row of `Network::layers()`) gave in the last run or step: calls
  /// sink(sample, step, values) for each sample of it and each time step that the layer emits (counts have one), both
  /// ascending; `values` are floats [y][x][channel], valid during the call. Reads what lies in the session anyway: a
  /// session that nobody probes pays nothing. Throws where a run's samples passed in several tiles (make the session
  /// with {.threads = 1, .tile = batch}), and for membranes without the option `streaming`.
  template <std::size_t I, Probe What = Probe::output, class Sink>
  void probe(Sink&& sink) const {
    static_assert(I < Network::Chain::total,
                  "spiq: probe<I> takes a layer that the executable network has: I is a row of its layers(), from 0");
    if constexpr (I < Network::Chain::total) {
      if (What == Probe::membrane && !options_.streaming)
        SPIQ_THROW("spiq: probe of membranes needs a session with the option streaming");
      if (options_.streaming && steps_done_ == 0) return;
      std::size_t seen = 0;
      for (const Worker& worker : workers_) seen += worker.count;
      if (seen != samples_)
        SPIQ_THROW("session probe",
                   "all " + std::to_string(samples_) + " samples of the last run in one tile (.threads = 1, .tile = batch)",
                   std::to_string(seen));
      for (const Worker& worker : workers_)
        probe_layer<I, What>(network_->chain, worker.state,
                             {worker.first, worker.count, options_.streaming ? steps_done_ - 1 : 0}, sink);
    }
  }

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
    std::size_t first = 0, count = 0;  ///< samples of the batch that the buffers hold
  };

  template <bool Events>
  const Tensor<float>& step_all(const Tensor<float>& images) noexcept {
    const std::size_t size = network_->input.shape.size(), k = classes(), share = static_cast<std::size_t>(tile_);
    ++steps_done_;
    // Each worker keeps the same samples from step to step.
    parallel_for(workers_.size(), 1, static_cast<int>(workers_.size()), [&](std::size_t begin, std::size_t end, int) {
      for (std::size_t w = begin; w < end; ++w) {
        const std::size_t first = std::min(samples_, w * share), last = std::min(samples_, first + share);
        Worker& worker = workers_[w];
        worker.first = first;
        worker.count = last - first;
        if (first == last) continue;
        worker.in.samples = static_cast<int>(last - first);
        for (std::size_t i = first; i < last; ++i) network_->input.fill(images.data() + i * size, worker.in, i - first);
        const auto& out = view_as<typename Network::output_packing>(network_->chain.template run<Events>(worker.in, worker.state));
        for (std::size_t i = first; i < last; ++i) {
          float* const step = step_logits_.data() + i * k;
          network_->readout.decode(out, i - first, step, nullptr, 0);
          for (std::size_t c = 0; c < k; ++c) {
            sums_[i * k + c] += step[c];
            logits_[i * k + c] = network_->readout.of_sum(sums_[i * k + c], steps_done_);
          }
        }
      }
    });
    return logits_;
  }
  void step_to(std::size_t step) {
    while (steps_done_ < step) {
      step_all<true>(events_.frame());
      events_.clear();
    }
  }
  [[nodiscard]] std::size_t classes() const { return static_cast<std::size_t>(network_->readout.classes); }
  const auto& last_buffer(const Worker& worker) const {
    return view_as<typename Network::output_packing>(network_->chain.output(worker.in, worker.state));
  }
  void resize_samples(std::size_t samples) {
    samples_ = samples;
    for (Tensor<float>* const t : {&logits_, &sums_, &step_logits_}) t->resize(Extents{samples, classes()});
  }
  void enable_streaming(Worker& worker) {
    auto enable = [](const auto& layer, const auto&, auto& own) {
      if constexpr (requires { layer.epilogue.streams; })
        SPIQ_THROW("streaming session", "neurons that answer step by step", std::string(layer.epilogue.name));
      if constexpr (requires { own.stream.on; }) own.stream.on = true;
      if constexpr (requires { own.streaming; }) own.streaming = true;
    };
    network_->chain.visit(worker.in, worker.state, enable);
  }
  void count_internal(typename Network::Chain::State& state) {
    auto enable = [](const auto&, const auto&, auto& own) {
      if constexpr (requires { own.count_internal; }) own.count_internal = true;
    };
    network_->chain.visit(workers_[0].in, state, enable);
  }
  [[noreturn]] SPIQ_NOINLINE void raise_extents(const Extents& found, int frames) const {
    SPIQ_THROW("session input", network_->input.describe("N <= " + std::to_string(batch_), frames), to_string(found));
  }
  [[noreturn]] SPIQ_NOINLINE void raise_counts(std::size_t count, std::size_t stride) const {
    SPIQ_THROW("session input",
               "at most " + std::to_string(batch_) + " images, at least " +
                   std::to_string(network_->input.size()) + " floats apart",
               std::to_string(count) + " images, " + std::to_string(stride) + " floats apart");
  }
  void run_range(const float* images, std::size_t stride, std::size_t begin, std::size_t end, Worker& worker) noexcept {
    for (std::size_t first = begin; first < end; first += static_cast<std::size_t>(tile_)) {
      const std::size_t count = std::min(static_cast<std::size_t>(tile_), end - first);
      worker.in.samples = static_cast<int>(count);
      worker.first = first;
      worker.count = count;
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
  Tensor<float> sums_, step_logits_;  ///< of a streaming session
  std::size_t steps_done_ = 0, samples_ = 0;
  EventFrame events_;
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
