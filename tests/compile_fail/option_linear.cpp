// expect: spiq: Linear takes the option NoBias, at most once
#include <spiq/nn/layers.hpp>

using namespace spiq;
int main() {
  Network<Input<8, 8, 1>, Flatten, Linear<10, Stride<3>, Padding<9>>> net;
  static_cast<void>(net);
}
