// expect: spiq: Qcfs takes 1 to 255 levels
#include <spiq/nn/activation.hpp>

spiq::Shape build() { return spiq::Qcfs<256>::output_shape({1, 1, 1}); }
