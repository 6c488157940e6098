#include "groups.hpp"

#include "../golden_qcfs.hpp"

namespace golden::groups {

Result qcfs(const Case& c) { return run_qcfs(c); }

}  // namespace golden::groups
