// Losses, optimisers, schedules, augmentation and fit.
#include "catch.hpp"
#include "nn_reference.hpp"

#include <spiq/nn/nn.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace spiq;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

/// Bright squares in one of three places, with noise.
struct Squares {
  std::vector<float> images;
  std::vector<int> labels;
  explicit Squares(std::size_t n, std::uint64_t seed = 1) : images(n * 64), labels(n) {
    Rng rng(seed);
    for (std::size_t i = 0; i < n; ++i) {
      labels[i] = static_cast<int>(rng.below(3));
      for (std::size_t p = 0; p < 64; ++p) {
        const std::size_t x = p % 8, y = p / 8;
        const bool inside = labels[i] == 0 ? x < 3 && y < 3 : labels[i] == 1 ? x > 4 && y < 3 : x > 2 && x < 6 && y > 4;
        images[i * 64 + p] = (inside ? 0.6f : 0.1f) + 0.3f * rng.uniform();
      }
    }
  }
  [[nodiscard]] SpanDataset<float> data() const { return {images, labels, {8, 8, 1}}; }
};

/// Notes which images are asked for, call by call.
struct Recording {
  SpanDataset<float> data;
  std::vector<std::vector<std::uint32_t>> calls;
  [[nodiscard]] std::size_t size() const { return data.size(); }
  void fill(std::span<const std::uint32_t> indices, Tensor<float>& images, std::span<int> labels) {
    calls.emplace_back(indices.begin(), indices.end());
    data.fill(indices, images, labels);
  }
};

/// Without batch statistics and dropout: training and evaluation compute the same.
using Plain = Network<Input<8, 8, 1>, Conv2d<4, 3>, Qcfs<4>, AvgPool<2>, Conv2d<5, 3>, Qcfs<4>, Flatten, Linear<3>>;

/// log softmax(row)[c].
double log_softmax(std::span<const float> row, std::size_t c) {
  double top = -1e300, sum = 0;
  for (const float z : row) top = std::max(top, static_cast<double>(z));
  for (const float z : row) sum += std::exp(static_cast<double>(z) - top);
  return static_cast<double>(row[c]) - top - std::log(sum);
}

using Net = Network<Input<8, 8, 1>, Conv2d<8, 3>, BatchNorm, Qcfs<4>, AvgPool<2>,
                    Residual<Seq<Conv2d<8, 3>, BatchNorm, Qcfs<4>, Conv2d<8, 3>, BatchNorm>>, Qcfs<4>, Dropout<10>, Flatten, Linear<3>>;

std::vector<float> weights(Net& net) {
  std::vector<float> all;
  net.parameters([&](const nn::Parameter& p) { all.insert(all.end(), p.value.begin(), p.value.end()); });
  net.for_each_layer([&](const std::string&, auto& layer) {
    if constexpr (requires { layer.running_var; })
      all.insert(all.end(), layer.running_var.span().begin(), layer.running_var.span().end());
  });
  return all;
}

template <class Loss>
void check_gradient(const Loss& loss, const std::vector<int>& labels, std::size_t classes) {
  const reference::Values z = reference::random(labels.size() * classes, 9, -3, 3);
  const std::vector<float> zf = reference::floats(z);
  const Tensor<float> logits({labels.size(), classes}, zf);
  Tensor<float> gradient;
  loss(logits, labels, gradient);
  // The value is computed in double from float logits, so a step that floats can hold is needed.
  for (std::size_t i = 0; i < z.size(); ++i) {
    Tensor<float> up = logits, down = logits, unused;
    up[i] += 0.01f;
    down[i] -= 0.01f;
    const double slope = (loss(up, labels, unused).mean - loss(down, labels, unused).mean) / (static_cast<double>(up[i]) - static_cast<double>(down[i]));
    CHECK_THAT(gradient[i], WithinAbs(slope, 3e-5));
  }
}

}  // namespace

TEST_CASE("Cross-entropy equals its formula and its gradient central differences", "[nn]") {
  const std::vector<int> labels{2, 0, 1, 1};
  const Tensor<float> logits({4, 3}, std::vector<float>{1, 2, 3, 0, 0, 0, 500, -500, 0, -1, 1, 0.5f});
  Tensor<float> gradient;
  const auto log_p = [&](std::size_t row, std::size_t c) { return log_softmax(logits.span().subspan(row * 3, 3), c); };
  double plain = 0, rich = 0, weight_sum = 0;
  const std::vector<double> w{0.5, 1.5, 2.0};
  for (std::size_t i = 0; i < 4; ++i) {
    const auto y = static_cast<std::size_t>(labels[i]);
    plain -= log_p(i, y) / 4;
    rich -= 0.9 * w[y] * log_p(i, y);
    for (std::size_t c = 0; c < 3; ++c) rich -= 0.1 / 3 * w[c] * log_p(i, c);
    weight_sum += w[y];
  }
  const nn::LossValue value = CrossEntropy{}(logits, labels, gradient);
  CHECK_THAT(value.mean, WithinRel(plain, 1e-12));
  CHECK(value.correct == 3);  // the row of equal logits counts for class 0
  const CrossEntropy weighted{0.1f, {0.5f, 1.5f, 2.0f}};
  CHECK_THAT(weighted(logits, labels, gradient).mean, WithinRel(rich / weight_sum, 1e-6));
  check_gradient(CrossEntropy{}, labels, 3);
  check_gradient(CrossEntropy{0.2f, {}}, labels, 5);
  check_gradient(weighted, labels, 3);
  check_gradient(MeanSquaredError{}, labels, 4);
}

TEST_CASE("Losses refuse labels that are no class and sizes that do not fit", "[nn]") {
  const Tensor<float> logits({2, 3});
  Tensor<float> g;
  CHECK_THROWS_WITH(CrossEntropy{}(logits, std::vector<int>{0, 3}, g), "label: expected a class in [0, 3), found 3");
  CHECK_THROWS_AS(CrossEntropy{}(logits, std::vector<int>{0, -1}, g), Error);
  CHECK_THROWS_AS(MeanSquaredError{}(logits, std::vector<int>{0}, g), Error);
  CHECK_THROWS_AS((CrossEntropy{0.0f, {1.0f}}(logits, std::vector<int>{0, 1}, g)), Error);
}

TEST_CASE("A row of NaN has no class, and a broken network no accuracy", "[nn]") {
  const float nan = std::nanf(""), inf = std::numeric_limits<float>::infinity();
  const auto best = [](std::vector<float> row) { return argmax(row); };
  CHECK(best({nan, nan, nan}) == -1);
  CHECK(best({}) == -1);
  CHECK(best({nan, 1, 2}) == 2);
  CHECK(best({3, nan, 2}) == 0);
  CHECK(best({-inf, nan}) == 0);
  CHECK(best({1, 2, 2}) == 1);
  const Tensor<float> logits({2, 2}, std::vector<float>{nan, nan, 1, 0});
  Tensor<float> g;
  const std::vector<int> zeros{0, 0};
  CHECK(CrossEntropy{}(logits, zeros, g).correct == 1);
  CHECK(std::isnan(CrossEntropy{}(logits, zeros, g).mean));
  CHECK(MeanSquaredError{}(logits, zeros, g).correct == 1);

  const Squares set(20);
  const auto data = set.data();
  Network<Input<8, 8, 1>, Flatten, Linear<3>> net{Rng{1}};
  net.layer<1>().bias.fill(nan);
  const Evaluation e = evaluate(net, data);
  CHECK(e.accuracy == 0.0);
  CHECK(e.predictions == std::vector<int>(20, -1));
}

TEST_CASE("Mean squared error is taken against one-hot targets", "[nn]") {
  const Tensor<float> logits({2, 2}, std::vector<float>{1, 0.5f, 0, 2});
  Tensor<float> g;
  const nn::LossValue v = MeanSquaredError{}(logits, std::vector<int>{0, 0}, g);
  CHECK_THAT(v.mean, WithinRel((0.25 + 1 + 4) / 4, 1e-12));
  CHECK(v.correct == 1);
  CHECK(g[3] == 1.0f);
}

TEST_CASE("Optimisers take the steps of their formulas", "[nn]") {
  constexpr std::size_t n = 37;
  const std::vector<float> start = reference::floats(reference::random(n, 1));
  const auto run = [&](const OptimiserKind& kind, float decay, auto&& formula) {
    std::vector<float> w = start, g(n);
    const std::vector<nn::Parameter> list{{"w", w, g, Extents{n}, nn::ParameterKind::weight}};
    nn::Optimiser optimiser(kind, decay, {}, list);
    reference::Values expected = reference::doubles(start), first(n), second(n);
    for (int t = 1; t <= 5; ++t) {
      for (std::size_t i = 0; i < n; ++i) g[i] = std::sin(static_cast<float>(i) + static_cast<float>(t));
      optimiser.step(list, 0.1, 0.5, t % 3);
      for (std::size_t i = 0; i < n; ++i) formula(expected[i], 0.5 * static_cast<double>(g[i]), first[i], second[i], t);
    }
    for (std::size_t i = 0; i < n; ++i) CHECK_THAT(w[i], WithinAbs(expected[i], 2e-6));
    CHECK(optimiser.steps() == 5);
  };
  const double decay = static_cast<double>(0.01f), mu = static_cast<double>(0.9f);
  run(Sgd{0.9f, false}, 0.01f, [&](double& w, double g, double& v, double&, int) {
    v = mu * v + g + decay * w;
    w -= 0.1 * v;
  });
  run(Sgd{0.9f, true}, 0.01f, [&](double& w, double g, double& v, double&, int) {
    const double d = g + decay * w;
    v = mu * v + d;
    w -= 0.1 * (d + mu * v);
  });
  const auto adam = [&](double& w, double g, double& m, double& s, int t, double decoupled) {
    m = 0.9 * m + 0.1 * g;
    s = 0.999 * s + 0.001 * g * g;
    w = w * (1 - 0.1 * decoupled) - 0.1 * (m / (1 - std::pow(0.9, t))) / (std::sqrt(s / (1 - std::pow(0.999, t))) + 1e-8);
  };
  run(Adam{}, 0.01f, [&](double& w, double g, double& m, double& s, int t) { adam(w, g + decay * w, m, s, t, 0); });
  run(AdamW{}, 0.01f, [&](double& w, double g, double& m, double& s, int t) { adam(w, g, m, s, t, decay); });
}

TEST_CASE("Thresholds have their own rate, no decay, and stay positive", "[nn]") {
  std::vector<float> lambda{0.05f}, small{2e-5f}, bias{1.0f}, g{1.0f}, zero{0.0f};
  const std::vector<nn::Parameter> list{{"l", lambda, g, Extents{1}, nn::ParameterKind::threshold},
                                        {"s", small, g, Extents{1}, nn::ParameterKind::threshold},
                                        {"b", bias, zero, Extents{1}, nn::ParameterKind::bias}};
  ParameterPolicies policies;
  policies.threshold.rate_factor = 0.1f;
  nn::Optimiser optimiser(Sgd{0.0f, false}, 10.0f, policies, list);
  optimiser.step(list, 0.1, 1.0, 1);
  CHECK_THAT(lambda[0], WithinAbs(0.04, 1e-7));
  CHECK(bias[0] == 1.0f);
  for (int i = 0; i < 20; ++i) optimiser.step(list, 0.1, 1.0, 1);
  // The bound is relative to what each started with, even where it is small.
  CHECK(lambda[0] == 0.05f * policies.threshold.minimum_share);
  CHECK(small[0] == 2e-5f * policies.threshold.minimum_share);
  CHECK(small[0] > 0.0f);
  policies.threshold.minimum = 0.5f;
  nn::Optimiser absolute(Sgd{0.0f, false}, 0.0f, policies, list);
  absolute.step(list, 0.1, 1.0, 1);
  CHECK(lambda[0] == 0.5f);
}

TEST_CASE("Schedules start, peak and end where they should", "[nn]") {
  CHECK(rate_factor(ConstantRate{}, 7, 10) == 1.0);
  CHECK(rate_factor(Cosine{}, 0, 100) == 1.0);
  CHECK_THAT(rate_factor(Cosine{}, 50, 100), WithinAbs(0.5, 1e-12));
  CHECK_THAT(rate_factor(Cosine{}, 100, 100), WithinAbs(0.0, 1e-12));
  CHECK_THAT(rate_factor(Cosine{0.1f, 0.0f}, 4, 100), WithinAbs(5.0 / 11, 1e-6));
  CHECK_THAT(rate_factor(Cosine{0.0f, 0.2f}, 100, 100), WithinAbs(0.2, 1e-6));
  CHECK_THAT(rate_factor(OneCycle{}, 0, 101), WithinAbs(0.04, 1e-6));
  CHECK_THAT(rate_factor(OneCycle{}, 30, 101), WithinAbs(1.0, 1e-6));
  CHECK_THAT(rate_factor(OneCycle{}, 100, 101), WithinAbs(4e-6, 1e-8));
  for (std::size_t t = 1; t < 200; ++t) {
    CHECK(rate_factor(OneCycle{}, t, 200) > 0.0);
    CHECK(rate_factor(Cosine{}, t, 200) <= rate_factor(Cosine{}, t - 1, 200));
  }
}

TEST_CASE("Augmentation shifts, mirrors and fills, one draw per image", "[nn]") {
  constexpr Shape shape{4, 5, 2};
  constexpr std::size_t n = 400;
  std::vector<float> x(n * 40), y(x.size()), z(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 40 + 1) / 64.0f;
  std::vector<std::uint32_t> indices(n);
  for (std::size_t i = 0; i < n; ++i) indices[i] = static_cast<std::uint32_t>(3 * i);
  const Normalization plain(2);
  const auto pixel = [&](std::size_t c, int row, int column, Fill fill) {
    const bool outside = row < 0 || row > 3 || column < 0 || column > 4;
    if (outside && fill == Fill::zero) return 0.0f;
    return x[c * 20 + static_cast<std::size_t>(std::clamp(row, 0, 3) * 5 + std::clamp(column, 0, 4))];
  };
  for (const Fill fill : {Fill::zero, Fill::edge}) {
    const Augmentation augmentation{true, 2, fill};
    augmentation.apply(plain, Rng(1), indices, x.data(), y.data(), shape, 1);
    augmentation.apply(plain, Rng(1), indices, x.data(), z.data(), shape, 3);
    CHECK(y == z);
    augmentation.apply(plain, Rng(2), indices, x.data(), z.data(), shape, 1);
    CHECK(y != z);
    std::vector<int> count(50);
    for (std::size_t i = 0; i < n; ++i) {
      int matches = 0;
      for (int variant = 0; variant < 50; ++variant) {
        const int dy = variant / 2 % 5 - 2, dx = variant / 10 - 2;
        bool equal = true;
        for (int p = 0; p < 20 && equal; ++p)
          for (std::size_t c = 0; c < 2; ++c) {
            const int column = variant % 2 != 0 ? 4 - p % 5 : p % 5;
            equal = equal && y[i * 40 + static_cast<std::size_t>(p) * 2 + c] == pixel(c, p / 5 + dy, column + dx, fill);
          }
        if (equal) {
          ++matches;
          ++count[static_cast<std::size_t>(variant)];
        }
      }
      CHECK(matches >= 1);
    }
    CHECK(std::count(count.begin(), count.end(), 0) == 0);  // every shift and mirror occurs
  }
  // Index 6 draws the same in any batch.
  const std::vector<std::uint32_t> one{6};
  Augmentation{true, 2}.apply(plain, Rng(1), indices, x.data(), y.data(), shape, 1);
  Augmentation{true, 2}.apply(plain, Rng(1), one, x.data() + 80, z.data(), shape, 1);
  CHECK(std::equal(z.begin(), z.begin() + 40, y.begin() + 80));
}

TEST_CASE("A fill of zero is black before normalisation", "[nn]") {
  Normalization normalization(1);
  normalization.set(std::vector<float>{0.2f}, std::vector<float>{0.5f});
  const std::vector<float> x(9, 1.0f);
  std::vector<float> y(9);
  const std::vector<std::uint32_t> index{1};
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Augmentation{false, 1}.apply(normalization, Rng(seed), index, x.data(), y.data(), {3, 3, 1}, 1);
    for (const float v : y) CHECK((std::abs(v + 0.4f) < 1e-6f || std::abs(v - 1.6f) < 1e-6f));
  }
}

TEST_CASE("fit learns a small set, calibrates, and reports", "[nn]") {
  const Squares set(300), fresh(200, 9);
  Net net{Rng{1}};
  int batches = 0, epochs = 0;
  const auto data = set.data();
  const History history = fit(net, data, {.epochs = 6, .batch = 32, .learning_rate = 5e-3f, .validation_fraction = 0.2f,
                                          .on_batch = [&](const BatchReport& r) { batches += r.batches == 8 ? 1 : 0; },
                                          .on_epoch = [&](const EpochReport& r) { epochs += r.epoch; }});
  CHECK(batches == 48);
  CHECK(epochs == 21);
  REQUIRE(history.epochs.size() == 6);
  CHECK(history.validation.size() == 60);
  CHECK(history.training_samples == 240);
  CHECK(history.best_epoch > 0);
  CHECK(history.epochs.back().loss < history.epochs.front().loss);
  CHECK(history.epochs.back().validation_accuracy.value() > 0.95);
  CHECK(net.normalization.chosen);
  CHECK(net.normalization.mean[0] > 0.1f);
  CHECK(net.layer<2>().calibrated);
  CHECK(net.layer<2>().lambda != 1.0f);
  const auto test = fresh.data();
  const Evaluation e = evaluate(net, test);
  CHECK(e.accuracy > 0.95);
  CHECK(e.predictions.size() == 200);
  CHECK(static_cast<double>(e.correct) / 200 == e.accuracy);
}

TEST_CASE("Equal seeds give equal weights on any number of threads", "[nn]") {
  const Squares set(150);
  const auto data = set.data();
  const auto train = [&](std::uint64_t seed, int threads) {
    Net net{Rng{seed}};
    fit(net, data, {.epochs = 2, .batch = 40, .augmentation = {true, 1}, .gradient_clip = 0.5f, .seed = seed, .threads = threads});
    return weights(net);
  };
  const std::vector<float> one = train(1, 1);
  CHECK(train(1, 1) == one);
  CHECK(train(1, 2) == one);
  CHECK(train(1, 5) == one);
  CHECK(train(2, 1) != one);
}

TEST_CASE("Every optimiser, loss and option of fit lowers the loss", "[nn]") {
  const Squares set(120);
  const auto data = set.data();
  const auto improves = [&](FitOptions options) {
    Net net{Rng{3}};
    options.epochs = 4;
    options.batch = 30;
    const History h = fit(net, data, options);
    CHECK(h.epochs.back().loss < 0.8 * h.epochs.front().loss);
  };
  improves({.learning_rate = 0.05f, .optimiser = Sgd{0.9f, true}, .schedule = OneCycle{}, .weight_decay = 1e-4f});
  improves({.learning_rate = 5e-3f, .optimiser = AdamW{}, .schedule = ConstantRate{}, .weight_decay = 0.01f, .gradient_clip = 1.0f});
  improves({.learning_rate = 5e-3f, .loss = LossKind::mean_squared_error});
  improves({.learning_rate = 1e-2f, .class_weights = {1.0f, 2.0f, 0.5f}, .normalize = false});
}

TEST_CASE("Patience stops a run, keep_best restores the best epoch, stop ends on demand", "[nn]") {
  const Squares set(100);
  const auto data = set.data();
  Net net{Rng{4}};
  // A rate of zero never improves on the first epoch.
  const History h = fit(net, data, {.epochs = 50, .batch = 50, .learning_rate = 0.0f, .validation_fraction = 0.3f, .patience = 3, .keep_best = true});
  CHECK(h.stopped_early);
  // Running statistics still move, so a later epoch may be the first to reach the best accuracy.
  CHECK(static_cast<int>(h.epochs.size()) == h.best_epoch + 3);
  double best = 0;
  for (const EpochReport& r : h.epochs) best = std::max(best, r.validation_accuracy.value());
  SubsetDataset held(data, h.validation);
  CHECK(evaluate(net, held).accuracy == best);

  int asked = 0;
  const History stopped = fit(net, data, {.epochs = 9, .stop = [&] { return ++asked == 2; }});
  CHECK(stopped.epochs.size() == 2);
  CHECK_FALSE(stopped.stopped_early);
}

TEST_CASE("Images held out for validation are never trained on", "[nn]") {
  const Squares set(97);
  using Indices = std::set<std::uint32_t>;
  std::vector<std::uint32_t> drawn;
  for (const std::uint64_t seed : {1u, 2u}) {
    Recording data{set.data(), {}};
    Net net{Rng{1}};
    // From the last batch of an epoch to the epoch's report fit validates; all other calls serve training, those before
    // the first batch too: they choose the input statistics.
    std::vector<std::vector<std::uint32_t>> training, validation;
    const auto take = [&](std::vector<std::vector<std::uint32_t>>& to) {
      for (auto& call : data.calls) to.push_back(std::move(call));
      data.calls.clear();
    };
    const FitOptions options{.epochs = 3, .batch = 16, .validation_fraction = 0.25f, .seed = seed,
                             .on_batch = [&](const BatchReport&) { take(training); },
                             .on_epoch = [&](const EpochReport&) { take(validation); }};
    const History history = fit(net, data, options);
    CHECK(data.calls.empty());
    const Indices held(history.validation.begin(), history.validation.end());
    CHECK(held.size() == 24);  // of 97, to nearest
    CHECK(history.validation.size() == 24);
    CHECK(std::is_sorted(history.validation.begin(), history.validation.end()));
    CHECK(history.training_samples == 73);
    std::vector<int> trained(97), validated(97);
    for (const auto& call : training)
      for (const std::uint32_t i : call) ++trained.at(i);
    for (const auto& call : validation)
      for (const std::uint32_t i : call) ++validated.at(i);
    for (std::uint32_t i = 0; i < 97; ++i) {
      CAPTURE(seed, i);
      CHECK(trained[i] == (held.count(i) != 0 ? 0 : 4));  // three epochs and the statistics
      CHECK(validated[i] == (held.count(i) != 0 ? 3 : 0));
    }
    CHECK(history.validation != drawn);
    drawn = history.validation;
  }
}

TEST_CASE("Clipping scales the gradient of all parameters together", "[nn]") {
  const Squares set(40);
  const auto data = set.data();
  const auto step = [&](float clip) {
    Net net{Rng{1}};
    net.set_calibrated();
    std::vector<float> before, change;
    net.parameters([&](const nn::Parameter& p) { before.insert(before.end(), p.value.begin(), p.value.end()); });
    fit(net, data, {.epochs = 1, .batch = 40, .learning_rate = 0.5f, .optimiser = Sgd{0.0f, false}, .schedule = ConstantRate{},
                    .weight_decay = 0.0f, .gradient_clip = clip});
    net.parameters([&](const nn::Parameter& p) { change.insert(change.end(), p.value.begin(), p.value.end()); });
    for (std::size_t i = 0; i < change.size(); ++i) change[i] -= before[i];
    return change;
  };
  const auto norm = [](const std::vector<float>& v) {
    double square = 0;
    for (const float x : v) square += static_cast<double>(x) * static_cast<double>(x);
    return std::sqrt(square);
  };
  const std::vector<float> free = step(0.0f), clipped = step(0.125f);
  REQUIRE(norm(free) > 2 * 0.5 * 0.125);
  CHECK_THAT(norm(clipped), WithinRel(0.5 * 0.125, 1e-4));
  for (std::size_t i = 0; i < free.size(); ++i)
    CHECK_THAT(clipped[i], WithinAbs(static_cast<double>(free[i]) * norm(clipped) / norm(free), 1e-6));
  CHECK(step(static_cast<float>(norm(free) / 0.5) * 1.01f) == free);  // not reached
}

TEST_CASE("fit passes label smoothing and class weights on to the loss", "[nn]") {
  const Squares set(50);
  const auto data = set.data();
  const Tensor<float> images({50, 1, 8, 8}, set.images);
  const auto check = [&](float smoothing, const std::vector<float>& weights) {
    Plain net{Rng{2}};
    net.set_calibrated();
    for (float& w : net.layer<6>().weight.span()) w *= 4.0f;  // away from equal logits
    const Tensor<float> logits = net(images);
    double sum = 0, weight_sum = 0;
    const auto weight = [&](std::size_t c) { return weights.empty() ? 1.0 : static_cast<double>(weights[c]); };
    for (std::size_t i = 0; i < 50; ++i) {
      const auto y = static_cast<std::size_t>(set.labels[i]);
      for (std::size_t c = 0; c < 3; ++c) {
        const double target = static_cast<double>(smoothing) / 3 + (c == y ? 1 - static_cast<double>(smoothing) : 0);
        sum -= target * weight(c) * log_softmax(logits.span().subspan(i * 3, 3), c);
      }
      weight_sum += weight(y);
    }
    const History h = fit(net, data, {.epochs = 1, .batch = 50, .label_smoothing = smoothing, .class_weights = weights});
    CHECK_THAT(h.epochs.at(0).loss, WithinRel(sum / weight_sum, 1e-5));
    return sum / weight_sum;
  };
  const double plain = check(0.0f, {}), smooth = check(0.3f, {}), weighted = check(0.0f, {0.2f, 3.0f, 1.0f});
  CHECK(std::abs(smooth - plain) > 0.01 * plain);
  CHECK(std::abs(weighted - plain) > 0.01 * plain);
  check(0.3f, {0.2f, 3.0f, 1.0f});
}

TEST_CASE("Thresholds start at a percentile of the first batch, layer by layer", "[nn]") {
  const Squares set(60);
  for (const float percent : {60.0f, 90.0f, 99.5f}) {
    Recording data{set.data(), {}};
    Plain net{Rng{2}};
    // At a rate of 0 the thresholds stay as chosen.
    FitOptions options{.epochs = 1, .batch = 20, .learning_rate = 0.0f, .normalize = false};
    options.threshold_percentile = percent;
    fit(net, data, options);
    REQUIRE(data.calls.size() == 3);
    Tensor<float> images;
    std::vector<int> labels(20);
    data.data.fill(data.calls[0], images, labels);
    Plain::Cache cache;
    net.forward(images, cache);
    int layers = 0;
    std::vector<float> y(20 * Plain::outputs);
    net.observe("", cache.input.data(), y.data(), 20, cache.layers, {}, [&](const std::string&, auto& layer, std::span<const float> input) {
      if constexpr (requires { layer.lambda; }) {
        std::vector<float> sorted(input.begin(), input.end());
        std::sort(sorted.begin(), sorted.end());
        const double rank = static_cast<double>(percent) / 100 * static_cast<double>(sorted.size() - 1);
        CHECK_THAT(layer.lambda, WithinRel(sorted[static_cast<std::size_t>(std::lround(rank))], 1e-5f));
        CHECK(layer.lambda < 0.98f * sorted.back());
        ++layers;
      }
    });
    CHECK(layers == 2);
  }
}

TEST_CASE("A second fit keeps thresholds and input statistics", "[nn]") {
  const Squares set(60), other(60, 5);
  const auto first = set.data(), second = other.data();
  Net net{Rng{4}};
  fit(net, first, {.epochs = 1});
  const float lambda = net.layer<2>().lambda;
  const std::vector<float> mean = net.normalization.mean;
  fit(net, second, {.epochs = 1, .learning_rate = 0.0f});
  CHECK(net.layer<2>().lambda == lambda);
  CHECK(net.normalization.mean == mean);
}

TEST_CASE("fit refuses options out of range, foreign images and diverging losses", "[nn]") {
  const Squares set(40);
  const auto data = set.data();
  Net net{Rng{1}};
  CHECK_THROWS_WITH(fit(net, data, {.batch = 0}), Catch::Matchers::StartsWith("FitOptions::batch: expected a number >= 1"));
  CHECK_THROWS_AS(fit(net, data, {.validation_fraction = 1.0f}), Error);
  CHECK_THROWS_AS(fit(net, data, {.patience = 2}), Error);
  CHECK_THROWS_AS(fit(net, data, {.label_smoothing = 1.0f}), Error);
  CHECK_THROWS_AS(fit(net, data, {.learning_rate = std::nanf("")}), Error);
  CHECK_THROWS_AS(fit(net, data, {.learning_rate = 1e30f, .optimiser = Sgd{}}), Error);
  const std::vector<float> pixels(2 * 49);
  const std::vector<int> labels{0, 1}, bad{0, 7};
  const SpanDataset<float> foreign(pixels, labels, {7, 7, 1});
  Net fresh{Rng{1}};
  CHECK_THROWS_AS(fit(fresh, foreign, {.epochs = 1}), Error);
  const std::vector<float> fitting(2 * 64);
  const SpanDataset<float> mislabelled(fitting, bad, {8, 8, 1});
  CHECK_THROWS_AS(fit(fresh, mislabelled, {.epochs = 1}), Error);
  const SpanDataset<float> empty({}, {}, {8, 8, 1});
  CHECK_THROWS_AS(fit(fresh, empty, {.epochs = 1}), Error);
}

TEST_CASE("A batch whose loss or gradient is not finite takes no step", "[nn]") {
  using Catch::Matchers::StartsWith;
  const Squares set(40);
  const auto same_state = [](const NamedArrays& a, const NamedArrays& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const NamedArray& x, const NamedArray& y) { return x.values == y.values; });
  };
  for (const float clip : {0.0f, 0.5f}) {
    const auto data = set.data();
    Net net{Rng{1}};
    NamedArrays last;
    FitOptions options{.epochs = 3, .batch = 10, .learning_rate = 1e30f, .optimiser = Sgd{}, .schedule = ConstantRate{}};
    options.gradient_clip = clip;
    options.on_batch = [&](const BatchReport&) { last = export_state(net); };
    CHECK_THROWS_WITH(fit(net, data, options), StartsWith("fit, epoch 1, batch 2: expected a finite loss, found"));
    CHECK(same_state(export_state(net), last));
    for (const float w : weights(net)) CHECK(std::isfinite(w));

    // Finite, but the squares of the gradient are not.
    Network<Input<8, 8, 1>, Flatten, Linear<3>> steep{Rng{1}};
    steep.layer<1>().bias.fill(1e25f);
    steep.set_calibrated();
    const NamedArrays before = export_state(steep);
    CHECK_THROWS_WITH(fit(steep, data, {.epochs = 1, .loss = LossKind::mean_squared_error, .gradient_clip = clip}),
                      StartsWith("fit, epoch 1, batch 1: expected a finite norm of the gradient, found inf"));
    CHECK(same_state(export_state(steep), before));

    // A bad pixel: running statistics and thresholds stay, too.
    Squares spoilt(40);
    spoilt.images[7 * 64 + 3] = std::nanf("");
    const auto bad = spoilt.data();
    Net victim{Rng{1}};
    last.clear();
    options.learning_rate = 1e-3f;
    options.normalize = false;
    options.seed = 4;  // the image comes in a later batch
    options.on_batch = [&](const BatchReport&) { last = export_state(victim); };
    CHECK_THROWS_WITH(fit(victim, bad, options), StartsWith("fit, epoch 1, batch"));
    CHECK_FALSE(last.empty());
    CHECK(same_state(export_state(victim), last));
  }
}

TEST_CASE("Data sets hand out images by index, bytes as byte / 255", "[nn]") {
  const std::vector<std::uint8_t> bytes{0, 51, 255, 3, 102, 204, 1, 2};
  const std::vector<int> labels{4, 5};
  const SpanDataset<std::uint8_t> data(bytes, labels, {1, 2, 2});
  Tensor<float> images;
  std::vector<int> y(3);
  const std::vector<std::uint32_t> indices{1, 0, 1};
  data.fill(indices, images, y);
  CHECK(images.extents() == Extents({3, 2, 1, 2}));
  CHECK(y == std::vector<int>{5, 4, 5});
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(images[i] == static_cast<float>(bytes[4 + i]) / 255.0f);
    CHECK(images[4 + i] == static_cast<float>(bytes[i]) / 255.0f);
  }
  SubsetDataset subset(data, {1});
  CHECK(subset.size() == 1);
  const std::vector<std::uint32_t> zero{0};
  subset.fill(zero, images, std::span(y).first(1));
  CHECK(y[0] == 5);
  const std::vector<std::uint32_t> beyond{2};
  CHECK_THROWS_AS(data.fill(beyond, images, y), Error);
  CHECK_THROWS_AS(subset.fill(std::vector<std::uint32_t>{1}, images, y), Error);
  CHECK_THROWS_AS(SubsetDataset(data, {0, 2}), Error);
  CHECK_THROWS_AS(SpanDataset<std::uint8_t>(bytes, labels, {1, 3, 1}), Error);
}

TEST_CASE("The percentile that sets thresholds is the nearest rank", "[nn]") {
  std::vector<float> v(1001);
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>((i * 577) % 1001);
  CHECK(nn::percentile(v, 99.5) == 995.0f);
  CHECK(nn::percentile(v, 0) == 0.0f);
  CHECK(nn::percentile(v, 100) == 1000.0f);
  CHECK(nn::percentile({}, 50) == 0.0f);
  v[3] = std::nanf("");
  CHECK(std::isnan(nn::percentile(v, 50)));
}

TEST_CASE("Initial thresholds have the scale of their layer's inputs, however small", "[nn]") {
  const std::vector<float> z{-4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 7};
  for (const float scale : {1.0f, 0x1p-20f, 0x1p40f}) {
    std::vector<float> scaled = z, negative = z;
    for (float& v : scaled) v *= scale;
    for (float& v : negative) v = -std::abs(v) * scale;
    CHECK(nn::initial_threshold("1.", scaled, 90, 1e-30f) == 6 * scale);
    CHECK(nn::initial_threshold("1.", scaled, 10, 1e-30f) == 1 * scale);  // -3 is no threshold: that of |z|
    CHECK(nn::initial_threshold("1.", negative, 90, 1e-30f) == 6 * scale);
  }
  CHECK(nn::initial_threshold("1.", std::vector<float>{0, 0}, 90, 1e-30f) == 1.0f);
  CHECK(nn::initial_threshold("1.", std::vector<float>{0.1f}, 90, 0.25f) == 0.25f);
  CHECK_THROWS_WITH(nn::initial_threshold("1.", std::vector<float>{0, std::nanf("")}, 90, 1e-30f),
                    "threshold 1.lambda: expected finite inputs, found nan");

  // Through fit: weights 2^-14 times as large give thresholds 2^-14 times as large.
  const Squares set(30);
  const auto data = set.data();
  Plain usual{Rng{1}}, faint{Rng{1}};
  for (float& w : faint.layer<0>().weight.span()) w *= 0x1p-14f;
  fit(usual, data, {.epochs = 1, .learning_rate = 0.0f});
  fit(faint, data, {.epochs = 1, .learning_rate = 0.0f});
  CHECK(usual.layer<1>().lambda > 0.1f);
  CHECK_THAT(faint.layer<1>().lambda, WithinRel(usual.layer<1>().lambda * 0x1p-14f, 1e-5f));
}
