// Error and speed of every way to compute exponentials: measured, printed, drawn.
#pragma once

#include "clock.hpp"
#include "contender.hpp"
#include "options.hpp"

#include <spiq/core/storage.hpp>
#include <spiq/report/format.hpp>
#include <spiq/report/json.hpp>
#include <spiq/report/line_chart.hpp>
#include <spiq/report/text_table.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

// "2.98e-02"
inline std::string scientific(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2e", value);
  return text;
}

// Relative errors against std::exp in double, at evenly spaced floats of a range.
struct ErrorCurve {
  std::vector<float> x;
  std::vector<double> error;

  ErrorCurve(const Contender& c, double low, double high, std::size_t points) : x(points), error(points) {
    std::vector<float> y(points);
    for (std::size_t i = 0; i < points; ++i)
      x[i] = static_cast<float>(low + (high - low) * static_cast<double>(i) / static_cast<double>(points - 1));
    c.exp(x.data(), y.data(), points);
    for (std::size_t i = 0; i < points; ++i) {
      const double exact = std::exp(static_cast<double>(x[i]));
      error[i] = (static_cast<double>(y[i]) - exact) / exact;
    }
  }
  [[nodiscard]] double largest() const {
    double most = 0;
    for (const double e : error) most = std::max(most, std::fabs(e));
    return most;
  }
  // (x, log10 of the largest magnitude) of consecutive stretches.
  [[nodiscard]] std::vector<std::pair<double, double>> envelope(std::size_t stretches) const {
    std::vector<std::pair<double, double>> curve;
    for (std::size_t s = 0; s < stretches; ++s) {
      const std::size_t begin = x.size() * s / stretches, end = x.size() * (s + 1) / stretches;
      double most = 1e-9;
      for (std::size_t i = begin; i < end; ++i) most = std::max(most, std::fabs(error[i]));
      curve.emplace_back(static_cast<double>(x[(begin + end) / 2]), std::log10(most));
    }
    return curve;
  }
};

// One row of the ladder's table.
struct LadderRow {
  std::string name;
  double bound = 0;             // 0: none is documented
  double error = 0, rate = 0;   // rate in 1e9 values a second
  double to_std = 0, to_simd = 0;         // times as fast
};

// `std_exp` and `simd_exp` are positions in `all`; the last one, a copy, is left out.
inline std::vector<LadderRow> measure_ladder(const std::vector<Contender>& all, std::size_t std_exp,
                                             std::size_t simd_exp, const Options& options) {
  constexpr std::size_t values = 4096;
  spiq::AlignedVector<float> x(values), y(values);
  for (std::size_t i = 0; i < values; ++i)
    x[i] = -10.0f + 20.0f * static_cast<float>(i * 2654435761u % values) / static_cast<float>(values);
  // As many calls as make about 0.1 ms, for the sake of the clock.
  std::vector<int> calls(all.size(), 1);
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i].exp(x.data(), y.data(), values);
    const double start = thread_seconds();
    for (int k = 0; k < 20; ++k) all[i].exp(x.data(), y.data(), values);
    calls[i] = std::max(1, static_cast<int>(1e-4 * 20 / std::max(thread_seconds() - start, 1e-7)));
  }
  const Times times(all.size(), 3 * options.rounds, [&](std::size_t i) {
    for (int k = 0; k < calls[i]; ++k) all[i].exp(x.data(), y.data(), values);
  });
  std::vector<LadderRow> rows;
  for (std::size_t i = 0; i + 1 < all.size(); ++i) {
    LadderRow r;
    r.name = all[i].name;
    r.bound = all[i].bound;
    r.error = ErrorCurve(all[i], -10, 10, options.quick ? 20001 : 2000001).largest();
    r.rate = static_cast<double>(values) * calls[i] / times.seconds(i) * 1e-9;
    r.to_std = times.ratio(std_exp, i) * calls[i] / calls[std_exp];
    r.to_simd = times.ratio(simd_exp, i) * calls[i] / calls[simd_exp];
    rows.push_back(r);
  }
  return rows;
}

inline void print_ladder(std::ostream& out, const std::vector<LadderRow>& rows) {
  spiq::report::TextTable table({"exponential", "bound", "largest error", "Gelem/s", "x std::exp", "x xsimd::exp"});
  for (const LadderRow& r : rows)
    table.row({r.name, r.bound != 0 ? scientific(r.bound) : "-", scientific(r.error), spiq::report::fixed(r.rate, 2),
               spiq::report::fixed(r.to_std, 1), spiq::report::fixed(r.to_simd, 2)});
  out << table;
}

inline void write_ladder(spiq::report::JsonWriter& json, const std::vector<LadderRow>& rows) {
  json.begin_array();
  for (const LadderRow& r : rows) {
    json.begin_object();
    json.field("exponential", r.name).key("bound");
    r.bound != 0 ? json.value(r.bound) : json.null();
    json.field("largest_error", r.error);
    json.field("gelem_per_second", r.rate).field("times_std_exp", r.to_std).field("times_simd_exp", r.to_simd);
    json.end();
  }
  json.end();
}

inline void draw_curves(const std::vector<Contender>& all, const std::vector<LadderRow>& rows, const Options& options) {
  namespace report = spiq::report;
  const auto is = [](const Contender& c, const auto&... names) { return ((c.name == names) || ...); };
  report::LineChart range;
  range.title = "Relative error of exp(x) over the range";
  range.x_label = "x";
  range.y_label = "log10 of the relative error";
  range.caption = "Largest error against double precision in each of 200 stretches. The error repeats in every octave; the "
                  "rungs differ by orders of magnitude.";
  report::LineChart octave;
  octave.title = "Relative error of exp(x) in one octave of the result";
  octave.x_label = "x / ln 2";
  octave.y_label = "relative error (%)";
  octave.caption = "QuAKE (arXiv 2412.00408) in its three offsets of order 1 and its forms of order 2; ladder3 for comparison.";
  for (const Contender& c : all) {
    if (is(c, "quake", "quake2", "ladder2", "ladder3", "ladder4", "ladder5", "full"))
      range.curve(c.name, ErrorCurve(c, -10, 10, 100000).envelope(200));
    if (is(c, "quake", "quake_one_sided", "quake_rms", "quake2", "quake2_balanced", "quake2_scaled", "ladder3")) {
      const ErrorCurve curve(c, 0, std::log(2.0), 201);
      std::vector<std::pair<double, double>> points;
      for (std::size_t i = 0; i < curve.x.size(); ++i)
        points.emplace_back(static_cast<double>(curve.x[i]) / std::log(2.0), 100 * curve.error[i]);
      octave.curve(c.name, std::move(points));
    }
  }
  report::LineChart ladder;
  ladder.title = "The accuracy ladder: speed against error, 4096 values in the first cache, one thread";
  ladder.x_label = "1e9 exponentials per second";
  ladder.y_label = "log10 of the largest relative error";
  ladder.caption = "Measured by quake_accuracy on " + std::string(spiq::simd::best::name) + " kernels, x in [-10, 10]. " +
                   "Curves from right to left: quake, quake2; ladder2, 3, 4, 5, full.";
  std::vector<std::pair<double, double>> bits, steps;
  for (const LadderRow& r : rows) {
    const std::pair<double, double> at(r.rate, std::log10(std::max(r.error, 1e-9)));
    if (r.name == "quake" || r.name == "quake2") bits.push_back(at);
    else if (r.name.starts_with("ladder") || r.name == "full") steps.push_back(at);
  }
  ladder.curve("quake, quake2", std::move(bits));
  ladder.curve("ladder2 to 5, full", std::move(steps));
  for (const LadderRow& r : rows)
    if (r.name.find("::") != std::string::npos) ladder.point(r.name, r.rate, std::log10(std::max(r.error, 1e-9)));
  range.write(options.out + "/" + Options::pictures[0]);
  octave.write(options.out + "/" + Options::pictures[1]);
  ladder.write(options.out + "/" + Options::pictures[2]);
}
