// expect: deleted
// expect: Session
#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

int main() {
  Network<Input<1, 1, 16>, Linear<4>> net;
  exec::Session session(lower(net, target::Float{}), 1, {});
}
