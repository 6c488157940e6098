// expect: spiq: OverTime with FrameInput is lowered as the first layer of a network
#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

int main() {
  Network<Input<1, 1, 16>, Linear<12>, OverTime<Seq<Spiking<presets::SpikingJellyLif<>>, Linear<4>>, Steps<4>, FrameInput>> net;
  const auto snn = lower(net, target::Spiking{conversion::Trained{}});
  auto session = snn.session();
}
