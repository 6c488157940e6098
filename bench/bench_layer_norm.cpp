// Layer normalisation of one image of a vision transformer: 197 rows of 768, in 1.2 MB with the output.
//
// Bound: a read and a write of the array (the copy of the same bytes, measured).
#include "harness.hpp"
#include "ours.hpp"
#include "peers_attention.hpp"

#include <spiq/kernel/layer_norm.hpp>

#include <memory>
#include <string>

namespace {

template <class Arch>
void add(bench::Suite& suite, bench::Row base, const std::shared_ptr<bench::LayerNormProblem>& p) {
  base.implementation = std::string("spiq") + bench::arch_suffix<Arch>();
  base.prepare = [=] {
    auto y = std::make_shared<bench::Floats>(p->x.size());
    return bench::Case{
        .run =
            [=] { spiq::math::layer_norm<Arch>(p->x, p->gamma, p->beta, *y, {.rows = p->rows, .cols = p->columns}); },
        .error = [=] { return p->error(*y); }};
  };
  suite.add(std::move(base));
}

template <class... Arch>
void add_all(bench::Suite& suite, const bench::Row& base, const std::shared_ptr<bench::LayerNormProblem>& p,
             spiq::simd::arch_list<Arch...>) {
  (add<Arch>(suite, base, p), ...);
}

}  // namespace

SPIQ_BENCH(layer_norm) {
  const auto p = std::make_shared<bench::LayerNormProblem>(197, 768);
  bench::Row base;
  base.kernel = "layernorm";
  base.shape = "197x768";
  base.bytes = 8.0 * static_cast<double>(p->x.size());
  base.traffic = bench::Traffic::copy;
  base.items = static_cast<double>(p->x.size());
  base.item = "elem";
  add_all(suite, base, p, spiq::simd::compiled{});
  bench::add_layer_norm_peers(suite, base, p);
}
