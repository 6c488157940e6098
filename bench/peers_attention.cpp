// Attention in three steps by oneDNN and by Eigen, and oneDNN's layer normalisation.
#include "peers_attention.hpp"

#include "peers_onednn.hpp"

#include <algorithm>
#include <vector>

#if defined(SPIQ_BENCH_EIGEN)
#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Core>
#endif

namespace bench {

double AttentionProblem::error(std::span<const float> found) {
  if (out_.empty()) {
    out_.assign(heads * tokens * dim, 0.0);
    Doubles p(tokens);
    for (std::size_t h = 0; h < heads; ++h)
      for (std::size_t i = 0; i < tokens; ++i) {
        const std::size_t row = (h * tokens + i) * dim;
        double top = -HUGE_VAL, sum = 0;
        for (std::size_t j = 0; j < tokens; ++j) {
          double s = 0;
          for (std::size_t d = 0; d < dim; ++d) s += double{q[row + d]} * double{k[(h * tokens + j) * dim + d]};
          p[j] = s / std::sqrt(static_cast<double>(dim));
          top = std::max(top, p[j]);
        }
        for (double& x : p) sum += x = std::exp(x - top);
        for (std::size_t j = 0; j < tokens; ++j)
          for (std::size_t d = 0; d < dim; ++d) out_[row + d] += p[j] / sum * double{v[(h * tokens + j) * dim + d]};
      }
  }
  return relative_error(found, out_);
}

double LayerNormProblem::error(std::span<const float> found) {
  if (y_.empty()) {
    const auto n = static_cast<double>(columns);
    for (std::size_t r = 0; r < rows; ++r) {
      double mean = 0, square = 0;
      for (std::size_t c = 0; c < columns; ++c) mean += double{x[r * columns + c]} / n;
      for (std::size_t c = 0; c < columns; ++c) square += std::pow(double{x[r * columns + c]} - mean, 2) / n;
      for (std::size_t c = 0; c < columns; ++c)
        y_.push_back((double{x[r * columns + c]} - mean) / std::sqrt(square + 1e-5) * double{gamma[c]} +
                     double{beta[c]});
    }
  }
  return relative_error(found, y_);
}

namespace {

#if defined(SPIQ_BENCH_ONEDNN)
using Type = memory::data_type;

/// Scores as the library likes them; keys and values reordered before the clock runs.
Case onednn_attention(const std::shared_ptr<AttentionProblem>& p, Type type) {
  const auto dim = [](std::size_t i) { return static_cast<memory::dim>(i); };
  const memory::dims tokens{dim(p->heads), dim(p->tokens), dim(p->dim)};
  const memory::dims turned{dim(p->heads), dim(p->dim), dim(p->tokens)};
  const memory::dims square{dim(p->heads), dim(p->tokens), dim(p->tokens)};
  const auto any = [&](const memory::dims& d) { return memory::desc(d, type, Tag::any); };
  const memory::desc q_desc(tokens, type, Tag::abc), scores_desc(square, type, Tag::abc);

  dnnl::primitive_attr scaled;
  scaled.set_output_scales(0, {p->scale()});
  const dnnl::matmul::primitive_desc first({q_desc, any(turned), scores_desc}, scaled, engine());
  const dnnl::softmax_forward::primitive_desc softmax({dnnl::prop_kind::forward_inference, scores_desc, 2}, engine());
  const dnnl::matmul::primitive_desc second({scores_desc, any(tokens), q_desc}, engine());

  const memory q = reordered(plain(tokens, Tag::abc, p->q.data()), q_desc);
  const memory k = reordered(plain(turned, Tag::acb, p->k.data()), first.weights_desc());
  const memory v = reordered(plain(tokens, Tag::abc, p->v.data()), second.weights_desc());
  const memory scores(scores_desc, engine()), out(q_desc, engine());
  auto steps = std::make_shared<std::vector<Primitive>>();
  steps->push_back({dnnl::matmul(first), {{DNNL_ARG_SRC, q}, {DNNL_ARG_WEIGHTS, k}, {DNNL_ARG_DST, scores}}});
  steps->push_back({dnnl::softmax_forward(softmax), {{DNNL_ARG_SRC, scores}, {DNNL_ARG_DST, scores}}});
  steps->push_back({dnnl::matmul(second), {{DNNL_ARG_SRC, scores}, {DNNL_ARG_WEIGHTS, v}, {DNNL_ARG_DST, out}}});
  return {.run =
              [=] {
                for (Primitive& step : *steps) step.run();
              },
          .error = [=] { return p->error(values(out, tokens, Tag::abc)); }};
}

Case onednn_layer_norm(const std::shared_ptr<LayerNormProblem>& p) {
  const memory::dims dims{static_cast<memory::dim>(p->rows), static_cast<memory::dim>(p->columns)};
  const memory::desc desc(dims, Type::f32, Tag::ab);
  const auto flags = dnnl::normalization_flags::use_scale | dnnl::normalization_flags::use_shift;
  const dnnl::layer_normalization_forward::primitive_desc forward(
      {dnnl::prop_kind::forward_inference, desc, 1e-5f, flags}, engine());
  const memory::dims row{dims[1]};
  const memory y(desc, engine());
  auto work = std::make_shared<Primitive>();
  work->primitive = dnnl::layer_normalization_forward(forward);
  work->arguments = {{DNNL_ARG_SRC, plain(dims, Tag::ab, p->x.data())},
                     {DNNL_ARG_SCALE, plain(row, Tag::a, p->gamma.data())},
                     {DNNL_ARG_SHIFT, plain(row, Tag::a, p->beta.data())},
                     {DNNL_ARG_DST, y}};
  return {.run = [=] { work->run(); }, .error = [=] { return p->error(values(y, dims, Tag::ab)); }};
}
#endif

#if defined(SPIQ_BENCH_EIGEN)
using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Case eigen_attention(const std::shared_ptr<AttentionProblem>& p) {
  auto out = std::make_shared<Floats>(p->q.size());
  const auto n = static_cast<Eigen::Index>(p->tokens), d = static_cast<Eigen::Index>(p->dim);
  auto scores = std::make_shared<RowMajor>(n, n);
  auto factors = std::make_shared<Eigen::VectorXf>(n);
  return {.run =
              [=] {
                for (std::size_t h = 0; h < p->heads; ++h) {
                  const std::size_t at = h * p->tokens * p->dim;
                  const Eigen::Map<const RowMajor> q(p->q.data() + at, n, d), k(p->k.data() + at, n, d),
                      v(p->v.data() + at, n, d);
                  RowMajor& s = *scores;
                  s.noalias() = q * k.transpose();
                  // Row by row, so that a row is in the cache; the sums are divided out of the product.
                  for (Eigen::Index i = 0; i < n; ++i) {
                    auto row = s.row(i).array();
                    row = ((row - row.maxCoeff()) * p->scale()).exp();
                    (*factors)[i] = 1 / row.sum();
                  }
                  Eigen::Map<RowMajor> o(out->data() + at, n, d);
                  o.noalias() = s * v;
                  o.array().colwise() *= factors->array();
                }
              },
          .error = [=] { return p->error(*out); }};
}
#endif

}  // namespace

void add_attention_peers(Suite& suite, const Row& base, const std::shared_ptr<AttentionProblem>& problem) {
#if defined(SPIQ_BENCH_ONEDNN)
  suite.add(named(base, "onednn", [=] { return if_offered([&] { return onednn_attention(problem, Type::f32); }); }));
  Row pairs = base;
  pairs.peak = Peak::bf16;
  suite.add(
      named(pairs, "onednn_bf16", [=] { return if_offered([&] { return onednn_attention(problem, Type::bf16); }); }));
#endif
#if defined(SPIQ_BENCH_EIGEN)
  suite.add(named(base, "eigen", [=] { return eigen_attention(problem); }));
#endif
  static_cast<void>(suite), static_cast<void>(base), static_cast<void>(problem);
}

void add_layer_norm_peers(Suite& suite, const Row& base, const std::shared_ptr<LayerNormProblem>& problem) {
#if defined(SPIQ_BENCH_ONEDNN)
  suite.add(named(base, "onednn", [=] { return if_offered([&] { return onednn_layer_norm(problem); }); }));
#endif
  static_cast<void>(suite), static_cast<void>(base), static_cast<void>(problem);
}

}  // namespace bench
