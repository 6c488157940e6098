/// @file
/// exp over arrays of doubles: QuAKE, QuAKE2 and a full-accuracy one.
#pragma once

#include <spiq/core/parallel.hpp>
#include <spiq/kernel/accuracy.hpp>
#include <spiq/kernel/elementwise.hpp>
#include <spiq/kernel/exp.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// As `max_exp_map`, of doubles: inside, scale and shift are multiplied by up to 2^52 / ln 2.
inline constexpr double max_exp_map_f64 = 1e290;

namespace detail {
/// The rungs that exist for doubles: what the bits give, and `full`.
template <class Rung>
concept F64Rung = accuracy::Rung<Rung> && (requires { Rung::order; } || Rung::degree == 6);

/// a * b + c, in one rounding where the machine has it.
SPIQ_INLINE double multiply_add(double a, double b, double c) {
#if defined(__FMA__) || defined(__aarch64__)
  return std::fma(a, b, c);
#else
  return a * b + c;
#endif
}

/// exp(scale x + shift) of one double, without branches: compilers turn loops over it into vectors.
template <F64Rung Rung>
class ExpF64 {
public:
  SPIQ_INLINE ExpF64(double scale, double shift) : scale_(scale), shift_(shift) {
    SPIQ_ASSERT(std::abs(scale) <= max_exp_map_f64 && std::abs(shift) <= max_exp_map_f64);
    if constexpr (requires { Rung::order; }) {
      constexpr double unit = 6497320848556798.0;  // 2^52 / ln 2
      scale_ = scale * unit;
      shift_ = 4607182418800017408.0 + shift * unit;  // 1023 * 2^52
      if constexpr (Rung::order == 1) shift_ -= offset();
    }
  }
  [[nodiscard]] SPIQ_INLINE double operator()(double x) const {
    if constexpr (requires { Rung::order; })
      return by_bits(x);
    else
      return by_remainder(x);
  }

private:
  static constexpr bool ieee = Rung::overflow == accuracy::Overflow::ieee;
  static constexpr double largest = std::numeric_limits<double>::max();
  static constexpr std::int64_t one = 0x3ff0000000000000, infinity = 0x7ff0000000000000;
  static constexpr double offset() {
    if constexpr (Rung::offset == static_cast<int>(accuracy::Offset::minimax))
      return 196705742606755.0;  // s 2^52, s = log2((1 + 2 / (e ln 2)) / 2) = 0.0436774489
    else
      return static_cast<double>(Rung::offset) * 536870912.0;
  }
  /// As in float: the pattern of the result is a multiply-add, converted.
  [[nodiscard]] SPIQ_INLINE double by_bits(double x) const {
    double v = multiply_add(x, scale_, shift_);
    v = v > 0 ? v : 0;  // NaN gives 0
    constexpr double cap = ieee ? 9218868437227405312.0 : 9218868437227404288.0;  // the pattern of inf, and one below
    v = v < cap ? v : cap;
    const auto i = static_cast<std::int64_t>(v);
    double y = std::bit_cast<double>(i);
    if constexpr (Rung::order == 2) {
      const double e = std::bit_cast<double>(i & infinity);
      const double m = std::bit_cast<double>((i & 0x000fffffffffffff) | one);
      constexpr double a = Rung::a, k = Rung::factor;
      y = e * multiply_add(m, multiply_add(m, a * k, (1 - 3 * a) * k), 2 * a * k);
    }
    if constexpr (Rung::nan == accuracy::Nan::propagate) y = x == x ? y : x;
    return y;
  }
  /// e^y = e^r 2^n, n the nearest integer to y / ln 2; Taylor's series of degree 13 errs by 4e-18 for |r| <= 0.347.
  [[nodiscard]] SPIQ_INLINE double by_remainder(double x) const {
    double y = multiply_add(x, scale_, shift_);
    y = y < 710 ? y : 710;  // infinite, and 0 beyond
    y = y > -746 ? y : -746;
    constexpr double magic = 6755399441055744.0;  // 1.5 * 2^52: rounds to integers, the last bits count them
    const double t = multiply_add(y, log2_e, magic);
    const double n = t - magic;
    const double r = multiply_add(n, -1.90821492927058770002e-10, multiply_add(n, -6.93147180369123816490e-01, y));
    // 1 + (r + r^2 (even + r odd)): two chains, and few roundings at the end.
    constexpr double even[] = {1.0 / 479001600, 1.0 / 3628800, 1.0 / 40320, 1.0 / 720, 1.0 / 24, 0.5};
    constexpr double odd[] = {1.0 / 6227020800, 1.0 / 39916800, 1.0 / 362880, 1.0 / 5040, 1.0 / 120, 1.0 / 6};
    const double square = r * r;
    double p = even[0], q = odd[0];
    SPIQ_UNROLL
    for (int i = 1; i < 6; ++i) {
      p = multiply_add(p, square, even[i]);
      q = multiply_add(q, square, odd[i]);
    }
    p = 1.0 + multiply_add(square, multiply_add(q, r, p), r);
    // The exponent by addition; what is below the normal numbers as a factor, for gradual underflow.
    const auto e = static_cast<std::int64_t>(std::bit_cast<std::uint64_t>(t) << 52);
    constexpr std::int64_t lowest = std::int64_t{-1021} * (std::int64_t{1} << 52);
    const std::int64_t normal = e > lowest ? e : lowest;
    constexpr std::int64_t top = ieee ? infinity : infinity - 1;
    std::int64_t bits = std::bit_cast<std::int64_t>(p) + normal;
    bits = bits < top ? bits : top;
    const double z = std::bit_cast<double>(bits) * std::bit_cast<double>(e - normal + one);
    return Rung::nan == accuracy::Nan::propagate ? (x == x ? z : x) : z;
  }

  double scale_, shift_;
};
}  // namespace detail

/// y[i] = exp(scale x[i] + shift) for i < n, in double; y may be x. Vectors are the compiler's, on every architecture.
template <detail::F64Rung Rung>
void exp(const double* x, double* y, std::size_t n, double scale = 1, double shift = 0, int threads = 1) noexcept {
  parallel_for(n, map_grain, threads, [=](std::size_t begin, std::size_t end, int) {
    const detail::ExpF64<Rung> f(scale, shift);
    // Blocks of a fixed size whose elements do not depend on each other: vectors at -O2 too.
    constexpr std::size_t block = 32;
    std::size_t i = begin;
    for (; i + block <= end; i += block) {
#if defined(__clang__)
#pragma clang loop vectorize(assume_safety)
#elif defined(__GNUC__)
#pragma GCC ivdep
#endif
      for (std::size_t k = 0; k < block; ++k) y[i + k] = f(x[i + k]);
    }
    // The same code for the rest, so that a result does not depend on its place.
    double rest[block] = {};
    std::copy(x + i, x + end, rest);
    for (double& v : rest) v = f(v);
    std::copy(rest, rest + (end - i), y + i);
  });
}

}  // namespace kernel

namespace math {

/// Maps that `math::exp` of doubles folds into its constants.
struct ExpF64Options {
  double scale = 1;
  double shift = 0;
  int threads = 1;
};

/// y[i] = exp(scale x[i] + shift) in double; y may be x. Rungs: `quake*` and `quake2*` with their errors as in float (x
/// from -708.35 to 709.78; below, `quake` loses accuracy progressively, `quake2` is 0), and `full` within 2 units in the
/// last place, with gradual underflow.
/// Throws `spiq::Error` if the spans differ in length, or if scale or shift is not finite or beyond 1e290 in magnitude.
/// Source: QuAKE, arXiv 2412.00408.
template <kernel::detail::F64Rung Rung>
void exp(std::span<const double> x, std::span<double> y, ExpF64Options options = {}) {
  kernel::detail::check_lengths("exp", x.size(), y.size());
  kernel::detail::check_exp_map("exp: scale", options.scale, kernel::max_exp_map_f64);
  kernel::detail::check_exp_map("exp: shift", options.shift, kernel::max_exp_map_f64);
  kernel::exp<Rung>(x.data(), y.data(), x.size(), options.scale, options.shift, options.threads);
}

}  // namespace math

SPIQ_END_NAMESPACE
