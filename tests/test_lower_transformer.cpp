// Transformers lowered to the float target equal the trained network, on every back-end and any number of threads.
#include "backends.hpp"
#include "catch.hpp"
#include "lower_networks.hpp"

using namespace spiq_test;

namespace {

template <class Rung, class... Mask>
using Vit = Network<Input<12, 12, 1>, Conv2d<20, 4, Stride<4>, Padding<0>>, PositionEmbedding,
                    Residual<Seq<LayerNorm, MultiHeadAttention<4, Rung, Mask...>>>,
                    Residual<Seq<LayerNorm, Conv2d<32, 1>, Gelu<Rung>, Dropout<10>, Conv2d<20, 1>>>, LayerNorm, GlobalAvgPool,
                    Linear<10>, Softmax<Rung>>;
// Channels that fill rows, and a map behind which Flatten follows.
using Wide = Network<Input<5, 4, 3>, Conv2d<16, 3>, LayerNorm, Tanh<>, MultiHeadAttention<2>, MultiHeadAttention<1>,
                     Conv2d<6, 1>, Softmax<>, Flatten, Linear<7>>;

// Smooth activations behind products, batch norms and joins, and alone.
using Smooth = Network<Input<6, 5, 2>, Sigmoid<>, Conv2d<70, 3>, BatchNorm, Silu<>, Residual<Seq<Conv2d<70, 3>>>,
                       Gelu<accuracy::ladder3, GeluForm::erf>, DepthwiseConv2d<3>, Tanh<accuracy::quake2>, Gelu<>,
                       BatchNorm, Sigmoid<>, GlobalAvgPool, Linear<10>, Gelu<accuracy::full, GeluForm::sigmoid>>;

/// Numbers as training leaves them.
template <class Net>
Net trained(std::uint64_t seed) {
  Net net = make_network<Net>(seed);
  Rng rng(seed, 3);
  net.for_each_layer([&](const std::string&, auto& layer) {
    const auto shift = [&](Tensor<float>& t) {
      for (float& v : t.span()) v += rng.uniform(-0.3F, 0.3F);
    };
    if constexpr (requires { layer.gamma; }) {
      shift(layer.gamma);
      shift(layer.beta);
    }
    if constexpr (requires { layer.embedding; }) shift(layer.embedding);
    if constexpr (requires { layer.in_projection; }) {
      shift(layer.in_projection.bias);
      shift(layer.out_projection.bias);
    }
  });
  return net;
}

template <class Arch, class Net>
void check(double limit) {
  const Net net = trained<Net>(5);
  const auto images = make_images<Net>(7, 5);
  const auto expected = net(images);
  const auto lowered = lower<Arch>(net, target::Float{});
  auto session = lowered.session(7, {.threads = 1});
  const Tensor<float> found = session.run(images);
  CHECK(largest_difference(found, expected) < limit);
  // Tiles and threads do not matter.
  auto other = lowered.session(7, {.threads = 2, .tile = 3});
  CHECK(largest_difference(other.run(images), found) == 0);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("the float target computes a trained transformer", "[lower]", spiq_test::Backends) {
  check<TestType, Vit<accuracy::full>>(2e-5);
  if constexpr (std::is_same_v<TestType, simd::best>) {
    check<TestType, Wide>(2e-4);
    check<TestType, Smooth>(1e-4);
    check<TestType, Vit<accuracy::quake, Causal>>(2e-5);
    check<TestType, Vit<accuracy::ladder4, bfloat16>>(2e-3);
    check<TestType, Network<Input<3, 3, 6>, MultiHeadAttention<2, bfloat16>, GlobalAvgPool, Linear<4>>>(2e-3);
  }
}

TEST_CASE("reports of a lowered transformer name its layers and count its products", "[lower]") {
  const auto net = trained<Vit<accuracy::full>>(1);
  const auto lowered = lower(net, target::Float{});
  std::string products;
  for (const auto& row : lowered.layers()) products += row.path + ":" + row.product + (row.epilogue == "activation" ? "+activation " : " ");
  CHECK(products ==
        "0:dense_f32 1:position_embedding 2.body.0:layer_norm 2.body.1:attention 2:join 3.body.0:layer_norm "
        "3.body.1:dense_f32+activation 3.body.4:dense_f32 3:join 4:layer_norm 5:average_pool 6:dense_f32 7:softmax ");
  const auto images = make_images<Vit<accuracy::full>>(3, 1);
  const auto counted = report::count_operations(lowered, images.data(), 3, 144).mean();
  // 9 tokens of 20 channels: patches, attention (projections, scores, sums), two 1x1 convolutions, read-out.
  CHECK(counted.mac == 9 * 16 * 20 + 9 * 20 * 80 + 2 * 81 * 20 + 2 * 9 * 20 * 32 + 200);
}

TEST_CASE("lowering refuses attention behind Flatten and numbers that are not finite", "[lower]") {
  const Network<Input<3, 3, 4>, Conv2d<4, 1>, Flatten, LayerNorm, Linear<2>> flat{Rng{1}};
  CHECK(mentions(error_text([&] { lower(flat, target::Float{}); }), "before any Flatten"));
  Network<Input<3, 3, 4>, Conv2d<4, 1>, LayerNorm, Flatten, Linear<2>> broken{Rng{1}};
  broken.layer<1>().gamma[0] = std::numeric_limits<float>::quiet_NaN();
  CHECK(mentions(error_text([&] { lower(broken, target::Float{}); }), "finite"));
}
