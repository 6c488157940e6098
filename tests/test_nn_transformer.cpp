// Layers of transformers against loops in double precision, their gradients against central differences; a vision
// transformer that learns, evaluated with other rungs.
#include "catch.hpp"
#include "layer_check.hpp"
#include "temp_folder.hpp"

#include <spiq/io/synthetic.hpp>
#include <spiq/io/weights.hpp>
#include <spiq/nn/evaluate.hpp>
#include <spiq/nn/nn.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

namespace {

using namespace spiq;
using namespace spiq_test;

Values softmax(const Values& x, std::size_t cols) {
  Values y(x.size());
  for (std::size_t r = 0; r < x.size(); r += cols) {
    const double top = *std::max_element(x.begin() + static_cast<long>(r), x.begin() + static_cast<long>(r + cols));
    double sum = 0;
    for (std::size_t c = r; c < r + cols; ++c) sum += y[c] = std::exp(x[c] - top);
    for (std::size_t c = r; c < r + cols; ++c) y[c] /= sum;
  }
  return y;
}

Values layer_norm(const Values& x, const Values& gamma, const Values& beta) {
  const std::size_t cols = gamma.size();
  Values y(x.size());
  for (std::size_t r = 0; r < x.size(); r += cols) {
    double mean = 0, variance = 0;
    for (std::size_t c = 0; c < cols; ++c) mean += x[r + c] / static_cast<double>(cols);
    for (std::size_t c = 0; c < cols; ++c) variance += (x[r + c] - mean) * (x[r + c] - mean) / static_cast<double>(cols);
    for (std::size_t c = 0; c < cols; ++c) y[r + c] = (x[r + c] - mean) / std::sqrt(variance + 1e-5) * gamma[c] + beta[c];
  }
  return y;
}

/// Parameters: in_proj_weight, in_proj_bias, out_proj.weight, out_proj.bias.
Values attention(const Values& x, const std::vector<Values>& p, std::size_t tokens, std::size_t channels,
                 std::size_t heads, bool causal) {
  const Values qkv = reference::linear(channels, 3 * channels, x, p[0], p[1]);
  const std::size_t dim = channels / heads, samples = x.size() / (tokens * channels);
  Values merged(x.size());
  for (std::size_t s = 0; s < samples; ++s)
    for (std::size_t h = 0; h < heads; ++h)
      for (std::size_t i = 0; i < tokens; ++i) {
        const auto at = [&](std::size_t token, std::size_t part) {
          return ((s * tokens + token) * 3 + part) * channels + h * dim;
        };
        Values score(causal ? i + 1 : tokens, 0.0);
        for (std::size_t j = 0; j < score.size(); ++j)
          for (std::size_t d = 0; d < dim; ++d)
            score[j] += qkv[at(i, 0) + d] * qkv[at(j, 1) + d] / std::sqrt(static_cast<double>(dim));
        score = softmax(score, score.size());
        for (std::size_t j = 0; j < score.size(); ++j)
          for (std::size_t d = 0; d < dim; ++d)
            merged[(s * tokens + i) * channels + h * dim + d] += score[j] * qkv[at(j, 2) + d];
      }
  return reference::linear(channels, channels, merged, p[2], p[3]);
}

template <int Heads, class... Options>
void check_attention(Shape in, std::size_t samples) {
  using Layer = MultiHeadAttention<Heads, Options...>;
  Layer layer(in);
  check_layer(layer, in, samples, [&](const Values& x, const std::vector<Values>& p) {
    return attention(x, p, in.pixels(), static_cast<std::size_t>(in.channels), Heads, Layer::options::causal);
  });
}

template <class Rung>
using Block = Seq<Residual<Seq<LayerNorm, MultiHeadAttention<4, Rung>>>,
                  Residual<Seq<LayerNorm, Conv2d<64, 1>, Gelu<Rung>, Conv2d<32, 1>>>>;
template <class Rung>
using Vit = Network<Input<28, 28, 1>, Conv2d<32, 4, Stride<4>, Padding<0>>, PositionEmbedding, Block<Rung>, Block<Rung>,
                    LayerNorm, GlobalAvgPool, Linear<10>>;

double gelu_tanh(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
}

/// `layer` against f, element by element.
template <class Layer>
void check_activation(double (*f)(double)) {
  const Shape in{2, 3, 7};
  Layer layer(in);
  check_layer(layer, in, 3, [f](const Values& x, const std::vector<Values>&) {
    Values y(x);
    for (double& v : y) v = f(v);
    return y;
  });
}

std::vector<float> parameters(auto& net) {
  std::vector<float> all;
  net.parameters([&](const nn::Parameter& p) { all.insert(all.end(), p.value.begin(), p.value.end()); });
  return all;
}

}  // namespace

TEST_CASE("Softmax equals plain loops, its gradient central differences", "[nn]") {
  for (const int channels : {1, 3, 16, 19}) {
    const Shape in{2, 3, channels};
    Softmax<> layer(in);
    check_layer(layer, in, 3, [&](const Values& x, const std::vector<Values>&) {
      return softmax(x, static_cast<std::size_t>(channels));
    });
  }
}

TEST_CASE("LayerNorm equals plain loops, its gradients central differences", "[nn]") {
  for (const int channels : {2, 5, 16, 21}) {
    const Shape in{3, 2, channels};
    LayerNorm layer(in);
    check_layer(layer, in, 4, [&](const Values& x, const std::vector<Values>& p) { return layer_norm(x, p[0], p[1]); });
  }
}

TEST_CASE("PositionEmbedding adds a vector to each position and learns it", "[nn]") {
  const Shape in{2, 3, 5};
  PositionEmbedding layer(in);
  check_layer(layer, in, 4, [&](const Values& x, const std::vector<Values>& p) {
    Values y(x);
    for (std::size_t i = 0; i < y.size(); ++i) y[i] += p[0][i % in.size()];
    return y;
  });
}

TEST_CASE("MultiHeadAttention equals plain loops, its gradients central differences", "[nn]") {
  check_attention<1>({1, 1, 3}, 2);
  check_attention<2>({2, 3, 6}, 3);
  check_attention<4>({3, 3, 8}, 1);
  check_attention<2, Causal>({2, 3, 4}, 2);
  check_attention<3, accuracy::ladder5, Causal>({1, 5, 6}, 2);
}

TEST_CASE("MultiHeadAttention in bfloat16 equals that in float to its rounding, gradients too", "[nn]") {
  const Shape in{4, 3, 12};
  const std::size_t n = 3 * in.size();
  const std::vector<float> x = reference::floats(reference::random(n, 3, -2, 2)), dy = reference::floats(reference::random(n, 4));
  const auto run = [&](auto& layer, std::vector<float>& y, std::vector<float>& dx, int threads) {
    layer.initialise(Rng(5));
    typename std::remove_reference_t<decltype(layer)>::Cache cache;
    y.resize(n);
    dx.resize(n);
    layer.forward(x.data(), y.data(), 3, cache, training(threads));
    layer.backward(x.data(), y.data(), dy.data(), dx.data(), 3, cache, training(threads));
  };
  MultiHeadAttention<3, Causal> exact(in);
  MultiHeadAttention<3, bfloat16, Causal> rounded(in);
  std::vector<float> y, dx, expected, expected_dx, again, again_dx;
  run(exact, expected, expected_dx, 1);
  run(rounded, y, dx, 1);
  // 2^-8 of each of q, k, v and the probabilities; exactly equal would mean that nothing was rounded.
  CHECK(distance(y, reference::doubles(expected)) < 4.0 / 256);
  CHECK(distance(y, reference::doubles(expected)) > 1e-5);
  CHECK(distance(dx, reference::doubles(expected_dx)) < 8.0 / 256);
  CHECK(distance(rounded.in_projection.weight_gradient.span(),
                 reference::doubles(exact.in_projection.weight_gradient.span())) < 8.0 / 256);
  run(rounded, again, again_dx, 2);
  CHECK(again == y);
  CHECK(again_dx == dx);
}

TEST_CASE("smooth activations equal their definitions, their gradients central differences", "[nn]") {
  check_activation<Gelu<>>(gelu_tanh);
  check_activation<Gelu<accuracy::full, GeluForm::erf>>([](double x) { return x * 0.5 * std::erfc(-x / std::sqrt(2.0)); });
  check_activation<Gelu<accuracy::ladder5, GeluForm::sigmoid>>([](double x) { return x / (1 + std::exp(-1.702 * x)); });
  check_activation<Sigmoid<>>([](double x) { return 1 / (1 + std::exp(-x)); });
  check_activation<Silu<>>([](double x) { return x / (1 + std::exp(-x)); });
  check_activation<Tanh<>>([](double x) { return std::tanh(x); });
}

TEST_CASE("BatchNorm and a smooth activation behind it are one pass that computes what they do alone", "[nn]") {
  const Shape in{3, 2, 5};
  const std::size_t n = 4 * in.size();
  Seq<BatchNorm, Gelu<>> fused(in);
  BatchNorm norm(in);
  Gelu<> activation(in);
  const std::vector<float> x = reference::floats(reference::random(n, 1)), dy = reference::floats(reference::random(n, 2));
  std::vector<float> y(n), dx(n), between(n), expected(n), dbetween(n), expected_dx(n);
  decltype(fused)::Cache cache;
  fused.forward(x.data(), y.data(), 4, cache, training());
  fused.backward(x.data(), y.data(), dy.data(), dx.data(), 4, cache, training());
  BatchNorm::Cache own;
  Gelu<>::Cache none;
  norm.forward(x.data(), between.data(), 4, own, training());
  activation.forward(between.data(), expected.data(), 4, none, training());
  activation.backward(between.data(), expected.data(), dy.data(), dbetween.data(), 4, none, training());
  norm.backward(x.data(), between.data(), dbetween.data(), expected_dx.data(), 4, own, training());
  CHECK(distance(y, reference::doubles(expected)) < 1e-6);
  CHECK(distance(dx, reference::doubles(expected_dx)) < 1e-5);
}

TEST_CASE("a pre-norm block of Residual, LayerNorm, attention and 1x1 convolutions", "[nn]") {
  const Shape in{2, 2, 4};
  using Layer = Seq<Residual<Seq<LayerNorm, MultiHeadAttention<2>>>,
                    Residual<Seq<LayerNorm, Conv2d<6, 1>, Gelu<>, Conv2d<4, 1>>>>;
  Layer layer(in);
  check_layer(layer, in, 3, [&](const Values& x, const std::vector<Values>& p) {
    Values y = attention(layer_norm(x, p[0], p[1]), {p[2], p[3], p[4], p[5]}, 4, 4, 2, false);
    for (std::size_t i = 0; i < y.size(); ++i) y[i] += x[i];
    Values hidden = reference::linear(4, 6, layer_norm(y, p[6], p[7]), p[8], p[9]);
    for (double& h : hidden) h = gelu_tanh(h);
    const Values change = reference::linear(6, 4, hidden, p[10], p[11]);
    for (std::size_t i = 0; i < y.size(); ++i) y[i] += change[i];
    return y;
  });
}

TEST_CASE("coarse rungs stay within their error, forward and backward", "[nn]") {
  const Shape in{5, 5, 16};
  const std::size_t n = 2 * in.size();
  const std::vector<float> x = reference::floats(reference::random(n, 3, -2, 2)), dy = reference::floats(reference::random(n, 4));
  const auto run = [&](auto rung, std::vector<float>& y, std::vector<float>& dx) {
    MultiHeadAttention<4, decltype(rung)> layer(in);
    layer.initialise(Rng(5));
    typename decltype(layer)::Cache cache;
    y.resize(n);
    dx.resize(n);
    layer.forward(x.data(), y.data(), 2, cache, training());
    layer.backward(x.data(), y.data(), dy.data(), dx.data(), 2, cache, training());
  };
  std::vector<float> exact, exact_gradient, y, dx;
  run(accuracy::full{}, exact, exact_gradient);
  const auto check = [&](auto rung, double limit) {
    run(rung, y, dx);
    CHECK(distance(y, reference::doubles(exact)) < limit);
    CHECK(distance(dx, reference::doubles(exact_gradient)) < limit);
  };
  check(accuracy::quake{}, 0.06);
  check(accuracy::quake2{}, 0.006);
  check(accuracy::ladder3{}, 2e-4);
}

TEST_CASE("state of transformer layers has the field's names and shapes, whatever the rung", "[nn]") {
  using Net = Network<Input<2, 2, 4>, PositionEmbedding, Residual<Seq<LayerNorm, MultiHeadAttention<2, accuracy::quake>>>>;
  std::vector<std::string> found;
  for (const NamedArray& a : export_state(Net(Rng(1)))) found.push_back(a.name + " " + to_string(a.extents));
  CHECK(found == std::vector<std::string>{"normalization.mean (4)", "normalization.std (4)", "0.weight (4, 4)",
                                          "1.body.0.weight (4)", "1.body.0.bias (4)", "1.body.1.in_proj_weight (12, 4)",
                                          "1.body.1.in_proj_bias (12)", "1.body.1.out_proj.weight (4, 4)",
                                          "1.body.1.out_proj.bias (4)"});
}

TEST_CASE("a small vision transformer learns, the same on any number of threads, and runs in every rung", "[nn]") {
#if defined(__SANITIZE_ADDRESS__)
  constexpr bool thorough = false;  // unoptimised: a hundredth of the speed
#else
  constexpr bool thorough = true;
#endif
  const ImageSet train = synthetic_glyphs(thorough ? 2000 : 200, Rng(1)), test = synthetic_glyphs(thorough ? 300 : 40, Rng(2));
  const FitOptions options{.epochs = thorough ? 4 : 2, .batch = 32, .learning_rate = 6e-3f, .threads = 1};
  Vit<accuracy::full> net(Rng(3));
  const History history = fit(net, train, options);
  INFO("loss " << history.epochs.front().loss << " to " << history.epochs.back().loss);
  CHECK(history.epochs.back().loss < (thorough ? 0.65 : 1.0) * history.epochs.front().loss);
  const double accuracy = evaluate(net, test).accuracy;
  INFO("accuracy " << accuracy);
  if (thorough) CHECK(accuracy > 0.4);

  TempFolder folder;
  const std::string path = (folder.path() / "vit.npz").string();
  save_weights(path, net);
  const auto check = [&](auto rung) {
    Vit<decltype(rung)> other(Rng(9));
    load_weights(path, other);
    CHECK(parameters(other) == parameters(net));
    CHECK(std::abs(evaluate(other, test).accuracy - accuracy) < (thorough ? 0.03 : 0.1));
  };
  check(accuracy::quake{});
  check(accuracy::quake2{});
  check(accuracy::ladder3{});

  FitOptions short_run = options;
  short_run.epochs = 1;
  const ImageSet few = synthetic_glyphs(thorough ? 200 : 64, Rng(1));
  Vit<accuracy::quake> one(Rng(3)), two(Rng(3));
  fit(one, few, short_run);
  short_run.threads = 2;
  fit(two, few, short_run);
  CHECK(parameters(one) == parameters(two));
}
