// An average pool and the layer behind it as one strided convolution: the same spikes in every form.
#include <spiq/exec/choose_sums.hpp>
#include <spiq/lower/balance.hpp>
#include <spiq/nn/over_time.hpp>
#include <spiq/nn/spiking.hpp>

#include "backends.hpp"
#include "lower_networks.hpp"

using namespace spiq_test;

namespace {

using Model = presets::SpikingJellyLif<>;
template <class... Layer>
using Timed =
    Network<Input<12, 8, 2>, Conv2d<20, 3>, OverTime<Seq<Spiking<Model>, Layer..., Flatten, Linear<6>>, Steps<4>>>;

template <class Arch, class N, class Target>
void check(const Target& target, const std::string& products) {
  const auto net = exact_network<N>(7);
  const auto images = make_images<N>(5, 4);
  const auto pooled = lower<Arch>(net, target);
  auto merged = lower<Arch>(net, target::MergedPools{target});
  const Tensor<float> expected = pooled(images);
  CHECK(largest_difference(merged(images), expected) == 0);
  exec::use_sums(merged, kernel::SpikeSums::events);
  CHECK(largest_difference(merged(images), expected) == 0);
  float largest = 0;
  for (const float v : expected.span()) largest = std::max(largest, std::abs(v));
  CHECK(largest > 0.0F);
  std::string text;
  for (const auto& row : merged.layers()) text += row.product + " ";
  CHECK(text == products);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("pool and convolution merged give what they give one after the other", "[merged]",
                        spiq_test::Backends) {
  const target::Spiking trained{conversion::Trained{}};
  // Borders on all sides; stride; dilation; a linear layer behind; an oblong window; windows that share pixels.
  check<TestType, Timed<AvgPool<2>, Conv2d<33, 3>, Spiking<Model>>>(trained, "dense_f32 event_f32 event_f32 ");
  if constexpr (std::is_same_v<TestType, simd::best>) {
    check<TestType, Timed<AvgPool<2>, Conv2d<9, 3, Stride<2>>, BatchNorm, Spiking<Model>>>(
        trained, "dense_f32 event_f32 event_f32 ");
    check<TestType, Timed<AvgPool<2>, Conv2d<9, 3, Padding<2>, Dilation<2>>, Spiking<Model>>>(
        trained, "dense_f32 event_f32 event_f32 ");
    check<TestType, Timed<AvgPool<2>>>(trained, "dense_f32 event_f32 ");
    check<TestType, Timed<AvgPool<2, Kernel<1, 2>, Stride<1, 2>>, Conv2d<9, 3>, Spiking<Model>>>(
        trained, "dense_f32 event_f32 event_f32 ");
    check<TestType, Timed<AvgPool<4, Stride<2>>, Conv2d<9, 2, Padding<0>>, Spiking<Model>>>(
        trained, "dense_f32 event_f32 event_f32 ");
    using Converted =
        Network<Input<8, 8, 1>, Conv2d<16, 3>, Qcfs<4>, AvgPool<2>, Conv2d<10, 3>, Qcfs<4>, GlobalAvgPool, Linear<5>>;
    check<TestType, Converted>(target::Spiking{conversion::Qcfs{.steps = 6}}, "dense_f32 event_f32 event_f32 ");
  }
}

TEST_CASE("padding upon pixels that the pool left out is refused", "[merged]") {
  using Rest =
      Network<Input<9, 8, 2>, Conv2d<4, 3>,
              OverTime<Seq<Spiking<Model>, AvgPool<2>, Conv2d<5, 3>, Spiking<Model>, Flatten, Linear<6>>, Steps<2>>>;
  const target::MergedPools merged{target::Spiking{conversion::Trained{}}};
  CHECK(mentions(error_text([&] { lower(exact_network<Rest>(1), merged); }), "without a rest"));
  // Without padding nothing meets the rest.
  using Inside =
      Network<Input<9, 8, 2>, Conv2d<4, 3>,
              OverTime<Seq<Spiking<Model>, AvgPool<2>, Conv2d<5, 3, Padding<0>>, Spiking<Model>, Flatten, Linear<6>>,
                       Steps<2>>>;
  check<simd::best, Inside>(target::Spiking{conversion::Trained{}}, "dense_f32 event_f32 event_f32 ");
  using Shared = Network<
      Input<8, 8, 2>, Conv2d<4, 3>,
      OverTime<Seq<Spiking<Model>, AvgPool<4, Stride<2>>, Conv2d<5, 3>, Spiking<Model>, Flatten, Linear<6>>, Steps<2>>>;
  CHECK(mentions(error_text([&] { lower(exact_network<Shared>(1), merged); }), "without a rest"));
}

TEST_CASE("thresholds balanced with pools fit the network whose pools are merged", "[merged]") {
  using Rate = Network<Input<8, 8, 1>, Conv2d<16, 3>, ReLU, AvgPool<2>, Conv2d<10, 3>, ReLU, GlobalAvgPool, Linear<5>>;
  const auto net = make_network<Rate>(3);
  const auto images = make_images<Rate>(6, 1);
  const auto rate = balance(net, conversion::Rmp{.steps = 12}, images);
  const auto pooled = lower(net, target::Spiking{rate});
  const auto merged = lower(net, target::MergedPools{target::Spiking{rate}});
  CHECK(largest_difference(merged(images), pooled(images)) < 1e-4);
  REQUIRE(merged.layers().size() == 3);
  CHECK(merged.layers()[1].path == "3");  // of the convolution
  CHECK(merged.layers()[2].path == "5");
}
