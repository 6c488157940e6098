// What the rows of our own exponentials share: their names.
#pragma once

#include <spiq/simd/arch.hpp>

#include <string>
#include <type_traits>

namespace bench {

/// "_avx2" and the like for a row on another architecture than the best of this build; nothing for the best, which the
/// first line of the output names.
template <class Arch>
std::string arch_suffix() {
  return std::is_same_v<Arch, spiq::simd::best> ? std::string() : std::string("_") + Arch::name;
}
/// spiq_<rung> with the architecture where it is not the best.
template <class Rung, class Arch = spiq::simd::best>
std::string our_name() {
  return std::string("spiq_") + Rung::name + arch_suffix<Arch>();
}

}  // namespace bench
