// Evaluation of lowered networks: predictions, over time, differences, rows of the table.
#include "catch.hpp"

#include <spiq/lower/lower.hpp>
#include <spiq/nn/nn.hpp>
#include <spiq/report/layers.hpp>
#include <spiq/report/measure.hpp>

#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

using namespace spiq;
using Catch::Matchers::WithinAbs;

namespace {

using Net = Network<Input<8, 8, 1>, Conv2d<6, 3>, BatchNorm, Qcfs<4>, AvgPool<2>,  //
                    Residual<Seq<Conv2d<6, 3>, BatchNorm>>, Qcfs<4>, Flatten, Linear<3>>;

constexpr std::size_t images = 37;

// Bytes from a generator, labels in turn.
struct Pictures {
  std::vector<std::uint8_t> bytes;
  std::vector<int> labels;
  Pictures() {
    Rng rng(5);
    for (std::size_t i = 0; i < images * 64; ++i) bytes.push_back(static_cast<std::uint8_t>(rng.below(256)));
    for (std::size_t i = 0; i < images; ++i) labels.push_back(static_cast<int>(i % 3));
  }
};
const Pictures& pictures() {
  static const Pictures p;
  return p;
}
SpanDataset<std::uint8_t> dataset() { return {pictures().bytes, pictures().labels, Shape{8, 8, 1}}; }

template <class Arithmetic, class Form>
using Pascal = target::Spiking<conversion::Pascal<Arithmetic, Form>>;

}  // namespace

TEST_CASE("predictions do not depend on batch and threads", "[report]") {
  const Net net{Rng{3}};
  const auto dense = lower(net, target::Float{});
  const auto data = dataset();
  const report::LabelledImages test(data);
  REQUIRE(test.labels == pictures().labels);
  const auto whole = report::evaluate(dense, test.images);
  REQUIRE(whole.predictions.size() == images);
  CHECK(whole.images_per_second() > 0);
  for (const int batch : {1, 5, 37, 64})
    for (const int threads : {1, 2}) {
      const auto again = report::evaluate(dense, test.images, {.batch = batch, .threads = threads});
      CHECK(again.predictions == whole.predictions);
    }
  CHECK(report::evaluate(dense, Tensor<float>(Extents{0, 1, 8, 8})).predictions.empty());
}

TEST_CASE("the last step over time is the network's answer", "[report]") {
  const Net net{Rng{3}};
  const auto data = dataset();
  const report::LabelledImages test(data);
  const auto longest = lower(net, target::Spiking{conversion::Qcfs{.steps = 6}});
  const auto by_step = report::evaluate_over_time(longest, test.images, {.batch = 8});
  REQUIRE(by_step.size() == 6);
  for (const int t : {1, 4, 6}) {
    const auto snn = lower(net, target::Spiking{conversion::Qcfs{.steps = t}});
    CHECK(by_step[static_cast<std::size_t>(t - 1)] == report::evaluate(snn, test.images).predictions);
  }
}

TEST_CASE("exact PASCAL has the counts of the exact network", "[report]") {
  const Net net{Rng{3}};
  const auto exact = lower(net, target::Exact{});
  const auto spikes = lower(net, Pascal<arithmetic::exact, form::spikes>{});
  const auto data = dataset();
  const report::LabelledImages test(data);
  for (const int threads : {1, 2}) {
    const auto d = report::compare_counts(exact, spikes, test.images, threads);
    CHECK(d.images == images);
    CHECK(d.paths == std::vector<std::string>{"0", "4"});
    CHECK(d.neurons_differing() == 0);
  }
  // Another network differs, and one with other layers is refused.
  const auto other = report::compare_counts(exact, lower(Net{Rng{4}}, target::Exact{}), test.images);
  CHECK(other.images_differing == images);
  CHECK(other.first_layer() == "0");
  const Network<Input<8, 8, 1>, Conv2d<5, 3>, BatchNorm, Qcfs<4>, Flatten, Linear<3>> small{Rng{1}};
  CHECK_THROWS_AS(report::compare_counts(exact, lower(small, target::Exact{}), test.images), Error);
}

TEST_CASE("rows know what kind of network they come from", "[report]") {
  const Net net{Rng{3}};
  const auto data = dataset();
  const report::Comparison table =
      report::compare(data, lower(net, target::Float{}), lower(net, target::Spiking{conversion::Qcfs{.steps = 6}}),
                      lower(net, Pascal<arithmetic::f32, form::spikes>{}),
                      lower(net, Pascal<arithmetic::f32, form::counts>{}),
                      lower(net, Pascal<arithmetic::exact, form::counts>{}), lower(net, target::Exact{}));
  const auto& rows = table.rows();
  REQUIRE(rows.size() == 6);
  const auto& dense = rows[0];
  CHECK(!dense.timesteps.has_value());
  CHECK(!dense.latency_steps.has_value());
  CHECK(dense.agreement.share() == 1.0);
  CHECK(dense.operations.spikes == 0);
  CHECK(dense.operations.ac == 0);
  CHECK(dense.operations.neuron_updates == 0);
  // Real taps: (3*8-2)^2 * 6 for the first layer, (3*4-2)^2 * 36 for the second, 4*4*6 * 3 for the read-out.
  CHECK(dense.operations.mac == 484.0 * 6 + 100.0 * 36 + 96.0 * 3);
  CHECK(rows[5].operations.mac == dense.operations.mac);

  const auto& qcfs = rows[1];
  CHECK(qcfs.timesteps == 6);
  CHECK(!qcfs.latency_steps.has_value());
  CHECK(qcfs.collapsed);  // behind a pool
  CHECK(qcfs.executed() == std::string("float multiply"));
  CHECK(qcfs.operations.neuron_updates == (384.0 + 96) * 6);

  for (std::size_t i = 2; i < 5; ++i) {
    CHECK(rows[i].timesteps == 4);
    // 1 + 3 + 4 steps of the first layer, 4 + 3 + 4 of the second.
    CHECK(rows[i].latency_steps == 19);
    CHECK(rows[i].operations.neuron_updates == 384.0 * 8 + 96 * 11);
    CHECK(rows[i].operations.mac == 484.0 * 6);
    CHECK(rows[i].operations.spikes > 0);
    CHECK(rows[i].collapsed);
    CHECK(rows[i].executed() == std::string(i == 4 ? "integer multiply" : "float multiply"));
    CHECK(rows[i].arithmetic == (i == 4 ? Arithmetic::int16 : Arithmetic::f32));
  }
  // The same spikes reach the same weights, in whatever form they travel.
  CHECK_THAT(rows[3].operations.spikes, WithinAbs(rows[2].operations.spikes, 1.0));
  CHECK_THAT(rows[3].operations.ac, WithinAbs(rows[2].operations.ac, 20.0));
  CHECK(rows[4].energy_nj() < rows[3].energy_nj());
  for (const auto& r : rows) {
    CHECK(r.accuracy >= 0);
    CHECK(r.accuracy <= 1);
    CHECK(r.agreement.images == images);
    CHECK(r.counted_images == images);
    CHECK(r.images_per_second > 0);
  }
}

TEST_CASE("operations may be counted on fewer images", "[report]") {
  const auto snn = lower(Net{Rng{3}}, target::Spiking{conversion::Qcfs{.steps = 3}});
  const auto data = dataset();
  const report::LabelledImages test(data);
  const std::vector<std::uint32_t> few = {0, 1, 2, 3};
  SubsetDataset<const SpanDataset<std::uint8_t>> part(data, few);
  const report::LabelledImages first(part);
  const auto some = report::measure("some", snn, test, {}, {.count_images = 4}).row;
  CHECK(some.agreement.images == images);
  CHECK(some.counted_images == 4);
  CHECK(some.operations == report::measure("first", snn, first).row.operations);
}

TEST_CASE("layer table names what multiplies and what fires", "[report]") {
  std::ostringstream out;
  out << report::layer_table(lower(Net{Rng{3}}, Pascal<arithmetic::exact, form::counts>{}));
  for (const char* part : {"dense_s16", "pascal", "counts", "sum_pool", "join", "8x8x6", "4.body.0"})
    CHECK(out.str().find(part) != std::string::npos);
}
