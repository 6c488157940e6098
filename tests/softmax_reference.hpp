// Softmax in double, samples and rungs that the tests of softmax share.
#pragma once
#include "worst.hpp"

#include <spiq/core/random.hpp>
#include <spiq/core/storage.hpp>
#include <spiq/kernel/softmax.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <tuple>
#include <type_traits>
#include <vector>

namespace spiq_test {

namespace accuracy = spiq::accuracy;
namespace math = spiq::math;
namespace simd = spiq::simd;

// Aligned: where a row lies decides in which order its sum is taken, hence its last bits.
using Floats = spiq::AlignedVector<float>;
inline constexpr float inf = std::numeric_limits<float>::infinity();
inline constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();

/// Without those that differ from one of these by a constant only; tests/test_exp.cpp has them.
using Rungs = std::tuple<accuracy::quake, accuracy::quake2, accuracy::quake2_balanced, accuracy::ladder2,
                         accuracy::ladder3, accuracy::ladder4, accuracy::ladder5, accuracy::full>;
using MainRungs = std::tuple<accuracy::quake, accuracy::quake2, accuracy::ladder3, accuracy::full>;
using FewRungs = std::tuple<accuracy::quake, accuracy::full>;
template <class Arch>
inline constexpr bool between = !std::is_same_v<Arch, simd::best> && !std::is_same_v<Arch, simd::scalar>;
/// If `Every`, all of them on the best back-end and one of each kind on the others, else one of each kind and two on the
/// back-ends between, for the compiler's sake: each is the best one in a build for its machine.
template <class Arch, bool Every, class F>
void for_rungs(const F& f) {
  std::apply([&](auto... rung) { (f(rung), ...); },
             std::conditional_t<Every && std::is_same_v<Arch, simd::best>, Rungs,
                                std::conditional_t<!Every && between<Arch>, FewRungs, MainRungs>>{});
}

/// Values of a normal distribution.
inline Floats normal(std::size_t count, double deviation, std::uint64_t seed) {
  spiq::Rng rng(seed);
  Floats x(count);
  for (float& v : x) {
    const double u = 1 - static_cast<double>(rng.uniform(0.0f, 1.0f)), w = static_cast<double>(rng.uniform(0.0f, 1.0f));
    v = static_cast<float>(deviation * std::sqrt(-2 * std::log(std::max(u, 1e-12))) * std::cos(6.283185307179586 * w));
  }
  return x;
}

/// Softmax (or its logarithm) of one row of mapped scores, in double.
inline std::vector<double> exact_row(const std::vector<double>& z, bool logarithm) {
  const double top = *std::max_element(z.begin(), z.end());
  double sum = 0;
  for (double v : z) sum += std::exp(v - top);
  std::vector<double> y(z.size());
  for (std::size_t i = 0; i < z.size(); ++i) y[i] = logarithm ? z[i] - top - std::log(sum) : std::exp(z[i] - top) / sum;
  return y;
}
inline std::vector<double> exact_row(const float* x, std::size_t n, double scale = 1, bool logarithm = false) {
  std::vector<double> z(n);
  for (std::size_t i = 0; i < n; ++i) z[i] = scale * static_cast<double>(x[i]);
  return exact_row(z, logarithm);
}

/// Largest relative error that a rung's own allows in a ratio.
template <class Rung>
constexpr double ratio_bound() {
  return (1 + Rung::upper) / (1 + Rung::lower) - 1 + 2e-6;
}
inline double sum_of(const float* y, std::size_t n) {
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += static_cast<double>(y[i]);
  return sum;
}

template <class Rung, class Arch>
Floats softmax_of(const Floats& x, std::size_t cols, math::SoftmaxOptions o = {}) {
  Floats y(x.size());
  o.cols = cols;
  o.rows = x.size() / cols;
  math::softmax<Rung, Arch>(x, y, o);
  return y;
}
template <class Rung, class Arch>
Floats log_softmax_of(const Floats& x, std::size_t cols, math::SoftmaxOptions o = {}) {
  Floats y(x.size());
  o.cols = cols;
  o.rows = x.size() / cols;
  math::log_softmax<Rung, Arch>(x, y, o);
  return y;
}

/// Lengths on both sides of every border: vectors, rows in registers, three passes, blocks, beyond the second cache.
inline std::vector<std::size_t> lengths() {
  return {1,  2,  3,   7,   8,   9,   15,  16,  17,   31,   33,   63,   64,  65,
          127, 129, 197, 255, 256, 257, 300, 1000, 1024, 4096, 4097, 6145, 50257};
}
inline constexpr std::size_t beyond_l2 = 140001;

}  // namespace spiq_test
