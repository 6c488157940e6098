#include "unit.hpp"
float sum_v3(const float* values, std::size_t count) { return spiq::odr_sum<spiq::simd::best>(values, count); }
const char* name_v3() { return spiq::simd::best::name; }
