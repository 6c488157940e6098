// expect: spiq: ReLU has no form in spikes or levels; train with Qcfs<L> instead of ReLU
// expect: Spiking
#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

// The layer without a rule stands in a branch: one sentence, not another for each block around it.
int main() {
  Network<Input<6, 6, 2>, Conv2d<4, 3>, Qcfs<8>, Residual<Seq<Conv2d<4, 3>, ReLU, Conv2d<4, 3>>>, Qcfs<8>, Flatten, Linear<4>>
      net;
  auto snn = lower(net, target::Spiking{conversion::Pascal{}});
  auto session = snn.session();
  session.run(1);
}
