// Spike-timing-dependent plasticity.
#include "catch.hpp"

#include <spiq/core/random.hpp>
#include <spiq/plasticity/stdp.hpp>

#include <vector>

using namespace spiq;
using plasticity::Bound;
using plasticity::PairStdp;

namespace {
using Floats = std::vector<float>;
}

TEST_CASE("before means stronger, after means weaker, far apart means little", "[stdp]") {
  const auto change = [](std::size_t pre_at, std::size_t post_at) {
    PairStdp rule{.eta_plus = 0.01f, .eta_minus = 0.01f};
    Floats w{0.5f}, trace_pre{0}, trace_post{0};
    for (std::size_t t = 0; t < 60; ++t)
      rule.step(1, Floats{t == pre_at ? 1.0f : 0.0f}, Floats{t == post_at ? 1.0f : 0.0f}, trace_pre, trace_post, w);
    return w[0] - 0.5f;
  };
  CHECK(change(10, 12) > 0);
  CHECK(change(12, 10) < 0);
  CHECK(change(10, 40) > 0);
  CHECK(change(10, 40) < 0.3f * change(10, 12));
  CHECK(change(100, 10) == 0);
}

TEST_CASE("weights stay in their bounds under every rule", "[stdp]") {
  for (const auto bound : {Bound::additive, Bound::additive_step, Bound::multiplicative_pow, Bound::multiplicative_relu}) {
    PairStdp rule{.eta_plus = 3, .eta_minus = 3, .mu = 0.5f, .w_min = -0.25f, .w_max = 0.75f, .bound = bound};
    Rng rng(1);
    Floats w(12, 0.1f), trace_pre(8), trace_post(6), pre(8), post(6);
    bool moved = false;
    for (int t = 0; t < 300; ++t) {
      for (float& s : pre) s = rng.uniform() < 0.3f ? 1.0f : 0.0f;
      for (float& s : post) s = rng.uniform() < 0.3f ? 1.0f : 0.0f;
      rule.step(2, pre, post, trace_pre, trace_post, w);
      for (const float v : w) {
        CHECK((v >= -0.25f && v <= 0.75f));
        moved = moved || v != 0.1f;
      }
    }
    CHECK(moved);
  }
}

TEST_CASE("STDP refuses spans that do not fit", "[stdp]") {
  PairStdp rule;
  Floats pre(6), post(4), trace_pre(6), trace_post(4), w(6), wrong(5);
  CHECK_NOTHROW(rule.step(2, pre, post, trace_pre, trace_post, w));
  CHECK_THROWS_AS(rule.step(2, pre, post, trace_pre, trace_post, wrong), Error);
  CHECK_THROWS_AS(rule.step(2, wrong, post, trace_pre, trace_post, w), Error);
  CHECK_THROWS_AS(rule.step(2, pre, wrong, trace_pre, trace_post, w), Error);
  CHECK_THROWS_AS(rule.step(2, pre, post, wrong, trace_post, w), Error);
  CHECK_THROWS_AS(rule.step(2, pre, post, trace_pre, wrong, w), Error);
  CHECK_THROWS_AS(rule.step(0, pre, post, trace_pre, trace_post, w), Error);
}
