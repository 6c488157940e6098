/// @file
/// Heterogeneous list of layers: an aggregate of indexed leaves. Compiles several times faster than `std::tuple`
/// for long networks, because it has no constrained constructors.
#pragma once

#include <spiq/core/abi.hpp>

#include <cstddef>
#include <type_traits>
#include <utility>

SPIQ_BEGIN_NAMESPACE

namespace detail {
template <std::size_t I, class T>
struct PackLeaf {
  [[no_unique_address]] T value;
};
template <std::size_t I, class T>
std::type_identity<T> leaf_type(const PackLeaf<I, T>*);
}  // namespace detail

template <class Indices, class... T>
struct PackOf;
template <std::size_t... I, class... T>
struct PackOf<std::index_sequence<I...>, T...> : detail::PackLeaf<I, T>... {};

/// An aggregate that holds one value of each type; initialise it with braces in order.
template <class... T>
using Pack = PackOf<std::index_sequence_for<T...>, T...>;

/// Reference to element I.
template <std::size_t I, class T>
constexpr T& get(detail::PackLeaf<I, T>& leaf) {
  return leaf.value;
}
template <std::size_t I, class T>
constexpr const T& get(const detail::PackLeaf<I, T>& leaf) {
  return leaf.value;
}

/// Type of element I of pack P.
template <std::size_t I, class P>
using pack_element_t = typename decltype(detail::leaf_type<I>(static_cast<const P*>(nullptr)))::type;

template <class P>
inline constexpr std::size_t pack_size_v = 0;
template <class... T, std::size_t... I>
inline constexpr std::size_t pack_size_v<PackOf<std::index_sequence<I...>, T...>> = sizeof...(T);

/// Calls f(std::integral_constant<std::size_t, I>{}) for I = 0 ... N-1, in order.
template <std::size_t N, class F>
constexpr void for_each_index(F&& f) {
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    (f(std::integral_constant<std::size_t, I>{}), ...);
  }(std::make_index_sequence<N>{});
}

SPIQ_END_NAMESPACE
