// expect: spiq: DepthwiseConv2d takes the options Kernel, Stride, Padding, Dilation, Multiplier and NoBias, each
#include <spiq/nn/conv2d.hpp>

spiq::Shape build() { return spiq::DepthwiseConv2d<3, spiq::Groups<5>>::output_shape({8, 8, 4}); }
