// Times of one thread, in turns, so that a busy machine disturbs all contenders alike.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <ctime>
#include <vector>

// Seconds that this thread has computed; of the wall where there is no such clock.
inline double thread_seconds() {
#if defined(CLOCK_THREAD_CPUTIME_ID)
  timespec now{};
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0)
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
#endif
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Seconds of each contender in each round; a round starts with another contender than the one before.
class Times {
public:
  template <class Run>
  Times(std::size_t contenders, int rounds, const Run& run) : seconds_(contenders) {
    for (std::size_t i = 0; i < contenders; ++i) run(i);  // caches and branches get to know it
    for (int r = 0; r < rounds; ++r)
      for (std::size_t k = 0; k < contenders; ++k) {
        const std::size_t i = (k + static_cast<std::size_t>(r)) % contenders;
        const double start = thread_seconds();
        run(i);
        seconds_[i].push_back(thread_seconds() - start);
      }
  }
  [[nodiscard]] double seconds(std::size_t i) const { return median(seconds_[i]); }
  // How many times as long `i` takes as `j`: median over the rounds.
  [[nodiscard]] double ratio(std::size_t i, std::size_t j) const {
    return median(ratios(i, j));
  }
  // How far that median may be off: half of its 95 % confidence interval, from the ranks of the rounds.
  [[nodiscard]] double uncertainty(std::size_t i, std::size_t j) const {
    std::vector<double> sorted = ratios(i, j);
    std::sort(sorted.begin(), sorted.end());
    const auto n = static_cast<double>(sorted.size());
    const auto low = static_cast<std::size_t>(std::max(0.0, std::floor(n / 2 - 0.98 * std::sqrt(n))));
    return (sorted[sorted.size() - 1 - low] - sorted[low]) / 2;
  }

private:
  [[nodiscard]] std::vector<double> ratios(std::size_t i, std::size_t j) const {
    std::vector<double> all;
    for (std::size_t r = 0; r < seconds_[i].size(); ++r) all.push_back(seconds_[i][r] / seconds_[j][r]);
    return all;
  }
  std::vector<std::vector<double>> seconds_;
};
