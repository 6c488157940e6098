/// @file
/// Everything a kernel may ask of an architecture: include this, never xsimd or intrinsics.
#pragma once

#include <spiq/simd/arch.hpp>
#include <spiq/simd/bits.hpp>
#include <spiq/simd/bytes.hpp>
#include <spiq/simd/interleaved.hpp>
#include <spiq/simd/lanes.hpp>
#include <spiq/simd/scalar.hpp>
#include <spiq/simd/xsimd.hpp>
