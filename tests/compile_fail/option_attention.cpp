// expect: spiq: MultiHeadAttention takes as options an accuracy (a type of spiq::accuracy), Causal and bfloat16, each at most once
#include <spiq/nn/layers.hpp>
using namespace spiq;
int main() {
  MultiHeadAttention<2, Causal, NoBias> layer({7, 7, 32});
  static_cast<void>(layer);
}
