// Synthetic glyphs: determinism, balance, and how hard they are for a linear classifier.
#include "catch.hpp"

#include <spiq/io/synthetic.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <set>
#include <vector>

using namespace spiq;

TEST_CASE("synthetic glyphs depend on seed, stream and index alone", "[io]") {
  const ImageSet all = synthetic_glyphs(205, Rng(7));
  CHECK(all.images.extents() == Extents{205, 1, 28, 28});
  CHECK(all.classes == 10);
  for (const int threads : {1, 2, 5}) CHECK(synthetic_glyphs(205, Rng(7), threads).checksum() == all.checksum());
  Rng moved(7);
  static_cast<void>(moved.bits());
  const ImageSet fewer = synthetic_glyphs(33, moved);
  for (std::size_t i = 0; i < fewer.size(); ++i) {
    CHECK(fewer.labels[i] == all.labels[i]);
    CHECK(std::equal(fewer.image(i).begin(), fewer.image(i).end(), all.image(i).begin()));
  }
  CHECK(synthetic_glyphs(205, Rng(8)).checksum() != all.checksum());
  CHECK(synthetic_glyphs(205, Rng(7).split(1)).checksum() != all.checksum());
  CHECK(synthetic_glyphs(0, Rng(7)).size() == 0);
  std::set<std::vector<std::uint8_t>> different;
  for (std::size_t i = 0; i < all.size(); ++i) different.emplace(all.image(i).begin(), all.image(i).end());
  CHECK(different.size() == all.size());
}

TEST_CASE("synthetic glyphs are balanced and in random order", "[io]") {
  const ImageSet set = synthetic_glyphs(400, Rng(3));
  int fixed = 0;
  for (std::size_t block = 0; block < set.size(); block += 10) {
    std::set<int> seen(set.labels.begin() + static_cast<std::ptrdiff_t>(block),
                       set.labels.begin() + static_cast<std::ptrdiff_t>(block + 10));
    CHECK(seen.size() == 10);
    for (std::size_t i = 0; i < 10; ++i) fixed += set.labels[block + i] == static_cast<int>(i) ? 1 : 0;
  }
  CHECK(fixed < 100);  // 40 expected of a random order, 400 of a fixed one
  const ChannelStatistics s = set.statistics();
  CHECK(s.mean[0] > 0.1f);
  CHECK(s.mean[0] < 0.35f);
  CHECK(s.deviation[0] > 0.1f);
}

TEST_CASE("synthetic glyphs in colour", "[io]") {
  const ImageSet set = synthetic_colour_glyphs(120, Rng(5));
  CHECK(set.images.extents() == Extents{120, 3, 32, 32});
  CHECK(set.shape() == Shape{32, 32, 3});
  CHECK(synthetic_colour_glyphs(120, Rng(5), 1).checksum() == set.checksum());
  CHECK(synthetic_colour_glyphs(120, Rng(6), 1).checksum() != set.checksum());
  CHECK(std::set<int>(set.labels.begin(), set.labels.begin() + 10).size() == 10);
  int bright = 0;  // ground brighter than ink, in about half of the images
  for (std::size_t i = 0; i < set.size(); ++i) bright += set.image(i)[0] > 127 ? 1 : 0;
  CHECK(bright > 30);
  CHECK(bright < 90);
}

TEST_CASE("a glyph is drawn with anti-aliased strokes of the given width", "[io]") {
  std::array<float, 28 * 28> ink{};
  io::Glyph g;
  g.line({{-0.5f, 0}, {0.5f, 0}});
  g.draw(ink, 28, 2.0f);
  CHECK(ink[13 * 28 + 14] == 1.0f);  // the line lies between rows 13 and 14
  CHECK(ink[14 * 28 + 14] == 1.0f);
  CHECK(ink[12 * 28 + 14] == 0.0f);
  CHECK(ink[13 * 28 + 2] == 0.0f);
  g.strokes() = {};
  ink.fill(0);
  g.line({{-0.5f, 0}, {0.5f, 0}});
  g.draw(ink, 28, 3.0f);
  CHECK(ink[12 * 28 + 14] == 0.5f);
  CHECK(ink[15 * 28 + 14] == 0.5f);
  // Nothing is written outside the image however far the strokes go.
  g.strokes() = {};
  g.line({{-50, -50}, {50, 50}}).line({{3, 3}, {4, 4}});
  g.draw(ink, 28, 2.0f);
  CHECK(ink[0] == 1.0f);
  CHECK(ink[27 * 28 + 27] == 1.0f);
}

TEST_CASE("softmax regression on pixels stays below 90 %", "[io]") {
  constexpr std::size_t pixels = 784;
  const ImageSet train = synthetic_glyphs(4000, Rng(1)), test = synthetic_glyphs(1000, Rng(1).split(1));
  std::vector<float> weights(10 * pixels, 0.0f);
  std::array<float, 10> bias{};
  std::array<float, pixels> x{};
  std::array<float, 10> z{};
  const auto scores = [&](const ImageSet& set, std::size_t i) {
    const auto bytes = set.image(i);
    for (std::size_t p = 0; p < pixels; ++p) x[p] = static_cast<float>(bytes[p]) / 255.0f - 0.19f;
    for (std::size_t k = 0; k < 10; ++k) z[k] = std::inner_product(x.begin(), x.end(), &weights[k * pixels], bias[k]);
  };
  const auto accuracy = [&](const ImageSet& set) {
    std::size_t right = 0;
    for (std::size_t i = 0; i < set.size(); ++i) {
      scores(set, i);
      right += std::max_element(z.begin(), z.end()) - z.begin() == set.labels[i] ? 1u : 0u;
    }
    return static_cast<double>(right) / static_cast<double>(set.size());
  };
  constexpr int epochs = 8;
  for (int epoch = 0; epoch < epochs; ++epoch) {
    const float rate = 0.008f * (1.0f - static_cast<float>(epoch) / epochs);
    for (std::size_t i = 0; i < train.size(); ++i) {
      scores(train, i);
      const float top = *std::max_element(z.begin(), z.end());
      float sum = 0;
      for (float& v : z) sum += v = std::exp(v - top);
      for (std::size_t k = 0; k < 10; ++k) {
        const float step = rate * (z[k] / sum - (static_cast<int>(k) == train.labels[i] ? 1.0f : 0.0f));
        bias[k] -= step;
        for (std::size_t p = 0; p < pixels; ++p) weights[k * pixels + p] -= step * x[p];
      }
    }
  }
  const double found = accuracy(test);
  CAPTURE(found);
  CHECK(found < 0.90);
  CHECK(found > 0.50);  // it did learn
  CHECK(accuracy(train) < 0.95);
}
