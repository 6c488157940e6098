// expect: spiq: beside an OverTime all Spiking, Recurrent and DelayedLinear layers must stand inside it: outside they were trained on a single step
#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

// Lowered, the first neurons would fire over all steps; trained, they fired once.
int main() {
  using Lif = Spiking<presets::SpikingJellyLif<>>;
  Network<Input<1, 1, 6>, Residual<Seq<Lif, Linear<6>>>, OverTime<Seq<Lif, Linear<4>>>> net;
  auto snn = lower(net, target::Spiking{conversion::Trained{}});
  auto session = snn.session();
}
