/// @file
/// Batch normalisation.
#pragma once

#include <spiq/kernel/batchnorm.hpp>
#include <spiq/kernel/columns.hpp>
#include <spiq/nn/fusion.hpp>
#include <spiq/nn/parameter.hpp>
#include <spiq/nn/pass.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>

SPIQ_BEGIN_NAMESPACE

/// y = gamma (x - mean) / sqrt(variance + eps) + beta per channel (Ioffe and Szegedy, arXiv 1502.03167). In training,
/// mean and biased variance are those of the batch, and the backward pass mixes them (the variance unbiased) into
/// the running statistics with factor `momentum`; in evaluation the running statistics are used, and a backward pass
/// treats them as constants.
///
/// Where a training pass is one time step of several (`Sltt`), all steps are normalised with the mean and variance over
/// all of them, gathered in passes before (`nn::Statistics`). The gradient through them is that of batch
/// renormalisation (Ioffe, arXiv 1702.03275): of the step's own statistics, their distance from the pooled ones constant.
struct BatchNorm {
  static constexpr const char* name = "BatchNorm";
  static constexpr bool centring = true;
  static constexpr bool batch_statistics = true;
  static constexpr bool accepts(Shape) { return true; }
  static constexpr Shape output_shape(Shape in) { return in; }

  struct Cache {
    kernel::BatchNormKernel<> kernel;
    AlignedVector<float> mean, inv_std;              // of the batch, for the backward pass
    AlignedVector<float> batch_mean, batch_variance;  // unbiased; for the running statistics
    nn::Workspace unused;                            // for the gradient that nobody wants
    nn::Workspace normalised, gradient;              // of a backward pass with running statistics or penalties
    kernel::ColumnSums<> sums;
    // Of one time step among several, and of all of them:
    AlignedVector<double> own_mean, own_variance, pooled_mean, pooled_squares;
    AlignedVector<float> variance, ratio, distance, own_gamma, own_beta;
    std::size_t pooled_rows = 0;
    bool mixed = true;  // what was pooled, into the running statistics
    bool trained = false;
  };
  Shape in;
  Tensor<float> gamma, beta, running_mean, running_var;
  Tensor<float> gamma_gradient, beta_gradient;
  float eps = 1e-5f;  ///< fixed by the code that made the network; not part of its saved state
  float momentum = 0.1f;

  explicit BatchNorm(Shape input)
      : in(input), gamma(extents()), beta(extents()), running_mean(extents()), running_var(extents()),
        gamma_gradient(extents()), beta_gradient(extents()) {
    gamma.fill(1.0f);
    running_var.fill(1.0f);
  }

  void forward(const float* x, float* y, std::size_t samples, Cache& cache, const nn::Pass& pass) const {
    forward_with(kernel::Identity{}, x, y, samples, cache, pass);
  }
  void backward(const float* x, const float*, const float* dy, float* dx, std::size_t samples, Cache& cache,
                const nn::Pass& pass) {
    backward_with(kernel::Identity{}, x, dy, dx, samples, cache, pass);
  }

  /// y = activation(BatchNorm(x)) in one pass over memory.
  template <class Function>
  void forward_with(const Function& activation, const float* x, float* y, std::size_t samples, Cache& cache,
                    const nn::Pass& pass) const {
    const auto channels = static_cast<std::size_t>(in.channels);
    const std::size_t rows = samples * in.pixels();
    cache.trained = pass.training();
    if (!cache.trained) {
      cache.kernel.eval_forward(numbers(), x, y, rows, channels, running_mean.data(), running_var.data(), activation,
                                pass.threads);
      return;
    }
    if (pass.statistics == nn::Statistics::gather) {
      gather(x, rows, cache, pass);
      cache.kernel.eval_forward(numbers(), x, y, rows, channels, running_mean.data(), running_var.data(), activation,
                                pass.threads);
      return;
    }
    cache.mean.resize(channels);
    cache.inv_std.resize(channels);
    if (pass.statistics == nn::Statistics::pooled) {
      renormalise(x, rows, cache, pass.threads);
      cache.kernel.eval_forward(renormalised(cache), x, y, rows, channels, cache.mean.data(), cache.variance.data(),
                                activation, pass.threads);
      return;
    }
    // With momentum 1 from zero the kernel's running statistics are those of the batch.
    cache.batch_mean.assign(channels, 0.0f);
    cache.batch_variance.assign(channels, 0.0f);
    cache.kernel.train_forward(numbers(), x, y, rows, channels, cache.mean.data(), cache.inv_std.data(),
                               cache.batch_mean.data(), cache.batch_variance.data(), 1.0f, activation, pass.threads);
  }
  /// Backward of `forward_with`; returns the gradient of the activation's parameter.
  template <class Function>
  double backward_with(const Function& activation, const float* x, const float* dy, float* dx, std::size_t samples,
                       Cache& cache, const nn::Pass& pass) {
    const auto channels = static_cast<std::size_t>(in.channels);
    const std::size_t rows = samples * in.pixels();
    if (dx == nullptr) dx = cache.unused.get(rows * channels);
    if (!cache.trained) return backward_frozen(activation, x, dy, dx, rows, cache, pass.threads);
    const bool pooled = pass.statistics == nn::Statistics::pooled;
    if (pooled) take_pooled(cache);
    for (std::size_t c = 0; c < channels && !(pooled && cache.mixed); ++c) {
      running_mean[c] += momentum * (cache.batch_mean[c] - running_mean[c]);
      running_var[c] += momentum * (cache.batch_variance[c] - running_var[c]);
    }
    cache.mixed = true;
    const double parameter =
        cache.kernel.backward(pooled ? renormalised(cache) : numbers(), x, dy, dx, rows, channels, cache.mean.data(),
                              cache.inv_std.data(), gamma_gradient.data(), beta_gradient.data(), activation, pass.threads);
    for (std::size_t c = 0; c < channels && pooled; ++c)
      gamma_gradient[c] = cache.ratio[c] * gamma_gradient[c] + cache.distance[c] * beta_gradient[c];
    return parameter;
  }

  template <class Visitor>
  void parameters(const std::string& path, Visitor&& visit) {
    using nn::ParameterKind;
    visit(nn::Parameter{path + "weight", gamma.span(), gamma_gradient.span(), gamma.extents(), ParameterKind::norm});
    visit(nn::Parameter{path + "bias", beta.span(), beta_gradient.span(), beta.extents(), ParameterKind::norm});
  }
  template <class Self, class Visitor>
  static void state(Self& self, const std::string& path, Visitor&& visit) {
    visit(path + "weight", self.gamma.span(), self.gamma.extents());
    visit(path + "bias", self.beta.span(), self.beta.extents());
    visit(path + "running_mean", self.running_mean.span(), self.running_mean.extents());
    visit(path + "running_var", self.running_var.span(), self.running_var.extents());
  }

private:
  void gather(const float* x, std::size_t rows, Cache& cache, const nn::Pass& pass) const {
    const auto channels = static_cast<std::size_t>(in.channels);
    if (pass.fresh) cache.pooled_rows = 0;
    for (AlignedVector<double>* v : {&cache.own_mean, &cache.own_variance, &cache.pooled_mean, &cache.pooled_squares})
      v->resize(channels);
    cache.kernel.statistics(x, rows, channels, cache.own_mean.data(), cache.own_variance.data(), pass.threads);
    const double n = static_cast<double>(rows), before = static_cast<double>(cache.pooled_rows);
    for (std::size_t c = 0; c < channels && rows != 0; ++c) {
      if (cache.pooled_rows == 0) cache.pooled_mean[c] = cache.pooled_squares[c] = 0;
      const double apart = cache.own_mean[c] - cache.pooled_mean[c];
      cache.pooled_mean[c] += apart * n / (n + before);
      cache.pooled_squares[c] += cache.own_variance[c] * n + apart * apart * n * before / (n + before);
    }
    cache.pooled_rows += rows;
    cache.mixed = false;
  }
  // (x - pooled mean) / pooled deviation = ratio (x - own mean) / own deviation + distance
  void renormalise(const float* x, std::size_t rows, Cache& cache, int threads) const {
    const auto channels = static_cast<std::size_t>(in.channels);
    cache.kernel.statistics(x, rows, channels, cache.own_mean.data(), cache.own_variance.data(), threads);
    for (AlignedVector<float>* v : {&cache.variance, &cache.ratio, &cache.distance, &cache.own_gamma, &cache.own_beta})
      v->resize(channels);
    const double n = static_cast<double>(std::max<std::size_t>(cache.pooled_rows, 1)), e = static_cast<double>(eps);
    for (std::size_t c = 0; c < channels && rows != 0; ++c) {
      const double pooled = 1 / std::sqrt(cache.pooled_squares[c] / n + e), own = std::sqrt(cache.own_variance[c] + e);
      cache.mean[c] = static_cast<float>(cache.own_mean[c]);
      cache.variance[c] = static_cast<float>(cache.own_variance[c]);
      cache.inv_std[c] = static_cast<float>(1 / own);
      cache.ratio[c] = static_cast<float>(own * pooled);
      cache.distance[c] = static_cast<float>((cache.own_mean[c] - cache.pooled_mean[c]) * pooled);
      cache.own_gamma[c] = gamma[c] * cache.ratio[c];
      cache.own_beta[c] = beta[c] + gamma[c] * cache.distance[c];
    }
  }
  [[nodiscard]] kernel::BatchNormParameters renormalised(const Cache& cache) const {
    return {cache.own_gamma.data(), cache.own_beta.data(), eps};
  }
  void take_pooled(Cache& cache) const {
    const double n = static_cast<double>(std::max<std::size_t>(cache.pooled_rows, 1));
    cache.batch_mean.assign(cache.pooled_mean.begin(), cache.pooled_mean.end());
    cache.batch_variance.resize(cache.batch_mean.size());
    for (std::size_t c = 0; c < cache.batch_mean.size(); ++c)
      cache.batch_variance[c] = static_cast<float>(cache.pooled_squares[c] / std::max(n - 1, 1.0));
  }
  // dz = dy activation'(z); dbeta = sum dz, dgamma = sum dz xhat, dx = gamma / sqrt(running_var + eps) dz.
  template <class Function>
  double backward_frozen(const Function& activation, const float* x, const float* dy, float* dx, std::size_t rows,
                         Cache& cache, int threads) {
    const auto channels = static_cast<std::size_t>(in.channels);
    const std::size_t n = rows * channels;
    float* const z = cache.normalised.get(n);
    float* const dz = cache.gradient.get(n);
    kernel::BatchNormKernel<>& norm = cache.kernel;
    norm.eval_forward(numbers(), x, z, rows, channels, running_mean.data(), running_var.data(), kernel::Identity{}, threads);
    const double parameter = kernel::activate_backward(activation, z, dy, dz, n, threads);
    AlignedVector<double> sums(channels);
    cache.sums.run(dz, rows, channels, sums.data(), threads);
    for (std::size_t c = 0; c < channels; ++c) beta_gradient[c] = static_cast<float>(sums[c]);
    const AlignedVector<float> zero(channels, 0.0f);
    norm.eval_forward({nullptr, nullptr, eps}, x, z, rows, channels, running_mean.data(), running_var.data(), kernel::Identity{}, threads);
    kernel::map(z, dz, z, n, [](auto xhat, auto g) SPIQ_LAMBDA_INLINE { return xhat * g; }, threads);
    cache.sums.run(z, rows, channels, sums.data(), threads);
    for (std::size_t c = 0; c < channels; ++c) gamma_gradient[c] = static_cast<float>(sums[c]);
    norm.eval_forward({gamma.data(), nullptr, eps}, dz, dx, rows, channels, zero.data(), running_var.data(), kernel::Identity{}, threads);
    return parameter;
  }

  [[nodiscard]] kernel::BatchNormParameters numbers() const { return {gamma.data(), beta.data(), eps}; }
  [[nodiscard]] Extents extents() const { return {static_cast<std::size_t>(in.channels)}; }
};

namespace nn {

/// BatchNorm followed by an activation: the value between them is computed again in the backward pass, not stored.
template <class A>
  requires requires(const A a) { requires A::activation; a.function(); }
struct Fusion<BatchNorm, A> {
  static constexpr bool exists = true;
  static void forward(const BatchNorm& norm, const A& activation, const float* x, float* y, std::size_t samples,
                      BatchNorm::Cache& cache, const Pass& pass) {
    if constexpr (requires { A::penalised(pass); }) {
      if (A::penalised(pass)) {  // which need what lies between the two
        const std::size_t n = samples * activation.in.size();
        float* const z = cache.normalised.get(n);
        norm.forward_with(kernel::Identity{}, x, z, samples, cache, pass);
        kernel::activate(activation.function(), z, y, n, pass.threads);
        return;
      }
    }
    norm.forward_with(activation.function(), x, y, samples, cache, pass);
  }
  static void backward(BatchNorm& norm, A& activation, const float* x, const float* dy, float* dx,
                       std::size_t samples, BatchNorm::Cache& cache, const Pass& pass) {
    if constexpr (requires { A::penalised(pass); }) {
      if (A::penalised(pass)) {
        const std::size_t n = samples * activation.in.size();
        const float* const z = cache.normalised.data();
        float* const dz = cache.gradient.get(n);
        activation.set_parameter_gradient(kernel::activate_backward(activation.function(), z, dy, dz, n, pass.threads));
        activation.add_penalties(z, dz, samples, pass);
        norm.backward_with(kernel::Identity{}, x, dz, dx, samples, cache, pass);
        return;
      }
    }
    activation.set_parameter_gradient(norm.backward_with(activation.function(), x, dy, dx, samples, cache, pass));
  }
};

}  // namespace nn

SPIQ_END_NAMESPACE
