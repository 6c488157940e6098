// Runs golden cases of group `nnops` through the layers and kernels of the library.
// Arrays of the field ([B, C, H, W]) are brought to channels-last and back here.
#pragma once

#include "golden.hpp"
#include "golden_nonlinear.hpp"

#include <spiq/nn/batch_norm.hpp>
#include <spiq/nn/conv2d.hpp>
#include <spiq/nn/linear.hpp>
#include <spiq/nn/loss.hpp>
#include <spiq/nn/pool.hpp>

#include <algorithm>
#include <cstddef>
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
      : in(c.array("x")), out(c.array("y")), x(in.to_channels_last(c.array("x").floats())),
        dy(out.to_channels_last(c.array("cot_y").floats())), y(dy.size()), dx(x.size()) {}

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
  const Array& w = c.array("w");
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
  if (!g.valid() || !(g.out() == m.out.shape)) return Result::fail("output extents: found " + to_string(g.out()));
  spiq::nn::Convolution layer(g, c.has("b"));
  set(layer.weight, w);
  if (c.has("b")) set(layer.bias, c.array("b"));
  run_layer(layer, m.x, m.y, m.dy, m.dx, m.in.samples, spiq::nn::Mode::train);
  return m.check(c).merge(compare_weights(c, layer));
}

inline Result linear(const Case& c) {
  const Array &x = c.array("x"), &w = c.array("w");
  spiq::nn::Dense layer(static_cast<int>(w.extent(1)), static_cast<int>(w.extent(0)), c.has("b"));
  set(layer.weight, w);
  if (c.has("b")) set(layer.bias, c.array("b"));
  const Floats in = x.floats(), dy = c.array("cot_y").floats();
  Floats y(dy.size()), dx(in.size());
  run_layer(layer, in, y, dy, dx, x.size() / w.extent(1), spiq::nn::Mode::train);
  Result r = c.compare("y", y);
  return r.merge(c.compare("grad_x", dx)).merge(compare_weights(c, layer));
}

inline Result batch_norm(const Case& c, bool train) {
  MapCase m(c);
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
  if (!g.valid() || !(g.out() == m.out.shape)) return Result::fail("output extents: found " + to_string(g.out()));
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
  spiq::GlobalAvgPool layer(m.in.shape);
  run_layer(layer, m.x, m.y, m.dy, m.dx, m.in.samples, spiq::nn::Mode::train);
  return m.check(c);
}

inline Result cross_entropy(const Case& c) {
  const double upstream = c.array("cot_y").values.at(0);
  spiq::Tensor<float> gradient;
  const std::vector<int> labels = c.array("target").ints();
  const spiq::nn::LossValue loss = spiq::CrossEntropy{}(c.array("x").tensor(), labels, gradient);
  for (float& g : gradient.span()) g = static_cast<float>(static_cast<double>(g) * upstream);
  const Floats value{static_cast<float>(loss.mean)};
  return c.compare("y", value).merge(c.compare("grad_x", gradient));
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
  Result nonlinear;
  if (run_nonlinear(c, op, nonlinear)) return nonlinear;
  return Result::skip("operator " + op + " is not part of the library");
}

}  // namespace golden
