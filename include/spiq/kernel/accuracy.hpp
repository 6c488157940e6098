/// @file
/// The rungs of the accuracy ladder of exponentials: tags with a bound on the relative error.
#pragma once

#include <spiq/core/abi.hpp>

SPIQ_BEGIN_NAMESPACE

/// How exactly an exponential is computed, as a type. Kernels and layers take a rung as template argument.
///
/// `quake` and `quake2` are the operators of QuAKE (arXiv 2412.00408): one multiply-add whose result, converted to an
/// integer, is the bit pattern of the exponential. The ladder goes on where the paper ends: a range reduction, a
/// polynomial and a scaling by the exponent (for which AVX-512 has an instruction).
///
/// | rung            | relative error              | continuous | exp(0)      |
/// |-----------------|-----------------------------|------------|-------------|
/// | quake           | within 2.984 %              | yes        | 0.978       |
/// | quake_one_sided | 0 to +6.149 %               | yes        | 1           |
/// | quake_rms       | -3.94 to +1.97 %            | yes        | 0.963...    |
/// | quake2          | -0.188 to +0.342 %          | yes, C1    | 1           |
/// | quake2_balanced | within 0.269 %              | yes        | 1           |
/// | quake2_scaled   | within 0.265 %              | yes, C1    | 0.9992      |
/// | ladder2         | within 1.74e-3              | 3.5e-3 steps at powers of two | 1.0017 |
/// | ladder3         | within 8.5e-5               | yes        | 0.99993     |
/// | ladder4         | within 4.5e-6               | to 5e-6    | 1 - 7e-7    |
/// | ladder5         | within 2.5e-7               | to 2e-7    | 1 + 1e-7    |
/// | full            | 2 units in the last place   | yes        | 1           |
///
/// The bounds hold for every float whose exponential is finite and whose result is a normal float: up to x = 88.722,
/// and down to -126 ln 2 = -87.3365 or, in rungs that lie below exp there, as much before it as their error is (`quake`
/// -87.3063, `quake_rms` -87.2964). Further down, the result is 0 or any value between 0 and the smallest normal float
/// (the `full` rung underflows gradually, within its bound and half a unit of the smallest subnormal). A map of the
/// input (`scale`, `shift`) is fused: its rounding, and that of its constants, adds 2^-24 (|scale x| + |shift|).
/// -inf gives exactly 0 in every rung. Where an instruction looks up powers of two (AVX2, AVX-512), ladder4 and ladder5
/// are exact at 0, and on AVX-512 within 8e-7 and 2e-7.
///
/// All architectures of one unit give the same bits in `quake*` and `quake2*` (NaN aside, unless `checked`). Units of
/// different flags may differ by 128 units of the bit pattern: where product and sum are rounded together depends on
/// what the best architecture of the unit does fastest.
namespace accuracy {

/// What becomes of results beyond the largest float.
enum class Overflow {
  saturate,  ///< about the largest float, 3.4028e38
  ieee       ///< +inf
};
/// What a NaN gives.
enum class Nan {
  any,       ///< some finite value or NaN, at no cost
  propagate  ///< NaN
};

/// Where the straight line of order 1 lies: subtracted from the exponent's bias, in units of 2^-23 octaves.
enum class Offset { none = 0, minimax = 366393, rms = 486411 };

namespace detail {
/// Order 1: the mantissa is taken as it falls.
template <Offset O>
struct order1 {
  static constexpr int order = 1;
  static constexpr int offset = static_cast<int>(O);
  static constexpr Overflow overflow = Overflow::saturate;
  static constexpr Nan nan = Nan::any;
};
/// Order 2: a quadratic in the mantissa m, c2 m^2 + c1 m + c0.
struct order2 {
  static constexpr int order = 2;
  static constexpr Overflow overflow = Overflow::saturate;
  static constexpr Nan nan = Nan::any;
};
/// 2^f by a polynomial of this degree, scaled by the exponent.
template <int Degree>
struct reduced {
  static constexpr int degree = Degree;
  static constexpr Overflow overflow = Overflow::ieee;
  static constexpr Nan nan = Nan::propagate;
};
}  // namespace detail

/// Order 1, offset that minimises the largest relative error (the classic 366393).
struct quake : detail::order1<Offset::minimax> {
  static constexpr const char* name = "quake";
  static constexpr double lower = -0.02984, upper = 0.02984;
};
/// Order 1, exact at powers of two.
struct quake_one_sided : detail::order1<Offset::none> {
  static constexpr const char* name = "quake_one_sided";
  static constexpr double lower = -1e-5, upper = 0.06149;
};
/// Order 1, offset that minimises the root mean square of the error.
struct quake_rms : detail::order1<Offset::rms> {
  static constexpr const char* name = "quake_rms";
  static constexpr double lower = -0.0395, upper = 0.0198;
};
/// Order 2, (m^2 + 2) / 3: exact at powers of two, continuous with a continuous slope.
struct quake2 : detail::order2 {
  static constexpr const char* name = "quake2";
  static constexpr double lower = -0.00188, upper = 0.003421;
  static constexpr double a = 1.0 / 3.0, factor = 1;
};
/// Order 2 with the least error that is exact at powers of two.
struct quake2_balanced : detail::order2 {
  static constexpr const char* name = "quake2_balanced";
  static constexpr double lower = -0.00269, upper = 0.00269;
  static constexpr double a = 0.339766028, factor = 1;
};
/// `quake2` times a factor that halves the error to both sides; in ratios the factor cancels.
struct quake2_scaled : detail::order2 {
  static constexpr const char* name = "quake2_scaled";
  static constexpr double lower = -0.00265, upper = 0.00265;
  static constexpr double a = 1.0 / 3.0, factor = 0.99922724;
};
struct ladder2 : detail::reduced<2> {
  static constexpr const char* name = "ladder2";
  static constexpr double lower = -1.74e-3, upper = 1.74e-3;
};
struct ladder3 : detail::reduced<3> {
  static constexpr const char* name = "ladder3";
  static constexpr double lower = -8.5e-5, upper = 8.5e-5;
};
struct ladder4 : detail::reduced<4> {
  static constexpr const char* name = "ladder4";
  static constexpr double lower = -4.5e-6, upper = 4.5e-6;
};
struct ladder5 : detail::reduced<5> {
  static constexpr const char* name = "ladder5";
  static constexpr double lower = -2.5e-7, upper = 2.5e-7;
};
struct full : detail::reduced<6> {
  static constexpr const char* name = "full";
  static constexpr double lower = -2.4e-7, upper = 2.4e-7;
};

/// The same rung whose results beyond the range of floats are +inf.
template <class Rung>
struct ieee : Rung {
  static constexpr Overflow overflow = Overflow::ieee;
};
/// The same rung that returns about the largest float beyond the range of floats.
template <class Rung>
struct saturating : Rung {
  static constexpr Overflow overflow = Overflow::saturate;
};
/// The same rung, with NaN in, NaN out.
template <class Rung>
struct checked : Rung {
  static constexpr Nan nan = Nan::propagate;
};

/// Largest relative error of a rung.
template <class Rung>
inline constexpr double max_error = Rung::upper > -Rung::lower ? Rung::upper : -Rung::lower;

/// One of the types above, or something with the same members.
template <class A>
concept Rung = requires {
  A::name;
  A::lower;
  A::upper;
  A::overflow;
  A::nan;
} && (requires { A::order; } || requires { A::degree; });

}  // namespace accuracy

SPIQ_END_NAMESPACE
