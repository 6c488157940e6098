/// @file
/// Spiking neurons whose spikes come back to all of them a step later.
#pragma once

#include <spiq/kernel/gemm.hpp>
#include <spiq/nn/chunks.hpp>
#include <spiq/nn/spiking.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>

SPIQ_BEGIN_NAMESPACE

/// Recurrent<Spiking<...>>: the neurons of a `Spiking` layer, whose current at step t also has W s[t - 1], W [n, n]
/// learned (out, in), s the layer's own spikes, none before the first step: snnTorch's RLeaky with all_to_all = True.
/// {1, 1, n} -> {1, 1, n}, inside `OverTime`, over any number of steps. Gradients pass through time along the
/// potentials and along the spikes that come back, within windows of `Pass::window` steps or over all of the pass (with
/// `Sltt`, whose passes hold one step, to no earlier one); W sees all that came back. `Pass::spike_weight` as in
/// `Spiking`.
template <class Body>
struct Recurrent {
  static_assert(!std::is_same_v<Body, Body>, "spiq: Recurrent<Body> takes a Spiking<...> layer as its body");
};
template <neuron::Model M, class Surrogate, class... Options>
struct Recurrent<Spiking<M, Surrogate, Options...>> {
  using body_type = Spiking<M, Surrogate, Options...>;
  static constexpr const char* name = "Recurrent";
  static constexpr bool accepts(Shape in) { return in.height == 1 && in.width == 1 && in.channels > 0; }
  static constexpr Shape output_shape(Shape in) { return in; }

  struct Cache {
    nn::Workspace current;             ///< [step][neuron]
    nn::Workspace before;              ///< [step][state][neuron], what each step began with
    nn::Workspace state, first, last;  ///< spikes before the first and of the last step of the pass
    nn::Workspace gradient, spike_gradient, current_gradient, sums;
  };

  Shape in;
  body_type body;
  Tensor<float> weight, weight_gradient;  ///< [n, n]: to, from

  explicit Recurrent(Shape input)
      : in(input), body(input), weight({input.size(), input.size()}), weight_gradient(weight.extents()) {}

  /// Normal weights of deviation 1 / sqrt n.
  void initialise(Rng rng) {
    const float deviation = 1 / std::sqrt(static_cast<float>(in.size()));
    for (float& w : weight.span()) w = deviation * rng.normal();
  }

  void forward(const float* x, float* y, std::size_t samples, Cache& cache, const nn::Pass& pass) const {
    const Sizes z(samples, in, pass);
    float* const state = cache.state.get(states * z.neurons);
    float* const last = cache.last.get(z.neurons);
    if (pass.fresh) {
      const auto initial = body.model.initial_state();
      for (std::size_t k = 0; k < states; ++k) std::fill_n(state + k * z.neurons, z.neurons, initial[k]);
      std::fill_n(last, z.neurons, 0.0f);
    }
    const bool keeps = pass.training();
    std::copy_n(last, z.neurons, cache.first.get(z.neurons));
    float* const currents = cache.current.get((keeps ? z.steps : 1) * z.neurons);
    float* const before = keeps ? cache.before.get(z.steps * states * z.neurons) : nullptr;
    for (std::size_t t = 0; t < z.steps; ++t) {
      const float* const came = t == 0 ? last : y + (t - 1) * z.neurons;
      float* const current = currents + (keeps ? t * z.neurons : 0);
      std::copy_n(x + t * z.neurons, z.neurons, current);
      nn::for_chunks(z.batch, row_chunk, pass.threads, [&](std::size_t row, std::size_t count) {
        kernel::gemm(size(count, z.n, z.n), came + row * z.n, z.n, false, weight.data(), z.n, true, current + row * z.n,
                     z.n, true);
      });
      if (keeps) std::copy_n(state, states * z.neurons, before + t * states * z.neurons);
      parallel_for(z.neurons, grain, pass.threads, [&](std::size_t begin, std::size_t end, int) {
        neuron::run_range(body.model, 1, z.neurons, begin, end, current, state,
                          [&](std::size_t, std::size_t i, auto access, const auto& spike, const auto&) {
                            access.store(neuron::amount(spike), y + t * z.neurons + i);
                          });
      });
    }
    std::copy_n(y + (z.steps - 1) * z.neurons, z.neurons, last);
  }

  void backward(const float*, const float* y, const float* dy, float* dx, std::size_t samples, Cache& cache,
                const nn::Pass& pass) {
    const Sizes z(samples, in, pass);
    constexpr std::size_t parameters = M::parameter_count;
    float* const gradient = cache.gradient.get(states * z.neurons);
    float* const dspikes = cache.spike_gradient.get(z.neurons);
    float* const dcurrent = dx != nullptr ? dx : cache.current_gradient.get(samples * z.n);
    const std::size_t chunks = (z.neurons + grain - 1) / grain;
    float* const sums = body_type::learned ? cache.sums.get(chunks * parameters) : nullptr;
    if (body_type::learned) std::fill_n(sums, chunks * parameters, 0.0f);
    const neuron::Differentiable<typename M::compare, Surrogate> fire{body.surrogate,
                                                                      nn::times_given<DetachReset, Options...> != 0};
    const float cost = pass.spike_weight / static_cast<float>(std::max<std::size_t>(z.batch, 1));
    const std::size_t window = pass.window == 0 ? z.steps : static_cast<std::size_t>(pass.window);
    for (std::size_t t = z.steps; t-- > 0;) {
      for (std::size_t i = 0; i < z.neurons; ++i) dspikes[i] = dy[t * z.neurons + i] + cost;
      const bool last = (t + 1) % window == 0 || t + 1 == z.steps;  // of its window
      if (last)
        std::fill_n(gradient, states * z.neurons, 0.0f);
      else
        nn::for_chunks(z.batch, row_chunk, pass.threads, [&](std::size_t row, std::size_t count) {
          kernel::gemm(size(count, z.n, z.n), dcurrent + (t + 1) * z.neurons + row * z.n, z.n, false, weight.data(),
                       z.n, false, dspikes + row * z.n, z.n, true);
        });
      nn::for_chunks(z.neurons, grain, pass.threads, [&](std::size_t begin, std::size_t count) {
        neuron::step_backward(body.model, fire, z.neurons, begin, begin + count, cache.current.data() + t * z.neurons,
                              cache.before.data() + t * states * z.neurons, dspikes, gradient, dcurrent + t * z.neurons,
                              body_type::learned ? sums + begin / grain * parameters : nullptr);
      });
    }
    if constexpr (body_type::learned) {
      body.gradients.fill(0);
      for (std::size_t c = 0; c < chunks; ++c)
        for (std::size_t k = 0; k < parameters; ++k) body.gradients[k] += sums[c * parameters + k];
    }
    // What came back: in the first step the spikes of the pass before, then those of the step before.
    nn::for_chunks(z.n, 64, pass.threads, [&](std::size_t from, std::size_t count) {
      kernel::gemm(size(z.n, count, z.batch), dcurrent, z.n, true, cache.first.data() + from, z.n, false,
                   weight_gradient.data() + from, z.n, false);
      if (z.steps > 1)
        kernel::gemm(size(z.n, count, (z.steps - 1) * z.batch), dcurrent + z.neurons, z.n, true, y + from, z.n, false,
                     weight_gradient.data() + from, z.n, true);
    });
  }

  template <class Visitor>
  void parameters(const std::string& path, Visitor&& visit) {
    visit(nn::Parameter{path + "weight", weight.span(), weight_gradient.span(), weight.extents(),
                        nn::ParameterKind::weight});
    if constexpr (body_type::learned) body.parameters(path + "body.", visit);
  }
  template <class Self, class Visitor>
  static void state(Self& self, const std::string& path, Visitor&& visit) {
    visit(path + "weight", self.weight.span(), self.weight.extents());
    body_type::state(self.body, path + "body.", visit);
  }

private:
  static constexpr std::size_t states = M::states, row_chunk = 32, grain = 4096;
  struct Sizes {
    std::size_t n, steps, batch, neurons;
    Sizes(std::size_t samples, Shape in, const nn::Pass& pass)
        : n(in.size()), steps(static_cast<std::size_t>(pass.steps)), batch(samples / steps), neurons(batch * n) {
      SPIQ_ASSERT(samples % steps == 0);
    }
  };
  static kernel::GemmShape size(std::size_t m, std::size_t n, std::size_t k) {
    return {static_cast<int>(m), static_cast<int>(n), static_cast<int>(k)};
  }
};

SPIQ_END_NAMESPACE
