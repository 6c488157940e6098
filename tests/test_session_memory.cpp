// A session allocates when it is made and never again: transformer layers, residual joins, activations.
#include "catch.hpp"
#include "own_new.hpp"

#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>

using namespace spiq;
using spiq_test::allocations;

TEST_CASE("a session of a transformer allocates nothing while it runs", "[exec]") {
  const Network<Input<12, 12, 1>, Conv2d<24, 4, Stride<4>, Padding<0>>, PositionEmbedding,
                Residual<Seq<LayerNorm, MultiHeadAttention<4, accuracy::quake>>>,
                Residual<Seq<LayerNorm, Conv2d<32, 1>, Gelu<>, Conv2d<24, 1>>>, LayerNorm, Sigmoid<>, GlobalAvgPool,
                Linear<10>, Softmax<>>
      net{Rng(1)};
  Tensor<float> images({5, 1, 12, 12});
  Rng rng(2);
  for (float& v : images.span()) v = rng.uniform();
  const auto lowered = lower(net, target::Float{});
  auto session = lowered.session(5, {.threads = 1, .tile = 2});
  const std::size_t before = allocations;
  const Tensor<float>& y = session.run(images);
  session.run(images.data(), 5, 144);
  CHECK(allocations == before);
  for (std::size_t i = 0; i < 5; ++i) {
    float sum = 0;
    for (std::size_t c = 0; c < 10; ++c) sum += y[i * 10 + c];
    CHECK(std::abs(sum - 1) < 1e-5f);
  }
}
