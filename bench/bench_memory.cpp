// The machine itself: peak of multiply-adds per architecture, reading and copying per size of the working set.
#include "harness.hpp"

#include <numeric>
#include <string>

namespace {

template <class Arch, bench::Peak P>
void add_peak(bench::Suite& suite) {
  constexpr long iterations = 2000;
  suite.add({.kernel = P == bench::Peak::f32 ? "peak_f32" : "peak_s16",
             .implementation = std::string("spiq_") + Arch::name,
             .shape = "registers",
             .flops = bench::peak_operations<Arch, P>(iterations),
             .peak = P,
             .run = [] { bench::peak_loop<Arch, P>(iterations); }});
}

template <class... Arch>
void add_peaks(bench::Suite& suite, spiq::simd::arch_list<Arch...>) {
  (add_peak<Arch, bench::Peak::f32>(suite), ...);
  (add_peak<Arch, bench::Peak::s16>(suite), ...);
}

struct Buffers {
  explicit Buffers(std::size_t count) : from(count), to(count) {
    std::iota(from.begin(), from.end(), 1.0f);
  }
  spiq::AlignedVector<float> from;
  spiq::AlignedVector<float> to;
};

void add_copy(bench::Suite& suite, const char* implementation, void (*function)(const float*, float*, std::size_t),
              std::size_t kilobytes) {
  const std::size_t count = kilobytes * 256;
  suite.add({.kernel = "copy",
             .implementation = implementation,
             .shape = std::to_string(kilobytes) + "k",
             .bytes = 8.0 * static_cast<double>(count),
             .traffic = bench::Traffic::copy,
             .exact = true,
             .prepare = [=] {
               auto data = std::make_shared<Buffers>(count);
               return bench::Case{.run = [=] { function(data->from.data(), data->to.data(), count); },
                                  .error = [=] { return data->from == data->to ? 0.0 : 1.0; }};
             }});
}

}  // namespace

SPIQ_BENCH(memory) {
  add_peaks(suite, spiq::simd::compiled{});
  for (const std::size_t kilobytes : {16, 512, 8192, 65536}) {
    const std::size_t count = kilobytes * 256;
    suite.add({.kernel = "read",
               .implementation = "spiq",
               .shape = std::to_string(kilobytes) + "k",
               .bytes = 4.0 * static_cast<double>(count),
               .prepare = [=] {
                 auto data = std::make_shared<Buffers>(count);
                 return bench::Case{.run = [=] {
                                      float sum = bench::read_all<spiq::simd::best>(data->from.data(), count);
                                      bench::keep(sum);
                                    },
                                    .error = [=] {
                                      const double sum = bench::read_all<spiq::simd::best>(data->from.data(), count);
                                      const double exact = std::accumulate(data->from.begin(), data->from.end(), 0.0);
                                      return std::abs(sum - exact) / exact;
                                    }};
               }});
    add_copy(suite, "spiq", bench::copy_all<spiq::simd::best>, kilobytes / 2);
    add_copy(suite, "memcpy", [](const float* from, float* to, std::size_t n) { std::memcpy(to, from, n * sizeof(float)); },
             kilobytes / 2);
  }
}
