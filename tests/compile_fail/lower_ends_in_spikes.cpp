// expect: spiq: a lowered network ends in currents, which become its outputs; put a Linear layer behind the last neurons or quantised activation
#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

int main() {
  using Lif = Spiking<presets::SpikingJellyLif<>>;
  Network<Input<6, 6, 2>, Conv2d<8, 3>, OverTime<Seq<Lif, AvgPool<2>, Flatten, Linear<4>, Lif>>> net;
  auto snn = lower(net, target::Spiking{conversion::Trained{}});
  auto session = snn.session();
  session.run(1);
}
