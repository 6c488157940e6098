// expect: spiq: Softmax has no form in spikes or levels; leave it out
// expect: Softmax<
// expect: Spiking
#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

int main() {
  Network<Input<8, 8, 1>, Conv2d<16, 3>, Qcfs<8>, Flatten, Linear<10>, Softmax<>> net;
  auto snn = lower(net, target::Spiking{conversion::Qcfs{.steps = 4}});
  auto session = snn.session();
  session.run(1);
}
