// Matrix products and matrix-vector products, row-major, one thread.
#include "harness.hpp"
#include "peers.hpp"
#include "reference.hpp"

#include <spiq/kernel/gemm.hpp>
#include <spiq/kernel/gemv.hpp>

#include <memory>
#include <string>

namespace {
using bench::Case;
using bench::Floats;
}  // namespace

SPIQ_BENCH(gemm) {
  for (const std::size_t size : {std::size_t{128}, std::size_t{512}, std::size_t{1024}}) {
    bench::Row row;
    row.kernel = "gemm_f32";
    row.implementation = "spiq";
    row.shape = std::to_string(size);
    const auto n = static_cast<double>(size);
    row.flops = 2.0 * n * n * n;
    row.bytes = 12.0 * n * n;
    const bench::Row base = row;
    row.prepare = [size] {
      auto problem = bench::gemm_problem(size, size, size);
      auto c = std::make_shared<Floats>(size * size);
      auto workspace = std::make_shared<spiq::kernel::GemmWorkspace<>>();
      const int edge = static_cast<int>(size);
      return Case{.run =
                      [=] {
                        spiq::kernel::gemm<>({edge, edge, edge}, problem->a.data(), size, false, problem->b.data(),
                                             size, false, c->data(), size, false, *workspace);
                      },
                  .error = [=] { return problem->error(*c); }};
    };
    suite.add(std::move(row));
    bench::add_gemm_peers(suite, base, size, size, size);
  }
}

SPIQ_BENCH(gemv) {
  for (const std::size_t size : {std::size_t{512}, std::size_t{4096}}) {
    bench::Row row;
    row.kernel = "gemv_f32";
    row.implementation = "spiq";
    row.shape = std::to_string(size);
    const auto n = static_cast<double>(size);
    row.flops = 2.0 * n * n;
    row.bytes = 4.0 * n * n;
    const bench::Row base = row;
    row.prepare = [size] {
      auto problem = bench::gemm_problem(size, 1, size);
      auto y = std::make_shared<Floats>(size);
      return Case{
          .run =
              [=] { spiq::kernel::gemv<>(size, size, problem->a.data(), size, false, problem->b.data(), y->data()); },
          .error = [=] { return problem->error(*y); }};
    };
    suite.add(std::move(row));
    bench::add_gemv_peers(suite, base, size, size);
  }
}
