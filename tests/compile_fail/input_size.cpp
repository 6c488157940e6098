// expect: spiq: Input<height, width, channels> takes positive sizes
#include <spiq/nn/layers.hpp>

spiq::Input<28, 0, 1> input;
