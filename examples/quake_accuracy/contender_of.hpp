// How a rung becomes a Contender; for the units that instantiate it.
#pragma once

#include "baselines.hpp"
#include "contender.hpp"
#include "vit.hpp"

#include <spiq/kernel/exp.hpp>
#include <spiq/lower/lower.hpp>
#include <spiq/report/evaluate.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

template <class Rung>
auto lowered(const spiq::NamedArrays& weights) {
  Vit<Rung> net{spiq::Rng{1}};
  spiq::import_state(net, weights);
  return spiq::lower(net, spiq::target::Float{});
}

template <class Rung>
class LoweredModel final : public Model {
public:
  explicit LoweredModel(const spiq::NamedArrays& weights)
      : network_(lowered<Rung>(weights)), session_(network_.session(static_cast<int>(batch), {.threads = 1})) {}
  [[nodiscard]] std::vector<int> predict(const spiq::Tensor<float>& images, int threads) const override {
    return spiq::report::evaluate(network_, images, {.threads = threads}).predictions;
  }
  void run(const spiq::Tensor<float>& images, std::size_t count) override {
    const std::size_t stride = images.size() / images.extent(0);
    for (std::size_t i = 0; i < count; i += batch)
      session_.run(images.data() + i * stride, std::min(batch, count - i), stride);
  }

private:
  decltype(lowered<Rung>(std::declval<const spiq::NamedArrays&>())) network_;
  decltype(network_.session()) session_;
};

template <class Rung>
Contender contender() {
  Contender c;
  c.name = Rung::name;
  c.bound = spiq::accuracy::max_error<Rung>;
  c.exp = [](const float* x, float* y, std::size_t n) {
    if constexpr (std::same_as<Rung, StdExp>) {
      for (std::size_t i = 0; i < n; ++i) y[i] = std::exp(x[i]);
    } else {
      spiq::kernel::exp<Rung>(x, y, n);
    }
  };
  c.lower = [](const spiq::NamedArrays& weights) -> std::unique_ptr<Model> {
    return std::make_unique<LoweredModel<Rung>>(weights);
  };
  return c;
}
