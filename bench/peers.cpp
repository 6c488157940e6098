// OpenBLAS, oneDNN and Eigen as benchmark rows.
#include "peers.hpp"

#include "peers_onednn.hpp"

#include <cstring>

#if defined(SPIQ_BENCH_EIGEN)
#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Core>
#endif
#if defined(SPIQ_BENCH_OPENBLAS)
#include <cblas.h>
#endif

namespace bench {
namespace {

#if defined(SPIQ_BENCH_EIGEN)
using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Map = Eigen::Map<RowMajor>;
using ConstMap = Eigen::Map<const RowMajor>;

Eigen::Index index(std::size_t i) { return static_cast<Eigen::Index>(i); }

/// Convolution by columns: [pixels, taps * channels] times [taps * channels, out].
struct EigenConv {
  EigenConv(std::shared_ptr<ConvProblem> p, Pass kind) : problem(std::move(p)), pass(kind) {
    const auto& g = problem->g;
    const std::size_t k = depth();
    columns.resize(pixels() * k);
    packed.resize(k * z(g.out_channels));
    const std::size_t taps = z(g.kernel_h * g.kernel_w), channels = z(g.in.channels);
    for (std::size_t o = 0; o < z(g.out_channels); ++o)
      for (std::size_t c = 0; c < channels; ++c)
        for (std::size_t t = 0; t < taps; ++t)
          packed[(t * channels + c) * z(g.out_channels) + o] = problem->weights[(o * channels + c) * taps + t];
    result.resize(pass == Pass::forward ? problem->dy.size() : pass == Pass::data ? problem->x.size() : packed.size());
  }
  static std::size_t z(int i) { return static_cast<std::size_t>(i); }
  [[nodiscard]] std::size_t depth() const { return z(problem->g.kernel_h * problem->g.kernel_w * problem->g.in.channels); }
  [[nodiscard]] std::size_t pixels() const { return problem->g.out().pixels(); }

  // Calls f(column offset, input offset or -1) for each tap of each output pixel.
  template <class F>
  void for_each_tap(const F& f) const {
    const auto& g = problem->g;
    const std::size_t channels = z(g.in.channels);
    std::size_t column = 0;
    for (int y = 0; y < g.out_h(); ++y)
      for (int x = 0; x < g.out_w(); ++x)
        for (int i = 0; i < g.kernel_h; ++i)
          for (int j = 0; j < g.kernel_w; ++j, column += channels) {
            const int iy = y * g.stride_h - g.pad_h + i * g.dilation_h;
            const int ix = x * g.stride_w - g.pad_w + j * g.dilation_w;
            const bool real = iy >= 0 && iy < g.in.height && ix >= 0 && ix < g.in.width;
            f(column, real ? static_cast<std::ptrdiff_t>((z(iy) * z(g.in.width) + z(ix)) * channels) : -1);
          }
  }
  void gather(const float* x) {
    const std::size_t bytes = z(problem->g.in.channels) * sizeof(float);
    for_each_tap([&](std::size_t column, std::ptrdiff_t input) {
      if (input >= 0)
        std::memcpy(&columns[column], x + input, bytes);
      else
        std::memset(&columns[column], 0, bytes);
    });
  }
  void run() {
    const auto& g = problem->g;
    const Eigen::Index rows = index(pixels()), k = index(depth()), out = g.out_channels;
    const ConstMap w(packed.data(), k, out);
    Map cols(columns.data(), rows, k);
    if (pass != Pass::forward) std::fill(result.begin(), result.end(), 0.0f);
    for (std::size_t n = 0; n < problem->samples; ++n) {
      const float* x = problem->x.data() + n * g.in.size();
      const ConstMap dy(problem->dy.data() + n * g.out().size(), rows, out);
      if (pass == Pass::forward) {
        gather(x);
        Map(result.data() + n * g.out().size(), rows, out).noalias() = cols * w;
      } else if (pass == Pass::weights) {
        gather(x);
        Map(result.data(), k, out).noalias() += cols.transpose() * dy;
      } else {
        cols.noalias() = dy * w.transpose();
        float* dx = result.data() + n * g.in.size();
        for_each_tap([&](std::size_t column, std::ptrdiff_t input) {
          if (input >= 0)
            Eigen::Map<Eigen::ArrayXf>(dx + input, g.in.channels) +=
                Eigen::Map<const Eigen::ArrayXf>(&columns[column], g.in.channels);
        });
      }
    }
  }
  double error() const {
    if (pass == Pass::forward) return problem->error_y(result);
    if (pass == Pass::data) return problem->error_dx(result);
    const auto& g = problem->g;
    const std::size_t taps = z(g.kernel_h * g.kernel_w), channels = z(g.in.channels);
    Floats dw(result.size());
    for (std::size_t o = 0; o < z(g.out_channels); ++o)
      for (std::size_t c = 0; c < channels; ++c)
        for (std::size_t t = 0; t < taps; ++t)
          dw[(o * channels + c) * taps + t] = result[(t * channels + c) * z(g.out_channels) + o];
    return problem->error_dw(dw);
  }

  std::shared_ptr<ConvProblem> problem;
  Pass pass;
  Floats columns, packed, result;
};

/// Depthwise convolution forward: one array product over the channels per tap.
struct EigenDepthwise {
  explicit EigenDepthwise(std::shared_ptr<ConvProblem> p) : problem(std::move(p)), result(problem->dy.size()) {
    const auto taps = static_cast<std::size_t>(problem->g.kernel_h * problem->g.kernel_w);
    const auto channels = static_cast<std::size_t>(problem->g.in.channels);
    packed.resize(taps * channels);
    for (std::size_t c = 0; c < channels; ++c)
      for (std::size_t t = 0; t < taps; ++t) packed[t * channels + c] = problem->weights[c * taps + t];
  }
  void run() {
    const auto& g = problem->g;
    const Eigen::Index channels = g.in.channels;
    for (std::size_t n = 0; n < problem->samples; ++n) {
      const float* in = problem->x.data() + n * g.in.size();
      float* out = result.data() + n * g.out().size();
      for (int y = 0; y < g.out_h(); ++y)
        for (int x = 0; x < g.out_w(); ++x) {
          Eigen::Map<Eigen::ArrayXf> sum(out + (y * g.out_w() + x) * channels, channels);
          sum.setZero();
          for (int i = 0; i < g.kernel_h; ++i)
            for (int j = 0; j < g.kernel_w; ++j) {
              const int iy = y * g.stride_h - g.pad_h + i * g.dilation_h;
              const int ix = x * g.stride_w - g.pad_w + j * g.dilation_w;
              if (iy < 0 || iy >= g.in.height || ix < 0 || ix >= g.in.width) continue;
              sum += Eigen::Map<const Eigen::ArrayXf>(in + (iy * g.in.width + ix) * channels, channels) *
                     Eigen::Map<const Eigen::ArrayXf>(packed.data() + (i * g.kernel_w + j) * channels, channels);
            }
        }
    }
  }
  std::shared_ptr<ConvProblem> problem;
  Floats packed, result;
};
#endif  // SPIQ_BENCH_EIGEN

#if defined(SPIQ_BENCH_ONEDNN)
/// Throws dnnl::error where oneDNN has no such algorithm.
Case onednn_conv(const std::shared_ptr<ConvProblem>& p, Pass pass, dnnl::algorithm algorithm) {
  const auto& g = p->g;
  const auto n = static_cast<memory::dim>(p->samples);
  const memory::dims src{n, g.in.channels, g.in.height, g.in.width};
  const memory::dims dst{n, g.out_channels, g.out_h(), g.out_w()};
  const memory::dims weights = g.groups == 1
                                   ? memory::dims{g.out_channels, g.in.channels, g.kernel_h, g.kernel_w}
                                   : memory::dims{g.groups, g.group_out(), g.group_in(), g.kernel_h, g.kernel_w};
  const memory::dims strides{g.stride_h, g.stride_w}, padding{g.pad_h, g.pad_w};
  const memory::dims dilation{g.dilation_h - 1, g.dilation_w - 1};
  const Tag weights_tag = g.groups == 1 ? Tag::oihw : Tag::goihw;
  const auto any = [](const memory::dims& d) { return memory::desc(d, memory::data_type::f32, Tag::any); };

  const auto kind = pass == Pass::forward ? dnnl::prop_kind::forward_inference : dnnl::prop_kind::forward_training;
  const dnnl::convolution_forward::primitive_desc forward(
      {kind, algorithm, any(src), any(weights), any(dst), strides, dilation, padding, padding}, engine());
  const memory x = plain(src, Tag::nhwc, p->x.data());
  const memory w = plain(weights, weights_tag, p->weights.data());
  const memory dy = plain(dst, Tag::nhwc, p->dy.data());
  auto work = std::make_shared<Primitive>();
  if (pass == Pass::forward) {
    work->primitive = dnnl::convolution_forward(forward);
    work->arguments = {{DNNL_ARG_SRC, reordered(x, forward.src_desc())},
                       {DNNL_ARG_WEIGHTS, reordered(w, forward.weights_desc())},
                       {DNNL_ARG_DST, memory(forward.dst_desc(), engine())}};
    return {.run = [=] { work->run(); },
            .error = [=] { return p->error_y(values(work->arguments.at(DNNL_ARG_DST), dst, Tag::nhwc)); }};
  }
  if (pass == Pass::data) {
    const dnnl::convolution_backward_data::primitive_desc backward(
        {algorithm, any(src), any(weights), any(dst), strides, dilation, padding, padding}, engine(), forward);
    work->primitive = dnnl::convolution_backward_data(backward);
    work->arguments = {{DNNL_ARG_DIFF_DST, reordered(dy, backward.diff_dst_desc())},
                       {DNNL_ARG_WEIGHTS, reordered(w, backward.weights_desc())},
                       {DNNL_ARG_DIFF_SRC, memory(backward.diff_src_desc(), engine())}};
    return {.run = [=] { work->run(); },
            .error = [=] { return p->error_dx(values(work->arguments.at(DNNL_ARG_DIFF_SRC), src, Tag::nhwc)); }};
  }
  const dnnl::convolution_backward_weights::primitive_desc backward(
      {algorithm, any(src), any(weights), any(dst), strides, dilation, padding, padding}, engine(), forward);
  work->primitive = dnnl::convolution_backward_weights(backward);
  work->arguments = {{DNNL_ARG_DIFF_DST, reordered(dy, backward.diff_dst_desc())},
                     {DNNL_ARG_SRC, reordered(x, backward.src_desc())},
                     {DNNL_ARG_DIFF_WEIGHTS, memory(backward.diff_weights_desc(), engine())}};
  return {.run = [=] { work->run(); },
          .error = [=] { return p->error_dw(values(work->arguments.at(DNNL_ARG_DIFF_WEIGHTS), weights, weights_tag)); }};
}

Case onednn_gemm(const std::shared_ptr<GemmProblem>& p) {
  const auto dim = [](std::size_t i) { return static_cast<memory::dim>(i); };
  const memory::dims a{dim(p->m), dim(p->k)}, b{dim(p->k), dim(p->n)}, c{dim(p->m), dim(p->n)};
  const auto dense = [](const memory::dims& d) { return memory::desc(d, memory::data_type::f32, Tag::ab); };
  const dnnl::matmul::primitive_desc desc({dense(a), dense(b), dense(c)}, engine());
  auto work = std::make_shared<Primitive>();
  work->primitive = dnnl::matmul(desc);
  work->arguments = {{DNNL_ARG_SRC, plain(a, Tag::ab, p->a.data())},
                     {DNNL_ARG_WEIGHTS, plain(b, Tag::ab, p->b.data())},
                     {DNNL_ARG_DST, memory(desc.dst_desc(), engine())}};
  return {.run = [=] { work->run(); },
          .error = [=] { return p->error(values(work->arguments.at(DNNL_ARG_DST), c, Tag::ab)); }};
}
#endif  // SPIQ_BENCH_ONEDNN

#if defined(SPIQ_BENCH_OPENBLAS)
blasint blas(std::size_t i) { return static_cast<blasint>(i); }
#endif

}  // namespace

void add_conv_peers(Suite& suite, const Row& base, const spiq::kernel::ConvGeometry& g, std::size_t samples, Pass pass) {
#if defined(SPIQ_BENCH_EIGEN)
  if (g.groups == 1) {
    suite.add(named(base, "eigen_im2col", [=] {
      auto work = std::make_shared<EigenConv>(conv_problem(g, samples), pass);
      return Case{.run = [=] { work->run(); }, .error = [=] { return work->error(); }};
    }));
  } else if (g.groups == g.in.channels && g.groups == g.out_channels && pass == Pass::forward) {
    suite.add(named(base, "eigen_array", [=] {
      auto work = std::make_shared<EigenDepthwise>(conv_problem(g, samples));
      return Case{.run = [=] { work->run(); }, .error = [=] { return work->problem->error_y(work->result); }};
    }));
  }
#endif
#if defined(SPIQ_BENCH_ONEDNN)
  suite.add(named(base, "onednn", [=] {
    return if_offered([&] { return onednn_conv(conv_problem(g, samples), pass, dnnl::algorithm::convolution_direct); });
  }));
  if (g.groups == 1 && g.kernel_h == 3 && g.kernel_w == 3 && g.stride_h == 1 && g.stride_w == 1)
    suite.add(named(base, "onednn_winograd", [=] {
      return if_offered([&] { return onednn_conv(conv_problem(g, samples), pass, dnnl::algorithm::convolution_winograd); });
    }));
#endif
  static_cast<void>(suite), static_cast<void>(base), static_cast<void>(g), static_cast<void>(samples), static_cast<void>(pass);
}

void add_gemm_peers(Suite& suite, const Row& base, std::size_t m, std::size_t n, std::size_t k) {
#if defined(SPIQ_BENCH_OPENBLAS)
  suite.add(named(base, "openblas", [=] {
    openblas_set_num_threads(1);
    auto p = gemm_problem(m, n, k);
    auto c = std::make_shared<Floats>(m * n);
    return Case{.run = [=] {
                  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, blas(m), blas(n), blas(k), 1.0f, p->a.data(),
                              blas(k), p->b.data(), blas(n), 0.0f, c->data(), blas(n));
                },
                .error = [=] { return p->error(*c); }};
  }));
#endif
#if defined(SPIQ_BENCH_ONEDNN)
  suite.add(named(base, "onednn", [=] { return if_offered([&] { return onednn_gemm(gemm_problem(m, n, k)); }); }));
#endif
#if defined(SPIQ_BENCH_EIGEN)
  suite.add(named(base, "eigen", [=] {
    auto p = gemm_problem(m, n, k);
    auto c = std::make_shared<Floats>(m * n);
    return Case{.run = [=] {
                  Map(c->data(), index(m), index(n)).noalias() =
                      ConstMap(p->a.data(), index(m), index(k)) * ConstMap(p->b.data(), index(k), index(n));
                },
                .error = [=] { return p->error(*c); }};
  }));
#endif
  static_cast<void>(suite), static_cast<void>(base), static_cast<void>(m), static_cast<void>(n), static_cast<void>(k);
}

void add_gemv_peers(Suite& suite, const Row& base, std::size_t outputs, std::size_t inputs) {
#if defined(SPIQ_BENCH_OPENBLAS)
  suite.add(named(base, "openblas", [=] {
    openblas_set_num_threads(1);
    auto p = gemm_problem(outputs, 1, inputs);
    auto y = std::make_shared<Floats>(outputs);
    return Case{.run = [=] {
                  cblas_sgemv(CblasRowMajor, CblasNoTrans, blas(outputs), blas(inputs), 1.0f, p->a.data(), blas(inputs),
                              p->b.data(), 1, 0.0f, y->data(), 1);
                },
                .error = [=] { return p->error(*y); }};
  }));
#endif
#if defined(SPIQ_BENCH_EIGEN)
  suite.add(named(base, "eigen", [=] {
    auto p = gemm_problem(outputs, 1, inputs);
    auto y = std::make_shared<Floats>(outputs);
    return Case{.run = [=] {
                  Eigen::Map<Eigen::VectorXf>(y->data(), index(outputs)).noalias() =
                      ConstMap(p->a.data(), index(outputs), index(inputs)) *
                      Eigen::Map<const Eigen::VectorXf>(p->b.data(), index(inputs));
                },
                .error = [=] { return p->error(*y); }};
  }));
#endif
  static_cast<void>(suite), static_cast<void>(base), static_cast<void>(outputs), static_cast<void>(inputs);
}

SPIQ_BENCH(peers) {
#if !defined(SPIQ_BENCH_OPENBLAS)
  suite.skip("openblas", "OpenBLAS was not found; Debian: libopenblas-dev");
#endif
#if !defined(SPIQ_BENCH_ONEDNN)
  suite.skip("onednn", "oneDNN was not found; Debian: libdnnl-dev");
#endif
#if !defined(SPIQ_BENCH_EIGEN)
  suite.skip("eigen", "Eigen was not found; Debian: libeigen3-dev");
#endif
}

}  // namespace bench
