// expect: spiq: Qcfs activations become spikes by conversion::Qcfs, Pascal or BitSerial
// expect: Qcfs<8
// expect: RateCoding
#include <spiq/lower/balance.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

int main() {
  Network<Input<28, 28, 1>, Conv2d<16, 3>, Qcfs<8>, AvgPool<2>, Flatten, Linear<10>> net;
  auto snn = lower(net, target::Spiking{conversion::Rmp{.steps = 8}});
  auto session = snn.session();
  session.run(1);
}
