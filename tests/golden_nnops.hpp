// Runs golden cases of group `nnops` through the layers and kernels of the library.
// Arrays of the field ([B, C, H, W]) are brought to channels-last and back here.
#pragma once

#include "golden.hpp"
#include "golden_nonlinear.hpp"

#include <spiq/kernel/attention_backward.hpp>
#include <spiq/kernel/layer_norm.hpp>
#include <spiq/kernel/softmax_backward.hpp>
#include <spiq/nn/attention.hpp>
#include <spiq/nn/batch_norm.hpp>
#include <spiq/nn/conv2d.hpp>
#include <spiq/nn/linear.hpp>
#include <spiq/nn/loss.hpp>
#include <spiq/nn/pool.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace golden {

namespace nnops {

using Floats = std::vector<float>;

/// Extents of an [n, c, h, w] array.
struct Maps {
  std::size_t samples = 0;
  spiq::Shape shape{};
  explicit Maps(const Array& a)
      : samples(a.extent(0)),
        shape{static_cast<int>(a.extent(2)), static_cast<int>(a.extent(3)), static_cast<int>(a.extent(1))} {}

  [[nodiscard]] Floats to_channels_last(const Floats& from) const { return permute(from, true); }
  [[nodiscard]] Floats to_channels_first(const Floats& from) const { return permute(from, false); }

private:
  [[nodiscard]] Floats permute(const Floats& from, bool last) const {
    Floats to(from.size());
    const std::size_t pixels = shape.pixels(), channels = static_cast<std::size_t>(shape.channels);
    for (std::size_t s = 0; s < samples; ++s)
      for (std::size_t p = 0; p < pixels; ++p)
        for (std::size_t c = 0; c < channels; ++c) {
          const std::size_t a = (s * pixels + p) * channels + c, b = (s * channels + c) * pixels + p;
          to[last ? a : b] = from[last ? b : a];
        }
    return to;
  }
};

inline void set(spiq::Tensor<float>& t, const Array& a) {
  const Floats values = a.floats();
  if (values.size() != t.size()) spiq::raise("golden parameter", std::to_string(t.size()) + " values", std::to_string(values.size()));
  std::copy(values.begin(), values.end(), t.data());
}

/// The arrays that a map-to-map operator reads and writes, channels last.
struct MapCase {
  Maps in, out;
  Floats x, dy, y, dx;
  explicit MapCase(const Case& c)
      : in(c.array("x", 4)), out(c.array("y", 4)), x(in.to_channels_last(c.array("x").floats())),
        dy(out.to_channels_last(c.expect("cot_y", c.array("y").shape).floats())), y(dy.size()), dx(x.size()) {
    if (in.samples != out.samples)
      spiq::raise("case " + c.name + ", samples of \"y\"", std::to_string(in.samples), std::to_string(out.samples));
  }

  /// Throws unless the operator gives what array y has room for.
  void expect_output(const Case& c, const spiq::Shape& shape) const {
    if (!(out.shape == shape)) spiq::raise("case " + c.name + ", output", to_string(shape), to_string(out.shape));
  }

  [[nodiscard]] Result check(const Case& c) const {
    Result r = c.compare("y", out.to_channels_first(y));
    if (c.has("grad_x")) r.merge(c.compare("grad_x", in.to_channels_first(dx)));
    return r;
  }
};

template <class L>
void run_layer(L& layer, const Floats& x, Floats& y, const Floats& dy, Floats& dx, std::size_t samples, spiq::nn::Mode mode) {
  typename L::Cache cache;
  const spiq::nn::Pass pass{mode};
  layer.forward(x.data(), y.data(), samples, cache, pass);
  layer.backward(x.data(), y.data(), dy.data(), dx.data(), samples, cache, pass);
}

inline Result compare_weights(const Case& c, const spiq::nn::Weighted& layer) {
  Result r = c.compare("grad_w", layer.weight_gradient);
  if (layer.has_bias()) r.merge(c.compare("grad_b", layer.bias_gradient));
  return r;
}

inline Result conv2d(const Case& c) {
  MapCase m(c);
  const Array& w = c.array("w", 4);
  spiq::kernel::ConvGeometry g;
  g.in = m.in.shape;
  g.out_channels = static_cast<int>(w.extent(0));
  g.kernel_h = static_cast<int>(w.extent(2));
  g.kernel_w = static_cast<int>(w.extent(3));
  g.stride_h = c.int_param("stride_h", 1);
  g.stride_w = c.int_param("stride_w", 1);
  g.pad_h = c.int_param("pad_h", 0);
  g.pad_w = c.int_param("pad_w", 0);
  g.dilation_h = c.int_param("dil_h", 1);
  g.dilation_w = c.int_param("dil_w", 1);
  g.groups = c.int_param("groups", 1);
  check(g, w.size());
  m.expect_output(c, g.out());
  spiq::nn::Convolution layer(g, c.has("b"));
  set(layer.weight, w);
  if (c.has("b")) set(layer.bias, c.array("b"));
  run_layer(layer, m.x, m.y, m.dy, m.dx, m.in.samples, spiq::nn::Mode::train);
  return m.check(c).merge(compare_weights(c, layer));
}

inline Result linear(const Case& c) {
  const Array &x = c.array("x", 2), &w = c.array("w", 2);
  c.expect("x", {x.extent(0), w.extent(1)});
  c.expect("y", {x.extent(0), w.extent(0)});
  c.expect("cot_y", {x.extent(0), w.extent(0)});
  spiq::nn::Dense layer(static_cast<int>(w.extent(1)), static_cast<int>(w.extent(0)), c.has("b"));
  set(layer.weight, w);
  if (c.has("b")) set(layer.bias, c.array("b"));
  const Floats in = x.floats(), dy = c.array("cot_y").floats();
  Floats y(dy.size()), dx(in.size());
  run_layer(layer, in, y, dy, dx, x.extent(0), spiq::nn::Mode::train);
  Result r = c.compare("y", y);
  return r.merge(c.compare("grad_x", dx)).merge(compare_weights(c, layer));
}

inline Result batch_norm(const Case& c, bool train) {
  MapCase m(c);
  m.expect_output(c, m.in.shape);
  spiq::BatchNorm layer(m.in.shape);
  layer.eps = static_cast<float>(c.param("eps", 1e-5));
  layer.momentum = static_cast<float>(c.param("momentum", 0.1));
  set(layer.gamma, c.array("w"));
  set(layer.beta, c.array("b"));
  set(layer.running_mean, c.array(train ? "rm0" : "rm"));
  set(layer.running_var, c.array(train ? "rv0" : "rv"));
  run_layer(layer, m.x, m.y, m.dy, m.dx, m.in.samples, train ? spiq::nn::Mode::train : spiq::nn::Mode::evaluate);
  Result r = m.check(c);
  r.merge(c.compare("grad_w", layer.gamma_gradient)).merge(c.compare("grad_b", layer.beta_gradient));
  if (train) r.merge(c.compare("rm1", layer.running_mean)).merge(c.compare("rv1", layer.running_var));
  return r;
}

inline Result pool(const Case& c, bool maximum) {
  MapCase m(c);
  spiq::kernel::PoolGeometry g;
  g.in = m.in.shape;
  g.kernel_h = g.kernel_w = c.int_param("kernel");
  g.stride_h = g.stride_w = c.int_param("stride");
  g.pad_h = g.pad_w = c.int_param("padding", 0);
  g.ceil_mode = c.int_param("ceil_mode", 0) != 0;
  g.count_include_pad = c.int_param("count_include_pad", 1) != 0;
  constexpr int most = 1 << 20;  // far above any case; the geometry computes with ints
  if (g.kernel_h > most || g.stride_h > most || g.pad_h > most || std::max(g.in.height, g.in.width) > most)
    return Result::fail("a pooling of numbers beyond " + std::to_string(most));
  check(g);
  m.expect_output(c, g.out());
  const auto run = [&](auto layer) {
    layer.geometry = g;
    run_layer(layer, m.x, m.y, m.dy, m.dx, m.in.samples, spiq::nn::Mode::train);
  };
  if (maximum)
    run(spiq::MaxPool<1>(g.in));
  else
    run(spiq::AvgPool<1>(g.in));
  return m.check(c);
}

inline Result global_average(const Case& c) {
  MapCase m(c);
  m.expect_output(c, {1, 1, m.in.shape.channels});
  spiq::GlobalAvgPool layer(m.in.shape);
  run_layer(layer, m.x, m.y, m.dy, m.dx, m.in.samples, spiq::nn::Mode::train);
  return m.check(c);
}

inline Result cross_entropy(const Case& c) {
  const Array& x = c.array("x", 2);
  c.expect("target", {x.extent(0)});
  if (c.array("cot_y").size() != 1) return Result::fail("cot_y: expected one number, found " + std::to_string(c.array("cot_y").size()));
  const double upstream = c.array("cot_y").values[0];
  spiq::Tensor<float> gradient;
  const std::vector<int> labels = c.array("target").ints();
  const spiq::nn::LossValue loss = spiq::CrossEntropy{}(x.tensor(), labels, gradient);
  for (float& g : gradient.span()) g = static_cast<float>(static_cast<double>(g) * upstream);
  const Floats value{static_cast<float>(loss.mean)};
  return c.compare("y", value).merge(c.compare("grad_x", gradient));
}

/// Softmax over the last axis, or its logarithm.
inline Result softmax(const Case& c, bool logarithm) {
  const Array& x = c.array("x", 2);
  c.expect("cot_y", x.shape);
  c.expect("y", x.shape);
  const std::size_t cols = x.extent(1), rows = x.extent(0);
  const Floats in = x.floats(), dy = c.array("cot_y").floats();
  Floats y(in.size()), dx(in.size());
  if (logarithm) {
    spiq::math::log_softmax<spiq::accuracy::full>(in, y, {.rows = rows, .cols = cols});
    spiq::math::log_softmax_backward<spiq::accuracy::full>(y, dy, dx, {.rows = rows, .cols = cols});
  } else {
    spiq::math::softmax<spiq::accuracy::full>(in, y, {.rows = rows, .cols = cols});
    spiq::math::softmax_backward(y, dy, dx, {.rows = rows, .cols = cols});
  }
  return c.compare("y", y).merge(c.compare("grad_x", dx));
}

inline Result attention(const Case& c) {
  const Array &q = c.array("q", 4), &k = c.array("k", 4);
  for (const char* name : {"y", "cot_y"}) c.expect(name, q.shape);
  c.expect("k", {q.extent(0), q.extent(1), k.extent(2), q.extent(3)});
  c.expect("v", k.shape);
  spiq::math::AttentionOptions o;
  o.queries = q.extent(2);
  o.keys = k.extent(2);
  o.heads = q.extent(1);
  o.dim = q.extent(3);
  o.causal = c.has_param("causal") && c.int_param("causal") != 0;
  const Floats queries = q.floats(), keys = k.floats(), values = c.array("v").floats(), dy = c.array("cot_y").floats();
  Floats y(queries.size()), dq(y.size()), dk(keys.size()), dv(keys.size()), lse(o.heads * o.queries);
  spiq::AlignedVector<float> workspace(std::max(spiq::math::attention_workspace<float>(o),
                                                spiq::kernel::attention_backward_workspace<>(o.shape())));
  const std::size_t nq = o.heads * o.queries * o.dim, nk = o.heads * o.keys * o.dim;
  for (std::size_t b = 0; b < q.extent(0); ++b) {
    const auto in = [b](const Floats& a, std::size_t n) { return std::span<const float>(a).subspan(b * n, n); };
    const auto out = [b](Floats& a, std::size_t n) { return std::span<float>(a).subspan(b * n, n); };
    using full = spiq::accuracy::full;
    spiq::math::attention<full>(in(queries, nq), in(keys, nk), in(values, nk), out(y, nq), o,
                                std::span<float>(workspace), std::span<float>(lse));
    spiq::math::attention_backward(in(queries, nq), in(keys, nk), in(values, nk), in(y, nq), lse, in(dy, nq),
                                   out(dq, nq), out(dk, nk), out(dv, nk), o, workspace);
  }
  Result r = c.compare("y", y);
  return r.merge(c.compare("grad_q", dq)).merge(c.compare("grad_k", dk)).merge(c.compare("grad_v", dv));
}

/// Self-attention with its projections, [batch, tokens, channels].
inline Result multihead_attention(const Case& c) {
  const Array& x = c.array("x", 3);
  const std::size_t channels = x.extent(2);
  for (const char* name : {"y", "cot_y"}) c.expect(name, x.shape);
  c.expect("w_in", {3 * channels, channels});
  c.expect("b_in", {3 * channels});
  c.expect("w_out", {channels, channels});
  c.expect("b_out", {channels});
  const int heads = c.int_param("heads");
  if (heads < 1 || static_cast<int>(channels) % heads != 0)
    return Result::fail("heads: expected a divisor of " + std::to_string(channels) + ", found " + std::to_string(heads));
  spiq::nn::SelfAttention<spiq::accuracy::full> layer({1, static_cast<int>(x.extent(1)), static_cast<int>(channels)},
                                                      heads, false);
  set(layer.in_projection.weight, c.array("w_in"));
  set(layer.in_projection.bias, c.array("b_in"));
  set(layer.out_projection.weight, c.array("w_out"));
  set(layer.out_projection.bias, c.array("b_out"));
  const Floats in = x.floats(), dy = c.array("cot_y").floats();
  Floats y(in.size()), dx(in.size());
  run_layer(layer, in, y, dy, dx, x.extent(0), spiq::nn::Mode::train);
  Result r = c.compare("y", y);
  r.merge(c.compare("grad_x", dx));
  r.merge(c.compare("grad_w_in", layer.in_projection.weight_gradient));
  r.merge(c.compare("grad_b_in", layer.in_projection.bias_gradient));
  r.merge(c.compare("grad_w_out", layer.out_projection.weight_gradient));
  return r.merge(c.compare("grad_b_out", layer.out_projection.bias_gradient));
}

inline Result layer_norm(const Case& c) {
  const Array& x = c.array("x", 2);
  for (const char* name : {"y", "cot_y"}) c.expect(name, x.shape);
  for (const char* name : {"w", "b"}) c.expect(name, {x.extent(1)});
  const spiq::math::LayerNormOptions o{.rows = x.size() / c.array("w").size(),
                                       .cols = c.array("w").size(),
                                       .epsilon = static_cast<float>(c.param("eps", 1e-5))};
  const Floats in = x.floats(), gamma = c.array("w").floats(), beta = c.array("b").floats();
  const Floats dy = c.array("cot_y").floats();
  Floats y(in.size()), mean(o.rows), rstd(o.rows), dx(in.size()), dgamma(o.cols), dbeta(o.cols);
  spiq::math::layer_norm<>(in, gamma, beta, y, o, mean, rstd);
  spiq::math::layer_norm_backward<>(in, gamma, mean, rstd, dy, dx, dgamma, dbeta, o);
  Result r = c.compare("y", y);
  return r.merge(c.compare("grad_x", dx)).merge(c.compare("grad_w", dgamma)).merge(c.compare("grad_b", dbeta));
}

}  // namespace nnops

/// Result of one case of group `nnops`; operators that the library does not have are skipped by name.
inline Result run_nnops(const Case& c) {
  const std::string op = c.string("op");
  if (op == "conv2d") return nnops::conv2d(c);
  if (op == "linear") return nnops::linear(c);
  if (op == "batch_norm_train") return nnops::batch_norm(c, true);
  if (op == "batch_norm_eval") return nnops::batch_norm(c, false);
  if (op == "avg_pool2d") return nnops::pool(c, false);
  if (op == "max_pool2d") return nnops::pool(c, true);
  if (op == "adaptive_avg_pool2d_1") return nnops::global_average(c);
  if (op == "cross_entropy_mean") return nnops::cross_entropy(c);
  if (op == "softmax") return nnops::softmax(c, false);
  if (op == "log_softmax") return nnops::softmax(c, true);
  if (op == "scaled_dot_product_attention") return nnops::attention(c);
  if (op == "multihead_attention_self") return nnops::multihead_attention(c);
  if (op == "layer_norm") return nnops::layer_norm(c);
  Result nonlinear;
  if (run_nonlinear(c, op, nonlinear)) return nonlinear;
  return Result::skip("operator " + op + " is not part of the library");
}

}  // namespace golden
