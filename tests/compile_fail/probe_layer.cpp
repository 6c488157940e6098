// expect: spiq: probe<I> takes a layer that the executable network has: I is a row of its layers(), from 0
#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

int main() {
  Network<Input<1, 1, 16>, Linear<4>> net;
  const auto dense = lower(net, target::Float{});
  auto session = dense.session();
  session.probe<1>([](auto...) {});
}
