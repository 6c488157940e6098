// Training of sparse weights: which weights stay, what the hidden ones learn, both directions masked.
#include "catch.hpp"
#include "nn_reference.hpp"

#include <spiq/io/synthetic.hpp>
#include <spiq/nn/nn.hpp>
#include <spiq/sparse/nm.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

using namespace spiq;

namespace {

using Mask = std::vector<std::uint8_t>;
using Net = Network<Input<28, 28, 1>, Conv2d<8, 3, Stride<2>>, BatchNorm, ReLU, Conv2d<16, 3, Stride<2>>, BatchNorm,
                    ReLU, Flatten, Linear<32>, ReLU, Linear<10>>;

double zeros(std::span<const float> w) {
  return static_cast<double>(std::count(w.begin(), w.end(), 0.0f)) / static_cast<double>(w.size());
}

}  // namespace

TEST_CASE("N:M masks keep the largest of each group, along inputs or outputs", "[sparsity]") {
  const std::vector<float> w{1, -3, 2, 3, 1, 1, -1, 1, 5, 0};
  Mask mask(10, 9);
  nn::nm_mask(w, nn::WeightShape(Extents{1, 10}), {2, 4}, false, mask);
  CHECK(mask == Mask{0, 1, 0, 1, 1, 1, 0, 0, 1, 1});
  // Along the outputs: [4 outputs][2 inputs].
  const std::vector<float> v{1, 8, 2, 7, 3, 6, 4, 5};
  mask.assign(8, 9);
  nn::nm_mask(v, nn::WeightShape(Extents{4, 2}), {1, 2}, true, mask);
  CHECK(mask == Mask{0, 1, 1, 0, 0, 1, 1, 0});
  // A convolution: along the input channels of each kernel position; [1][2][1][2].
  const std::vector<float> c{1, 4, 2, 3};
  mask.assign(4, 9);
  nn::nm_mask(c, nn::WeightShape(Extents{1, 2, 1, 2}), {1, 2}, false, mask);
  CHECK(mask == Mask{0, 1, 1, 0});
}

TEST_CASE("magnitude masks hide the smallest, of equal ones the last", "[sparsity]") {
  const std::vector<float> w{1, -3, 1, 2, 1};
  Mask mask(5, 9);
  nn::magnitude_mask(w, 0.4, mask);
  CHECK(mask == Mask{1, 1, 0, 1, 0});
  nn::magnitude_mask(w, 0, mask);
  CHECK(mask == Mask{1, 1, 1, 1, 1});
  const UnstructuredPattern rising{0.8f, 1, 3};
  CHECK(rising.at(1) == 0);
  CHECK(std::abs(rising.at(2) - 0.8 * 7 / 8) < 1e-7);
  CHECK(std::abs(rising.at(3) - 0.8) < 1e-7);
}

TEST_CASE("hidden weights learn straight through and shrink, or do not learn", "[sparsity]") {
  // Two linear layers, one step of plain descent, against the same in double.
  using Two = Network<Input<1, 1, 4>, Linear<4, NoBias>, Linear<3, NoBias>>;
  const auto run = [](const Sparsity& sparsity, bool with_backward_mask, double regrow, double decay) {
    Two net{Rng{3}};
    net.normalization.chosen = true;
    std::vector<float> first(net.layer<0>().weight.span().begin(), net.layer<0>().weight.span().end());
    std::vector<float> second(net.layer<1>().weight.span().begin(), net.layer<1>().weight.span().end());
    Mask m1(16), m2(12), back2(12);
    nn::nm_mask(first, nn::WeightShape(Extents{4, 4}), {2, 4}, false, m1);
    nn::nm_mask(second, nn::WeightShape(Extents{3, 4}), {2, 4}, false, m2);
    nn::nm_mask(second, nn::WeightShape(Extents{3, 4}), {2, 4}, true, back2);
    const double x[4] = {0.5, -1, 2, 0.25}, target[3] = {0, 1, 0};
    double h[4] = {}, y[3] = {}, dy[3], dh[4] = {};
    const auto shown = [](float w, std::uint8_t m) { return m != 0 ? double{w} : 0.0; };
    for (std::size_t o = 0; o < 4; ++o)
      for (std::size_t i = 0; i < 4; ++i) h[o] += shown(first[o * 4 + i], m1[o * 4 + i]) * x[i];
    for (std::size_t o = 0; o < 3; ++o)
      for (std::size_t i = 0; i < 4; ++i) y[o] += shown(second[o * 4 + i], m2[o * 4 + i]) * h[i];
    double sum = 0;
    for (const double v : y) sum += std::exp(v);
    for (std::size_t o = 0; o < 3; ++o) dy[o] = std::exp(y[o]) / sum - target[o];
    for (std::size_t i = 0; i < 4; ++i)
      for (std::size_t o = 0; o < 3; ++o)
        dh[i] += shown(second[o * 4 + i], with_backward_mask ? back2[o * 4 + i] : m2[o * 4 + i]) * dy[o];
    const double rate = 0.1;
    const auto learned = [&](float w, std::uint8_t m, double gradient) {
      return m != 0 ? double{w} - rate * gradient : double{w} - rate * regrow * (gradient + decay * double{w});
    };
    std::vector<double> dense;
    for (std::size_t o = 0; o < 4; ++o)
      for (std::size_t i = 0; i < 4; ++i) dense.push_back(learned(first[o * 4 + i], m1[o * 4 + i], dh[o] * x[i]));
    for (std::size_t o = 0; o < 3; ++o)
      for (std::size_t i = 0; i < 4; ++i) dense.push_back(learned(second[o * 4 + i], m2[o * 4 + i], dy[o] * h[i]));

    std::vector<nn::Parameter> list;
    net.parameters([&](const nn::Parameter& p) { list.push_back(p); });
    nn::Masks masks(sparsity, list);
    Two::Cache cache;
    Tensor<float> in({1, 4, 1, 1}), d({1, 3});
    for (std::size_t i = 0; i < 4; ++i) in[i] = static_cast<float>(x[i]);
    masks.renew(0);
    {
      const nn::HiddenWeights hidden(masks);
      net.forward(in, cache, {nn::Mode::train, 1});
      for (std::size_t o = 0; o < 3; ++o) d[o] = static_cast<float>(dy[o]);
      masks.turn();
      net.backward(d, cache);
    }
    masks.adjust_gradients();
    std::vector<float> found;
    for (const nn::Parameter& p : list)
      for (std::size_t i = 0; i < p.value.size(); ++i)
        found.push_back(p.value[i] - static_cast<float>(rate) * p.gradient[i]);
    REQUIRE(found.size() == dense.size());
    double worst = 0;
    for (std::size_t i = 0; i < dense.size(); ++i) worst = std::max(worst, std::abs(dense[i] - double{found[i]}));
    return worst;
  };
  const Sparsity all{.pattern = NmPattern{2, 4}, .decay = 0.25f, .first = true, .last = true};
  CHECK(run(all, false, 1, 0.25) < 1e-6);
  Sparsity fixed = all;
  fixed.regrow = false;
  CHECK(run(fixed, false, 0, 0) < 1e-6);
  Sparsity both = all;
  both.both_ways = true;
  CHECK(run(both, true, 1, 0.25) < 1e-6);
  CHECK(run(both, false, 1, 0.25) > 1e-3);  // the backward mask is another one
}

TEST_CASE("trained networks have the zeros that were asked for", "[sparsity]") {
  const ImageSet train = synthetic_glyphs(600, Rng(1)), test = synthetic_glyphs(200, Rng(2));
  const auto trained = [&](const Sparsity& sparsity, int epochs = 2) {
    Net net{Rng{4}};
    fit(net, train, {.epochs = epochs, .batch = 50, .sparsity = sparsity, .validation_fraction = 0.1f});
    return net;
  };
  const Net nm = trained({.pattern = NmPattern{2, 4}, .both_ways = true});
  const auto w = nm.layer<7>().weight.span();
  CHECK_NOTHROW(NM<2, 4>::pack(32, w.size() / 32, w));
  CHECK(zeros(w) == 0.5);
  CHECK(zeros(nm.layer<3>().weight.span()) == 0.5);
  CHECK(zeros(nm.layer<0>().weight.span()) == 0);  // the first and the last layer
  CHECK(zeros(nm.layer<9>().weight.span()) == 0);
  const Net thin = trained({.pattern = UnstructuredPattern{0.9f, 0, 1}, .regrow = false});
  CHECK(std::abs(zeros(thin.layer<7>().weight.span()) - 0.9) < 1e-3);
  // Its zeros stay in further training.
  Net further = thin;
  fit(further, train, {.epochs = 1, .batch = 50, .sparsity = {.pattern = KeptZeros{}}});
  std::size_t grown = 0, moved = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    const float before = thin.layer<7>().weight[i], after = further.layer<7>().weight[i];
    grown += before == 0 && after != 0;
    moved += before != after;
  }
  CHECK(grown == 0);
  CHECK(moved > 0);
#if !defined(__SANITIZE_ADDRESS__)
  CHECK(evaluate(trained({.pattern = NmPattern{1, 4}}, 6), test).accuracy > 0.6);
#endif
}

TEST_CASE("a sparse run resumed equals one that was not interrupted", "[sparsity]") {
  const ImageSet train = synthetic_glyphs(200, Rng(1));
  NamedArrays saved;
  FitOptions options{.epochs = 2,
                     .batch = 50,
                     .schedule = ConstantRate{},
                     .sparsity = {.pattern = NmPattern{2, 4}, .both_ways = true, .every = 3}};
  Net whole{Rng{4}}, half{Rng{4}}, rest{Rng{4}};
  fit(whole, train, options);
  options.epochs = 1;
  options.checkpoint.save = [&](const NamedArrays& arrays) { saved = arrays; };
  fit(half, train, options);
  options.epochs = 2;
  options.checkpoint.save = {};
  options.resume = [&] { return saved; };
  fit(rest, train, options);
  const NamedArrays a = export_state(rest), b = export_state(whole);
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(a[i].values == b[i].values);
}

TEST_CASE("sparsity that makes no sense is refused", "[sparsity]") {
  const ImageSet train = synthetic_glyphs(20, Rng(1));
  Net net{Rng{4}};
  const auto refused = [&](const Sparsity& s) {
    CHECK_THROWS_AS(fit(net, train, {.epochs = 1, .sparsity = s}), Error);
  };
  refused({.pattern = NmPattern{0, 4}});
  refused({.pattern = NmPattern{5, 4}});
  refused({.pattern = UnstructuredPattern{1.0f}});
  refused({.pattern = UnstructuredPattern{0.5f, 2, 1}});
  refused({.pattern = UnstructuredPattern{0.5f}, .both_ways = true});
  refused({.pattern = NmPattern{2, 4}, .decay = -1});
  refused({.pattern = NmPattern{2, 4}, .every = 0});
  using Small = Network<Input<28, 28, 1>, Flatten, Linear<10>>;
  Small small{Rng{1}};
  CHECK_THROWS_AS(fit(small, train, {.epochs = 1, .sparsity = {.pattern = NmPattern{2, 4}}}), Error);
  using Steps2 =
      Network<Input<28, 28, 1>, Flatten, Linear<8>,
              OverTime<Seq<Spiking<presets::SpikingJellyIf<reset::Soft>>, Linear<8>, Linear<10>>, Steps<2>, Sltt>>;
  Steps2 sltt{Rng{1}};
  CHECK_THROWS_AS(fit(sltt, train, {.epochs = 1, .sparsity = {.pattern = NmPattern{2, 4}, .both_ways = true}}), Error);
}
