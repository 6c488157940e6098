// Attention and its gradients against the plain three steps in double: shapes, layouts, masks, rungs, storage types.
#include "backends.hpp"
#include "catch.hpp"
#include "guarded.hpp"

#include <spiq/core/random.hpp>
#include <spiq/kernel/convert_half.hpp>
#include <spiq/kernel/attention_backward.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace accuracy = spiq::accuracy;
namespace kernel = spiq::kernel;
namespace math = spiq::math;
namespace simd = spiq::simd;
using math::AttentionLayout;
using math::AttentionOptions;
using spiq::bfloat16;

namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;
constexpr float inf = std::numeric_limits<float>::infinity();

Floats random(std::size_t n, std::uint64_t seed, float range = 1) {
  spiq::Rng rng(seed);
  Floats x(n);
  for (float& v : x) v = rng.uniform(-range, range);
  return x;
}

/// The three steps in double. `reach` is the sum of p |v| for each output, to which relative errors of p refer.
struct Reference {
  Doubles out, reach, lse, dq, dk, dv;

  Reference(const AttentionOptions& o, const Floats& q, const Floats& k, const Floats& v, const Floats& dout = {}) {
    const auto s = o.shape();
    out.assign(q.size(), 0.0);
    reach.assign(q.size(), 0.0);
    lse.assign(s.heads * s.queries, std::numeric_limits<double>::infinity());
    dq.assign(q.size(), 0.0);
    dk.assign(k.size(), 0.0);
    dv.assign(v.size(), 0.0);
    Doubles p(s.keys), dp(s.keys);
    for (std::size_t h = 0; h < s.heads; ++h)
      for (std::size_t i = 0; i < s.queries; ++i) {
        const auto at = [h](const spiq::kernel::HeadStrides& st, std::size_t t) { return t * st.token + h * st.head; };
        double top = -HUGE_VAL, sum = 0;
        for (std::size_t j = 0; j < s.keys; ++j) {
          p[j] = 0;
          for (std::size_t d = 0; d < s.dim; ++d) p[j] += double{q[at(s.q, i) + d]} * double{k[at(s.k, j) + d]};
          p[j] *= double{s.scale};
          if (s.mask != nullptr) p[j] += double{s.mask[i * s.keys + j]};
          if (s.causal && j > i + s.past) p[j] = -HUGE_VAL;
          top = std::max(top, p[j]);
        }
        if (top == -HUGE_VAL) continue;
        for (double& x : p) sum += x = std::exp(x - top);
        for (double& x : p) x /= sum;
        lse[h * s.queries + i] = top + std::log(sum);
        for (std::size_t j = 0; j < s.keys; ++j)
          for (std::size_t d = 0; d < s.dim; ++d) {
            out[at(s.out, i) + d] += p[j] * double{v[at(s.v, j) + d]};
            reach[at(s.out, i) + d] += p[j] * std::abs(double{v[at(s.v, j) + d]});
          }
        if (dout.empty()) continue;
        double mean = 0;
        for (std::size_t j = 0; j < s.keys; ++j) {
          dp[j] = 0;
          for (std::size_t d = 0; d < s.dim; ++d) {
            dp[j] += double{dout[at(s.out, i) + d]} * double{v[at(s.v, j) + d]};
            dv[at(s.v, j) + d] += p[j] * double{dout[at(s.out, i) + d]};
          }
          mean += p[j] * dp[j];
        }
        for (std::size_t j = 0; j < s.keys; ++j) {
          const double ds = p[j] * (dp[j] - mean) * double{s.scale};
          for (std::size_t d = 0; d < s.dim; ++d) {
            dq[at(s.q, i) + d] += ds * double{k[at(s.k, j) + d]};
            dk[at(s.k, j) + d] += ds * double{q[at(s.q, i) + d]};
          }
        }
      }
  }
};

/// Probabilities of a rung: relative error of a ratio of exponentials.
template <class Rung>
double ratio_error() {
  return (1 + Rung::upper) / (1 + Rung::lower) - 1;
}

/// Largest excess over the allowed difference; NaN counts as infinite.
template <class T>
double excess(const std::vector<T>& found, const Doubles& expected, const Doubles& reach, double relative,
              double absolute) {
  double worst = -HUGE_VAL;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double difference = std::abs(static_cast<double>(static_cast<float>(found[i])) - expected[i]);
    worst = std::max(worst, difference <= HUGE_VAL ? difference - relative * reach[i] - absolute : HUGE_VAL);
  }
  return worst;
}
double difference(const Floats& found, const Doubles& expected) {
  return excess(found, expected, Doubles(found.size()), 0, 0);
}

struct Inputs {
  Floats q, k, v;
  explicit Inputs(const AttentionOptions& o, float range = 1.5f)
      : q(random(o.queries * o.heads * o.dim, 1, range)),
        k(random(o.keys * o.heads * o.dim, 2, range)),
        v(random(o.keys * o.heads * o.dim, 3, range)) {}
};

template <class Rung, class Arch>
Floats run(const Inputs& x, const AttentionOptions& o) {
  Floats out(x.q.size(), 9.0f);
  math::attention<Rung, Arch>(x.q, x.k, x.v, out, o);
  return out;
}

const std::vector<AttentionOptions>& shapes() {
  static const std::vector<AttentionOptions> list{
      {.queries = 1, .keys = 1, .heads = 1, .dim = 1},    {.queries = 3, .keys = 5, .heads = 2, .dim = 4},
      {.queries = 17, .keys = 9, .heads = 3, .dim = 5},   {.queries = 33, .keys = 130, .heads = 1, .dim = 16},
      {.queries = 50, .keys = 31, .heads = 2, .dim = 33}, {.queries = 2, .keys = 300, .heads = 1, .dim = 8},
      {.queries = 49, .keys = 49, .heads = 1, .dim = 7},
  };
  return list;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("attention equals the three steps within the bound of the rung", "[attention]",
                        spiq_test::Backends) {
  for (AttentionOptions o : shapes())
    for (const auto layout : {AttentionLayout::heads_tokens_dim, AttentionLayout::tokens_heads_dim})
      for (const bool causal : {false, true}) {
        o.layout = layout;
        o.causal = causal;
        o.past = causal && o.queries % 2 == 0 ? 3 : 0;
        const Inputs x(o);
        const Reference expected(o, x.q, x.k, x.v);
        const auto check = [&](auto rung) {
          using Rung = decltype(rung);
          INFO(Rung::name << " " << TestType::name << ": " << o.queries << " queries, " << o.keys << " keys, dim "
                          << o.dim << ", causal " << causal);
          CHECK(excess(run<Rung, TestType>(x, o), expected.out, expected.reach, ratio_error<Rung>(), 3e-6) <= 0);
        };
        check(accuracy::full{});
        check(accuracy::ladder3{});
        check(accuracy::quake{});
      }
}

TEMPLATE_LIST_TEST_CASE("attention adds its mask, and rows that see nothing are zero", "[attention]",
                        spiq_test::Backends) {
  for (AttentionOptions o : shapes()) {
    Floats mask = random(o.queries * o.keys, 4, 3);
    for (std::size_t i = 0; i < mask.size(); i += 3) mask[i] = -inf;
    for (std::size_t j = 0; j < o.keys; ++j) mask[o.queries / 2 * o.keys + j] = -inf;
    o.mask = mask;
    o.scale = 0.7f;
    const Inputs x(o);
    const Reference expected(o, x.q, x.k, x.v);
    const Floats found = run<accuracy::full, TestType>(x, o);
    CHECK(excess(found, expected.out, expected.reach, 1e-6, 5e-6) <= 0);
    for (std::size_t h = 0; h < o.heads; ++h)
      for (std::size_t d = 0; d < o.dim; ++d) CHECK(found[(h * o.queries + o.queries / 2) * o.dim + d] == 0.0f);
    CHECK(excess(run<accuracy::quake2, TestType>(x, o), expected.out, expected.reach, ratio_error<accuracy::quake2>(),
                 5e-6) <= 0);
    o.causal = true;
    const Reference both(o, x.q, x.k, x.v);
    CHECK(excess(run<accuracy::full, TestType>(x, o), both.out, both.reach, 1e-6, 5e-6) <= 0);
  }
}

TEMPLATE_LIST_TEST_CASE("attention rescales when later keys have larger scores", "[attention]", spiq_test::Backends) {
  AttentionOptions o{.queries = 20, .keys = 700, .heads = 1, .dim = 3, .scale = 1.0f};
  Inputs x(o);
  // Scores climb from about -600 to 600, so that every block replaces what was there.
  for (std::size_t j = 0; j < o.keys; ++j) x.k[j * 3] = 400.0f * (static_cast<float>(j) / 350.0f - 1.0f);
  for (std::size_t i = 0; i < o.queries; ++i) x.q[i * 3] = i % 2 == 0 ? 1.5f : -1.5f;
  const Reference expected(o, x.q, x.k, x.v);
  CHECK(excess(run<accuracy::full, TestType>(x, o), expected.out, expected.reach, 2e-4, 1e-5) <= 0);
  CHECK(excess(run<accuracy::quake, TestType>(x, o), expected.out, expected.reach,
               ratio_error<accuracy::quake>() + 2e-4, 1e-5) <= 0);
}

TEMPLATE_LIST_TEST_CASE("attention without keys, queries, heads or dimensions", "[attention]", spiq_test::Backends) {
  for (const AttentionOptions& o : {AttentionOptions{.queries = 3, .keys = 0, .heads = 2, .dim = 4},
                                    AttentionOptions{.queries = 0, .keys = 3, .heads = 1, .dim = 4},
                                    AttentionOptions{.queries = 3, .keys = 3, .heads = 0, .dim = 4},
                                    AttentionOptions{.queries = 3, .keys = 3, .heads = 2, .dim = 0}}) {
    const Floats out = run<accuracy::ladder3, TestType>(Inputs(o), o);
    CHECK(out == Floats(out.size(), 0.0f));
  }
}

TEMPLATE_LIST_TEST_CASE("NaN and infinite scores stay in their row of attention", "[attention]", spiq_test::Backends) {
  const AttentionOptions o{.queries = 19, .keys = 21, .heads = 1, .dim = 6};
  Inputs x(o);
  x.k[7 * o.dim + 2] = 2.0f;
  const auto check = [&](auto rung, float value, bool hands_on) {
    using Rung = decltype(rung);
    Inputs y = x;
    y.q[5 * o.dim + 2] = value;
    Floats clean(x.q.size()), found(x.q.size()), clean_lse(o.queries), lse(o.queries);
    math::attention<Rung, TestType>(x.q, x.k, x.v, clean, o, {}, clean_lse);
    math::attention<Rung, TestType>(y.q, y.k, y.v, found, o, {}, lse);
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (i / o.dim != 5)
        CHECK(found[i] == clean[i]);
      else if (hands_on)
        CHECK(std::isnan(found[i]));
    }
    for (std::size_t i = 0; i < lse.size(); ++i)
      if (i != 5) CHECK(lse[i] == clean_lse[i]);
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  // 3e38 is finite, but makes the score of key 7 infinite.
  for (const float value : {nan, inf, 3e38f}) {
    check(accuracy::full{}, value, true);
    check(accuracy::ladder3{}, value, false);
    check(accuracy::quake{}, value, false);
  }
}

TEMPLATE_LIST_TEST_CASE("attention touches nothing beyond its arrays", "[attention]", spiq_test::Backends) {
  for (AttentionOptions o : shapes())
    for (const auto layout : {AttentionLayout::heads_tokens_dim, AttentionLayout::tokens_heads_dim}) {
      o.layout = layout;
      const std::size_t queries = o.queries * o.heads * o.dim, keys = o.keys * o.heads * o.dim;
      spiq_test::Guarded<float> q(queries), k(keys), v(keys), out(queries), mask(o.queries * o.keys),
          lse(o.heads * o.queries);
      spiq_test::Guarded<float> dq(queries), dk(keys), dv(keys);
      o.mask = {mask.data(), o.queries * o.keys};
      const std::size_t size = math::attention_workspace<float, TestType>(o);
      spiq_test::Guarded<float> workspace(size);
      math::attention<accuracy::ladder3, TestType, float, float>(
          {q.data(), queries}, {k.data(), keys}, {v.data(), keys}, {out.data(), queries}, o, {workspace.data(), size},
          {lse.data(), o.heads * o.queries});
      CHECK(out[0] == 0.0f);
      const std::size_t back = spiq::kernel::attention_backward_workspace<TestType>(o.shape());
      spiq_test::Guarded<float> more(back);
      math::attention_backward<accuracy::full, TestType>({q.data(), queries}, {k.data(), keys}, {v.data(), keys},
                                                         {out.data(), queries}, {lse.data(), o.heads * o.queries},
                                                         {out.data(), queries}, {dq.data(), queries}, {dk.data(), keys},
                                                         {dv.data(), keys}, o, {more.data(), back});
      spiq_test::Guarded<bfloat16> bq(queries), bk(keys), bv(keys), bout(queries);
      const std::size_t other = math::attention_workspace<bfloat16, TestType>(o);
      spiq_test::Guarded<float> pairs(other);
      math::attention<accuracy::ladder3, TestType, bfloat16, bfloat16>(
          {bq.data(), queries}, {bk.data(), keys}, {bv.data(), keys}, {bout.data(), queries}, o, {pairs.data(), other});
      CHECK(static_cast<float>(bout[0]) == 0.0f);
    }
}

TEMPLATE_LIST_TEST_CASE("attention on bfloat16 equals the three steps to its rounding", "[attention]",
                        spiq_test::Backends) {
  for (AttentionOptions o : shapes())
    for (const auto layout : {AttentionLayout::heads_tokens_dim, AttentionLayout::tokens_heads_dim})
      for (const bool causal : {false, true}) {
        o.layout = layout;
        o.causal = causal;
        Inputs x(o);
        std::vector<bfloat16> q(x.q.size()), k(x.k.size()), v(x.v.size()), out(x.q.size());
        const auto both = [](Floats& from, std::vector<bfloat16>& to) {
          spiq::kernel::narrow(from.data(), to.data(), to.size());
          spiq::kernel::widen(to.data(), from.data(), to.size());
        };
        both(x.q, q);
        both(x.k, k);
        both(x.v, v);
        const Reference expected(o, x.q, x.k, x.v);
        // A probability in bfloat16 is off by up to 2^-8, and so is an output.
        const double rounding = 1.0 / 256;
        Floats plain(out.size());
        math::attention<accuracy::ladder3, TestType>(q, k, v, plain, o);
        CHECK(excess(plain, expected.out, expected.reach, ratio_error<accuracy::ladder3>() + rounding, 1e-5) <= 0);
        math::attention<accuracy::quake, TestType>(q, k, v, out, o);
        CHECK(excess(out, expected.out, expected.reach, ratio_error<accuracy::quake>() + 2 * rounding, 1e-5) <= 0);
        AttentionOptions many = o;
        many.threads = 3;
        Floats again(out.size());
        math::attention<accuracy::ladder3, TestType>(q, k, v, again, many);
        CHECK(again == plain);
      }
}

TEMPLATE_LIST_TEST_CASE("attention reads q, k and v side by side, and writes where its strides say", "[attention]",
                        spiq_test::Backends) {
  const std::size_t tokens = 21, heads = 2, dim = 9;
  AttentionOptions o{
      .queries = tokens, .keys = tokens, .heads = heads, .dim = dim, .layout = AttentionLayout::tokens_heads_dim};
  const Inputs x(o);
  const Floats apart = run<accuracy::ladder3, TestType>(x, o);
  const std::size_t row = heads * dim;
  Floats joined(tokens * 3 * row);
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t c = 0; c < row; ++c) {
      joined[t * 3 * row + c] = x.q[t * row + c];
      joined[t * 3 * row + row + c] = x.k[t * row + c];
      joined[t * 3 * row + 2 * row + c] = x.v[t * row + c];
    }
  o.q = o.k = o.v = {3 * row, dim};
  Floats out(tokens * row);
  const std::span<const float> all(joined);
  math::attention<accuracy::ladder3, TestType>(all, all.subspan(row), all.subspan(2 * row), out, o);
  CHECK(out == apart);
}

TEMPLATE_LIST_TEST_CASE("attention and its gradients do not depend on threads", "[attention]", spiq_test::Backends) {
  AttentionOptions o{.queries = 150, .keys = 70, .heads = 3, .dim = 20};
  const Inputs x(o);
  const Floats one = run<accuracy::ladder3, TestType>(x, o), dout = random(x.q.size(), 8);
  const auto gradients = [&] {
    Floats lse(o.heads * o.queries), out(x.q.size()), all(x.q.size() + x.k.size() + x.v.size());
    spiq::AlignedVector<float> w(math::attention_workspace<float, TestType>(o));
    math::attention<accuracy::full, TestType>(x.q, x.k, x.v, out, o, w, lse);
    w.resize(spiq::kernel::attention_backward_workspace<TestType>(o.shape(), o.threads));
    const std::span<float> a(all);
    math::attention_backward<accuracy::full, TestType>(x.q, x.k, x.v, out, lse, dout, a.subspan(0, x.q.size()),
                                                       a.subspan(x.q.size(), x.k.size()),
                                                       a.subspan(x.q.size() + x.k.size()), o, w);
    return all;
  };
  const Floats first = gradients();
  for (const int threads : {2, 3, 0}) {
    o.threads = threads;
    CHECK(run<accuracy::ladder3, TestType>(x, o) == one);
    CHECK(gradients() == first);
  }
}

TEMPLATE_LIST_TEST_CASE("gradients of attention equal those of the three steps", "[attention]", spiq_test::Backends) {
  for (AttentionOptions o : shapes())
    for (const auto layout : {AttentionLayout::heads_tokens_dim, AttentionLayout::tokens_heads_dim})
      for (const int kind : {0, 1, 2}) {
        o.layout = layout;
        o.causal = kind == 1;
        Floats mask = random(o.queries * o.keys, 4, 2);
        for (std::size_t i = 0; i < mask.size(); i += 3) mask[i] = -inf;
        for (std::size_t j = 0; j < o.keys; ++j) mask[o.queries / 2 * o.keys + j] = -inf;
        o.mask = kind == 2 ? std::span<const float>(mask) : std::span<const float>();
        const Inputs x(o);
        const Floats dout = random(x.q.size(), 8);
        const Reference expected(o, x.q, x.k, x.v, dout);
        Floats out(x.q.size()), lse(o.heads * o.queries), dq(x.q.size(), 9.0f), dk(x.k.size(), 9.0f),
            dv(x.v.size(), 9.0f);
        spiq::AlignedVector<float> w(std::max(math::attention_workspace<float, TestType>(o),
                                              spiq::kernel::attention_backward_workspace<TestType>(o.shape())));
        math::attention<accuracy::full, TestType>(x.q, x.k, x.v, out, o, w, lse);
        for (std::size_t i = 0; i < lse.size(); ++i) {
          if (std::isinf(expected.lse[i]))
            CHECK(lse[i] == inf);
          else
            CHECK(std::abs(double{lse[i]} - expected.lse[i]) <= 5e-6);
        }
        math::attention_backward<accuracy::full, TestType>(x.q, x.k, x.v, out, lse, dout, dq, dk, dv, o, w);
        INFO(TestType::name << ": " << o.queries << " queries, " << o.keys << " keys, dim " << o.dim << ", kind "
                            << kind);
        CHECK(difference(dq, expected.dq) <= 1e-5);
        CHECK(difference(dk, expected.dk) <= 3e-5);
        CHECK(difference(dv, expected.dv) <= 3e-5);
      }
}

TEST_CASE("attention refuses spans that are too short", "[attention]") {
  const AttentionOptions o{.queries = 4, .keys = 5, .heads = 2, .dim = 3};
  Floats q(24), k(30), v(30), out(24), small(23);
  CHECK_THROWS_AS((math::attention<accuracy::full>(small, k, v, out, o)), spiq::Error);
  CHECK_THROWS_AS((math::attention<accuracy::full>(q, q, v, out, o)), spiq::Error);
  CHECK_THROWS_AS((math::attention<accuracy::full>(q, k, q, out, o)), spiq::Error);
  CHECK_THROWS_AS((math::attention<accuracy::full>(q, k, v, small, o)), spiq::Error);
  Floats workspace(3), lse(7);
  CHECK_THROWS_AS((math::attention<accuracy::full>(q, k, v, out, o, workspace)), spiq::Error);
  CHECK_THROWS_AS((math::attention<accuracy::full>(q, k, v, out, o, {}, lse)), spiq::Error);
  CHECK_THROWS_AS((math::attention_backward(q, k, v, out, lse, out, q, k, v, o)), spiq::Error);
  AttentionOptions masked = o;
  const Floats mask(19);
  masked.mask = mask;
  lse.resize(8);
  CHECK_THROWS_WITH((math::attention<accuracy::full>(q, k, v, out, masked)),
                    "attention: mask: expected at least 20 values, found 19");
  CHECK_THROWS_AS((math::attention_backward(q, k, v, out, lse, out, q, k, v, masked)), spiq::Error);
}

TEST_CASE("attention refuses sizes whose product wraps round", "[attention]") {
  constexpr std::size_t huge = std::numeric_limits<std::size_t>::max() / 4 + 2;  // 4 * huge is 4
  Floats a(8), out(8), mask(4);
  const AttentionOptions keys{.queries = 2, .keys = huge, .heads = 1, .dim = 4};
  CHECK_THROWS_AS((math::attention<accuracy::full>(a, a, a, out, keys)), spiq::Error);
  const AttentionOptions heads{.queries = 1, .keys = 1, .heads = huge, .dim = 4};
  CHECK_THROWS_AS((math::attention<accuracy::full>(a, a, a, out, heads)), spiq::Error);
  // Heads of no dimension need no values, but their sums and masks do.
  const AttentionOptions sums{.queries = 4, .keys = 1, .heads = huge, .dim = 0};
  CHECK_THROWS_AS((math::attention<accuracy::full>(a, a, a, out, sums, {}, mask)), spiq::Error);
  const AttentionOptions masked{.queries = huge, .keys = 4, .heads = 1, .dim = 0, .mask = mask};
  CHECK_THROWS_AS((math::attention<accuracy::full>(a, a, a, out, masked)), spiq::Error);
}

TEST_CASE("attention refuses strides that let tokens or outputs overlap", "[attention]") {
  AttentionOptions o{.queries = 2, .keys = 3, .heads = 2, .dim = 4};
  Floats q(16), k(24), v(24), out(16), lse(4);
  const auto refused = [&](kernel::HeadStrides AttentionOptions::*which, kernel::HeadStrides strides) {
    AttentionOptions wrong = o;
    wrong.*which = strides;
    try {
      math::attention<accuracy::full>(q, k, v, out, wrong);
    } catch (const spiq::Error& e) {
      return std::string(e.what());
    }
    return std::string("nothing was thrown");
  };
  // One row of values for all keys, e.g.; without a refusal it would give zeros.
  CHECK(refused(&AttentionOptions::v, {0, 4}) == "attention: token stride of v: expected at least 4, found 0");
  CHECK(refused(&AttentionOptions::k, {3, 12}) == "attention: token stride of k: expected at least 4, found 3");
  CHECK(refused(&AttentionOptions::q, {0, 8}) == "attention: token stride of q: expected at least 4, found 0");
  CHECK(refused(&AttentionOptions::out, {4, 0}) ==
        "attention: strides of output: expected heads that do not overlap, found token stride 4 and head stride 0");
  CHECK(refused(&AttentionOptions::out, {4, 4}) ==
        "attention: strides of output: expected heads that do not overlap, found token stride 4 and head stride 4");
  CHECK(refused(&AttentionOptions::out, {4, 8}) == "nothing was thrown");
  CHECK(refused(&AttentionOptions::out, {8, 4}) == "nothing was thrown");
  o.k = {4, 0};
  CHECK_THROWS_WITH(
      (math::attention_backward(q, k, v, out, lse, out, q, k, v, o)),
      "attention: strides of dk: expected heads that do not overlap, found token stride 4 and head stride 0");
}

TEMPLATE_LIST_TEST_CASE("heads of attention may share keys and values", "[attention]", spiq_test::Backends) {
  for (const std::size_t keys : {std::size_t{1}, std::size_t{37}}) {
    AttentionOptions o{.queries = 19, .keys = keys, .heads = 3, .dim = 10};
    const Floats q = random(o.queries * o.heads * o.dim, 1), k = random(keys * o.dim, 2), v = random(keys * o.dim, 3);
    Floats repeated_k, repeated_v;
    for (std::size_t h = 0; h < o.heads; ++h) {
      repeated_k.insert(repeated_k.end(), k.begin(), k.end());
      repeated_v.insert(repeated_v.end(), v.begin(), v.end());
    }
    Floats expected(q.size()), found(q.size());
    math::attention<accuracy::full, TestType>(q, repeated_k, repeated_v, expected, o);
    o.k = o.v = {o.dim, 0};
    math::attention<accuracy::full, TestType>(q, k, v, found, o);
    CHECK(found == expected);
  }
  // The stride of a lone token does not matter.
  AttentionOptions o{.queries = 1, .keys = 1, .heads = 2, .dim = 3};
  const Inputs x(o);
  o.q = o.k = o.v = o.out = {0, 3};
  CHECK(run<accuracy::full, TestType>(x, o) == x.v);
}

TEST_CASE("attention: a past beyond all keys hides nothing", "[attention]") {
  AttentionOptions o{.queries = 20, .keys = 9, .heads = 1, .dim = 4};
  const Inputs x(o);
  const Floats all = run<accuracy::full, simd::best>(x, o);
  o.causal = true;
  for (const std::size_t past : {std::size_t{9}, std::numeric_limits<std::size_t>::max()}) {
    o.past = past;
    CHECK(run<accuracy::full, simd::best>(x, o) == all);
  }
}

template <class Q, class O>
concept Attends = requires(const Q& q, O&& out, const AttentionOptions& o) {
  math::attention<accuracy::full>(q, q, q, static_cast<O&&>(out), o);
};
static_assert(Attends<Floats, Floats&> && Attends<Floats, std::span<float>> && Attends<std::vector<bfloat16>, Floats&>);
static_assert(!Attends<Floats, const Floats&> && !Attends<Floats, std::span<const float>>);
static_assert(!Attends<Floats, Floats>);  // a result that nobody keeps

TEMPLATE_TEST_CASE("attention takes vectors, aligned vectors and spans", "[attention]", float, bfloat16) {
  const AttentionOptions o{.queries = 5, .keys = 6, .heads = 2, .dim = 3};
  const Inputs x(o);
  const auto all = [&]<class Vector>(Vector) {
    using T = typename Vector::value_type;
    const Vector q(x.q.begin(), x.q.end()), k(x.k.begin(), x.k.end()), v(x.v.begin(), x.v.end());
    std::vector<Vector> found(6, Vector(q.size()));
    std::vector<Floats> lse(6, Floats(o.heads * o.queries));
    spiq::AlignedVector<float> w(math::attention_workspace<T>(o));
    Floats plain(w.size() + 16);
    math::attention<accuracy::full>(q, k, v, found[0], o);
    math::attention<accuracy::full>(q, k, v, found[1], o, w);
    math::attention<accuracy::full>(q, k, v, found[2], o, plain, lse[2]);
    math::attention<accuracy::full>(q, k, v, found[3], o, {}, lse[3]);
    math::attention<accuracy::full>(std::span(q), std::span(k), std::span(v), std::span(found[4]), o, std::span(w),
                                    std::span(lse[4]));
    Vector copy = q;
    math::attention<accuracy::full>(std::span(copy), k, std::span(v), std::span(found[5]), o, std::span(w), lse[5]);
    for (std::size_t i = 1; i < found.size(); ++i)
      for (std::size_t j = 0; j < q.size(); ++j)
        CHECK(static_cast<float>(found[i][j]) == static_cast<float>(found[0][j]));
    for (std::size_t i = 3; i < lse.size(); ++i) CHECK(lse[i] == lse[2]);
  };
  all(std::vector<TestType>{});
  all(spiq::AlignedVector<TestType>{});
}

TEST_CASE("gradients of attention take vectors, with a workspace or without", "[attention]") {
  const AttentionOptions o{.queries = 5, .keys = 6, .heads = 2, .dim = 3};
  const Inputs x(o);
  const Floats dout = random(x.q.size(), 8);
  spiq::AlignedVector<float> out(x.q.size()), lse(o.heads * o.queries);
  math::attention<accuracy::full>(x.q, x.k, x.v, out, o, {}, lse);
  Floats dq(x.q.size()), dk(x.k.size()), dv(x.v.size());
  math::attention_backward(x.q, x.k, x.v, out, lse, dout, dq, dk, dv, o);
  spiq::AlignedVector<float> w(kernel::attention_backward_workspace<>(o.shape())), dq2(dq.size()), dk2(dk.size()),
      dv2(dv.size());
  math::attention_backward(x.q, x.k, x.v, out, lse, dout, dq2, dk2, dv2, o, w);
  CHECK(std::equal(dq.begin(), dq.end(), dq2.begin()));
  CHECK(std::equal(dk.begin(), dk.end(), dk2.begin()));
  CHECK(std::equal(dv.begin(), dv.end(), dv2.begin()));
  CHECK(std::any_of(dq.begin(), dq.end(), [](float g) { return g != 0; }));
}
