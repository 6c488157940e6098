// Attention of one image of a vision transformer: 197 tokens, 12 heads of 64, one thread, against the three steps
// (product, softmax, product) of oneDNN and Eigen.
//
// Bound: the multiply-adds of the two products, 4 tokens^2 dim heads operations at the peak of floats, or of pairs of
// bf16. 197 queries fill 13 vectors to 95 %; one exponential per score and the transposition of queries and outputs
// come on top.
#include "harness.hpp"
#include "ours.hpp"
#include "peers_attention.hpp"

#include <spiq/kernel/attention.hpp>
#include <spiq/kernel/convert_half.hpp>

#include <memory>
#include <string>
#include <type_traits>
#include <vector>

namespace {

namespace accuracy = spiq::accuracy;
using spiq::bfloat16;

template <class T>
spiq::AlignedVector<T> as(const bench::Floats& from) {
  spiq::AlignedVector<T> to(from.size());
  if constexpr (std::is_same_v<T, float>)
    to = from;
  else
    spiq::kernel::narrow(from.data(), to.data(), from.size());
  return to;
}

/// [heads][tokens][dim] to [tokens][heads][dim], or back with the extents exchanged.
bench::Floats exchanged(const bench::Floats& from, std::size_t first, std::size_t second, std::size_t dim) {
  bench::Floats to(from.size());
  for (std::size_t i = 0; i < first; ++i)
    for (std::size_t j = 0; j < second; ++j)
      for (std::size_t d = 0; d < dim; ++d) to[(j * first + i) * dim + d] = from[(i * second + j) * dim + d];
  return to;
}

template <class Rung, class Arch, class T>
bench::Case attention(const std::shared_ptr<bench::AttentionProblem>& p, bool tokens_first) {
  struct Work {
    spiq::math::AttentionOptions options;
    spiq::AlignedVector<T> q, k, v, out;
    bench::Floats workspace;
  };
  auto w = std::make_shared<Work>();
  w->options = {.queries = p->tokens, .keys = p->tokens, .heads = p->heads, .dim = p->dim};
  if (tokens_first) w->options.layout = spiq::math::AttentionLayout::tokens_heads_dim;
  const auto laid = [&](const bench::Floats& a) {
    return as<T>(tokens_first ? exchanged(a, p->heads, p->tokens, p->dim) : a);
  };
  w->q = laid(p->q);
  w->k = laid(p->k);
  w->v = laid(p->v);
  w->out.resize(w->q.size());
  w->workspace.resize(spiq::math::attention_workspace<T, Arch>(w->options));
  return {.run = [=] { spiq::math::attention<Rung, Arch>(w->q, w->k, w->v, w->out, w->options, w->workspace); },
          .error =
              [=] {
                bench::Floats found(w->out.size());
                for (std::size_t i = 0; i < found.size(); ++i) found[i] = static_cast<float>(w->out[i]);
                return p->error(tokens_first ? exchanged(found, p->tokens, p->heads, p->dim) : found);
              }};
}

template <class Rung, class T, class Arch = spiq::simd::best>
void add(bench::Suite& suite, bench::Row base, const std::shared_ptr<bench::AttentionProblem>& p,
         bool tokens_first = false) {
  base.implementation = std::string("spiq_") + (std::is_same_v<T, float> ? "" : "bf16_") + Rung::name +
                        (tokens_first ? "_tokens" : "") + bench::arch_suffix<Arch>();
  if (!std::is_same_v<T, float>) base.peak = bench::Peak::bf16;
  base.prepare = [=] { return attention<Rung, Arch, T>(p, tokens_first); };
  suite.add(std::move(base));
}

template <class... Arch>
void add_others(bench::Suite& suite, const bench::Row& base, const std::shared_ptr<bench::AttentionProblem>& p,
                spiq::simd::arch_list<Arch...>) {
  const auto one = [&]<class A>(A) {
    if constexpr (!std::is_same_v<A, spiq::simd::best>) add<accuracy::ladder3, float, A>(suite, base, p);
  };
  (one(Arch{}), ...);
}

}  // namespace

SPIQ_BENCH(attention) {
  const auto p = std::make_shared<bench::AttentionProblem>(197, 12, 64);
  bench::Row base;
  base.kernel = "attention";
  base.shape = "197x12x64";
  base.flops = p->flops();
  base.bytes = 16.0 * static_cast<double>(p->q.size());
  add<accuracy::ladder3, float>(suite, base, p);
  add<accuracy::quake, float>(suite, base, p);
  add<accuracy::full, float>(suite, base, p);
  add<accuracy::ladder3, float>(suite, base, p, true);
  add<accuracy::ladder3, bfloat16>(suite, base, p);
  add<accuracy::quake, bfloat16>(suite, base, p);
  add<accuracy::ladder3, bfloat16>(suite, base, p, true);
  add_others(suite, base, p, spiq::simd::compiled{});
  bench::add_attention_peers(suite, base, p);
}
