// What fit, evaluate and layers are told: options, data sets of the user's own, and what is refused.
#include "catch.hpp"

#include <spiq/nn/nn.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace spiq;
using Catch::Matchers::StartsWith;

using Net = Network<Input<6, 5, 2>, Conv2d<4, 3>, BatchNorm, Qcfs<4>, AvgPool<2>, Flatten, Linear<3>>;

/// A data set of the user's own: noise in three classes; may give another number of images than it is asked for, or
/// forget a label.
struct Noise {
  std::size_t n = 40;
  int surplus = 0;
  bool forgets_label = false;
  [[nodiscard]] std::size_t size() const { return n; }
  void fill(std::span<const std::uint32_t> indices, Tensor<float>& images, std::span<int> labels) const {
    images.resize({static_cast<std::size_t>(static_cast<int>(indices.size()) + surplus), 2, 6, 5});
    for (std::size_t i = 0; i < images.size(); ++i) images[i] = Rng(i).uniform();
    for (std::size_t i = forgets_label ? 1 : 0; i < indices.size(); ++i) labels[i] = static_cast<int>(indices[i] % 3);
  }
};

}  // namespace

TEST_CASE("A data set must give one image per index, wherever it is read", "[nn]") {
  for (const int surplus : {-39, -1, 1}) {
    const Noise data{40, surplus};
    const auto sentence = StartsWith("data set: expected 40 images, found " + std::to_string(40 + surplus));
    Net net{Rng{1}};
    CHECK_THROWS_WITH(fit(net, data, {.epochs = 1}), sentence);  // while it takes the input statistics
    CHECK(!net.normalization.chosen);
    CHECK_THROWS_WITH(fit(net, data, {.epochs = 1, .normalize = false}), sentence);
    CHECK_THROWS_WITH(evaluate(net, data), sentence);
  }
  Net net{Rng{1}};
  const Noise forgetful{40, 0, true};
  CHECK_THROWS_WITH(evaluate(net, forgetful), StartsWith("label: expected a class in [0, 3), found -1"));
}

TEST_CASE("fit refuses every option out of range by its name, and changes nothing", "[nn]") {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  const Noise data;
  const auto refuses = [&](const FitOptions& options, const std::string& sentence) {
    Net net{Rng{1}};
    const NamedArrays before = export_state(net);
    CHECK_THROWS_WITH(fit(net, data, options), StartsWith("FitOptions::" + sentence));
    const NamedArrays after = export_state(net);
    REQUIRE(after.size() == before.size());
    for (std::size_t i = 0; i < before.size(); ++i) CHECK(after[i].values == before[i].values);
    CHECK(!net.normalization.chosen);
    CHECK(!net.layer<2>().calibrated);
  };
  refuses({.epochs = -1}, "epochs: expected a number >= 0, found -1");
  refuses({.batch = 0}, "batch: expected a number >= 1, found 0");
  for (const float v : {nan, -1.0f, inf}) {
    refuses({.learning_rate = v}, "learning_rate: expected a finite number >= 0");
    refuses({.weight_decay = v}, "weight_decay: expected a finite number >= 0");
    refuses({.schedule = Cosine{.floor = v}}, "schedule, Cosine::floor: expected a finite number >= 0");
    refuses({.policies = {.weight = {.rate_factor = v}}}, "policies.weight.rate_factor: expected a finite number >= 0");
    refuses({.policies = {.bias = {.decay_factor = v}}}, "policies.bias.decay_factor: expected a finite number >= 0");
    refuses({.class_weights = {1, v, 1}}, "class_weights[1]: expected a finite number >= 0");
  }
  for (const float v : {nan, -0.5f, 1.0f, 5.0f}) {
    refuses({.optimiser = Sgd{.momentum = v}}, "optimiser, Sgd::momentum: expected a number in [0, 1)");
    refuses({.optimiser = Adam{.beta1 = v}}, "optimiser, Adam::beta1: expected a number in [0, 1)");
    refuses({.optimiser = AdamW{.beta2 = v}}, "optimiser, AdamW::beta2: expected a number in [0, 1)");
    refuses({.label_smoothing = v}, "label_smoothing: expected a number in [0, 1)");
    refuses({.validation_fraction = v}, "validation_fraction: expected a number in [0, 1)");
  }
  for (const float v : {nan, -1.0f, 0.0f, inf}) {
    refuses({.optimiser = Adam{.epsilon = v}}, "optimiser, Adam::epsilon: expected a finite number > 0");
    refuses({.optimiser = AdamW{.epsilon = v}}, "optimiser, AdamW::epsilon: expected a finite number > 0");
    refuses({.schedule = OneCycle{.divide = v}}, "schedule, OneCycle::divide: expected a finite number > 0");
    refuses({.schedule = OneCycle{.final_divide = v}}, "schedule, OneCycle::final_divide: expected a finite number > 0");
    refuses({.policies = {.threshold = {1, 0, v}}}, "policies.threshold.minimum: expected a ");
  }
  for (const float v : {nan, -1.0f, 0.0f, 1.0f, 7.0f})
    refuses({.schedule = OneCycle{.rise = v}}, "schedule, OneCycle::rise: expected a share of the steps in (0, 1)");
  for (const float v : {nan, -3.0f, 1.5f})
    refuses({.schedule = Cosine{.warmup = v}}, "schedule, Cosine::warmup: expected a share of the steps in [0, 1]");
  for (const float v : {nan, inf})
    refuses({.policies = {.norm = {1, 0, v}}}, "policies.norm.minimum: expected a number below infinity");
  for (const LossKind loss : {LossKind::cross_entropy, LossKind::mean_squared_error}) {
    refuses({.loss = loss, .class_weights = {1, 2}}, "class_weights: expected 3 values or none, found 2");
    refuses({.loss = loss, .class_weights = {1, -2, 1}}, "class_weights[1]: expected a finite number >= 0, found -2");
    refuses({.loss = loss, .class_weights = {0, 0, 0}}, "class_weights: expected a weight > 0 for at least one class");
  }
  for (const float v : {nan, -1.0f}) refuses({.gradient_clip = v}, "gradient_clip: expected a number >= 0");
  for (const float v : {nan, -50.0f, 500.0f})
    refuses({.threshold_percentile = v}, "threshold_percentile: expected per cent in [0, 100]");
  refuses({.augmentation = {.shift = -1}}, "augmentation.shift: expected pixels in [0, 4095], found -1");
  refuses({.validation_fraction = 0.2f, .patience = -3}, "patience: expected a number >= 0, found -3");
  refuses({.patience = 3}, "validation_fraction: expected more than 0 where patience or keep_best is set");
  refuses({.threads = -4}, "threads: expected a number >= 0, found -4");
  refuses({.checkpoint = {{}, 0}}, "checkpoint.every: expected a number >= 1, found 0");
  // Small numbers are named, not rounded away.
  refuses({.weight_decay = -1e-9f}, "weight_decay: expected a finite number >= 0, found -1e-09");
}

TEST_CASE("fit takes options at the ends of their ranges", "[nn]") {
  const Noise data;
  const auto takes = [&](const FitOptions& options) {
    Net net{Rng{1}};
    CHECK_NOTHROW(fit(net, data, options));
  };
  takes({.epochs = 0, .batch = 1, .learning_rate = 0, .optimiser = Sgd{.momentum = 0}, .weight_decay = 0});
  takes({.epochs = 1, .optimiser = Adam{.beta1 = 0, .beta2 = 0}, .schedule = Cosine{.warmup = 1, .floor = 1}});
  takes({.epochs = 1, .policies = {.weight = {0, 0, -1}, .bias = {1, 1, 0}}, .class_weights = {0, 0, 2}});
  takes({.epochs = 1, .gradient_clip = std::numeric_limits<float>::infinity(), .threshold_percentile = 0});
  takes({.epochs = 1, .schedule = OneCycle{.rise = 0.01f, .divide = 0.5f}, .threshold_percentile = 100});
}

TEST_CASE("fit refuses activations that cannot be trained, by their path", "[nn]") {
  using Deep = Network<Input<6, 5, 2>, Residual<Seq<Conv2d<2, 3>, Qcfs<4>>>, Flatten, Linear<3>>;
  const Noise data;
  for (const int levels : {0, -1, 256}) {
    Deep net{Rng{1}};
    net.for_each_layer([&](const std::string&, auto& layer) {
      if constexpr (requires { layer.levels; }) layer.levels = levels;
    });
    CHECK_THROWS_WITH(fit(net, data, {.epochs = 1}),
                      StartsWith("layer 0.body.1: Qcfs::levels: expected 1 to 255, found " + std::to_string(levels)));
  }
  Net net{Rng{1}};
  net.layer<2>().lambda = 0;
  CHECK_NOTHROW(fit(net, data, {.epochs = 1}));  // chosen by fit
  net.layer<2>().lambda = 0;
  CHECK_THROWS_WITH(fit(net, data, {.epochs = 1}), StartsWith("layer 2: Qcfs::lambda: expected a finite number > 0, found 0"));
  // A checkpoint replaces what a diverged run has left behind.
  Net trained{Rng{1}};
  NamedArrays saved;
  fit(trained, data, {.epochs = 1, .schedule = ConstantRate{}, .checkpoint = {[&](const NamedArrays& a) { saved = a; }}});
  CHECK_NOTHROW(fit(net, data, {.epochs = 2, .schedule = ConstantRate{}, .resume = [&] { return saved; }}));
}
