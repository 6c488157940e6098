// expect: spiq: in exact arithmetic no layer reads the plain sums of another; put a Qcfs directly behind each
// expect: Linear<4>
// expect: Spiking
#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

int main() {
  Network<Input<1, 1, 16>, Linear<8>, Linear<4>> net;
  auto snn = lower(net, target::Spiking{conversion::Pascal<arithmetic::exact>{}});
  static_cast<void>(snn);
}
