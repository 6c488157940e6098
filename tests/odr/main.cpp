#include <cstddef>
#include <cstdio>
#include <cstring>

float sum_v3(const float* values, std::size_t count);
float sum_baseline(const float* values, std::size_t count);
const char* name_v3();
const char* name_baseline();

int main() {
  float values[37];
  for (int i = 0; i < 37; ++i) values[i] = static_cast<float>(i);
  if (__builtin_cpu_supports("avx2") == 0 || __builtin_cpu_supports("fma") == 0) {
    std::puts("odr skipped: this machine has no AVX2");
    return 0;
  }
  const float a = sum_v3(values, 37);
  const float b = sum_baseline(values, 37);
  std::printf("%s %g, %s %g\n", name_v3(), static_cast<double>(a), name_baseline(), static_cast<double>(b));
  return a == 666.0f && b == 666.0f && std::strcmp(name_v3(), "avx2") == 0 && std::strcmp(name_baseline(), "sse2") == 0 ? 0 : 1;
}
