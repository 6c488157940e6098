// The baselines.
#if defined(__GNUC__) && !defined(__clang__)
// The AVX-512 intrinsics that xsimd::exp is made of read an undefined register by design (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include "contender_of.hpp"

template Contender contender<StdExp>();
template Contender contender<SimdExp>();
template Contender contender<NoExp>();
