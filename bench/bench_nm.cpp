// N:M sparse weights times dense activations, packed into panels beforehand (`..._packing`: inside the timed call),
// beside OpenBLAS on the matrix with its zeros. Operations are those of the weights that are kept, a peer's those of
// all.
#include "harness.hpp"

#include <spiq/core/random.hpp>
#include <spiq/sparse/nm_product.hpp>

#if defined(SPIQ_BENCH_OPENBLAS)
#include <cblas.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace {

struct Shape {
  std::size_t outputs, inputs, columns;
};

// Whole numbers: sums are exact.
template <int N, int M, int R>
struct Problem {
  explicit Problem(const Shape& s) : shape(s) {
    spiq::Rng rng(5);
    const auto draw = [&](std::size_t n) {
      std::vector<float> v(n);
      for (float& value : v) value = static_cast<float>(static_cast<int>(rng.below(17)) - 8);
      return v;
    };
    w = draw(s.outputs * s.inputs);
    spiq::NM<N, M, R>::prune(s.outputs, s.inputs, w);
    x = draw(s.inputs * s.columns);
    y.resize(s.outputs * s.columns);
  }
  // Of every 31st output and 7th column.
  [[nodiscard]] double error() const {
    double worst = 0;
    for (std::size_t n = 0; n < shape.outputs; n += 31)
      for (std::size_t b = 0; b < shape.columns; b += 7) {
        double sum = 0;
        for (std::size_t k = 0; k < shape.inputs; ++k)
          sum += static_cast<double>(w[n * shape.inputs + k]) * static_cast<double>(x[k * shape.columns + b]);
        worst = std::max(worst, std::abs(sum - static_cast<double>(y[n * shape.columns + b])));
      }
    return worst;
  }
  Shape shape;
  std::vector<float> w, x, y;
};

template <int N, int M, int R>
bench::Case ours(const Shape& s, bool packing) {
  auto p = std::make_shared<Problem<N, M, R>>(s);
  auto product = std::make_shared<spiq::NmProduct<N, M, R>>(spiq::NM<N, M, R>::pack(s.outputs, s.inputs, p->w));
  auto panels = std::make_shared<spiq::AlignedVector<float>>(product->panel_size(s.columns));
  product->pack(p->x.data(), s.columns, s.columns, panels->data());
  return {.run =
              [=] {
                if (packing) product->pack(p->x.data(), s.columns, s.columns, panels->data());
                product->run(panels->data(), s.columns, p->y.data(), s.columns);
              },
          .error = [=] { return p->error(); }};
}

template <int N, int M>
void add(bench::Suite& suite, const Shape& s) {
  bench::Row base{.kernel = "nm",
                  .shape = std::to_string(N) + ":" + std::to_string(M) + "-N" + std::to_string(s.outputs) + "K" +
                           std::to_string(s.inputs) + "B" + std::to_string(s.columns)};
  const double all = 2.0 * static_cast<double>(s.outputs * s.inputs * s.columns);
  const auto row = [&](const char* name, double flops, auto prepare) {
    bench::Row r = base;
    r.implementation = name;
    r.flops = flops;
    r.exact = true;
    r.prepare = prepare;
    suite.add(std::move(r));
  };
  row("spiq_row", all * N / M, [=] { return ours<N, M, 1>(s, false); });
  row("spiq_row_packing", all * N / M, [=] { return ours<N, M, 1>(s, true); });
  row("spiq_shared8", all * N / M, [=] { return ours<N, M, 8>(s, false); });
  row("spiq_shared8_packing", all * N / M, [=] { return ours<N, M, 8>(s, true); });
#if defined(SPIQ_BENCH_OPENBLAS)
  row("openblas", all, [=] {
    openblas_set_num_threads(1);
    auto p = std::make_shared<Problem<N, M, 1>>(s);
    return bench::Case{.run =
                           [=] {
                             const auto n = static_cast<blasint>(s.outputs), k = static_cast<blasint>(s.inputs),
                                        b = static_cast<blasint>(s.columns);
                             cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, b, k, 1.0f, p->w.data(), k,
                                         p->x.data(), b, 0.0f, p->y.data(), b);
                           },
                       .error = [=] { return p->error(); }};
  });
#endif
}

SPIQ_BENCH(nm) {
  for (const Shape s : {Shape{256, 2304, 1024}, Shape{256, 2304, 768}}) {
    add<2, 4>(suite, s);
    add<2, 8>(suite, s);
    add<1, 8>(suite, s);
    add<1, 16>(suite, s);
  }
}

}  // namespace
