// Synapses with learned delays.
#include "catch.hpp"

#include <spiq/core/random.hpp>
#include <spiq/neuron/delay.hpp>

#include <cmath>
#include <vector>

using namespace spiq;

namespace {
using Floats = std::vector<float>;

Floats random(std::size_t n, float low, float high, std::uint64_t seed) {
  Rng rng(seed);
  Floats x(n);
  for (float& v : x) v = rng.uniform(low, high);
  return x;
}
}  // namespace

TEST_CASE("a kernel with integer positions delays by whole steps", "[delay]") {
  constexpr std::size_t taps = 7;
  for (const auto window : {delay::Window::split, delay::Window::triangle}) {
    for (const float position : {-3.0f, -1.0f, 0.0f, 3.0f}) {
      const float weight = 2;
      Floats kernel(taps), x(12), y(12);
      delay::add_kernel(window, taps, 1, &weight, &position, nullptr, kernel.data());
      const auto lag = static_cast<std::size_t>(taps - 1) - static_cast<std::size_t>(position + 3);
      x[2] = 1;
      delay::current(12, 1, 1, taps, kernel.data(), x.data(), y.data());
      for (std::size_t t = 0; t < 12; ++t) CHECK(std::abs(y[t] - (t == 2 + lag ? 2.0f : 0.0f)) < 1e-6f);
    }
  }
}

TEST_CASE("gradients of kernels equal central differences", "[delay]") {
  constexpr std::size_t taps = 9, count = 3;
  for (const auto window : {delay::Window::split, delay::Window::triangle, delay::Window::gauss, delay::Window::wide}) {
    const Floats weight = random(count, -1, 1, 1), width = random(count, 0.6f, 1.9f, 2), up = random(taps, -1, 1, 3);
    const Floats position{-2.3f, 0.4f, 1.7f};  // away from the kinks
    const bool widths = window == delay::Window::gauss || window == delay::Window::wide;
    const auto value = [&](const Floats& w, const Floats& p, const Floats& s) {
      Floats kernel(taps);
      delay::add_kernel(window, taps, count, w.data(), p.data(), widths ? s.data() : nullptr, kernel.data());
      double sum = 0;
      for (std::size_t i = 0; i < taps; ++i) sum += double{up[i]} * double{kernel[i]};
      return sum;
    };
    Floats gw(count), gp(count), gs(count);
    delay::kernel_backward(window, taps, count, weight.data(), position.data(), widths ? width.data() : nullptr, up.data(),
                           gw.data(), gp.data(), widths ? gs.data() : nullptr);
    const float h = 1.0f / 256;
    for (std::size_t k = 0; k < count; ++k) {
      const auto moved = [&](Floats v, float by) {
        v[k] += by;
        return v;
      };
      const auto slope = [&](auto f) { return (f(h) - f(-h)) / (2 * double{h}); };
      CHECK(std::abs(slope([&](float by) { return value(moved(weight, by), position, width); }) - double{gw[k]}) < 1e-3);
      CHECK(std::abs(slope([&](float by) { return value(weight, moved(position, by), width); }) - double{gp[k]}) < 2e-3);
      if (widths) CHECK(std::abs(slope([&](float by) { return value(weight, position, moved(width, by)); }) - double{gs[k]}) < 2e-3);
    }
  }
}

TEST_CASE("gradients of delayed currents equal central differences", "[delay]") {
  constexpr std::size_t steps = 6, inputs = 3, outputs = 2, taps = 4;
  const Floats kernel = random(outputs * inputs * taps, -1, 1, 4), x = random(steps * inputs, -1, 1, 5),
               dy = random(steps * outputs, -1, 1, 6);
  const auto value = [&](const Floats& k, const Floats& in) {
    Floats y(steps * outputs);
    delay::current(steps, inputs, outputs, taps, k.data(), in.data(), y.data());
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += double{dy[i]} * double{y[i]};
    return sum;
  };
  Floats gk(kernel.size()), gx(x.size());
  delay::current_backward(steps, inputs, outputs, taps, kernel.data(), x.data(), dy.data(), gk.data(), gx.data());
  const auto check = [&](const Floats& at, const Floats& gradient, auto f) {
    for (std::size_t i = 0; i < at.size(); ++i) {
      Floats up = at, down = at;
      up[i] += 0.125f;
      down[i] -= 0.125f;
      CHECK(std::abs((f(up) - f(down)) / 0.25 - double{gradient[i]}) < 1e-5);
    }
  };
  check(kernel, gk, [&](const Floats& k) { return value(k, x); });
  check(x, gx, [&](const Floats& in) { return value(kernel, in); });
}
