// The unevenness error of QCFS conversion against plain loops.
#include "backends.hpp"
#include "catch.hpp"
#include "lower_networks.hpp"

#include <spiq/report/unevenness.hpp>

#include <algorithm>
#include <sstream>

using namespace spiq_test;

namespace {

using Net =
    Network<Input<1, 1, 6>, Linear<9>, Qcfs<4>, Residual<Seq<Linear<9>>>, Qcfs<4>, Linear<70>, Qcfs<4>, Linear<2>>;

// Few binary digits: nothing is rounded.
Net dyadic_network(std::uint64_t seed) {
  Net net{Rng{seed}};
  Rng rng{seed, 1};
  net.for_each_layer([&](const std::string&, auto& layer) {
    if constexpr (requires { layer.weight; }) {
      for (float& v : layer.weight.span()) v = (static_cast<float>(rng.below(33)) - 16) / 16;
      for (float& v : layer.bias.span()) v = (static_cast<float>(rng.below(17)) - 6) / 8;
    }
    if constexpr (requires { layer.lambda; }) layer.lambda = rng.below(2) == 0 ? 1.0F : 2.0F;
  });
  return net;
}

struct Row {
  long long differing = 0, difference = 0, distance = 0;
};
// QCFS neurons on currents [step][neuron]: their spikes, and what is uneven about them.
std::vector<std::vector<double>> spikes_of(const std::vector<std::vector<double>>& current, double lambda, Row& row) {
  const std::size_t n = current[0].size(), steps = current.size();
  std::vector<std::vector<double>> out(steps, std::vector<double>(n));
  for (std::size_t i = 0; i < n; ++i) {
    double v = lambda / 2, sum = 0;
    int count = 0;
    for (std::size_t t = 0; t < steps; ++t) {
      v += current[t][i];
      sum += current[t][i];
      if (v < lambda) continue;
      v -= lambda;
      out[t][i] = lambda;
      ++count;
    }
    const auto even = static_cast<int>(std::clamp(std::floor(sum / lambda + 0.5), 0.0, static_cast<double>(steps)));
    row.differing += count != even;
    row.difference += count - even;
    row.distance += std::abs(count - even);
  }
  return out;
}
template <class L>
std::vector<std::vector<double>> product(const L& layer, const std::vector<std::vector<double>>& in) {
  std::vector<std::vector<double>> out;
  for (const auto& x : in) {
    std::vector<double> y;
    for (std::size_t o = 0; o < layer.bias.size(); ++o) {
      y.push_back(layer.bias[o]);
      for (std::size_t i = 0; i < x.size(); ++i) y[o] += layer.weight[o * x.size() + i] * x[i];
    }
    out.push_back(std::move(y));
  }
  return out;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("Unevenness is that of plain loops over the same spikes", "[report][unevenness]",
                        spiq_test::Backends) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    CAPTURE(seed);
    const Net net = dyadic_network(seed);
    auto images = make_images<Net>(37, seed);  // not a whole number of batches
    for (float& v : images.span()) v = std::round(v * 16) / 16;
    Row rows[3];
    for (std::size_t n = 0; n < 37; ++n) {
      const std::vector<std::vector<double>> x(4, {images.data() + n * 6, images.data() + n * 6 + 6});
      const auto s1 = spikes_of(product(net.layer<0>(), x), double{net.layer<1>().lambda}, rows[0]);
      auto z2 = product(net.layer<2>().body.layer<0>(), s1);
      for (std::size_t t = 0; t < 4; ++t)
        for (std::size_t i = 0; i < 9; ++i) z2[t][i] += s1[t][i];
      const auto s2 = spikes_of(z2, double{net.layer<3>().lambda}, rows[1]);
      spikes_of(product(net.layer<4>(), s2), double{net.layer<5>().lambda}, rows[2]);
    }
    const auto found = report::unevenness(lower<TestType>(net, target::Spiking{conversion::Qcfs{.steps = 4}}), images);
    REQUIRE(found.size() == 3);
    for (std::size_t l = 0; l < 3; ++l) {
      CAPTURE(l);
      CHECK(found[l].neurons == 37 * (l == 2 ? 70 : 9));
      CHECK(static_cast<long long>(found[l].differing) == rows[l].differing);
      CHECK(found[l].difference == rows[l].difference);
      CHECK(found[l].distance == rows[l].distance);
    }
    // The same current at every step is even; spikes of neurons are not.
    CHECK(found[0].differing == 0);
    CHECK(found[2].differing > 0);
  }
}

TEST_CASE("A constant current gives as many spikes as QCFS says, whatever it is", "[report][unevenness]") {
  Network<Input<1, 1, 40>, Qcfs<8>, Linear<2>> net;
  net.layer<0>().lambda = 2;
  Tensor<float> images({8, 40});
  for (std::size_t i = 0; i < images.size(); ++i) images[i] = (static_cast<float>(i) - 40) / 64;  // over both ends
  for (const int steps : {1, 4, 8, 12}) {
    const auto rows = report::unevenness(lower(net, target::Spiking{conversion::Qcfs{.steps = steps}}), images);
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].neurons == 320);
    CHECK(rows[0].share() == 0);
  }
  std::ostringstream text;
  text << report::unevenness_table(
      report::unevenness(lower(net, target::Spiking{conversion::Qcfs{.steps = 4}}), images));
  CHECK(mentions(text.str(), "uneven %"));
  CHECK(report::unevenness(lower(net, target::Float{}), images).empty());
}

TEMPLATE_LIST_TEST_CASE("Maps have their unevenness, too, which fades with T", "[report][unevenness]",
                        spiq_test::Backends) {
  const auto net = make_network<Deep>(3);
  const auto images = make_images<Deep>(2, 3);
  const auto rows = [&](int steps) {
    return report::unevenness(lower<TestType>(net, target::Spiking{conversion::Qcfs{.steps = steps}}), images);
  };
  const auto few = rows(4), many = rows(48);
  REQUIRE(few.size() == 5);
  CHECK(few[0].share() < 1e-3);  // rounding alone
  double early = 0, late = 0;
  for (std::size_t l = 1; l < few.size(); ++l) {
    CHECK(few[l].share() > 1e-3);
    early += few[l].mean_distance() / 4;
    late += many[l].mean_distance() / 48;
  }
  CHECK(late < 0.5 * early);
}
