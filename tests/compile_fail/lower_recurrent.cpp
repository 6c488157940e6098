// expect: spiq: Recurrent reads currents and needs time steps: put a Linear or DelayedLinear (and BatchNorm) before it, both inside OverTime, and lower to target::Spiking{conversion::Trained{}}
// expect: Recurrent
#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

int main() {
  using Lif = Spiking<presets::SpikingJellyLif<>>;
  Network<Input<1, 1, 16>, OverTime<Seq<Lif, Recurrent<Lif>, Linear<4>>>> net;
  auto snn = lower(net, target::Spiking{conversion::Trained{}});
  auto session = snn.session();
  session.run(1);
}
