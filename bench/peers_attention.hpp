// Attention and layer normalisation: problems with their results in double, and the rows of other libraries.
#pragma once

#include "harness.hpp"
#include "reference.hpp"

#include <cmath>
#include <cstddef>
#include <memory>
#include <span>

namespace bench {

/// q, k and v as [heads][tokens][dim], uniform in [-2, 2), with the scale 1 / sqrt(dim).
struct AttentionProblem {
  AttentionProblem(std::size_t tokens_, std::size_t heads_, std::size_t dim_)
      : tokens(tokens_),
        heads(heads_),
        dim(dim_),
        q(random_floats(heads_ * tokens_ * dim_, 21)),
        k(random_floats(heads_ * tokens_ * dim_, 22)),
        v(random_floats(heads_ * tokens_ * dim_, 23)) {
    for (Floats* a : {&q, &k, &v})
      for (float& x : *a) x *= 2;
  }
  std::size_t tokens, heads, dim;
  Floats q, k, v;

  [[nodiscard]] float scale() const { return static_cast<float>(1 / std::sqrt(static_cast<double>(dim))); }
  [[nodiscard]] double flops() const { return 4.0 * static_cast<double>(tokens * tokens * heads * dim); }
  /// Of the output [heads][tokens][dim] to the three steps in double, relative to the largest output.
  double error(std::span<const float> found);

private:
  Doubles out_;
};

/// `onednn` and `onednn_bf16` (batched product, softmax, batched product) and `eigen` (the same per head).
void add_attention_peers(Suite& suite, const Row& base, const std::shared_ptr<AttentionProblem>& problem);

/// x is [rows][columns], y = (x - mean) / sqrt(variance + 1e-5) * gamma + beta for every row.
struct LayerNormProblem {
  LayerNormProblem(std::size_t rows_, std::size_t columns_)
      : rows(rows_),
        columns(columns_),
        x(random_floats(rows_ * columns_, 31)),
        gamma(random_floats(columns_, 32)),
        beta(random_floats(columns_, 33)) {}
  std::size_t rows, columns;
  Floats x, gamma, beta;

  double error(std::span<const float> found);

private:
  Doubles y_;
};

/// `onednn`.
void add_layer_norm_peers(Suite& suite, const Row& base, const std::shared_ptr<LayerNormProblem>& problem);

}  // namespace bench
