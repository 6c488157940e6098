// Sparse weights times sparse spikes, layers of networks that LoAS pruned (arXiv 2407.14073, table II), four steps.
// Baselines: the dense product once a step, which is what sequential steps cost, and one dense product over all steps,
// which is what a careful user writes; Eigen's sparse product over all steps. They read spikes that were expanded to
// floats beforehand. Operations are the additions of nonzero weights to all lanes, counted as multiply-adds are: the
// bound is one vector addition wherever the machine could issue a multiply-add.
#include "harness.hpp"

#include <spiq/core/random.hpp>
#include <spiq/sparse/dual_sparse.hpp>
#include <spiq/sparse/dual_sparse_list.hpp>
#include <spiq/sparse/dual_sparse_vector.hpp>

#if defined(SPIQ_BENCH_OPENBLAS)
#include <cblas.h>
#endif
#if defined(SPIQ_BENCH_EIGEN)
#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Sparse>
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace {

constexpr int T = 4;
constexpr auto steps = static_cast<std::size_t>(T);

struct Layer {
  const char* name;
  std::size_t positions, inputs, outputs;
  double weight_sparsity, silent, spike_sparsity;
};
constexpr Layer layers[] = {{"A-L4", 64, 3456, 256, 0.989, 0.632, 0.758},
                            {"V-L8", 16, 2304, 512, 0.9675, 0.765, 0.881},
                            {"R-L19", 16, 4608, 512, 0.9967, 0.514, 0.579},
                            {"VGG-4", 256, 1152, 128, 0.98, 0.741, 0.823}};

struct Problem {
  explicit Problem(const Layer& l) : layer(l), x(l.positions, l.inputs) {
    spiq::Rng rng(11);
    weights.resize(l.outputs * l.inputs);
    for (auto& w : weights)
      if (rng.uniform() >= static_cast<float>(l.weight_sparsity)) {
        const int i = static_cast<int>(rng.below(254)) - 127;
        w = static_cast<std::int16_t>(i < 0 ? i : i + 1);
      }
    // Of those that are not silent, drawn again until there is a spike: as many as the layer has.
    const double target = (1 - l.spike_sparsity) / (1 - l.silent);
    double p = target;
    for (int i = 0; i < 50; ++i) p = target * (1 - std::pow(1 - p, T));
    for (std::size_t m = 0; m < l.positions; ++m)
      for (std::size_t k = 0; k < l.inputs; ++k) {
        std::uint64_t spikes = 0;
        if (rng.uniform() >= static_cast<float>(l.silent))
          while (spikes == 0)
            for (int t = 0; t < T; ++t) spikes |= std::uint64_t{rng.uniform() < static_cast<float>(p)} << t;
        x.set(m, k, spikes);
      }
    dense.resize(l.outputs * lanes());
  }
  [[nodiscard]] std::size_t lanes() const { return x.tiles() * 64; }
  // [input][position][step], or [step][input][position]
  [[nodiscard]] std::vector<float> expanded(bool steps_first) const {
    std::vector<float> all(layer.inputs * layer.positions * steps);
    for (std::size_t k = 0; k < layer.inputs; ++k)
      for (std::size_t m = 0; m < layer.positions; ++m)
        for (std::size_t t = 0; t < steps; ++t)
          all[steps_first ? (t * layer.inputs + k) * layer.positions + m : (k * layer.positions + m) * steps + t] =
              static_cast<float>(x.at(m, k) >> t & 1);
    return all;
  }
  // Worst difference to plain sums, of every 29th output.
  template <class Sum>
  [[nodiscard]] double error(const Sum& sum) const {
    double worst = 0;
    for (std::size_t n = 0; n < layer.outputs; n += 29)
      for (std::size_t m = 0; m < layer.positions; ++m)
        for (std::size_t t = 0; t < steps; ++t) {
          double expected = 0;
          for (std::size_t k = 0; k < layer.inputs; ++k)
            if ((x.at(m, k) >> t & 1) != 0) expected += weights[n * layer.inputs + k];
          worst = std::max(worst, std::abs(static_cast<double>(sum(n, m, t)) - expected));
        }
    return worst;
  }

  Layer layer;
  spiq::SpikeWords<T> x;
  std::vector<std::int16_t> weights;
  std::vector<float> dense;  // sums [output][lane], of any kind
};

template <class V, class Arch>
bench::Case ours(const Layer& l) {
  auto p = std::make_shared<Problem>(l);
  const std::vector<V> w(p->weights.begin(), p->weights.end());
  auto product = std::make_shared<spiq::DualSparse<V, Arch>>(spiq::RowSparse<V>::pack(l.outputs, l.inputs, w));
  auto scratch = std::make_shared<typename spiq::DualSparse<V, Arch>::Scratch>(product->scratch());
  using Sum = std::conditional_t<std::is_same_v<V, float>, float, std::int16_t>;
  auto sums = std::make_shared<spiq::AlignedVector<Sum>>(l.outputs * p->lanes());
  return {.run =
              [=] {
                const std::size_t lanes = p->lanes();
                product->run(
                    p->x, 0, p->x.tiles(),
                    [&](const auto* s, std::size_t n, std::size_t tile) {
                      std::copy_n(s, 64, sums->data() + n * lanes + tile * 64);
                    },
                    *scratch);
              },
          .error =
              [=] {
                return p->error([&](std::size_t n, std::size_t m, std::size_t t) {
                  return (*sums)[n * p->lanes() + m * steps + t];
                });
              }};
}

#if defined(SPIQ_BENCH_EIGEN)
bench::Case eigen(const Layer& l) {
  auto p = std::make_shared<Problem>(l);
  const auto rows = static_cast<Eigen::Index>(l.outputs), inner = static_cast<Eigen::Index>(l.inputs);
  const auto columns = static_cast<Eigen::Index>(l.positions * steps);
  std::vector<Eigen::Triplet<float>> entries;
  for (Eigen::Index n = 0; n < rows; ++n)
    for (Eigen::Index k = 0; k < inner; ++k)
      if (const auto w = p->weights[static_cast<std::size_t>(n * inner + k)]; w != 0)
        entries.emplace_back(static_cast<int>(n), static_cast<int>(k), static_cast<float>(w));
  using Dense = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  auto w = std::make_shared<Eigen::SparseMatrix<float, Eigen::RowMajor>>(rows, inner);
  w->setFromTriplets(entries.begin(), entries.end());
  const auto expanded = p->expanded(false);
  auto x = std::make_shared<Dense>(Eigen::Map<const Dense>(expanded.data(), inner, columns));
  auto y = std::make_shared<Dense>(rows, columns);
  return bench::Case{.run = [=] { y->noalias() = *w * *x; },
                     .error =
                         [=] {
                           return p->error([&](std::size_t o, std::size_t m, std::size_t t) {
                             return (*y)(static_cast<Eigen::Index>(o), static_cast<Eigen::Index>(m * steps + t));
                           });
                         }};
}
#endif

// Fully connected layers at batch 1, as fully connected layers of VGG-16 and larger; ratios of V-L8, 98 % of weights
// gone.
constexpr Layer linear[] = {{"512x4608", 1, 4608, 512, 0.98, 0.765, 0.881},
                            {"4096x4096", 1, 4096, 4096, 0.98, 0.765, 0.881}};

bench::Case vector(const Layer& l) {
  auto p = std::make_shared<Problem>(l);
  const std::vector<float> w(p->weights.begin(), p->weights.end());
  auto product =
      std::make_shared<spiq::DualSparseVector<float>>(spiq::ColumnSparse<float>::pack(l.outputs, l.inputs, w));
  p->dense.resize(l.outputs * steps);
  return {
      .run = [=] { product->run(p->x, std::span(p->dense)); },
      .error =
          [=] { return p->error([&](std::size_t n, std::size_t, std::size_t t) { return p->dense[n * steps + t]; }); }};
}

// Many steps: walked by words, and by lists of what is not silent. Inputs spike at a share of the positions, `spoken`.
template <int Steps>
struct Long {
  Long(std::size_t positions, double spoken) : x(positions, 2304) {
    spiq::Rng rng(13);
    std::vector<std::int16_t> dense(256 * 2304);
    for (auto& w : dense)
      if (rng.uniform() < 0.02f) w = static_cast<std::int16_t>(1 + rng.below(127));
    weights = spiq::RowSparse<std::int16_t>::pack(256, 2304, dense);
    for (std::size_t m = 0; m < positions; ++m)
      for (std::size_t k = 0; k < 2304; ++k)
        if (rng.uniform() < static_cast<float>(spoken))
          for (std::uint64_t spikes = 0; spikes == 0; x.set(m, k, spikes))
            for (int t = 0; t < Steps; ++t) spikes |= std::uint64_t{rng.uniform() < 0.25f} << t;
    sums.resize(256 * positions * Steps);
  }
  spiq::SpikeWords<Steps> x;
  spiq::RowSparse<std::int16_t> weights;
  std::vector<std::int16_t> sums;  // [output][position][step]
};
template <int Steps>
void add_long(bench::Suite& suite, std::size_t positions, double spoken) {
  bench::Row base{.kernel = "ftp_long",
                  .shape = "M" + std::to_string(positions) + "T" + std::to_string(Steps) + "-spoken" +
                           std::to_string(static_cast<int>(100 * spoken))};
  base.items = 0.02 * 256 * 2304 * static_cast<double>(positions) * Steps;
  base.item = "OP";
  base.exact = true;
  using Drawn = Long<Steps>;
  const auto add = [&](const char* name, auto work) {
    bench::Row row = base;
    row.implementation = name;
    row.prepare = [=] {
      auto p = std::make_shared<Drawn>(positions, spoken);
      return bench::Case{
          .run = work(p), .error = [=] {
            double worst = 0;
            for (std::size_t n = 0; n < 256; n += 51)
              for (std::size_t m = 0; m < positions; ++m)
                for (std::size_t t = 0; t < Steps; ++t) {
                  std::int64_t sum = 0;
                  for (std::size_t j = p->weights.begin(n); j < p->weights.end(n); ++j)
                    if ((p->x.at(m, p->weights.place(j)) >> t & 1) != 0) sum += p->weights.value(j);
                  worst =
                      std::max(worst, std::abs(static_cast<double>(sum - p->sums[(n * positions + m) * Steps + t])));
                }
            return worst;
          }};
    };
    suite.add(std::move(row));
  };
  add("spiq_words_i16", [=](std::shared_ptr<Drawn> p) {
    auto product = std::make_shared<spiq::DualSparse<std::int16_t>>(p->weights);
    auto scratch = std::make_shared<spiq::DualSparse<std::int16_t>::Scratch>(product->scratch());
    return bench::Body([=] {
      const std::size_t of_output = positions * Steps;
      product->run(
          p->x, 0, p->x.tiles(),
          [&](const auto* s, std::size_t n, std::size_t tile) {
            std::copy_n(s, 64, p->sums.data() + n * of_output + tile * 64);
          },
          *scratch);
    });
  });
  add("spiq_list_i16", [=](std::shared_ptr<Drawn> p) {
    using List = spiq::DualSparseList<std::int16_t>;
    auto product = std::make_shared<List>(p->weights);
    auto fiber = std::make_shared<spiq::SpikeFiber<Steps>>(p->x);
    auto scratch = std::make_shared<typename List::Scratch>(product->scratch(*fiber));
    return bench::Body([=] {
      const std::size_t of_output = positions * Steps;
      product->run(
          *fiber, 0, 256,
          [&](const auto* s, std::size_t n) { std::copy_n(s, of_output, p->sums.data() + n * of_output); }, *scratch);
    });
  });
}

SPIQ_BENCH(dual_sparse) {
  add_long<16>(suite, 64, 0.1);
  add_long<32>(suite, 64, 0.2);
  add_long<32>(suite, 256, 0.1);
  for (const Layer& l : layers) {
    bench::Row base{.kernel = "ftp", .shape = l.name};
    base.flops = 2 * (1 - l.weight_sparsity) * static_cast<double>(l.outputs * l.inputs * l.positions * steps);
    base.working_set = 32768;
    const auto add = [&](const char* name, bool exact, auto prepare) {
      bench::Row row = base;
      row.implementation = name;
      row.exact = exact;
      row.prepare = prepare;
      suite.add(std::move(row));
    };
    using Best = spiq::simd::best;
    add("spiq_f32", true, [=] { return ours<float, Best>(l); });  // whole numbers: exact in floats, too
    add("spiq_i16", true, [=] { return ours<std::int16_t, Best>(l); });
#if defined(SPIQ_SIMD_AVX512)
    add("spiq_f32_avx2", true, [=] { return ours<float, spiq::simd::avx2>(l); });
    add("spiq_i16_avx2", true, [=] { return ours<std::int16_t, spiq::simd::avx2>(l); });
#endif
#if defined(SPIQ_BENCH_OPENBLAS)
    for (const bool each : {true, false})
      add(each ? "sgemm_per_step" : "sgemm_fused", true, [=] {
        openblas_set_num_threads(1);
        auto p = std::make_shared<Problem>(l);
        auto w = std::make_shared<std::vector<float>>(p->weights.begin(), p->weights.end());
        auto x = std::make_shared<std::vector<float>>(p->expanded(each));
        const auto n = static_cast<blasint>(l.outputs), k = static_cast<blasint>(l.inputs);
        const auto columns = static_cast<blasint>(each ? l.positions : l.positions * steps);
        const std::size_t of_step = l.outputs * l.positions;
        return bench::Case{
            .run =
                [=] {
                  for (std::size_t t = 0; t < (each ? steps : 1); ++t)
                    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, columns, k, 1.0f, w->data(), k,
                                x->data() + t * l.inputs * l.positions, columns, 0.0f, p->dense.data() + t * of_step,
                                columns);
                },
            .error =
                [=] {
                  return p->error([&](std::size_t o, std::size_t m, std::size_t t) {
                    return p->dense[each ? t * of_step + o * l.positions + m : (o * l.positions + m) * steps + t];
                  });
                }};
      });
#endif
#if defined(SPIQ_BENCH_EIGEN)
    add("eigen_sparse", true, [=] { return eigen(l); });
#endif
  }
  for (const Layer& l : linear) {
    bench::Row base{.kernel = "ftp_fc", .shape = l.name + std::string("-T4")};
    // Of the weights of inputs that are not silent, the sums that they are added to: read and written.
    base.bytes = (1 - l.weight_sparsity) * (1 - l.silent) * static_cast<double>(l.outputs * l.inputs * steps) * 8;
    base.working_set = static_cast<double>(l.outputs * steps) * 4;
    const auto add = [&](const char* name, auto prepare) {
      bench::Row row = base;
      row.implementation = name;
      row.exact = true;
      row.prepare = prepare;
      suite.add(std::move(row));
    };
    add("spiq_f32", [=] { return vector(l); });
#if defined(SPIQ_BENCH_OPENBLAS)
    add("sgemv_per_step", [=] {
      openblas_set_num_threads(1);
      auto p = std::make_shared<Problem>(l);
      auto w = std::make_shared<std::vector<float>>(p->weights.begin(), p->weights.end());
      auto x = std::make_shared<std::vector<float>>(p->expanded(true));
      const auto n = static_cast<blasint>(l.outputs), k = static_cast<blasint>(l.inputs);
      return bench::Case{
          .run =
              [=] {
                for (std::size_t t = 0; t < steps; ++t)
                  cblas_sgemv(CblasRowMajor, CblasNoTrans, n, k, 1.0f, w->data(), k, x->data() + t * l.inputs, 1, 0.0f,
                              p->dense.data() + t * l.outputs, 1);
              },
          .error =
              [=] {
                return p->error([&](std::size_t o, std::size_t, std::size_t t) { return p->dense[t * l.outputs + o]; });
              }};
    });
#endif
#if defined(SPIQ_BENCH_EIGEN)
    add("eigen_sparse", [=] { return eigen(l); });
#endif
  }
}

}  // namespace
