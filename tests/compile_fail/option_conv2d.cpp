// expect: spiq: Conv2d takes the options Kernel, Stride, Padding, Dilation, Groups and NoBias, each at most once
#include <spiq/nn/layers.hpp>

using namespace spiq;
int main() {
  Network<Input<8, 8, 1>, Conv2d<4, 3, Multiplier<2>>, Flatten, Linear<10>> net;
  static_cast<void>(net);
}
