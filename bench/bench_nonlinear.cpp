// Non-linearities of one exponential each, in every rung that matters, against oneDNN, XNNPACK, Eigen and xsimd.
//
// Bound: 4096 floats lie in the first cache; what limits is the float units. On Zen 5 a vector of 16 costs, in the two
// multiply-add pipes and the two others: logistic ladder3 5 and 6 operations (3 cycles), full 10 and 6 (5), GELU's tanh
// form ladder3 8 and 7 (4), quake 5 and 5 (2.5). The rungs from `ladder4` on are as much bound by their latency.
#include "harness.hpp"
#include "ours.hpp"
#include "peers_exp.hpp"
#include "peers_xsimd.hpp"

#include <spiq/kernel/nonlinear_map.hpp>

#include <cmath>
#include <memory>
#include <string>

#if defined(SPIQ_BENCH_EIGEN)
#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Core>
#endif

namespace {

namespace accuracy = spiq::accuracy;
namespace kernel = spiq::kernel;
using bench::Floats;
using bench::Map;

constexpr std::size_t values = 4096;

std::shared_ptr<const Floats> inputs() {
  static std::weak_ptr<const Floats> last;
  auto x = last.lock();
  if (!x) {
    auto made = std::make_shared<Floats>(values);
    for (std::size_t i = 0; i < values; ++i) (*made)[i] = static_cast<float>(i * 7919 % values) / 256.0f - 8.0f;
    last = x = made;
  }
  return x;
}

bench::Row base(const char* name) {
  return {.kernel = name,
          .shape = std::to_string(values),
          .bytes = 8.0 * values,
          .traffic = bench::Traffic::copy,
          .items = static_cast<double>(values),
          .item = "elem"};
}

/// A row that computes y from x, with the largest absolute error against double.
template <class F>
void add(bench::Suite& suite, const char* name, const std::string& implementation, Map map, F run) {
  bench::Row row = base(name);
  row.implementation = implementation;
  row.prepare = [=] {
    auto x = inputs();
    auto y = std::make_shared<Floats>(values);
    return bench::Case{.run = [=] { run(x->data(), y->data(), values); },
                       .error =
                           [=] {
                             double worst = 0;
                             for (std::size_t i = 0; i < values; ++i)
                               worst = std::max(worst, std::abs(double{(*y)[i]} - bench::exact(map, double{(*x)[i]})));
                             return worst;
                           }};
  };
  suite.add(std::move(row));
}

template <template <class> class Function, class Rung, class Arch = spiq::simd::best>
void add_rung(bench::Suite& suite, const char* name, Map map) {
  add(suite, name, bench::our_name<Rung, Arch>(), map,
      [](const float* x, float* y, std::size_t n) { kernel::pointwise<Arch>(Function<Rung>{}, x, y, n); });
}
template <template <class> class Function, class Rung, class... Arch>
void add_on_all(bench::Suite& suite, const char* name, Map map, spiq::simd::arch_list<Arch...>) {
  (add_rung<Function, Rung, Arch>(suite, name, map), ...);
}
template <template <class> class Function>
void add_rungs(bench::Suite& suite, const char* name, Map map) {
  add_rung<Function, accuracy::quake>(suite, name, map);
  add_rung<Function, accuracy::quake2>(suite, name, map);
  add_rung<Function, accuracy::ladder3>(suite, name, map);
  add_rung<Function, accuracy::full>(suite, name, map);
}
template <template <class> class Function>
void add_rungs_on_all(bench::Suite& suite, const char* name, Map map) {
  add_on_all<Function, accuracy::quake>(suite, name, map, spiq::simd::compiled{});
  add_rung<Function, accuracy::quake2>(suite, name, map);
  add_on_all<Function, accuracy::ladder3>(suite, name, map, spiq::simd::compiled{});
  add_on_all<Function, accuracy::full>(suite, name, map, spiq::simd::compiled{});
}

/// `formula` on batches of xsimd.
template <class Formula>
void add_xsimd(bench::Suite& suite, const char* name, Map map, Formula formula) {
  add(suite, name, "xsimd", map,
      [formula](const float* x, float* y, std::size_t n) { bench::xsimd_map(x, y, n, formula); });
}
/// `formula` on arrays of Eigen.
template <class Formula>
void add_eigen([[maybe_unused]] bench::Suite& suite, [[maybe_unused]] const char* name, [[maybe_unused]] Map map,
               [[maybe_unused]] Formula formula) {
#if defined(SPIQ_BENCH_EIGEN)
  add(suite, name, "eigen", map, [formula](const float* x, float* y, std::size_t n) {
    const auto size = static_cast<Eigen::Index>(n);
    Eigen::Map<Eigen::ArrayXf, Eigen::Aligned64> out(y, size);
    formula(Eigen::Map<const Eigen::ArrayXf, Eigen::Aligned64>(x, size), out);
  });
#endif
}

/// Rows of libraries that have the function as one call.
void add_libraries(bench::Suite& suite, const char* name, Map map) {
  bench::add_map_peers(suite, base(name), map, inputs());
}

}  // namespace

SPIQ_BENCH(nonlinear) {
  using B = xsimd::batch<float>;
  static const std::shared_ptr<const Floats> kept = inputs();

  add_rungs_on_all<kernel::Logistic>(suite, "logistic", Map::logistic);
  add_libraries(suite, "logistic", Map::logistic);
  add_xsimd(suite, "logistic", Map::logistic, [](B x) { return B(1.0f) / (B(1.0f) + xsimd::exp(-x)); });
  add_eigen(suite, "logistic", Map::logistic, [](const auto& x, auto& y) { y = x.logistic(); });

  add_rungs_on_all<kernel::GeluTanh>(suite, "gelu_tanh", Map::gelu_tanh);
  add_libraries(suite, "gelu_tanh", Map::gelu_tanh);
  add_xsimd(suite, "gelu_tanh", Map::gelu_tanh, [](B x) {
    return x / (B(1.0f) + xsimd::exp(x * (B(-1.5957691f) - B(0.071354816f) * x * x)));
  });
  add_eigen(suite, "gelu_tanh", Map::gelu_tanh, [](const auto& x, auto& y) {
    y = x / (1.0f + (x * (-1.5957691f - 0.071354816f * x * x)).exp());
  });

  add_rungs<kernel::Silu>(suite, "silu", Map::silu);
  add_libraries(suite, "silu", Map::silu);
  add_xsimd(suite, "silu", Map::silu, [](B x) { return x / (B(1.0f) + xsimd::exp(-x)); });
  add_eigen(suite, "silu", Map::silu, [](const auto& x, auto& y) { y = x / (1.0f + (-x).exp()); });

  add_rungs<kernel::Tanh>(suite, "tanh", Map::tanh);
  add_libraries(suite, "tanh", Map::tanh);
  add_xsimd(suite, "tanh", Map::tanh, [](B x) { return xsimd::tanh(x); });
  add_eigen(suite, "tanh", Map::tanh, [](const auto& x, auto& y) { y = x.tanh(); });

  add_rungs<kernel::GeluErf>(suite, "gelu_erf", Map::gelu_erf);
  add_libraries(suite, "gelu_erf", Map::gelu_erf);
  add_xsimd(suite, "gelu_erf", Map::gelu_erf,
            [](B x) { return B(0.5f) * x * (B(1.0f) + xsimd::erf(x * B(0.70710678f))); });

  add_rungs<kernel::Elu>(suite, "elu", Map::elu);
  add_libraries(suite, "elu", Map::elu);
  add_rungs<kernel::Mish>(suite, "mish", Map::mish);
  add_libraries(suite, "mish", Map::mish);
}
