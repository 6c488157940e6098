/// @file
/// Plan and draft: the longest window of layers that has a rule wins, from left to right, without backtracking.
#pragma once

#include <spiq/core/pack.hpp>
#include <spiq/lower/context.hpp>

#include <array>
#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>

SPIQ_BEGIN_NAMESPACE

namespace lowering {

/// How a window of layers is lowered for a target, given the signal before it. Specialised in rules.hpp.
template <class Target, class Signal, class... Window>
struct Rule {
  static constexpr bool exists = false;
};

/// A layer without a rule: its arguments name the layer and the target.
template <class Layer, class Target>
struct no_rule {
  static_assert(!std::is_same_v<Layer, Layer>,
                "spiq: this layer has no rule for this target; spiq::lowering::no_rule<layer, target> names both");
};

/// Whether the layers of a target can read a signal at all. Specialised in rules.hpp.
template <class Target, class Signal>
inline constexpr bool readable = true;

/// A layer behind sums that nothing reads: its arguments name the layer and the target.
template <class Layer, class Target>
struct sums_refused {
  static_assert(!std::is_same_v<Layer, Layer>,
                "spiq: in exact arithmetic no layer reads the plain sums of another; put a Qcfs directly behind each "
                "convolution, linear layer or residual block (only BatchNorm may stand between) and pool before it or "
                "behind the Qcfs; spiq::lowering::sums_refused<layer, target> names the layer that would read them");
};

/// A network that ends in spikes or levels: its argument names the target.
template <class Target>
struct ends_in_spikes {
  static_assert(!std::is_same_v<Target, Target>,
                "spiq: a lowered network ends in currents, which become its outputs; put a Linear layer behind the "
                "last neurons or quantised activation");
};

/// Layers that mean nothing to an executable network: used in training only, or a change of view.
template <class L>
inline constexpr bool transparent = requires { requires L::training_only; };

/// Layers that become part of the one behind them because the target asks for it, and stand alone in others.
/// Specialised in pool_rules.hpp.
template <class Pool, class Target>
inline constexpr bool merged_by_choice = false;

/// Positions of the layers of pack P that are not transparent.
template <class P>
struct Kept {
  static constexpr std::size_t total = pack_size_v<P>;
  static constexpr std::array<bool, total + 1> hidden = []<std::size_t... I>(std::index_sequence<I...>) {
    return std::array<bool, total + 1>{transparent<pack_element_t<I, P>>..., false};
  }(std::make_index_sequence<total>{});
  static constexpr std::size_t size = [] {
    std::size_t n = 0;
    for (std::size_t i = 0; i < total; ++i) n += hidden[i] ? 0 : 1;
    return n;
  }();
  static constexpr std::array<std::size_t, total + 1> index = [] {
    std::array<std::size_t, total + 1> list{};
    std::size_t n = 0;
    for (std::size_t i = 0; i < total; ++i)
      if (!hidden[i]) list[n++] = i;
    return list;
  }();
};

/// Rule of the N kept layers from position I.
template <class Target, class Signal, class P, std::size_t I, class Offsets>
struct WindowRule;
template <class Target, class Signal, class P, std::size_t I, std::size_t... J>
struct WindowRule<Target, Signal, P, I, std::index_sequence<J...>>
    : Rule<Target, Signal, pack_element_t<Kept<P>::index[I + J], P>...> {};

inline constexpr std::size_t longest_window = 4;

template <class Target, class Signal, class P, std::size_t I, std::size_t N = longest_window>
constexpr std::size_t longest() {
  if constexpr (N == 0) {
    return 0;
  } else if constexpr (I + N <= Kept<P>::size) {
    if constexpr (WindowRule<Target, Signal, P, I, std::make_index_sequence<N>>::exists)
      return N;
    else
      return longest<Target, Signal, P, I, N - 1>();
  } else {
    return longest<Target, Signal, P, I, N - 1>();
  }
}

/// One step of a plan: N kept layers from position I, read as Signal.
template <std::size_t I, std::size_t N, class Signal>
struct Step {};
/// A plan: whether every layer found a rule, the signal at its end, its steps.
template <bool Complete, class Out, class... S>
struct Plan {
  static constexpr bool complete = Complete;
  using out = Out;
};

template <class Target, class Signal, class P, std::size_t I, class... S>
constexpr auto make_plan() {
  if constexpr (I == Kept<P>::size) {
    return Plan<true, Signal, S...>{};
  } else if constexpr (!readable<Target, Signal>) {
    static_cast<void>(sizeof(sums_refused<pack_element_t<Kept<P>::index[I], P>, Target>));
    return Plan<false, Signal, S...>{};
  } else {
    constexpr std::size_t n = longest<Target, Signal, P, I>();
    if constexpr (n == 0) {
      using layer = pack_element_t<Kept<P>::index[I], P>;
      if constexpr (requires { typename Rule<Target, Signal, layer>::refusal; })
        static_cast<void>(sizeof(typename Rule<Target, Signal, layer>::refusal));
      else
        static_cast<void>(sizeof(no_rule<layer, Target>));
      return Plan<false, Signal, S...>{};
    } else {
      using rule = WindowRule<Target, Signal, P, I, std::make_index_sequence<n>>;
      return make_plan<Target, typename rule::out, P, I + n, S..., Step<I, n, Signal>>();
    }
  }
}
template <class Target, class Signal, class P>
using plan_t = decltype(make_plan<Target, Signal, P, 0>());

template <class Arch, class Target, class P, std::size_t I, std::size_t N, class Signal>
auto draft_step(const Target& target, Context& context, const P& layers, Step<I, N, Signal>) {
  // A window is called after its first layer, or after the one that is called so in other targets, too.
  constexpr std::size_t named = N > 1 && merged_by_choice<pack_element_t<Kept<P>::index[I], P>, Target> ? I + 1 : I;
  const std::size_t number = Kept<P>::index[named];
  const std::string path = context.paths.empty() ? context.prefix + std::to_string(number) : context.paths[number];
  return [&]<std::size_t... J>(std::index_sequence<J...>) {
    return WindowRule<Target, Signal, P, I, std::index_sequence<J...>>::template apply<Arch>(
        target, context, path, get<Kept<P>::index[I + J]>(layers)...);
  }(std::make_index_sequence<N>{});
}

template <class Arch, class Target, class P, bool Complete, class Out, class... S>
auto draft_all(const Target& target, Context& context, const P& layers, Plan<Complete, Out, S...>) {
  // Braces evaluate from left to right, which the context relies on.
  return Pack<decltype(draft_step<Arch>(target, context, layers, S{}))...>{
      {draft_step<Arch>(target, context, layers, S{})}...};
}

/// Drafts of a list of layers; advances the context past them.
template <class Arch, class Target, class Signal, class P>
auto drafts(const Target& target, Context& context, const P& layers) {
  return draft_all<Arch>(target, context, layers, plan_t<Target, Signal, P>{});
}

}  // namespace lowering

SPIQ_END_NAMESPACE
