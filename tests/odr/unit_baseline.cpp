#include "unit.hpp"
float sum_baseline(const float* values, std::size_t count) { return spiq::odr_sum<spiq::simd::best>(values, count); }
const char* name_baseline() { return spiq::simd::best::name; }
