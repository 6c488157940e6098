// expect: spiq: a layer does not accept the shape before it
// expect: misfit<spiq
// expect: AvgPool<4>, 3, 3, 8>
#include <spiq/nn/layers.hpp>
using namespace spiq;
int main() {
  Network<Input<6, 6, 1>, Conv2d<8, 3>, BatchNorm, Qcfs<4>, AvgPool<2>, AvgPool<4>, Flatten, Linear<10>> net;
  static_cast<void>(net);
}
