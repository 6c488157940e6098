// Golden groups `encode`, `delay` and `plasticity`.
#pragma once

#include "golden.hpp"

#include <spiq/neuron/delay.hpp>
#include <spiq/neuron/encode.hpp>
#include <spiq/neuron/presets.hpp>
#include <spiq/neuron/run.hpp>
#include <spiq/plasticity/stdp.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace golden {

/// Runs a neuron on constant currents; spikes [steps][n], only the first of each neuron if asked.
inline std::vector<float> current_coded(const Case& c, const std::vector<float>& x, std::size_t steps, bool first_only) {
  using namespace spiq;
  presets::NorseOptions o;
  o.tau_mem_inv = static_cast<float>(c.param("tau_mem_inv"));
  o.v_leak = static_cast<float>(c.param("v_leak"));
  o.v_th = static_cast<float>(c.param("v_th"));
  o.v_reset = static_cast<float>(c.param("v_reset"));
  o.dt = static_cast<float>(c.param("dt"));
  std::vector<float> repeated(steps * x.size()), spikes(repeated.size()), state(x.size(), o.v_leak);
  encode::direct(x, steps, repeated);
  neuron::run(presets::norse_lif_box(o), steps, x.size(), repeated.data(), state.data(),
              [&](std::size_t t, std::size_t i, auto access, const auto& s, auto v) {
                using V = decltype(v);
                access.store(select(s.fired, V::broadcast(1.0f), V::zero()), spikes.data() + t * x.size() + i);
              });
  for (std::size_t i = 0; first_only && i < x.size(); ++i) {
    bool seen = false;
    for (std::size_t t = 0; t < steps; ++t) {
      float& s = spikes[t * x.size() + i];
      if (seen) s = 0;
      seen = seen || s != 0;
    }
  }
  return spikes;
}

inline Result run_encode(const Case& c) {
  using namespace spiq;
  const std::vector<float> x = c.array("x").floats();
  if (c.name.starts_with("no_population")) {
    const auto units = static_cast<std::size_t>(c.int_param("out_features"));
    std::vector<float> y(x.size() * units);
    encode::population(x, units, y);
    return c.compare_within<float>("y", y, 2e-6, 0);
  }
  if (c.name.starts_with("st_delta")) {
    std::vector<float> y(x.size());
    encode::delta(x, c.array("x", 2).extent(0), static_cast<float>(c.param("threshold")), c.param("off_spike") != 0, y);
    return c.compare("spike", y);
  }
  if (c.name.starts_with("st_latency")) {
    encode::LatencyOptions o;
    o.threshold = static_cast<float>(c.param("threshold", 0.01));
    o.tau = static_cast<float>(c.param("tau", 1));
    o.linear = c.param("linear", 0) != 0;
    o.normalize = c.param("normalize", 0) != 0;
    o.clip = c.param("clip", 0) != 0;
    const auto steps = static_cast<std::size_t>(c.int_param("num_steps"));
    std::vector<float> y(x.size() * steps);
    encode::latency(x, steps, o, y);
    return c.compare("spike", y);
  }
  const auto steps = static_cast<std::size_t>(c.int_param("seq_length"));
  return c.compare("spike", current_coded(c, x, steps, c.name.find("latency") != std::string::npos));
}

inline Result run_delay(const Case& c) {
  using namespace spiq;
  const std::string version = c.string("version");
  const auto window = version == "v0"      ? delay::Window::split
                      : version == "v1"    ? delay::Window::triangle
                      : version == "gauss" ? delay::Window::gauss
                                           : delay::Window::wide;
  const bool widths = c.has("sig");
  const Array& w = c.array("w", 3);
  const std::size_t outputs = w.extent(0), inputs = w.extent(1), count = w.extent(2);
  const std::vector<std::size_t> shape{1, outputs, inputs, count};
  const auto weight = w.floats(), position = c.expect("p", shape).floats(),
             width = widths ? c.expect("sig", shape).floats() : std::vector<float>{};
  const auto taps = static_cast<std::size_t>(c.int_param("dilated_kernel_size"));
  std::vector<float> kernel(outputs * inputs * taps);
  const auto at = [&](const std::vector<float>& v, std::size_t synapse) {
    return v.empty() ? nullptr : v.data() + synapse * count;
  };
  for (std::size_t s = 0; s < outputs * inputs; ++s)
    delay::add_kernel(window, taps, count, at(weight, s), at(position, s), at(width, s), kernel.data() + s * taps);
  Result r = c.compare_within<float>("kernel", kernel, 2e-6, 1e-6);

  const Array& input = c.array("x", 3);
  const std::size_t steps = input.extent(0), batch = input.extent(1);
  const auto x = input.floats();
  const auto cot = c.expect("cot_current", {steps, batch, outputs}).floats();
  std::vector<float> current(cot.size()), kernel_gradient(kernel.size());
  for (std::size_t b = 0; b < batch; ++b) {
    std::vector<float> xb(steps * inputs), yb(steps * outputs), db(steps * outputs);
    for (std::size_t t = 0; t < steps; ++t) {
      std::copy_n(x.data() + (t * batch + b) * inputs, inputs, xb.data() + t * inputs);
      std::copy_n(cot.data() + (t * batch + b) * outputs, outputs, db.data() + t * outputs);
    }
    delay::current(steps, inputs, outputs, taps, kernel.data(), xb.data(), yb.data());
    delay::current_backward(steps, inputs, outputs, taps, kernel.data(), xb.data(), db.data(), kernel_gradient.data(),
                            nullptr);
    for (std::size_t t = 0; t < steps; ++t)
      std::copy_n(yb.data() + t * outputs, outputs, current.data() + (t * batch + b) * outputs);
  }
  r.merge(c.compare_within<float>("current", current, 1e-5, 1e-6));

  std::vector<float> gw(weight.size()), gp(position.size()), gs(width.size());
  for (std::size_t s = 0; s < outputs * inputs; ++s)
    delay::kernel_backward(window, taps, count, at(weight, s), at(position, s), at(width, s),
                           kernel_gradient.data() + s * taps, gw.data() + s * count, gp.data() + s * count,
                           widths ? gs.data() + s * count : nullptr);
  r.merge(c.compare_within<float>("grad_w", gw, 2e-5, 2e-5));
  r.merge(c.compare_within<float>("grad_p", gp, 2e-5, 2e-5));
  if (c.has("grad_sig")) r.merge(c.compare_within<float>("grad_sig", gs, 2e-5, 2e-5));

  const auto lif = presets::spikingjelly_lif<reset::Hard, charge::Input::direct>(
      static_cast<float>(c.param("lif_tau")), static_cast<float>(c.param("lif_threshold")));
  std::vector<float> state(batch * outputs), spikes(current.size());
  neuron::run(lif, steps, batch * outputs, current.data(), state.data(),
              [&](std::size_t t, std::size_t i, auto access, const auto& s, auto v) {
                using V = decltype(v);
                access.store(select(s.fired, V::broadcast(1.0f), V::zero()), spikes.data() + t * batch * outputs + i);
              });
  return r.merge(c.compare("spike", spikes));
}

inline Result run_plasticity(const Case& c) {
  using namespace spiq::plasticity;
  const auto number = [&](const char* key, double otherwise) { return static_cast<float>(c.param(key, otherwise)); };
  PairStdp rule;
  rule.dt = number("dt", 0.001);
  rule.tau_pre_inv = number("tau_pre_inv", 50);
  rule.tau_post_inv = number("tau_post_inv", 50);
  rule.a_pre = number("a_pre", 1);
  rule.a_post = number("a_post", 1);
  rule.eta_plus = number("eta_plus", 0);
  rule.eta_minus = number("eta_minus", 0);
  rule.mu = number("mu", 0);
  rule.w_min = number("w_min", 0);
  rule.w_max = number("w_max", 1);
  const std::string algorithm = c.string("algorithm");
  if (algorithm == "additive_step") rule.bound = Bound::additive_step;
  if (algorithm == "multiplicative_pow") rule.bound = Bound::multiplicative_pow;
  if (algorithm == "multiplicative_relu") rule.bound = Bound::multiplicative_relu;
  const Array& pre = c.array("pre", 3);
  const std::size_t steps = pre.extent(0), batch = pre.extent(1), inputs = pre.extent(2);
  const std::size_t outputs = c.array("post", 3).extent(2);
  const auto spikes = pre.floats(), post = c.expect("post", {steps, batch, outputs}).floats();
  std::vector<float> weights = c.expect("w0", {outputs, inputs}).floats(), all;
  std::vector<float> trace_pre(batch * inputs), trace_post(batch * outputs);
  for (std::size_t t = 0; t < steps; ++t) {
    rule.step(batch, std::span(spikes).subspan(t * batch * inputs, batch * inputs),
              std::span(post).subspan(t * batch * outputs, batch * outputs), trace_pre, trace_post, weights);
    all.insert(all.end(), weights.begin(), weights.end());
  }
  Result r = c.compare_within<float>("w", all, 2e-6, 2e-6);
  r.merge(c.compare_within<float>("trace_pre", trace_pre, 1e-6, 1e-6));
  return r.merge(c.compare_within<float>("trace_post", trace_post, 1e-6, 1e-6));
}

}  // namespace golden
