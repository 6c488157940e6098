// expect: spiq: MaxPool takes the options Kernel, Stride and Padding, each at most once
#include <spiq/nn/layers.hpp>

using namespace spiq;
int main() {
  Network<Input<8, 8, 1>, MaxPool<3, Dilation<2>>, Flatten, Linear<10>> net;
  static_cast<void>(net);
}
