// Rows of other libraries for functions made of exponentials: softmax and elementwise maps, by oneDNN, XNNPACK, Eigen and
// xsimd. All on one thread. `base` carries kernel, shape and bytes; implementation and work are filled in here.
//
// To add a function: a value of `Map` with its formula in `exact`, and a line in `onednn_map` / `xnnpack_map`
// (peers_exp.cpp) for each library that has it.
#pragma once

#include "harness.hpp"
#include "reference.hpp"

namespace bench {

/// Softmax of rows; the scores are of standard deviation 2.3 about 0. The error is the largest relative one.
struct SoftmaxProblem {
  SoftmaxProblem(std::size_t rows_, std::size_t cols_) : rows(rows_), cols(cols_), x(random_floats(rows * cols, 11)) {
    for (float& v : x) v *= 4;
  }
  [[nodiscard]] double error(std::span<const float> found);

  std::size_t rows, cols;
  Floats x;

private:
  Doubles y_;
};
/// The problem of this shape; rows that ask while another row still holds it share it.
std::shared_ptr<SoftmaxProblem> softmax_problem(std::size_t rows, std::size_t cols);

/// `eigen`, `xsimd` (three passes over each row, four sums at once), `onednn`, `xnnpack`.
void add_softmax_peers(Suite& suite, const Row& base, std::size_t rows, std::size_t cols);

/// Elementwise functions that a library has as one call.
enum class Map { exp, logistic, tanh, gelu_tanh, gelu_erf, silu, elu, mish };
/// The function in double.
double exact(Map map, double x);

/// `onednn`, `xnnpack` where they have it: y = map(x) of the `n` values of `x`; the error is the largest absolute one.
void add_map_peers(Suite& suite, const Row& base, Map map, std::shared_ptr<const Floats> x);

}  // namespace bench
