// Early exit: worked examples, agreement of the running form with the one computed afterwards, calibration.
#include "catch.hpp"
#include "lower_networks.hpp"

#include <spiq/exec/early_exit.hpp>
#include <spiq/nn/policy_loss.hpp>

using namespace spiq_test;

namespace {
/// Means over the steps so far of outputs y [T][classes] of one image.
Tensor<float> means(const std::vector<std::vector<float>>& y) {
  Tensor<float> over_time(Extents{y.size(), 1, y[0].size()});
  for (std::size_t t = 0; t < y.size(); ++t)
    for (std::size_t c = 0; c < y[0].size(); ++c) {
      float sum = 0;
      for (std::size_t s = 0; s <= t; ++s) sum += y[s][c];
      over_time[t * y[0].size() + c] = sum / static_cast<float>(t + 1);
    }
  return over_time;
}
}  // namespace

TEST_CASE("the worked example: confidence, entropy, sum and mean", "[exit]") {
  const Tensor<float> over_time = means({{0.5f, 0.4f, 0.1f}, {1.2f, 0.2f, 0}, {2, 0.1f, -0.3f}, {2.5f, 0, -0.5f}});
  const double confidence[] = {0.388326, 0.651564, 0.934554, 0.994931}, entropy[] = {0.987763, 0.798673, 0.255822, 0.031279};
  std::vector<double> p;
  for (std::size_t t = 0; t < 4; ++t) {
    const std::span<const float> row(over_time.data() + 3 * t, 3);
    CHECK(std::abs(exec::sureness<exit_rule::Confidence>(row, t + 1, {.sum = true}, p) - confidence[t]) < 2e-6);
    CHECK(std::abs(1 - exec::sureness<exit_rule::Entropy>(row, t + 1, {.sum = true}, p) - entropy[t]) < 2e-6);
    CHECK(exec::sureness<exit_rule::Confidence>(row, t + 1, {}, p) <= 0.70);
  }
  CHECK(exits_of(over_time, {.threshold = 0.9, .sum = true}).steps[0] == 3);
  CHECK(exits_of<exit_rule::Entropy>(over_time, {.threshold = 0.7, .sum = true}).steps[0] == 3);
  CHECK(exits_of(over_time, {.threshold = 1.5}).steps[0] == 4);
  CHECK(exits_of(over_time, {.threshold = 0}).steps[0] == 1);
  CHECK(exits_of<exit_rule::Entropy>(over_time, {.threshold = 1.5}).steps[0] == 4);
  CHECK(exits_of<exit_rule::Entropy>(over_time, {.threshold = 0}).steps[0] == 1);
}

TEST_CASE("average exit time", "[exit]") {
  const std::size_t right[] = {80, 90, 95};
  CHECK(std::abs(average_exit_time(right, 100) - 1.30) < 1e-12);
  const std::size_t all_at_once[] = {7, 7, 7}, never[] = {0, 0, 0}, falling[] = {6, 4, 8};
  CHECK(average_exit_time(all_at_once, 7) == 1);
  CHECK(average_exit_time(never, 7) == 3);
  CHECK(std::abs(average_exit_time(falling, 10) - (1 * 6 - 2 * 2 + 3 * 4 + 3 * 2) / 10.0) < 1e-12);
}

TEST_CASE("images that leave early answer as they would have, and the others too", "[exit]") {
  using N = Network<Input<8, 8, 1>, Conv2d<16, 3>, Qcfs<4>, AvgPool<2>, Conv2d<16, 3>, Qcfs<4>, Flatten, Linear<4>>;
  auto net = make_network<N>(6);
  for (float& w : net.template layer<6>().weight.span()) w *= 6;  // outputs far enough apart that some are sure
  const auto images = make_images<N>(37, 3);
  const auto lowered = lower(net, target::Spiking{conversion::Qcfs{.steps = 12}});
  auto session = lowered.session(37, {.threads = 1, .over_time = true});
  session.run(images);
  std::size_t different = 0;
  for (const double threshold : {0.4, 0.6, 0.8}) {
    const Exits expected = exits_of(session.logits_over_time(), {.threshold = threshold});
    const Exits found = early_exit(lowered, images, 12, {.threshold = threshold}, 10);
    CHECK(found.steps == expected.steps);
    CHECK(found.predictions == expected.predictions);
    different += found.mean_steps() > 1 && found.mean_steps() < 12 ? 1 : 0;
  }
  CHECK(different > 0);
  CHECK(early_exit(lowered, images, 12, {.threshold = 1.01}, 10).steps == std::vector<int>(37, 12));
  CHECK(early_exit(lowered, images, 12, {.threshold = 0}, 10).steps == std::vector<int>(37, 1));
  CHECK(early_exit<exit_rule::Entropy>(lowered, images, 12, {.threshold = 1.01}, 10).mean_steps() == 12);
  const auto pascal = lower(net, target::Spiking{conversion::Pascal{}});
  CHECK_THROWS_AS(early_exit(pascal, images, 4), Error);
  CHECK_THROWS_AS(early_exit(lowered, images, 0), Error);
  CHECK_THROWS_AS(early_exit(lowered, images, 4, {.temperature = 0}), Error);
}

TEST_CASE("calibration takes the fewest steps that lose nothing; an oracle needs no more", "[exit]") {
  // Image 0 is right at once, image 1 from step 3 on, image 2 never.
  Tensor<float> over_time(Extents{4, 3, 2});
  const std::vector<int> labels{0, 0, 0};
  const float first[] = {3, 3, 3, 3}, second[] = {-0.2f, -0.1f, 1, 2}, third[] = {-3, -3, -3, -3};
  for (std::size_t t = 0; t < 4; ++t) {
    over_time[(t * 3 + 0) * 2] = first[t];
    over_time[(t * 3 + 1) * 2] = second[t];
    over_time[(t * 3 + 2) * 2] = third[t];
  }
  const ExitPoint point = calibrate_exit(over_time, labels);
  CHECK(std::abs(point.accuracy - 2.0 / 3) < 1e-12);
  CHECK(std::abs(point.mean_steps - (1 + 3 + 1) / 3.0) < 1e-12);
  const ExitPoint oracle = exit_oracle(over_time, labels);
  CHECK(std::abs(oracle.accuracy - 2.0 / 3) < 1e-12);
  CHECK(std::abs(oracle.mean_steps - (1 + 3 + 1) / 3.0) < 1e-12);

  // Right at first and wrong later: one who knows leaves in time.
  const Tensor<float> turning(Extents{2, 1, 2}, std::vector<float>{5, 0, 0, 5});
  const std::vector<int> label{0};
  CHECK(exit_oracle(turning, label).accuracy == 1);
  CHECK(exit_oracle(turning, label).mean_steps == 1);
  CHECK(exits_of(turning, {.threshold = 0}).predictions[0] == 0);

  CHECK_THROWS_AS(calibrate_exit(over_time, labels, 0, {}, 1), Error);
  CHECK_THROWS_AS(calibrate_exit(over_time, label), Error);
  CHECK_THROWS_AS(exit_oracle(over_time, label), Error);
  CHECK_THROWS_AS(exits_of(Tensor<float>(Extents{2, 2})), Error);
  CHECK_THROWS_AS(exits_of(Tensor<float>(Extents{2, 2, 0})), Error);
  CHECK_THROWS_AS(exits_of(over_time, {.temperature = 0}), Error);
  CHECK_THROWS_AS(exits_of(over_time, {.threshold = std::numeric_limits<double>::quiet_NaN()}), Error);
}

TEST_CASE("the policy's loss and its gradient", "[exit]") {
  // Image 0 is right from step 1 on, image 1 after the second, image 2 never; v of equal logits is 1/3 each, r = 0.6.
  const std::vector<std::uint8_t> right{1, 1, 1, 0, 1, 1, 0, 0, 0};
  Tensor<float> logits(Extents{3, 3}), gradient;
  const ExitPolicyLoss loss{.wrong = 2, .right_at_once = 0.6};
  // costs (-1, -1/2, -1/4), (2, -1/2, -1/4), (2, 2, 2); weights 1, 1.5, 1.5
  const double expected = (-1.75 / 3 + 1.5 * 1.25 / 3 + 1.5 * 2) / 3;
  CHECK(std::abs(loss(logits, right, gradient) - expected) < 1e-12);
  CHECK(std::abs(double{gradient[0]} - (-1 + 1.75 / 3) / 9) < 1e-7);
  CHECK(std::abs(double{gradient[3]} - 1.5 * (2 - 1.25 / 3) / 9) < 1e-7);
  CHECK(std::abs(double{gradient[4]} - 1.5 * (-0.5 - 1.25 / 3) / 9) < 1e-7);
  CHECK(gradient[6] == 0);
  // By central differences, somewhere else.
  const float values[] = {0.5f, -1, 2, 0.25f, 0, -0.75f, 1, 1.5f, -2};
  for (std::size_t k = 0; k < 9; ++k) logits[k] = values[k];
  loss(logits, right, gradient);
  Tensor<float> unused;
  for (std::size_t k = 0; k < 9; ++k) {
    const float keep = logits[k], h = 1 / 128.0f;
    logits[k] = keep + h;
    const double up = loss(logits, right, unused);
    logits[k] = keep - h;
    const double down = loss(logits, right, unused);
    logits[k] = keep;
    CHECK(std::abs((up - down) / (2 * double{h}) - double{gradient[k]}) < 2e-5);
  }
  CHECK_THROWS_AS(loss(logits, std::span(right).first(6), gradient), Error);
  CHECK_THROWS_AS((ExitPolicyLoss{.right_at_once = 1}(logits, right, gradient)), Error);
}

TEST_CASE("steps chosen beforehand, and what a policy learns from", "[exit]") {
  Tensor<float> over_time(Extents{3, 2, 2});
  const float margin[] = {-1, 1, 1, -1, 1, -1};  // [step][image], class 0 over class 1
  for (std::size_t k = 0; k < 6; ++k) over_time[2 * k] = margin[k];
  const std::vector<int> labels{0, 1}, steps{2, 1};
  CHECK(right_by_step(over_time, labels) == std::vector<std::uint8_t>{0, 1, 1, 0, 1, 1});
  const Exits exits = exits_after(over_time, steps);
  CHECK(exits.predictions == std::vector<int>{0, 0});
  CHECK(exits.mean_steps() == 1.5);
  const std::vector<int> bad{1, 4}, few{1};
  CHECK_THROWS_AS(exits_after(over_time, bad), Error);
  CHECK_THROWS_AS(exits_after(over_time, few), Error);
  CHECK_THROWS_AS(right_by_step(over_time, few), Error);
}

TEST_CASE("early exit says what it takes", "[exit]") {
  const std::vector<int> labels{0, 1};
  const auto text = [](auto f) -> std::string {
    try {
      f();
    } catch (const Error& e) {
      return e.what();
    }
    return {};
  };
  Tensor<float> none({0, 2, 3}), some({4, 2, 3});
  CHECK(text([&] { static_cast<void>(exits_of(none)); }).find("[T >= 1, 2, classes]") != std::string::npos);
  CHECK(text([&] { static_cast<void>(exit_oracle(none, labels)); }).find("[T >= 1, 2, classes]") != std::string::npos);
  for (const double loss : {-0.1, std::nan("")})
    CHECK(text([&] { static_cast<void>(calibrate_exit(some, labels, loss)); }).find("loss of accuracy") !=
          std::string::npos);
  Network<Input<1, 1, 4>, Linear<6>, Qcfs<4>, Linear<3>> net{Rng{1}};
  const auto pascal = lower(net, target::Spiking{conversion::Pascal{}});
  CHECK(text([&] {
          static_cast<void>(early_exit(pascal, Tensor<float>({2, 4}), 4));
        }).find("lowered with conversion::Qcfs, Rmp, HardReset or Trained, found spiking_pascal") != std::string::npos);
  Tensor<float> gradient;
  CHECK_THROWS_AS(ExitPolicyLoss{}(Tensor<float>({2, 0}), {}, gradient), Error);
  const std::vector<std::uint8_t> right{0, 0};
  CHECK_THROWS_AS(ExitPolicyLoss{.wrong = std::nan("")}(Tensor<float>({1, 2}), right, gradient), Error);
}
