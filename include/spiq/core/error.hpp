/// @file
/// The one exception type of the library, and the precondition check of its kernels.
#pragma once

#include <spiq/core/abi.hpp>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

SPIQ_BEGIN_NAMESPACE

/// Thrown for bad input at run time: files, dynamic shapes, parameters out of range.
/// The text says what was wrong, what was expected and what was found.
class Error : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

#if !defined(__cpp_exceptions)
/// Called instead of a throw where exceptions are switched off; must not return. The default prints and aborts.
using ErrorHandler = void (*)(const char* message);
inline ErrorHandler& error_handler() noexcept {
  static ErrorHandler handler = nullptr;
  return handler;
}
#endif

/// Throws `spiq::Error` (or calls the error handler where exceptions are off).
[[noreturn]] SPIQ_NOINLINE inline void raise(const std::string& message) {
#if defined(__cpp_exceptions)
  throw Error(message);
#else
  if (error_handler() != nullptr) error_handler()(message.c_str());
  std::fprintf(stderr, "spiq: %s\n", message.c_str());
  std::abort();
#endif
}

/// Throws with the sentence "`where`: expected `expected`, found `found`".
[[noreturn]] SPIQ_NOINLINE inline void raise(std::string_view where, std::string_view expected, std::string_view found) {
  std::string text(where);
  text.append(": expected ").append(expected).append(", found ").append(found);
  raise(text);
}

SPIQ_END_NAMESPACE

/// Precondition of a kernel: checked unless NDEBUG is defined, free otherwise.
#if defined(NDEBUG)
#define SPIQ_ASSERT(condition) static_cast<void>(0)
#else
#define SPIQ_ASSERT(condition)                                                                             \
  (static_cast<bool>(condition)                                                                            \
       ? static_cast<void>(0)                                                                              \
       : (std::fprintf(stderr, "%s:%d: spiq precondition failed: %s\n", __FILE__, __LINE__, #condition), std::abort()))
#endif

/// `SPIQ_THROW(...)` forwards to `spiq::raise`; exists so that a build without exceptions reads the same.
#define SPIQ_THROW(...) ::spiq::raise(__VA_ARGS__)
