/// @file
/// The rules: how a window of trained layers folds into one draft. Written once for all targets; a target adds a rule
/// only for a layer that it treats differently.
#pragma once

#include <spiq/lower/coding.hpp>
#include <spiq/lower/draft.hpp>
#include <spiq/lower/plan.hpp>
#include <spiq/nn/dropout.hpp>
#include <spiq/nn/flatten.hpp>
#include <spiq/nn/nonlinear.hpp>
#include <spiq/nn/residual.hpp>
#include <spiq/nn/seq.hpp>
#include <spiq/nn/spiking.hpp>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace lowering {

/// Nothing moves: the product behind a flattened map reads it as it lies.
template <>
inline constexpr bool transparent<Flatten> = true;

/// Sums of integers end in a neuron, a join or the read-out.
template <class Target>
  requires(Coding<Target>::numbers::exact)
inline constexpr bool readable<Target, signal::real> = false;

/// What a rule needs of an activation, free of its type's arguments.
struct QcfsNumbers {
  float lambda = 1;
  int levels = 1;
};
struct ReluNumbers {};
template <class Function>
struct SmoothNumbers {
  Function function;
};
template <class A>
auto numbers_of_activation(const A& a, const std::string& path, int steps) {
  if constexpr (is_spiking<A>) {
    for (const float v : a.model.parameters())
      if (!std::isfinite(v)) SPIQ_THROW("layer " + path + ": parameters of its neurons", "finite numbers", std::to_string(v));
    return SpikingNumbers<std::remove_cvref_t<decltype(a.model)>>{a.model, steps};
  } else if constexpr (is_qcfs<A>) {
    if (!(a.lambda > 0.0F) || !std::isfinite(a.lambda))
      SPIQ_THROW("layer " + path + ": threshold of its Qcfs activation", "a positive finite number",
                 std::to_string(a.lambda));
    if (a.levels < 1 || a.levels > 255)
      SPIQ_THROW("layer " + path + ": levels of its Qcfs activation", "1 to 255", std::to_string(a.levels));
    return QcfsNumbers{a.lambda, a.levels};
  } else if constexpr (nn::SmoothActivation<A>) {
    return SmoothNumbers<decltype(a.function())>{a.function()};
  } else {
    return ReluNumbers{};
  }
}

/// The same as the target sees them: of the neuron that stands for the activation.
template <class Target, class A>
auto numbers_for(const Target& t, const Context& c, const A& layer, const std::string& path) {
  const auto a = numbers_of_activation(layer, path, c.time_steps);
  if constexpr (requires { Coding<Target>::neuron(t, a, path); })
    return Coding<Target>::neuron(t, a, path);
  else
    return a;
}

template <class Target, class A>
struct MakeActivation {
  Target target;
  A activation;
  auto operator()(const kernel::FoldedWeights& w) const { return Coding<Target>::epilogue(target, activation, w); }
};
template <class Target>
struct MakeStore {
  auto operator()(const kernel::FoldedWeights& w) const {
    using coding = Coding<Target>;
    if constexpr (requires { coding::store(w); })
      return coding::store(w);
    else
      return coding::numbers::store(w, coding::bias_once);
  }
};

inline exec::LayerInfo describe(const kernel::FoldedWeights& w, const std::string& path, int in_steps) {
  exec::LayerInfo info;
  info.path = path;
  info.in_steps = in_steps;
  info.macs = w.geometry.macs();
  return info;
}
/// Levels of an activation, or the spikes that a neuron can send; 0 for neither.
template <class A>
int levels_of(const A& a) {
  if constexpr (is_spiking<A>)
    return a.steps;
  else if constexpr (requires { a.levels; })
    return a.levels;
  else
    return 0;
}

/// A product without an activation: currents.
template <class Arch, class Target>
auto draft_store(const Target&, Context& c, const std::string& path, kernel::FoldedWeights w) {
  using numbers = typename Coding<Target>::numbers;
  if constexpr (numbers::exact) choose_units({{&w, {}, c.max_level}}, 0, 0, "layer " + path);
  SynapseDraft<typename numbers::template product<Arch>, MakeStore<Target>> draft{std::move(w), {}, {}};
  draft.info = describe(draft.weights, path, c.steps);
  c.shape = draft.weights.geometry.out();
  c.amplitude = 1;
  c.channel_amplitude.clear();
  if constexpr (requires { Coding<Target>::after_store(c); }) Coding<Target>::after_store(c);
  return draft;
}
/// A product with its activation or neuron.
template <class Arch, class Target, class A>
auto draft_activation(const Target& t, Context& c, const std::string& path, kernel::FoldedWeights w, const A& layer) {
  using numbers = typename Coding<Target>::numbers;
  const auto a = numbers_for(t, c, layer, path);
  const double threshold = Coding<Target>::threshold(a);
  if constexpr (numbers::exact) choose_units({{&w, {}, c.max_level}}, threshold, a.levels, "layer " + path);
  SynapseDraft<typename numbers::template product<Arch>, MakeActivation<Target, std::remove_const_t<decltype(a)>>> draft{
      std::move(w), {t, a}, {}};
  draft.info = describe(draft.weights, path, c.steps);
  draft.info.threshold = threshold;
  draft.info.levels = levels_of(a);
  c.shape = draft.weights.geometry.out();
  Coding<Target>::after(t, a, c);
  return draft;
}

/// An activation that the target has a neuron for.
template <class A, class Target>
concept Spikable = nn::Activation<A> && Coding<Target>::template supports<A>;

template <class Target, class Signal, nn::WithWeights W>
struct Rule<Target, Signal, W> {
  static constexpr bool exists = true;
  using out = signal::real;
  template <class Arch>
  static auto apply(const Target& t, Context& c, const std::string& path, const W& w) {
    return draft_store<Arch>(t, c, path, fold(w, nullptr, c, path));
  }
};
template <class Target, class Signal, nn::WithWeights W>
struct Rule<Target, Signal, W, BatchNorm> {
  static constexpr bool exists = true;
  using out = signal::real;
  template <class Arch>
  static auto apply(const Target& t, Context& c, const std::string& path, const W& w, const BatchNorm& norm) {
    return draft_store<Arch>(t, c, path, fold(w, &norm, c, path));
  }
};
template <class Target, class Signal, nn::WithWeights W, Spikable<Target> A>
struct Rule<Target, Signal, W, A> {
  static constexpr bool exists = true;
  using out = typename Coding<Target>::output;
  template <class Arch>
  static auto apply(const Target& t, Context& c, const std::string& path, const W& w, const A& a) {
    return draft_activation<Arch>(t, c, path, fold(w, nullptr, c, path), a);
  }
};
template <class Target, class Signal, nn::WithWeights W, Spikable<Target> A>
struct Rule<Target, Signal, W, BatchNorm, A> {
  static constexpr bool exists = true;
  using out = typename Coding<Target>::output;
  template <class Arch>
  static auto apply(const Target& t, Context& c, const std::string& path, const W& w, const BatchNorm& norm, const A& a) {
    return draft_activation<Arch>(t, c, path, fold(w, &norm, c, path), a);
  }
};
// Activations and batch norms with no product before them: a depthwise 1x1 product stands in.
template <class Target, class Signal, Spikable<Target> A>
struct Rule<Target, Signal, A> {
  static constexpr bool exists = true;
  using out = typename Coding<Target>::output;
  template <class Arch>
  static auto apply(const Target& t, Context& c, const std::string& path, const A& a) {
    return draft_activation<Arch>(t, c, path, fold_elementwise(nullptr, c, path), a);
  }
};
template <class Target, class Signal>
struct Rule<Target, Signal, BatchNorm> {
  static constexpr bool exists = true;
  using out = signal::real;
  template <class Arch>
  static auto apply(const Target& t, Context& c, const std::string& path, const BatchNorm& norm) {
    return draft_store<Arch>(t, c, path, fold_elementwise(&norm, c, path));
  }
};
template <class Target, class Signal, Spikable<Target> A>
struct Rule<Target, Signal, BatchNorm, A> {
  static constexpr bool exists = true;
  using out = typename Coding<Target>::output;
  template <class Arch>
  static auto apply(const Target& t, Context& c, const std::string& path, const BatchNorm& norm, const A& a) {
    return draft_activation<Arch>(t, c, path, fold_elementwise(&norm, c, path), a);
  }
};

/// A sentence for a layer that a target refuses, with the remedy; the plan instantiates it, once.
template <class Layer, class Target>
struct relu_refused {
  static_assert(!std::is_same_v<Target, Target>,
                "spiq: ReLU has no form in spikes or levels; train with Qcfs<L> instead of ReLU, or lower to "
                "target::Float, or (approximately, with images that thresholds are found on) to "
                "target::Spiking{conversion::Rmp{}}");
};
template <class Target, class Signal>
  requires(!Spikable<ReLU, Target>)
struct Rule<Target, Signal, ReLU> {
  static constexpr bool exists = false;
  using refusal = relu_refused<ReLU, Target>;
};

template <class Layer, class Target>
struct qcfs_refused {
  static_assert(!std::is_same_v<Target, Target>,
                "spiq: Qcfs activations become spikes by conversion::Qcfs, Pascal or BitSerial; rate coding (Rmp, "
                "HardReset) is for ReLU, Trained for Spiking layers");
};
template <class Target, class Signal, int L, class Gradient>
  requires(!Spikable<Qcfs<L, Gradient>, Target>)
struct Rule<Target, Signal, Qcfs<L, Gradient>> {
  static constexpr bool exists = false;
  using refusal = qcfs_refused<Qcfs<L, Gradient>, Target>;
};

template <class Layer, class Target>
struct spiking_refused {
  static_assert(!std::is_same_v<Target, Target>,
                "spiq: Spiking layers run as they were trained, over the steps of their OverTime: lower to "
                "target::Spiking{conversion::Trained{}}");
};
template <class Target, class Signal, neuron::Model M, class Surrogate, class... Options>
  requires(!Spikable<Spiking<M, Surrogate, Options...>, Target>)
struct Rule<Target, Signal, Spiking<M, Surrogate, Options...>> {
  static constexpr bool exists = false;
  using refusal = spiking_refused<Spiking<M, Surrogate, Options...>, Target>;
};

/// Residual join: both branches' currents meet in the neuron behind.
template <class Arch, class Target, class Signal, class R, class Make>
auto draft_join(const Target& t, Context& c, const std::string& path, const R& residual, Make make, double threshold,
                int levels) {
  using numbers = typename Coding<Target>::numbers;
  using product = typename numbers::template product<Arch>;
  using value = typename numbers::value;
  Context cb = c, cs = c;
  cb.prefix = path + ".body.";
  cs.prefix = path + ".shortcut.";
  cb.paths.clear();
  cs.paths.clear();
  auto body = drafts<Arch, Target, Signal>(t, cb, residual.body.layers);
  auto shortcut = drafts<Arch, Target, Signal>(t, cs, residual.shortcut.layers);
  // A shortcut that ends in spikes or levels (an identity, a pool, an activation) is weighted with their amplitude.
  using shortcut_layers = std::remove_cvref_t<decltype(residual.shortcut.layers)>;
  constexpr bool discrete = std::is_same_v<typename plan_t<Target, Signal, shortcut_layers>::out, signal::discrete>;
  if (cb.shape != cs.shape)
    SPIQ_THROW("layer " + path + ": residual join", "branches of one shape as they lie (no Flatten of a map before it)",
               to_string(cb.shape) + " and " + to_string(cs.shape));
  if (Coding<Target>::timing == exec::JoinTiming::per_step && cb.steps != cs.steps && cs.steps != 1)
    SPIQ_THROW("layer " + path + ": residual join", "branches with the same number of time steps",
               std::to_string(cb.steps) + " and " + std::to_string(cs.steps));
  JoinDraft<product, Make, decltype(body), decltype(shortcut)> draft{std::move(body), std::move(shortcut), make, {}, {},
                                                                    Coding<Target>::timing, cb.shape, {}};
  const auto channels = static_cast<std::size_t>(cb.shape.channels);
  draft.numbers.bias.assign(channels, 0.0F);
  if constexpr (numbers::exact) {
    std::vector<ExactInputs> inputs{{last_weights(draft.body), {}, cb.max_level}};
    if constexpr (discrete) {
      std::vector<double> amplitude(channels);
      for (std::size_t i = 0; i < channels; ++i) amplitude[i] = cs.amplitude_of(static_cast<int>(i));
      inputs.push_back({nullptr, amplitude, cs.max_level});
    } else {
      inputs.push_back({last_weights(draft.shortcut), {}, cs.max_level});
    }
    if (inputs[0].weights == nullptr || (!discrete && inputs[1].weights == nullptr))
      SPIQ_THROW("layer " + path + ": residual join in exact arithmetic",
                 "branches that end in a convolution or linear layer (or, the shortcut, in spikes)", "another layer");
    choose_units(inputs, threshold, levels, "layer " + path);
    draft.numbers.unit = inputs[0].weights->unit;
  }
  draft.scale.resize(channels);
  for (std::size_t i = 0; i < channels; ++i) {
    const double amplitude = discrete ? cs.amplitude_of(static_cast<int>(i)) : 1.0;
    if constexpr (numbers::exact)
      draft.scale[i] = discrete ? static_cast<value>(std::lround(amplitude / draft.numbers.unit[i])) : value{1};
    else
      draft.scale[i] = static_cast<value>(amplitude);
  }
  draft.info.path = path;
  draft.info.threshold = threshold;
  draft.info.levels = levels;
  draft.info.in_steps = cb.steps;
  c.shape = cb.shape;
  c.steps = cb.steps;
  return draft;
}

/// Whether all layers of both branches have rules; the first that has none has already said so.
template <class Target, class Signal, class Branch>
using branch_plan = plan_t<Target, Signal, std::remove_cvref_t<decltype(std::declval<const Branch&>().layers)>>;
template <class Target, class Signal, class Body, class Shortcut>
constexpr bool branches_complete() {
  if constexpr (branch_plan<Target, Signal, Body>::complete)
    return branch_plan<Target, Signal, Shortcut>::complete;
  else
    return false;
}
struct branch_refused {};

template <class Target, class Signal, class Body, class Shortcut, Spikable<Target> A>
struct Rule<Target, Signal, Residual<Body, Shortcut>, A> {
  static constexpr bool exists = branches_complete<Target, Signal, Body, Shortcut>();
  using out = typename Coding<Target>::output;
  template <class Arch>
  static auto apply(const Target& t, Context& c, const std::string& path, const Residual<Body, Shortcut>& r, const A& layer) {
    const auto a = numbers_for(t, c, layer, path);
    using make = MakeActivation<Target, std::remove_const_t<decltype(a)>>;
    auto draft = draft_join<Arch, Target, Signal>(t, c, path, r, make{t, a}, Coding<Target>::threshold(a),
                                                 levels_of(a));
    Coding<Target>::after(t, a, c);
    return draft;
  }
};
template <class Target, class Signal, class Body, class Shortcut>
struct Rule<Target, Signal, Residual<Body, Shortcut>> {
  static constexpr bool exists = branches_complete<Target, Signal, Body, Shortcut>();
  using refusal = branch_refused;
  using out = signal::real;
  template <class Arch>
  static auto apply(const Target& t, Context& c, const std::string& path, const Residual<Body, Shortcut>& r) {
    auto draft = draft_join<Arch, Target, Signal>(t, c, path, r, MakeStore<Target>{}, 0.0, 0);
    c.amplitude = 1;
    c.channel_amplitude.clear();
    return draft;
  }
};

}  // namespace lowering

SPIQ_END_NAMESPACE
