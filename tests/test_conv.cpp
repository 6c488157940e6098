// Direct convolution against plain loops in double (float) and in 64-bit integers (int16), on every back-end.
#include "backends.hpp"
#include "catch.hpp"

#include <spiq/kernel/conv.hpp>

#include <cmath>
#include <cstdint>
#include <vector>

namespace kernel = spiq::kernel;
using kernel::ConvGeometry;

namespace {

ConvGeometry geometry(spiq::Shape in, int out, int kh, int kw, int stride = 1, int pad = 0, int dilation = 1,
                      int groups = 1) {
  ConvGeometry g;
  g.in = in;
  g.out_channels = out;
  g.kernel_h = kh;
  g.kernel_w = kw;
  g.stride_h = g.stride_w = stride;
  g.pad_h = g.pad_w = pad;
  g.dilation_h = g.dilation_w = dilation;
  g.groups = groups;
  return g;
}

// Small integers scaled by a power of two: float sums of them are exact in any order.
struct Values {
  std::uint32_t state;
  int next(int span) {
    state = state * 1664525u + 1013904223u;
    return static_cast<int>((state >> 8) % static_cast<std::uint32_t>(2 * span + 1)) - span;
  }
};

// Rows [sample][y][x][step], `stride` apart, in and out.
template <class Sum, class In, class W>
std::vector<Sum> reference(const ConvGeometry& g, const std::vector<In>& x, std::size_t stride, const std::vector<W>& w,
                           std::size_t samples, int steps) {
  const int oh = g.out_h(), ow = g.out_w(), gi = g.group_in(), go = g.group_out();
  std::vector<Sum> y;
  for (std::size_t s = 0; s < samples; ++s)
    for (int oy = 0; oy < oh; ++oy)
      for (int ox = 0; ox < ow; ++ox)
        for (int t = 0; t < steps; ++t)
          for (int o = 0; o < g.out_channels; ++o) {
            Sum sum = 0;
            for (int ky = 0; ky < g.kernel_h; ++ky)
              for (int kx = 0; kx < g.kernel_w; ++kx) {
                const int iy = oy * g.stride_h - g.pad_h + ky * g.dilation_h;
                const int ix = ox * g.stride_w - g.pad_w + kx * g.dilation_w;
                if (iy < 0 || ix < 0 || iy >= g.in.height || ix >= g.in.width) continue;
                const std::size_t row = ((s * static_cast<std::size_t>(g.in.height) + static_cast<std::size_t>(iy)) *
                                             static_cast<std::size_t>(g.in.width) +
                                         static_cast<std::size_t>(ix)) *
                                            static_cast<std::size_t>(steps) +
                                        static_cast<std::size_t>(t);
                for (int i = 0; i < gi; ++i)
                  sum +=
                      static_cast<Sum>(x[row * stride + static_cast<std::size_t>(o / go * gi + i)]) *
                      static_cast<Sum>(w[static_cast<std::size_t>(((o * gi + i) * g.kernel_h + ky) * g.kernel_w + kx)]);
              }
            y.push_back(sum);
          }
  return y;
}

// Copies tiles out and checks every promise of sink.hpp.
template <class Vec, class T>
struct Recorder {
  ConvGeometry g;
  int steps;
  std::size_t samples;
  std::vector<T> y;
  std::vector<int> seen;
  std::vector<std::size_t> next;  // per channel: the row that must come next
  bool ordered = true, aligned = true;

  Recorder(const ConvGeometry& geometry, int t, std::size_t n, std::size_t first)
      : g(geometry),
        steps(t),
        samples(n),
        y(size()),
        seen(size(), 0),
        next(static_cast<std::size_t>(g.out_channels), first * g.out().pixels() * static_cast<std::size_t>(t)) {}
  std::size_t size() const { return samples * g.out().size() * static_cast<std::size_t>(steps); }

  template <int MR, int NV>
  void operator()(const Vec (&acc)[MR][NV], const kernel::TileAt& at) noexcept {
    if (at.rows < 1 || at.rows > MR || at.channels < 1 || at.channels > NV * Vec::width ||
        at.channel % (NV * Vec::width) != 0)
      aligned = false;
    for (int r = 0; r < at.rows; ++r)
      for (int c = 0; c < at.channels; ++c) {
        T lanes[64];
        acc[r][c / Vec::width].store(lanes);
        const std::size_t row = at.row + static_cast<std::size_t>(r);
        const std::size_t channel = static_cast<std::size_t>(at.channel + c);
        if (next[channel] != row) ordered = false;
        next[channel] = row + 1;
        const std::size_t index = row * static_cast<std::size_t>(g.out_channels) + channel;
        y[index] = lanes[c % Vec::width];
        ++seen[index];
      }
  }
};

const std::vector<ConvGeometry>& geometries() {
  static const std::vector<ConvGeometry> all = {
      geometry({5, 7, 3}, 4, 3, 3, 1, 1),
      geometry({8, 8, 16}, 40, 3, 3, 1, 1),
      geometry({4, 4, 17}, 33, 3, 3, 1, 1),
      geometry({2, 2, 9}, 5, 3, 3, 1, 1),
      geometry({1, 1, 6}, 10, 3, 3, 1, 1),
      geometry({9, 14, 4}, 16, 3, 3, 2, 1),
      geometry({11, 28, 1}, 16, 3, 3, 1, 1),
      geometry({6, 19, 2}, 31, 5, 5, 1, 2),
      geometry({7, 9, 5}, 3, 1, 1),
      geometry({7, 9, 5}, 3, 1, 1, 2),
      geometry({3, 3, 4}, 8, 1, 1, 1, 1),
      geometry({10, 12, 3}, 20, 3, 3, 1, 2, 2),
      geometry({9, 9, 6}, 12, 3, 3, 1, 0, 3, 3),
      geometry({6, 10, 8}, 8, 3, 3, 1, 1, 1, 8),
      geometry({6, 10, 6}, 12, 3, 3, 2, 1, 1, 6),
      geometry({5, 8, 64}, 96, 3, 3, 1, 1, 1, 2),
      geometry({12, 12, 2}, 7, 6, 6, 2, 2),
      geometry({3, 40, 2}, 3, 2, 3, 1, 0),
      geometry({8, 3, 3}, 2, 1, 7, 1, 3),
      geometry({2, 3, 2}, 1, 5, 9, 1, 6),
      geometry({16, 1, 5}, 18, 3, 1, 1, 0),
      geometry({6, 33, 1}, 1, 3, 3, 1, 1),
      geometry({4, 5, 40}, 40, 3, 3, 1, 1, 1, 40),
      geometry({9, 17, 19}, 19, 3, 3, 1, 1, 1, 19),
      geometry({7, 12, 33}, 33, 5, 5, 2, 2, 1, 33),
      geometry({2, 2, 3}, 3, 3, 3, 1, 1, 1, 3),
      geometry({6, 11, 9}, 9, 3, 3, 1, 2, 2, 9),
      geometry({4, 4, 5}, 5, 1, 1, 1, 0, 1, 5),
      geometry({5, 6, 4}, 4, 4, 3, 1, 0, 1, 4),
      geometry({9, 9, 6}, 6, 3, 3, 1, 1, 1, 3),
      geometry({6, 28, 1}, 16, 3, 3, 1, 1),
      geometry({9, 32, 3}, 80, 3, 3, 1, 1),
      geometry({30, 130, 4}, 33, 5, 5, 1, 2),
      geometry({9, 21, 3}, 32, 3, 3, 2, 1),
      ConvGeometry::linear(1, 1),
      ConvGeometry::linear(16, 32),
      ConvGeometry::linear(37, 4),
      ConvGeometry::linear(64, 65),
  };
  return all;
}

template <class Arch>
void check_f32(const ConvGeometry& g, std::size_t samples, int steps, std::size_t pad, std::size_t first,
               std::uint32_t seed) {
  INFO(Arch::name << " " << to_string(g) << " samples " << samples << " steps " << steps);
  Values random{seed};
  std::vector<float> w(g.weight_count());
  for (auto& v : w) v = static_cast<float>(random.next(40)) / 16.0f;
  const std::size_t stride = static_cast<std::size_t>(g.in.channels) + pad;
  std::vector<float> x(samples * g.in.pixels() * static_cast<std::size_t>(steps) * stride);
  for (auto& v : x) v = static_cast<float>(random.next(30)) / 8.0f;
  using Conv = kernel::PackedConv<Arch, kernel::ElementF32>;
  const Conv conv(g, w);
  Recorder<typename Conv::Vec, float> sink(g, steps, samples, first);
  conv.run(x.data(), stride, steps, first, samples, sink);
  const auto want = reference<double>(g, x, stride, w, samples, steps);
  const std::size_t start = first * g.out().size() * static_cast<std::size_t>(steps);
  double worst = 0;
  bool once = true;
  for (std::size_t i = 0; i < want.size(); ++i) {
    once = once && sink.seen[i] == (i < start ? 0 : 1);
    if (i >= start) worst = std::max(worst, std::abs(want[i] - static_cast<double>(sink.y[i])));
  }
  CHECK(once);
  CHECK(sink.ordered);
  CHECK(sink.aligned);
  CHECK(worst == 0.0);
}

template <class Arch>
void check_s16(const ConvGeometry& g, std::size_t samples, int steps, std::uint32_t seed) {
  INFO(Arch::name << " " << to_string(g) << " samples " << samples << " steps " << steps);
  Values random{seed};
  std::vector<std::int16_t> w(g.weight_count());
  for (auto& v : w) v = static_cast<std::int16_t>(random.next(3000));
  const std::size_t stride = static_cast<std::size_t>(spiq::round_up(g.in.channels, 2));
  std::vector<std::int16_t> x(samples * g.in.pixels() * static_cast<std::size_t>(steps) * stride);
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = i % stride < static_cast<std::size_t>(g.in.channels) ? static_cast<std::int16_t>(random.next(200))
                                                                : std::int16_t{0};
  using Conv = kernel::PackedConv<Arch, kernel::ElementS16>;
  const Conv conv(g, w);
  Recorder<typename Conv::Vec, std::int32_t> sink(g, steps, samples, 0);
  conv.run(x.data(), stride, steps, 0, samples, sink);
  const auto want = reference<std::int64_t>(g, x, stride, w, samples, steps);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < want.size(); ++i) wrong += want[i] != sink.y[i] || sink.seen[i] != 1;
  CHECK(wrong == 0);
  CHECK(sink.ordered);
  CHECK(sink.aligned);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("direct float convolution equals plain loops", "[conv]", spiq_test::Backends) {
  std::uint32_t seed = 1;
  for (const auto& g : geometries())
    for (const int steps : {1, 2, 3, 4, 8}) {
      check_f32<TestType>(g, 3, steps, 0, 0, ++seed);
      check_f32<TestType>(g, 2, steps, 5, 1, ++seed);
    }
}

TEMPLATE_LIST_TEST_CASE("widths around the tile", "[conv]", spiq_test::Backends) {
  for (int width = 1; width <= 26; ++width) {
    check_f32<TestType>(geometry({3, width, 2}, 18, 3, 3, 1, 1), 2, 1, 0, 0, 7);
    check_f32<TestType>(ConvGeometry::linear(5, 33), static_cast<std::size_t>(width), 1, 1, 0, 8);
  }
}

TEMPLATE_LIST_TEST_CASE("output channels around the vectors", "[conv]", spiq_test::Backends) {
  for (int out = 1; out <= 70; ++out) check_f32<TestType>(geometry({2, 9, 3}, out, 1, 3, 1, 1), 1, 1, 0, 0, 9);
}

TEMPLATE_LIST_TEST_CASE("int16 convolution is exact", "[conv]", spiq_test::Backends) {
  std::uint32_t seed = 100;
  for (const auto& g : geometries())
    for (const int steps : {1, 4}) check_s16<TestType>(g, 2, steps, ++seed);
}

TEMPLATE_LIST_TEST_CASE("int16 accumulators wrap modulo 2^32", "[conv]", spiq_test::Backends) {
  const auto g = ConvGeometry::linear(6, 3);
  const std::vector<std::int16_t> w(18, -32768), x(64, -32768);
  using Conv = kernel::PackedConv<TestType, kernel::ElementS16>;
  const Conv conv(g, w);
  Recorder<typename Conv::Vec, std::int32_t> sink(g, 1, 1, 0);
  conv.run(x.data(), 6, 1, 0, 1, sink);
  for (const auto v : sink.y) CHECK(static_cast<std::uint32_t>(v) == 6u * (1u << 30));
}

TEMPLATE_LIST_TEST_CASE("ConvForward adds the bias and does not depend on threads", "[conv]", spiq_test::Backends) {
  for (const auto& g : geometries()) {
    INFO(to_string(g));
    Values random{5};
    std::vector<float> w(g.weight_count()), bias(static_cast<std::size_t>(g.out_channels));
    for (auto& v : w) v = static_cast<float>(random.next(40)) / 16.0f;
    for (auto& v : bias) v = static_cast<float>(random.next(40)) / 16.0f;
    for (const std::size_t samples : {std::size_t{0}, std::size_t{1}, std::size_t{5}}) {
      std::vector<float> x(samples * g.in.size());
      for (auto& v : x) v = static_cast<float>(random.next(30)) / 8.0f;
      kernel::ConvForward<TestType> conv;
      conv.pack(g, w);
      const std::size_t size = samples * g.out().size();
      const float guard = 1234.5f;
      std::vector<float> y(size + 64, guard), z(size + 64, guard), plain(size + 64, guard);
      conv.run(x.data(), bias.data(), y.data(), samples, 1);
      conv.run(x.data(), bias.data(), z.data(), samples, 3);
      conv.run(x.data(), nullptr, plain.data(), samples, 1);
      CHECK(y == z);
      const auto want = reference<double>(g, x, static_cast<std::size_t>(g.in.channels), w, samples, 1);
      double worst = 0;
      for (std::size_t i = 0; i < size; ++i) {
        const double b = bias[i % bias.size()];
        worst = std::max(worst, std::abs(want[i] + b - static_cast<double>(y[i])));
        worst = std::max(worst, std::abs(want[i] - static_cast<double>(plain[i])));
      }
      CHECK(worst == 0.0);
      for (std::size_t i = size; i < size + 64; ++i) CHECK((y[i] == guard && plain[i] == guard));
    }
  }
}

TEST_CASE("a convolution refuses sizes that do not fit", "[conv]") {
  using Conv = kernel::PackedConv<spiq::simd::best, kernel::ElementF32>;
  const auto g = geometry({4, 4, 3}, 2, 3, 3, 1, 1);
  const std::vector<float> w(g.weight_count());
  CHECK_THROWS_AS(Conv(g, std::vector<float>(5)), spiq::Error);
  CHECK_THROWS_AS(Conv(geometry({4, 4, 3}, 2, 7, 7), std::vector<float>(2 * 3 * 49)), spiq::Error);
  CHECK_THROWS_AS(Conv(geometry({4, 4, 3}, 2, 3, 3, 1, 1, 1, 2), w), spiq::Error);
  kernel::ConvForward<> conv;
  conv.pack(g, w);
  CHECK_THROWS_AS(conv.pack(g, std::vector<float>(1)), spiq::Error);
  CHECK(conv.geometry() == g);
  const Conv first(g, w);
  const Conv copy = first;
  CHECK(copy.packed_bytes() == first.packed_bytes());
  CHECK(Conv().blocks() == 0);
}
