// expect: spiq: a layer does not accept the shape before it
// expect: Conv2d<8, 5
// expect: 4, 4, 2
#include <spiq/nn/layers.hpp>

// A 5x5 kernel without padding does not fit into the 4x4 picture behind the pool.
using Net = spiq::Network<spiq::Input<8, 8, 2>, spiq::AvgPool<2>, spiq::Conv2d<8, 5, spiq::Padding<0>>>;
void build() { Net net{spiq::Rng{1}}; }
