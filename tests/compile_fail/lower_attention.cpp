// expect: spiq: MultiHeadAttention has no form in spikes or levels, for it multiplies activations with each other; lower to target::Float
// expect: MultiHeadAttention<4
// expect: Spiking
#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

int main() {
  Network<Input<8, 8, 1>, Conv2d<16, 3>, Qcfs<8>, Residual<Seq<MultiHeadAttention<4, accuracy::quake>>>, Qcfs<8>, Flatten, Linear<10>> net;
  auto snn = lower(net, target::Spiking{conversion::Pascal{}});
  auto session = snn.session();
  session.run(1);
}
