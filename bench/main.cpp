// spiq_bench: runs the rows of all bench_*.cpp.
#include "harness.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <optional>
#include <regex>

namespace bench {
namespace {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

/// The value that 99 of 100 do not exceed.
double percentile99(std::vector<double> values) {
  const auto place = values.begin() + static_cast<std::ptrdiff_t>((values.size() * 99 - 1) / 100);
  std::nth_element(values.begin(), place, values.end());
  return *place;
}

/// A row while its group is sampled.
struct Sampled {
  Row* row = nullptr;
  Case work{};
  long calls = 1;
  int wanted = 0;
  double single_ns = 0;
  double spent_ns = 0;
  std::vector<double> clean{};
  std::vector<double> dirty{};
  std::vector<double> each{};  ///< single calls
  double max_error = unknown;
};

double timed(const Sampled& s, long calls) {
  const auto now = s.row->threads > 1 ? wall_ns : cpu_ns;
  const double start = now();
  s.work.run(calls);
  return now() - start;
}

/// One call for warmth and accuracy, then the number of calls that fills a sample.
void calibrate(Sampled& s, const Options& options) {
  s.single_ns = timed(s, 1);
  if (s.work.error) s.max_error = s.work.error();
  if (options.smoke) {
    s.wanted = 1;
    return;
  }
  const double target = options.sample_ms * 1e6;
  while (true) {
    const double time = std::max(timed(s, s.calls), 1.0);
    s.single_ns = time / static_cast<double>(s.calls);
    if (time > 0.5 * target) break;
    s.calls = std::max(s.calls + 1, static_cast<long>(std::min(target / s.single_ns, 8.0 * static_cast<double>(s.calls))));
  }
  s.calls = std::max(1L, static_cast<long>(target / s.single_ns));
  const double budget = options.row_seconds * 1e9 / (s.single_ns * static_cast<double>(s.calls + 1));
  s.wanted = std::max(3, std::min(options.samples, static_cast<int>(std::min(budget, 1e6))));
}

/// One sample between two probes.
void sample(Sampled& s, Machine& machine, const Options& options) {
  if (s.single_ns < 5e6) s.work.run(1);
  const double before = machine.probe();
  const double time = timed(s, s.calls);
  if (s.row->each_call)
    for (long i = 0; i < s.calls; ++i) s.each.push_back(std::max(0.0, timed(s, 1) - machine.clock_cost()));
  const double after = machine.probe();
  const bool disturbed = std::max(before, after) > options.tolerance;
  (disturbed ? s.dirty : s.clean).push_back(time / static_cast<double>(s.calls));
  s.spent_ns += time;
}

Measurement finish(const Sampled& s, Machine& machine) {
  const Row& row = *s.row;
  Measurement m;
  // A machine that is never quiet gives few clean samples; then all count, and `disturbed` tells.
  std::vector<double> times = s.clean;
  if (times.size() < 3) times.insert(times.end(), s.dirty.begin(), s.dirty.end());
  m.median_ns = median(times) / row.parts;
  m.min_ns = *std::min_element(times.begin(), times.end()) / row.parts;
  if (!s.each.empty()) m.p99_ns = percentile99(s.each) / row.parts;
  m.disturbed = static_cast<int>(s.dirty.size());
  m.max_error = s.max_error;

  double bound_ns = 0;
  if (row.flops > 0) bound_ns = row.flops / (machine.peak(row.peak) * row.threads);
  if (row.bytes > 0) {
    const double working_set = row.working_set > 0 ? row.working_set : row.bytes;
    bound_ns = std::max(bound_ns, row.bytes / machine.bandwidth(working_set, row.traffic));
  }
  double work = 0;
  if (row.items > 0) {
    work = row.items;
    m.unit = "G" + row.item + "/s";
  } else if (row.flops > 0) {
    work = row.flops;
    m.unit = row.peak == Peak::s16 || row.peak == Peak::s8 ? "GOP/s" : "GFLOP/s";
  } else if (row.bytes > 0) {
    work = row.bytes;
    m.unit = "GB/s";
  } else {
    work = 1;
    m.unit = "Gcall/s";
  }
  m.rate = work / m.median_ns;
  if (bound_ns > 0) {
    m.bound = work / bound_ns;
    m.fraction = bound_ns / m.median_ns;
  }
  return m;
}

std::vector<Result> run_group(std::vector<Row*> rows, Machine& machine, const Options& options) {
  std::vector<Result> results;
  std::vector<Sampled> sampled;
  for (Row* row : rows) {
    if (row->custom) {
      results.push_back({*row, row->custom()});
      continue;
    }
    Sampled s;
    s.row = row;
    s.work = row->prepare ? row->prepare() : Case{row->run, row->error};
    if (!s.work.run) {
      std::printf("left out: %s (not offered for this shape)\n", row->name().c_str());
      continue;
    }
    sampled.push_back(std::move(s));
  }
  const auto pass = [&](bool threaded) {
    const Pin pin(options.pin && !threaded);
    for (Sampled& s : sampled)
      if ((s.row->threads > 1) == threaded) calibrate(s, options);
    bool open = true;
    for (std::size_t turn = 0; open; ++turn) {
      open = false;
      for (std::size_t i = 0; i < sampled.size(); ++i) {
        Sampled& s = sampled[(i + turn) % sampled.size()];
        if ((s.row->threads > 1) != threaded) continue;
        const auto clean = static_cast<int>(s.clean.size());
        const auto all = clean + static_cast<int>(s.dirty.size());
        const bool late = s.spent_ns > options.row_seconds * 1e9 && all >= 3;
        if (clean >= s.wanted || all >= 3 * s.wanted || late) continue;
        sample(s, machine, options);
        open = true;
      }
    }
  };
  pass(false);
  pass(true);
  for (const Sampled& s : sampled) results.push_back({*s.row, finish(s, machine)});
  // In the order of registration again.
  std::stable_sort(results.begin(), results.end(), [&](const Result& a, const Result& b) {
    const auto place = [&](const Result& r) {
      return std::find_if(rows.begin(), rows.end(), [&](const Row* row) { return row->name() == r.row.name(); }) - rows.begin();
    };
    return place(a) < place(b);
  });
  return results;
}

std::string time_text(double ns) {
  char text[32];
  if (!(ns == ns)) return "-";
  if (ns < 1e3)
    std::snprintf(text, sizeof text, "%.1f ns", ns);
  else if (ns < 1e6)
    std::snprintf(text, sizeof text, "%.2f us", ns * 1e-3);
  else if (ns < 1e9)
    std::snprintf(text, sizeof text, "%.2f ms", ns * 1e-6);
  else
    std::snprintf(text, sizeof text, "%.2f s", ns * 1e-9);
  return text;
}

std::string number_text(double value, const char* format) {
  if (!(value == value)) return "-";
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string error_text(const Result& r) {
  if (r.row.exact && r.measured.max_error == 0) return "exact";
  return number_text(r.measured.max_error, "%.1e");
}

bool is_ours(const Row& row) { return row.implementation.rfind("spiq", 0) == 0; }

void print_group(const std::vector<Result>& group) {
  std::printf("%s/*/%s\n", group.front().row.kernel.c_str(), group.front().row.shape.c_str());
  for (const Result& r : group) {
    const Measurement& m = r.measured;
    std::printf("  %-18s %10s %9s %-8s bound %8s  of bound %6s  error %-8s", r.row.implementation.c_str(),
                time_text(m.median_ns).c_str(), number_text(m.rate, "%.4g").c_str(), m.unit.c_str(),
                number_text(m.bound, "%.4g").c_str(), number_text(m.fraction, "%.3f").c_str(), error_text(r).c_str());
    if (m.p99_ns == m.p99_ns) std::printf("  99 %% %s", time_text(m.p99_ns).c_str());
    if (m.disturbed > 0) std::printf("  disturbed %d", m.disturbed);
    if (is_ours(r.row))
      for (const Result& peer : group)
        if (&peer != &r && peer.measured.median_ns > 0 && m.median_ns > 0)
          std::printf("  %.2fx %s", peer.measured.median_ns / m.median_ns, peer.row.implementation.c_str());
    std::printf("\n");
  }
  std::fflush(stdout);
}

void write_json(const std::string& path, const std::vector<Result>& results) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr) {
    std::fprintf(stderr, "cannot write %s\n", path.c_str());
    std::exit(2);
  }
  const auto number = [](double v) { return std::isfinite(v) ? number_text(v, "%.9g") : std::string("null"); };
  const auto quoted = [](const std::string& s) {
    std::string text = "\"";
    for (char c : s) {
      if (c == '"' || c == '\\') text += '\\';
      text += c;
    }
    return text + "\"";
  };
  std::fprintf(file, "[\n");
  for (std::size_t i = 0; i < results.size(); ++i) {
    const Result& r = results[i];
    const Measurement& m = r.measured;
    const std::string error = r.row.exact && m.max_error == 0 ? "\"exact\"" : number(m.max_error);
    std::fprintf(file,
                 "  {\"kernel\": %s, \"implementation\": %s, \"shape\": %s, \"median_ns\": %s, \"min_ns\": %s, "
                 "\"p99_ns\": %s, "
                 "\"rate\": %s, \"unit\": %s, \"bound\": %s, \"fraction\": %s, \"max_error\": %s, \"disturbed\": %d}%s\n",
                 quoted(r.row.kernel).c_str(), quoted(r.row.implementation).c_str(), quoted(r.row.shape).c_str(),
                 number(m.median_ns).c_str(), number(m.min_ns).c_str(), number(m.p99_ns).c_str(), number(m.rate).c_str(), quoted(m.unit).c_str(),
                 number(m.bound).c_str(), number(m.fraction).c_str(), error.c_str(), m.disturbed,
                 i + 1 < results.size() ? "," : "");
  }
  std::fprintf(file, "]\n");
  std::fclose(file);
}

}  // namespace

int Suite::run() {
  const Options& options = options_;
  const std::regex filter(options.filter);
  std::vector<std::vector<Row*>> groups;
  for (Row& row : rows_) {
    if (!std::regex_search(row.name(), filter)) continue;
    if (options.list) {
      std::printf("%s\n", row.name().c_str());
      continue;
    }
    const auto same = [&](const std::vector<Row*>& g) {
      return g.front()->kernel == row.kernel && g.front()->shape == row.shape;
    };
    const auto place = std::find_if(groups.begin(), groups.end(), same);
    if (place == groups.end())
      groups.push_back({&row});
    else
      place->push_back(&row);
  }
  if (options.list) return 0;
  if (groups.empty()) {
    std::fprintf(stderr, "no row matches '%s'; --list shows all\n", options.filter.c_str());
    return 1;
  }
  std::optional<Machine> machine;
  {
    const Pin pin(options.pin);
    machine.emplace();
  }
  std::printf("%s, one thread, now: %.1f GFLOP/s (float multiply-add), %.1f GOP/s (int16 pairs), reads from 64 MB %.1f GB/s\n",
              spiq::simd::traits<spiq::simd::best>::name, machine->peak(Peak::f32), machine->peak(Peak::s16),
              machine->bandwidth(64e6, Traffic::read));
  for (const auto& [implementation, reason] : skipped_) std::printf("skipped: %s (%s)\n", implementation.c_str(), reason.c_str());
  std::printf("\"2.00x peer\" behind a row of ours: the peer takes twice our time.\n\n");
  std::vector<Result> results;
  for (const auto& group : groups) {
    auto done = run_group(group, *machine, options);
    if (!done.empty()) print_group(done);
    results.insert(results.end(), std::make_move_iterator(done.begin()), std::make_move_iterator(done.end()));
  }
  if (!options.json.empty()) write_json(options.json, results);
  return 0;
}

}  // namespace bench

namespace {

const char* const usage =
    "spiq_bench [FILTER] [options]\n"
    "  FILTER           regular expression, searched in kernel/implementation/shape (default: all rows)\n"
    "  --json FILE      write one array of objects, one per row\n"
    "  --list           print the names of the rows and stop\n"
    "  --samples N      samples per row (default 15)\n"
    "  --sample-ms X    length of a sample in ms (default 2)\n"
    "  --no-pin         do not keep single-thread rows on one CPU\n"
    "  --smoke          run every row once: does it work?\n";

bench::Options parse(int argc, char** argv) {
  bench::Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    const auto value = [&]() -> const char* {
      if (i + 1 >= argc) {
        std::fprintf(stderr, "%s: expected a value, found none\n%s", argv[i], usage);
        std::exit(2);
      }
      return argv[++i];
    };
    if (arg == "--json") {
      options.json = value();
    } else if (arg == "--samples") {
      options.samples = std::max(3, std::atoi(value()));
    } else if (arg == "--sample-ms") {
      options.sample_ms = std::max(0.05, std::atof(value()));
    } else if (arg == "--no-pin") {
      options.pin = false;
    } else if (arg == "--smoke") {
      options.smoke = true;
    } else if (arg == "--list") {
      options.list = true;
    } else if (arg == "--help" || arg == "-h") {
      std::printf("%s", usage);
      std::exit(0);
    } else if (arg.substr(0, 1) == "-") {
      std::fprintf(stderr, "unknown option %s\n%s", argv[i], usage);
      std::exit(2);
    } else {
      options.filter = arg;
    }
  }
  return options;
}

/// OpenBLAS picks its kernels when it is loaded, and old versions do not know new processors and pick slow ones.
/// The choice is an environment variable, so the program starts itself once more with it.
void choose_openblas_kernels([[maybe_unused]] char** argv) {
#if defined(SPIQ_BENCH_OPENBLAS) && defined(__x86_64__)
#if defined(__AVX512F__)
  const char* const kernels = "SkylakeX";
#elif defined(__AVX2__)
  const char* const kernels = "Haswell";
#else
  const char* const kernels = "Nehalem";
#endif
  if (std::getenv("OPENBLAS_CORETYPE") != nullptr) return;
  setenv("OPENBLAS_CORETYPE", kernels, 1);
  setenv("OPENBLAS_NUM_THREADS", "1", 0);
  execv("/proc/self/exe", argv);
#endif
}

}  // namespace

int main(int argc, char** argv) {
  choose_openblas_kernels(argv);
  const bench::Options options = parse(argc, argv);
  bench::Suite suite(options);
  for (auto* fill : bench::registrations()) fill(suite);
  try {
    return suite.run();
  } catch (const std::regex_error&) {
    std::fprintf(stderr, "'%s' is no regular expression\n", options.filter.c_str());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
