// A layer of one's own: Gaussian noise on activations while training. `lower` leaves it out, because it says that it
// is for training only.
#include <spiq/spiq.hpp>

#include <algorithm>
#include <cstddef>
#include <iostream>

namespace {

template <int Percent>
struct Noise {
  static constexpr const char* name = "Noise";
  static constexpr bool training_only = true;
  static constexpr bool accepts(spiq::Shape) { return true; }
  static constexpr spiq::Shape output_shape(spiq::Shape in) { return in; }

  struct Cache {};
  spiq::Shape in;
  explicit Noise(spiq::Shape input) : in(input) {}

  // x and y are `samples` images of shape `in`, channels last.
  void forward(const float* x, float* y, std::size_t samples, Cache&, const spiq::nn::Pass& pass) const {
    const float deviation = pass.training() ? static_cast<float>(Percent) / 100.0f : 0.0f;
    for (std::size_t s = 0; s < samples; ++s) {
      spiq::Rng rng = pass.rng.split(s);  // a stream per sample: threads do not change the result
      for (std::size_t i = s * in.size(); i < (s + 1) * in.size(); ++i) y[i] = x[i] + deviation * rng.normal();
    }
  }
  // The noise is added, so gradients pass unchanged.
  void backward(const float*, const float*, const float* dy, float* dx, std::size_t samples, Cache&,
                const spiq::nn::Pass&) {
    if (dx != nullptr) std::copy_n(dy, samples * in.size(), dx);
  }
};

using Net = spiq::Network<spiq::Input<28, 28, 1>, spiq::Conv2d<8, 3, spiq::Stride<2>>, spiq::BatchNorm, Noise<10>,
                          spiq::Qcfs<8>, spiq::Flatten, spiq::Linear<10>>;

}  // namespace

int main() {
  const spiq::ImageSet train = spiq::synthetic_glyphs(4000, spiq::Rng{1});
  const spiq::ImageSet test = spiq::synthetic_glyphs(1000, spiq::Rng{2});
  Net net{spiq::Rng{42}};
  spiq::fit(net, train, {.epochs = 2});
  const auto snn = spiq::lower(net, spiq::target::Spiking{spiq::conversion::Pascal<>{}});
  std::cout << spiq::report::layer_table(snn) << "\n" << spiq::report::compare(test, snn);
}
