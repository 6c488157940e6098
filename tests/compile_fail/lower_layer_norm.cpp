// expect: spiq: LayerNorm has no form in spikes or levels; train with BatchNorm instead
// expect: LayerNorm
// expect: Spiking
#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

int main() {
  Network<Input<8, 8, 1>, Conv2d<16, 3>, LayerNorm, Qcfs<8>, Flatten, Linear<10>> net;
  auto snn = lower(net, target::Spiking{conversion::Qcfs{.steps = 4}});
  auto session = snn.session();
  session.run(1);
}
