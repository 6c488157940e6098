// expect: spiq: OverTime with PoissonInput draws other spikes in every pass and is not lowered; train with DirectInput, or encode the images and train with FrameInput
#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

int main() {
  Network<Input<1, 1, 6>, OverTime<Seq<Linear<5>, Spiking<presets::SpikingJellyLif<>>, Linear<4>>, PoissonInput>> net;
  auto snn = lower(net, target::Spiking{conversion::Trained{}});
  auto session = snn.session();
}
