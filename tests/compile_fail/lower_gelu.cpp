// expect: spiq: a smooth activation (Gelu, Sigmoid, Silu, Tanh) has no form in spikes or levels; train with Qcfs<L> instead
// expect: Gelu<
// expect: Spiking
#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

int main() {
  Network<Input<8, 8, 1>, Conv2d<16, 3>, Gelu<>, Flatten, Linear<10>> net;
  auto snn = lower(net, target::Spiking{conversion::Pascal{}});
  auto session = snn.session();
  session.run(1);
}
