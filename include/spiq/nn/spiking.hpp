/// @file
/// Spiking neurons as a layer, with a backward pass through time.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/parallel.hpp>
#include <spiq/neuron/backward.hpp>
#include <spiq/neuron/presets.hpp>
#include <spiq/neuron/surrogate.hpp>
#include <spiq/nn/parameter.hpp>
#include <spiq/nn/pass.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

/// Option of spiking layers: the parameters of the model are learned (else they stay as they are).
struct Learned {};
/// Option of spiking layers: no gradient passes through the reset.
struct DetachReset {};

namespace nn {
/// A model with parameters that a layer keeps: `prepare` of the model on other values than its own.
template <neuron::Model M>
struct Parametrised : M {
  std::array<float, M::parameter_count> values;
  explicit Parametrised(const M& model) : M(model), values(model.parameters()) {}
  [[nodiscard]] const std::array<float, M::parameter_count>& parameters() const { return values; }
};

template <class Option, class... Options>
inline constexpr int times_given = (0 + ... + (std::is_same_v<Option, Options> ? 1 : 0));
}  // namespace nn

/// Spiking neurons: model `M` (neuron/neuron.hpp, neuron/presets.hpp) on the currents that come in, one neuron per value,
/// spikes 0 or 1 out. The samples of a pass hold `Pass::steps` time steps, time first, as `OverTime` lays them; without
/// it there is one step. Every pass starts from the model's initial state. Backward: gradients through time (within
/// `Pass::window` steps), with `Surrogate` for the derivative of the step function; `Pass::spike_weight` over the samples
/// is added to the gradient of every spike, for a loss that counts them (Allred et al., arXiv 2003.01250). Options: `Learned`, `DetachReset`.
template <neuron::Model M, class Surrogate = surrogate::ATan, class... Options>
struct Spiking {
  static_assert(((std::is_same_v<Options, Learned> || std::is_same_v<Options, DetachReset>) && ...) &&
                    nn::times_given<Learned, Options...> <= 1 && nn::times_given<DetachReset, Options...> <= 1,
                "spiq: Spiking takes as options Learned and DetachReset, each at most once");
  static constexpr const char* name = "Spiking";
  static constexpr bool activation = true;
  static constexpr bool learned = nn::times_given<Learned, Options...> != 0;
  static constexpr bool accepts(Shape) { return true; }
  static constexpr Shape output_shape(Shape in) { return in; }

  struct Cache {
    nn::Workspace before;  ///< [step][state][neuron], what each step of the forward pass began with
    nn::Workspace state, gradient, sums, unused;
  };

  Shape in;
  nn::Parametrised<M> model;
  std::array<float, M::parameter_count> gradients{};
  Surrogate surrogate{};

  explicit Spiking(Shape input) : in(input), model(M{}) {}
  /// Replaces the model's constants and parameters. Throws for a model that `neuron::check` refuses.
  void set(const M& other) {
    neuron::check(other);
    model = nn::Parametrised<M>(other);
  }

  void forward(const float* x, float* y, std::size_t samples, Cache& cache, const nn::Pass& pass) const {
    const std::size_t steps = static_cast<std::size_t>(pass.steps), n = samples / steps * in.size();
    constexpr std::size_t states = M::states;
    SPIQ_ASSERT(samples % steps == 0);
    float* const state = cache.state.get(states * n);
    if (pass.fresh) {
      const auto initial = model.initial_state();
      for (std::size_t k = 0; k < states; ++k) std::fill_n(state + k * n, n, initial[k]);
    }
    float* const before = pass.training() ? cache.before.get(steps * states * n) : nullptr;
    parallel_for(n, grain, pass.threads, [&](std::size_t begin, std::size_t end, int) {
      for (std::size_t t = 0; t < steps; ++t) {
        if (before != nullptr)
          for (std::size_t k = 0; k < states; ++k)
            std::copy(state + k * n + begin, state + k * n + end, before + (t * states + k) * n + begin);
        neuron::run_range(model, 1, n, begin, end, x + t * n, state,
                          [&](std::size_t, std::size_t i, auto access, const auto& spike, const auto&) {
                            access.store(neuron::amount(spike), y + t * n + i);
                          });
      }
    });
  }

  void backward(const float* x, const float*, const float* dy, float* dx, std::size_t samples, Cache& cache,
                const nn::Pass& pass) {
    const std::size_t steps = static_cast<std::size_t>(pass.steps), n = samples / steps * in.size();
    constexpr std::size_t states = M::states, parameters = M::parameter_count;
    float* const gradient = cache.gradient.get(states * n);
    const float* const before = cache.before.data();
    if (dx == nullptr) dx = cache.unused.get(samples * in.size());
    // One sum for each chunk, whatever the threads.
    const std::size_t chunks = (n + grain - 1) / grain;
    float* const sums = learned ? cache.sums.get(chunks * parameters) : nullptr;
    const neuron::Differentiable<typename M::compare, Surrogate> fire{surrogate,
                                                                      nn::times_given<DetachReset, Options...> != 0};
    const auto window = static_cast<std::size_t>(pass.window);
    const float cost = pass.spike_weight / static_cast<float>(std::max<std::size_t>(samples / steps, 1));
    parallel_for(chunks, 1, pass.threads, [&](std::size_t first, std::size_t last, int) {
      for (std::size_t c = first; c < last; ++c) {
        const std::size_t begin = c * grain, end = std::min(n, begin + grain);
        for (std::size_t k = 0; k < states; ++k) std::fill(gradient + k * n + begin, gradient + k * n + end, 0.0f);
        float* const own = learned ? sums + c * parameters : nullptr;
        if (learned) std::fill_n(own, parameters, 0.0f);
        for (std::size_t t = steps; t-- > 0;) {
          neuron::step_backward(model, fire, n, begin, end, x + t * n, before + t * states * n, dy + t * n, gradient,
                                dx + t * n, own, cost);
          if (window != 0 && t % window == 0)
            for (std::size_t k = 0; k < states; ++k) std::fill(gradient + k * n + begin, gradient + k * n + end, 0.0f);
        }
      }
    });
    if constexpr (learned) {
      gradients.fill(0);
      for (std::size_t c = 0; c < chunks; ++c)
        for (std::size_t k = 0; k < parameters; ++k) gradients[k] += sums[c * parameters + k];
    }
  }

  template <class Visitor>
  void parameters(const std::string& path, Visitor&& visit)
    requires learned
  {
    for (std::size_t k = 0; k < M::parameter_count; ++k) {
      const bool is_threshold = M::parameter_names[k] == "threshold";
      visit(nn::Parameter{path + std::string(M::parameter_names[k]), {&model.values[k], 1}, {&gradients[k], 1}, Extents{1},
                          is_threshold ? nn::ParameterKind::threshold : nn::ParameterKind::norm});
    }
  }
  template <class Self, class Visitor>
  static void state(Self& self, const std::string& path, Visitor&& visit) {
    for (std::size_t k = 0; k < M::parameter_count; ++k)
      visit(path + std::string(M::parameter_names[k]), std::span(&self.model.values[k], 1), Extents{1});
  }

private:
  static constexpr std::size_t grain = 4096;  ///< neurons
};

SPIQ_END_NAMESPACE
