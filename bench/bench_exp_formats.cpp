// exp of float16, bfloat16 and double, and softmax by integers alone.
//
// Peers of the 16-bit formats widen to float, take the peer's exponential and round, in one loop (xsimd's four vectors
// at a time); std of the integer
// softmax dequantizes, takes std::exp and quantizes.
#include "harness.hpp"
#include "ours.hpp"
#include "peers_xsimd.hpp"

#include <spiq/kernel/exp_f64.hpp>
#include <spiq/kernel/exp_half.hpp>
#include <spiq/kernel/softmax_integer.hpp>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

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
               return bench::Case{.run = [=] { run(data->x.data(), data->y.data(), data->x.size()); },
                                  .error = [=] { return data->relative_error(); }};
             }});
}

template <class Half>
void add_half(bench::Suite& suite, const char* kernel) {
  const auto ours = [&]<class Rung, class... Arch>(Rung, simd::arch_list<Arch...>) {
    (add<Half>(suite, kernel, bench::our_name<Rung, Arch>(),
               [](const Half* x, Half* y, std::size_t n) { spiq::kernel::exp<Rung, Arch>(x, y, n); }),
     ...);
  };
  ours(accuracy::quake{}, simd::compiled{});
  ours(accuracy::quake2{}, simd::arch_list<simd::best>{});
  ours(accuracy::ladder3{}, simd::arch_list<simd::best>{});
  add<Half>(suite, kernel, "xsimd", [](const Half* x, Half* y, std::size_t n) {
    using V = simd::traits<simd::best>::f32;
    bench::four_vectors<V::width>(
        n, [&](std::size_t i) { return V{xsimd::exp(simd::load_wide<simd::best>(x + i).v)}; },
        [&](V v, std::size_t i) { simd::store_narrow(v, y + i); });
  });
  add<Half>(suite, kernel, "std", [](const Half* x, Half* y, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) y[i] = Half(std::exp(static_cast<float>(x[i])));
  });
}

void add_f64(bench::Suite& suite) {
  const auto ours = [&](auto rung) {
    using Rung = decltype(rung);
    add<double>(suite, "exp_f64", bench::our_name<Rung>(),
                [](const double* x, double* y, std::size_t n) { spiq::kernel::exp<Rung>(x, y, n); });
  };
  ours(accuracy::quake{});
  ours(accuracy::quake2{});
  ours(accuracy::full{});
  add<double>(suite, "exp_f64", "xsimd", [](const double* x, double* y, std::size_t n) {
    bench::xsimd_map(x, y, n, [](xsimd::batch<double> v) { return xsimd::exp(v); });
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
