// Golden group `qcfs`: the activation with its gradients, the scaled integrate-and-fire neuron, and whole networks
// converted to spikes, through our own layers and lowering.
#pragma once

#include <spiq/lower/lower.hpp>
#include <spiq/neuron/integrate_fire.hpp>
#include <spiq/nn/layers.hpp>

#include "golden.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

namespace golden {

namespace qcfs {

/// L of a case; layers hold it in a byte.
inline int levels_of(const Case& c) {
  const int levels = c.int_param("L");
  if (levels < 1 || levels > 255) spiq::raise("case " + c.name + ", parameter \"L\"", "a number in [1, 255]", std::to_string(levels));
  return levels;
}

/// A threshold or scale as float, positive and finite.
inline float positive(const Case& c, const std::string& key, double value) {
  const auto f = static_cast<float>(value);
  if (!(f > 0.0F) || !std::isfinite(f)) spiq::raise("case " + c.name + ", \"" + key + "\"", "a positive number", std::to_string(value));
  return f;
}

inline Result activation(const Case& c) {
  using namespace spiq;
  const auto x = c.array("x", 1).floats();
  const auto dy = c.expect("cot_y", c.expect("y", {x.size()}).shape).floats();
  Qcfs<1> layer(Shape{1, 1, static_cast<int>(x.size())});
  layer.levels = levels_of(c);
  layer.lambda = positive(c, "up", c.param("up"));
  Qcfs<1>::Cache cache;
  std::vector<float> y(x.size()), dx(x.size());
  nn::Pass pass;
  pass.mode = nn::Mode::train;
  layer.forward(x.data(), y.data(), 1, cache, pass);
  layer.backward(x.data(), y.data(), dy.data(), dx.data(), 1, cache, pass);
  Result r = c.compare("y", y);
  r.merge(c.compare("grad_x", dx));
  const float g[1] = {layer.lambda_gradient};
  // One sum over all elements: rounding grows with their number.
  r.merge(c.compare_within<float>("grad_up", g, 1e-5 * static_cast<double>(x.size()), 1e-6));
  return r;
}

template <class Arch>
Result neuron_on(const Case& c) {
  using namespace spiq;
  using V = typename simd::traits<Arch>::f32;
  const Array& x = c.array("x", 2);
  const std::size_t steps = x.extent(0), n = x.extent(1);
  const auto values = x.floats();
  const float scale = positive(c, "scale", c.param("scale"));
  std::vector<float> spikes(x.size()), v(x.size()), y(x.size());
  for (std::size_t i = 0; i < n; i += V::width) {
    const int lanes = static_cast<int>(std::min<std::size_t>(V::width, n - i));
    V membrane = V::broadcast(0.5F);
    for (std::size_t t = 0; t < steps; ++t) {
      const V current = V::load_first(values.data() + t * n + i, lanes) / V::broadcast(scale);
      const auto s = neuron::IntegrateFire::step(membrane, current, V::broadcast(1.0F));
      const V one = select(s, V::broadcast(1.0F), V::zero());
      one.store_first(spikes.data() + t * n + i, lanes);
      membrane.store_first(v.data() + t * n + i, lanes);
      (one * V::broadcast(scale)).store_first(y.data() + t * n + i, lanes);
    }
  }
  Result r = c.compare("spike", spikes);
  r.merge(c.compare("v", v));
  r.merge(c.compare("y", y));
  if (c.has("ann")) {
    std::vector<float> mean(n);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t t = 0; t < steps; ++t) mean[i] += y[t * n + i];
      mean[i] /= static_cast<float>(steps);
    }
    r.merge(c.compare("ann", mean));
  }
  return r;
}

template <class Tensor>
void load(Tensor& to, const Case& c, const std::string& key) {
  const auto values = c.array(key).floats();
  if (values.size() != to.size()) spiq::raise("case " + c.name + ", " + key, std::to_string(to.size()), std::to_string(values.size()));
  std::copy(values.begin(), values.end(), to.data());
}

// conv3x3p1 bn qcfs avgpool2 conv3x3p1 bn qcfs avgpool2 flatten linear qcfs linear
template <class Arch, class Net>
Result network(const Case& c) {
  using namespace spiq;
  Net net;
  const auto conv = [&](auto& layer, const std::string& key) {
    load(layer.weight, c, key + "_weight");
    if (layer.has_bias()) load(layer.bias, c, key + "_bias");
  };
  const auto norm = [&](auto& layer, const std::string& key) {
    load(layer.gamma, c, key + "_weight");
    load(layer.beta, c, key + "_bias");
    load(layer.running_mean, c, key + "_running_mean");
    load(layer.running_var, c, key + "_running_var");
  };
  const auto up = [&](auto& layer, const std::string& key) {
    layer.lambda = positive(c, key, c.array(key).values.at(0));
    layer.levels = levels_of(c);
  };
  conv(net.template layer<0>(), "w_features_0");
  norm(net.template layer<1>(), "w_features_1");
  up(net.template layer<2>(), "w_features_2_up");
  conv(net.template layer<4>(), "w_features_4");
  norm(net.template layer<5>(), "w_features_5");
  up(net.template layer<6>(), "w_features_6_up");
  conv(net.template layer<9>(), "w_classifier_1");
  up(net.template layer<10>(), "w_classifier_2_up");
  conv(net.template layer<11>(), "w_classifier_3");

  const Tensor<float> images = c.array("x", 4).tensor();
  const auto batch = static_cast<int>(images.extent(0));
  const int steps = c.int_param("T");
  // The session keeps every step: what it will be compared with decides how much memory that may be.
  if (steps < 1 || c.array("snn_mean", 3).extent(0) != static_cast<std::size_t>(steps))
    spiq::raise("case " + c.name + ", parameter \"T\"", "the steps of \"snn_mean\"", std::to_string(steps));
  Result r = c.compare("ann_out", net(images));
  const auto dense = lower<Arch>(net, target::Float{});
  r.merge(c.compare("ann_out", dense(images)));

  const auto snn = lower<Arch>(net, target::Spiking{conversion::Qcfs{.steps = steps}});
  auto session = snn.session(batch, {.threads = 1, .tile = batch, .over_time = true});
  session.run(images);
  r.merge(c.compare("snn_mean", session.logits_over_time()));
  int index = 0;
  session.visit([&](const auto& layer, const auto&, const auto& state) {
    using buffer = std::remove_cvref_t<decltype(state.out)>;
    const auto& out = state.out;
    if constexpr (std::is_same_v<typename buffer::packing_type, packing::by_channel>) {
      const Shape s = layer.output_shape();
      const std::size_t pixels = s.pixels(), channels = static_cast<std::size_t>(s.channels);
      const auto n = static_cast<std::size_t>(batch), t_end = static_cast<std::size_t>(steps);
      std::vector<int> found(t_end * n * s.size());
      for (std::size_t t = 0; t < t_end; ++t)
        for (std::size_t b = 0; b < n; ++b)
          for (std::size_t p = 0; p < pixels; ++p)
            for (std::size_t ch = 0; ch < channels; ++ch)
              found[((t * n + b) * channels + ch) * pixels + p] =
                  static_cast<int>(out.row((b * pixels + p) * t_end + t)[ch / 64] >> (ch % 64) & 1U);
      r.merge(c.template compare_exact<int>("spike" + std::to_string(index++), found));
    }
  });
  if (index != 3) r.merge(Result::fail("expected 3 spiking layers, found " + std::to_string(index)));
  return r;
}

template <class Arch>
Result run_on(const Case& c) {
  using namespace spiq;
  using AvgPool2 = AvgPool<2>;
  if (c.name.starts_with("act_")) return activation(c);
  if (c.name.starts_with("neuron_")) return neuron_on<Arch>(c);
  if (c.name == "net_L2_T8")
    return network<Arch, Network<Input<8, 8, 2>, Conv2d<4, 3>, BatchNorm, Qcfs<2>, AvgPool2, Conv2d<6, 3>, BatchNorm,
                                 Qcfs<2>, AvgPool2, Flatten, Linear<12>, Qcfs<2>, Linear<4>>>(c);
  if (c.name == "net_L4_T16")
    return network<Arch, Network<Input<8, 8, 3>, Conv2d<6, 3>, BatchNorm, Qcfs<4>, AvgPool2, Conv2d<8, 3>, BatchNorm,
                                 Qcfs<4>, AvgPool2, Flatten, Linear<12>, Qcfs<4>, Linear<10>>>(c);
  if (c.name == "net_L8_T32")
    return network<Arch, Network<Input<12, 12, 1>, Conv2d<5, 3, NoBias>, BatchNorm, Qcfs<8>, AvgPool2,
                                 Conv2d<7, 3, NoBias>, BatchNorm, Qcfs<8>, AvgPool2, Flatten, Linear<12>, Qcfs<8>,
                                 Linear<6>>>(c);
  return Result::skip("no runner for this case");
}

}  // namespace qcfs

/// Every case on the best architecture and on scalar.
inline Result run_qcfs(const Case& c) {
  Result r = qcfs::run_on<spiq::simd::best>(c);
  if (!c.name.starts_with("act_")) r.merge(qcfs::run_on<spiq::simd::scalar>(c));
  return r;
}

}  // namespace golden
