#include "groups.hpp"

#include "../golden_nnops.hpp"

namespace golden::groups {

Result nnops(const Case& c) { return run_nnops(c); }

}  // namespace golden::groups
