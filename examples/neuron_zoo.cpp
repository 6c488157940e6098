// Every neuron model under the same current: membrane potentials and spikes, as one sheet of small pictures.
//
//     neuron_zoo                  # writes neuron_zoo.svg
//     neuron_zoo --out zoo.svg
//     neuron_zoo --help
#include <CLI/CLI.hpp>

#include <spiq/neuron/presets.hpp>
#include <spiq/neuron/run.hpp>
#include <spiq/report/format.hpp>
#include <spiq/report/json.hpp>
#include <spiq/report/svg.hpp>
#include <spiq/report/text_table.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <exception>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

namespace {

namespace neuron = spiq::neuron;
namespace charge = spiq::charge;
namespace fire = spiq::fire;
namespace presets = spiq::presets;
namespace report = spiq::report;
namespace reset = spiq::reset;

constexpr std::size_t steps = 400;

// Rest, a weak current, a strong one, rest, a ramp.
std::vector<float> waveform() {
  std::vector<float> x(steps);
  for (std::size_t t = 0; t < steps; ++t) {
    if (t >= 20 && t < 120) x[t] = 0.5f;
    if (t >= 120 && t < 200) x[t] = 1.0f;
    if (t >= 240) x[t] = 1.5f * static_cast<float>(t - 240) / static_cast<float>(steps - 240);
  }
  return x;
}

struct Trace {
  std::string name, scale;
  std::vector<float> current, membrane;
  std::vector<bool> spike;
  float threshold = 0;
  bool fires = true;

  [[nodiscard]] std::size_t spikes() const { return static_cast<std::size_t>(std::count(spike.begin(), spike.end(), true)); }
};

// Runs one neuron on the waveform times `scale`.
template <class M>
Trace trace(const std::string& name, const M& model, float scale) {
  Trace result;
  result.name = name;
  result.scale = report::shortest(std::round(static_cast<double>(scale) * 1000) / 1000);
  result.current = waveform();
  for (float& x : result.current) x *= scale;
  result.membrane.resize(steps);
  result.spike.resize(steps);
  result.fires = !std::is_same_v<typename M::compare, fire::Never>;
  if constexpr (requires { model.threshold; }) result.threshold = model.threshold;
  if constexpr (requires { model.inner.threshold; }) result.threshold = model.inner.threshold;
  const auto initial = model.initial_state();
  std::vector<float> state(initial.begin(), initial.end());
  neuron::run(model, steps, 1, result.current.data(), state.data(),
              [&](std::size_t t, std::size_t, auto access, const auto& s, auto v) {
                float fired = 0;
                access.store(neuron::amount(s), &fired);
                access.store(v, &result.membrane[t]);
                result.spike[t] = fired != 0;
              });
  return result;
}

std::vector<Trace> zoo() {
  std::vector<Trace> all;
  const auto add = [&](const std::string& name, const auto& model, float scale) {
    all.push_back(trace(name, model, scale));
  };
  add("integrate-and-fire, hard reset", presets::spikingjelly_if<>(), 0.15f);
  add("integrate-and-fire, soft reset", presets::spikingjelly_if<reset::Soft>(), 0.15f);
  add("leaky (SpikingJelly LIF, tau 20)", presets::spikingjelly_lif<>(20), 2);
  add("leaky (snnTorch, beta 0.95)", presets::snntorch_leaky<>(0.95f), 0.1f);
  add("leaky (NIR, exact, tau 20 ms)", presets::nir_lif({}, true), 2);
  add("current-based (Norse LIF)", presets::norse_lif(), 0.4f);
  add("current-based (Synaptic)", presets::snntorch_synaptic<>(0.9f, 0.9f), 0.02f);
  add("alpha current (snnTorch Alpha)", presets::snntorch_alpha<>(0.95f, 0.9f), 0.08f);
  add("refractory, 10 steps", presets::norse_lif_refractory({}, 10), 0.4f);
  add("adaptive threshold (LSNN)",
      neuron::Neuron<charge::Adaptive<charge::Decay>, fire::AtThreshold, reset::Soft>{{{0.95f}, 0.97f, 0.5f}, 1, 0, 0}, 0.2f);
  add("rectified (KLIF)", neuron::Neuron<charge::Rectified<charge::Relax<>>>{{{20, 0, 1}, 1.2f}, 1, 0, 0}, 2);
  neuron::Neuron<charge::QuadraticLeak<>> quadratic;
  quadratic.charge = {.tau = 20, .curvature = 1, .rest = 0, .critical = 0.8f};
  quadratic.threshold = 1.5f;
  add("quadratic (QIF)", quadratic, 1);
  neuron::Neuron<charge::ExponentialLeak> exponential;
  exponential.charge = {20, 0, 0.2f, 0.8f};
  exponential.threshold = 2;
  add("exponential (EIF)", exponential, 1.5f);
  add("adaptive exponential (AdEx)", presets::norse_lif_adex({}, 0.2f, 0.5f, 0.1f, 20), 0.4f);
  add("Izhikevich, regular spiking", presets::izhikevich(presets::regular_spiking, 0.5f), 12);
  add("Izhikevich, chattering", presets::izhikevich(presets::chattering, 0.5f), 12);
  add("Izhikevich, fast spiking", presets::izhikevich(presets::fast_spiking, 0.5f), 12);
  add("leaky integrator, read-out", presets::norse_li(), 0.4f);
  return all;
}

std::string sheet(const std::vector<Trace>& traces) {
  constexpr std::size_t columns = 3;
  constexpr double cell_width = 330, cell_height = 160, left = 14, top = 54, plot_width = 306, plot_height = 84;
  const std::size_t rows = (traces.size() + columns - 1) / columns;
  report::SvgCanvas canvas(columns * cell_width + 2 * left, top + static_cast<double>(rows) * cell_height + 10,
                           "Membrane potentials and spikes of neuron models under the same current");
  canvas.text(left, 26, "Neurons under the same current", {.size = 16, .bold = true});
  canvas.text(left, 44, "blue: membrane potential; dashed: threshold; ticks: spikes; grey: the current, times the factor named", {.size = 11});
  for (std::size_t i = 0; i < traces.size(); ++i) {
    const Trace& trace = traces[i];
    const double x0 = left + static_cast<double>(i % columns) * cell_width;
    const double y0 = top + static_cast<double>(i / columns) * cell_height;
    canvas.text(x0, y0 + 14, trace.name, {.size = 12, .bold = true});
    canvas.text(x0 + plot_width, y0 + 14,
                trace.fires ? "x " + trace.scale + ", " + std::to_string(trace.spikes()) + " spikes" : "x " + trace.scale,
                {.size = 10, .anchor = "end"});
    const double at = y0 + 32;
    const auto across = [&](std::size_t t) { return x0 + plot_width * static_cast<double>(t) / static_cast<double>(steps - 1); };
    float low = *std::min_element(trace.membrane.begin(), trace.membrane.end());
    float high = *std::max_element(trace.membrane.begin(), trace.membrane.end());
    if (trace.fires) high = std::max(high, trace.threshold);
    if (high <= low) high = low + 1;
    const auto height = [&](float v) {
      return at + plot_height * (1 - static_cast<double>((v - low) / (high - low)));
    };
    canvas.rect(x0, at, plot_width, plot_height, "#f4f4f4");
    const float strongest = *std::max_element(trace.current.begin(), trace.current.end());
    std::vector<std::pair<double, double>> current, membrane;
    for (std::size_t t = 0; t < steps; ++t) {
      current.emplace_back(across(t), at + plot_height + 26 - 20 * static_cast<double>(trace.current[t] / strongest));
      membrane.emplace_back(across(t), height(trace.membrane[t]));
      if (trace.spike[t]) canvas.line(across(t), at - 10, across(t), at - 2, "#d55e00", 1.2);
    }
    if (trace.fires) canvas.line(x0, height(trace.threshold), x0 + plot_width, height(trace.threshold), "#666666", 0.8, "4 3");
    canvas.polyline(membrane, "#0072b2", 1.3);
    canvas.polyline(current, "#999999", 1.1);
  }
  return canvas.finish();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Membrane potential and spikes of every neuron model under the same current."};
  std::string out = "neuron_zoo.svg";
  app.add_option("--out", out, "The picture")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    const std::vector<Trace> traces = zoo();
    report::write_text_file(out, sheet(traces));
    report::TextTable table({"neuron", "current x", "spikes", "lowest", "highest potential"});
    for (const Trace& t : traces)
      table.row({t.name, t.scale, t.fires ? std::to_string(t.spikes()) : "-",
                 report::fixed(static_cast<double>(*std::min_element(t.membrane.begin(), t.membrane.end())), 2),
                 report::fixed(static_cast<double>(*std::max_element(t.membrane.begin(), t.membrane.end())), 2)});
    std::cout << table << "\nwrote " << out << "\n";
  } catch (const std::exception& e) {
    std::cerr << "neuron_zoo: " << e.what() << "\n";
    return 1;
  }
}
