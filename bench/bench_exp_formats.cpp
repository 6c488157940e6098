// exp of float16, bfloat16 and double, and softmax by integers alone.
//
// Peers of the 16-bit formats widen to float, take the peer's exponential and round, in one loop; std of the integer
// softmax dequantizes, takes std::exp and quantizes.
#include "harness.hpp"

#include <spiq/kernel/exp_f64.hpp>
#include <spiq/kernel/exp_half.hpp>
#include <spiq/kernel/softmax_integer.hpp>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include <xsimd/xsimd.hpp>
#if defined(SPIQ_BENCH_EIGEN)
#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Core>
#endif

namespace {

namespace accuracy = spiq::accuracy;
namespace simd = spiq::simd;

template <class T>
struct Arrays {
  explicit Arrays(std::size_t n) : x(n), y(n) {
    for (std::size_t i = 0; i < n; ++i)
      x[i] = T(static_cast<float>(-9.0 * static_cast<double>(i * 7919 % n) / static_cast<double>(n)));
  }
  [[nodiscard]] double relative_error() const {
    double worst = 0;
    for (std::size_t i = 0; i < x.size(); ++i)
      worst = std::max(worst, std::abs(real(y[i]) / std::exp(real(x[i])) - 1));
    return worst;
  }
  static double real(T v) {
    if constexpr (std::is_same_v<T, double>)
      return v;
    else
      return static_cast<double>(static_cast<float>(v));
  }
  spiq::AlignedVector<T> x, y;
};

template <class T, class F>
void add(bench::Suite& suite, const char* kernel, const std::string& implementation, F run) {
  constexpr std::size_t n = 4096;
  suite.add({.kernel = kernel,
             .implementation = implementation,
             .shape = std::to_string(n),
             .bytes = 2.0 * sizeof(T) * n,
             .traffic = bench::Traffic::copy,
             .items = static_cast<double>(n),
             .item = "elem",
             .prepare = [=] {
               auto data = std::make_shared<Arrays<T>>(n);
               return bench::Case{.run = [=] { run(data->x.data(), data->y.data(), n); },
                                  .error = [=] { return data->relative_error(); }};
             }});
}

template <class Half>
void add_half(bench::Suite& suite, const char* kernel) {
  const auto ours = [&](auto rung) {
    using Rung = decltype(rung);
    add<Half>(suite, kernel, std::string("spiq_") + Rung::name,
              [](const Half* x, Half* y, std::size_t n) { spiq::kernel::exp<Rung>(x, y, n); });
  };
  ours(accuracy::quake{});
  ours(accuracy::quake2{});
  ours(accuracy::ladder3{});
  add<Half>(suite, kernel, "spiq_quake_avx2_or_scalar", [](const Half* x, Half* y, std::size_t n) {
#if defined(SPIQ_SIMD_AVX2)
    spiq::kernel::exp<accuracy::quake, simd::avx2>(x, y, n);
#else
    spiq::kernel::exp<accuracy::quake, simd::scalar>(x, y, n);
#endif
  });
  add<Half>(suite, kernel, "xsimd", [](const Half* x, Half* y, std::size_t n) {
    using V = simd::traits<simd::best>::f32;
    for (std::size_t i = 0; i + V::width <= n; i += V::width)
      simd::store_narrow(V{xsimd::exp(simd::load_wide<simd::best>(x + i).v)}, y + i);
  });
  add<Half>(suite, kernel, "std", [](const Half* x, Half* y, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) y[i] = Half(std::exp(static_cast<float>(x[i])));
  });
}

void add_f64(bench::Suite& suite) {
  const auto ours = [&](auto rung) {
    using Rung = decltype(rung);
    add<double>(suite, "exp_f64", std::string("spiq_") + Rung::name,
                [](const double* x, double* y, std::size_t n) { spiq::kernel::exp<Rung>(x, y, n); });
  };
  ours(accuracy::quake{});
  ours(accuracy::quake2{});
  ours(accuracy::full{});
  add<double>(suite, "exp_f64", "xsimd", [](const double* x, double* y, std::size_t n) {
    using B = xsimd::batch<double>;
    for (std::size_t i = 0; i + B::size <= n; i += B::size) xsimd::exp(B::load_unaligned(x + i)).store_unaligned(y + i);
  });
#if defined(SPIQ_BENCH_EIGEN)
  add<double>(suite, "exp_f64", "eigen", [](const double* x, double* y, std::size_t n) {
    const auto size = static_cast<Eigen::Index>(n);
    Eigen::Map<Eigen::ArrayXd, Eigen::Aligned64>(y, size) = Eigen::Map<const Eigen::ArrayXd, Eigen::Aligned64>(x, size).exp();
  });
#endif
  add<double>(suite, "exp_f64", "std", [](const double* x, double* y, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) y[i] = std::exp(x[i]);
  });
}

struct Scores {
  static constexpr double scale = 0.05;
  explicit Scores(std::size_t n) : x(n), y(n) {
    for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<std::int8_t>(i * 7919 % 251 % 256);
  }
  /// In units of the result, 1/32768.
  [[nodiscard]] double error() const {
    double sum = 0, worst = 0;
    for (const std::int8_t s : x) sum += std::exp(scale * s);
    for (std::size_t i = 0; i < x.size(); ++i) worst = std::max(worst, std::abs(y[i] - 32768 * std::exp(scale * x[i]) / sum));
    return worst;
  }
  spiq::AlignedVector<std::int8_t> x;
  spiq::AlignedVector<std::int16_t> y;
};

template <class F>
void add_softmax(bench::Suite& suite, const std::string& implementation, F run) {
  constexpr std::size_t n = 1024;
  suite.add({.kernel = "softmax_int",
             .implementation = implementation,
             .shape = "1x" + std::to_string(n),
             .bytes = 3.0 * n,
             .traffic = bench::Traffic::copy,
             .items = static_cast<double>(n),
             .item = "elem",
             .prepare = [=] {
               auto data = std::make_shared<Scores>(n);
               return bench::Case{.run = [=] { run(data->x.data(), data->y.data(), n); },
                                  .error = [=] { return data->error(); }};
             }});
}

}  // namespace

SPIQ_BENCH(exp_formats) {
  add_half<spiq::float16>(suite, "exp_f16");
  add_half<spiq::bfloat16>(suite, "exp_bf16");
  add_f64(suite);
  const auto scale = spiq::kernel::OctaveScale::of(Scores::scale);
  add_softmax(suite, "spiq_quake", [=](const std::int8_t* x, std::int16_t* y, std::size_t n) {
    spiq::kernel::softmax_integer<accuracy::quake>(x, y, 1, n, scale);
  });
  add_softmax(suite, "spiq_quake2", [=](const std::int8_t* x, std::int16_t* y, std::size_t n) {
    spiq::kernel::softmax_integer<accuracy::quake2>(x, y, 1, n, scale);
  });
  add_softmax(suite, "std", [](const std::int8_t* x, std::int16_t* y, std::size_t n) {
    static thread_local spiq::AlignedVector<float> e;
    e.resize(n);
    const std::int8_t top = *std::max_element(x, x + n);
    float sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += e[i] = std::exp(static_cast<float>(Scores::scale) * static_cast<float>(x[i] - top));
    for (std::size_t i = 0; i < n; ++i) y[i] = static_cast<std::int16_t>(std::lrint(std::min(32767.0f, 32768.0f * e[i] / sum)));
  });
}
