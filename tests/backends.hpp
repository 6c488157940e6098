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
using Backends = as_tuple<spiq::simd::compiled>::type;
}  // namespace spiq_test
