// One layer against a model in double precision: values, all gradients by central differences, independence of threads.
#pragma once

#include "catch.hpp"
#include "nn_reference.hpp"

#include <spiq/nn/parameter.hpp>
#include <spiq/nn/pass.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace spiq_test {

using namespace spiq;
using reference::Values;

inline nn::Pass training(int threads = 1) { return {nn::Mode::train, threads, Rng(7)}; }

/// The largest |a - b| relative to the largest |b|.
inline double distance(std::span<const float> a, const Values& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0, scale = 1e-3;
  for (std::size_t i = 0; i < b.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - b[i]));
    scale = std::max(scale, std::abs(b[i]));
  }
  return worst / scale;
}

/// What the reference computes from the input and all parameters, in the order in which the layer visits them.
using Model = std::function<Values(const Values& x, const std::vector<Values>& parameters)>;

/// Forward, dx and every parameter's gradient of `layer` on random data against the model.
template <class L>
void check_layer(L& layer, Shape in, std::size_t samples, const Model& model) {
  const Values x = reference::random(samples * in.size(), 11);
  const Shape out = L::output_shape(in);
  const Values cotangent = reference::random(samples * out.size(), 12);
  std::vector<nn::Parameter> list;
  const auto collect = [&](const nn::Parameter& p) { list.push_back(p); };
  if constexpr (requires { L::composite; })
    L::for_each_layer(layer, "", [&](const std::string& path, auto& leaf) {
      if constexpr (requires { leaf.parameters(path, collect); }) leaf.parameters(path, collect);
    });
  else if constexpr (requires { layer.parameters("", collect); })
    layer.parameters("", collect);
  std::vector<Values> parameters;
  for (nn::Parameter& p : list) {
    const Values values = reference::random(p.value.size(), 20 + parameters.size(), 0.2, 0.9);
    for (std::size_t i = 0; i < values.size(); ++i) p.value[i] = static_cast<float>(values[i] * (i % 3 == 1 ? -1 : 1));
    parameters.push_back(reference::doubles(p.value));
  }

  typename L::Cache cache;
  const std::vector<float> xf = reference::floats(x), gf = reference::floats(cotangent);
  const Values exact = reference::doubles(xf);
  std::vector<float> y(samples * out.size()), dx(x.size());
  layer.forward(xf.data(), y.data(), samples, cache, training());
  layer.backward(xf.data(), y.data(), gf.data(), dx.data(), samples, cache, training());
  CHECK(distance(y, model(exact, parameters)) < 2e-6);
  CHECK(distance(dx, reference::gradient(exact, [&](const Values& v) { return reference::dot(model(v, parameters), cotangent); })) < 2e-5);
  for (std::size_t p = 0; p < list.size(); ++p) {
    CAPTURE(list[p].path);
    const Values g = reference::gradient(parameters[p], [&](const Values& v) {
      std::vector<Values> changed = parameters;
      changed[p] = v;
      return reference::dot(model(exact, changed), cotangent);
    });
    CHECK(distance(list[p].gradient, g) < 2e-5);
  }

  // Without dx, and on three threads: the same parameter gradients, bit for bit.
  std::vector<std::vector<float>> before;
  for (const nn::Parameter& p : list) before.emplace_back(p.gradient.begin(), p.gradient.end());
  typename L::Cache other;
  std::vector<float> again(y.size());
  layer.forward(xf.data(), again.data(), samples, other, training(3));
  layer.backward(xf.data(), again.data(), gf.data(), nullptr, samples, other, training(3));
  CHECK(again == y);
  for (std::size_t p = 0; p < list.size(); ++p)
    CHECK(std::equal(before[p].begin(), before[p].end(), list[p].gradient.begin()));
}

}  // namespace spiq_test
