// expect: spiq: Conv2d takes the options Kernel, Stride, Padding, Dilation, Groups and NoBias, each at most once
#include <spiq/nn/conv2d.hpp>

// Of two strides one would be ignored.
spiq::Shape build() { return spiq::Conv2d<4, 3, spiq::Stride<2>, spiq::Stride<1>>::output_shape({8, 8, 4}); }
