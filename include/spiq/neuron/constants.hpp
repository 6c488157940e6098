/// @file
/// Constants of neuron models: lists of them, and what refuses those that make no sense.
#pragma once

#include <spiq/core/error.hpp>

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

SPIQ_BEGIN_NAMESPACE

namespace neuron {

/// The elements of an array, then more.
template <class T, std::size_t N, class... More>
constexpr std::array<T, N + sizeof...(More)> appended(const std::array<T, N>& first, const More&... more) {
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    return std::array<T, N + sizeof...(More)>{first[I]..., T(more)...};
  }(std::make_index_sequence<N>());
}
/// Throws unless a constant of a model makes sense.
inline void need(bool good, std::string_view what, std::string_view wanted, float found) {
  if (!good) SPIQ_THROW(std::string("neuron: ").append(what), wanted, std::to_string(found));
}

}  // namespace neuron

SPIQ_END_NAMESPACE
