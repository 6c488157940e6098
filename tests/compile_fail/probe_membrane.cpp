// expect: spiq: probe<I, Probe::membrane> takes a layer of neurons that keep a membrane potential from step to step
#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

int main() {
  Network<Input<1, 1, 16>, Linear<4>> net;
  const auto dense = lower(net, target::Float{});
  auto session = dense.session();
  session.probe<0, exec::Probe::membrane>([](auto...) {});
}
