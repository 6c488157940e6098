/// @file
/// What the non-linearities are made of: exponentials of their inputs, reciprocals, e^x - 1.
#pragma once

#include <spiq/kernel/exp_vector.hpp>

#include <cstdint>
#include <limits>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace kernel {
namespace detail {

template <class V>
struct vector_arch;
template <class T, class Arch>
struct vector_arch<simd::vec<T, Arch>> {
  using type = Arch;
};
template <class V>
using arch_of = typename vector_arch<V>::type;

/// `ladder5` within a function: ln 2 in one part, 2e-9 |x| more; less than the rounding of a product that is x.
struct inner_exp5 : accuracy::detail::reduced<5> {
  static constexpr const char* name = "inner_exp5";
  static constexpr double lower = -4.5e-7, upper = 4.5e-7;
  static constexpr bool one_step = true;
};
template <class Rung>
inline constexpr bool finest = [] {
  if constexpr (requires { Rung::degree; })
    return Rung::degree >= 5;
  else
    return false;
}();
/// Exponentials within a function: beyond the floats +inf, so that what is divided by it is exactly 0.
template <class Rung, class V, ExpInput Input, ExpDomain Domain = ExpDomain::all>
using InnerExp = Exp<std::conditional_t<finest<Rung>, inner_exp5, accuracy::ieee<Rung>>, arch_of<V>, Input, Domain>;

/// From here on results are accurate relative to themselves near 0 too.
template <class Rung>
inline constexpr bool refined = [] {
  if constexpr (requires { Rung::degree; })
    return Rung::degree >= 4;
  else
    return false;
}();
/// Bit tricks and `ladder2`, whose approximations elsewhere may be as coarse.
template <class Rung>
inline constexpr bool coarse = [] {
  if constexpr (requires { Rung::degree; })
    return Rung::degree <= 2;
  else
    return true;
}();

/// 1 / x within the error of the rung: exact for powers of two, 0 for +inf.
template <class Rung, class V>
SPIQ_INLINE V inverse(V x) {
  using Arch = arch_of<V>;
  constexpr double estimate = simd::reciprocal_estimate_error<Arch>;
  if constexpr (!simd::estimates_powers_exactly<Arch> || estimate < 1e-7)
    return V::broadcast(1.0f) / x;
  else if constexpr (estimate <= accuracy::max_error<Rung>)
    return reciprocal_estimate(x);
  else
    return reciprocal_newton(x);
}

/// The largest finite magnitude instead of an infinity, which times 0 would be NaN. NaN stays.
template <class V>
SPIQ_INLINE V finite_below(V x) {
  return max(V::broadcast(-std::numeric_limits<float>::max()), x);
}
/// x held in [-bound, bound]; NaN stays.
template <class V>
SPIQ_INLINE V held(V x, float bound) {
  return min(V::broadcast(bound), max(V::broadcast(-bound), x));
}

// Least relative error for (e^r - 1) / r, |r| <= ln(2) / 2: 4.4e-7 and 1.1e-8.
inline constexpr float expm1_degree4[] = {0.999999946f, 0.499993744f, 0.16666936f, 0.0418755282f, 0.0083333211f};
inline constexpr float expm1_degree5[] = {1.00000001f,   0.499999981f,   0.166665056f,
                                          0.0416671381f, 0.00836914005f, 0.00138888727f};

/// e^x - 1 for x <= 0, -1 at -inf. NaN stays.
template <class Rung, class V>
SPIQ_INLINE V expm1_nonpositive(V x) {
  if constexpr (refined<Rung>) {
    using I = decltype(bits_of(x));
    const V y = max(V::broadcast(-40.0f), x);
    const V n = round_nearest(y * V::broadcast(static_cast<float>(log2_e)));
    const V r = fma(n, V::broadcast(2.12194440e-4f), fma(n, V::broadcast(-0.693359375f), y));
    const V power = from_bits(simd::shift_left<23>(round_i32(n) + I::broadcast(127)));
    const V p = [&]() SPIQ_LAMBDA_INLINE {
      if constexpr (Rung::degree == 4)
        return r * polynomial(r, expm1_degree4);
      else
        return r * polynomial(r, expm1_degree5);
    }();
    return fma(power, p, power - V::broadcast(1.0f));
  } else {
    return InnerExp<Rung, V, ExpInput::plain, ExpDomain::nonpositive>()(x) - V::broadcast(1.0f);
  }
}

// Least relative error for log(1 + e) / e, e in [0, 1]: 2.9e-3, 4e-4, 8.5e-6, 1.3e-6, 3.1e-8.
inline constexpr float log1p_degree2[] = {0.997174221f, -0.443779537f, 0.141711178f};
inline constexpr float log1p_degree3[] = {0.999607023f, -0.486414138f, 0.254025014f, -0.0743431087f};
inline constexpr float log1p_degree5[] = {0.999991598f,  -0.499361366f, 0.325206689f,
                                          -0.210048713f, 0.10122231f,   -0.0238691617f};
inline constexpr float log1p_degree6[] = {0.999998732f, -0.499869657f, 0.331094493f, -0.235038615f,
                                          0.149223895f, -0.0664018162f, 0.0141410288f};
inline constexpr float log1p_degree8[] = {0.99999997f,  -0.499994931f, 0.333190968f,  -0.248429823f,  0.191060069f,
                                          -0.136632461f, 0.0782259554f, -0.0295052408f, 0.00523269475f};

/// log(1 + e) for e in [0, 1].
template <class Rung, class V>
SPIQ_INLINE V log1p_unit(V e) {
  if constexpr (requires { Rung::order; }) {
    if constexpr (Rung::order == 1)
      return e * polynomial(e, log1p_degree2);
    else
      return e * polynomial(e, log1p_degree3);
  } else if constexpr (Rung::degree == 2) {
    return e * polynomial(e, log1p_degree3);
  } else if constexpr (Rung::degree == 3) {
    return e * polynomial(e, log1p_degree5);
  } else if constexpr (Rung::degree == 4) {
    return e * polynomial(e, log1p_degree6);
  } else {
    return e * polynomial(e, log1p_degree8);
  }
}

// Q(a) = e^(-a a / 2) t p(t) with t = 1 / (1 + k a) is the normal distribution's tail beyond a >= 0: the form of
// Abramowitz and Stegun, 7.1.26, fitted for the least relative error over the range of floats. 3.4e-5, 1.3e-6, 3.2e-8.
inline constexpr float tail_degree5[] = {0.149083222f, 0.157524468f, 0.0842317091f, 0.199418065f, -0.090254642f};
inline constexpr float tail_degree7[] = {0.0803500179f, 0.0710941607f, 0.132527519f, -0.123163158f,
                                         0.44690891f,   -0.38680537f,  0.279088543f};
inline constexpr float tail_degree9[] = {0.139621294f,  0.139863732f, 0.119819765f,  0.105558346f, -0.0232258041f,
                                         0.15933877f,   -0.255855337f, 0.144038665f, -0.0291594476f};

/// The tail Q(a) and e^(-a a / 2) of vectors 0 <= a <= 14.5.
template <class Rung, class V>
class NormalTail {
public:
  static constexpr float bound = 14.5f;  ///< Q of it is no float but 0
  struct Result {
    V tail, density;
  };
  [[nodiscard]] SPIQ_INLINE Result operator()(V a) const {
    const V e = exp_(a, a * V::broadcast(static_cast<float>(-0.5 * exp_.unit)));
    const auto with = [&](float k, const auto& c) SPIQ_LAMBDA_INLINE {
      const V t = inverse<Rung>(fma(a, V::broadcast(k), V::broadcast(1.0f)));
      return e * t * polynomial(t, c);
    };
    if constexpr (!refined<Rung>)
      return {with(0.375f, tail_degree5), e};
    else if constexpr (Rung::degree == 4)
      return {with(0.2f, tail_degree7), e};
    else
      return {with(0.35f, tail_degree9), e};
  }

private:
  InnerExp<Rung, V, ExpInput::scaled, ExpDomain::nonpositive> exp_;
};

}  // namespace detail
}  // namespace kernel

SPIQ_END_NAMESPACE
