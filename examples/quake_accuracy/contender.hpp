// One way to compute exponentials, free of its type: alone over arrays, and inside a lowered network.
#pragma once

#include <spiq/core/tensor.hpp>
#include <spiq/nn/state.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

// The vision transformer, lowered to target::Float, with its exponentials in one rung.
class Model {
public:
  Model() = default;
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  virtual ~Model() = default;
  // Predictions for images [N, C, H, W].
  [[nodiscard]] virtual std::vector<int> predict(const spiq::Tensor<float>& images, int threads) const = 0;
  // Runs the first images on the calling thread, at most `batch` at a time; for the clock.
  virtual void run(const spiq::Tensor<float>& images, std::size_t count) = 0;
  static constexpr std::size_t batch = 64;
};

struct Contender {
  std::string name;
  double bound = 0;  // documented largest relative error
  void (*exp)(const float* x, float* y, std::size_t n) = nullptr;
  std::unique_ptr<Model> (*lower)(const spiq::NamedArrays& weights) = nullptr;
};

// Defined in contender_of.hpp; the units beside it instantiate it for every rung, a few each.
template <class Rung>
Contender contender();
