// Executable layers by themselves: what leaves a neuron is the same in every packing, tiles and steps in any size.
#include <spiq/core/random.hpp>
#include <spiq/exec/network.hpp>

#include "backends.hpp"
#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

using namespace spiq;

namespace {

kernel::FoldedWeights random_weights(const kernel::ConvGeometry& g, std::uint64_t seed) {
  kernel::FoldedWeights w;
  w.geometry = g;
  w.weight.resize(g.weight_count());
  w.bias.resize(static_cast<std::size_t>(g.out_channels));
  Rng rng{seed};
  // Dyadic values: sums are exact in any order.
  for (float& v : w.weight) v = static_cast<float>(static_cast<int>(rng.below(33)) - 16) / 16.0F;
  for (float& v : w.bias) v = static_cast<float>(static_cast<int>(rng.below(17)) - 8) / 16.0F;
  return w;
}

kernel::ConvGeometry geometry(Shape in, int out, int kernel, int stride) {
  kernel::ConvGeometry g;
  g.in = in;
  g.out_channels = out;
  g.kernel_h = g.kernel_w = kernel;
  g.stride_h = g.stride_w = stride;
  g.pad_h = g.pad_w = kernel / 2;
  return g;
}

exec::PerChannel<float> same(int channels, float value) {
  return {std::vector<float>(static_cast<std::size_t>(channels), value), 1.0F};
}

Buffer<packing::real> random_input(Shape shape, int samples, int steps, std::uint64_t seed) {
  Buffer<packing::real> in;
  in.allocate(shape, samples, steps);
  Rng rng{seed, 1};
  for (std::size_t r = 0; r < in.rows(); ++r)
    for (int c = 0; c < shape.channels; ++c) in.row(r)[c] = static_cast<float>(rng.below(9)) / 8.0F;
  return in;
}

// Plain loops: the current of every (position, step, channel).
std::vector<double> currents(const kernel::FoldedWeights& w, const Buffer<packing::real>& in) {
  const auto& g = w.geometry;
  std::vector<double> z;
  for (int n = 0; n < in.samples; ++n)
    for (int y = 0; y < g.out_h(); ++y)
      for (int x = 0; x < g.out_w(); ++x)
        for (int t = 0; t < in.steps; ++t)
          for (int o = 0; o < g.out_channels; ++o) {
            double sum = 0;
            for (int c = 0; c < g.in.channels; ++c)
              for (int ky = 0; ky < g.kernel_h; ++ky)
                for (int kx = 0; kx < g.kernel_w; ++kx) {
                  const int iy = y * g.stride_h - g.pad_h + ky, ix = x * g.stride_w - g.pad_w + kx;
                  if (iy < 0 || ix < 0 || iy >= g.in.height || ix >= g.in.width) continue;
                  const auto row = static_cast<std::size_t>(((n * g.in.height + iy) * g.in.width + ix) * in.steps + t);
                  const auto i = static_cast<std::size_t>(((o * g.in.channels + c) * g.kernel_h + ky) * g.kernel_w + kx);
                  sum += double{w.weight[i]} * in.row(row)[c];
                }
            z.push_back(sum);
          }
  return z;
}

int bit(const Buffer<packing::by_channel>& b, std::size_t row, int c) {
  return static_cast<int>(b.row(row)[c / 64] >> (c % 64) & 1U);
}

template <class Arch>
void check_layer(Shape shape, int out, int kernel, int stride, int steps, int levels) {
  const auto w = random_weights(geometry(shape, out, kernel, stride), 3);
  const auto in = random_input(shape, 2, steps, 4);
  const auto z = currents(w, in);
  using Product = kernel::DenseF32<Arch>;
  const float theta = 0.5F;
  const Shape out_shape = w.geometry.out();
  const std::size_t positions = 2 * out_shape.pixels();
  const auto channels = static_cast<std::size_t>(out);
  const auto at = [&](std::size_t p, int t, int c) {
    return z[(p * static_cast<std::size_t>(steps) + static_cast<std::size_t>(t)) * channels + static_cast<std::size_t>(c)];
  };
  CAPTURE(Arch::name, out, kernel, stride, steps, levels);

  // PASCAL, both packings written from the same registers.
  std::vector<float> start(w.bias);
  for (float& v : start) v += theta / 2;
  using Pascal = exec::PascalFire<float>;
  using Both = packing::fanout<packing::counts, packing::by_channel>;
  const exec::Synapse<Product, Pascal, packing::real, Both> pascal{
      Product::pack(w), Pascal{same(out, theta), {start, 0.0F}, levels}, {}};
  typename decltype(pascal)::State state;
  pascal.allocate(state, 2, in);
  const auto& fan = pascal.run(in, state);
  std::size_t wrong = 0;
  for (std::size_t p = 0; p < positions; ++p)
    for (int c = 0; c < out; ++c) {
      double sum = w.bias[static_cast<std::size_t>(c)];
      for (int t = 0; t < steps; ++t) sum += at(p, t, c);
      const int expected = static_cast<int>(std::clamp(std::floor(sum / theta + 0.5), 0.0, static_cast<double>(levels)));
      wrong += fan.first.row(p)[c] == expected ? 0 : 1;
      for (int t = 0; t < levels; ++t)  // front-loaded
        wrong += bit(fan.second, p * static_cast<std::size_t>(levels) + static_cast<std::size_t>(t), c) == (t < expected) ? 0 : 1;
    }
  CHECK(wrong == 0);

  // Integrate and fire, with the bias in every step; a single step is held for `levels` steps.
  using Fire = exec::Fire<float>;
  const int out_steps = steps == 1 ? levels : steps;
  const exec::Synapse<Product, Fire, packing::real, packing::by_channel> fire{
      Product::pack(w), Fire{{w.bias, 0.0F}, same(out, theta), same(out, theta / 2), out_steps}, {}};
  typename decltype(fire)::State fire_state;
  fire.allocate(fire_state, 2, in);
  const auto& spikes = fire.run(in, fire_state);
  wrong = 0;
  for (std::size_t p = 0; p < positions; ++p)
    for (int c = 0; c < out; ++c) {
      double v = theta / 2;
      for (int t = 0; t < out_steps; ++t) {
        v += at(p, steps == 1 ? 0 : t, c) + w.bias[static_cast<std::size_t>(c)];
        const bool s = v >= theta;
        v -= s ? theta : 0;
        wrong += bit(spikes, p * static_cast<std::size_t>(out_steps) + static_cast<std::size_t>(t), c) == s ? 0 : 1;
      }
    }
  CHECK(wrong == 0);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("neurons behind a product agree with plain loops over time", "[exec]", spiq_test::Backends) {
  for (const int steps : {1, 2, 3, 4, 7, 8, 13}) {
    check_layer<TestType>({5, 6, 3}, 5, 3, 1, steps, 4);
    check_layer<TestType>({9, 4, 2}, 70, 3, 2, steps, 7);
    check_layer<TestType>({1, 1, 17}, 33, 1, 1, steps, 8);
    check_layer<TestType>({2, 2, 20}, 64, 3, 1, steps, 1);
  }
}
