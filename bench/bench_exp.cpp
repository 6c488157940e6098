// exp of arrays in every rung, against the exponentials of xsimd, Eigen and the C library.
//
// Bound in the first cache: one load and one store of a vector (the copy of the same bytes, measured). The rungs up to
// `quake2` come near it; the others are bound by their multiply-adds. Out of memory AVX-512 is bound by the
// transfers in every rung, AVX2 in those up to `ladder4`: compare with the row `exp/copy_streaming` on the same arrays.
#include "harness.hpp"
#include "ours.hpp"
#include "peers_xsimd.hpp"

#include <spiq/kernel/exp.hpp>

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

struct Arrays {
  explicit Arrays(std::size_t n) : x(n), y(n) {
    for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<float>(-10.0 * static_cast<double>(i * 7919 % n) / static_cast<double>(n));
  }
  [[nodiscard]] double relative_error() const {
    double worst = 0;
    for (std::size_t i = 0; i < x.size(); ++i)
      worst = std::max(worst, std::abs(double{y[i]} / std::exp(double{x[i]}) - 1));
    return worst;
  }
  spiq::AlignedVector<float> x, y;
};
/// The arrays of this size; rows that ask while another row still holds them share them, so that all run on the same
/// pages. The error of a row is taken right after its own call.
std::shared_ptr<Arrays> arrays(std::size_t n) {
  static std::weak_ptr<Arrays> last;
  auto data = last.lock();
  if (!data || data->x.size() != n) {
    data = std::make_shared<Arrays>(n);
    last = data;
  }
  return data;
}

/// `run(x, y, n)` on n values, the error against exp in double.
template <class F>
void add(bench::Suite& suite, const std::string& implementation, std::size_t n, F run) {
  suite.add({.kernel = "exp",
             .implementation = implementation,
             .shape = std::to_string(n),
             .bytes = 8.0 * static_cast<double>(n),
             .traffic = bench::Traffic::copy,
             .items = static_cast<double>(n),
             .item = "elem",
             .prepare = [=] {
               auto data = arrays(n);
               return bench::Case{.run = [=] { run(data->x.data(), data->y.data(), n); },
                                  .error = [=] { return data->relative_error(); }};
             }});
}

template <class Rung, class Arch = spiq::simd::best>
void add_rung(bench::Suite& suite, std::size_t n) {
  add(suite, bench::our_name<Rung, Arch>(), n,
      [](const float* x, float* y, std::size_t count) { spiq::kernel::exp<Rung, Arch>(x, y, count); });
}

template <class Rung, class... Arch>
void add_on_all(bench::Suite& suite, std::size_t n, spiq::simd::arch_list<Arch...>) {
  (add_rung<Rung, Arch>(suite, n), ...);
}

template <class... Rung>
void add_rungs(bench::Suite& suite, std::size_t n) {
  (add_rung<Rung>(suite, n), ...);
}

void add_peers(bench::Suite& suite, std::size_t n) {
  add(suite, "xsimd", n, [](const float* x, float* y, std::size_t count) {
    bench::xsimd_map(x, y, count, [](xsimd::batch<float> v) { return xsimd::exp(v); });
  });
#if defined(SPIQ_BENCH_EIGEN)
  add(suite, "eigen", n, [](const float* x, float* y, std::size_t count) {
    const auto size = static_cast<Eigen::Index>(count);
    Eigen::Map<Eigen::ArrayXf, Eigen::Aligned64>(y, size) = Eigen::Map<const Eigen::ArrayXf, Eigen::Aligned64>(x, size).exp();
  });
#endif
}

/// Copies past the caches: what any map out of memory costs at least.
void streaming_copy(const float* x, float* y, std::size_t n) {
  spiq::kernel::stream_map(x, y, n, [](auto v) SPIQ_LAMBDA_INLINE { return v; });
}

}  // namespace

SPIQ_BENCH(exp) {
  static constexpr std::size_t cached = 4096, streamed = 10000000;
  add_on_all<accuracy::quake>(suite, cached, spiq::simd::compiled{});
  add_on_all<accuracy::quake2>(suite, cached, spiq::simd::compiled{});
  add_rung<accuracy::ladder2>(suite, cached);
  add_on_all<accuracy::ladder3>(suite, cached, spiq::simd::compiled{});
  add_rung<accuracy::ladder4>(suite, cached);
  add_rung<accuracy::ladder5>(suite, cached);
  add_on_all<accuracy::full>(suite, cached, spiq::simd::compiled{});
  add_peers(suite, cached);
  add(suite, "std", cached, [](const float* x, float* y, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) y[i] = std::exp(x[i]);
  });
  add_rungs<accuracy::quake, accuracy::quake_one_sided, accuracy::quake_rms, accuracy::quake2, accuracy::quake2_balanced,
            accuracy::quake2_scaled, accuracy::ladder2, accuracy::ladder3, accuracy::ladder4, accuracy::ladder5,
            accuracy::full>(suite, streamed);
  add_peers(suite, streamed);
  suite.add({.kernel = "exp",
             .implementation = "copy_streaming",
             .shape = std::to_string(streamed),
             .bytes = 8.0 * streamed,
             .traffic = bench::Traffic::copy,
             .items = streamed,
             .item = "elem",
             .exact = true,
             .prepare = [] {
               auto data = arrays(streamed);
               return bench::Case{.run = [=] { streaming_copy(data->x.data(), data->y.data(), streamed); },
                                  .error = [=] { return data->x == data->y ? 0.0 : 1.0; }};
             }});
}
