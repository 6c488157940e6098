#include <spiq/spiq.hpp>
#include <iostream>
using namespace spiq;

using Net = Network<Input<28, 28, 1>, Conv2d<16, 3>, BatchNorm, Qcfs<8>, AvgPool<2>,
                    Conv2d<32, 3>, BatchNorm, Qcfs<8>, AvgPool<2>, Flatten, Linear<10>>;

int main() {
  const ImageSet train = synthetic_glyphs(8000, Rng{1}), test = synthetic_glyphs(2000, Rng{2});
  Net net{Rng{42}};
  fit(net, train, {.epochs = 3});
  const auto dense = lower(net, target::Float{});
  const auto spiking = lower(net, target::Spiking{conversion::Pascal{}});
  std::cout << report::compare(test, dense, spiking);
}
