// expect: spiq: Dropout takes a percentage in [0, 100)
#include <spiq/nn/dropout.hpp>

spiq::Shape build() { return spiq::Dropout<100>::output_shape({1, 1, 1}); }
