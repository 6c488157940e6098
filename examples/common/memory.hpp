// How much memory a program holds: an operator new that counts. Include it in one unit of a program.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace memory {

inline std::atomic<std::size_t> held{0}, most{0};

// Bytes held now; peaks are counted from here.
inline std::size_t restart() {
  most = held.load();
  return held;
}
// Most bytes held since `restart`.
inline std::size_t peak() { return most; }

// The size stands before the block, which begins one alignment behind what malloc gave.
inline void* take(std::size_t size, std::size_t alignment) {
  const std::size_t room = (size + 2 * alignment - 1) / alignment * alignment;
  auto* const base = static_cast<unsigned char*>(std::aligned_alloc(alignment, room));
  if (base == nullptr) throw std::bad_alloc();
  *reinterpret_cast<std::size_t*>(base) = size;
  const std::size_t now = held += size;
  std::size_t top = most;
  while (now > top && !most.compare_exchange_weak(top, now)) {
  }
  return base + alignment;
}
inline void give(void* p, std::size_t alignment) {
  if (p == nullptr) return;
  auto* const base = static_cast<unsigned char*>(p) - alignment;
  held -= *reinterpret_cast<std::size_t*>(base);
  std::free(base);
}

}  // namespace memory

// Not inlined: the compiler would see free() beside its own idea of operator new, and warn.
#define EXAMPLE_NOINLINE __attribute__((noinline))
EXAMPLE_NOINLINE void* operator new(std::size_t size) { return memory::take(size, alignof(std::max_align_t)); }
EXAMPLE_NOINLINE void* operator new(std::size_t size, std::align_val_t a) {
  return memory::take(size, static_cast<std::size_t>(a));
}
EXAMPLE_NOINLINE void operator delete(void* p) noexcept { memory::give(p, alignof(std::max_align_t)); }
EXAMPLE_NOINLINE void operator delete(void* p, std::size_t) noexcept { memory::give(p, alignof(std::max_align_t)); }
EXAMPLE_NOINLINE void operator delete(void* p, std::align_val_t a) noexcept {
  memory::give(p, static_cast<std::size_t>(a));
}
EXAMPLE_NOINLINE void operator delete(void* p, std::size_t, std::align_val_t a) noexcept {
  memory::give(p, static_cast<std::size_t>(a));
}
#undef EXAMPLE_NOINLINE
