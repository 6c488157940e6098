/// @file
/// A sequence of executable layers.
#pragma once

#include <spiq/core/pack.hpp>
#include <spiq/core/packing.hpp>

#include <cstddef>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace exec {

namespace detail {
template <class Take, class... Layer>
struct last_packing {
  using type = Take;
};
template <class Take, class First, class... Rest>
struct last_packing<Take, First, Rest...> : last_packing<typename First::emits, Rest...> {};
/// Rows of a report that a layer takes: itself, before it those of its branches.
template <class Layer>
inline constexpr std::size_t layers_in = 1;
template <class Layer>
  requires requires { &Layer::shortcut; }
inline constexpr std::size_t layers_in<Layer> =
    decltype(Layer::body)::total + decltype(Layer::shortcut)::total + 1;
}  // namespace detail

/// Layers in order; an empty chain passes on its input, of which it takes packing Take.
template <class Take, class... Layer>
struct Chain {
  using takes = Take;
  using last_packing = typename detail::last_packing<Take, Layer...>::type;
  using State = Pack<typename Layer::State...>;
  static constexpr std::size_t size = sizeof...(Layer);
  /// Layers, those inside joins too.
  static constexpr std::size_t total = (std::size_t{0} + ... + detail::layers_in<Layer>);

  Pack<Layer...> layers;

  /// Allocates everything that `run` needs for up to `samples` samples of inputs like `in`.
  template <class In>
  void allocate(State& state, int samples, const In& in) const {
    allocate_from<0>(state, samples, in);
  }
  /// With `Events`, layers that can do without a look at inputs of zeros do so; the values are the same.
  template <bool Events = false, class In>
  const auto& run(const In& in, State& state) const noexcept {
    return run_from<0, Events>(in, state);
  }
  /// The buffer that the last run (or allocate) left: of the last layer, or the input of an empty chain.
  template <class In>
  const auto& output(const In& in, const State& state) const noexcept {
    if constexpr (size == 0)
      return in;
    else
      return get<size - 1>(state).out;
  }
  /// Calls f(layer, input buffer, state) for every layer in order, the branches of a join before the join.
  template <class In, class S, class F>
  void visit(const In& in, S& state, F& f) const {
    visit_from<0>(in, state, f);
  }
  /// Calls f(layer, state) for the one that is number I in this order.
  template <std::size_t I, class S, class F>
  void visit_layer(S& state, F& f) const {
    visit_layer_from<I, 0>(state, f);
  }
  /// Calls f(layer) for every layer in the same order.
  template <class F>
  void for_each_layer(F& f) const {
    each_layer(*this, f);
  }
  template <class F>
  void for_each_layer(F& f) {
    each_layer(*this, f);
  }

private:
  template <class Self, class F>
  static void each_layer(Self& self, F& f) {
    for_each_index<size>([&](auto i) {
      auto& layer = get<i.value>(self.layers);
      if constexpr (requires { layer.shortcut; }) {
        layer.body.for_each_layer(f);
        layer.shortcut.for_each_layer(f);
      }
      f(layer);
    });
  }
  template <std::size_t I, class In>
  void allocate_from(State& state, int samples, const In& in) const {
    if constexpr (I < size) {
      get<I>(layers).allocate(get<I>(state), samples, in);
      allocate_from<I + 1>(state, samples, get<I>(state).out);
    }
  }
  template <std::size_t I, bool Events, class In>
  const auto& run_from(const In& in, State& state) const noexcept {
    if constexpr (I == size)
      return in;
    else if constexpr (Events && requires { get<I>(layers).run_events(in, get<I>(state)); })
      return run_from<I + 1, Events>(get<I>(layers).run_events(in, get<I>(state)), state);
    else
      return run_from<I + 1, Events>(get<I>(layers).run(in, get<I>(state)), state);
  }
  template <std::size_t I, std::size_t At, class S, class F>
  void visit_layer_from(S& state, F& f) const {
    const auto& layer = get<At>(layers);
    auto& own = get<At>(state);
    constexpr std::size_t n = detail::layers_in<pack_element_t<At, Pack<Layer...>>>;
    if constexpr (I >= n) {
      visit_layer_from<I - n, At + 1>(state, f);
    } else if constexpr (I + 1 == n) {
      f(layer, own);
    } else {
      constexpr std::size_t in_body = decltype(layer.body)::total;
      if constexpr (I < in_body)
        layer.body.template visit_layer<I>(own.body, f);
      else
        layer.shortcut.template visit_layer<I - in_body>(own.shortcut, f);
    }
  }
  template <std::size_t I, class In, class S, class F>
  void visit_from(const In& in, S& state, F& f) const {
    if constexpr (I < size) {
      const auto& layer = get<I>(layers);
      auto& own = get<I>(state);
      if constexpr (requires { layer.shortcut; }) {
        layer.body.visit(in, own.body, f);
        layer.shortcut.visit(in, own.shortcut, f);
      }
      f(layer, in, own);
      visit_from<I + 1>(own.out, state, f);
    }
  }
};

}  // namespace exec

SPIQ_END_NAMESPACE
