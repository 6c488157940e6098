// Rows of other libraries for the same work: OpenBLAS, oneDNN, Eigen, each left out with a message when absent.
// All on one thread, with the layouts that they like best (reordering is not timed).
//
// `base` carries kernel, shape, flops and bytes of the group; its implementation and work are filled in here.
#pragma once

#include "harness.hpp"
#include "reference.hpp"

namespace bench {

/// Which product of a convolution: forward, gradient to the input, gradient to the weights.
enum class Pass { forward, data, weights };

/// `eigen_im2col` (columns built inside the timed call, then one matrix product per sample; channel-wise array products
/// for depthwise convolutions), `onednn` (its own choice, direct), and `onednn_winograd` where it exists.
void add_conv_peers(Suite& suite, const Row& base, const spiq::kernel::ConvGeometry& g, std::size_t samples, Pass pass);

/// `openblas`, `onednn`, `eigen`: c = a * b of row-major matrices, see GemmProblem.
void add_gemm_peers(Suite& suite, const Row& base, std::size_t m, std::size_t n, std::size_t k);

/// `openblas`, `eigen`: y = w * x with w row-major, outputs x inputs. The problem is gemm_problem(outputs, 1, inputs).
void add_gemv_peers(Suite& suite, const Row& base, std::size_t outputs, std::size_t inputs);

}  // namespace bench
