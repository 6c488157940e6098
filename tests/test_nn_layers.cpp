// Layers against plain loops in double precision; their gradients against central differences of those loops.
#include "catch.hpp"
#include "layer_check.hpp"
#include "nn_reference.hpp"

#include <spiq/nn/layers.hpp>

#include <functional>
#include <string>
#include <vector>

namespace {

using namespace spiq;
using namespace spiq_test;
using reference::Values;

template <class L>
void check_conv(Shape in, std::size_t samples = 3) {
  L layer(in);
  const kernel::ConvGeometry g = layer.geometry;
  REQUIRE(g.out() == L::output_shape(in));
  check_layer(layer, in, samples, [g](const Values& x, const std::vector<Values>& p) {
    return reference::conv(g, x, p[0], p.size() > 1 ? p[1] : Values{});
  });
}

}  // namespace

TEST_CASE("Conv2d equals plain loops, its gradients central differences", "[nn]") {
  check_conv<Conv2d<5, 3>>({6, 7, 3});
  check_conv<Conv2d<17, 3, NoBias>>({5, 4, 2});
  check_conv<Conv2d<4, 3, Stride<2>>>({7, 8, 3});
  check_conv<Conv2d<3, 5, Padding<0>>>({7, 6, 1});
  check_conv<Conv2d<4, 1>>({3, 3, 6});
  check_conv<Conv2d<6, 3, Groups<3>, NoBias>>({5, 5, 6});
  check_conv<Conv2d<4, 3, Dilation<2>>>({7, 7, 2});
  check_conv<Conv2d<3, 1, Kernel<2, 5>, Padding<1, 2>, Stride<2, 3>, Dilation<1, 2>>>({9, 12, 2}, 1);
}

TEST_CASE("DepthwiseConv2d equals plain loops, its gradients central differences", "[nn]") {
  check_conv<DepthwiseConv2d<3>>({5, 6, 7});
  check_conv<DepthwiseConv2d<3, Stride<2>, Multiplier<2>>>({6, 5, 3});
}

TEST_CASE("Linear equals plain loops, its gradients central differences", "[nn]") {
  Linear<7> layer({1, 1, 13});
  check_layer(layer, {1, 1, 13}, 5, [](const Values& x, const std::vector<Values>& p) {
    return reference::linear(13, 7, x, p[0], p[1]);
  });
  Linear<3, NoBias> bare({1, 1, 150});
  REQUIRE(bare.bias.size() == 0);
  check_layer(bare, {1, 1, 150}, 37, [](const Values& x, const std::vector<Values>& p) {
    return reference::linear(150, 3, x, p[0], {});
  });
}

TEST_CASE("BatchNorm in training equals plain loops, its gradients central differences", "[nn]") {
  for (const int channels : {1, 3, 17}) {
    const Shape in{3, 4, channels};
    BatchNorm layer(in);
    check_layer(layer, in, 4, [&](const Values& x, const std::vector<Values>& p) {
      return reference::batch_norm(static_cast<std::size_t>(channels), x, p[0], p[1], 1e-5);
    });
  }
}

TEST_CASE("BatchNorm mixes batch statistics into running ones, the variance unbiased, and uses them in evaluation", "[nn]") {
  BatchNorm layer({1, 2, 2});
  layer.eps = 0.0f;
  const std::vector<float> x{1, 10, 3, 10, 5, 20, 7, 20}, dy(8, 1.0f);  // channel 0: 1 3 5 7; channel 1: 10 10 20 20
  std::vector<float> y(8), dx(8);
  BatchNorm::Cache cache;
  layer.forward(x.data(), y.data(), 2, cache, training());
  CHECK(layer.running_mean[0] == 0.0f);  // a forward pass changes nothing
  layer.backward(x.data(), y.data(), dy.data(), dx.data(), 2, cache, training());
  using Catch::Matchers::WithinAbs;
  CHECK_THAT(layer.running_mean[0], WithinAbs(0.4, 1e-6));
  CHECK_THAT(layer.running_mean[1], WithinAbs(1.5, 1e-6));
  CHECK_THAT(layer.running_var[0], WithinAbs(0.9 + 0.1 * 20.0 / 3.0, 1e-6));
  CHECK_THAT(layer.running_var[1], WithinAbs(0.9 + 0.1 * 100.0 / 3.0, 1e-5));
  layer.running_mean[0] = 2.0f;
  layer.running_var[0] = 4.0f;
  layer.gamma[0] = 3.0f;
  layer.beta[0] = 1.0f;
  layer.forward(x.data(), y.data(), 2, cache, {});
  CHECK_THAT(y[0], WithinAbs(-0.5, 1e-6));
  CHECK_THAT(y[6], WithinAbs(8.5, 1e-6));
}

TEST_CASE("A backward pass through running statistics treats them as constants", "[nn]") {
  constexpr std::size_t channels = 5, n = 3 * 4 * channels;
  const Shape in{2, 2, 5};
  BatchNorm layer(in);
  const Values x = reference::random(n, 1), cotangent = reference::random(n, 2), gamma = reference::random(channels, 3),
               beta = reference::random(channels, 4), mean = reference::random(channels, 5), var = reference::random(channels, 6, 0.5, 2);
  const auto put = [](Tensor<float>& t, const Values& v) { std::transform(v.begin(), v.end(), t.data(), [](double d) { return static_cast<float>(d); }); };
  put(layer.gamma, gamma);
  put(layer.beta, beta);
  put(layer.running_mean, mean);
  put(layer.running_var, var);
  const auto model = [&](const Values& at, const Values& g, const Values& b) {
    Values y(n);
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t c = i % channels;
      y[i] = (at[i] - mean[c]) / std::sqrt(var[c] + 1e-5) * g[c] + b[c];
    }
    return reference::dot(reference::relu(y), cotangent);
  };
  const std::vector<float> xf = reference::floats(x), dy = reference::floats(cotangent);
  std::vector<float> y(n), dx(n);
  BatchNorm::Cache cache;
  layer.forward_with(kernel::Relu{}, xf.data(), y.data(), 3, cache, {});
  layer.backward_with(kernel::Relu{}, xf.data(), dy.data(), dx.data(), 3, cache, {});
  CHECK(distance(dx, reference::gradient(x, [&](const Values& v) { return model(v, gamma, beta); })) < 1e-5);
  CHECK(distance(layer.gamma_gradient.span(), reference::gradient(gamma, [&](const Values& v) { return model(x, v, beta); })) < 1e-5);
  CHECK(distance(layer.beta_gradient.span(), reference::gradient(beta, [&](const Values& v) { return model(x, gamma, v); })) < 1e-5);
  CHECK(distance(layer.running_mean.span(), mean) < 1e-6);
}

TEST_CASE("Pools equal plain loops, their gradients central differences", "[nn]") {
  const auto check_pool = [](auto layer, Shape in, bool maximum) {
    const kernel::PoolGeometry g = layer.geometry;
    check_layer(layer, in, 3, [=](const Values& x, const std::vector<Values>&) { return reference::pool(g, x, maximum); });
  };
  check_pool(AvgPool<2>({6, 4, 5}), {6, 4, 5}, false);
  check_pool(AvgPool<2>({7, 5, 3}), {7, 5, 3}, false);
  check_pool(AvgPool<3, Stride<2>, Padding<1>>({6, 5, 2}), {6, 5, 2}, false);
  check_pool(AvgPool<2, Kernel<1, 3>>({5, 7, 2}), {5, 7, 2}, false);
  check_pool(MaxPool<2>({6, 4, 5}), {6, 4, 5}, true);
  check_pool(MaxPool<3, Stride<2>, Padding<1>>({7, 6, 3}), {7, 6, 3}, true);
  // A window's own size is its default stride, whatever its form.
  CHECK(MaxPool<2, Kernel<1, 3>>::output_shape({5, 7, 2}) == Shape{5, 2, 2});
  CHECK(MaxPool<3, Stride<1>, Padding<nn::same_padding>>::output_shape({5, 7, 2}) == Shape{5, 7, 2});
  const Shape in{3, 4, 6};
  GlobalAvgPool global(in);
  check_layer(global, in, 2, [&](const Values& x, const std::vector<Values>&) {
    kernel::PoolGeometry g;
    g.in = in;
    g.kernel_h = 3;
    g.kernel_w = 4;
    return reference::pool(g, x, false);
  });
}

TEST_CASE("ReLU, Flatten and residual blocks have the gradients of their formulas", "[nn]") {
  const Shape in{3, 4, 5};
  ReLU relu(in);
  check_layer(relu, in, 3, [](const Values& x, const std::vector<Values>&) { return reference::relu(x); });

  Flatten flatten(in);
  check_layer(flatten, in, 2, [&](const Values& x, const std::vector<Values>&) {
    Values y(x.size());
    for (std::size_t s = 0; s < 2; ++s)
      for (std::size_t p = 0; p < 12; ++p)
        for (std::size_t c = 0; c < 5; ++c) y[s * 60 + c * 12 + p] = x[s * 60 + p * 5 + c];
    return y;
  });

  Residual<Seq<Conv2d<5, 3>, BatchNorm, ReLU, Conv2d<5, 3>>> plain(in);
  const auto first = plain.body.layer<0>().geometry, second = plain.body.layer<3>().geometry;
  check_layer(plain, in, 2, [&](const Values& x, const std::vector<Values>& p) {
    const Values inner = reference::relu(reference::batch_norm(5, reference::conv(first, x, p[0], p[1]), p[2], p[3], 1e-5));
    return reference::add(reference::conv(second, inner, p[4], p[5]), x);
  });

  Residual<Seq<Conv2d<4, 3, Stride<2>>>, Seq<Conv2d<4, 1, Stride<2>, NoBias>, BatchNorm>> projected(in);
  const auto body = projected.body.layer<0>().geometry, shortcut = projected.shortcut.layer<0>().geometry;
  check_layer(projected, in, 3, [&](const Values& x, const std::vector<Values>& p) {
    return reference::add(reference::conv(body, x, p[0], p[1]),
                          reference::batch_norm(4, reference::conv(shortcut, x, p[2], {}), p[3], p[4], 1e-5));
  });
}

TEST_CASE("A bias before BatchNorm has no gradient in training and one with running statistics", "[nn]") {
  const Shape in{4, 4, 2};
  Seq<Conv2d<3, 3>, BatchNorm> net(in);
  net.initialise(Rng(1));
  const std::vector<float> x = reference::floats(reference::random(in.size(), 1)), dy = reference::floats(reference::random(48, 2));
  std::vector<float> y(48), dx(in.size());
  Seq<Conv2d<3, 3>, BatchNorm>::Cache cache;
  net.layer<0>().bias_gradient.fill(5.0f);
  net.forward(x.data(), y.data(), 1, cache, training());
  net.backward(x.data(), y.data(), dy.data(), dx.data(), 1, cache, training());
  for (const float g : net.layer<0>().bias_gradient.span()) CHECK(g == 0.0f);
  net.forward(x.data(), y.data(), 1, cache, {});
  net.backward(x.data(), y.data(), dy.data(), dx.data(), 1, cache, {});
  for (std::size_t c = 0; c < 3; ++c) {
    double sum = 0;
    for (std::size_t p = 0; p < 16; ++p) sum += static_cast<double>(dy[p * 3 + c]);
    const double slope = 1 / std::sqrt(static_cast<double>(net.layer<1>().running_var[c]) + 1e-5);
    CHECK(std::abs(static_cast<double>(net.layer<0>().bias_gradient[c]) - sum * slope) < 1e-5);
  }
}

TEST_CASE("BatchNorm fused with its activation equals the two layers apart", "[nn]") {
  const Shape in{4, 5, 6};
  const std::size_t samples = 3, n = samples * in.size();
  Seq<BatchNorm, Qcfs<4>> fused(in);
  BatchNorm norm(in);
  Qcfs<4> qcfs(in);
  fused.layer<1>().lambda = qcfs.lambda = 1.3f;
  const std::vector<float> x = reference::floats(reference::random(n, 3)), dy = reference::floats(reference::random(n, 4));
  std::vector<float> z(n), y(n), dz(n), dx(n), fused_y(n), fused_dx(n);
  Seq<BatchNorm, Qcfs<4>>::Cache cache;
  BatchNorm::Cache norm_cache;
  Qcfs<4>::Cache qcfs_cache;
  fused.forward(x.data(), fused_y.data(), samples, cache, training());
  fused.backward(x.data(), fused_y.data(), dy.data(), fused_dx.data(), samples, cache, training());
  norm.forward(x.data(), z.data(), samples, norm_cache, training());
  qcfs.forward(z.data(), y.data(), samples, qcfs_cache, training());
  qcfs.backward(z.data(), y.data(), dy.data(), dz.data(), samples, qcfs_cache, training());
  norm.backward(x.data(), z.data(), dz.data(), dx.data(), samples, norm_cache, training());
  CHECK(fused_y == y);
  CHECK(distance(fused_dx, reference::doubles(dx)) < 1e-6);
  using Catch::Matchers::WithinRel;
  CHECK_THAT(fused.layer<1>().lambda_gradient, WithinRel(qcfs.lambda_gradient, 1e-5f));
  CHECK(distance(fused.layer<0>().gamma_gradient.span(), reference::doubles(norm.gamma_gradient.span())) < 1e-6);
}

TEST_CASE("Dropout keeps the expectation, zeroes the same values backward, and is the identity in evaluation", "[nn]") {
  const Shape in{1, 1, 1000};
  Dropout<30> layer(in);
  Dropout<30>::Cache cache;
  const std::vector<float> x(20000, 1.0f);
  std::vector<float> y(x.size()), dx(x.size()), other(x.size());
  layer.forward(x.data(), y.data(), 20, cache, training(1));
  layer.backward(x.data(), y.data(), x.data(), dx.data(), 20, cache, training());
  CHECK(y == dx);
  std::size_t zeros = 0;
  for (const float v : y) {
    zeros += v == 0.0f ? 1 : 0;
    if (v != 0.0f && v != 100.0f / 70.0f) FAIL("a value that is neither dropped nor scaled");
  }
  CHECK(zeros > 5800);
  CHECK(zeros < 6200);
  Dropout<30>::Cache three;
  layer.forward(x.data(), other.data(), 20, three, training(3));
  CHECK(other == y);
  nn::Pass next = training();
  next.rng = Rng(8);
  layer.forward(x.data(), other.data(), 20, three, next);
  CHECK(other != y);
  layer.forward(x.data(), other.data(), 20, three, {});
  CHECK(other == x);
}

TEST_CASE("QCFS meets its published values and gradients under both policies", "[nn][qcfs]") {
  struct Fact {
    float z, h, dz, dlambda;
  };
  const auto check = [](auto layer, const std::vector<Fact>& facts) {
    using Layer = decltype(layer);
    for (const Fact& f : facts) {
      CAPTURE(f.z);
      typename Layer::Cache cache;
      float h = 0, dz = 0;
      const float one = 1.0f;
      layer.forward(&f.z, &h, 1, cache, training());
      layer.backward(&f.z, &h, &one, &dz, 1, cache, training());
      CHECK(h == f.h);
      CHECK(dz == f.dz);
      CHECK(std::abs(layer.lambda_gradient - f.dlambda) < 1e-6f);
    }
  };
  const std::vector<Fact> both{{-0.2f, 0, 0, 0},        {0.1f, 0, 1, -0.1f},       {0.125f, 0.25f, 1, 0.125f},
                               {0.3f, 0.25f, 1, -0.05f}, {0.7f, 0.75f, 1, 0.05f},   {0.874f, 0.75f, 1, -0.124f},
                               {0.875f, 1, 1, 0.125f},   {1.0f, 1, 1, 0},           {1.3f, 1, 0, 1}};
  const Shape one{1, 1, 1};
  check(Qcfs<4>(one), both);
  check(Qcfs<4, gradient::clip_first>(one), both);
  check(Qcfs<4>(one), {{-0.1f, 0, 1, 0.1f}, {1.1f, 1, 1, -0.1f}});
  check(Qcfs<4, gradient::clip_first>(one), {{-0.1f, 0, 0, 0}, {1.1f, 1, 0, 1}});
}

TEST_CASE("Levels and threshold of QCFS are numbers of the layer", "[nn][qcfs]") {
  Qcfs<8> layer({1, 1, 1});
  CHECK(layer.levels == 8);
  layer.levels = 2;
  layer.lambda = 4.0f;
  Qcfs<8>::Cache cache;
  for (const auto& [z, h] : {std::pair{0.99f, 0.0f}, {1.0f, 2.0f}, {2.9f, 2.0f}, {3.0f, 4.0f}, {9.0f, 4.0f}}) {
    float y = -1;
    layer.forward(&z, &y, 1, cache, {});
    CHECK(y == h);
  }
}
