/// @file
/// The two backward passes of a convolution: gradients of its input and of its weights.
#pragma once

#include <spiq/kernel/conv_dw.hpp>
#include <spiq/kernel/conv_dx.hpp>
