// expect: spiq: PositionEmbedding has no form in spikes or levels; train without it, or lower to target::Float
// expect: PositionEmbedding
// expect: Spiking
#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

int main() {
  Network<Input<8, 8, 1>, Conv2d<16, 3>, PositionEmbedding, Qcfs<8>, Flatten, Linear<10>> net;
  auto snn = lower(net, target::Spiking{conversion::Pascal{}});
  auto session = snn.session();
  session.run(1);
}
