// The groups of golden_check, each compiled in a file of its own: together they take minutes.
#pragma once

#include "../golden.hpp"

namespace golden::groups {

Result container(const Case& c);
Result delay(const Case& c);
Result encode(const Case& c);
Result hopfield(const Case& c);
Result neuron(const Case& c);
Result nnops(const Case& c);
Result plasticity(const Case& c);
Result qcfs(const Case& c);
Result surrogate(const Case& c);

}  // namespace golden::groups
