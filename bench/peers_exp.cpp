// Softmax and elementwise functions of oneDNN, XNNPACK, Eigen and xsimd as benchmark rows.
#include "peers_exp.hpp"

#include "peers_onednn.hpp"

#include <spiq/core/abi.hpp>

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>

#include <xsimd/xsimd.hpp>
#if defined(SPIQ_BENCH_EIGEN)
#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Core>
#endif
#if defined(SPIQ_BENCH_XNNPACK)
#include <xnnpack.h>
#endif

namespace bench {

double SoftmaxProblem::error(std::span<const float> found) {
  if (y_.empty()) {
    y_.resize(x.size());
    for (std::size_t r = 0; r < rows; ++r) {
      const float* row = x.data() + r * cols;
      const double top = static_cast<double>(*std::max_element(row, row + cols));
      double sum = 0;
      for (std::size_t c = 0; c < cols; ++c) sum += y_[r * cols + c] = std::exp(static_cast<double>(row[c]) - top);
      for (std::size_t c = 0; c < cols; ++c) y_[r * cols + c] /= sum;
    }
  }
  if (found.size() < y_.size()) return HUGE_VAL;
  double worst = 0;
  for (std::size_t i = 0; i < y_.size(); ++i) {
    const double error = std::abs(static_cast<double>(found[i]) / y_[i] - 1);
    if (!(error <= HUGE_VAL)) return HUGE_VAL;
    worst = std::max(worst, error);
  }
  return worst;
}

std::shared_ptr<SoftmaxProblem> softmax_problem(std::size_t rows, std::size_t cols) {
  static std::weak_ptr<SoftmaxProblem> last;
  auto problem = last.lock();
  if (!problem || problem->rows != rows || problem->cols != cols) {
    problem = std::make_shared<SoftmaxProblem>(rows, cols);
    last = problem;
  }
  return problem;
}

double exact(Map map, double x) {
  switch (map) {
    case Map::exp: return std::exp(x);
    case Map::logistic: return 1 / (1 + std::exp(-x));
    case Map::tanh: return std::tanh(x);
    case Map::gelu_tanh: return x / (1 + std::exp(-1.5957691216057308 * (x + 0.044715 * x * x * x)));
    case Map::gelu_erf: return 0.5 * x * std::erfc(-x * 0.70710678118654752);
    case Map::silu: return x / (1 + std::exp(-x));
    case Map::elu: return x > 0 ? x : std::expm1(x);
    case Map::mish: return x * std::tanh(std::log1p(std::exp(x)));
  }
  return 0;
}

namespace {

[[maybe_unused]] double map_error(Map map, const Floats& x, std::span<const float> y) {
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double error = std::abs(static_cast<double>(y[i]) - exact(map, static_cast<double>(x[i])));
    if (!(error <= HUGE_VAL)) return HUGE_VAL;
    worst = std::max(worst, error);
  }
  return worst;
}

/// The batch of half as many floats as B; B where there is none.
template <class B>
struct half_batch {
  using type = B;
};
template <class B>
  requires(B::size > 4)
struct half_batch<B> {
  using type = xsimd::make_sized_batch_t<float, B::size / 2>;
};

/// `op` over the lanes of a batch, in a tree.
template <class B, class Op>
float reduced(const B& batch, const Op& op) {
  alignas(64) float lanes[B::size];
  batch.store_aligned(lanes);
  if constexpr (B::size > 4) {
    using H = typename half_batch<B>::type;
    return reduced(op(H::load_aligned(lanes), H::load_aligned(lanes + H::size)), op);
  } else {
    for (std::size_t half = B::size / 2; half > 0; half /= 2)
      for (std::size_t i = 0; i < half; ++i) lanes[i] = op(lanes[i], lanes[i + half]);
    return lanes[0];
  }
}

/// visit(i, k) for the whole vectors of `w` values at i below n, four at a time, k = 0 ... 3.
template <std::size_t w, class Visit>
void each_vector(std::size_t n, const Visit& visit) {
  std::size_t i = 0;
  for (; i + 4 * w <= n; i += 4 * w) {
    SPIQ_UNROLL
    for (std::size_t k = 0; k < 4; ++k) visit(i + k * w, k);
  }
  for (; i + w <= n; i += w) visit(i, 0);
}

/// Three passes over a row, four vectors at a time. A last vector that is not whole overlaps the one before it; in a row
/// of less than a vector takes vectors of half the size, and in the end is filled up with values whose exponential is 0.
/// No value is left to scalar code.
template <class B = xsimd::batch<float>>
void xsimd_softmax(const float* x, float* y, std::size_t n) {
  constexpr std::size_t w = B::size;
  if (n < w) {
    if constexpr (w > 4) return xsimd_softmax<typename half_batch<B>::type>(x, y, n);
    float padded[w];
    std::fill(std::copy_n(x, n, padded), padded + w, std::numeric_limits<float>::lowest());
    xsimd_softmax<B>(padded, padded, w);
    std::copy_n(padded, n, y);
    return;
  }
  const std::size_t rest = n % w, last = n - w;
  B end = B::load_unaligned(x + last);  // the last n % w lanes are those that no whole vector has

  B m[4] = {end, end, end, end};
  each_vector<w>(n, [&](std::size_t i, std::size_t k) SPIQ_LAMBDA_INLINE { m[k] = xsimd::max(m[k], B::load_unaligned(x + i)); });
  const B shift(reduced(xsimd::max(xsimd::max(m[0], m[1]), xsimd::max(m[2], m[3])),
                        [](const auto& a, const auto& b) {
                          using std::max, xsimd::max;
                          return max(a, b);
                        }));

  B s[4] = {B(0.0f), B(0.0f), B(0.0f), B(0.0f)};
  if (rest != 0) {
    end = xsimd::exp(end - shift);
    alignas(64) float lane[w];
    std::iota(lane, lane + w, 0.0f);
    s[3] = xsimd::select(B::load_aligned(lane) >= B(static_cast<float>(w - rest)), end, s[3]);
  }
  each_vector<w>(n, [&](std::size_t i, std::size_t k) SPIQ_LAMBDA_INLINE {
    const B e = xsimd::exp(B::load_unaligned(x + i) - shift);
    e.store_unaligned(y + i);
    s[k] += e;
  });
  const B factor(1 / reduced((s[0] + s[1]) + (s[2] + s[3]), std::plus<>()));

  each_vector<w>(n, [&](std::size_t i, std::size_t) SPIQ_LAMBDA_INLINE {
    (B::load_unaligned(y + i) * factor).store_unaligned(y + i);
  });
  if (rest != 0) (end * factor).store_unaligned(y + last);
}

#if defined(SPIQ_BENCH_ONEDNN)
Case onednn_softmax(const std::shared_ptr<SoftmaxProblem>& p) {
  const memory::dims dims{static_cast<memory::dim>(p->rows), static_cast<memory::dim>(p->cols)};
  const memory::desc dense(dims, memory::data_type::f32, Tag::ab);
  const dnnl::softmax_forward::primitive_desc desc({dnnl::prop_kind::forward_inference, dense, 1}, engine());
  auto work = std::make_shared<Primitive>();
  work->primitive = dnnl::softmax_forward(desc);
  work->arguments = {{DNNL_ARG_SRC, plain(dims, Tag::ab, p->x.data())}, {DNNL_ARG_DST, memory(dense, engine())}};
  return {.run = [=] { work->run(); },
          .error = [=] { return p->error(values(work->arguments.at(DNNL_ARG_DST), dims, Tag::ab)); }};
}

Case onednn_map(Map map, const std::shared_ptr<const Floats>& x) {
  using dnnl::algorithm;
  const auto [which, alpha] = [&]() -> std::pair<algorithm, float> {
    switch (map) {
      case Map::exp: return {algorithm::eltwise_exp, 0};
      case Map::logistic: return {algorithm::eltwise_logistic, 0};
      case Map::tanh: return {algorithm::eltwise_tanh, 0};
      case Map::gelu_tanh: return {algorithm::eltwise_gelu_tanh, 0};
      case Map::gelu_erf: return {algorithm::eltwise_gelu_erf, 0};
      case Map::silu: return {algorithm::eltwise_swish, 1};
      case Map::elu: return {algorithm::eltwise_elu, 1};
      case Map::mish: return {algorithm::eltwise_mish, 0};
    }
    return {};
  }();
  const memory::dims dims{static_cast<memory::dim>(x->size())};
  const memory::desc dense(dims, memory::data_type::f32, Tag::a);
  const dnnl::eltwise_forward::primitive_desc desc({dnnl::prop_kind::forward_inference, which, dense, alpha, 0.0f}, engine());
  auto work = std::make_shared<Primitive>();
  work->primitive = dnnl::eltwise_forward(desc);
  work->arguments = {{DNNL_ARG_SRC, plain(dims, Tag::a, x->data())}, {DNNL_ARG_DST, memory(dense, engine())}};
  return {.run = [=] { work->run(); },
          .error = [=] { return map_error(map, *x, values(work->arguments.at(DNNL_ARG_DST), dims, Tag::a)); }};
}
#endif

#if defined(SPIQ_BENCH_XNNPACK)
/// An operator of XNNPACK with its arrays; it may read 16 bytes beyond an array.
struct XnnOperator {
  XnnOperator(const Floats& from, std::size_t results) : x(from), y(results + 16) { x.resize(from.size() + 16); }
  ~XnnOperator() {
    if (op != nullptr) xnn_delete_operator(op);
  }
  XnnOperator(const XnnOperator&) = delete;
  XnnOperator& operator=(const XnnOperator&) = delete;
  void run() { xnn_run_operator(op, nullptr); }

  xnn_operator_t op = nullptr;
  Floats x, y;
};
bool ok(xnn_status status) { return status == xnn_status_success; }

/// `create` and `setup` of an operator on rows of `cols` values; nothing to run where one of them fails.
template <class Create, class Setup, class Error>
Case xnnpack_rows(const Floats& x, std::size_t rows, std::size_t cols, Create create, Setup setup, Error error) {
  auto work = std::make_shared<XnnOperator>(x, rows * cols);
  if (!ok(xnn_initialize(nullptr)) || !ok(create(cols, cols, cols, 0, &work->op)) ||
      !ok(setup(work->op, rows, work->x.data(), work->y.data(), nullptr)))
    return {};
  return {.run = [=] { work->run(); }, .error = [=] { return error(std::span<const float>(work->y)); }};
}
#endif

}  // namespace

void add_softmax_peers(Suite& suite, const Row& base, std::size_t rows, std::size_t cols) {
  const auto by_row = [&](const char* name, void (*row)(const float*, float*, std::size_t)) {
    suite.add(named(base, name, [=] {
      auto p = softmax_problem(rows, cols);
      auto y = std::make_shared<Floats>(rows * cols);
      return Case{.run = [=] {
                    for (std::size_t r = 0; r < rows; ++r) row(p->x.data() + r * cols, y->data() + r * cols, cols);
                  },
                  .error = [=] { return p->error(*y); }};
    }));
  };
#if defined(SPIQ_BENCH_EIGEN)
  by_row("eigen", [](const float* x, float* y, std::size_t n) {
    const auto size = static_cast<Eigen::Index>(n);
    const Eigen::Map<const Eigen::ArrayXf> in(x, size);
    Eigen::Map<Eigen::ArrayXf> out(y, size);
    out = (in - in.maxCoeff()).exp();
    out *= 1 / out.sum();
  });
#endif
  by_row("xsimd", xsimd_softmax<>);
#if defined(SPIQ_BENCH_ONEDNN)
  suite.add(named(base, "onednn", [=] { return if_offered([&] { return onednn_softmax(softmax_problem(rows, cols)); }); }));
#endif
#if defined(SPIQ_BENCH_XNNPACK)
  suite.add(named(base, "xnnpack", [=] {
    auto p = softmax_problem(rows, cols);
    return xnnpack_rows(p->x, rows, cols, xnn_create_softmax_nc_f32, xnn_setup_softmax_nc_f32,
                        [=](std::span<const float> y) { return p->error(y); });
  }));
#endif
}

void add_map_peers(Suite& suite, const Row& base, Map map, std::shared_ptr<const Floats> x) {
#if defined(SPIQ_BENCH_ONEDNN)
  suite.add(named(base, "onednn", [=] { return if_offered([&] { return onednn_map(map, x); }); }));
#endif
#if defined(SPIQ_BENCH_XNNPACK)
  if (map == Map::logistic)
    suite.add(named(base, "xnnpack", [=] {
      return xnnpack_rows(*x, 1, x->size(), xnn_create_sigmoid_nc_f32, xnn_setup_sigmoid_nc_f32,
                          [=](std::span<const float> y) { return map_error(map, *x, y); });
    }));
#endif
  static_cast<void>(suite), static_cast<void>(base), static_cast<void>(map), static_cast<void>(x);
}

SPIQ_BENCH(peers_exp) {
#if !defined(SPIQ_BENCH_XNNPACK)
  suite.skip("xnnpack", "XNNPACK was not found; Debian: libxnnpack-dev libpthreadpool-dev");
#endif
}

}  // namespace bench
