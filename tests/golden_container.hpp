// Group `container`: the npy/npz reader against a matrix of formats, and files that must be refused.
#pragma once

#include "golden.hpp"

#include <spiq/io/npz.hpp>

#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

namespace golden {

/// `strings.files` lists the files beside the case: archives, single arrays ("x.npy" holds array x, "x.npy(y)" holds
/// y), and behind "must be refused:" those that must give an Error. `strings.shapes` is an object of extents, whose
/// text is searched for `"name":[...]`; array `<name>__flat` holds the values of <name> in C order.
inline Result run_container(const Case& c) {
  Result result;
  std::size_t checked = 0;
  const std::string shapes = c.string("shapes");
  const auto check = [&](const std::string& where, const std::string& name, const spiq::NpyArray& a) {
    const std::string flat = name + "__flat";
    ++checked;
    if (!c.has(flat)) {
      result.merge(Result::fail(where + ": no expected values for array " + name));
      return;
    }
    std::string extents;
    for (std::size_t e : a.shape.span()) extents += (extents.empty() ? "" : ",") + std::to_string(e);
    const std::string key = "\"" + name + "\":";
    if (shapes.find(key) != std::string::npos && shapes.find(key + "[" + extents + "]") == std::string::npos)
      result.merge(Result::fail(where + ": " + name + " has extents [" + extents + "], not those of the case"));
    const std::vector<double> values = a.as_doubles();
    const Result same = c.compare_exact<double>(flat, values);
    if (!same.passed()) result.merge(Result::fail(where + ": " + same.message));
    // The other way out of the reader: floats are the doubles rounded once.
    const spiq::Tensor<float> floats = a.as<float>();
    for (std::size_t i = 0; i < values.size(); ++i)
      if (floats[i] != static_cast<float>(values[i])) {
        result.merge(Result::fail(where + ": " + name + " as floats differs at " + std::to_string(i)));
        break;
      }
  };

  const std::filesystem::path folder = c.file.parent_path();
  std::istringstream words(c.string("files"));
  bool refuse = false;
  for (std::string word; words >> word;) {
    if (word.back() == ';') word.pop_back();
    if (word == "must" || word == "be") continue;
    if (word == "refused:") {
      refuse = true;
      continue;
    }
    const std::size_t open = word.find('(');
    const std::string file = word.substr(0, open);
    const std::string name =
        open == std::string::npos ? spiq::io::npz_key(file) : word.substr(open + 1, word.size() - open - 2);
    const bool archive = file.ends_with(".npz");
    std::error_code failed;
    if (!std::filesystem::is_regular_file(folder / file, failed)) {
      result.merge(Result::fail(file + ": no such file"));
      continue;
    }
    try {
      if (archive) {
        const spiq::NpzFile all = spiq::read_npz(folder / file);
        if (refuse) {
          result.merge(Result::fail(file + ": was read, must be refused"));
          continue;
        }
        for (const std::string& n : all.names()) check(file, n, all[n]);
        for (const auto& expected : c.arrays) {
          const std::string& flat = expected.first;
          const std::string n = flat.substr(0, flat.rfind("__flat"));
          if (!all.contains(n)) result.merge(Result::fail(file + ": array " + n + " is missing"));
        }
      } else {
        const spiq::NpyArray a = spiq::read_npy(folder / file);
        if (refuse) result.merge(Result::fail(file + ": was read, must be refused"));
        if (!refuse) check(file, name, a);
      }
    } catch (const spiq::Error& error) {
      if (!refuse) result.merge(Result::fail(file + ": " + error.what()));
    }
  }
  if (checked == 0) result.merge(Result::fail("the case names no file to read"));
  return result;
}

}  // namespace golden
