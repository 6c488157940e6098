// PASCAL's choice of levels: AL metric, effective steps, assignment.
#include "catch.hpp"

#include <spiq/nn/nn.hpp>

#include <array>
#include <string>
#include <vector>

using namespace spiq;
using Catch::Matchers::WithinAbs;

namespace {
using Net = Network<Input<1, 1, 8>, Qcfs<8>, Linear<20>, Qcfs<8>, Linear<40>, Qcfs<8>, Linear<3>>;

std::vector<int> levels_of(const Net& net) {
  std::vector<int> all;
  net.for_each_layer([&](const std::string&, const auto& layer) {
    if constexpr (requires { layer.levels; }) all.push_back(layer.levels);
  });
  return all;
}
}  // namespace

TEST_CASE("The AL metric has its published values", "[nn][levels]") {
  const auto al = [](std::vector<std::size_t> counts) { return al_metric(counts); };
  CHECK_THAT(al({60, 20, 10, 6, 4}), WithinAbs(23.990404, 1e-6));
  CHECK_THAT(al({96, 1, 1, 1, 1}), WithinAbs(41.4375, 1e-6));
  CHECK_THAT(al({22, 21, 20, 19, 18}), WithinAbs(5.6, 1e-9));
  CHECK(al({7, 7, 7, 7, 7}) == 0);
  CHECK(al({0, 0, 0, 0, 0}) == 0);
  CHECK_THROWS_AS(al({1, 2, 3}), Error);
}

TEST_CASE("Effective steps have their published values", "[nn][levels]") {
  const double wide = 4.0 / 3 / 576, narrow = 4.0 / 3 / 27;
  CHECK_THAT(effective_steps(1, wide), WithinAbs(1.0046, 5e-5));
  CHECK_THAT(effective_steps(2, wide), WithinAbs(2.0276, 5e-5));
  CHECK_THAT(effective_steps(4, wide), WithinAbs(4.1284, 5e-5));
  CHECK_THAT(effective_steps(8, wide), WithinAbs(8.5455, 5e-5));
  CHECK_THAT(effective_steps(4, narrow), WithinAbs(6.309, 5e-4));
  CHECK_THAT(effective_steps(8, narrow), WithinAbs(16.496, 5e-4));
  const std::vector<LayerLevels> layers{{"1", 4, 27, 0}, {"3", 8, 576, 0}};
  CHECK_THAT(mean_effective_steps(layers), WithinAbs((6.309 + 8.5455) / 2, 5e-4));
}

TEST_CASE("Levels are measured on the outputs of each activation", "[nn][levels]") {
  Net net{Rng{1}};
  // The first activation sees the images: level k of 8 is the value k / 8.
  Tensor<float> images({10, 8});
  std::array<std::size_t, 5> expected{};
  for (std::size_t i = 0; i < 80; ++i) {
    const std::size_t level = i < 50 ? 0 : i < 64 ? 3 : i < 70 ? 5 : i < 78 ? 7 : 8;
    images[i] = static_cast<float>(level) / 8;
    ++expected[level == 8 ? 4 : level * 5 / 8];
  }
  const auto layers = measure_levels(net, images);
  REQUIRE(layers.size() == 3);
  CHECK(expected == std::array<std::size_t, 5>{50, 14, 0, 6, 10});
  CHECK_THAT(layers[0].al, WithinAbs(al_metric(expected), 1e-9));
  CHECK(layers[0].path == "0");
  CHECK(layers[2].path == "4");
  CHECK(layers[1].fan_in == 8);
  CHECK(layers[2].fan_in == 20);
  CHECK(layers[1].levels == 8);
  CHECK_THROWS_AS(measure_levels(net, Tensor<float>({2, 9})), Error);
}

TEST_CASE("Levels are halved where activations are concentrated, while accuracy lasts", "[nn][levels]") {
  Net net{Rng{1}};
  Tensor<float> images({30, 8});
  Rng rng{2};
  for (float& v : images.span()) v = rng.uniform();
  const auto first = measure_levels(net, images);
  const std::size_t top = static_cast<std::size_t>(
      std::max_element(first.begin(), first.end(), [](const auto& a, const auto& b) { return a.al < b.al; }) -
      first.begin());

  // An accuracy that falls with the layer of the largest AL below 4 and with the others below 8.
  std::vector<std::vector<int>> asked;
  const auto accuracy = [&] {
    asked.push_back(levels_of(net));
    double a = 0.9;
    for (std::size_t i = 0; i < 3; ++i) a -= asked.back()[i] < (i == top ? 4 : 8) ? 0.02 : 0;
    return a;
  };
  const auto chosen = choose_levels(net, images, accuracy, {.fraction = 0.3, .tolerance = 0.01});
  std::vector<int> expected{8, 8, 8};
  expected[top] = 4;
  CHECK(levels_of(net) == expected);
  CHECK(chosen[top].levels == 4);
  CHECK(asked[0] == std::vector<int>{8, 8, 8});
  CHECK(asked[1] == expected);  // the most concentrated layer first
  CHECK(mean_effective_steps(chosen) < mean_effective_steps(first));

  // With nothing to lose every layer ends at the least; in one go when the whole network is a group.
  asked.clear();
  const auto all =
      choose_levels(net, images, [&] { return asked.push_back(levels_of(net)), 0.5; }, {.fraction = 1, .least = 2});
  CHECK(levels_of(net) == std::vector<int>{2, 2, 2});
  CHECK(asked.size() == 3);
  CHECK(all.size() == 3);

  const std::vector<int> kept = levels_of(net);
  CHECK_THROWS_AS(choose_levels(net, images, [] { return 1.0; }, {.fraction = 0}), Error);
  CHECK_THROWS_AS(choose_levels(net, images, [] { return 1.0; }, {.least = 0}), Error);
  CHECK(levels_of(net) == kept);
}

TEST_CASE("Levels that cannot be counted are refused", "[nn][levels]") {
  using N = Network<Input<1, 1, 6>, Linear<8>, Qcfs<8>, Linear<2>>;
  N net{Rng{1}};
  Tensor<float> images({5, 6});
  images.fill(0.5f);
  CHECK(measure_levels(net, images).size() == 1);
  CHECK_THROWS_AS(measure_levels(net, Tensor<float>({0, 6})), Error);
  for (const float lambda : {0.0f, -1.0f, std::nanf("")}) {
    net.layer<1>().lambda = lambda;
    CHECK_THROWS_AS(measure_levels(net, images), Error);
  }
  net.layer<1>().lambda = 1;
  for (const int levels : {-1, 0, 256}) {
    net.layer<1>().levels = levels;
    CHECK_THROWS_AS(measure_levels(net, images), Error);
  }
}
