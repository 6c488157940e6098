// What the machine can do, measured in the same process as the rows that are compared with it:
// peak of multiply-adds, bandwidth at a given working set, and a probe that tells when a sample was disturbed.
#pragma once

#include <spiq/core/storage.hpp>
#include <spiq/simd/bf16.hpp>
#include <spiq/simd/simd.hpp>

#include <sched.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <type_traits>
#include <utility>
#include <vector>

namespace bench {

inline double clock_ns(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}
/// CPU time of this thread: preemption by other processes does not count.
inline double cpu_ns() { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }
inline double wall_ns() { return clock_ns(CLOCK_MONOTONIC); }

/// The compiler must assume that memory was read and written here.
inline void clobber() { asm volatile("" ::: "memory"); }
/// The compiler must assume that the value is used.
template <class T>
inline void keep(T& value) {
  asm volatile("" : : "r"(&value) : "memory");
}

/// Keeps the process on one CPU while it lives; several threads need the whole set back.
class Pin {
public:
  explicit Pin(bool on) {
    if (!on || sched_getaffinity(0, sizeof old_, &old_) != 0) return;
    const int here = sched_getcpu();
    if (here < 0) return;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<unsigned>(here), &one);
    pinned_ = sched_setaffinity(0, sizeof one, &one) == 0;
  }
  ~Pin() {
    if (pinned_) sched_setaffinity(0, sizeof old_, &old_);
  }
  Pin(const Pin&) = delete;
  Pin& operator=(const Pin&) = delete;

private:
  cpu_set_t old_{};
  bool pinned_ = false;
};

/// Makes the compiler forget what a register holds; costs no instruction.
template <class V>
SPIQ_INLINE void forget(V& x) {
  if constexpr (std::is_same_v<V, float>) {
#if defined(__x86_64__)
    asm volatile("" : "+x"(x));
#elif defined(__aarch64__)
    asm volatile("" : "+w"(x));
#endif
  } else if constexpr (std::is_integral_v<V>) {
    asm volatile("" : "+r"(x));
  } else if constexpr (requires { x.v.data; }) {
#if defined(__AVX512F__)
    asm volatile("" : "+v"(x.v.data));
#elif defined(__x86_64__)
    asm volatile("" : "+x"(x.v.data));
#elif defined(__aarch64__)
    asm volatile("" : "+w"(x.v.data));
#endif
  } else {
    forget(x.v);
  }
}

/// Which arithmetic a row is bound by. A multiply-add counts as two operations.
enum class Peak {
  f32,  ///< float multiply-adds
  s16,  ///< pairs of int16 products added to int32 (`simd::dot_s16`)
  s8,   ///< four products of bytes added to int32 (`simd::dot_u8s8`)
  bf16  ///< pairs of bfloat16 products added to float (`simd::dot_bf16`); that of f32 where there is no instruction
};

/// Independent chains of the instruction: more than latency times pipes. Instructions that overwrite their accumulator
/// get fewer: with more of them g++ copies registers, and it is the copies that are measured.
template <class Arch, Peak P>
inline constexpr int peak_chains =
    P != Peak::s16 && P != Peak::s8 && spiq::simd::traits<Arch>::registers >= 32 ? 24 : 12;

/// Operations of one call of `peak_loop<Arch, P>(iterations)`.
template <class Arch, Peak P>
constexpr double peak_operations(long iterations) {
  const int per_lane = P == Peak::f32 ? 2 : P == Peak::s8 ? 8 : 4;
  return static_cast<double>(iterations) * peak_chains<Arch, P> * spiq::simd::traits<Arch>::width * per_lane;
}

/// Runs `iterations` rounds of independent multiply-adds that touch no memory.
template <class Arch, Peak P>
SPIQ_NOINLINE void peak_loop(long iterations) {
  namespace simd = spiq::simd;
  constexpr bool integers = P == Peak::s16 || P == Peak::s8;
  using vec = std::conditional_t<!integers, typename simd::traits<Arch>::f32, typename simd::traits<Arch>::i32>;
  constexpr int chains = peak_chains<Arch, P>;
  vec sum[chains];
  SPIQ_UNROLL
  for (int j = 0; j < chains; ++j) {
    sum[j] = vec::zero();
    forget(sum[j]);  // else equal chains would become one
  }
  vec a = vec::zero();
  vec b = vec::zero();
  forget(a);
  forget(b);
  for (long i = 0; i < iterations; ++i) {
    SPIQ_UNROLL
    for (int j = 0; j < chains; ++j) {
      if constexpr (P == Peak::f32) {
        sum[j] = simd::fma(sum[j], a, b);
      } else if constexpr (P == Peak::bf16) {
        forget(a);  // as below
        sum[j] = simd::dot_bf16(sum[j], bits_of(a), bits_of(b));
      } else if constexpr (P == Peak::s8) {
        forget(a);  // as below
        sum[j] = simd::dot_u8s8(sum[j], a, b);
      } else {
        forget(a);  // else the product would be computed once, outside the loop
        sum[j] = simd::dot_s16(sum[j], a, b);
      }
      // One lane: else the compiler would gather the chains into vectors.
      if constexpr (std::is_same_v<Arch, simd::scalar>) forget(sum[j]);
    }
  }
  SPIQ_UNROLL
  for (int j = 0; j < chains; ++j) forget(sum[j]);
}

/// The time that a tenth of the samples stay below. Not the smallest: on virtual machines the CPU clock itself stumbles
/// now and then and shows times that no machine can reach.
inline double quick(std::vector<double> times) {
  const auto place = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 10);
  std::nth_element(times.begin(), place, times.end());
  return *place;
}

/// Operations per nanosecond of architecture Arch.
template <class Arch, Peak P>
double measure_peak() {
  constexpr long iterations = 20000;
  std::vector<double> times;
  for (int i = 0; i < 40; ++i) {
    const double start = cpu_ns();
    peak_loop<Arch, P>(iterations);
    times.push_back(cpu_ns() - start);
  }
  return peak_operations<Arch, P>(iterations) / quick(times);
}

/// What the memory traffic of a row consists of.
enum class Traffic {
  read,  ///< nearly all bytes are read
  copy   ///< as many bytes are read as written
};

/// Sum over a buffer in registers: as fast as data can be read.
template <class Arch>
SPIQ_NOINLINE float read_all(const float* data, std::size_t count) {
  using vec = typename spiq::simd::traits<Arch>::f32;
  constexpr std::size_t chains = 8;
  constexpr auto width = static_cast<std::size_t>(vec::width);
  vec sum[chains];
  for (auto& s : sum) s = vec::zero();
  std::size_t i = 0;
  for (; i + chains * width <= count; i += chains * width) {
    SPIQ_UNROLL
    for (std::size_t j = 0; j < chains; ++j) sum[j] = sum[j] + vec::load(data + i + j * width);
  }
  for (std::size_t j = 1; j < chains; ++j) sum[0] = sum[0] + sum[j];
  return spiq::simd::reduce_add(sum[0]);
}

/// Copy by whole registers; `count` values.
template <class Arch>
SPIQ_NOINLINE void copy_all(const float* from, float* to, std::size_t count) {
  using vec = typename spiq::simd::traits<Arch>::f32;
  std::size_t i = 0;
  for (; i + vec::width <= count; i += vec::width) vec::load(from + i).store(to + i);
  vec::load_first(from + i, static_cast<int>(count - i)).store_first(to + i, static_cast<int>(count - i));
}

/// Bytes per nanosecond for a working set of `bytes` that is visited again and again.
inline double measure_bandwidth(double bytes, Traffic traffic) {
  const auto count = std::max<std::size_t>(static_cast<std::size_t>(bytes / 8.0), 512) / 128 * 128;
  spiq::AlignedVector<float> data(2 * count, 1.0f);
  const auto best_of = [&](auto visit) {
    const double size = 8.0 * static_cast<double>(count);
    const long calls = std::max(1L, static_cast<long>(2e6 / size));
    std::vector<double> times;
    visit();
    for (int i = 0; i < 20; ++i) {
      const double start = cpu_ns();
      for (long c = 0; c < calls; ++c) {
        visit();
        clobber();
      }
      times.push_back(cpu_ns() - start);
    }
    return size * static_cast<double>(calls) / quick(times);
  };
  if (traffic == Traffic::read)
    return best_of([&] {
      float sum = read_all<spiq::simd::best>(data.data(), 2 * count);
      keep(sum);
    });
  // Which is faster depends on the size.
  return std::max(best_of([&] { copy_all<spiq::simd::best>(data.data() + count, data.data(), count); }),
                  best_of([&] { std::memcpy(data.data(), data.data() + count, count * sizeof(float)); }));
}

/// Peaks and bandwidths of this run, and the probe around each sample.
class Machine {
public:
  Machine() {
    std::vector<double> costs;
    for (int i = 0; i < 1000; ++i) {
      const double start = cpu_ns();
      costs.push_back(cpu_ns() - start);
    }
    clock_cost_ = quick(costs);
    for (std::size_t i = 0; i < window; ++i) probe();
    s16_ratio_ = measure_peak<spiq::simd::best, Peak::s16>() / peak(Peak::f32);
    s8_ratio_ = measure_peak<spiq::simd::best, Peak::s8>() / peak(Peak::f32);
    if constexpr (spiq::simd::has_bf16_dot<spiq::simd::best>)
      bf16_ratio_ = measure_peak<spiq::simd::best, Peak::bf16>() / peak(Peak::f32);
  }
  /// Time of a short loop of multiply-adds relative to the quick ones of late; about 1 on an undisturbed machine.
  double probe() {
    cpu_ns();  // what ran before may have driven the clock's own data out of the caches
    const double start = cpu_ns();
    peak_loop<spiq::simd::best, Peak::f32>(iterations);
    const double time = cpu_ns() - start - clock_cost_;
    if (probes_.size() < window)
      probes_.push_back(time);
    else
      probes_[count_ % window] = time;
    if (++count_ % 16 == 0 || count_ < 16) quick_probe_ = quick(probes_);
    return time / quick_probe_;
  }
  /// Operations per nanosecond on one thread. It follows the clock frequency: it is that of the last few hundred probes.
  [[nodiscard]] double peak(Peak kind) const {
    const double f32 = peak_operations<spiq::simd::best, Peak::f32>(iterations) / quick_probe_;
    const double to_f32 = kind == Peak::s16    ? s16_ratio_
                          : kind == Peak::s8   ? s8_ratio_
                          : kind == Peak::bf16 ? bf16_ratio_
                                               : 1.0;
    return f32 * to_f32;
  }
  /// What reading the clock costs, in ns: a short piece of work seems to take so much longer.
  [[nodiscard]] double clock_cost() const { return clock_cost_; }
  /// Bytes per nanosecond on one thread.
  double bandwidth(double working_set, Traffic traffic) {
    const double size = std::ceil(working_set / 4096.0) * 4096.0;
    const auto [place, inserted] = bandwidths_.try_emplace({size, traffic}, 0.0);
    if (inserted) place->second = measure_bandwidth(size, traffic);
    return place->second;
  }

private:
  static constexpr long iterations = 8000;
  static constexpr std::size_t window = 256;
  double clock_cost_ = 0.0;
  double quick_probe_ = 0.0;
  double s16_ratio_ = 0.0;
  double s8_ratio_ = 0.0;
  double bf16_ratio_ = 1.0;
  std::size_t count_ = 0;
  std::vector<double> probes_;
  std::map<std::pair<double, Traffic>, double> bandwidths_;
};

}  // namespace bench
