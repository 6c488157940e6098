// expect: spiq: a layer does not accept the shape before it
// expect: Linear<10>, 28, 28, 4>
#include <spiq/nn/layers.hpp>
using namespace spiq;
int main() {
  Network<Input<28, 28, 1>, Conv2d<4, 3>, ReLU, Linear<10>> net;
  static_cast<void>(net);
}
