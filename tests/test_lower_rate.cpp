// Rate coding of ReLU networks: soft (RMP) and hard reset, thresholds balanced on images.
#include "backends.hpp"
#include "catch.hpp"
#include "lower_networks.hpp"

#include <spiq/lower/balance.hpp>
#include <spiq/neuron/run.hpp>
#include <spiq/nn/calibrate.hpp>
#include <spiq/report/measure.hpp>

#include <algorithm>

using namespace spiq_test;

namespace {

// Spikes of one neuron under a constant current; whole numbers, so nothing is rounded.
template <class Compare, class Reset>
int spikes_under(float current, float threshold, int steps) {
  neuron::Neuron<charge::Integrate, Compare, Reset> model;
  model.threshold = threshold;
  const std::vector<float> currents(static_cast<std::size_t>(steps), current);
  float state = 0;
  int count = 0;
  neuron::run(model, currents.size(), 1, currents.data(), &state,
              [&](std::size_t, std::size_t, auto access, const auto& s, const auto&) {
                float fired = 0;
                access.store(neuron::amount(s), &fired);
                count += fired != 0;
              });
  return count;
}

using TwoLayers = Network<Input<1, 1, 4>, Linear<5>, ReLU, Linear<6>, ReLU, Linear<3>>;
using Residuals =
    Network<Input<8, 8, 2>, Conv2d<12, 3>, BatchNorm, ReLU, AvgPool<2>,
            Residual<Seq<Conv2d<12, 3>, BatchNorm, ReLU, Conv2d<12, 3>, BatchNorm>>, ReLU, GlobalAvgPool, Linear<5>>;

// What the layers of `TwoLayers` do, in plain loops.
struct Plain2 {
  const TwoLayers& net;
  int steps;
  bool soft = true;

  template <class L>
  static std::vector<double> currents(const L& layer, const std::vector<double>& in) {
    std::vector<double> out(layer.bias.size());
    for (std::size_t o = 0; o < out.size(); ++o) {
      out[o] = layer.bias[o];
      for (std::size_t i = 0; i < in.size(); ++i) out[o] += layer.weight[o * in.size() + i] * in[i];
    }
    return out;
  }
  std::vector<double> fire(std::vector<double>& membrane, const std::vector<double>& current, double theta) const {
    std::vector<double> out(current.size());
    membrane.resize(current.size());
    for (std::size_t i = 0; i < out.size(); ++i) {
      membrane[i] += current[i];
      if (membrane[i] < theta) continue;
      membrane[i] = soft ? membrane[i] - theta : 0;
      out[i] = theta;
    }
    return out;
  }
  // The weighted sums of layer 1 (0 or 1) over all images and steps, and the mean logits.
  std::vector<float> sums(const Tensor<float>& x, int layer, double theta, double theta2,
                          std::vector<double>& logits) const {
    std::vector<float> all;
    logits.clear();
    for (std::size_t n = 0; n < x.extent(0); ++n) {
      const std::vector<double> in(x.data() + n * 4, x.data() + n * 4 + 4);
      std::vector<double> v1, v2, mean(3);
      for (int t = 0; t < steps; ++t) {
        const auto z1 = currents(net.layer<0>(), in);
        const auto z2 = currents(net.layer<2>(), fire(v1, z1, theta));
        const auto y = currents(net.layer<4>(), fire(v2, z2, theta2));
        for (const double z : layer == 0 ? z1 : z2) all.push_back(static_cast<float>(z));
        for (std::size_t c = 0; c < 3; ++c) mean[c] += y[c] / steps;
      }
      logits.insert(logits.end(), mean.begin(), mean.end());
    }
    return all;
  }
};

}  // namespace

TEST_CASE("Soft reset keeps the rate, hard reset loses it", "[lower][rate]") {
  using fire::AboveThreshold, fire::AtThreshold;
  struct Fact {
    float current;
    int soft, hard;
  };
  // In twentieths of the threshold: 0.3, 0.6, 0.75, 0.9, 1 and 1.3 over 100 steps.
  for (const auto& [current, soft, hard] : {Fact{6, 30, 25}, Fact{12, 60, 50}, Fact{15, 75, 50}, Fact{18, 90, 50},
                                            Fact{20, 100, 100}, Fact{26, 100, 100}}) {
    CAPTURE(current);
    CHECK(spikes_under<AtThreshold, reset::Soft>(current, 20, 100) == soft);
    CHECK(spikes_under<AtThreshold, reset::Hard>(current, 20, 100) == hard);
  }
  CHECK(spikes_under<AboveThreshold, reset::Soft>(20, 20, 100) == 99);
  CHECK(spikes_under<AboveThreshold, reset::Hard>(20, 20, 100) == 50);

  Rng rng{3};
  for (int trial = 0; trial < 300; ++trial) {
    const auto theta = static_cast<float>(1 + rng.below(64)), current = static_cast<float>(rng.below(160)) - 40;
    const int steps = 1 + static_cast<int>(rng.below(50));
    CAPTURE(theta, current, steps);
    const double rate = spikes_under<AtThreshold, reset::Soft>(current, theta, steps) / static_cast<double>(steps);
    CHECK(std::abs(rate - std::clamp(double{current} / double{theta}, 0.0, 1.0)) <= 1.0 / steps);
  }
}

TEMPLATE_LIST_TEST_CASE("Balanced thresholds are those of the weighted sums over time, layer by layer", "[lower][rate]",
                        spiq_test::Backends) {
  TwoLayers plain{Rng{4}};
  Rng rng{6};
  for (float& v : plain.layer<0>().bias.span()) v = rng.uniform(-0.2F, 0.3F);
  for (float& v : plain.layer<2>().bias.span()) v = rng.uniform(-0.2F, 0.3F);
  Tensor<float> images({70, 4});  // more than are run at once
  for (float& v : images.span()) v = rng.uniform(-1, 1);
  std::vector<double> logits;
  for (const double percentile : {100.0, 90.0}) {
    CAPTURE(percentile);
    const conversion::Rmp rmp{.steps = 20, .percentile = percentile};
    const auto found = balance<TestType>(plain, rmp, images);
    REQUIRE(found.thresholds.size() == 2);
    const Plain2 reference{plain, 20};
    const double first = nn::percentile(reference.sums(images, 0, 1, 1, logits), percentile);
    CHECK(std::abs(found.thresholds.at("0") - first) < 1e-5);
    const double theta = found.thresholds.at("0");
    const double second = nn::percentile(reference.sums(images, 1, theta, 1, logits), percentile);
    CHECK(std::abs(found.thresholds.at("2") - second) < 1e-4);

    // The network with them, scaled by 1/2, and its hard-reset twin.
    auto half = found;
    half.scale = 0.5;
    conversion::HardReset hard{.steps = 20, .scale = 0.5, .thresholds = found.thresholds};
    const auto compare = [&](const auto& snn, bool soft) {
      Plain2{plain, 20, soft}.sums(images, 0, theta / 2, found.thresholds.at("2") / 2, logits);
      const auto y = snn(images);
      std::size_t different = 0;  // a membrane that rounding takes over the threshold moves the logits of its image
      for (std::size_t i = 0; i < y.size(); ++i) different += std::abs(y[i] - logits[i]) > 1e-4 ? 1U : 0U;
      CHECK(different <= 6);
    };
    compare(lower<TestType>(plain, target::Spiking{half}), true);
    compare(lower<TestType>(plain, target::Spiking{hard}), false);
  }
}

TEMPLATE_LIST_TEST_CASE("RMP approaches the ReLU network, hard reset stays away", "[lower][rate]",
                        spiq_test::Backends) {
  const auto net = make_network<Residuals>(2);
  const auto images = make_images<Residuals>(6, 2);
  const auto expected = lower<TestType>(net, target::Float{})(images);
  const auto error = [&](auto conversion, int steps) {
    conversion.steps = steps;
    return largest_difference(lower<TestType>(net, target::Spiking{conversion})(images), expected);
  };
  const auto soft = balance<TestType>(net, conversion::Rmp{.steps = 48}, images);
  CHECK(soft.thresholds.size() == 3);
  auto prepared = soft;
  prepared.initial = 0.5;
  const conversion::HardReset hard{.thresholds = soft.thresholds};
  const double few = error(soft, 8), many = error(soft, 192), other = error(hard, 192);
  CHECK(many < 0.35 * few);
  CHECK(many < 0.5 * other);
  CHECK(error(prepared, 16) < error(soft, 16));

  // `lower` with images balances on the way.
  const auto at_once = lower<TestType>(net, target::Spiking{conversion::Rmp{.steps = 48}}, images);
  CHECK(largest_difference(at_once(images), lower<TestType>(net, target::Spiking{soft})(images)) == 0);
  CHECK(at_once.target == "spiking_rmp");
}

TEST_CASE("Spikes of rate-coded neurons are counted", "[lower][rate]") {
  Network<Input<1, 1, 3>, Linear<3>, ReLU, Linear<2>> net;
  net.layer<0>().weight.fill(0);
  for (std::size_t i = 0; i < 3; ++i) net.layer<0>().weight[i * 4] = 1;
  const Tensor<float> images({1, 3}, std::vector<float>{0.25F, 0.5F, 1});
  const auto snn = lower(net, target::Spiking{conversion::Rmp{.steps = 8, .thresholds = {{"0", 1.0}}}});
  const auto counter = report::count_operations(snn, images.data(), 1, 3, 1);
  CHECK(counter.mean().spikes == 2 + 4 + 8);
  CHECK(counter.mean().ac == 2 * (2 + 4 + 8));
  CHECK(report::network_traits(snn).timesteps == 8);
}

TEST_CASE("Rate coding refuses what it cannot run", "[lower][rate]") {
  const auto net = make_network<TwoLayers>(1);
  const auto images = make_images<TwoLayers>(3, 1);
  const auto lowered = [&](const conversion::Rmp& rmp) {
    return error_text([&] { static_cast<void>(lower(net, target::Spiking{rmp})); });
  };
  CHECK(mentions(lowered({}), "layer 0: threshold of its neurons: expected one in conversion::RateCoding::thresholds"));
  CHECK(mentions(lowered({.thresholds = {{"0", 1.0}}}), "layer 2"));
  CHECK(mentions(lowered({.thresholds = {{"0", 1.0}, {"2", -1.0}}}), "a positive number"));
  CHECK(mentions(lowered({.thresholds = {{"0", 1.0}, {"2", 1e-60}}}), "in single precision"));
  CHECK(mentions(lowered({.thresholds = {{"0", 1.0}, {"2", std::nan("")}}}), "a positive number"));
  CHECK(mentions(lowered({.steps = 0}), "steps"));
  CHECK(mentions(lowered({.scale = 0}), "scale"));
  CHECK(mentions(lowered({.initial = 1}), "initial"));
  CHECK(mentions(lowered({.percentile = 101}), "percentile"));
  const auto balanced = [&](const Tensor<float>& x, double percentile) {
    return error_text([&] { static_cast<void>(balance(net, conversion::Rmp{.percentile = percentile}, x)); });
  };
  CHECK(mentions(balanced(Tensor<float>({0, 4}), 100), "at least one image"));
  CHECK(mentions(balanced(Tensor<float>({2, 5}), 100), "images"));
  CHECK(mentions(balanced(images, 0), "a positive number (take a higher percentile"));
  Tensor<float> broken = images;
  broken[1] = std::nanf("");
  CHECK(mentions(balanced(broken, 100), "finite"));
}
