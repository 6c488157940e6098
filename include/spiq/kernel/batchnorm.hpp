/// @file
/// Batch normalisation over rows of channels, forward and backward, alone or fused with the activation behind it.
#pragma once

#include <spiq/core/storage.hpp>
#include <spiq/kernel/activation.hpp>
#include <spiq/kernel/columns.hpp>

#include <cmath>
#include <cstddef>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// The parameters of one batch normalisation: y = (x - mean) / sqrt(var + eps) * gamma + beta, per channel.
/// gamma or beta may be null (1 and 0).
struct BatchNormParameters {
  const float* gamma = nullptr;
  const float* beta = nullptr;
  float eps = 1e-5f;
};

/// Batch normalisation of x[rows][channels] (rows = samples * height * width), with an optional activation fused:
/// h = activation(BatchNorm(x)), one pass over memory forward, two backward; z is never stored.
/// Sums are taken in f32 for short runs and in double beyond, over fixed chunks of rows: the results have the same
/// bits on any number of threads. Owns its workspace; allocates only when the number of channels grows.
template <class Arch = simd::best>
class BatchNormKernel {
  using V = typename simd::traits<Arch>::f32;
  using S = simd::vec<float, simd::scalar>;
  using Wide = detail::WideRows<Arch>;

public:
  /// Training: normalises with the mean and the biased variance of the batch, written to `mean` and `inv_std`
  /// (1 / sqrt(var + eps)) for the backward pass. Running statistics r, where given, become
  /// r + momentum * (batch - r), the variance unbiased (rows / (rows - 1)).
  template <class Activation = Identity>
  void train_forward(const BatchNormParameters& p, const float* x, float* y, std::size_t rows, std::size_t channels,
                     float* mean, float* inv_std, float* running_mean, float* running_var, float momentum = 0.1f,
                     const Activation& activation = {}, int threads = 1) {
    const Wide wide(rows, channels);
    reserve(wide, 2);
    if (rows == 0) return;
    sum_deviations(wide, x, threads);
    const double n = static_cast<double>(rows);
    for (std::size_t c = 0; c < channels; ++c) {
      const Moments batch = moments(x, c, channels, n);
      mean[c] = static_cast<float>(batch.mean);
      inv_std[c] = static_cast<float>(1.0 / std::sqrt(batch.variance + static_cast<double>(p.eps)));
      if (running_mean != nullptr) running_mean[c] += momentum * (mean[c] - running_mean[c]);
      if (running_var != nullptr) {
        const double unbiased = rows > 1 ? batch.variance * n / (n - 1) : batch.variance;
        running_var[c] += momentum * (static_cast<float>(unbiased) - running_var[c]);
      }
    }
    apply(wide, p, x, y, mean, inv_std, activation, threads);
  }

  /// Mean and biased variance of every channel.
  void statistics(const float* x, std::size_t rows, std::size_t channels, double* mean, double* variance,
                  int threads = 1) {
    const Wide wide(rows, channels);
    reserve(wide, 2);
    if (rows == 0) return;
    sum_deviations(wide, x, threads);
    for (std::size_t c = 0; c < channels; ++c) {
      const Moments of = moments(x, c, channels, static_cast<double>(rows));
      mean[c] = of.mean;
      variance[c] = of.variance;
    }
  }

  /// Inference with running statistics.
  template <class Activation = Identity>
  void eval_forward(const BatchNormParameters& p, const float* x, float* y, std::size_t rows, std::size_t channels,
                    const float* running_mean, const float* running_var, const Activation& activation = {},
                    int threads = 1) {
    const Wide wide(rows, channels);
    reserve(wide, 0);
    AlignedVector<float>& inv_std = inv_std_;
    for (std::size_t c = 0; c < channels; ++c)
      inv_std[c] =
          static_cast<float>(1.0 / std::sqrt(static_cast<double>(running_var[c]) + static_cast<double>(p.eps)));
    apply(wide, p, x, y, running_mean, inv_std.data(), activation, threads);
  }

  /// Backward of train_forward: from dh = dL/dh, the input x and the saved statistics, with
  /// dz = dh * activation'(z) and xhat = (x - mean) * inv_std:
  ///   dbeta = sum dz, dgamma = sum dz * xhat, dx = gamma * inv_std * (dz - dbeta / rows - xhat * dgamma / rows).
  /// dgamma and dbeta are overwritten; dx may be dh. Returns dL/dparameter of the activation.
  template <class Activation = Identity>
  double backward(const BatchNormParameters& p, const float* x, const float* dh, float* dx, std::size_t rows,
                  std::size_t channels, const float* mean, const float* inv_std, float* dgamma, float* dbeta,
                  const Activation& activation = {}, int threads = 1) {
    constexpr int sums = Activation::parametric ? 3 : 2;
    const Wide wide(rows, channels);
    reserve(wide, 3);
    prepare(wide, p, mean, inv_std);
    const float* const centre = column(0, wide);
    const float* const slope = column(1, wide);
    const float* const offset = column(2, wide);
    const typename Activation::template On<V> on_vector(activation);
    const typename Activation::template On<S> on_scalar(activation);
    const auto gradient = [&](auto z, auto g, auto& parameter) SPIQ_LAMBDA_INLINE {
      if constexpr (std::is_same_v<decltype(z), V>)
        return on_vector.gradient(z, g, parameter);
      else
        return on_scalar.gradient(z, g, parameter);
    };
    sum<sums>(wide, threads,
              [&](auto access, auto from, std::size_t i, std::size_t j, auto* total) SPIQ_LAMBDA_INLINE {
                using W = typename decltype(from)::type;
                const W d = access.template load<W>(x + i) - access.template load<W>(centre + j);
                const W z = fma(d, access.template load<W>(slope + j), access.template load<W>(offset + j));
                W parameter = W::zero();
                const W dz = gradient(z, access.template load<W>(dh + i), sums == 3 ? total[sums - 1] : parameter);
                total[0] = total[0] + dz;
                total[1] = fma(dz, d, total[1]);
              });
    double dparameter = 0;
    for (std::size_t c = 0; c < channels; ++c) {
      const double inv = static_cast<double>(inv_std[c]);
      const double gamma = p.gamma != nullptr ? static_cast<double>(p.gamma[c]) : 1.0;
      const double n = static_cast<double>(std::max<std::size_t>(rows, 1));
      if (dgamma != nullptr) dgamma[c] = static_cast<float>(sums_[channels + c] * inv);
      if (dbeta != nullptr) dbeta[c] = static_cast<float>(sums_[c]);
      // dx = slope * dz + (x - mean) * linear + constant.
      first_[c] = static_cast<float>(-gamma * inv * inv * inv * sums_[channels + c] / n);
      second_[c] = static_cast<float>(-gamma * inv * sums_[c] / n);
      if constexpr (Activation::parametric) dparameter += sums_[2 * channels + c];
    }
    spread(first_.data(), wide, 3);
    spread(second_.data(), wide, 4);
    const float* const linear = column(3, wide);
    const float* const constant = column(4, wide);
    fill(wide, dx, threads, [&](auto access, auto from, std::size_t i, std::size_t j) SPIQ_LAMBDA_INLINE {
      using W = typename decltype(from)::type;
      const W d = access.template load<W>(x + i) - access.template load<W>(centre + j);
      const W a = access.template load<W>(slope + j);
      const W z = fma(d, a, access.template load<W>(offset + j));
      W ignored = W::zero();
      const W dz = gradient(z, access.template load<W>(dh + i), ignored);
      const W rest = fma(d, access.template load<W>(linear + j), access.template load<W>(constant + j));
      return fma(a, dz, rest);
    });
    return dparameter;
  }

private:
  template <class T>
  struct type_of {
    using type = T;
  };
  static constexpr std::size_t arrays = 5;
  static constexpr std::size_t chunk_floats = 16384;

  void reserve(const Wide& wide, std::size_t sums) {
    const std::size_t need = arrays * wide.padded_columns();
    if (columns_.size() < need) columns_.resize(need);
    if (first_.size() < wide.channels) {
      first_.resize(wide.channels);
      second_.resize(wide.channels);
      inv_std_.resize(wide.channels);
    }
    const std::size_t doubles = (FixedChunks::limit + 1) * sums * wide.channels;
    if (partial_.size() < doubles) partial_.resize(doubles);
    if (sums_.size() < sums * wide.channels) sums_.resize(sums * wide.channels);
  }
  float* column(std::size_t array, const Wide& wide) { return columns_.data() + array * wide.padded_columns(); }
  /// Repeats one value per channel over the columns of a wide row.
  void spread(const float* per_channel, const Wide& wide, std::size_t array) {
    float* const to = column(array, wide);
    for (std::size_t f = 0; f < wide.fold; ++f) std::copy_n(per_channel, wide.channels, to + f * wide.channels);
  }
  /// Arrays 0, 1, 2: mean, slope = gamma * inv_std, beta.
  void prepare(const Wide& wide, const BatchNormParameters& p, const float* mean, const float* inv_std) {
    for (std::size_t c = 0; c < wide.channels; ++c) {
      first_[c] = p.gamma != nullptr ? p.gamma[c] * inv_std[c] : inv_std[c];
      second_[c] = p.beta != nullptr ? p.beta[c] : 0.0f;
    }
    spread(mean, wide, 0);
    spread(first_.data(), wide, 1);
    spread(second_.data(), wide, 2);
  }

  /// Sums of x[row] - x[0] and of its square. Deviations from the first row: without a shift the variance would cancel
  /// where |mean| >> deviation.
  void sum_deviations(const Wide& wide, const float* x, int threads) noexcept {
    spread(x, wide, 0);
    const float* const origin = column(0, wide);
    sum<2>(wide, threads, [&](auto access, auto from, std::size_t i, std::size_t j, auto* sums) SPIQ_LAMBDA_INLINE {
      using W = typename decltype(from)::type;
      const W d = access.template load<W>(x + i) - access.template load<W>(origin + j);
      sums[0] = sums[0] + d;
      sums[1] = fma(d, d, sums[1]);
    });
  }
  struct Moments {
    double mean, variance;
  };
  /// Of channel c, from these sums; the variance biased.
  [[nodiscard]] Moments moments(const float* x, std::size_t c, std::size_t channels, double n) const noexcept {
    const double shift = sums_[c] / n;
    return {static_cast<double>(x[c]) + shift, std::max(0.0, sums_[channels + c] / n - shift * shift)};
  }
  /// sums_[s * channels + channel] = sum over all rows of term(access, type, element, column, sums).
  template <int Sums, class Term>
  void sum(const Wide& wide, int threads, const Term& term) noexcept {
    const std::size_t stride = static_cast<std::size_t>(Sums) * wide.channels;
    const FixedChunks chunks(wide.rows, std::max<std::size_t>(1, chunk_floats / wide.columns));
    parallel_for(chunks.count, 1, threads, [&](std::size_t first, std::size_t last, int) {
      for (std::size_t c = first; c < last; ++c) {
        double* const out = partial_.data() + c * stride;
        std::fill_n(out, stride, 0.0);
        wide.template add<Sums>(chunks.begin(c), chunks.end(c), out,
                                [&](auto access, std::size_t i, std::size_t j, V* sums)
                                    SPIQ_LAMBDA_INLINE { term(access, type_of<V>{}, i, j, sums); });
      }
    });
    double* const total = sums_.data();
    std::fill_n(total, stride, 0.0);
    for (std::size_t c = 0; c < chunks.count; ++c)
      for (std::size_t i = 0; i < stride; ++i) total[i] += partial_[c * stride + i];
    for_rest(wide, [&](std::size_t i, std::size_t channel) {
      S one[Sums];
      for (S& s : one) s = S::zero();
      term(Whole{}, type_of<S>{}, i, channel, one);
      for (std::size_t s = 0; s < static_cast<std::size_t>(Sums); ++s)
        total[s * wide.channels + channel] += static_cast<double>(one[s].v);
    });
  }
  /// y[element] = f(access, type, element, column) over all rows.
  template <class F>
  void fill(const Wide& wide, float* y, int threads, const F& f) noexcept {
    const std::size_t grain = std::max<std::size_t>(1, chunk_floats / wide.columns);
    parallel_for(wide.rows, grain, threads, [&](std::size_t first, std::size_t last, int) {
      wide.fill(y, first, last, [&](auto access, std::size_t i, std::size_t j) SPIQ_LAMBDA_INLINE {
        return f(access, type_of<V>{}, i, j);
      });
    });
    for_rest(wide, [&](std::size_t i, std::size_t channel) { y[i] = f(Whole{}, type_of<S>{}, i, channel).v; });
  }
  template <class Body>
  static void for_rest(const Wide& wide, const Body& body) noexcept {
    std::size_t i = wide.rows * wide.columns;
    for (std::size_t r = 0; r < wide.rest; ++r)
      for (std::size_t c = 0; c < wide.channels; ++c) body(i++, c);
  }

  template <class Activation>
  void apply(const Wide& wide, const BatchNormParameters& p, const float* x, float* y, const float* mean,
             const float* inv_std, const Activation& activation, int threads) noexcept {
    prepare(wide, p, mean, inv_std);
    const float* const centre = column(0, wide);
    const float* const slope = column(1, wide);
    const float* const offset = column(2, wide);
    const typename Activation::template On<V> on_vector(activation);
    const typename Activation::template On<S> on_scalar(activation);
    fill(wide, y, threads, [&](auto access, auto from, std::size_t i, std::size_t j) SPIQ_LAMBDA_INLINE {
      using W = typename decltype(from)::type;
      const W d = access.template load<W>(x + i) - access.template load<W>(centre + j);
      const W z = fma(d, access.template load<W>(slope + j), access.template load<W>(offset + j));
      if constexpr (std::is_same_v<W, V>)
        return on_vector.value(z);
      else
        return on_scalar.value(z);
    });
  }

  AlignedVector<float> columns_, first_, second_, inv_std_;
  AlignedVector<double> partial_, sums_;
};

}  // namespace kernel

SPIQ_END_NAMESPACE
