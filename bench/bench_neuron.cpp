// Neurons over time: T steps of a group of neurons with the membrane in registers and spikes as bits, against what is
// written by hand: one expression of Eigen after the other, and plain loops that the compiler vectorises.
//
// Bound in the first caches: per 16 neurons and step one load, one multiply-add, one comparison into a mask, one masked
// subtraction and one store of two bytes. Out of memory the loads of the currents: 4 + 8 / T + 1 / 8 bytes a neuron and
// step; compare with the rate at which one core reads (`of peak`). Integer membranes: the same with bytes of 1 or 2.
#include "harness.hpp"

#include <spiq/core/storage.hpp>
#include <spiq/neuron/integer.hpp>
#include <spiq/neuron/presets.hpp>
#include <spiq/neuron/run.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#if defined(SPIQ_BENCH_EIGEN)
#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Core>
#endif

namespace {

namespace neuron = spiq::neuron;

struct Problem {
  Problem(std::size_t neurons, std::size_t time)
      : n(neurons), steps(time), x(n * steps), state(n), floats(n * steps), words(steps * neuron::spike_words(n)) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = 0.6f * static_cast<float>(i * 7919 % 4099) / 4099.0f;
  }
  std::size_t n, steps;
  spiq::AlignedVector<float> x, state, floats;
  spiq::AlignedVector<std::uint64_t> words;

  /// Share of spikes that differ from those of a loop in double.
  [[nodiscard]] double differing(double leak, bool bits) const {
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < n; ++i) {
      double v = 0;
      for (std::size_t t = 0; t < steps; ++t) {
        v = leak * v + double{x[t * n + i]};
        const bool fires = v >= 1;
        if (fires) v -= 1;
        const bool found = bits ? (words[t * neuron::spike_words(n) + i / 64] >> (i % 64) & 1) != 0 : floats[t * n + i] != 0;
        wrong += fires != found ? 1 : 0;
      }
    }
    return static_cast<double>(wrong) / static_cast<double>(n * steps);
  }
};

constexpr float leak_factor = 0.9f;

void plain_loop(Problem& p, float leak) {
  float* const v = p.state.data();
  for (std::size_t t = 0; t < p.steps; ++t) {
    const float* const x = p.x.data() + t * p.n;
    float* const s = p.floats.data() + t * p.n;
    for (std::size_t i = 0; i < p.n; ++i) {
      const float h = v[i] * leak + x[i];
      const float spike = h >= 1.0f ? 1.0f : 0.0f;
      s[i] = spike;
      v[i] = h - spike;
    }
  }
}

#if defined(SPIQ_BENCH_EIGEN)
void eigen(Problem& p, float leak) {
  const auto n = static_cast<Eigen::Index>(p.n);
  Eigen::Map<Eigen::ArrayXf> v(p.state.data(), n);
  for (std::size_t t = 0; t < p.steps; ++t) {
    const Eigen::Map<const Eigen::ArrayXf> x(p.x.data() + t * p.n, n);
    Eigen::Map<Eigen::ArrayXf> s(p.floats.data() + t * p.n, n);
    v = v * leak + x;
    s = (v >= 1.0f).cast<float>();
    v -= s;
  }
}
#endif

template <class Run>
void add(bench::Suite& suite, const char* kernel, const std::string& implementation, std::size_t n, std::size_t steps,
         float leak, bool bits, Run run) {
  const double count = static_cast<double>(n * steps);
  suite.add({.kernel = kernel,
             .implementation = implementation,
             .shape = std::to_string(n) + "xT" + std::to_string(steps),
             .bytes = bits ? count * (4 + 8.0 / static_cast<double>(steps) + 0.125) : count * 16,
             .traffic = bench::Traffic::read,
             .items = count,
             .item = "step",
             .prepare = [=] {
               auto data = std::make_shared<Problem>(n, steps);
               return bench::Case{.run = [=] { run(*data); },
                                  .error = [=] {
                                    std::fill(data->state.begin(), data->state.end(), 0.0f);
                                    run(*data);
                                    return data->differing(double{leak}, bits);
                                  }};
             }});
}

template <class Arch, class Model>
auto fused(const Model& model) {
  return [model](Problem& p) {
    neuron::run<Arch>(model, p.steps, p.n, p.x.data(), p.state.data(), neuron::SpikeBits(p.words.data(), p.n, p.steps));
  };
}

template <class Arch>
std::string suffixed(std::string name) {
  if (!std::is_same_v<Arch, spiq::simd::best>) name += std::string("_") + Arch::name;
  return name;
}
template <class... Arch>
void add_fused(bench::Suite& suite, std::size_t n, std::size_t steps, spiq::simd::arch_list<Arch...>) {
  (add(suite, "neuron", suffixed<Arch>("spiq_if_f32"), n, steps, 1, true,
       fused<Arch>(spiq::presets::spikingjelly_if<spiq::reset::Soft>())),
   ...);
  const spiq::neuron::Neuron<spiq::charge::Decay, spiq::fire::AtThreshold, spiq::reset::Soft> lif{{leak_factor}, 1, 0, 0};
  (add(suite, "neuron_lif", suffixed<Arch>("spiq_lif_f32"), n, steps, leak_factor, true, fused<Arch>(lif)), ...);
}

/// Integer membranes: bytes a neuron and step are those of T.
template <class T>
struct IntegerProblem {
  IntegerProblem(std::size_t neurons, std::size_t time)
      : n(neurons), steps(time), x(n * steps), state(n), words(steps * neuron::spike_words(n)) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<T>(static_cast<int>(i * 7919 % 4099 % 96) - 20);
  }
  std::size_t n, steps;
  spiq::AlignedVector<T> x, state;
  spiq::AlignedVector<std::uint64_t> words;

  void run(const neuron::IntegerNeuron<T>& model) {
    neuron::run(model, steps, n, std::span<const T>(x), std::span<T>(state), std::span<std::uint64_t>(words));
  }
  /// Spikes that differ from those of a loop in int.
  [[nodiscard]] double differing(const neuron::IntegerNeuron<T>& model) const {
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < n; ++i) {
      int v = 0;
      for (std::size_t t = 0; t < steps; ++t) {
        if (model.shift > 0) v -= v >> model.shift;
        v = std::clamp<int>(v + x[t * n + i], std::numeric_limits<T>::min(), std::numeric_limits<T>::max());
        const bool fires = v >= model.threshold;
        if (fires) v -= model.threshold;
        wrong += fires != ((words[t * neuron::spike_words(n) + i / 64] >> (i % 64) & 1) != 0) ? 1 : 0;
      }
    }
    return static_cast<double>(wrong);
  }
};
template <class T>
void add_integer(bench::Suite& suite, const char* kernel, const char* implementation, std::size_t n, std::size_t steps, int shift) {
  const neuron::IntegerNeuron<T> model{.threshold = 64, .shift = shift};
  const double count = static_cast<double>(n * steps), size = sizeof(T);
  suite.add({.kernel = kernel,
             .implementation = implementation,
             .shape = std::to_string(n) + "xT" + std::to_string(steps),
             .bytes = count * (size + 2 * size / static_cast<double>(steps) + 0.125),
             .traffic = bench::Traffic::read,
             .items = count,
             .item = "step",
             .exact = true,
             .prepare = [=] {
               auto data = std::make_shared<IntegerProblem<T>>(n, steps);
               return bench::Case{.run = [=] { data->run(model); },
                                  .error = [=] {
                                    std::fill(data->state.begin(), data->state.end(), T{});
                                    data->run(model);
                                    return data->differing(model);
                                  }};
             }});
}

}  // namespace

SPIQ_BENCH(neuron) {
  for (const std::size_t n : {std::size_t{8192}, std::size_t{100000}, std::size_t{4} << 20}) {  // 100000: see pytorch_neuron.py
    add_fused(suite, n, 8, spiq::simd::compiled{});
    add_integer<std::int8_t>(suite, "neuron", "spiq_if_i8", n, 8, 0);
    add_integer<std::int16_t>(suite, "neuron", "spiq_if_i16", n, 8, 0);
    add_integer<std::int8_t>(suite, "neuron_lif", "spiq_lif_i8", n, 8, 3);
    add_integer<std::int16_t>(suite, "neuron_lif", "spiq_lif_i16", n, 8, 3);
    for (const float leak : {1.0f, leak_factor}) {
      const char* const kernel = leak == 1.0f ? "neuron" : "neuron_lif";
      add(suite, kernel, "plain_loop", n, 8, leak, false, [=](Problem& p) { plain_loop(p, leak); });
#if defined(SPIQ_BENCH_EIGEN)
      add(suite, kernel, "eigen", n, 8, leak, false, [=](Problem& p) { eigen(p, leak); });
#endif
    }
  }
}
