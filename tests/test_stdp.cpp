// Spike-timing-dependent plasticity.
#include "catch.hpp"

#include <spiq/core/random.hpp>
#include <spiq/plasticity/stdp.hpp>

#include <algorithm>
#include <cmath>
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
  rule.w_min = 2;
  CHECK_THROWS_AS(rule.step(2, pre, post, trace_pre, trace_post, w), Error);
}

TEST_CASE("a shared kernel moves by the pairs of all its positions", "[stdp]") {
  kernel::ConvGeometry g;
  g.in = {6, 5, 4};
  g.out_channels = 6;
  g.kernel_h = 3;
  g.kernel_w = 2;
  g.stride_h = 2;
  g.pad_h = g.pad_w = 1;
  g.groups = GENERATE(1, 2);
  const bool average = GENERATE(false, true);
  const std::size_t batch = 2, inputs = g.in.size(), outputs = g.out().size();
  plasticity::SharedPairStdp shared(g, {.eta_plus = 0.02f, .eta_minus = 0.03f, .mu = 0.5f, .bound = Bound::multiplicative_pow}, average);
  Rng rng(4);
  Floats w(g.weight_count()), trace_pre(batch * inputs), trace_post(batch * outputs), pre(batch * inputs), post(batch * outputs);
  for (float& v : w) v = rng.uniform();
  std::vector<double> expected(w.begin(), w.end()), tp(pre.size()), tq(post.size());
  for (int t = 0; t < 6; ++t) {
    for (float& s : pre) s = rng.uniform() < 0.3f ? 1.0f : 0.0f;
    for (float& s : post) s = rng.uniform() < 0.3f ? 1.0f : 0.0f;
    shared.step(batch, pre, post, trace_pre, trace_post, w);
    for (std::size_t k = 0; k < pre.size(); ++k) tp[k] += 0.05 * (double{pre[k]} - tp[k]);
    for (std::size_t k = 0; k < post.size(); ++k) tq[k] += 0.05 * (double{post[k]} - tq[k]);
    std::size_t index = 0;
    for (int o = 0; o < g.out_channels; ++o)
      for (int c = 0; c < g.group_in(); ++c)
        for (int ky = 0; ky < g.kernel_h; ++ky)
          for (int kx = 0; kx < g.kernel_w; ++kx, ++index) {
            double up = 0, down = 0;
            for (std::size_t b = 0; b < batch; ++b)
              for (int y = 0; y < g.out_h(); ++y)
                for (int x = 0; x < g.out_w(); ++x) {
                  const int iy = y * g.stride_h - g.pad_h + ky, ix = x * g.stride_w - g.pad_w + kx;
                  if (iy < 0 || iy >= g.in.height || ix < 0 || ix >= g.in.width) continue;
                  const int channel = o / g.group_out() * g.group_in() + c;
                  const std::size_t i = b * inputs + static_cast<std::size_t>((iy * g.in.width + ix) * g.in.channels + channel);
                  const std::size_t j = b * outputs + static_cast<std::size_t>((y * g.out_w() + x) * g.out_channels + o);
                  up += double{post[j]} * tp[i];
                  down += tq[j] * double{pre[i]};
                }
            const double share = average ? 1.0 / static_cast<double>(batch * g.out().pixels()) : 1.0;
            double& v = expected[index];
            v = std::clamp(v + share * (0.02 * std::sqrt(1 - v) * up - 0.03 * std::sqrt(v) * down), 0.0, 1.0);
          }
  }
  double worst = 0;
  for (std::size_t k = 0; k < w.size(); ++k) worst = std::max(worst, std::abs(double{w[k]} - expected[k]));
  CHECK(worst < 2e-5);
  CHECK_THROWS_AS(shared.step(batch + 1, pre, post, trace_pre, trace_post, w), Error);
}

TEST_CASE("a shared kernel with one position is the linear form", "[stdp]") {
  const PairStdp rule{.eta_plus = 0.05f, .eta_minus = 0.02f};
  plasticity::SharedPairStdp shared(kernel::ConvGeometry::linear(7, 5), rule);
  Rng rng(2);
  Floats a(35, 0.5f), b(35, 0.5f), pre(3 * 7), post(3 * 5), pre_a(21), post_a(15), pre_b(21), post_b(15);
  for (int t = 0; t < 20; ++t) {
    for (float& s : pre) s = rng.uniform() < 0.4f ? 1.0f : 0.0f;
    for (float& s : post) s = rng.uniform() < 0.4f ? 1.0f : 0.0f;
    rule.step(3, pre, post, pre_a, post_a, a);
    shared.step(3, pre, post, pre_b, post_b, b);
  }
  CHECK(pre_a == pre_b);
  CHECK(post_a == post_b);
  float worst = 0;
  for (std::size_t k = 0; k < a.size(); ++k) worst = std::max(worst, std::abs(a[k] - b[k]));
  CHECK(worst < 1e-5f);
  CHECK(a[0] != 0.5f);
}

TEST_CASE("STDP with numbers that are none moves nothing", "[stdp]") {
  const std::vector<float> one{1};
  std::vector<float> pre{0.25f}, post{0.5f}, weight{0.5f};
  PairStdp rule;
  rule.eta_plus = std::nanf("");
  CHECK_THROWS_AS(rule.step(1, one, one, pre, post, weight), Error);
  rule = {};
  rule.dt = HUGE_VALF;
  CHECK_THROWS_AS(rule.step(1, one, one, pre, post, weight), Error);
  CHECK(pre[0] == 0.25f);
  CHECK(post[0] == 0.5f);
  CHECK(weight[0] == 0.5f);
}
