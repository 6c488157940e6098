/// @file
/// Negotiation of packings between layers, at compile time in two passes: forward what each layer can emit, backward
/// what its consumer prefers.
#pragma once

#include <spiq/core/pack.hpp>
#include <spiq/core/packing.hpp>
#include <spiq/exec/chain.hpp>

#include <cstddef>
#include <type_traits>
#include <utility>

SPIQ_BEGIN_NAMESPACE

namespace lowering {

template <class P, class List>
inline constexpr bool contains = false;
template <class P, class... Q>
inline constexpr bool contains<P, Packings<Q...>> = (std::is_same_v<P, Q> || ...);
template <class A, class B, class... Q>
inline constexpr bool contains<packing::fanout<A, B>, Packings<Q...>> =
    contains<A, Packings<Q...>> && contains<B, Packings<Q...>>;

template <class... List>
struct concat;
template <>
struct concat<> {
  using type = Packings<>;
};
template <class... P>
struct concat<Packings<P...>> {
  using type = Packings<P...>;
};
template <class... P, class... Q, class... Rest>
struct concat<Packings<P...>, Packings<Q...>, Rest...> : concat<Packings<P..., Q...>, Rest...> {};

/// The packings of A, in A's order, that B has too.
template <class A, class B>
struct meet;
template <class... P, class B>
struct meet<Packings<P...>, B>
    : concat<std::conditional_t<contains<P, B>, Packings<P>, Packings<>>...> {};
template <class A, class B>
using meet_t = typename meet<A, B>::type;

template <class List>
struct front;
template <class P, class... Rest>
struct front<Packings<P, Rest...>> {
  using type = P;
};

/// The failure of a negotiation: its arguments are the layer, what its consumer wants, what the layer can emit.
template <class Layer, class Wanted, class Offered>
struct no_common_packing {
  static_assert(!std::is_same_v<Offered, Offered>,
                "spiq: a layer and the next one share no packing of their data; the arguments of "
                "spiq::lowering::no_common_packing are the layer, what the next one reads, what the layer can emit");
  using type = packing::real;
};

template <class Layer, class Wanted, class Offered, class Common>
struct choose : front<Common> {};
template <class Layer, class Wanted, class Offered>
struct choose<Layer, Wanted, Offered, Packings<>> : no_common_packing<Layer, Wanted, Offered> {};

/// Packings on the edges behind drafts, first to last.
template <class... Edge>
struct edges {};
template <class Edge, class Rest>
struct before;
template <class Edge, class... Rest>
struct before<Edge, edges<Rest...>> {
  using type = edges<Edge, Rest...>;
};

/// Up: what the producer before can emit. Want: what the consumer behind reads, best first.
/// `wants`: what this sequence reads; `out`: the edges behind its drafts.
template <class Up, class Want, class... Draft>
struct negotiate {
  using wants = Want;
  using out = edges<>;
};
template <class Up, class Want, class First, class... Rest>
struct negotiate<Up, Want, First, Rest...> {
  using offers = typename First::template emits<Up>;
  using next = negotiate<offers, Want, Rest...>;
  using chosen = typename choose<First, typename next::wants, offers, meet_t<typename next::wants, offers>>::type;
  using wants = typename First::template consumes<chosen, Up>;
  using out = typename before<chosen, typename next::out>::type;
};

/// What can be emitted before draft I of a sequence whose producer can emit Up.
template <std::size_t I, class Up, class Drafts>
struct up_at {
  using type = typename pack_element_t<I - 1, Drafts>::template emits<typename up_at<I - 1, Up, Drafts>::type>;
};
template <class Up, class Drafts>
struct up_at<0, Up, Drafts> {
  using type = Up;
};

/// Binds drafts to the packings on their edges: packs products, yields an executable chain.
template <class Up, class Take, class... Edge, class Drafts>
auto bind_all(edges<Edge...>, Drafts& drafts) {
  using takes = Pack<Take, Edge...>;
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    using chain = exec::Chain<Take, decltype(get<I>(drafts)
                                                 .template bind<pack_element_t<I, takes>, Edge,
                                                                typename up_at<I, Up, Drafts>::type>())...>;
    return chain{
        {{get<I>(drafts).template bind<pack_element_t<I, takes>, Edge, typename up_at<I, Up, Drafts>::type>()}...}};
  }(std::make_index_sequence<sizeof...(Edge)>{});
}

}  // namespace lowering

SPIQ_END_NAMESPACE
