// expect: spiq: ReLU has no form in spikes or levels; train with Qcfs<L> instead of ReLU
// expect: Spiking
#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

int main() {
  Network<Input<28, 28, 1>, Conv2d<16, 3>, ReLU, AvgPool<2>, Flatten, Linear<10>> net;
  auto snn = lower(net, target::Spiking{conversion::Qcfs{.steps = 4}});
  auto session = snn.session();
  session.run(1);
}
