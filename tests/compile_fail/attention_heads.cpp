// expect: spiq: MultiHeadAttention<Heads> needs channels that its heads divide
// expect: MultiHeadAttention<5>, 7, 7, 32>
#include <spiq/nn/layers.hpp>
using namespace spiq;
int main() {
  Network<Input<28, 28, 1>, Conv2d<32, 4, Stride<4>, Padding<0>>, MultiHeadAttention<5>, GlobalAvgPool, Linear<10>> net;
  static_cast<void>(net);
}
