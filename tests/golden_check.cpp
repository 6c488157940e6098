// golden_check [--group NAME]... [--verbose] DIR...: runs the golden vectors of each DIR through the library.
//
// A DIR holds a `manifest.json` (one object with a list "cases"), or, for circuits, one JSON object per file, which
// form the group `crossbar`. Prints a line per group and the sums; exits 0 only if nothing failed.
#include "golden.hpp"
#include "golden_check/groups.hpp"

#include <spiq/io/npz.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <iterator>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace {

using golden::Case;
using golden::Result;
using golden::Verdict;
using nlohmann::json;
namespace fs = std::filesystem;

/// Groups that the library can run; a new one is a file of golden_check/ and a line here.
const std::map<std::string, std::function<Result(const Case&)>>& registry() {
  static const std::map<std::string, std::function<Result(const Case&)>> groups{
      {"container", golden::groups::container},   {"delay", golden::groups::delay},   {"encode", golden::groups::encode},
      {"hopfield", golden::groups::hopfield},     {"neuron", golden::groups::neuron}, {"nnops", golden::groups::nnops},
      {"plasticity", golden::groups::plasticity}, {"qcfs", golden::groups::qcfs},     {"surrogate", golden::groups::surrogate},
  };
  return groups;
}

json read_json(const fs::path& path) { return json::parse(golden::read_text(path)); }

double number(const json& value) {
  if (value.is_boolean()) return value.get<bool>() ? 1 : 0;
  return value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN();
}

std::vector<double> numbers(const json& value) {
  if (!value.is_array()) return {number(value)};
  std::vector<double> list;
  for (const json& element : value) list.push_back(number(element));
  return list;
}

/// A member by reference (a copy would die before a loop over its items), an empty object where there is none.
const json& member(const json& entry, const char* key) {
  static const json none = json::object();
  const auto found = entry.find(key);
  return found == entry.end() ? none : *found;
}

/// What the manifest says about a case; the arrays are loaded by `load`, and only for groups that run.
Case describe(const fs::path& directory, const json& entry) {
  Case c;
  c.directory = directory;
  c.group = entry.at("group").get<std::string>();
  c.name = entry.at("name").get<std::string>();
  c.file = directory / entry.at("file").get<std::string>();
  c.source = entry.value("source", "");
  c.notes = entry.value("notes", "");
  for (const auto& [key, value] : member(entry, "params").items()) c.params[key] = numbers(value);
  for (const auto& [key, value] : member(entry, "strings").items())
    c.strings[key] = value.is_string() ? value.get<std::string>() : value.dump();
  for (const auto& [key, value] : member(entry, "f32_dev").items()) c.f32_dev[key] = number(value);
  for (const json& file : member(entry, "files")) c.companions.push_back(directory / file.get<std::string>());
  return c;
}

/// A circuit: its numbers become parameters, its (flat) lists arrays.
Case describe_circuit(const fs::path& path, const json& circuit) {
  Case c;
  c.directory = path.parent_path();
  c.file = path;
  c.group = "crossbar";
  c.name = path.stem().string();
  for (const auto& [key, value] : circuit.items()) {
    if (value.is_string()) c.strings[key] = value.get<std::string>();
    if (value.is_number() || value.is_boolean()) c.params[key] = numbers(value);
    if (value.is_array()) c.arrays[key] = golden::Array{"f8", {value.size()}, numbers(value)};
  }
  return c;
}

/// Reads the arrays and the `p_*` parameters, and holds the file against what the manifest promises.
void load(Case& c, const json& entry) {
  const spiq::NpzFile file = spiq::read_npz(c.file);
  for (const std::string& name : file.names()) {
    if (name == "meta") continue;
    const spiq::NpyArray& found = file[name];
    if (name.starts_with("p_")) {
      c.params[name.substr(2)] = found.as_doubles();
      continue;
    }
    golden::Array& array = c.arrays[name];
    array.dtype = std::string(spiq::io::npy_name(found.dtype));
    array.shape.assign(found.shape.span().begin(), found.shape.span().end());
    array.values = found.as_doubles();
  }
  for (const auto& [key, value] : member(entry, "arrays").items()) {
    const auto shape = value.at("shape").get<std::vector<std::size_t>>();
    if (c.array(key).shape != shape)
      spiq::raise("array " + key, "the extents of the manifest, " + json(shape).dump(),
                  json(c.array(key).shape).dump());
  }
}

struct Tally {
  std::size_t passed = 0, failed = 0, skipped = 0;
  std::map<std::string, std::size_t> reasons;  ///< of what was skipped

  void add(const Result& r) {
    ++(r.verdict == Verdict::passed ? passed : r.verdict == Verdict::failed ? failed : skipped);
    if (r.verdict == Verdict::skipped) ++reasons[r.message];
  }
};

struct Check {
  std::set<std::string> selected;
  bool verbose = false;
  std::map<std::string, Tally> groups;
  std::size_t broken = 0;  ///< folders that could not be read

  [[nodiscard]] bool wanted(const std::string& group) const { return selected.empty() || selected.count(group) != 0; }

  void report(const Case& c, const Result& r) {
    groups[c.group].add(r);
    if (r.verdict == Verdict::failed)
      std::printf("FAILED %s/%s: %s\n", c.group.c_str(), c.name.c_str(), r.message.c_str());
    if (verbose && r.verdict != Verdict::failed)
      std::printf("%s %s/%s%s%s\n", r.passed() ? "passed" : "skipped", c.group.c_str(), c.name.c_str(),
                  r.message.empty() ? "" : ": ", r.message.c_str());
  }

  /// Runs a case of a group that is wanted and known; `load` completes it.
  template <class Load>
  void run_case(Case c, const Load& load) {
    if (!wanted(c.group)) return;
    const auto group = registry().find(c.group);
    if (group == registry().end()) {
      report(c, Result::skip("group not known yet"));
      return;
    }
    try {
      load(c);
      report(c, group->second(c));
    } catch (const std::exception& error) {
      report(c, Result::fail(error.what()));
    }
  }

  void run_manifest(const fs::path& directory) {
    const json manifest = read_json(directory / "manifest.json");
    const json& cases = manifest.at("cases");
    if (!cases.is_array() || cases.empty()) spiq::raise("manifest", "a list of at least one case", "none");
    std::size_t index = 0;
    for (const json& entry : cases) {
      try {
        run_case(describe(directory, entry), [&](Case& c) { load(c, entry); });
      } catch (const std::exception& error) {
        ++broken;
        std::printf("FAILED %s: case %zu of the manifest: %s\n", directory.string().c_str(), index, error.what());
      }
      ++index;
    }
  }

  /// Circuits: one object per file with conductances "g" and expected currents "i_out". Returns how many there are.
  std::size_t run_circuits(const fs::path& directory) {
    std::vector<fs::path> files;
    for (const auto& file : fs::directory_iterator(directory))
      if (file.path().extension() == ".json") files.push_back(file.path());
    std::sort(files.begin(), files.end());
    std::size_t found = 0;
    for (const fs::path& path : files) {
      const json circuit = read_json(path);
      if (!circuit.is_object() || !circuit.contains("g") || !circuit.contains("i_out")) continue;
      ++found;
      run_case(describe_circuit(path, circuit), [](Case&) {});
    }
    return found;
  }

  void run(const fs::path& directory) {
    try {
      if (fs::exists(directory / "manifest.json")) {
        run_manifest(directory);
      } else if (!fs::is_directory(directory) || run_circuits(directory) == 0) {
        spiq::raise("'" + directory.string() + "'", "a folder with a manifest.json", "none");
      }
    } catch (const std::exception& error) {
      ++broken;
      std::printf("FAILED %s: %s\n", directory.string().c_str(), error.what());
    }
  }

  int finish() {
    for (const std::string& name : selected)
      if (groups.count(name) == 0) {
        ++broken;
        std::printf("FAILED %s: no case of that group\n", name.c_str());
      }
    Tally sum;
    for (const auto& [name, tally] : groups) {
      for (const auto& [reason, count] : tally.reasons)
        std::printf("skipped %zu of %s: %s\n", count, name.c_str(), reason.c_str());
      std::printf("%s: %zu passed, %zu failed, %zu skipped\n", name.c_str(), tally.passed, tally.failed, tally.skipped);
      sum.passed += tally.passed;
      sum.failed += tally.failed;
      sum.skipped += tally.skipped;
    }
    std::printf("total: %zu passed, %zu failed, %zu skipped\n", sum.passed, sum.failed + broken, sum.skipped);
    return sum.failed + broken == 0 ? 0 : 1;
  }
};

int usage(std::FILE* out, int code) {
  std::fprintf(out,
               "usage: golden_check [--group NAME]... [--verbose] DIR...\n"
               "  DIR           folder with a manifest.json\n"
               "  --group NAME  run this group only; may be repeated\n"
               "  --verbose     a line per case\n");
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  Check check;
  std::vector<fs::path> directories;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--help") return usage(stdout, 0);
    if (argument == "--verbose") {
      check.verbose = true;
    } else if (argument == "--group" && i + 1 < argc) {
      check.selected.insert(argv[++i]);
    } else if (argument.starts_with("--group=")) {
      check.selected.insert(argument.substr(8));
    } else if (argument.starts_with("-")) {
      std::fprintf(stderr, "golden_check: cannot use \"%s\"\n", argument.c_str());
      return usage(stderr, 2);
    } else {
      directories.emplace_back(argument);
    }
  }
  if (directories.empty()) return usage(stderr, 2);
  for (const fs::path& directory : directories) check.run(directory);
  return check.finish();
}
