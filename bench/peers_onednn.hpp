// What the rows of oneDNN share: engine, stream, memory, primitives; and the copy of a row for another implementation.
#pragma once

#include "harness.hpp"
#include "reference.hpp"

#include <cstring>
#include <functional>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(SPIQ_BENCH_ONEDNN)
#include <dnnl.hpp>
#endif

namespace bench {

/// The row of another implementation of the same work.
inline Row named(const Row& base, const char* implementation, std::function<Case()> prepare) {
  Row row = base;
  row.implementation = implementation;
  row.run = {};
  row.error = {};
  row.custom = {};
  row.exact = false;
  row.prepare = std::move(prepare);
  return row;
}

#if defined(SPIQ_BENCH_ONEDNN)
using dnnl::memory;
using Tag = memory::format_tag;

/// Forbids oneDNN instructions that the flags of this build forbid our own code. Throws std::runtime_error if oneDNN
/// refuses, as it does once it has chosen instructions: then its rows would depend on what ran before.
inline void cap_instructions() {
#if defined(__x86_64__) && !defined(__AVX512BF16__)
#if defined(__AVX512F__)
  constexpr auto most = dnnl::cpu_isa::avx512_core;
#elif defined(__AVX2__)
  constexpr auto most = dnnl::cpu_isa::avx2;
#else
  constexpr auto most = dnnl::cpu_isa::sse41;
#endif
  if (dnnl::set_max_cpu_isa(most) != dnnl::status::success)
    throw std::runtime_error("oneDNN: the instruction set could not be limited to that of this build");
#endif
}

/// The engine, on one thread and with no instructions that our own code may not use.
inline dnnl::engine& engine() {
  static dnnl::engine instance = [] {
#if defined(_OPENMP)
    omp_set_num_threads(1);
#endif
    cap_instructions();
    return dnnl::engine(dnnl::engine::kind::cpu, 0);
  }();
  return instance;
}
inline dnnl::stream& stream() {
  static dnnl::stream instance(engine());
  return instance;
}
inline memory plain(const memory::dims& dims, Tag tag, const float* data) {
  memory m({dims, memory::data_type::f32, tag}, engine());
  std::memcpy(m.get_data_handle(), data, m.get_desc().get_size());
  return m;
}
inline memory reordered(const memory& from, const memory::desc& to) {
  memory result(to, engine());
  dnnl::reorder(from, result).execute(stream(), const_cast<memory&>(from), result);
  stream().wait();
  return result;
}
inline Floats values(const memory& from, const memory::dims& dims, Tag tag) {
  const memory dense = reordered(from, {dims, memory::data_type::f32, tag});
  Floats result(dense.get_desc().get_size() / sizeof(float));
  std::memcpy(result.data(), dense.get_data_handle(), result.size() * sizeof(float));
  return result;
}

struct Primitive {
  dnnl::primitive primitive;
  std::unordered_map<int, memory> arguments;
  void run() {
    primitive.execute(stream(), arguments);
    stream().wait();
  }
};

/// `make()`, or nothing to run where the library has no such primitive.
template <class Make>
Case if_offered(const Make& make) {
  engine();  // first of all calls of the library: it limits the instructions
  try {
    return make();
  } catch (const dnnl::error&) {
    return {};
  }
}
#endif  // SPIQ_BENCH_ONEDNN

}  // namespace bench
