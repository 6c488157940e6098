/// @file
/// The fully connected layer whose synapses have learned delays.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/parallel.hpp>
#include <spiq/core/random.hpp>
#include <spiq/kernel/gemm.hpp>
#include <spiq/neuron/delay.hpp>
#include <spiq/nn/chunks.hpp>
#include <spiq/nn/parameter.hpp>
#include <spiq/nn/pass.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>

SPIQ_BEGIN_NAMESPACE

/// y[t][o] = bias[o] + sum over i, d of K[o][i][d] x[t - d][i], zeros before the first step: a linear layer whose
/// synapse from i to o has a weight and a delay of 0 to Taps - 1 steps, both learned (DCLS: Hammouamri et al., arXiv
/// 2306.17670; `delay` says how a position becomes a kernel). {1, 1, n} -> {1, 1, N}, inside `OverTime`, over any
/// number of steps.
///
/// In training K is a Gaussian of `width` around the position, which so has a gradient; shrink the width from epoch to
/// epoch (`annealed_width`), so that little changes when every other pass, and every lowered network, rounds positions
/// to whole steps: one delay per synapse. Positions, counted from the centre of the kernel (delay = Taps - 1 - position
/// - Taps / 2), are kept within it. Gradients pass to the earlier steps of a window of `Pass::window` steps, or to all
/// of the pass (with `Sltt`, whose passes hold one step, to none); weights and positions see all that came in before.
template <int N, int Taps>
struct DelayedLinear {
  static_assert(N >= 1 && Taps >= 1 && Taps <= 256,
                "spiq: DelayedLinear<N, Taps> takes N >= 1 outputs and 1 to 256 taps");
  static constexpr const char* name = "DelayedLinear";
  static constexpr std::size_t taps = Taps, outputs = N;
  static constexpr bool accepts(Shape in) { return in.height == 1 && in.width == 1 && in.channels > 0; }
  static constexpr Shape output_shape(Shape) { return {1, 1, N}; }

  struct Cache {
    nn::Workspace kernel;    ///< [delay][out][in]
    nn::Workspace gradient;  ///< of the kernel
    nn::Workspace input;     ///< [Taps - 1 steps before, then those of the pass][batch][in]
    nn::Workspace input_gradient;
    std::size_t batch = 0, steps = 0;  ///< of the last pass
  };

  Shape in;
  Tensor<float> weight, position, bias;  ///< [N, in], [N, in], [N]
  Tensor<float> weight_gradient, position_gradient, bias_gradient;
  float width = Taps / 2;  ///< of the Gaussian, as `delay::Window::gauss` takes it

  explicit DelayedLinear(Shape input)
      : in(input),
        weight({outputs, inputs()}),
        position(weight.extents()),
        bias({outputs}),
        weight_gradient(weight.extents()),
        position_gradient(weight.extents()),
        bias_gradient({outputs}) {}

  /// The width at a share of training in [0, 1]: from Taps / 2 exponentially to 0.23 within the first quarter.
  static float annealed_width(double share) {
    const double start = std::max(Taps / 2, 1), end = 0.23;
    return static_cast<float>(start * std::pow(end / start, std::clamp(4 * share, 0.0, 1.0)));
  }
  /// The whole steps that synapse `s` = o * inputs + i waits.
  [[nodiscard]] std::size_t delay_of(std::size_t s) const {
    return taps - 1 - static_cast<std::size_t>(std::lround(within(position[s])) + static_cast<long>(taps / 2));
  }

  /// Normal weights of deviation sqrt(2 / in), positions uniform over the kernel, zero biases.
  void initialise(Rng rng) {
    const float deviation = std::sqrt(2.0f / static_cast<float>(inputs()));
    for (float& w : weight.span()) w = deviation * rng.normal();
    for (float& p : position.span()) p = rng.uniform(lowest, highest);
    bias.fill(0.0f);
  }

  void forward(const float* x, float* y, std::size_t samples, Cache& cache, const nn::Pass& pass) const {
    const std::size_t n = inputs(), batch = samples / static_cast<std::size_t>(pass.steps), before = (taps - 1) * batch;
    SPIQ_ASSERT(samples % static_cast<std::size_t>(pass.steps) == 0);
    // The last steps of the pass before go in front.
    SPIQ_ASSERT(pass.fresh || (cache.batch == batch && cache.steps == static_cast<std::size_t>(pass.steps)));
    if (!pass.fresh) std::copy_n(cache.input.data() + samples * n, before * n, cache.input.data());
    cache.steps = static_cast<std::size_t>(pass.steps);
    cache.batch = batch;
    float* const input = cache.input.get((before + samples) * n);
    if (pass.fresh) std::fill_n(input, before * n, 0.0f);
    std::copy_n(x, samples * n, input + before * n);
    float* const kernel = cache.kernel.get(taps * outputs * n);
    fill_kernel(kernel, pass);
    nn::for_chunks(samples, row_chunk, pass.threads, [&](std::size_t first, std::size_t count) {
      for (std::size_t s = first; s < first + count; ++s) std::copy_n(bias.data(), outputs, y + s * outputs);
      for (std::size_t d = 0; d < taps; ++d)
        kernel::gemm(size(count, outputs, n), input + (before + first - d * batch) * n, n, false,
                     kernel + d * outputs * n, n, true, y + first * outputs, outputs, true);
    });
  }

  void backward(const float*, const float*, const float* dy, float* dx, std::size_t samples, Cache& cache,
                const nn::Pass& pass) {
    const std::size_t n = inputs(), batch = cache.batch, before = (taps - 1) * batch;
    const float* const input = cache.input.data();
    float* const gradient = cache.gradient.get(taps * outputs * n);
    parallel_for(taps, 1, pass.threads, [&](std::size_t begin, std::size_t end, int) {
      for (std::size_t d = begin; d < end; ++d)
        kernel::gemm(size(outputs, n, samples), dy, outputs, true, input + (before - d * batch) * n, n, false,
                     gradient + d * outputs * n, n, false);
    });
    bias_gradient.fill(0.0f);
    for (std::size_t s = 0; s < samples; ++s)
      for (std::size_t o = 0; o < outputs; ++o) bias_gradient[o] += dy[s * outputs + o];
    parallel_for(outputs * n, 64, pass.threads, [&](std::size_t begin, std::size_t end, int) {
      std::array<float, taps> own;
      for (std::size_t s = begin; s < end; ++s) {
        position[s] = within(position[s]);
        for (std::size_t k = 0; k < taps; ++k) own[k] = gradient[(taps - 1 - k) * outputs * n + s];
        weight_gradient[s] = position_gradient[s] = 0;
        delay::kernel_backward(delay::Window::gauss, taps, 1, &weight[s], &position[s], &width, own.data(),
                               &weight_gradient[s], &position_gradient[s], nullptr);
      }
    });
    if (dx == nullptr) return;
    const float* const kernel = cache.kernel.data();
    const std::size_t window = pass.window == 0 ? cache.steps : static_cast<std::size_t>(pass.window);
    for (std::size_t t = 0; t < cache.steps; ++t) {
      const std::size_t reach = std::min({taps, cache.steps - t, window - t % window});
      nn::for_chunks(batch, row_chunk, pass.threads, [&](std::size_t row, std::size_t count) {
        for (std::size_t d = 0; d < reach; ++d)
          kernel::gemm(size(count, n, outputs), dy + ((t + d) * batch + row) * outputs, outputs, false,
                       kernel + d * outputs * n, n, false, dx + (t * batch + row) * n, n, d != 0);
      });
    }
  }

  template <class Visitor>
  void parameters(const std::string& path, Visitor&& visit) {
    visit(nn::Parameter{path + "weight", weight.span(), weight_gradient.span(), weight.extents(),
                        nn::ParameterKind::weight});
    visit(nn::Parameter{path + "position", position.span(), position_gradient.span(), position.extents(),
                        nn::ParameterKind::delay});
    visit(nn::Parameter{path + "bias", bias.span(), bias_gradient.span(), bias.extents(), nn::ParameterKind::bias});
  }
  template <class Self, class Visitor>
  static void state(Self& self, const std::string& path, Visitor&& visit) {
    visit(path + "weight", self.weight.span(), self.weight.extents());
    visit(path + "position", self.position.span(), self.position.extents());
    visit(path + "bias", self.bias.span(), self.bias.extents());
    visit(path + "width", std::span(&self.width, 1), Extents{1});
  }

private:
  static constexpr std::size_t row_chunk = 32;
  static constexpr float lowest = -static_cast<float>(taps / 2), highest = static_cast<float>(taps - 1 - taps / 2);
  static float within(float p) { return std::clamp(p, lowest, highest); }
  static kernel::GemmShape size(std::size_t m, std::size_t n, std::size_t k) {
    return {static_cast<int>(m), static_cast<int>(n), static_cast<int>(k)};
  }
  [[nodiscard]] std::size_t inputs() const { return static_cast<std::size_t>(in.channels); }

  /// [delay][out][in]: Gaussians in training, else one weight at each rounded position.
  void fill_kernel(float* kernel, const nn::Pass& pass) const {
    const std::size_t n = inputs();
    if (!pass.training()) {
      std::fill_n(kernel, taps * outputs * n, 0.0f);
      for (std::size_t s = 0; s < outputs * n; ++s) kernel[delay_of(s) * outputs * n + s] = weight[s];
      return;
    }
    parallel_for(outputs * n, 64, pass.threads, [&](std::size_t begin, std::size_t end, int) {
      std::array<float, taps> own;
      for (std::size_t s = begin; s < end; ++s) {
        own.fill(0);
        const float at = within(position[s]);
        delay::add_kernel(delay::Window::gauss, taps, 1, &weight[s], &at, &width, own.data());
        for (std::size_t k = 0; k < taps; ++k) kernel[(taps - 1 - k) * outputs * n + s] = own[k];
      }
    });
  }
};

SPIQ_END_NAMESPACE
