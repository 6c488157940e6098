// Golden groups `neuron` and `surrogate`: the presets of known frameworks, their states over time and their gradients.
#pragma once

#include "golden.hpp"

#include <spiq/neuron/backward.hpp>
#include <spiq/neuron/presets.hpp>
#include <spiq/neuron/surrogate.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace golden {

namespace neurons {

using Floats = std::vector<float>;
using Scalar = spiq::simd::vec<float, spiq::simd::scalar>;

/// A surrogate known by its name in the vectors; evaluated lane by lane, so that each model is compiled once.
struct Named {
  float (*function)(float slope, float u) = nullptr;
  float slope = 1;
  template <class V>
  [[nodiscard]] V operator()(V u) const {
    alignas(64) float lanes[V::width];
    u.store(lanes);
    for (float& lane : lanes) lane = function(slope, lane);
    return V::load(lanes);
  }
};

/// Calls `use(surrogate)` with the type of that name; false if there is none.
template <class Use>
bool with_surrogate(std::string_view name, double slope, const Use& use) {
  using namespace spiq::surrogate;
  const auto a = static_cast<float>(slope);
  if (name == "sigmoid" || name == "sj_sigmoid" || name == "st_sigmoid") return use(Sigmoid{a}), true;
  if (name == "atan" || name == "sj_atan" || name == "st_atan") return use(ATan{a}), true;
  if (name == "piecewise_quadratic" || name == "sj_piecewise_quadratic") return use(PiecewiseQuadratic{a}), true;
  if (name == "piecewise_exp" || name == "sj_piecewise_exp") return use(PiecewiseExponential{a}), true;
  if (name == "soft_sign" || name == "sj_soft_sign") return use(SoftSign{a}), true;
  if (name == "super_spike" || name == "sj_super_spike") return use(SuperSpike{a}), true;
  if (name == "erf" || name == "sj_erf") return use(Erf{a}), true;
  if (name == "rect" || name == "sj_rect") return use(Rectangle{a}), true;
  if (name == "sj_nonzero_sign_log_abs") return use(NonzeroSignLogAbs{a}), true;
  if (name == "fast_sigmoid" || name == "st_fast_sigmoid" || name == "super" || name == "no_super")
    return use(FastSigmoid{a}), true;
  if (name == "straight_through" || name == "st_straight_through") return use(StraightThrough{}), true;
  if (name == "triangular" || name == "st_triangular") return use(SnnTorchTriangular{a}), true;
  if (name == "st_heaviside") return use(SnnTorchHeaviside{}), true;
  if (name == "st_spike_rate_escape") return use(SpikeRateEscape{a}), true;
  if (name == "triangle" || name == "no_triangle") return use(Triangle{a}), true;
  if (name == "tanh" || name == "no_tanh") return use(Tanh{a}), true;
  if (name == "circ" || name == "no_circ") return use(Circle{a}), true;
  if (name == "heavi_erfc" || name == "no_heavi_erfc") return use(Erfc{a}), true;
  return false;
}

inline Named named_surrogate(const Case& c) {
  Named n;
  n.slope = static_cast<float>(c.has_param("surrogate_k") ? c.param("surrogate_k") : c.param("surrogate_alpha", 1));
  const bool known = with_surrogate(c.string("surrogate"), double{n.slope}, [&]<class S>(S) {
    n.function = [](float slope, float u) {
      if constexpr (requires { S{slope}; })
        return S{slope}(Scalar{u}).v;
      else
        return S{}(Scalar{u}).v;
    };
  });
  if (!known) spiq::raise("case " + c.name, "a known surrogate", c.string("surrogate"));
  return n;
}

template <class Arch, class S>
Result surrogate_on(const Case& c, const S& surrogate) {
  using V = typename spiq::simd::traits<Arch>::f32;
  const Floats x = c.array("x", 1).floats();
  Floats slope(x.size());
  for (std::size_t i = 0; i < x.size(); i += V::width) {
    const int lanes = static_cast<int>(std::min<std::size_t>(V::width, x.size() - i));
    surrogate(V::load_first(x.data() + i, lanes)).store_first(slope.data() + i, lanes);
  }
  return c.compare_within<float>("dydx", slope, 1e-6, 1e-5);
}

inline Result run_surrogate(const Case& c) {
  Result r = Result::fail("unknown surrogate " + c.name);
  with_surrogate(c.name, c.param("alpha"), [&](const auto& s) {
    r = surrogate_on<spiq::simd::best>(c, s);
    r.merge(surrogate_on<spiq::simd::scalar>(c, s));
  });
  // The step itself: SpikingJelly fires at 0, the others above.
  const Array& x = c.array("x", 1);
  Floats spikes(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const Scalar u{static_cast<float>(x.values[i])};
    const bool fired = c.name.starts_with("sj_") ? spiq::fire::AtThreshold::compare(u, Scalar::zero()).v
                                                 : spiq::fire::AboveThreshold::compare(u, Scalar::zero()).v;
    spikes[i] = fired ? 1.0f : 0.0f;
  }
  return r.merge(c.compare("spike", spikes));
}

/// What the names of the vectors mean in a model.
struct Names {
  std::map<std::string, std::string> state{};      ///< state of the model -> array
  std::map<std::string, std::string> gradient{};   ///< parameter of the model -> array
  std::vector<float> initial{};                     ///< in place of the model's own
  bool detach_reset = false;
  Floats weight{}, bias{};                          ///< recurrence between all neurons
};

template <class Arch, class Model>
Result run_on(const Case& c, const Model& model, const Names& names) {
  using namespace spiq;
  const Array& input = c.array("x", 2);
  const std::size_t steps = input.extent(0), n = input.extent(1), size = Model::states * n;
  Floats x = input.floats();
  Floats spikes(x.size()), state(size), before(steps * size), membrane(x.size());
  const auto initial = model.initial_state();
  for (std::size_t k = 0; k < initial.size(); ++k)
    std::fill_n(state.begin() + static_cast<std::ptrdiff_t>(k * n), n, k < names.initial.size() ? names.initial[k] : initial[k]);
  const Floats start = state;
  std::vector<Floats> states(Model::states, Floats(x.size()));
  const auto sink_at = [&](std::size_t at, Floats& to, Floats& potential) {
    return [&, at](std::size_t t, std::size_t i, auto access, const auto& s, auto v) {
      using V = decltype(v);
      access.store(select(s.fired, V::broadcast(1.0f), V::zero()), to.data() + (at + t) * n + i);
      access.store(v, potential.data() + (at + t) * n + i);
    };
  };
  const bool recurrent = !names.weight.empty();
  for (std::size_t t = 0; t < steps; ++t) {
    if (recurrent)
      for (std::size_t i = 0; i < n; ++i) {
        float sum = names.bias[i];
        for (std::size_t j = 0; t > 0 && j < n; ++j) sum += names.weight[i * n + j] * spikes[(t - 1) * n + j];
        x[t * n + i] += sum;
      }
    std::copy(state.begin(), state.end(), before.begin() + static_cast<std::ptrdiff_t>(t * size));
    neuron::run<Arch>(model, 1, n, x.data() + t * n, state.data(), sink_at(t, spikes, membrane));
    for (std::size_t k = 0; k < Model::states; ++k)
      std::copy_n(state.data() + k * n, n, states[k].data() + t * n);
  }
  Result r;
  if (c.has("spike")) r.merge(c.compare("spike", spikes));
  for (std::size_t k = 0; k < Model::states; ++k) {
    const std::string own(Model::state_names[k]);
    const auto found = names.state.find(own);
    const std::string array = found == names.state.end() ? own : found->second;
    if (c.has(array)) r.merge(c.compare(array, states[k]));
  }
  // All steps in one call: the same bits.
  Floats again = start, all_spikes(x.size()), all_membranes(x.size());
  neuron::run<Arch>(model, steps, n, x.data(), again.data(), sink_at(0, all_spikes, all_membranes));
  if (again != state || all_spikes != spikes || all_membranes != membrane)
    r.merge(Result::fail("step by step and all steps at once differ"));

  const neuron::Differentiable<typename Model::compare, Named> fire{named_surrogate(c), names.detach_reset};
  Floats gradient(size), gx(x.size()), gs(n), parameters(std::max<std::size_t>(Model::parameter_count, 1));
  Floats gw(names.weight.size()), gb(names.bias.size());
  for (std::size_t t = steps; t-- > 0;) {
    if (c.has("cot_spike")) {
      const Array& cot = c.expect("cot_spike", input.shape);
      for (std::size_t i = 0; i < n; ++i) {
        gs[i] = static_cast<float>(cot.values[t * n + i]);
        for (std::size_t j = 0; recurrent && t + 1 < steps && j < n; ++j)
          gs[i] += names.weight[j * n + i] * gx[(t + 1) * n + j];
      }
    }
    const Array& cot = c.expect("cot_v", input.shape);
    for (std::size_t i = 0; i < n; ++i) gradient[i] += static_cast<float>(cot.values[t * n + i]);
    neuron::step_backward<Arch>(model, fire, n, x.data() + t * n, before.data() + t * size, gs.data(), gradient.data(),
                                gx.data() + t * n, parameters.data());
    for (std::size_t i = 0; recurrent && i < n; ++i) {
      gb[i] += gx[t * n + i];
      for (std::size_t j = 0; t > 0 && j < n; ++j) gw[i * n + j] += gx[t * n + i] * spikes[(t - 1) * n + j];
    }
  }
  r.merge(c.compare("grad_x", gx));
  for (std::size_t k = 0; k < Model::parameter_count; ++k) {
    const std::string own(Model::parameter_names[k]);
    const auto found = names.gradient.find(own);
    const std::string array = "grad_" + (found == names.gradient.end() ? own : found->second);
    if (c.has(array)) {
      const float value[1] = {parameters[k]};
      r.merge(c.compare_within<float>(array, value, c.tolerance(array), 1e-5));  // a sum over all neurons and steps
    }
  }
  if (c.has("grad_recurrent_weight")) r.merge(c.compare("grad_recurrent_weight", gw));
  if (c.has("grad_recurrent_bias")) r.merge(c.compare("grad_recurrent_bias", gb));
  return r;
}

template <class Model>
Result check(const Case& c, const Model& model, const Names& names) {
  Result r = run_on<spiq::simd::best>(c, model, names);
  return r.merge(run_on<spiq::simd::scalar>(c, model, names));
}

inline float number(const Case& c, const std::string& key) { return static_cast<float>(c.param(key)); }
inline float number(const Case& c, const std::string& key, double otherwise) {
  return static_cast<float>(c.param(key, otherwise));
}

/// A hard or a soft reset, as `v_reset` says (None: soft).
template <class Use>
Result spikingjelly_reset(const Case& c, const Use& use) {
  const double value = c.param("v_reset");
  if (std::isnan(value)) return use(spiq::reset::Soft{}, 0.0f);
  return use(spiq::reset::Hard{}, static_cast<float>(value));
}

inline Result spikingjelly(const Case& c) {
  using namespace spiq;
  const std::string model = c.string("model");
  const float threshold = number(c, "v_threshold");
  Names names;
  names.detach_reset = c.param("detach_reset", 0) != 0;
  return spikingjelly_reset(c, [&]<class Reset>(Reset, float v_reset) {
    if (model == "IFNode") return check(c, presets::spikingjelly_if<Reset>(threshold, v_reset), names);
    if (model == "LIFNode") {
      const float tau = number(c, "tau");
      if (c.param("decay_input") != 0)
        return check(c, presets::spikingjelly_lif<Reset, charge::Input::decayed>(tau, threshold, v_reset), names);
      return check(c, presets::spikingjelly_lif<Reset, charge::Input::direct>(tau, threshold, v_reset), names);
    }
    if (model == "ParametricLIFNode") {
      const float tau = number(c, "init_tau");
      if (c.param("decay_input") != 0)
        return check(c, presets::spikingjelly_plif<Reset, charge::Input::decayed>(tau, threshold, v_reset), names);
      return check(c, presets::spikingjelly_plif<Reset, charge::Input::direct>(tau, threshold, v_reset), names);
    }
    if (model == "CUBALIFNode") {
      names.state["i"] = "c";
      return check(c, presets::spikingjelly_cuba_lif<Reset>(number(c, "c_decay"), number(c, "v_decay"), threshold, v_reset), names);
    }
    if (model == "QIFNode") {
      neuron::Neuron<charge::QuadraticLeak<>, fire::AtThreshold, Reset> n;
      n.charge = {.tau = number(c, "tau"), .curvature = number(c, "a0"), .rest = number(c, "v_rest"), .critical = number(c, "v_c")};
      n.threshold = threshold;
      n.reset_value = n.initial = v_reset;
      return check(c, n, names);
    }
    if (model == "EIFNode") {
      neuron::Neuron<charge::ExponentialLeak, fire::AtThreshold, Reset> n;
      n.charge = {number(c, "tau"), number(c, "v_rest"), number(c, "delta_T"), number(c, "theta_rh")};
      n.threshold = threshold;
      n.reset_value = n.initial = v_reset;
      return check(c, n, names);
    }
    if (model == "IzhikevichNode") {
      neuron::Neuron<charge::QuadraticLeak<true>, fire::AtThreshold, Reset> n;
      n.charge = {.tau = number(c, "tau"), .curvature = number(c, "a0"), .rest = number(c, "v_rest"), .critical = number(c, "v_c"),
                  .adaptation_tau = number(c, "tau_w"), .subthreshold = number(c, "a"), .jump = number(c, "b")};
      n.threshold = threshold;
      n.reset_value = n.initial = v_reset;
      return check(c, n, names);
    }
    return Result::fail("unknown model " + model);
  });
}

template <class Use>
Result snntorch_reset(const Case& c, const Use& use) {
  using namespace spiq;
  const std::string mechanism = c.string("reset_mechanism");
  const bool delayed = c.param("reset_delay", 1) != 0;
  const auto timed = [&](auto r) {
    return delayed ? use(r, timing::NextStep{}) : use(r, timing::Corrected{});
  };
  if (mechanism == "zero") return timed(reset::Hard{});
  if (mechanism == "none") return timed(reset::None{});
  return timed(reset::Soft{});
}

inline Result snntorch(const Case& c) {
  using namespace spiq;
  const std::string model = c.string("model");
  const float threshold = number(c, "threshold");
  Names names;
  names.state["i"] = "syn";
  names.gradient["weight"] = "recurrent_V";
  if (c.has("rec_w")) {
    const Array& w = c.array("rec_w", 2);
    names.weight = w.floats();
    names.bias = c.expect("rec_b", {w.extent(0)}).floats();
  }
  return snntorch_reset(c, [&]<class Reset, class Timing>(Reset, Timing) {
    if (model == "Leaky" || model == "RLeaky") {
      if (model == "RLeaky" && names.weight.empty())
        return check(c, presets::snntorch_rleaky<Reset>(number(c, "beta"), number(c, "V"), threshold), names);
      return check(c, presets::snntorch_leaky<Reset, Timing>(number(c, "beta"), threshold), names);
    }
    if (model == "Synaptic" || model == "RSynaptic")
      return check(c, presets::snntorch_synaptic<Reset, Timing>(number(c, "alpha"), number(c, "beta"), threshold), names);
    if constexpr (!std::is_same_v<Reset, reset::None>) {
      if (model == "Alpha")
        return check(c, presets::snntorch_alpha<Reset>(number(c, "alpha"), number(c, "beta"), threshold), names);
    }
    return Result::fail("unknown model " + model);
  });
}

inline Result norse(const Case& c) {
  using namespace spiq;
  const std::string model = c.string("model");
  presets::NorseOptions o;
  o.tau_syn_inv = number(c, "tau_syn_inv", 200);
  o.tau_mem_inv = number(c, "tau_mem_inv", 100);
  o.v_leak = number(c, "v_leak", 0);
  o.v_th = number(c, "v_th", 1);
  o.v_reset = number(c, "v_reset", 0);
  o.dt = number(c, "dt");
  Names names;
  if (model == "lif") return check(c, presets::norse_lif(o), names);
  if (model == "li") return check(c, presets::norse_li(o), names);
  if (model == "iaf") return check(c, presets::norse_iaf(o.v_th, o.v_reset), names);
  if (model == "lif_refrac") return check(c, presets::norse_lif_refractory(o, number(c, "rho_reset")), names);
  if (model == "lif_box") {
    if (c.string("reset") == "subtract") return check(c, presets::norse_lif_box<reset::Soft>(o), names);
    return check(c, presets::norse_lif_box(o), names);
  }
  if (model == "lif_ex") return check(c, presets::norse_lif_ex(o, number(c, "delta_T")), names);
  if (model == "lif_adex")
    return check(c, presets::norse_lif_adex(o, number(c, "delta_T"), number(c, "adaptation_current"),
                                            number(c, "adaptation_spike"), number(c, "tau_ada_inv")), names);
  if (model == "izhikevich") {
    auto n = presets::izhikevich({number(c, "a"), number(c, "b"), number(c, "c"), number(c, "d")},
                                 static_cast<float>(c.param("tau_inv") * c.param("dt")));
    n.charge.sq = number(c, "sq");
    n.charge.mn = number(c, "mn");
    n.charge.bias = number(c, "bias");
    n.threshold = number(c, "v_th");
    names.initial = {number(c, "v0"), number(c, "u0")};
    return check(c, n, names);
  }
  return Result::fail("unknown model " + model);
}

}  // namespace neurons

inline Result run_neuron(const Case& c) {
  if (c.name.starts_with("sj_")) return neurons::spikingjelly(c);
  if (c.name.starts_with("st_")) return neurons::snntorch(c);
  if (c.name.starts_with("no_")) return neurons::norse(c);
  return Result::fail("of no known framework");
}
inline Result run_surrogate(const Case& c) { return neurons::run_surrogate(c); }

}  // namespace golden
