/// @file
/// Storage aligned to 64 bytes on every architecture, so that types which cross translation units have one layout.
#pragma once

#include <spiq/core/abi.hpp>

#include <cstddef>
#include <cstdlib>
#include <limits>
#include <new>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// Alignment of all storage that the library owns, in bytes.
inline constexpr std::size_t storage_alignment = 64;

/// Allocator of 64-byte aligned memory. Elements are value-initialised as by `std::allocator`.
template <class T>
struct AlignedAllocator {
  using value_type = T;

  AlignedAllocator() = default;
  template <class U>
  AlignedAllocator(const AlignedAllocator<U>&) noexcept {}

  T* allocate(std::size_t n) {
    if (n > std::numeric_limits<std::size_t>::max() / sizeof(T)) throw_too_large();
    return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t{storage_alignment}));
  }
  void deallocate(T* p, std::size_t) noexcept {
    ::operator delete(p, std::align_val_t{storage_alignment});
  }
  template <class U>
  bool operator==(const AlignedAllocator<U>&) const noexcept {
    return true;
  }

private:
  [[noreturn]] static void throw_too_large() {
#if defined(__cpp_exceptions)
    throw std::bad_array_new_length();
#else
    std::abort();
#endif
  }
};

/// A `std::vector` whose data start on a 64-byte boundary.
template <class T>
using AlignedVector = std::vector<T, AlignedAllocator<T>>;

SPIQ_END_NAMESPACE
