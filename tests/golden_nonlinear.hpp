// Runs golden cases of pointwise non-linearities, values and gradients, through the functors of kernel/nonlinear.hpp.
#pragma once

#include "golden.hpp"

#include <spiq/kernel/activation.hpp>
#include <spiq/kernel/nonlinear_map.hpp>

#include <string>
#include <vector>

namespace golden {

template <class Function>
Result pointwise(const Case& c, const Function& function) {
  const std::vector<float> x = c.array("x").floats(), dy = c.array("cot_y").floats();
  std::vector<float> y(x.size()), dx(x.size());
  spiq::kernel::pointwise(function, x.data(), y.data(), x.size());
  spiq::kernel::activate_backward(function, x.data(), dy.data(), dx.data(), x.size());
  return c.compare("y", y).merge(c.compare("grad_x", dx));
}

/// True, and the result, where `op` is one of these functions.
inline bool run_nonlinear(const Case& c, const std::string& op, Result& result) {
  using Rung = spiq::accuracy::full;
  if (op == "sigmoid") return result = pointwise(c, spiq::kernel::Logistic<Rung>{}), true;
  if (op == "silu") return result = pointwise(c, spiq::kernel::Silu<Rung>{}), true;
  if (op == "tanh") return result = pointwise(c, spiq::kernel::Tanh<Rung>{}), true;
  if (op == "gelu") return result = pointwise(c, spiq::kernel::GeluErf<Rung>{}), true;
  if (op == "gelu_tanh") return result = pointwise(c, spiq::kernel::GeluTanh<Rung>{}), true;
  if (op == "hardsigmoid") return result = pointwise(c, spiq::kernel::HardSigmoid{}), true;
  return false;
}

}  // namespace golden
