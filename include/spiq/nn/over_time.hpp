/// @file
/// Layers run over time steps: a network of spiking neurons as one layer of a network.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/nn/seq.hpp>
#include <spiq/nn/parameter.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// How many time steps; the default of `OverTime`, a number of the layer afterwards.
template <int T>
struct Steps {};

/// What comes in at each step: the same values every time, or spikes drawn from them.
struct DirectInput {};
/// sign(x) with probability min(1, |x|) at each step; gradients pass as if it were x.
struct PoissonInput {};
/// The channels of the input hold the steps one after the other, all channels of step 0 first.
struct FrameInput {};

/// What goes out: the mean over the steps, or the last one.
struct MeanOverTime {};
struct LastStep {};

/// How it learns. BPTT keeps all steps; `Truncated<W>` is BPTT whose gradients stay within windows of W steps, counted
/// from step 0. SLTT (Meng et al., arXiv 2302.14311) passes no gradient from one step to an earlier one, runs each step
/// again just before its backward pass, and needs the memory of one, whatever T. Where it normalises batches, one more
/// run before the others gathers statistics over all steps, so that training and evaluation normalise alike; the paper's
/// are those of each step. SLTT-K does so for K of the T steps,
/// drawn anew for every batch from the pass's generator; the gradient is the sum over these, not rescaled.
struct Bptt {};
template <int W>
struct Truncated {};
struct Sltt {};
template <int K>
struct SlttK {};

namespace nn {
template <class... Options>
struct TimeOptions {
  static constexpr int steps = 4;
  static constexpr bool poisson = false, frames = false, last = false, sltt = false;
  static constexpr int chosen = 0;  ///< steps that learn; 0: all
  static constexpr int window = 0;  ///< steps that a gradient passes; 0: all
  static constexpr int unknown = 0;
};
template <class First, class... Rest>
struct TimeOptions<First, Rest...> : TimeOptions<Rest...> {
  static constexpr int unknown = TimeOptions<Rest...>::unknown + 1;
};
template <int T, class... Rest>
struct TimeOptions<Steps<T>, Rest...> : TimeOptions<Rest...> {
  static_assert(T >= 1 && T <= 4096, "spiq: Steps<T> takes 1 to 4096 time steps");
  static constexpr int steps = T;
};
template <class... Rest>
struct TimeOptions<DirectInput, Rest...> : TimeOptions<Rest...> {};
template <class... Rest>
struct TimeOptions<PoissonInput, Rest...> : TimeOptions<Rest...> {
  static constexpr bool poisson = true;
};
template <class... Rest>
struct TimeOptions<FrameInput, Rest...> : TimeOptions<Rest...> {
  static constexpr bool frames = true;
};
template <class... Rest>
struct TimeOptions<MeanOverTime, Rest...> : TimeOptions<Rest...> {};
template <class... Rest>
struct TimeOptions<LastStep, Rest...> : TimeOptions<Rest...> {
  static constexpr bool last = true;
};
template <class... Rest>
struct TimeOptions<Bptt, Rest...> : TimeOptions<Rest...> {};
template <class... Rest>
struct TimeOptions<Sltt, Rest...> : TimeOptions<Rest...> {
  static constexpr bool sltt = true;
};
template <int K, class... Rest>
struct TimeOptions<SlttK<K>, Rest...> : TimeOptions<Rest...> {
  static_assert(K >= 1, "spiq: SlttK<K> takes at least one step");
  static constexpr bool sltt = true;
  static constexpr int chosen = K;
};
template <int W, class... Rest>
struct TimeOptions<Truncated<W>, Rest...> : TimeOptions<Rest...> {
  static_assert(W >= 1, "spiq: Truncated<W> takes windows of at least one step");
  static constexpr int window = W;
};
}  // namespace nn

/// `Body` (a `Seq`) at each of T time steps, its spiking layers carrying their state from step to step; in and out are
/// values without time. The other layers of the body see T times as many samples, time first; batch statistics are taken
/// over all of them. What comes before the first
/// spiking layer is best left outside: there direct coding computes it once.
///
/// Options, in any order: `Steps<T>` (4); `DirectInput` (default), `PoissonInput` or `FrameInput`; `MeanOverTime` (default)
/// or `LastStep`; `Bptt` (default), `Truncated<W>`, `Sltt` or `SlttK<K>`. With direct or Poisson coding `steps` may be
/// changed at any time: a network may be trained with many steps and go on with fewer (IIR-SNN, arXiv 2110.05929).
template <class Body, class... Options>
struct OverTime {
  using options = nn::TimeOptions<Options...>;
  using body_type = Body;
  static_assert(options::unknown == 0,
                "spiq: OverTime takes as options Steps<T>, DirectInput, PoissonInput, FrameInput, MeanOverTime, LastStep, "
                "Bptt, Truncated<W>, Sltt and SlttK<K>");
  static constexpr const char* name = "OverTime";
  static constexpr bool composite = true;
  static constexpr Shape step_shape(Shape in) {
    if (options::frames) in.channels = in.channels % options::steps == 0 ? in.channels / options::steps : 0;
    return in;
  }
  static constexpr bool accepts(Shape in) { return step_shape(in).valid() && Body::accepts(step_shape(in)); }
  static constexpr Shape output_shape(Shape in) { return Body::output_shape(step_shape(in)); }

  struct Cache {
    typename Body::Cache body;
    nn::Workspace input, output, output_gradient, input_gradient, sums;
    /// A loss looks at every step: a training pass leaves the outputs of all in `output`, [step][sample][value], and a
    /// backward pass takes their gradients from `output_gradient`, laid out alike, and none from the joint output.
    bool each_step = false;
  };

  Body body;
  Shape in;
  int steps = options::steps;

  explicit OverTime(Shape input) : body(step_shape(input)), in(input) {}

  /// Throws where `steps` is not positive, or with `FrameInput` not that of the type: the input holds so many.
  void forward(const float* x, float* y, std::size_t samples, Cache& cache, const nn::Pass& pass) const {
    check_steps();
    const std::size_t times = static_cast<std::size_t>(steps), out = samples * output_shape(in).size();
    if (options::sltt) {
      if (pass.turned && pass.training())
        SPIQ_THROW("FitOptions::sparsity.both_ways", "BPTT: SLTT runs forward again in its backward pass", "SLTT");
      const bool keeps = cache.each_step && pass.training();
      float* const all = cache.output.get(keeps ? times * out : out);
      if (pools(pass))
        for (std::size_t t = 0; t < times; ++t) step_forward(x, all, samples, t, cache, pass, nn::Statistics::gather);
      for (std::size_t t = 0; t < times; ++t) {
        float* const part = all + (keeps ? t * out : 0);
        step_forward(x, part, samples, t, cache, pass);
        collect(part, y, out, t);
      }
      return;
    }
    float* const input = cache.input.get(times * samples * step_shape(in).size());
    float* const output = cache.output.get(times * out);
    for (std::size_t t = 0; t < times; ++t)
      encode(x, input + t * samples * step_shape(in).size(), samples, t, pass);
    const nn::Pass inner = whole(pass);
    body.forward(input, output, times * samples, cache.body, inner);
    for (std::size_t t = 0; t < times; ++t) collect(output + t * out, y, out, t);
  }

  void backward(const float* x, const float*, const float* dy, float* dx, std::size_t samples, Cache& cache,
                const nn::Pass& pass) {
    const std::size_t times = static_cast<std::size_t>(steps), out = samples * output_shape(in).size();
    const std::size_t step_size = samples * step_shape(in).size();
    if (dx != nullptr) std::fill_n(dx, samples * in.size(), 0.0f);
    if constexpr (options::sltt) {
      std::vector<nn::Parameter> list;
      std::size_t total = 0;
      Body::for_each_layer(body, "", [&](const std::string& path, auto& layer) {
        if constexpr (requires { layer.parameters(path, [](const nn::Parameter&) {}); })
          layer.parameters(path, [&](const nn::Parameter& p) {
            list.push_back(p);
            total += p.gradient.size();
          });
      });
      float* const sums = cache.sums.get(total);
      std::fill_n(sums, total, 0.0f);
      // Of the steps ahead, so many still learn: each is one of them with equal chances.
      std::size_t learn = options::chosen == 0 ? times : std::min(times, static_cast<std::size_t>(options::chosen));
      Rng draw = pass.rng.split(2);
      for (std::size_t t = 0; t < times && learn != 0; ++t) {
        float* const part = cache.each_step ? cache.output.data() + t * out : cache.output.get(out);
        const nn::Pass inner = step_forward(x, part, samples, t, cache, pass);
        if (draw.below(static_cast<std::uint32_t>(times - t)) >= learn) continue;
        --learn;
        float* dpart = cache.output_gradient.get(out);
        if (cache.each_step)
          dpart += t * out;
        else
          spread(dy, dpart, out, t);
        float* const dinput = dx != nullptr ? cache.input_gradient.get(step_size) : nullptr;
        body.backward(cache.input.data(), part, dpart, dinput, samples, cache.body, inner);
        if (dx != nullptr) decode(dinput, dx, samples, t);
        std::size_t at = 0;
        for (const nn::Parameter& p : list)
          for (const float g : p.gradient) sums[at++] += g;
      }
      std::size_t at = 0;
      for (const nn::Parameter& p : list)
        for (float& g : p.gradient) g = sums[at++];
    } else {
      float* const dout = cache.output_gradient.get(times * out);
      float* const dinput = dx != nullptr ? cache.input_gradient.get(times * step_size) : nullptr;
      for (std::size_t t = 0; t < times && !cache.each_step; ++t) spread(dy, dout + t * out, out, t);
      const nn::Pass inner = whole(pass);
      body.backward(cache.input.data(), cache.output.data(), dout, dinput, times * samples, cache.body, inner);
      for (std::size_t t = 0; dx != nullptr && t < times; ++t) decode(dinput + t * step_size, dx, samples, t);
    }
  }

  template <class Hook>
  void observe(const std::string& path, const float* x, float* y, std::size_t samples, Cache& cache,
               const nn::Pass& pass, Hook&& hook) {
    check_steps();
    const std::size_t times = static_cast<std::size_t>(steps), out = samples * output_shape(in).size();
    float* const input = cache.input.get(times * samples * step_shape(in).size());
    float* const output = cache.output.get(times * out);
    for (std::size_t t = 0; t < times; ++t)
      encode(x, input + t * samples * step_shape(in).size(), samples, t, pass);
    const nn::Pass inner = whole(pass);
    body.observe(path + "body.", input, output, times * samples, cache.body, inner, hook);
    for (std::size_t t = 0; t < times; ++t) collect(output + t * out, y, out, t);
  }

  template <class Self, class F>
  static void for_each_layer(Self& self, const std::string& path, F&& f) {
    Body::for_each_layer(self.body, path + "body.", f);
  }
  void initialise(Rng rng) { body.initialise(rng.split(0)); }

private:
  void check_steps() const {
    if (steps < 1 || (options::frames && steps != options::steps))
      SPIQ_THROW("OverTime: steps", options::frames ? std::to_string(options::steps) + ", the frames that the input holds" : "1 or more",
                 std::to_string(steps));
  }
  /// The pass of a body that sees all steps at once.
  [[nodiscard]] nn::Pass whole(const nn::Pass& pass) const {
    nn::Pass inner = pass.at(0);
    inner.steps = steps;
    inner.window = options::window;
    return inner;
  }
  /// Whether batch statistics are gathered over the steps before they are used.
  [[nodiscard]] bool pools(const nn::Pass& pass) const {
    bool normalises = false;
    Body::for_each_layer(body, "", [&](const std::string&, const auto& layer) {
      if constexpr (requires { layer.batch_statistics; }) normalises = true;
    });
    return options::sltt && pass.training() && steps > 1 && normalises;
  }
  /// One step with the state of the step before; its pass.
  nn::Pass step_forward(const float* x, float* y, std::size_t samples, std::size_t t, Cache& cache, const nn::Pass& pass,
                        nn::Statistics statistics = nn::Statistics::pooled) const {
    nn::Pass inner = pass.at(0).at(t);
    inner.fresh = t == 0;
    inner.pack = pass.pack && t == 0;
    inner.statistics = pools(pass) ? statistics : nn::Statistics::own;
    encode(x, cache.input.get(samples * step_shape(in).size()), samples, t, pass);
    body.forward(cache.input.data(), y, samples, cache.body, inner);
    return inner;
  }
  /// The input of step t.
  void encode(const float* x, float* input, std::size_t samples, std::size_t t, const nn::Pass& pass) const {
    const std::size_t n = samples * step_shape(in).size();
    if constexpr (options::frames) {
      const auto channels = static_cast<std::size_t>(step_shape(in).channels), all = static_cast<std::size_t>(in.channels);
      for (std::size_t p = 0; p < samples * in.pixels(); ++p)
        std::copy_n(x + p * all + t * channels, channels, input + p * channels);
    } else if constexpr (options::poisson) {
      Rng draw = pass.rng.split(1).split(t);
      for (std::size_t i = 0; i < n; ++i) input[i] = draw.uniform() < std::fabs(x[i]) ? std::copysign(1.0f, x[i]) : 0.0f;
    } else {
      std::copy_n(x, n, input);
    }
  }
  /// Adds the gradient of the input of step t to that of x.
  void decode(const float* dinput, float* dx, std::size_t samples, std::size_t) const
    requires(!options::frames)
  {
    for (std::size_t i = 0; i < samples * in.size(); ++i) dx[i] += dinput[i];
  }
  void decode(const float* dinput, float* dx, std::size_t samples, std::size_t t) const
    requires(options::frames)
  {
    const auto channels = static_cast<std::size_t>(step_shape(in).channels), all = static_cast<std::size_t>(in.channels);
    for (std::size_t p = 0; p < samples * in.pixels(); ++p)
      std::copy_n(dinput + p * channels, channels, dx + p * all + t * channels);
  }
  /// Joins the output of step t to the result, and its gradient from that of the result.
  void collect(const float* part, float* y, std::size_t n, std::size_t t) const {
    if constexpr (options::last) {
      std::copy_n(part, n, y);
    } else {
      const float share = 1.0f / static_cast<float>(steps);
      for (std::size_t i = 0; i < n; ++i) y[i] = t == 0 ? part[i] * share : y[i] + part[i] * share;
    }
  }
  void spread(const float* dy, float* dpart, std::size_t n, std::size_t t) const {
    const bool silent = options::last && t + 1 != static_cast<std::size_t>(steps);
    const float share = silent ? 0.0f : options::last ? 1.0f : 1.0f / static_cast<float>(steps);
    for (std::size_t i = 0; i < n; ++i) dpart[i] = dy[i] * share;
  }
};

SPIQ_END_NAMESPACE
