/// @file
/// Weights and checkpoints as `.npz` files.
#pragma once

#include <spiq/io/npz.hpp>
#include <spiq/nn/fit_options.hpp>
#include <spiq/nn/state.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace io {

/// Writes named arrays as an `.npz` file: floats <f4, doubles <f8, integers <i8.
inline void write_arrays(const Path& path, const NamedArrays& arrays) {
  NpzWriter writer;
  naming("'" + path.string() + "'", [&] {
    for (const NamedArray& a : arrays)
      std::visit([&](const auto& v) { writer.add(a.name, a.extents, std::span(v)); }, a.values);
  });
  writer.save(path);
}

/// Whether every element of an array of type u8 is below 2^63.
inline bool signed_fits(const NpyArray& a) {
  for (std::size_t i = 0; i < a.data.size(); i += 8) {
    std::uint64_t v;
    std::memcpy(&v, a.data.data() + i, sizeof v);
    if (!std::in_range<std::int64_t>(v)) return false;
  }
  return true;
}

/// Reads all arrays of an `.npz` file: f2 and f4 as floats, f8 as doubles, integers as integers (as doubles where they
/// are beyond 2^63: an array that nobody asks for must not stop the others). Of arrays that `wanted(name)` refuses only
/// names and extents are taken.
template <class Wanted>
NamedArrays read_arrays(const Path& path, const Wanted& wanted) {
  const NpzFile file = read_npz(path);
  NamedArrays arrays;
  for (const std::string& name : file.names()) {
    const NpyArray& a = file[name];
    NamedArray out{name, a.shape, {}};
    const auto take = [&]<class T>(T) {
      const Tensor<T> t = file.as<T>(name);
      in_memory(file.source(), [&] { out.values = std::vector<T>(t.span().begin(), t.span().end()); });
    };
    if (wanted(name)) {
      switch (a.dtype) {
        case NpyType::f2:
        case NpyType::f4: take(0.0f); break;
        case NpyType::f8:
        case NpyType::c8: take(0.0); break;
        case NpyType::u8:
          if (signed_fits(a))
            take(std::int64_t{0});
          else
            take(0.0);
          break;
        default: take(std::int64_t{0}); break;
      }
    }
    arrays.push_back(std::move(out));
  }
  return arrays;
}
inline NamedArrays read_arrays(const Path& path) {
  return read_arrays(path, [](const std::string&) { return true; });
}

/// The names of everything that defines `net`.
template <class Net>
std::set<std::string> state_names(const Net& net) {
  std::set<std::string> names;
  struct {
    std::set<std::string>& out;
    void operator()(const std::string& name, std::span<const float>, const Extents&) const { out.insert(name); }
    void operator()(const std::string& name, const int&) const { out.insert(name); }
  } visitor{names};
  net.state(visitor);
  return names;
}

}  // namespace io

/// Saves everything that defines `net` (weights, running statistics, thresholds, levels, input statistics).
template <class Net>
void save_weights(const io::Path& path, const Net& net) {
  io::write_arrays(path, export_state(net));
}

/// Loads what `save_weights` or a checkpoint wrote. Throws spiq::Error naming file, array, expected and found where
/// an array is missing or has other extents; the network is then unchanged.
template <class Net>
void load_weights(const io::Path& path, Net& net) {
  const std::set<std::string> known = io::state_names(net);
  const NamedArrays arrays = io::read_arrays(path, [&](const std::string& name) { return known.count(name) != 0; });
  io::naming(path.string(), [&] { import_state(net, arrays); });
}

/// For `FitOptions::checkpoint`: writes the run to `path` every `every` epochs, replacing the file.
inline Checkpoint save_checkpoint(const io::Path& path, int every = 1) {
  return {[path](const NamedArrays& arrays) { io::write_arrays(path, arrays); }, every};
}
/// For `FitOptions::resume`: continues the run that was saved to `path`.
inline std::function<NamedArrays()> resume_from(const io::Path& path) {
  return [path] { return io::read_arrays(path); };
}

SPIQ_END_NAMESPACE
