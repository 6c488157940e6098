// expect: spiq: in exact arithmetic no layer reads the plain sums of another; put a Qcfs directly behind each
// expect: GlobalAvgPool
// expect: Exact
#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

// GlobalAvgPool belongs before the last convolution, where it is the same function.
int main() {
  Network<Input<4, 4, 1>, Conv2d<3, 3>, Qcfs<4>, Conv2d<3, 1>, GlobalAvgPool> net;
  auto ann = lower(net, target::Exact{});
  auto session = ann.session();
  session.run(1);
}
