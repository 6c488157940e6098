// expect: spiq: a lowered network ends in currents, which become its outputs; put a Linear layer behind the last neurons or quantised activation
// errors: 1
#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

int main() {
  Network<Input<1, 1, 16>, Linear<8>, Qcfs<4>> net;
  auto snn = lower(net, target::Exact{});
  static_cast<void>(snn);
}
