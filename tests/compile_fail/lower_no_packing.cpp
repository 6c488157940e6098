// expect: spiq: a layer and the next one share no packing of their data
// expect: no_common_packing
// errors: 1
#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

// A network that ends in levels: the read-out wants sums.
int main() {
  Network<Input<1, 1, 16>, Linear<8>, Qcfs<4>> net;
  auto snn = lower(net, target::Exact{});
  static_cast<void>(snn);
}
