#include <spiq/spiq.hpp>

#include <cstdio>

#if defined(WANT_OPENMP) && !defined(_OPENMP)
#error "spiq::openmp must switch OpenMP on"
#endif

int main() {
  spiq::Tensor<float> values({100});
  spiq::Rng rng(7);
  for (float& v : values.span()) v = rng.uniform();
  spiq::Tensor<float> doubled(values.extents());
  spiq::parallel_for(values.size(), 8, 0, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t i = begin; i < end; ++i) doubled[i] = 2.0f * values[i];
  });
  for (std::size_t i = 0; i < values.size(); ++i)
    if (doubled[i] != 2.0f * values[i]) return 1;
  std::printf("spiq %s on %s\n", SPIQ_VERSION_STRING, spiq::simd::best::name);
  return 0;
}
