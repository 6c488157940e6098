// Memory that ends at a page which must not be touched: a read or write beyond the last element crashes the test.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

namespace spiq_test {

/// `count` elements right before an inaccessible page.
template <class T>
class Guarded {
public:
  explicit Guarded(std::size_t count) : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
    usable_ = (count * sizeof(T) + page_ - 1) / page_ * page_ + page_;
    base_ = mmap(nullptr, usable_ + page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(static_cast<char*>(base_) + usable_, page_, PROT_NONE);
    data_ = reinterpret_cast<T*>(static_cast<char*>(base_) + usable_ - count * sizeof(T));
  }
  ~Guarded() { munmap(base_, usable_ + page_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  T* data() { return data_; }
  T& operator[](std::size_t i) { return data_[i]; }

private:
  std::size_t page_;
  std::size_t usable_;
  void* base_;
  T* data_;
};

}  // namespace spiq_test
