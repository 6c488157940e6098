#include "groups.hpp"

#include "../golden_spiking.hpp"

namespace golden::groups {

Result delay(const Case& c) { return run_delay(c); }
Result encode(const Case& c) { return run_encode(c); }
Result plasticity(const Case& c) { return run_plasticity(c); }

}  // namespace golden::groups
