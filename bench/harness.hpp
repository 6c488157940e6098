// The benchmark harness: rows named kernel/implementation/shape, sampled interleaved within a group of equal kernel and
// shape, each beside the bound of the machine.
//
// Sampling is our own and not Google Benchmark's, because that library runs one benchmark (or one repetition) to its end
// before the next, while a ratio between two implementations on a shared machine needs their samples to alternate
// within milliseconds; and because it cannot look at a probe around each sample and repeat the sample.
//
// A file bench_<topic>.cpp registers rows:
//
//   SPIQ_BENCH(pooling) {
//     suite.add({.kernel = "avgpool", .implementation = "spiq", .shape = "32x32x64",
//                .bytes = 32 * 32 * 64 * 5.0, .prepare = [] {
//                  auto data = std::make_shared<Data>(...);            // made only when the filter selects the row
//                  return bench::Case{.run = [=] { pool(data->x, data->y); },
//                                     .error = [=] { return worst difference to a double reference; }};
//                }});
//   }
#pragma once

#include "machine.hpp"

#include <concepts>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace bench {

inline constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

/// A piece of work that can be repeated without paying an indirect call for each repetition.
class Body {
public:
  Body() = default;
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, Body> && std::invocable<F&>)
  Body(F work)
      : loop_([work = std::move(work)](long calls) mutable {
          for (long i = 0; i < calls; ++i) {
            work();
            clobber();
          }
        }) {}
  void operator()(long calls) const { loop_(calls); }
  explicit operator bool() const { return static_cast<bool>(loop_); }

private:
  std::function<void(long)> loop_;
};

/// The work of a row, and its worst difference to a double reference (0 for exact integer work).
/// `error` is asked once, right after one call of `run`.
struct Case {
  Body run{};
  std::function<double()> error{};
};

/// What a row that measures itself hands back; `median_ns` and `rate` as it defines them.
struct Measurement {
  double median_ns = unknown;
  double min_ns = unknown;
  double p99_ns = unknown;  ///< 99th percentile of single calls
  double rate = unknown;
  std::string unit{};
  double bound = unknown;     ///< in the unit of `rate`
  double fraction = unknown;  ///< of the bound
  double max_error = unknown;
  int disturbed = 0;
};

/// One row. Give `prepare` (made when selected, freed after its group), or `run` and `error`, or `custom`.
struct Row {
  std::string kernel{};
  std::string implementation{};  ///< ours start with "spiq"
  std::string shape{};
  double flops = 0;        ///< operations per call (or part); a multiply-add is two; padding is not counted
  double bytes = 0;        ///< bytes per call (or part) that must move
  double working_set = 0;  ///< bytes visited again and again; decides the bandwidth that bounds the row (default: bytes)
  Peak peak = Peak::f32;
  Traffic traffic = Traffic::read;
  double items = 0;         ///< if set, the rate is items per second ...
  std::string item = "item";  ///< ... in units of "G<item>/s"
  bool exact = false;       ///< integer work: an error of 0 is shown as "exact"
  bool each_call = false;   ///< calls are timed one by one as well, for their 99th percentile
  int parts = 1;            ///< a call does so many pieces of the row's work: times are those of one piece
  int threads = 1;          ///< more than one: wall-clock time, the process is not pinned
  std::function<Case()> prepare{};
  Body run{};
  std::function<double()> error{};
  std::function<Measurement()> custom{};

  [[nodiscard]] std::string name() const { return kernel + "/" + implementation + "/" + shape; }
};

/// Command line.
struct Options {
  std::string filter{};  ///< regular expression, searched in the whole name
  std::string json{};
  int samples = 15;
  double sample_ms = 2.0;
  double row_seconds = 4.0;  ///< no row is sampled longer than this, but at least three times
  double tolerance = 1.05;   ///< of the probe: slower means disturbed
  bool pin = true;
  bool smoke = false;  ///< every row once, no statistics: does it run?
  bool list = false;
};

struct Result {
  Row row;
  Measurement measured;
};

/// All rows of the program.
class Suite {
public:
  explicit Suite(Options options) : options_(std::move(options)) {}
  void add(Row row) { rows_.push_back(std::move(row)); }
  /// Says once why rows are missing, e.g. skip("onednn", "library not found").
  void skip(std::string implementation, std::string reason) {
    skipped_.emplace_back(std::move(implementation), std::move(reason));
  }
  /// Options of this run; rows of their own measurement shorten themselves when `smoke` is set.
  [[nodiscard]] const Options& options() const { return options_; }
  /// Runs what the filter selects, prints and writes the results; the return value of main.
  int run();

private:
  std::vector<Row> rows_;
  std::vector<std::pair<std::string, std::string>> skipped_;
  Options options_;
};

inline std::vector<void (*)(Suite&)>& registrations() {
  static std::vector<void (*)(Suite&)> list;
  return list;
}
struct Registrar {
  explicit Registrar(void (*fill)(Suite&)) { registrations().push_back(fill); }
};

/// Defines a function that adds rows to `suite`.
#define SPIQ_BENCH(topic)                                             \
  static void spiq_bench_##topic(bench::Suite& suite);                \
  static const bench::Registrar spiq_bench_registrar_##topic(spiq_bench_##topic); \
  static void spiq_bench_##topic([[maybe_unused]] bench::Suite& suite)

}  // namespace bench
