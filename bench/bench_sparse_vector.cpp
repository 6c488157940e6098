// Sparse weights times sparse vectors, beside OpenBLAS on both with their zeros. Bytes are those of the weights that
// both masks leave, with the masks.
#include "harness.hpp"

#include <spiq/core/random.hpp>
#include <spiq/sparse/sparse_vector.hpp>

#if defined(SPIQ_BENCH_OPENBLAS)
#include <cblas.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace {

// Whole numbers: sums are exact.
struct Problem {
  Problem(std::size_t outputs, std::size_t inputs, double weights, double activations) : y(outputs) {
    spiq::Rng rng(9);
    const auto draw = [&](std::size_t n, double density) {
      std::vector<float> v(n);
      for (float& value : v)
        if (rng.uniform() < static_cast<float>(density)) value = static_cast<float>(1 + rng.below(8));
      return v;
    };
    w = draw(outputs * inputs, weights);
    x = draw(inputs, activations);
  }
  [[nodiscard]] double error() const {
    double worst = 0;
    for (std::size_t n = 0; n < y.size(); n += 17) {
      double sum = 0;
      for (std::size_t k = 0; k < x.size(); ++k)
        sum += static_cast<double>(w[n * x.size() + k]) * static_cast<double>(x[k]);
      worst = std::max(worst, std::abs(sum - static_cast<double>(y[n])));
    }
    return worst;
  }
  std::vector<float> w, x, y;
};

void add(bench::Suite& suite, std::size_t outputs, std::size_t inputs, double weights, double activations) {
  char shape[64];
  if (outputs == inputs)
    std::snprintf(shape, sizeof shape, "%zu-w%.1f-a%.1f", outputs, weights, activations);
  else
    std::snprintf(shape, sizeof shape, "%zux%zu-w%.1f-a%.1f", outputs, inputs, weights, activations);
  bench::Row base{.kernel = "spmspv", .shape = shape};
  const double all = static_cast<double>(outputs * inputs);
  base.exact = true;
  base.implementation = "spiq";
  base.bytes = all * activations * (4 * weights + 1.0 / 8);
  base.prepare = [=] {
    auto p = std::make_shared<Problem>(outputs, inputs, weights, activations);
    auto product = std::make_shared<spiq::SparseVectorProduct<>>(spiq::BitmaskWeights::pack(outputs, inputs, p->w));
    auto scratch = std::make_shared<spiq::SparseVectorProduct<>::Scratch>(product->scratch());
    return bench::Case{.run = [=] { product->run(p->x, p->y, *scratch); }, .error = [=] { return p->error(); }};
  };
  suite.add(base);
#if defined(SPIQ_BENCH_OPENBLAS)
  base.implementation = "sgemv";
  base.bytes = all * 4;
  base.prepare = [=] {
    openblas_set_num_threads(1);
    auto p = std::make_shared<Problem>(outputs, inputs, weights, activations);
    return bench::Case{.run =
                           [=] {
                             const auto n = static_cast<blasint>(outputs), k = static_cast<blasint>(inputs);
                             cblas_sgemv(CblasRowMajor, CblasNoTrans, n, k, 1.0f, p->w.data(), k, p->x.data(), 1, 0.0f,
                                         p->y.data(), 1);
                           },
                       .error = [=] { return p->error(); }};
  };
  suite.add(base);
#endif
}

SPIQ_BENCH(sparse_vector) {
  add(suite, 4096, 4096, 0.5, 0.5);
  add(suite, 4096, 11008, 0.5, 0.5);
  add(suite, 1024, 1024, 0.5, 0.5);
  add(suite, 4096, 4096, 0.2, 0.5);
}

}  // namespace
