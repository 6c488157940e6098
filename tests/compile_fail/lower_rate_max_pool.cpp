// expect: spiq: max pooling has no exact form between spikes; train with AvgPool instead of MaxPool
// expect: MaxPool<2>
// expect: RateCoding
#include <spiq/lower/balance.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

int main() {
  Network<Input<28, 28, 1>, Conv2d<16, 3>, ReLU, MaxPool<2>, Flatten, Linear<10>> net;
  auto snn = lower(net, target::Spiking{conversion::Rmp{.steps = 8}});
  auto session = snn.session();
  session.run(1);
}
