// What the rows of oneDNN share: engine, stream, memory, primitives; and the copy of a row for another implementation.
#pragma once

#include "harness.hpp"
#include "reference.hpp"

#include <cstring>
#include <unordered_map>

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

/// The engine, on one thread and with no instructions that our own code may not use.
inline dnnl::engine& engine() {
  static dnnl::engine instance = [] {
#if defined(_OPENMP)
    omp_set_num_threads(1);
#endif
#if !defined(__AVX512F__)
#if defined(__AVX2__)
    dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx2);
#else
    dnnl::set_max_cpu_isa(dnnl::cpu_isa::sse41);
#endif
#endif
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
  try {
    return make();
  } catch (const dnnl::error&) {
    return {};
  }
}
#endif  // SPIQ_BENCH_ONEDNN

}  // namespace bench
