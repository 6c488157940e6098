#include "groups.hpp"

#include "../golden_neuron.hpp"

namespace golden::groups {

Result neuron(const Case& c) { return run_neuron(c); }
Result surrogate(const Case& c) { return run_surrogate(c); }

}  // namespace golden::groups
