// Weights and training runs that leave a program and come back.
#include "catch.hpp"
#include "temp_folder.hpp"

#include <spiq/io/npz_dataset.hpp>
#include <spiq/io/weights.hpp>
#include <spiq/nn/nn.hpp>

#include <cstdint>
#include <filesystem>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

namespace {

using namespace spiq;

struct Noise {
  std::vector<float> images = std::vector<float>(90 * 2 * 36);
  std::vector<int> labels = std::vector<int>(90);
  Noise() {
    Rng rng(3);
    for (float& v : images) v = rng.uniform();
    for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = images[i * 72] > 0.5f ? 1 : 0;
  }
  [[nodiscard]] SpanDataset<float> data() const { return {images, labels, {6, 6, 2}}; }
};

using Net = Network<Input<6, 6, 2>, Conv2d<5, 3>, BatchNorm, Qcfs<8>, Dropout<20>, Residual<Seq<Conv2d<5, 3>, BatchNorm>>, Qcfs<4>,
                    AvgPool<2>, Flatten, Linear<2>>;
using Wider = Network<Input<6, 6, 2>, Conv2d<6, 3>, BatchNorm, Qcfs<8>, Dropout<20>, Residual<Seq<Conv2d<6, 3>, BatchNorm>>, Qcfs<4>,
                      AvgPool<2>, Flatten, Linear<2>>;

bool equal(const NamedArrays& a, const NamedArrays& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i].name != b[i].name || !(a[i].extents == b[i].extents) || a[i].values != b[i].values) return false;
  return true;
}

/// All but the wall time of two runs.
void check_equal(const History& a, const History& b) {
  CHECK(a.validation == b.validation);
  CHECK(a.training_samples == b.training_samples);
  CHECK(a.best_epoch == b.best_epoch);
  CHECK(a.stopped_early == b.stopped_early);
  REQUIRE(a.epochs.size() == b.epochs.size());
  for (std::size_t i = 0; i < a.epochs.size(); ++i) {
    const EpochReport &x = a.epochs[i], &y = b.epochs[i];
    CHECK(x.epoch == y.epoch);
    CHECK(x.epochs == y.epochs);
    CHECK(x.loss == y.loss);
    CHECK(x.accuracy == y.accuracy);
    CHECK(x.learning_rate == y.learning_rate);
    CHECK(x.validation_loss == y.validation_loss);
    CHECK(x.validation_accuracy == y.validation_accuracy);
  }
}

}  // namespace

TEST_CASE("Saved weights load into an equal network", "[nn][io]") {
  const spiq_test::TempFolder folder;
  const Noise noise;
  const auto data = noise.data();
  Net net{Rng{1}}, other{Rng{2}};
  fit(net, data, {.epochs = 2, .batch = 30});
  net.layer<2>().levels = 3;
  save_weights(folder / "w.npz", net);
  load_weights(folder / "w.npz", other);
  CHECK(equal(export_state(net), export_state(other)));
  CHECK(other.layer<2>().calibrated);
  CHECK(other.normalization.chosen);
  CHECK(evaluate(other, data).loss == evaluate(net, data).loss);
}

TEST_CASE("Weights of another network are refused by name, and nothing changes", "[nn][io]") {
  const spiq_test::TempFolder folder;
  const std::string path = (folder / "w.npz").string();
  save_weights(path, Wider{Rng{1}});
  Net net{Rng{2}};
  const NamedArrays before = export_state(net);
  CHECK_THROWS_WITH(load_weights(path, net), path + ": array \"0.weight\": expected extents (5, 2, 3, 3), found (6, 2, 3, 3)");
  CHECK(equal(before, export_state(net)));
  NamedArrays few = before;
  few.pop_back();
  io::write_arrays(path, few);
  CHECK_THROWS_WITH(load_weights(path, net), Catch::Matchers::StartsWith(path + ": array \"8.bias\": expected an array of that name"));
  CHECK_THROWS_AS(load_weights(folder / "absent.npz", net), Error);
}

TEST_CASE("A resumed run equals an uninterrupted one bit for bit", "[nn][io]") {
  const spiq_test::TempFolder folder;
  const std::string path = (folder / "run.npz").string();
  const Noise noise;
  const auto data = noise.data();
  for (const OptimiserKind& kind : {OptimiserKind{Adam{}}, OptimiserKind{Sgd{}}}) {
    const FitOptions whole{.epochs = 5, .batch = 25, .learning_rate = 4e-3f, .optimiser = kind, .schedule = OneCycle{},
                           .augmentation = {true, 1}, .validation_fraction = 0.2f, .keep_best = true, .seed = 8};
    Net straight{Rng{5}};
    const History all = fit(straight, data, whole);

    FitOptions first = whole, second = whole;
    int epochs = 0;
    first.stop = [&] { return ++epochs == 3; };
    first.checkpoint = save_checkpoint(path, 2);
    first.threads = 1;
    second.resume = resume_from(path);
    second.threads = 3;
    Net interrupted{Rng{5}}, resumed{Rng{99}};
    CHECK(fit(interrupted, data, first).epochs.size() == 3);
    const History rest = fit(resumed, data, second);
    CHECK(equal(export_state(straight), export_state(resumed)));
    CHECK(rest.epochs.size() == 5);
    check_equal(all, rest);
  }
}

TEST_CASE("A checkpoint of another run is refused, and nothing changes", "[nn][io]") {
  const Noise noise;
  const auto data = noise.data();
  NamedArrays kept;
  Net net{Rng{5}};
  fit(net, data, {.epochs = 2, .batch = 30, .checkpoint = {[&](const NamedArrays& a) { kept = a; }}});
  Net other{Rng{6}};
  const NamedArrays before = export_state(other);
  const auto refused = [&](const FitOptions& options, const NamedArrays& arrays, const std::string& start) {
    FitOptions o = options;
    o.epochs = 2;
    o.resume = [&] { return arrays; };
    CHECK_THROWS_WITH(fit(other, data, o), Catch::Matchers::StartsWith(start));
    CHECK(equal(before, export_state(other)));
  };
  refused({.batch = 30, .seed = 2}, kept, "resume: fit.seed of the checkpoint: expected 2, found 1");
  refused({.batch = 31}, kept, "resume: fit.batch of the checkpoint: expected 31, found 30");
  refused({.batch = 30, .validation_fraction = 0.1f}, kept, "resume: fit.samples of the checkpoint: expected 81, found 90");
  refused({.batch = 30, .learning_rate = 0.5f}, kept, "resume: fit.recipe of the checkpoint");
  refused({.batch = 30, .optimiser = Sgd{}}, kept, "resume: fit.recipe of the checkpoint");
  const auto spoiled = [&](const std::string& name, auto change) {
    NamedArrays arrays = kept;
    for (NamedArray& a : arrays)
      if (a.name == name) change(a);
    return arrays;
  };
  using Floats = std::vector<float>;
  using Integers = std::vector<std::int64_t>;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  refused({.batch = 30}, spoiled("fit.data", [](auto& a) { a.values = Integers{1}; }), "resume: fit.data of the checkpoint");
  refused({.batch = 30}, spoiled("fit.first.8.bias", [&](auto& a) { a.values = Floats{0, nan}; }),
          "array \"fit.first.8.bias\": expected finite values");
  refused({.batch = 30}, spoiled("fit.second.8.bias", [](auto& a) { a.values = Floats{0, -1}; }),
          "array \"fit.second.8.bias\": expected finite values >= 0");
  for (const std::int64_t steps : {0, -6, 5, 7})
    refused({.batch = 30}, spoiled("fit.steps", [&](auto& a) { a.values = Integers{steps}; }), "resume: fit.steps: expected 6");
  refused({.batch = 30}, spoiled("fit.best_epoch", [](auto& a) { a.values = Integers{3}; }), "resume: fit.best_epoch");
  refused({.batch = 30}, spoiled("fit.stale", [](auto& a) { a.values = Integers{-1}; }), "resume: fit.stale");
  refused({.batch = 30}, spoiled("fit.history", [](auto& a) { a.extents = Extents{4, 3}; }), "resume: fit.history");
  NamedArrays best = kept;
  for (const NamedArray& a : kept)
    if (!a.name.starts_with("fit.")) best.push_back({"fit.best." + a.name, a.extents, a.values});
  best.back().values = Floats{nan, nan};
  refused({.batch = 30}, best, "array \"8.bias\"");
  other.layer<2>().levels = 5;
  CHECK_THROWS_WITH(fit(other, data, {.epochs = 2, .batch = 30, .resume = [&] { return kept; }}),
                    Catch::Matchers::StartsWith("resume: fit.recipe of the checkpoint"));
  other.layer<2>().levels = 8;
  NamedArrays cut;
  for (const NamedArray& a : kept)
    if (a.name != "fit.second.8.bias") cut.push_back(a);
  refused({.batch = 30}, cut, "array \"fit.second.8.bias\": expected an array of that name");
}

TEST_CASE("A resumed run must hold out what the first one held out", "[nn][io]") {
  const Noise noise;
  const auto all = noise.data();
  SubsetDataset fewer(all, [] {
    std::vector<std::uint32_t> first(81);
    std::iota(first.begin(), first.end(), 0u);
    return first;
  }());
  NamedArrays kept;
  Net net{Rng{5}}, other{Rng{6}};
  FitOptions options{.epochs = 1, .batch = 30, .validation_fraction = 0.1f};
  options.checkpoint = {[&](const NamedArrays& a) { kept = a; }};
  fit(net, all, options);  // trains on 81
  options.checkpoint = {};
  options.resume = [&] { return kept; };
  options.validation_fraction = 0.0f;
  CHECK_THROWS_WITH(fit(other, fewer, options), "resume: fit.validation of the checkpoint: expected 0, found 9");
  options.validation_fraction = 0.101f;  // 9 images, too
  CHECK_THROWS_WITH(fit(other, all, options), Catch::Matchers::StartsWith("resume: fit.recipe of the checkpoint"));
  options.validation_fraction = 0.1f;
  CHECK(fit(other, all, options).validation.size() == 9);
}

TEST_CASE("A resumed run keeps the bounds of its thresholds", "[nn][io]") {
  const spiq_test::TempFolder folder;
  const std::string path = (folder / "run.npz").string();
  const Noise noise;
  const auto data = noise.data();
  FitOptions options{.epochs = 4, .batch = 90, .optimiser = Sgd{0.0f, false}, .schedule = ConstantRate{}};
  options.learning_rate = 0.1f;
  options.weight_decay = 1.0f;
  options.policies.threshold = {1.0f, 1.0f, 0.0f, 0.95f};  // decay meets the bound in the first epoch
  Net straight{Rng{5}}, first{Rng{5}}, second{Rng{5}};
  const History all = fit(straight, data, options);
  options.epochs = 2;
  options.checkpoint = save_checkpoint(path);
  fit(first, data, options);
  options.epochs = 4;
  options.checkpoint = {};
  options.resume = resume_from(path);
  check_equal(all, fit(second, data, options));
  CHECK(equal(export_state(straight), export_state(second)));
  CHECK(straight.layer<2>().lambda == first.layer<2>().lambda);
}

TEST_CASE("A run that stopped early stays stopped when it is resumed", "[nn][io]") {
  const Noise noise;
  const auto data = noise.data();
  NamedArrays kept;
  FitOptions options{.epochs = 30, .batch = 25, .learning_rate = 0.0f, .validation_fraction = 0.2f, .patience = 2};
  options.checkpoint = {[&](const NamedArrays& a) { kept = a; }};
  Net first{Rng{5}}, second{Rng{6}};
  const History stopped = fit(first, data, options);
  REQUIRE(stopped.stopped_early);
  options.resume = [&] { return kept; };
  const History resumed = fit(second, data, options);
  check_equal(stopped, resumed);
  CHECK(equal(export_state(first), export_state(second)));
}

TEST_CASE("A checkpoint also loads as weights", "[nn][io]") {
  const spiq_test::TempFolder folder;
  const Noise noise;
  const auto data = noise.data();
  Net net{Rng{5}}, other{Rng{6}};
  fit(net, data, {.epochs = 1, .checkpoint = save_checkpoint(folder / "run.npz")});
  load_weights(folder / "run.npz", other);
  CHECK(equal(export_state(net), export_state(other)));
}

TEST_CASE("NpzDataset reads one file or a folder of them, bytes or floats", "[nn][io]") {
  const spiq_test::TempFolder folder;
  const auto write = [&](const std::string& name, auto value, const Extents& images, std::vector<std::int64_t> labels) {
    using T = decltype(value);
    std::vector<T> pixels(images.size());
    for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<T>(value + static_cast<T>(i % 2));
    NpzWriter writer;
    writer.add("images", images, std::span<const T>(pixels));
    writer.add("labels", labels);
    writer.save(folder / name);
  };
  write("b.npz", std::uint8_t{102}, {2, 3, 4, 5}, {7, 1});
  write("a.npz", std::uint8_t{51}, {1, 3, 4, 5}, {3});
  const NpzDataset both(folder.path());
  CHECK(both.size() == 3);
  CHECK(both.shape() == Shape{4, 5, 3});
  CHECK(both.classes() == 8);
  Tensor<float> images;
  std::vector<int> labels(2);
  both.fill(std::vector<std::uint32_t>{2, 0}, images, labels);
  CHECK(labels == std::vector<int>{1, 3});
  CHECK(images[0] == 0.4f);
  CHECK(images[60] == 0.2f);

  const NpzDataset one(folder / "a.npz");
  CHECK(one.size() == 1);
  write("c.npz", 0.0f, {2, 4, 5}, {0, 1});
  CHECK(NpzDataset(folder / "c.npz").shape() == Shape{4, 5, 1});
  CHECK_THROWS_AS(NpzDataset(folder.path()), Error);  // c.npz has one channel
  write("d.npz", 0.5f, {1, 4, 5}, {0});
  CHECK_THROWS_WITH(NpzDataset(folder / "d.npz"), Catch::Matchers::EndsWith("array \"images\": expected values in [0, 1], found 1.500000"));
  write("d.npz", 0.0f, {2, 4, 5}, {0});
  CHECK_THROWS_WITH(NpzDataset(folder / "d.npz"), Catch::Matchers::EndsWith("array \"labels\": expected extents (2), found (1)"));
  write("d.npz", 0.0f, {1, 4, 5}, {-1});
  CHECK_THROWS_AS(NpzDataset(folder / "d.npz"), Error);
  CHECK_THROWS_AS(NpzDataset(folder / "absent.npz"), Error);
  std::filesystem::create_directories(folder / "empty");
  CHECK_THROWS_AS(NpzDataset(folder / "empty"), Error);
}
