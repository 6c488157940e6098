// expect: spiq: this layer has no rule for this target; spiq::lowering::no_rule<layer, target> names both
// expect: Doubled
// expect: Spiking
#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

// A layer of the user's own, for which nobody wrote a rule.
struct Doubled : ReLU {
  static constexpr bool activation = false;
  using ReLU::ReLU;
};

int main() {
  Network<Input<28, 28, 1>, Conv2d<16, 3>, Doubled, Flatten, Linear<10>> net;
  auto snn = lower(net, target::Spiking{conversion::Qcfs{.steps = 4}});
  auto session = snn.session();
  session.run(1);
}
