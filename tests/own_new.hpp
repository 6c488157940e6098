// An operator new that counts and measures; include it in one unit of a program. Where a sanitizer brings its own, the
// numbers stay 0.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <new>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SPIQ_TEST_OWN_NEW 0
#endif
#endif
#if !defined(SPIQ_TEST_OWN_NEW)
#if defined(__SANITIZE_ADDRESS__)
#define SPIQ_TEST_OWN_NEW 0
#else
#define SPIQ_TEST_OWN_NEW 1
#endif
#endif

namespace spiq_test {
inline std::size_t allocations = 0, largest_allocation = 0, allocated_bytes = 0;

inline void* tracked(std::size_t size, std::size_t alignment) {
  ++allocations;
  allocated_bytes += size;
  largest_allocation = std::max(largest_allocation, size);
  void* p = std::aligned_alloc(alignment, (std::max<std::size_t>(size, 1) + alignment - 1) / alignment * alignment);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}
}  // namespace spiq_test

#if SPIQ_TEST_OWN_NEW
// Not inlined: the compiler would see free() beside its own idea of operator new, and warn.
#define SPIQ_TEST_NOINLINE __attribute__((noinline))
SPIQ_TEST_NOINLINE void* operator new(std::size_t size) { return spiq_test::tracked(size, alignof(std::max_align_t)); }
SPIQ_TEST_NOINLINE void* operator new(std::size_t size, std::align_val_t alignment) {
  return spiq_test::tracked(size, static_cast<std::size_t>(alignment));
}
SPIQ_TEST_NOINLINE void operator delete(void* p) noexcept { std::free(p); }
SPIQ_TEST_NOINLINE void operator delete(void* p, std::size_t) noexcept { std::free(p); }
SPIQ_TEST_NOINLINE void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
SPIQ_TEST_NOINLINE void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
#endif
