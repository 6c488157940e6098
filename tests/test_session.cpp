// Sessions and what can be read off them.
#include "backends.hpp"
#include "catch.hpp"
#include "lower_networks.hpp"

using namespace spiq_test;

TEST_CASE("sessions", "[exec]") {
  const auto net = make_network<Plain>(11);
  const auto images = make_images<Plain>(13, 11);
  const auto dense = lower(net, target::Float{});
  const auto expected = dense(images);

  SECTION("threads and tiles change nothing") {
    for (const int threads : {1, 2, 3})
      for (const int tile : {1, 4, 13}) {
        auto session = dense.session(13, {.threads = threads, .tile = tile});
        CHECK(largest_difference(session.run(images), expected) == 0);
        CHECK(largest_difference(session.run(images), expected) == 0);
      }
    const auto exact = lower(net, target::Spiking{conversion::Pascal<arithmetic::exact, form::spikes>{}});
    const auto reference = exact(images);
    auto session = exact.session(13, {.threads = 2, .tile = 3});
    CHECK(largest_difference(session.run(images), reference) == 0);
  }
  SECTION("fewer images than the batch") {
    auto session = dense.session(20);
    CHECK(largest_difference(session.run(images), expected) == 0);
  }
  SECTION("wrong extents are refused with what was expected") {
    auto session = dense.session(4);
    CHECK(mentions(error_text([&] { session.run(images); }), "expected (N <= 4, 2, 9, 7), found (13, 2, 9, 7)"));
    CHECK(mentions(error_text([&] { session.run(Tensor<float>({1, 2, 7, 9})); }), "found (1, 2, 7, 9)"));
    CHECK_THROWS_AS(dense.session(0), Error);
    CHECK_THROWS_AS(dense.session(1, {.threads = -1}), Error);
    CHECK_THROWS_AS(dense.session(1, {.tile = -1}), Error);
  }
  SECTION("logits over time end in the logits") {
    const auto snn = lower(net, target::Spiking{conversion::Qcfs{.steps = 6}});
    auto session = snn.session(13, {.over_time = true});
    const auto y = session.run(images);
    const auto& all = session.logits_over_time();
    REQUIRE(all.extents() == Extents({6, 13, 6}));
    for (std::size_t i = 0; i < y.size(); ++i) CHECK(all[5 * y.size() + i] == y[i]);
    auto plain = snn.session(13);
    CHECK_THROWS_AS(plain.logits_over_time(), Error);
  }
}

TEST_CASE("operation counts agree with a plain count", "[exec][statistics]") {
  const auto net = make_network<Plain>(2);
  const auto images = make_images<Plain>(3, 2);
  const auto snn = lower(net, target::Spiking{conversion::Pascal<arithmetic::exact, form::spikes>{}});
  const auto counter = report::count_operations(snn, images.data(), 3, images.size() / 3, 1);
  std::vector<OperationCounts> rows;
  for (const auto& layer : counter.per_layer()) rows.push_back(layer.counts);  // means of three images
  REQUIRE(rows.size() == 4);  // two convolutions, a pool, the read-out

  // First layer: real taps of 9x7 with 3x3, padding 1, 2 -> 5 channels.
  std::size_t taps = 0;
  for (int y = 0; y < 9; ++y)
    for (int x = 0; x < 7; ++x)
      for (int dy = -1; dy <= 1; ++dy)
        for (int dx = -1; dx <= 1; ++dx) taps += y + dy >= 0 && y + dy < 9 && x + dx >= 0 && x + dx < 7 ? 1 : 0;
  CHECK(rows[0].mac == 10.0 * static_cast<double>(taps));
  CHECK(rows[0].ac == 0);

  // Second: every spike of a pooled 4x3 map reaches 70 outputs through each of its real taps.
  const auto counts = neuron_counts(snn, images);
  double expected = 0, spikes = 0;
  for (std::size_t n = 0; n < 3; ++n)
    for (int y = 0; y < 9; ++y)
      for (int x = 0; x < 7; ++x)
        for (std::size_t c = 0; c < 5; ++c) {
          const int v = counts[0][(n * 63 + static_cast<std::size_t>(y * 7 + x)) * 5 + c];
          spikes += v;
          const int py = y / 2, px = x / 2;
          if (py >= 4 || px >= 3) continue;
          const int rows_reached = std::min(py + 1, 3) - std::max(py - 1, 0) + 1;
          const int columns_reached = std::min(px + 1, 2) - std::max(px - 1, 0) + 1;
          expected += 70.0 * v * rows_reached * columns_reached;
        }
  CHECK(rows[0].spikes == spikes / 3);
  CHECK(rows[2].ac == expected / 3);
  CHECK(rows[2].mac == 0);
  // T1 = 4 (after the pool still 4), T2 = 8: 4 + 7 + 8 updates of each of 70 x 12 neurons.
  CHECK(rows[2].neuron_updates == 840.0 * 19);
  // Every emitted spike was an internal one that no inhibitory spike took back; silent and saturated neurons have more.
  CHECK(rows[2].internal_spikes - rows[2].inhibitory_spikes <= 840.0 * 8);
  CHECK(rows[2].inhibitory_spikes > 0);
}

