// Softmax of rows in every rung that matters, against the same rows by Eigen, xsimd, oneDNN and XNNPACK.
//
// Bound: rows of 1024 take a load for the maximum, a load, the exponential and a store, and again a load and a store:
// two stores a vector at the least (as a copy of twice the bytes), and the exponential's own instructions between.
// Rows of up to 256 columns are held in registers: one load and one store, the rest is bound by the float units.
#include "harness.hpp"
#include "ours.hpp"
#include "peers_exp.hpp"

#include <spiq/kernel/softmax.hpp>

#include <memory>
#include <string>

namespace {

namespace accuracy = spiq::accuracy;
using bench::Floats;

bench::Row base(std::size_t rows, std::size_t cols) {
  const double items = static_cast<double>(rows * cols);
  return {.kernel = "softmax",
          .shape = std::to_string(rows) + "x" + std::to_string(cols),
          .bytes = 8 * items,
          .traffic = bench::Traffic::copy,
          .items = items,
          .item = "elem"};
}

template <class Rung, class Arch = spiq::simd::best>
void add_rung(bench::Suite& suite, std::size_t rows, std::size_t cols) {
  bench::Row row = base(rows, cols);
  row.implementation = bench::our_name<Rung, Arch>();
  row.prepare = [=] {
    auto p = bench::softmax_problem(rows, cols);
    auto y = std::make_shared<Floats>(rows * cols);
    return bench::Case{
        .run = [=] { spiq::kernel::softmax<Rung, Arch>(p->x.data(), y->data(), {.rows = rows, .cols = cols}); },
        .error = [=] { return p->error(*y); }};
  };
  suite.add(std::move(row));
}

template <class... Arch>
void add_on_all(bench::Suite& suite, std::size_t rows, std::size_t cols, spiq::simd::arch_list<Arch...>) {
  (add_rung<accuracy::quake, Arch>(suite, rows, cols), ...);
  (add_rung<accuracy::ladder3, Arch>(suite, rows, cols), ...);
}

}  // namespace

SPIQ_BENCH(softmax) {
  const auto shape = [&](std::size_t rows, std::size_t cols) {
    add_rung<accuracy::quake>(suite, rows, cols);
    add_rung<accuracy::quake2>(suite, rows, cols);
    add_rung<accuracy::ladder3>(suite, rows, cols);
    add_rung<accuracy::full>(suite, rows, cols);
    bench::add_softmax_peers(suite, base(rows, cols), rows, cols);
  };
  // In the first cache, on every back-end.
  add_on_all(suite, 1, 1024, spiq::simd::compiled{});
  add_rung<accuracy::quake2>(suite, 1, 1024);
  add_rung<accuracy::full>(suite, 1, 1024);
  bench::add_softmax_peers(suite, base(1, 1024), 1, 1024);
  shape(1024, 1024);  // in the third cache
  shape(16, 197);     // a vision transformer's rows, 13 vectors with a tail, and without
  shape(16, 208);
  shape(197, 197);
  shape(32, 50257);   // a language model's vocabulary
  shape(2, 1 << 22);  // rows out of memory
  shape(8, 512);
  shape(64, 8000);
  shape(1024, 10);
  shape(256, 64);
}
