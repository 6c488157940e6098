/// @file
/// Weights and checkpoints as `.npz` files.
#pragma once

#include <spiq/io/npz.hpp>
#include <spiq/nn/fit_options.hpp>
#include <spiq/nn/state.hpp>

#include <cstddef>
#include <cstdint>
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
  for (const NamedArray& a : arrays)
    std::visit([&](const auto& v) { writer.add(a.name, a.extents, std::span(v)); }, a.values);
  writer.save(path);
}

/// Reads all arrays of an `.npz` file: f2 and f4 as floats, f8 as doubles, integers as integers.
inline NamedArrays read_arrays(const Path& path) {
  const NpzFile file = read_npz(path);
  NamedArrays arrays;
  for (const std::string& name : file.names()) {
    const NpyArray& a = file[name];
    NamedArray out{name, a.shape, {}};
    const auto take = [&]<class T>(T) {
      const Tensor<T> t = a.as<T>();
      out.values = std::vector<T>(t.span().begin(), t.span().end());
    };
    switch (a.dtype) {
      case NpyType::f2:
      case NpyType::f4: take(0.0f); break;
      case NpyType::f8:
      case NpyType::c8: take(0.0); break;
      default: take(std::int64_t{0}); break;
    }
    arrays.push_back(std::move(out));
  }
  return arrays;
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
  const NamedArrays arrays = io::read_arrays(path);
#if defined(__cpp_exceptions)
  try {
    import_state(net, arrays);
  } catch (const Error& e) {
    SPIQ_THROW(path.string() + ": " + e.what());
  }
#else
  import_state(net, arrays);
#endif
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
