/// @file
/// Threads: OpenMP where the unit is compiled with it, serial otherwise. Results never depend on the thread count.
#pragma once

#include <spiq/core/abi.hpp>

#include <algorithm>
#include <cstddef>

#if defined(_OPENMP)
#include <omp.h>
#endif

SPIQ_BEGIN_NAMESPACE

/// Threads that a region opened now would use (1 without OpenMP or inside a parallel region).
inline int max_threads() noexcept {
#if defined(_OPENMP)
  return omp_in_parallel() != 0 ? 1 : omp_get_max_threads();
#else
  return 1;
#endif
}

/// Calls `body(begin, end, worker)` on disjoint ranges that cover [0, n); `worker` < the number of threads.
/// Ranges are contiguous, of lengths that differ by at most one, and at most ceil(n / grain) in number: not shorter than
/// grain / 2, unless n is. A `grain` of 0 counts as 1. `threads` <= 0 means max_threads().
/// The body must not throw; it may write only to outputs of its own range or scratch of its own worker.
template <class Body>
void parallel_for(std::size_t n, std::size_t grain, int threads, const Body& body) {
  if (n == 0) return;
  const std::size_t limit = (n - 1) / std::max<std::size_t>(grain, 1) + 1;
  const std::size_t workers =
      std::min<std::size_t>(static_cast<std::size_t>(std::max(threads <= 0 ? max_threads() : threads, 1)), limit);
#if defined(_OPENMP)
  if (workers > 1 && omp_in_parallel() == 0) {
#pragma omp parallel num_threads(static_cast<int>(workers))
    {
      const auto team = static_cast<std::size_t>(omp_get_num_threads());
      const auto me = static_cast<std::size_t>(omp_get_thread_num());
      const std::size_t begin = n * me / team;
      const std::size_t end = n * (me + 1) / team;
      if (begin < end) body(begin, end, static_cast<int>(me));
    }
    return;
  }
#endif
  static_cast<void>(workers);
  body(std::size_t{0}, n, 0);
}

SPIQ_END_NAMESPACE
