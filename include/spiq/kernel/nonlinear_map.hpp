/// @file
/// Non-linearities over arrays, in a chosen accuracy.
#pragma once

#include <spiq/kernel/exp.hpp>
#include <spiq/kernel/nonlinear.hpp>
#include <spiq/kernel/stream_map.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

namespace detail {
/// How many vectors alternate: as many as the function asks for, and as registers allow. 1: none, and the plain loop.
template <class Arch, class Function>
inline constexpr int alternating = [] {
  if constexpr (requires { Function::chains; })
    return simd::traits<Arch>::width == 1      ? 1
           : simd::traits<Arch>::registers >= 32 ? Function::chains
                                                 : std::min(Function::chains, 2);
  else
    return 1;
}();

/// y[i] = one(x[i]) by `V`, many vectors at once by `many` on `M`: [begin, end) as kernel/stream_map.hpp does it.
template <class V, class M, class One, class Many>
SPIQ_INLINE void alternate(const float* x, float* y, std::size_t begin, std::size_t end, bool streamed, const One& one,
                           const Many& many) {
  constexpr std::size_t width = V::width, block = M::width;
  const auto single = [&](auto access, std::size_t i) SPIQ_LAMBDA_INLINE {
    access.store(one.value(access.template load<V>(x + i)), y + i);
  };
  std::size_t i = begin;
  if (streamed) {
    const std::size_t misaligned = reinterpret_cast<std::uintptr_t>(y + begin) / sizeof(float) % width;
    const std::size_t head = misaligned == 0 ? 0 : std::min(width - misaligned, end - begin);
    if (head != 0) single(Part{static_cast<int>(head)}, i);
    for (i += head; i + block <= end; i += block) {
      for (std::size_t k = 0; k < block; k += 16) simd::prefetch(x, i + 1024 + k);
      stream(many.value(M::load(x + i)), y + i);
    }
  } else {
    for (; i + block <= end; i += block) many.value(M::load(x + i)).store(y + i);
  }
  for_vectors<V>(i, end, single);
  if (streamed) simd::stream_fence();
}
}  // namespace detail

/// y[i] = function(x[i]) for i < n with a functor of kernel/nonlinear.hpp or kernel/activation.hpp; y may be x. Large
/// arrays are stored past the caches.
template <class Arch = simd::best, class Function>
void pointwise(const Function& function, const float* x, float* y, std::size_t n, int threads = 1) noexcept {
  using V = typename simd::traits<Arch>::f32;
  constexpr int chains = detail::alternating<Arch, Function>;
  const typename Function::template On<V> one(function);
  if constexpr (chains == 1) {
    stream_map<Arch>(
        x, y, n, [&](V v) SPIQ_LAMBDA_INLINE { return one.value(v); }, threads);
  } else {
    using M = typename simd::traits<simd::interleaved<Arch, chains>>::f32;
    const bool streamed = n * sizeof(float) >= streamed_bytes && x != y;
    parallel_for(n, map_grain, threads, [&](std::size_t begin, std::size_t end, int) {
      const typename Function::template On<M> many(function);  // made here: its constants stay in registers
      detail::alternate<V, M>(x, y, begin, end, streamed, one, many);
    });
  }
}
/// y[i] = function(a[i], b[i]) for i < n; y may be a or b.
template <class Arch = simd::best, class Function>
void pointwise(const Function& function, const float* a, const float* b, float* y, std::size_t n,
               int threads = 1) noexcept {
  using V = typename simd::traits<Arch>::f32;
  const typename Function::template On<V> on(function);
  map<Arch>(
      a, b, y, n, [&](V u, V v) SPIQ_LAMBDA_INLINE { return on.value(u, v); }, threads);
}

}  // namespace kernel

// All of these: y may be x; accuracy and range as in kernel/nonlinear.hpp; `spiq::Error` if spans differ in length.
namespace math {

/// Which GELU: by tanh (a logistic function of a cubic), by the normal distribution, or a logistic function of 1.702 x.
enum class GeluForm { tanh, erf, sigmoid };

namespace detail {
template <class Arch, class Function>
void pointwise(const char* name, const Function& function, std::span<const float> x, std::span<float> y, int threads) {
  kernel::detail::check_lengths(name, x.size(), y.size());
  kernel::pointwise<Arch>(function, x.data(), y.data(), x.size(), threads);
}
}  // namespace detail

/// y = 1 / (1 + e^-x).
template <accuracy::Rung Rung, class Arch = simd::best>
void logistic(std::span<const float> x, std::span<float> y, int threads = 1) {
  detail::pointwise<Arch>("logistic", kernel::Logistic<Rung>{}, x, y, threads);
}
/// y = x / (1 + e^-x).
template <accuracy::Rung Rung, class Arch = simd::best>
void silu(std::span<const float> x, std::span<float> y, int threads = 1) {
  detail::pointwise<Arch>("silu", kernel::Silu<Rung>{}, x, y, threads);
}
/// y = tanh(x).
template <accuracy::Rung Rung, class Arch = simd::best>
void tanh(std::span<const float> x, std::span<float> y, int threads = 1) {
  detail::pointwise<Arch>("tanh", kernel::Tanh<Rung>{}, x, y, threads);
}
/// y = x Phi(x) in one of three forms.
template <accuracy::Rung Rung, GeluForm Form = GeluForm::tanh, class Arch = simd::best>
void gelu(std::span<const float> x, std::span<float> y, int threads = 1) {
  if constexpr (Form == GeluForm::tanh)
    detail::pointwise<Arch>("gelu", kernel::GeluTanh<Rung>{}, x, y, threads);
  else if constexpr (Form == GeluForm::erf)
    detail::pointwise<Arch>("gelu", kernel::GeluErf<Rung>{}, x, y, threads);
  else
    detail::pointwise<Arch>("gelu", kernel::GeluSigmoid<Rung>{}, x, y, threads);
}
/// y = x above 0, alpha (e^x - 1) below.
template <accuracy::Rung Rung, class Arch = simd::best>
void elu(std::span<const float> x, std::span<float> y, float alpha = 1, int threads = 1) {
  detail::pointwise<Arch>("elu", kernel::Elu<Rung>{alpha}, x, y, threads);
}
/// y = x tanh(log(1 + e^x)).
template <accuracy::Rung Rung, class Arch = simd::best>
void mish(std::span<const float> x, std::span<float> y, int threads = 1) {
  detail::pointwise<Arch>("mish", kernel::Mish<Rung>{}, x, y, threads);
}
/// y = log(1 + e^x).
template <accuracy::Rung Rung, class Arch = simd::best>
void softplus(std::span<const float> x, std::span<float> y, int threads = 1) {
  detail::pointwise<Arch>("softplus", kernel::Softplus<Rung>{}, x, y, threads);
}
/// y = a / (1 + e^-a) b; y may be a or b.
template <accuracy::Rung Rung, class Arch = simd::best>
void swiglu(std::span<const float> a, std::span<const float> b, std::span<float> y, int threads = 1) {
  kernel::detail::check_lengths("swiglu", a.size(), b.size());
  kernel::detail::check_lengths("swiglu", a.size(), y.size());
  kernel::pointwise<Arch>(kernel::SwiGlu<Rung>{}, a.data(), b.data(), y.data(), a.size(), threads);
}
/// y = clip(x / 6 + 1/2, 0, 1).
template <class Arch = simd::best>
void hardsigmoid(std::span<const float> x, std::span<float> y, int threads = 1) {
  detail::pointwise<Arch>("hardsigmoid", kernel::HardSigmoid{}, x, y, threads);
}

}  // namespace math

SPIQ_END_NAMESPACE
