// The trained network with every kind of exponential: answers, times, and what they say about the paper's claim.
#pragma once

#include "clock.hpp"
#include "contender.hpp"
#include "options.hpp"

#include <spiq/report/format.hpp>
#include <spiq/report/json.hpp>
#include <spiq/report/measure.hpp>
#include <spiq/report/metrics.hpp>
#include <spiq/report/text_table.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <vector>

// Where the baselines stand in the list of contenders; the copy is its last entry.
struct Baselines {
  std::size_t std_exp, simd_exp, full;
};

struct NetworkRow {
  std::string name;
  double accuracy = 0;
  spiq::report::Agreement with_full;
  double microseconds = 0;  // per image
  double share = 0;         // of the time, in exponentials
  double speed[3] = {};     // times as fast as with std::exp, the SIMD library's, full
  double doubt[3] = {};     // how far each of those may be off
};

// The largest factor between times of rungs that run the same instructions on other constants: what comes from where
// code and data happen to lie in memory, which no number of rounds averages out.
inline double spread_of_twins(const std::vector<Contender>& all, const Times& times) {
  double least = 0, most = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].name != "quake" && all[i].name != "quake_one_sided" && all[i].name != "quake_rms") continue;
    const double seconds = times.seconds(i);
    least = least == 0 ? seconds : std::min(least, seconds);
    most = std::max(most, seconds);
  }
  return most / least;
}

// Runs the weights with every contender. The share of time in exponentials is what is saved when a copy of the argument
// stands in their place and all else remains.
inline std::vector<NetworkRow> measure_networks(const std::vector<Contender>& all, const Baselines& baselines,
                                                const spiq::NamedArrays& weights,
                                                const spiq::report::LabelledImages& test, const Options& options) {
  namespace report = spiq::report;
  std::vector<std::unique_ptr<Model>> models;
  for (const Contender& c : all) models.push_back(c.lower(weights));
  const std::span<const int> labels(test.labels);
  const std::vector<int> reference = models[baselines.full]->predict(test.images, options.threads);
  const std::size_t timed = std::min(options.time_images, test.labels.size());
  const Times times(models.size(), options.rounds, [&](std::size_t i) { models[i]->run(test.images, timed); });
  const std::size_t copy = all.size() - 1;
  const double twins = spread_of_twins(all, times);
  std::vector<NetworkRow> rows;
  for (std::size_t i = 0; i < all.size(); ++i) {
    NetworkRow r;
    r.name = all[i].name;
    if (i != copy) {
      const std::vector<int> answers = models[i]->predict(test.images, options.threads);
      r.accuracy = report::accuracy(std::span<const int>(answers), labels);
      r.with_full = report::agreement(std::span<const int>(reference), std::span<const int>(answers), labels);
    }
    r.microseconds = 1e6 * times.seconds(i) / static_cast<double>(timed);
    r.share = 1 - times.ratio(copy, i);
    const std::size_t positions[] = {baselines.std_exp, baselines.simd_exp, baselines.full};
    for (std::size_t b = 0; b < 3; ++b) {
      r.speed[b] = times.ratio(positions[b], i);
      r.doubt[b] = std::max(times.uncertainty(positions[b], i), r.speed[b] * (twins - 1));
    }
    rows.push_back(r);
  }
  return rows;
}

inline void print_networks(std::ostream& out, const std::vector<NetworkRow>& rows) {
  using spiq::report::fixed;
  spiq::report::TextTable table({"exponential", "accuracy", "as full", "us/image", "in exp", "x std::exp", "x xsimd::exp",
                                 "x full"});
  for (const NetworkRow& r : rows) {
    const bool answers = r.with_full.images != 0;
    table.row({r.name, answers ? fixed(100 * r.accuracy, 2) + " %" : "-",
               answers ? fixed(100 * r.with_full.share(), 2) + " %" : "-", fixed(r.microseconds, 1),
               answers ? fixed(100 * r.share, 1) + " %" : "-", fixed(r.speed[0], 2), fixed(r.speed[1], 2),
               fixed(r.speed[2], 2)});
  }
  out << table;
}

// Two-sided sign test: how likely answers that differ this much would be, were both networks equally good.
inline double chance_of(const spiq::report::Agreement& a) {
  const auto n = static_cast<double>(a.reference_only_right + a.candidate_only_right);
  if (n == 0) return 1;
  const auto few = std::min(a.reference_only_right, a.candidate_only_right);
  double sum = 0;
  for (std::size_t k = 0; k <= few; ++k) {
    const auto i = static_cast<double>(k);
    sum += std::exp(std::lgamma(n + 1) - std::lgamma(i + 1) - std::lgamma(n - i + 1) - n * std::log(2.0));
  }
  return std::min(1.0, 2 * sum);
}

// QuAKE (arXiv 2412.00408): inference 10 to 35 % faster, no loss of accuracy.
struct Verdict {
  std::string rung, baseline, text;
  double faster = 0;    // share by which more images are done in the same time
  double doubt = 0;     // how far that may be off
  double lost = 0;      // accuracy of `full` less that of the rung
  double chance = 1;
  bool confirmed = false;
};

inline std::vector<Verdict> judge(const std::vector<NetworkRow>& rows, const Baselines& baselines) {
  const std::size_t positions[] = {baselines.std_exp, baselines.simd_exp, baselines.full};
  std::vector<Verdict> verdicts;
  for (std::size_t b = 0; b < 3; ++b)
    for (const NetworkRow& r : rows) {
      if (r.name != "quake" && r.name != "quake2" && r.name != "ladder3") continue;
      Verdict v;
      v.rung = r.name;
      v.baseline = rows[positions[b]].name;
      v.faster = r.speed[b] - 1;
      v.doubt = r.doubt[b];
      v.lost = rows[baselines.full].accuracy - r.accuracy;
      v.chance = chance_of(r.with_full);
      // A loss counts when it is more than a tenth of a point and more than chance.
      const bool loses = v.lost > 0.001 && v.chance < 0.05;
      constexpr double least = 0.10, most = 0.35;
      v.confirmed = v.faster - v.doubt >= least && !loses;
      if (loses)
        v.text = "refuted: accuracy is lost";
      else if (v.confirmed)
        v.text = v.faster - v.doubt > most ? "confirmed, and more" : "confirmed";
      else if (v.faster + v.doubt >= least)
        v.text = "undecided";
      else
        v.text = v.faster - v.doubt > 0 ? "refuted: less is gained" : "refuted: no gain is found";
      verdicts.push_back(v);
    }
  return verdicts;
}

inline void print_verdicts(std::ostream& out, const std::vector<Verdict>& verdicts) {
  using spiq::report::fixed;
  spiq::report::TextTable table({"baseline", "rung", "verdict", "faster", "accuracy lost"}, 3);
  for (const Verdict& v : verdicts)
    table.row({v.baseline, v.rung, v.text, fixed(100 * v.faster, 1) + " +- " + fixed(100 * v.doubt, 1) + " %", fixed(100 * v.lost, 2) + " points"});
  out << table;
}

inline void write_networks(spiq::report::JsonWriter& json, const std::vector<NetworkRow>& rows) {
  json.begin_array();
  for (const NetworkRow& r : rows) {
    json.begin_object();
    json.field("exponential", r.name);
    if (r.with_full.images != 0)
      json.field("accuracy", r.accuracy).field("agreement_with_full", r.with_full.share()).field("share_in_exp", r.share);
    json.field("microseconds_per_image", r.microseconds).field("times_std_exp", r.speed[0]);
    json.field("times_simd_exp", r.speed[1]).field("times_full", r.speed[2]);
    json.end();
  }
  json.end();
}

inline void write_verdicts(spiq::report::JsonWriter& json, const std::vector<Verdict>& verdicts) {
  json.begin_array();
  for (const Verdict& v : verdicts) {
    json.begin_object();
    json.field("baseline", v.baseline).field("rung", v.rung).field("faster", v.faster).field("doubt", v.doubt);
    json.field("accuracy_lost", v.lost).field("chance", v.chance).field("confirmed", v.confirmed).field("verdict", v.text);
    json.end();
  }
  json.end();
}
