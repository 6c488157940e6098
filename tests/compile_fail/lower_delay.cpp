// expect: spiq: DelayedLinear needs time steps that can wait: put it inside OverTime and lower to target::Spiking{conversion::Trained{}}
// expect: DelayedLinear<4, 3>
// expect: Float
#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

int main() {
  Network<Input<1, 1, 16>, DelayedLinear<4, 3>> net;
  auto dense = lower(net, target::Float{});
  auto session = dense.session();
  session.run(1);
}
