// Random spikes and weights, plain loops, and a sink that notes what comes: what tests of products for spikes share.
#pragma once

#include <spiq/core/random.hpp>
#include <spiq/kernel/product.hpp>

#include "catch.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace spiq_test {

using namespace spiq;

struct SpikeProblem {
  kernel::FoldedWeights weights;
  Buffer<packing::by_channel> spikes;
};

inline kernel::ConvGeometry spike_geometry(Shape in, int out, int kernel, int stride, int pad, int dilation = 1,
                                           int groups = 1) {
  kernel::ConvGeometry g;
  g.in = in;
  g.out_channels = out;
  g.kernel_h = g.kernel_w = kernel;
  g.stride_h = g.stride_w = stride;
  g.pad_h = g.pad_w = pad;
  g.dilation_h = g.dilation_w = dilation;
  g.groups = groups;
  return g;
}

// Weights -limit ... limit in units of 1; spikes of a given density.
inline SpikeProblem spike_problem(const kernel::ConvGeometry& g, int samples, int steps, double density, int limit,
                                  std::uint64_t seed = 5) {
  SpikeProblem p;
  Rng rng{seed};
  p.weights.geometry = g;
  p.weights.bias.resize(static_cast<std::size_t>(g.out_channels));
  p.weights.unit.assign(static_cast<std::size_t>(g.out_channels), 1.0);
  p.weights.weight.resize(g.weight_count());
  for (float& w : p.weights.weight)
    w = static_cast<float>(static_cast<int>(rng.below(static_cast<std::uint32_t>(2 * limit + 1))) - limit);
  p.spikes.allocate(g.in, samples, steps);
  for (std::size_t r = 0; r < p.spikes.rows(); ++r)
    for (int c = 0; c < g.in.channels; ++c)
      if (rng.uniform(0.0F, 1.0F) < static_cast<float>(density))
        p.spikes.row(r)[c / 64] |= std::uint64_t{1} << (c % 64);
  return p;
}

inline int spike_at(const Buffer<packing::by_channel>& b, std::size_t row, int c) {
  return static_cast<int>(b.row(row)[c / 64] >> (c % 64) & 1U);
}

// Sums of samples [first, last), [row][out], by plain loops over weight(index in field layout).
template <class Weight>
std::vector<double> plain_sums(const SpikeProblem& p, int first, int last, const Weight& weight) {
  const auto& g = p.weights.geometry;
  const auto& in = p.spikes;
  std::vector<double> z;
  for (int n = first; n < last; ++n)
    for (int y = 0; y < g.out_h(); ++y)
      for (int x = 0; x < g.out_w(); ++x)
        for (int t = 0; t < in.steps; ++t)
          for (int o = 0; o < g.out_channels; ++o) {
            double sum = 0;
            for (int c = 0; c < g.group_in(); ++c)
              for (int ky = 0; ky < g.kernel_h; ++ky)
                for (int kx = 0; kx < g.kernel_w; ++kx) {
                  const int iy = y * g.stride_h - g.pad_h + ky * g.dilation_h,
                            ix = x * g.stride_w - g.pad_w + kx * g.dilation_w;
                  if (iy < 0 || ix < 0 || iy >= g.in.height || ix >= g.in.width) continue;
                  const auto row = static_cast<std::size_t>(((n * g.in.height + iy) * g.in.width + ix) * in.steps + t);
                  if (spike_at(in, row, o / g.group_out() * g.group_in() + c) != 0)
                    sum +=
                        weight(static_cast<std::size_t>(((o * g.group_in() + c) * g.kernel_h + ky) * g.kernel_w + kx));
                }
            z.push_back(sum);
          }
  return z;
}
inline std::vector<double> plain_sums(const SpikeProblem& p, int first, int last) {
  return plain_sums(p, first, last, [&](std::size_t i) { return static_cast<double>(p.weights.weight[i]); });
}

// Notes every sum and how often it came; whether a neuron could have carried its membrane along.
struct NotingSink {
  std::size_t first_row, rows, channels, line;  // the line: output rows after which another block may come
  std::vector<double> sums = std::vector<double>(rows * channels);
  std::vector<int> times = std::vector<int>(rows * channels);
  std::size_t next_row = 0;
  int next_channel = -1;
  bool ordered = true;

  template <class V, int MR, int NV>
  void operator()(const V (&acc)[MR][NV], const kernel::TileAt& at) noexcept {
    using lane = std::remove_cvref_t<decltype(reduce_add(acc[0][0]))>;
    ordered = ordered && at.rows >= 1 && at.rows <= MR && at.channels >= 1 && at.channels <= NV * V::width;
    ordered = ordered && at.channel % V::width == 0;
    // Another block may only begin where no neuron is between two steps.
    ordered = ordered && (at.channel == next_channel && at.row == next_row ? true : (at.row - first_row) % line == 0);
    ordered = ordered && (next_channel == -1 || at.channel == next_channel || (next_row - first_row) % line == 0);
    next_row = at.row + static_cast<std::size_t>(at.rows);
    next_channel = at.channel;
    for (int r = 0; r < at.rows; ++r)
      for (int c = 0; c < at.channels; ++c) {
        lane lanes[static_cast<std::size_t>(V::width)];
        acc[r][c / V::width].store(lanes);
        const std::size_t i =
            (at.row - first_row + static_cast<std::size_t>(r)) * channels + static_cast<std::size_t>(at.channel + c);
        if (i >= sums.size()) {
          ordered = false;
          continue;
        }
        sums[i] = static_cast<double>(lanes[c % V::width]);
        ++times[i];
      }
  }
};

// Runs samples [first, last) of a product and compares with plain sums.
template <class Product>
void check_product(const Product& product, const SpikeProblem& p, int first, int last,
                   const std::vector<double>& want) {
  const auto& g = p.weights.geometry;
  const std::size_t steps = static_cast<std::size_t>(p.spikes.steps), sample = g.out().pixels() * steps;
  NotingSink sink{static_cast<std::size_t>(first) * sample, static_cast<std::size_t>(last - first) * sample,
                  static_cast<std::size_t>(g.out_channels), steps};
  auto scratch = product.scratch(p.spikes.steps);
  product.run(p.spikes, first, last, sink, scratch);
  CHECK(sink.ordered);
  CHECK(sink.times == std::vector<int>(sink.times.size(), 1));
  CHECK(sink.sums == want);
}
template <class Product>
void check_product(const Product& product, const SpikeProblem& p) {
  CAPTURE(to_string(p.weights.geometry), p.spikes.samples, p.spikes.steps);
  check_product(product, p, 0, p.spikes.samples, plain_sums(p, 0, p.spikes.samples));
}

// Shapes: 1, odd, not multiples of anything, borders on all sides, strides, dilation.
template <class F>
void for_spike_shapes(F f) {
  for (const int in : {1, 3, 63, 64, 65, 130})
    for (const int out : {1, 17, 64, 70}) f(kernel::ConvGeometry::linear(in, out), 9, in % 2 + 1);
  f(spike_geometry({5, 6, 3}, 5, 3, 1, 1), 2, 3);
  f(spike_geometry({9, 4, 70}, 33, 3, 2, 1), 2, 1);
  f(spike_geometry({1, 1, 20}, 64, 3, 1, 1), 3, 2);
  f(spike_geometry({7, 7, 66}, 18, 5, 1, 2), 1, 4);
  f(spike_geometry({6, 9, 10}, 40, 2, 2, 0), 2, 9);
  f(spike_geometry({8, 7, 4}, 9, 3, 1, 2, 2), 2, 2);
  f(spike_geometry({3, 5, 65}, 65, 1, 1, 0), 3, 2);
  f(spike_geometry({4, 4, 65}, 12, 1, 2, 0), 1, 1);
}

}  // namespace spiq_test
