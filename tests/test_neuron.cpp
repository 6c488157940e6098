// Neuron models: known responses, every back-end against scalar steps, tails, gradients.
#include "backends.hpp"
#include "catch.hpp"

#include <spiq/core/random.hpp>
#include <spiq/neuron/backward.hpp>
#include <spiq/neuron/presets.hpp>
#include <spiq/neuron/run.hpp>
#include <spiq/neuron/surrogate.hpp>
#include <spiq/nn/spiking.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using namespace spiq;

namespace {

using Floats = std::vector<float>;

template <class M>
Floats initial(const M& model, std::size_t n) {
  Floats state;
  for (const float v : model.initial_state()) state.insert(state.end(), n, v);
  return state;
}

/// Spikes of n neurons over time as bits, and the state behind.
struct Trace {
  std::vector<std::uint64_t> words;
  Floats state;
  std::size_t n;
  [[nodiscard]] bool spike(std::size_t t, std::size_t i) const {
    return (words[t * neuron::spike_words(n) + i / 64] >> (i % 64) & 1) != 0;
  }
  [[nodiscard]] std::size_t count(std::size_t i) const {
    std::size_t sum = 0;
    for (std::size_t t = 0; t * neuron::spike_words(n) < words.size(); ++t) sum += spike(t, i) ? 1 : 0;
    return sum;
  }
};

template <class Arch = simd::best, class M>
Trace traced(const M& model, std::size_t steps, const Floats& x) {
  const std::size_t n = x.size() / steps;
  Trace trace{std::vector<std::uint64_t>(steps * neuron::spike_words(n), ~std::uint64_t{0}), initial(model, n), n};
  neuron::run<Arch>(model, steps, n, std::span<const float>(x), std::span<float>(trace.state),
                    std::span<std::uint64_t>(trace.words));
  return trace;
}

Floats constant(float current, std::size_t steps) { return Floats(steps, current); }

Floats random(std::size_t n, float low, float high, std::uint64_t seed = 1) {
  Rng rng(seed);
  Floats x(n);
  for (float& v : x) v = rng.uniform(low, high);
  return x;
}

/// Calls `use` with every model, at a size at which it fires under currents of about 1.
template <class Use>
void for_every_model(const Use& use) {
  use(presets::spikingjelly_if<>());
  use(presets::spikingjelly_lif<reset::Soft, charge::Input::direct>(4));
  use(presets::spikingjelly_plif<>());
  use(presets::spikingjelly_cuba_lif<>());
  use(presets::snntorch_leaky<>());
  use(presets::snntorch_leaky<reset::Hard>());
  use(presets::snntorch_leaky<reset::Soft, timing::Corrected>());
  use(presets::snntorch_synaptic<reset::Hard>());
  use(presets::snntorch_alpha<>());
  use(presets::snntorch_rleaky<>());
  use(presets::norse_lif({.v_th = 0.2f}));
  use(presets::norse_lif_refractory({.v_th = 0.2f}));
  use(presets::norse_lif_adex());
  use(presets::norse_li());
  use(presets::nir_lif({.tau = 0.004f}, true));
  use(presets::diet_lif(0.9f));
  use(presets::hybrid_stdb(0.9f, 1.2f));
  use(neuron::Neuron<charge::QuadraticLeak<true>>{});
  use(neuron::Neuron<charge::ExponentialLeak>{});
  use(neuron::Neuron<charge::Adaptive<charge::Decay>, fire::AtThreshold, reset::Soft>{});
  use(neuron::Neuron<charge::Rectified<>>{});
}

}  // namespace

TEST_CASE("rates of soft and hard reset under a constant current", "[neuron]") {
  // specs of RMP-SNN (arXiv 2003.01811): over 100 steps, threshold 1.
  const auto rate = [](const auto& model, float current) {
    return traced(model, 100, constant(current, 100)).count(0);
  };
  const auto soft = presets::spikingjelly_if<reset::Soft>();
  const auto hard = presets::spikingjelly_if<>();
  CHECK(rate(hard, 0.3f) == 25);
  CHECK(rate(hard, 0.6f) == 50);
  CHECK(rate(hard, 0.75f) == 50);
  CHECK(rate(hard, 0.9f) == 50);
  CHECK(rate(soft, 0.75f) == 75);
  CHECK(rate(soft, 1.0f) == 100);
  CHECK(rate(soft, 1.3f) == 100);
  const neuron::Neuron<charge::Integrate, fire::AboveThreshold, reset::Soft> strict;
  CHECK(rate(strict, 1.0f) == 99);
  // |rate - clip(I / theta, 0, 1)| <= 1 / T, whatever the current.
  for (const float current : random(200, -0.5f, 1.6f)) {
    const double expected = std::min(1.0, std::max(0.0, double{current}));
    CHECK(std::abs(static_cast<double>(rate(soft, current)) / 100 - expected) <= 0.01 + 1e-6);
  }
}

TEST_CASE("equality at the threshold fires where the framework says so", "[neuron]") {
  CHECK(traced(presets::spikingjelly_if<>(), 1, {1.0f}).count(0) == 1);
  CHECK(traced(presets::snntorch_leaky<>(), 1, {1.0f}).count(0) == 0);
  CHECK(traced(presets::norse_iaf(), 1, {1.0f}).count(0) == 0);
  CHECK(traced(presets::nir_lif({.tau = 0.001f}), 1, {1.0f}).count(0) == 0);
}

TEST_CASE("a refractory neuron is silent for its period", "[neuron]") {
  const neuron::Refractory<presets::NorseIaf> model{presets::norse_iaf(), 3};
  const Trace trace = traced(model, 12, constant(2, 12));
  for (std::size_t t = 0; t < 12; ++t) CHECK(trace.spike(t, 0) == (t % 4 == 0));
  // The same of a model that fires at its threshold, not only above it.
  const auto at = presets::spikingjelly_if<>();
  const Trace other = traced(neuron::Refractory<std::remove_cvref_t<decltype(at)>>{at, 2}, 12, constant(2, 12));
  for (std::size_t t = 0; t < 12; ++t) CHECK(other.spike(t, 0) == (t % 3 == 0));
}

TEST_CASE("an adaptive threshold slows a neuron down", "[neuron]") {
  const neuron::Neuron<charge::Decay, fire::AtThreshold, reset::Soft> plain;
  const neuron::Neuron<charge::Adaptive<charge::Decay>, fire::AtThreshold, reset::Soft> adaptive;
  const std::size_t without = traced(plain, 200, constant(0.5f, 200)).count(0);
  const std::size_t with = traced(adaptive, 200, constant(0.5f, 200)).count(0);
  CHECK(with > 5);
  CHECK(2 * with < without);
}

TEST_CASE("Izhikevich's presets fire in their ways", "[neuron]") {
  // 500 ms of 10 pA, as in his figure: chattering and fast spiking fire more often than regular spiking.
  const auto count = [](const presets::IzhikevichOptions& o) {
    return traced(presets::izhikevich(o), 2000, constant(10, 2000)).count(0);
  };
  const std::size_t regular = count(presets::regular_spiking);
  CHECK(regular >= 5);
  CHECK(regular <= 30);
  CHECK(count(presets::chattering) > 2 * regular);
  CHECK(count(presets::fast_spiking) > 2 * regular);
  CHECK(traced(presets::izhikevich(), 2000, constant(0, 2000)).count(0) == 0);
}

TEMPLATE_LIST_TEST_CASE("every model over time equals its scalar steps, at every size", "[neuron]",
                        spiq_test::Backends) {
  constexpr std::size_t steps = 11;
  for_every_model([&](const auto& model) {
    using M = std::remove_cvref_t<decltype(model)>;
    std::size_t fired = 0;
    for (const std::size_t n :
         {std::size_t{1}, std::size_t{3}, std::size_t{16}, std::size_t{65}, std::size_t{131}, std::size_t{300}}) {
      const Floats x = random(steps * n, -0.5f, 2.5f, n);
      const Trace whole = traced<TestType>(model, steps, x);
      // One step at a time.
      Floats state = initial(model, n);
      std::vector<std::uint64_t> words(neuron::spike_words(n));
      for (std::size_t t = 0; t < steps; ++t) {
        neuron::run<TestType>(model, 1, n, std::span<const float>(x).subspan(t * n, n), std::span<float>(state),
                              std::span<std::uint64_t>(words));
        CHECK(std::equal(words.begin(), words.end(),
                         whole.words.begin() + static_cast<std::ptrdiff_t>(t * words.size())));
        if (n % 64 != 0) CHECK(words.back() >> (n % 64) == 0);
      }
      CHECK(state == whole.state);
      // One neuron at a time: the same up to rounding, which a threshold may turn into a spike; none does here.
      const Trace scalar = traced<simd::scalar>(model, steps, x);
      std::size_t differing = 0;
      for (std::size_t i = 0; i < n; ++i) {
        fired += whole.count(i);
        bool same = true;
        for (std::size_t t = 0; t < steps; ++t) same = same && whole.spike(t, i) == scalar.spike(t, i);
        differing += same ? 0 : 1;
        for (std::size_t k = 0; same && k < static_cast<std::size_t>(M::states); ++k)
          CHECK(std::abs(whole.state[k * n + i] - scalar.state[k * n + i]) <=
                1e-4f * std::max(1.0f, std::abs(scalar.state[k * n + i])));
      }
      CHECK(differing == 0);
    }
    if constexpr (!std::is_same_v<typename M::compare, fire::Never>)
      CHECK(fired > 100);
    else
      CHECK(fired == 0);
  });
}

TEMPLATE_LIST_TEST_CASE("NaN and infinities stay with their neuron", "[neuron]", spiq_test::Backends) {
  const auto model = presets::spikingjelly_lif<>();
  Floats x = random(4 * 50, 0.5f, 2.5f);
  const Trace clean = traced<TestType>(model, 4, x);
  x[50 + 7] = std::numeric_limits<float>::quiet_NaN();
  x[50 + 20] = std::numeric_limits<float>::infinity();
  const Trace found = traced<TestType>(model, 4, x);
  for (std::size_t i = 0; i < 50; ++i)
    for (std::size_t t = 0; t < 4; ++t)
      if (i == 7)
        CHECK((t < 1 || !found.spike(t, i)));
      else if (i != 20)
        CHECK(found.spike(t, i) == clean.spike(t, i));
}

TEST_CASE("spans of other sizes are refused", "[neuron]") {
  const auto model = presets::spikingjelly_lif<>();
  Floats x(20), state(10);
  std::vector<std::uint64_t> words(2);
  const auto run = [&](std::size_t steps, std::size_t n) {
    neuron::run(model, steps, n, std::span<const float>(x), std::span<float>(state), std::span<std::uint64_t>(words));
  };
  CHECK_NOTHROW(run(2, 10));
  CHECK_THROWS_AS(run(3, 10), Error);
  CHECK_THROWS_AS(run(1, 20), Error);
  words.resize(1);
  CHECK_THROWS_AS(run(2, 10), Error);
  x.clear();
  state.clear();
  words.clear();
  CHECK_NOTHROW(run(2, 0));
  // Products that wrap round to the sizes of empty spans.
  state.resize(128);
  CHECK_THROWS_AS(run(std::size_t{1} << 63, 128), Error);
  state.clear();
  CHECK_THROWS_AS(run(2, std::numeric_limits<std::size_t>::max()), Error);
}

TEST_CASE("models whose constants make no sense are refused", "[neuron]") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  const auto refused = [](const auto& model) {
    CHECK_THROWS_AS(traced(model, 1, {1.0f}), Error);
    Spiking<std::remove_cvref_t<decltype(model)>> layer(Shape{1, 1, 1});
    const auto before = layer.model.parameters();
    CHECK_THROWS_AS(layer.set(model), Error);
    CHECK(layer.model.parameters() == before);
  };
  for_every_model([](const auto& model) { CHECK_NOTHROW(neuron::check(model)); });
  for (const auto& [alpha, beta] :
       {std::pair{0.8f, 0.8f}, {0.8f, 0.9f}, {1.0f, 0.5f}, {0.5f, 0.0f}, {0.5f, -0.1f}, {nan, 0.1f}, {0.5f, nan}})
    refused(presets::snntorch_alpha<>(alpha, beta));
  CHECK_NOTHROW(traced(presets::snntorch_alpha<>(0.8f, 0.79f), 1, {1.0f}));
  refused(presets::spikingjelly_lif<>(0));
  refused(presets::spikingjelly_lif<>(-2));
  refused(presets::spikingjelly_lif<>(nan));
  refused(presets::spikingjelly_lif<>(2, 1, inf));
  refused(presets::spikingjelly_if<>(nan));
  refused(presets::spikingjelly_if<reset::Soft>(-inf));
  CHECK_NOTHROW(traced(presets::spikingjelly_if<reset::Soft>(inf), 1, {1.0f}));
  CHECK_THROWS_AS(presets::spikingjelly_plif<>(1), Error);
  CHECK_THROWS_AS(presets::spikingjelly_plif<>(0.5f), Error);
  refused(presets::nir_lif({.tau = 0}));
  refused(presets::norse_lif({.v_leak = nan}));
  refused(presets::norse_lif_ex({}, 0));
  refused(neuron::Neuron<charge::QuadraticLeak<>>{{.tau = 0}});
  refused(neuron::Neuron<charge::QuadraticLeak<true>>{{.adaptation_tau = 0}});
  refused(neuron::Neuron<charge::ExponentialLeak>{{.tau = -1}});
  refused(neuron::Neuron<charge::ExponentialLeak>{{.delta = 0}});
  // Within wrappers, too.
  refused(neuron::Neuron<charge::Rectified<>>{{.inner = {.leak = 0}}});
  refused(neuron::Refractory<presets::SnnTorchLeaky<>>{presets::snntorch_leaky<>(nan), 3});
  for (const float period : {-1.0f, 2.5f, nan, inf})
    refused(neuron::Refractory<presets::SnnTorchLeaky<>>{presets::snntorch_leaky<>(), period});
  refused(neuron::SelfRecurrent<presets::SnnTorchLeaky<>>{presets::snntorch_leaky<>(), nan});
  refused(neuron::SinceSpike<presets::SnnTorchAlpha<>>{presets::snntorch_alpha<>(0.5f, 0.6f)});
}

TEST_CASE("charges that wrap others keep their thresholds and first states", "[neuron]") {
  const auto x = random(200, 0, 1.5f, 6);
  const auto adaptive = neuron::Neuron<charge::Adaptive<charge::Decay>, fire::AtThreshold, reset::Hard>{};
  // Without negative potentials max(0, 1 h) is h.
  const auto rectified =
      neuron::Neuron<charge::Rectified<charge::Adaptive<charge::Decay>>, fire::AtThreshold, reset::Hard>{};
  const Trace expected = traced(adaptive, 200, x), found = traced(rectified, 200, x);
  CHECK(expected.count(0) > 10);
  CHECK(found.words == expected.words);
  CHECK(found.state == expected.state);
  // Two adaptations of half the rise are one of all.
  auto half = neuron::Neuron<charge::Adaptive<charge::Adaptive<charge::Decay>>, fire::AtThreshold, reset::Hard>{};
  half.charge.k = half.charge.inner.k = adaptive.charge.k / 2;
  CHECK(traced(half, 200, x).words == expected.words);
  const neuron::Neuron<charge::Adaptive<charge::Izhikevich>> model{.initial = -65};
  CHECK(model.initial_state() == std::array{-65.0f, -13.0f, 0.0f});
}

namespace {
/// dL/dw of one neuron with input w x[t], dL/ds = 1 at every step, as the toy of SLTT (arXiv 2302.14311).
template <class Carry>
double toy_gradient(bool detach_reset, const Carry& carry) {
  const neuron::Neuron<charge::Relax<charge::leak::Tau, charge::Input::direct>, fire::AtThreshold, reset::Soft> model{
      {1.1f, 0, 1}, 1, 0, 0};
  const neuron::Differentiable<fire::AtThreshold, surrogate::PiecewiseQuadratic> fire{{1}, detach_reset};
  const Floats input{1, 1, 0.5f, 1};
  const float w = 0.7f;
  Floats state{0}, before, x;
  for (const float v : input) {
    before.push_back(state[0]);
    x.push_back(w * v);
    neuron::run(model, 1, 1, &x.back(), state.data(), [](auto&&...) {});
  }
  CHECK(std::abs(before[1] - 0.7f) < 1e-6f);
  CHECK(std::abs(before[2] - 0.763636f) < 1e-6f);
  CHECK(std::abs(before[3] - 0.419421f) < 1e-6f);
  CHECK(std::abs(state[0] - 0.738129f) < 1e-6f);
  double sum = 0;
  Floats gradient{0};
  for (std::size_t t = input.size(); t-- > 0;) {
    const float one = 1;
    float gx = 0;
    neuron::step_backward(model, fire, 1, &x[t], &before[t], &one, gradient.data(), &gx, nullptr);
    sum += double{gx} * double{input[t]};
    if (!carry(t)) gradient[0] = 0;
  }
  return sum;
}
}  // namespace

TEST_CASE("gradients through time, detached, and of spatial learning through time", "[neuron]") {
  const auto always = [](std::size_t) { return true; };
  CHECK(std::abs(toy_gradient(true, always) - 2.562699) < 2e-6);
  CHECK(std::abs(toy_gradient(false, always) - 2.461900) < 2e-6);
  CHECK(std::abs(toy_gradient(true, [](std::size_t) { return false; }) - 2.411476) < 2e-6);
}

TEMPLATE_LIST_TEST_CASE("gradients of states, input and parameters equal central differences", "[neuron]",
                        spiq_test::Backends) {
  // Between spikes the step is smooth: a read-out weighs what the step leaves behind, and nobody is near the threshold.
  for_every_model([&](auto model) {
    using M = decltype(model);
    constexpr std::size_t n = 21, size = static_cast<std::size_t>(M::states) * n;
    if constexpr (requires { model.threshold; }) model.threshold = 50;
    if constexpr (requires { model.inner.threshold; }) model.inner.threshold = 50;
    const Floats x = random(n, -0.3f, 0.4f, 3), before = random(size, 0.1f, 0.5f, 4), weights = random(size, -1, 1, 5);
    const auto read = [&](const M& m, const Floats& from, const Floats& input) {
      Floats state = from;
      neuron::run<TestType>(m, 1, n, input.data(), state.data(), [](auto&&...) {});
      double sum = 0;
      for (std::size_t i = 0; i < size; ++i) sum += double{weights[i]} * double{state[i]};
      return sum;
    };
    const neuron::Differentiable<typename M::compare, surrogate::Rectangle> fire{{1}};
    Floats gradient = weights, gx(n), gp(M::parameter_count);
    neuron::step_backward<TestType>(model, fire, n, x.data(), before.data(), nullptr, gradient.data(), gx.data(),
                                    gp.data());
    const float h = 1.0f / 64;
    const auto changed = [&](Floats v, std::size_t i, float by) {
      v[i] += by;
      return v;
    };
    for (const std::size_t i : {std::size_t{0}, std::size_t{15}, std::size_t{20}}) {
      const double slope =
          (read(model, before, changed(x, i, h)) - read(model, before, changed(x, i, -h))) / (2 * double{h});
      CHECK(std::abs(slope - double{gx[i]}) < 2e-3 * std::max(1.0, std::abs(slope)));
      for (std::size_t k = 0; k < static_cast<std::size_t>(M::states); ++k) {
        if (M::state_names[k] == "rho" || M::state_names[k] == "s") continue;  // steps of their own
        const std::size_t at = k * n + i;
        const double s =
            (read(model, changed(before, at, h), x) - read(model, changed(before, at, -h), x)) / (2 * double{h});
        CHECK(std::abs(s - double{gradient[at]}) < 2e-3 * std::max(1.0, std::abs(s)));
      }
    }
  });
}
