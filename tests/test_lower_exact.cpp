// Exact arithmetic: ANN, counts and explicit spikes agree in every neuron, on every back-end.
#include "backends.hpp"
#include "catch.hpp"
#include "lower_networks.hpp"

using namespace spiq_test;

namespace {

// The first layer (3x3 convolution, batch norm, QCFS) by plain loops in double: levels equal, save where the sum lies
// so near a step that rounding the weights to 16 bits may carry it across.
template <class Net>
void check_first_layer(const Net& net, const Tensor<float>& images, const std::vector<std::uint16_t>& found) {
  const auto& conv = net.template layer<0>();
  const auto& norm = net.template layer<1>();
  const auto& act = net.template layer<2>();
  const Shape in = Net::input_shape;
  const auto channels = conv.weight.extent(0);
  std::size_t near = 0;
  for (std::size_t n = 0; n < images.extent(0); ++n)
    for (int y = 0; y < in.height; ++y)
      for (int x = 0; x < in.width; ++x)
        for (std::size_t o = 0; o < channels; ++o) {
          double z = conv.bias[o];
          for (int c = 0; c < in.channels; ++c)
            for (int ky = 0; ky < 3; ++ky)
              for (int kx = 0; kx < 3; ++kx) {
                const int iy = y + ky - 1, ix = x + kx - 1;
                if (iy < 0 || ix < 0 || iy >= in.height || ix >= in.width) continue;
                const auto ch = static_cast<std::size_t>(c);
                const auto pixel = static_cast<std::size_t>(iy * in.width + ix);
                const double v = images[(n * static_cast<std::size_t>(in.channels) + ch) * in.pixels() + pixel];
                const auto w = ((o * static_cast<std::size_t>(in.channels) + ch) * 3 + static_cast<std::size_t>(ky)) * 3 +
                               static_cast<std::size_t>(kx);
                z += conv.weight[w] * (v - net.normalization.mean[ch]) / net.normalization.std[ch];
              }
          z = norm.beta[o] + (z - norm.running_mean[o]) * norm.gamma[o] / std::sqrt(norm.running_var[o] + norm.eps);
          const double steps = z / act.lambda * act.levels + 0.5;
          const int level = static_cast<int>(std::clamp(std::floor(steps), 0.0, static_cast<double>(act.levels)));
          const auto pixel = n * in.pixels() + static_cast<std::size_t>(y * in.width + x);
          if (found[pixel * channels + o] == level) continue;
          CHECK(std::abs(steps - std::round(steps)) < 0.01);
          ++near;
        }
  CHECK(near < found.size() / 50 + 1);
}

template <class Arch, class Net>
void check_exact(std::uint64_t seed) {
  const Net net = make_network<Net>(seed);
  const auto images = make_images<Net>(4, seed);
  const auto ann = lower<Arch>(net, target::Exact{});
  const auto counts = lower<Arch>(net, target::Spiking{conversion::Pascal<arithmetic::exact, form::counts>{}});
  const auto spikes = lower<Arch>(net, target::Spiking{conversion::Pascal<arithmetic::exact, form::spikes>{}});
  const auto reference = neuron_counts(ann, images);
  REQUIRE(!reference.empty());
  CHECK(neuron_counts(counts, images) == reference);
  CHECK(neuron_counts(spikes, images) == reference);
  CHECK(largest_difference(ann(images), counts(images)) == 0);
  CHECK(largest_difference(ann(images), spikes(images)) == 0);
  check_first_layer(net, images, reference[0]);
  CHECK(largest_difference(ann(images), net(images)) < 0.5);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("exact ANN, counts and explicit spikes agree in every neuron", "[lower][pascal]",
                        spiq_test::Backends) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    if constexpr (std::is_same_v<TestType, simd::best>) check_exact<TestType, Plain>(seed);
    check_exact<TestType, Deep>(seed);
  }
}

