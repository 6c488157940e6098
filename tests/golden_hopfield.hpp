// Golden vectors of group `hopfield`: retrieval from a modern Hopfield network (Ramsauer et al., arXiv 2008.02217).
// xi <- softmax(beta xi Y^T) Y is attention of the state to the stored patterns, so it runs on the attention kernels.
#pragma once

#include "golden.hpp"

#include <spiq/kernel/attention_backward.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace golden {

namespace hopfield {

using Floats = std::vector<float>;

/// E = -1/beta log sum exp(beta y xi) + xi xi / 2 + log(N) / beta + max |y|^2 / 2 of every state.
inline Floats energies(const Floats& states, const Floats& log_sums, const Floats& stored, std::size_t dim, double beta) {
  const std::size_t patterns = stored.size() / dim;
  double longest = 0;
  for (std::size_t i = 0; i < patterns; ++i) {
    double square = 0;
    for (std::size_t d = 0; d < dim; ++d) square += double{stored[i * dim + d]} * double{stored[i * dim + d]};
    longest = std::max(longest, square);
  }
  Floats out(log_sums.size());
  for (std::size_t s = 0; s < out.size(); ++s) {
    double square = 0;
    for (std::size_t d = 0; d < dim; ++d) square += double{states[s * dim + d]} * double{states[s * dim + d]};
    out[s] = static_cast<float>(-double{log_sums[s]} / beta + square / 2 + std::log(static_cast<double>(patterns)) / beta + longest / 2);
  }
  return out;
}

}  // namespace hopfield

inline Result run_hopfield(const Case& c) {
  using hopfield::Floats;
  if (c.string("op") != "hopfield_retrieval") return Result::skip("operator " + c.string("op") + " is not part of the library");
  const Array &state = c.array("state", 2), &stored = c.array("stored", 2);
  for (const char* name : {"out", "cot_out", "grad_state"}) c.expect(name, state.shape);
  c.expect("grad_stored", stored.shape);
  c.expect("stored", {stored.extent(0), state.extent(1)});
  for (const char* name : {"energy_in", "energy_out"}) c.expect(name, {state.extent(0)});
  const int updates = c.int_param("update_steps_max");
  if (updates < 0 || updates > 1000) spiq::raise("case " + c.name, "0 to 1000 updates", std::to_string(updates));

  spiq::math::AttentionOptions o;
  o.queries = state.extent(0);
  o.keys = stored.extent(0);
  o.dim = state.extent(1);
  o.scale = static_cast<float>(c.param("beta"));
  const double beta = c.param("beta");
  const Floats patterns = stored.floats();
  spiq::AlignedVector<float> workspace(std::max(spiq::math::attention_workspace<float>(o),
                                                spiq::kernel::attention_backward_workspace<>(o.shape())));
  std::vector<Floats> states{state.floats()}, log_sums;
  const auto step = [&](Floats& next) {
    log_sums.emplace_back(o.queries);
    spiq::math::attention<spiq::accuracy::full>(std::span<const float>(states.back()), std::span<const float>(patterns),
                                                std::span<const float>(patterns), std::span<float>(next), o,
                                                std::span<float>(workspace), std::span<float>(log_sums.back()));
  };
  for (int i = 0; i <= updates; ++i) {
    Floats next(states[0].size());
    step(next);
    states.push_back(std::move(next));
  }
  Floats beyond(states[0].size());
  step(beyond);  // for the last state's sum only

  Floats gradient = c.array("cot_out").floats(), to_stored(patterns.size()), dq(states[0].size()), dk(patterns.size()), dv(patterns.size());
  for (std::size_t i = static_cast<std::size_t>(updates) + 1; i-- > 0;) {
    spiq::math::attention_backward(std::span<const float>(states[i]), std::span<const float>(patterns),
                                   std::span<const float>(patterns), std::span<const float>(states[i + 1]),
                                   std::span<const float>(log_sums[i]), std::span<const float>(gradient),
                                   std::span<float>(dq), std::span<float>(dk), std::span<float>(dv), o,
                                   std::span<float>(workspace));
    gradient = dq;
    for (std::size_t j = 0; j < to_stored.size(); ++j) to_stored[j] += dk[j] + dv[j];
  }
  Result r = c.compare("out", states.back());
  // No float deviation was measured for this group; every application hands the rounding of the ones behind it on.
  const double applications = updates + 1;
  r.merge(c.compare_within("grad_state", std::span<const float>(gradient), applications * c.tolerance("grad_state"), 0));
  r.merge(c.compare_within("grad_stored", std::span<const float>(to_stored), applications * c.tolerance("grad_stored"), 0));
  r.merge(c.compare("energy_in", hopfield::energies(states[0], log_sums[0], patterns, o.dim, beta)));
  return r.merge(c.compare("energy_out", hopfield::energies(states.back(), log_sums.back(), patterns, o.dim, beta)));
}

}  // namespace golden
