/// @file
/// The comparison table: one row per network, in text and in JSON.
#pragma once

#include <spiq/report/card.hpp>
#include <spiq/report/energy.hpp>
#include <spiq/report/json.hpp>
#include <spiq/report/metrics.hpp>
#include <spiq/report/text_table.hpp>

#include <algorithm>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace report {

/// What is known of one network after its evaluation.
struct ComparisonRow {
  std::string network{};
  std::optional<int> timesteps{};     ///< none for a network without spikes
  std::optional<int> latency_steps{};  ///< steps until the output stands; none where it is `timesteps`
  double accuracy = 0;               ///< in [0, 1]
  Agreement agreement{};             ///< with the reference network on the same images
  OperationCounts operations{};      ///< means per image
  std::size_t counted_images = 0;    ///< images that the means are taken over
  Arithmetic arithmetic = Arithmetic::f32;
  bool collapsed = false;            ///< accumulations were executed as multiplies of counts
  DirectCoding direct_coding = DirectCoding::cached;
  double images_per_second = 0;

  /// How the processor executed the accumulations: "addition", "integer multiply" or "float multiply".
  [[nodiscard]] const char* executed() const {
    if (!collapsed) return "addition";
    return arithmetic == Arithmetic::f32 ? "float multiply" : "integer multiply";
  }
  /// Energy of one image in nanojoules, arithmetic only.
  [[nodiscard]] double energy_nj(const energy::Coefficients& e = energy::cmos45) const {
    return energy::energy_nj(operations, arithmetic, e);
  }
};

/// Rows and the card of the run that measured them.
class Comparison {
public:
  explicit Comparison(Card card = {}, energy::Coefficients coefficients = energy::cmos45)
      : card_(std::move(card)), coefficients_(coefficients) {}

  void add(ComparisonRow row) { rows_.push_back(std::move(row)); }
  [[nodiscard]] const std::vector<ComparisonRow>& rows() const { return rows_; }
  [[nodiscard]] const Card& card() const { return card_; }
  [[nodiscard]] const energy::Coefficients& coefficients() const { return coefficients_; }

  /// Aligned text table and its legend.
  friend std::ostream& operator<<(std::ostream& out, const Comparison& c) {
    TextTable table({"network", "T", "accuracy %", "agree %", "lost", "won", "differ", "spikes", "internal", "MAC",
                     "AC", "energy nJ", "images/s"});
    const bool collapsed = std::any_of(c.rows_.begin(), c.rows_.end(), [](const auto& r) { return r.collapsed; });
    for (const ComparisonRow& r : c.rows_) {
      const bool spiking = r.timesteps.has_value();
      const double internal = r.operations.internal_spikes + r.operations.inhibitory_spikes;
      const std::string star = r.collapsed ? "*" : collapsed ? " " : "";
      table.row({r.network, spiking ? std::to_string(*r.timesteps) : "-", fixed(100 * r.accuracy, 2),
                 fixed(100 * r.agreement.share(), 2), std::to_string(r.agreement.reference_only_right),
                 std::to_string(r.agreement.candidate_only_right), std::to_string(r.agreement.different()),
                 spiking ? engineering(r.operations.spikes) : "-", internal > 0 ? engineering(internal) : "-",
                 engineering(r.operations.mac), (spiking ? engineering(r.operations.ac) : "-") + star,
                 engineering(r.energy_nj(c.coefficients_)), engineering(r.images_per_second)});
    }
    out << table;
    if (!c.rows_.empty()) c.legend(out, collapsed);
    return out;
  }

  /// JSON: an array of objects {network, timesteps, accuracy, agreement, spikes, ac, mac, energy_nj,
  /// images_per_second}, each followed by `details` (discordant counts, further operation counts) and `card`, the
  /// reproducibility card of the run. Accuracy and agreement are fractions; timesteps is null without spikes; counts
  /// are means per image.
  [[nodiscard]] std::string json() const {
    JsonWriter w;
    w.begin_array();
    for (const ComparisonRow& r : rows_) {
      w.begin_object().field("network", r.network).key("timesteps");
      if (r.timesteps) w.value(*r.timesteps);
      else w.null();
      w.field("accuracy", r.accuracy).field("agreement", r.agreement.share()).field("spikes", r.operations.spikes);
      w.field("ac", r.operations.ac).field("mac", r.operations.mac).field("energy_nj", r.energy_nj(coefficients_));
      w.field("images_per_second", r.images_per_second);
      w.key("details").begin_object();
      w.field("images", r.agreement.images).field("counted_images", r.counted_images);
      w.field("reference_only_right", r.agreement.reference_only_right);
      w.field("network_only_right", r.agreement.candidate_only_right);
      w.field("different_predictions", r.agreement.different()).key("latency_steps");
      if (r.latency_steps) w.value(*r.latency_steps);
      else w.null();
      w.field("arithmetic", to_string(r.arithmetic)).field("ac_executed_as", r.timesteps ? r.executed() : "none");
      w.field("direct_coding", r.direct_coding == DirectCoding::cached ? "cached" : "recomputed");
      w.field("neuron_updates", r.operations.neuron_updates);
      w.field("internal_spikes", r.operations.internal_spikes);
      w.field("inhibitory_spikes", r.operations.inhibitory_spikes);
      w.field("neurobench_mac", r.operations.neurobench_mac).field("neurobench_ac", r.operations.neurobench_ac);
      w.field("energy_model", coefficients_.name).field("energy_scope", "arithmetic only").end();
      w.key("card");
      write(w, card_);
      w.end();
    }
    w.end();
    return w.text() + "\n";
  }
  /// Writes `json()` to a file; throws Error when it cannot.
  void write_json(const std::string& path) const { write_text_file(path, json()); }

private:
  void legend(std::ostream& out, bool collapsed) const {
    const auto pj = [](double value) { return fixed(value, 2); };
    const energy::Coefficients& e = coefficients_;
    const ComparisonRow& first = rows_.front();
    const std::string sample = first.counted_images < first.agreement.images
                                   ? " (the first " + std::to_string(first.counted_images) + ")" : std::string();
    out << "agree: share of images that get the prediction of the reference, " << first.network
        << "; differ: the other images.\n"
        << "lost: the reference is right and this network wrong; won: the other way round.\n"
        << "Means per image" << sample << ". Spikes: emitted; internal: forward and inhibitory, in PASCAL neurons.\n"
        << "MAC: first layer of spiking networks "
        << (std::any_of(rows_.begin(), rows_.end(),
                        [](const auto& r) { return r.direct_coding == DirectCoding::recomputed; })
                ? "at every time step (recomputed)"
                : "once (currents are cached)")
        << "; AC: one per spike and non-zero weight.\n";
    if (collapsed)
      out << "*: spikes arrive summed, as counts or behind a pool; n of them are n ACs here, executed as one multiply,\n"
             "integer in exact arithmetic, float otherwise.\n";
    out << "energy: arithmetic only, memory counts 0; " << e.name << ", pJ: f32 MAC " << pj(e.mac(Arithmetic::f32))
        << ", f32 AC " << pj(e.ac(Arithmetic::f32)) << ",\nint16 MAC " << pj(e.mac(Arithmetic::int16))
        << " (multiply derived), int8 MAC " << pj(e.mac(Arithmetic::int8)) << ", integer AC "
        << pj(e.ac(Arithmetic::int8)) << "; a neuron update costs two ACs.\n";
  }

  Card card_;
  energy::Coefficients coefficients_;
  std::vector<ComparisonRow> rows_;
};

}  // namespace report

SPIQ_END_NAMESPACE
