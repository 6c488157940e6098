// expect: spiq: in exact arithmetic no layer reads the plain sums of another; put a Qcfs directly behind each
// expect: AvgPool<2>
// expect: Exact
#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

int main() {
  Network<Input<6, 6, 2>, Conv2d<5, 3>, AvgPool<2>, Qcfs<8>, Flatten, Linear<4>> net;
  auto ann = lower(net, target::Exact{});
  auto session = ann.session();
  session.run(1);
}
