// expect: spiq: a layer does not accept the shape before it
// expect: 8, 8, 4>
#include <spiq/nn/layers.hpp>
using namespace spiq;
int main() {
  Network<Input<8, 8, 3>, Conv2d<4, 3>, BatchNorm, Residual<Seq<Conv2d<8, 3>, BatchNorm>>, ReLU, Flatten, Linear<10>> net;
  static_cast<void>(net);
}
