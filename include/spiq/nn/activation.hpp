/// @file
/// Activations: ReLU and the quantised clip-floor-shift activation.
#pragma once

#include <spiq/kernel/activation.hpp>
#include <spiq/kernel/qcfs_penalty.hpp>
#include <spiq/nn/parameter.hpp>
#include <spiq/nn/pass.hpp>

#include <cstddef>
#include <span>
#include <string>

SPIQ_BEGIN_NAMESPACE

/// max(x, 0).
struct ReLU {
  static constexpr const char* name = "ReLU";
  static constexpr bool activation = true;
  static constexpr bool accepts(Shape) { return true; }
  static constexpr Shape output_shape(Shape in) { return in; }

  struct Cache {};
  Shape in;
  explicit ReLU(Shape input) : in(input) {}

  [[nodiscard]] kernel::Relu function() const { return {}; }
  void set_parameter_gradient(double) {}

  void forward(const float* x, float* y, std::size_t samples, Cache&, const nn::Pass& pass) const {
    kernel::activate(function(), x, y, samples * in.size(), pass.threads);
  }
  void backward(const float* x, const float*, const float* dy, float* dx, std::size_t samples, Cache&,
                const nn::Pass& pass) {
    if (dx != nullptr) kernel::activate_backward(function(), x, dy, dx, samples * in.size(), pass.threads);
  }
};

/// How the gradient passes through the floor and the clip of QCFS; both give the same values forward.
namespace gradient {
/// inside = the rounded value lies in [0, 1] (putshua/SNN_conversion_QCFS).
struct floor_first {
  static constexpr kernel::QcfsGradient kind = kernel::QcfsGradient::floor_first;
};
/// inside = z / lambda lies in [0, 1] (putshua/ANN_SNN_QCFS).
struct clip_first {
  static constexpr kernel::QcfsGradient kind = kernel::QcfsGradient::clip_first;
};
}  // namespace gradient

/// Quantised clip-floor-shift activation (Bu et al., arXiv 2303.04347) with trainable threshold lambda:
/// y = lambda * clip(floor(z * levels / lambda + 1/2) / levels, 0, 1).
/// `L` is the initial number of levels; `levels` and `lambda` are numbers of the layer, saved with the weights.
/// `fit` sets lambda from the first batch unless `calibrated`.
template <int L, class Gradient = gradient::floor_first>
struct Qcfs {
  static_assert(L >= 1 && L <= 255, "spiq: Qcfs takes 1 to 255 levels");
  static constexpr const char* name = "Qcfs";
  static constexpr bool activation = true;
  using gradient_policy = Gradient;
  static constexpr bool accepts(Shape) { return true; }
  static constexpr Shape output_shape(Shape in) { return in; }

  struct Cache {
    nn::Workspace unused;  ///< for the gradient that nobody wants
  };
  Shape in;
  int levels = L;       ///< 1 to 255; `fit` and lowering refuse others
  float lambda = 1.0f;  ///< above 0, in the unit of the inputs
  float lambda_gradient = 0.0f;
  bool calibrated = false;  ///< lambda was trained, loaded or set
  double penalty = 0;       ///< what the penalties of the last backward pass added to the loss
  explicit Qcfs(Shape input) : in(input) {}

  /// The activation as a function on vectors, with the present threshold and levels.
  [[nodiscard]] kernel::Qcfs function() const { return {lambda, levels, Gradient::kind}; }
  void set_parameter_gradient(double g) { lambda_gradient = static_cast<float>(g); }

  void forward(const float* x, float* y, std::size_t samples, Cache&, const nn::Pass& pass) const {
    kernel::activate(function(), x, y, samples * in.size(), pass.threads);
  }
  void backward(const float* x, const float*, const float* dy, float* dx, std::size_t samples, Cache& cache,
                const nn::Pass& pass) {
    const std::size_t n = samples * in.size();
    if (dx == nullptr) dx = cache.unused.get(n);
    set_parameter_gradient(kernel::activate_backward(function(), x, dy, dx, n, pass.threads));
    if (penalised(pass)) add_penalties(x, dx, samples, pass);
  }

  /// Whether this pass adds something to the loss.
  static bool penalised(const nn::Pass& pass) { return pass.training() && pass.penalties.any(); }
  /// Adds what the penalties add to the gradients of inputs z; notes what they add to the loss.
  void add_penalties(const float* z, float* dz, std::size_t samples, const nn::Pass& pass) {
    const std::size_t n = samples * in.size();
    kernel::PenaltySums bits, error;
    if (pass.penalties.bits > 0)
      bits = kernel::add_penalty(kernel::BitCount{lambda, levels}, z, dz, n,
                                 static_cast<double>(pass.penalties.bits) / static_cast<double>(samples), pass.threads);
    if (pass.penalties.quantisation > 0)
      error = kernel::add_penalty(kernel::QuantisationError{lambda, levels}, z, dz, n,
                                  static_cast<double>(pass.penalties.quantisation) / static_cast<double>(n), pass.threads);
    penalty = bits.value + error.value;
    lambda_gradient += static_cast<float>(bits.lambda_gradient + error.lambda_gradient);
  }

  template <class Visitor>
  void parameters(const std::string& path, Visitor&& visit) {
    visit(nn::Parameter{path + "lambda", {&lambda, 1}, {&lambda_gradient, 1}, Extents{1}, nn::ParameterKind::threshold});
  }
  template <class Self, class Visitor>
  static void state(Self& self, const std::string& path, Visitor&& visit) {
    visit(path + "lambda", std::span(&self.lambda, 1), Extents{1});
    visit(path + "levels", self.levels);
  }
};

SPIQ_END_NAMESPACE
