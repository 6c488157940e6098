// The float target computes the trained network, on every back-end; what no target can represent is refused.
#include "backends.hpp"
#include "catch.hpp"
#include "lower_networks.hpp"

using namespace spiq_test;

namespace {

template <class Arch, class Net>
void check_float(std::uint64_t seed) {
  const Net net = make_network<Net>(seed);
  const auto images = make_images<Net>(5, seed);
  const auto expected = net(images);
  const auto dense = lower<Arch>(net, target::Float{});
  // A QCFS level may flip where a sum lies within rounding of a step; it moves a logit by little, and rarely.
  std::size_t far = 0;
  const auto found = dense(images);
  for (std::size_t i = 0; i < found.size(); ++i) far += std::abs(found[i] - expected[i]) > 1e-4F ? 1 : 0;
  CHECK(far <= found.size() / 5);
  CHECK(largest_difference(found, expected) < 0.3);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("the float target computes the trained network", "[lower]", spiq_test::Backends) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    if constexpr (std::is_same_v<TestType, simd::best>) check_float<TestType, Plain>(seed);
    check_float<TestType, Deep>(seed);
  }
}

TEST_CASE("lowering refuses what a target cannot represent", "[lower]") {
  Network<Input<1, 1, 4>, Linear<4>, Qcfs<4>, Linear<2>> net{Rng{1}};
  net.layer<1>().lambda = -1;
  CHECK(mentions(error_text([&] { lower(net, target::Spiking{conversion::Pascal<>{}}); }), "positive"));
  Network<Input<8, 8, 1>, Conv2d<2, 3>, Qcfs<100>, AvgPool<2>, Flatten, Linear<2>> pooled{Rng{1}};
  CHECK(mentions(error_text([&] { lower(pooled, target::Spiking{conversion::Pascal<>{}}); }), "at most 255"));
  net.layer<1>().lambda = 1;
  net.normalization.mean[0] = 0.1307F;
  CHECK(mentions(error_text([&] { lower(net, target::Exact{}); }), "multiple of 1/255"));
}
