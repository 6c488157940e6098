// Networks: inferred shapes, names, initialisation, input checks, const use.
#include "catch.hpp"

#include <spiq/nn/layers.hpp>
#include <spiq/nn/state.hpp>

#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace spiq;

using Net = Network<Input<28, 28, 1>, Conv2d<16, 3>, BatchNorm, Qcfs<8>, AvgPool<2>, Conv2d<32, 3>, BatchNorm, Qcfs<8>,
                    AvgPool<2>, Conv2d<64, 3>, BatchNorm, Qcfs<8>, AvgPool<2>, Flatten, Linear<10>>;
using Small = Network<Input<8, 6, 2>, Conv2d<4, 3, NoBias>, BatchNorm, Qcfs<4>,
                      Residual<Seq<Conv2d<6, 3, Stride<2>>, BatchNorm>, Seq<Conv2d<6, 1, Stride<2>>>>, ReLU, Dropout<50>,
                      GlobalAvgPool, Flatten, Linear<3>>;

static_assert(Net::all_shapes[4] == Shape{14, 14, 16});
static_assert(Net::all_shapes[12] == Shape{3, 3, 64});
static_assert(Net::all_shapes[13] == Shape{1, 1, 576});
static_assert(Net::outputs == 10);
static_assert(Small::all_shapes[4] == Shape{4, 3, 6});
static_assert(Conv2d<3, 3>::output_shape({9, 7, 2}) == Shape{9, 7, 3});
static_assert(Conv2d<3, 3, Stride<2>>::output_shape({9, 8, 2}) == Shape{5, 4, 3});
static_assert(Conv2d<3, 5, Padding<0>>::output_shape({9, 8, 2}) == Shape{5, 4, 3});
static_assert(Conv2d<3, 3, Dilation<2>>::output_shape({9, 8, 2}) == Shape{9, 8, 3});
static_assert(Conv2d<3, 1, Kernel<1, 3>>::output_shape({9, 8, 2}) == Shape{9, 8, 3});
static_assert(!Conv2d<3, 3, Groups<2>>::accepts({9, 8, 3}));
static_assert(!Conv2d<4, 9, Padding<0>>::accepts({8, 8, 3}));
static_assert(DepthwiseConv2d<3, Multiplier<2>>::output_shape({4, 4, 5}) == Shape{4, 4, 10});
static_assert(!Linear<4>::accepts({2, 2, 3}));
static_assert(Linear<4>::accepts({1, 1, 3}));
static_assert(AvgPool<2>::output_shape({7, 6, 3}) == Shape{3, 3, 3});
static_assert(!MaxPool<3>::accepts({2, 8, 1}));
static_assert(!Residual<Seq<Conv2d<4, 3>>>::accepts({8, 8, 3}));
static_assert(Residual<Seq<Conv2d<3, 3>>>::accepts({8, 8, 3}));
static_assert(nn::Layer<Conv2d<3, 3>> && nn::Layer<BatchNorm> && nn::Layer<Qcfs<4>> && nn::Layer<Dropout<10>> &&
              nn::Layer<Residual<Seq<BatchNorm>>> && nn::Layer<MaxPool<2>>);

Tensor<float> images(std::size_t n, Shape s, std::uint64_t seed = 5) {
  Tensor<float> x({n, static_cast<std::size_t>(s.channels), static_cast<std::size_t>(s.height), static_cast<std::size_t>(s.width)});
  Rng rng(seed);
  for (float& v : x.span()) v = rng.uniform();
  return x;
}

bool same(const Tensor<float>& a, const Tensor<float>& b) {
  return a.extents() == b.extents() && std::equal(a.span().begin(), a.span().end(), b.span().begin());
}

}  // namespace

TEST_CASE("Parameters come with their paths, extents and kinds", "[nn]") {
  Small net{Rng{1}};
  std::vector<std::string> paths;
  net.parameters([&](const nn::Parameter& p) {
    paths.push_back(p.path + " " + to_string(p.extents));
    CHECK(p.value.size() == p.extents.size());
    CHECK(p.gradient.size() == p.value.size());
    CHECK((p.kind == nn::ParameterKind::threshold) == p.path.ends_with("lambda"));
  });
  CHECK(paths == std::vector<std::string>{"0.weight (4, 2, 3, 3)", "1.weight (4)", "1.bias (4)", "2.lambda (1)",
                                          "3.body.0.weight (6, 4, 3, 3)", "3.body.0.bias (6)", "3.body.1.weight (6)",
                                          "3.body.1.bias (6)", "3.shortcut.0.weight (6, 4, 1, 1)", "3.shortcut.0.bias (6)",
                                          "8.weight (3, 6)", "8.bias (3)"});
}

TEST_CASE("Initialisation follows seed and fan-in", "[nn]") {
  const Net a{Rng{42}}, b{Rng{42}}, c{Rng{43}};
  CHECK(same(a.layer<4>().weight, b.layer<4>().weight));
  CHECK_FALSE(same(a.layer<4>().weight, c.layer<4>().weight));
  const auto deviation = [](const Tensor<float>& w) {
    double q = 0;
    for (const float v : w.span()) q += static_cast<double>(v) * static_cast<double>(v);
    return std::sqrt(q / static_cast<double>(w.size()));
  };
  using Catch::Matchers::WithinRel;
  CHECK_THAT(deviation(a.layer<8>().weight), WithinRel(std::sqrt(2.0 / (32 * 9)), 0.05));  // before an activation
  CHECK_THAT(deviation(a.layer<13>().weight), WithinRel(std::sqrt(1.0 / 576), 0.05));      // the last layer
  for (const float v : a.layer<13>().bias.span()) CHECK(v == 0.0f);
}

TEST_CASE("Forward gives one row of logits per image, whatever the threads and the batch", "[nn]") {
  const Net net{Rng{2}};
  const Tensor<float> x = images(5, Net::input_shape);
  const Tensor<float> y = net(x);
  REQUIRE(y.extents() == Extents({5, 10}));
  Net::Cache cache;
  CHECK(same(net.forward(x, cache, {.threads = 3}), y));
  Tensor<float> one(Extents{1, 1, 28, 28}, x.span().subspan(2 * 784, 784));
  const Tensor<float> alone = net.forward(one, cache);
  for (std::size_t i = 0; i < 10; ++i) CHECK(std::abs(alone[i] - y[20 + i]) < 1e-5f);
  CHECK(net.forward(Tensor<float>({0, 1, 28, 28}), cache).size() == 0);
}

TEST_CASE("A const network serves several threads, each with its own cache", "[nn]") {
  const Small net{Rng{2}};
  const Tensor<float> x = images(4, Small::input_shape);
  const Tensor<float> expected = net(x);
  std::vector<Tensor<float>> found(4);
  {
    std::vector<std::thread> threads;
    for (Tensor<float>& y : found)
      threads.emplace_back([&net, &x, &y] {
        Small::Cache cache;
        for (int i = 0; i < 20; ++i) y = net.forward(x, cache, {.threads = 1});
      });
    for (std::thread& t : threads) t.join();
  }
  for (const Tensor<float>& y : found) CHECK(same(y, expected));
}

TEST_CASE("Images of other extents are refused by name and size", "[nn]") {
  const Net net{Rng{2}};
  for (const Extents& e : {Extents{5, 28, 28, 1}, Extents{5, 3, 28, 28}, Extents{784}})
    CHECK_THROWS_WITH(net(Tensor<float>(e)), "images of a network: expected extents (n, 1, 28, 28), found " + to_string(e));
  Net trained{Rng{2}};
  Net::Cache cache;
  trained.forward(images(2, Net::input_shape), cache, {.mode = nn::Mode::train});
  CHECK_THROWS_AS(trained.backward(Tensor<float>({3, 10}), cache), Error);
}

TEST_CASE("An input that is a vector may come as [n, c], any other may not", "[nn]") {
  const Network<Input<1, 1, 6>, Linear<4>, ReLU, Linear<3>> net{Rng{2}};
  const Tensor<float> maps = images(5, net.input_shape);
  const Tensor<float> vectors(Extents{5, 6}, maps.span());
  CHECK(same(net(vectors), net(maps)));
  for (const Extents& e : {Extents{5, 3}, Extents{30}, Extents{5, 1, 6}, Extents{5, 1, 1, 6}})
    CHECK_THROWS_AS(net(Tensor<float>(e)), Error);
  CHECK_THROWS_AS((Network<Input<1, 2, 3>, Flatten, Linear<1>>{}(Tensor<float>({5, 6}))), Error);
}

TEST_CASE("Normalisation is applied before the first layer, its means multiples of 1/255", "[nn]") {
  Network<Input<2, 2, 3>, Flatten, Linear<1>> net{Rng{3}};
  const std::vector<float> mean{0.1f, 0.5f, 0.9f}, deviation{0.5f, 0.0f, 2.0f};
  net.normalization.set(mean, deviation);
  CHECK(net.normalization.mean[0] == 26.0f / 255.0f);
  CHECK(net.normalization.std == std::vector<float>{0.5f, 1.0f, 2.0f});
  const Tensor<float> x = images(1, {2, 2, 3});
  double expected = static_cast<double>(net.layer<1>().bias[0]);
  for (std::size_t i = 0; i < 12; ++i)  // (c, h, w) order
    expected += static_cast<double>((x[i] - net.normalization.mean[i / 4]) / net.normalization.std[i / 4] * net.layer<1>().weight[i]);
  CHECK(std::abs(static_cast<double>(net(x)[0]) - expected) < 1e-6);
  CHECK_THROWS_AS(net.normalization.set(std::vector<float>{1.0f}, deviation), Error);
  CHECK_THROWS_AS(net.normalization.set(mean, std::vector<float>{1.0f, -1.0f, 1.0f}), Error);
}

TEST_CASE("A network's state leaves and enters by name, and a bad one changes nothing", "[nn]") {
  Small net{Rng{4}}, other{Rng{5}};
  net.layer<2>().levels = 2;
  net.layer<2>().lambda = 3.5f;
  const NamedArrays arrays = export_state(net);
  std::set<std::string> names;
  for (const NamedArray& a : arrays) names.insert(a.name);
  for (const char* name : {"normalization.mean", "1.running_var", "2.lambda", "2.levels", "3.shortcut.0.weight"})
    CHECK(names.count(name) == 1);
  import_state(other, arrays);
  CHECK(other.layer<2>().levels == 2);
  CHECK(other.layer<2>().calibrated);
  const Tensor<float> x = images(3, Small::input_shape);
  CHECK(same(net(x), other(x)));

  const auto refused = [&](auto&& spoil, const std::string& message) {
    NamedArrays bad = export_state(Small{Rng{6}});
    spoil(bad);
    CHECK_THROWS_WITH(import_state(other, bad), message);
    CHECK(same(net(x), other(x)));
  };
  const auto find = [](NamedArrays& a, const std::string& name) {
    return std::find_if(a.begin(), a.end(), [&](const NamedArray& e) { return e.name == name; });
  };
  refused([&](NamedArrays& a) { find(a, "8.bias")->extents = Extents{1, 3}; },
          "array \"8.bias\": expected extents (3), found (1, 3)");
  refused([&](NamedArrays& a) { std::get<0>(find(a, "2.lambda")->values)[0] = -1.0f; },
          "array \"2.lambda\": expected positive finite values, found -1.000000");
  refused([&](NamedArrays& a) { find(a, "2.levels")->values = std::vector<std::int64_t>{0}; },
          "array \"2.levels\": expected a number in [1, 255], found 0");
  NamedArrays few = arrays;
  few.erase(find(few, "3.body.0.bias"));
  CHECK_THROWS_AS(import_state(other, few), Error);
}

TEST_CASE("Observing a pass visits every leaf layer with its input, and computes the same", "[nn]") {
  Small net{Rng{7}};
  const Tensor<float> x = images(2, Small::input_shape);
  const Tensor<float> expected = net(x);
  Small::Cache cache;
  net.forward(x, cache);
  std::vector<std::string> seen;
  std::vector<float> y(2 * Small::outputs);
  net.observe("", cache.input.data(), y.data(), 2, cache.layers, {}, [&](const std::string& path, auto& layer, std::span<const float> input) {
    seen.push_back(path + layer.name + " " + std::to_string(input.size()));
  });
  CHECK(seen.size() == 11);
  CHECK(seen[2] == "2.Qcfs 384");
  CHECK(seen[3] == "3.body.0.Conv2d 384");
  CHECK(seen[5] == "3.shortcut.0.Conv2d 384");
  for (std::size_t i = 0; i < y.size(); ++i) CHECK(std::abs(y[i] - expected[i]) < 1e-5f);
}
