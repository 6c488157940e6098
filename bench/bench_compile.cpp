// CPU time of the compiler: a unit with 20 weighted layers lowered to two targets, and the umbrella header alone.
#include "harness.hpp"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

namespace {

/// User CPU seconds of a shell command and its children; ends the program if the command fails.
double user_seconds(const std::string& command) {
  const pid_t child = fork();
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  int status = 0;
  rusage used{};
  if (child < 0 || wait4(child, &status, 0, &used) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    std::fprintf(stderr, "failed: %s\n", command.c_str());
    std::exit(1);
  }
  return static_cast<double>(used.ru_utime.tv_sec) + static_cast<double>(used.ru_utime.tv_usec) * 1e-6;
}

bench::Measurement compile(const std::string& unit, int runs) {
  const std::string command =
      std::string(SPIQ_BENCH_COMPILER " " SPIQ_BENCH_COMPILE_FLAGS " -c -o /dev/null ") + SPIQ_BENCH_SOURCE_DIR "/" + unit;
  std::vector<double> seconds;
  for (int i = 0; i < runs; ++i) seconds.push_back(user_seconds(command));
  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[seconds.size() / 2];
  return {.median_ns = median * 1e9, .min_ns = seconds.front() * 1e9, .rate = median, .unit = "s"};
}

}  // namespace

SPIQ_BENCH(compile) {
  const int runs = suite.options().smoke ? 1 : 3;
  suite.add({.kernel = "compile_cpu_s",
             .implementation = "spiq",
             .shape = "20-layers",
             .custom = [runs] { return compile("tests/compile_time/twenty_layers.cpp", runs); }});
  suite.add({.kernel = "compile_cpu_s",
             .implementation = "spiq",
             .shape = "everything-included",
             .custom = [runs] { return compile("tests/compile_time/everything.cpp", runs); }});
}
