#include "groups.hpp"

#include "../golden_container.hpp"
#include "../golden_hopfield.hpp"

namespace golden::groups {

Result container(const Case& c) { return run_container(c); }
Result hopfield(const Case& c) { return run_hopfield(c); }

}  // namespace golden::groups
