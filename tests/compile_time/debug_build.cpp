// Must compile without optimisation too, where g++'s intrinsics are macros: a user's Debug build.
#include <spiq/spiq.hpp>
using namespace spiq;
using Net = Network<Input<8, 8, 1>, Conv2d<8, 3>, BatchNorm, Qcfs<8>, AvgPool<2>, Conv2d<8, 3>, Qcfs<8>, MaxPool<2>, Flatten, Linear<10>>;
using Net2 = Network<Input<8, 8, 1>, Conv2d<8, 3>, BatchNorm, Qcfs<8>, AvgPool<2>, Conv2d<8, 3>, Qcfs<8>, Flatten, Linear<10>>;
int main() {
  Net2 net{Rng{42}};
  Net n2{Rng{1}};
  const auto f = lower(n2, target::Float{});
  const auto e = lower(net, target::Exact{});
  const auto q = lower(net, target::Spiking{conversion::Qcfs{.steps = 4}});
  const auto p = lower(net, target::Spiking{conversion::Pascal{}});
  const auto x = lower(net, target::Spiking{conversion::Pascal<arithmetic::exact, form::spikes>{}});
  Tensor<float> im({3, 1, 8, 8});
  return static_cast<int>(f(im)[0] + e(im)[0] + q(im)[0] + p(im)[0] + x(im)[0]);
}
