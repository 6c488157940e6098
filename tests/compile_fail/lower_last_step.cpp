// expect: spiq: a lowered network answers with the mean over its steps; train with MeanOverTime instead of LastStep
#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

int main() {
  Network<Input<1, 1, 6>, Linear<5>, OverTime<Seq<Spiking<presets::SpikingJellyLif<>>, Linear<4>>, LastStep>> net;
  auto snn = lower(net, target::Spiking{conversion::Trained{}});
  auto session = snn.session();
}
