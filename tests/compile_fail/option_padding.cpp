// expect: spiq: Padding takes pixels >= 0 or nn::same_padding
#include <spiq/nn/layers.hpp>

using namespace spiq;
int main() {
  Network<Input<8, 8, 1>, Conv2d<4, 3, Padding<-5>>, Flatten, Linear<10>> net;
  static_cast<void>(net);
}
