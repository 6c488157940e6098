// expect: spiq: -ffast-math breaks rounding-sensitive kernels
// flags: -ffast-math
#include <spiq/core/abi.hpp>
