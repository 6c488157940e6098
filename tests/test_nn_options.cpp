// What fit, evaluate and layers are told: options, data sets of the user's own, and what is refused.
#include "catch.hpp"

#include <spiq/nn/nn.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace spiq;
using Catch::Matchers::StartsWith;

using Net = Network<Input<6, 5, 2>, Conv2d<4, 3>, BatchNorm, Qcfs<4>, AvgPool<2>, Flatten, Linear<3>>;

/// A data set of the user's own: noise in three classes; may give another number of images than it is asked for, or
/// forget a label.
struct Noise {
  std::size_t n = 40;
  int surplus = 0;
  bool forgets_label = false;
  [[nodiscard]] std::size_t size() const { return n; }
  void fill(std::span<const std::uint32_t> indices, Tensor<float>& images, std::span<int> labels) const {
    images.resize({static_cast<std::size_t>(static_cast<int>(indices.size()) + surplus), 2, 6, 5});
    for (std::size_t i = 0; i < images.size(); ++i) images[i] = Rng(i).uniform();
    for (std::size_t i = forgets_label ? 1 : 0; i < indices.size(); ++i) labels[i] = static_cast<int>(indices[i] % 3);
  }
};

}  // namespace

TEST_CASE("A data set must give one image per index, wherever it is read", "[nn]") {
  for (const int surplus : {-39, -1, 1}) {
    const Noise data{40, surplus};
    const auto sentence = StartsWith("data set: expected 40 images, found " + std::to_string(40 + surplus));
    Net net{Rng{1}};
    CHECK_THROWS_WITH(fit(net, data, {.epochs = 1}), sentence);  // while it takes the input statistics
    CHECK(!net.normalization.chosen);
    CHECK_THROWS_WITH(fit(net, data, {.epochs = 1, .normalize = false}), sentence);
    CHECK_THROWS_WITH(evaluate(net, data), sentence);
  }
  Net net{Rng{1}};
  const Noise forgetful{40, 0, true};
  CHECK_THROWS_WITH(evaluate(net, forgetful), StartsWith("label: expected a class in [0, 3), found -1"));
}
