// The architectures compiled into this unit, as the type list that Catch2's typed tests take.
#pragma once
#include <spiq/simd/simd.hpp>

#include <tuple>

namespace spiq_test {
template <class List>
struct as_tuple;
template <class... Arch>
struct as_tuple<spiq::simd::arch_list<Arch...>> {
  using type = std::tuple<Arch...>;
};
#if defined(__SANITIZE_ADDRESS__)
// Sanitized builds take long to compile; the architectures between are tested without, each in a build of its own.
using Backends = std::tuple<spiq::simd::scalar, spiq::simd::best>;
#else
using Backends = as_tuple<spiq::simd::compiled>::type;
#endif
}  // namespace spiq_test
