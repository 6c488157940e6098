/// @file
/// Work shared out in chunks that do not depend on the number of threads.
#pragma once

#include <spiq/core/parallel.hpp>

#include <algorithm>
#include <cstddef>

SPIQ_BEGIN_NAMESPACE

namespace nn {

/// Calls body(first, count) for chunks of `chunk` of n rows; the products of each so are the same on any number of
/// threads.
template <class Body>
void for_chunks(std::size_t n, std::size_t chunk, int threads, const Body& body) {
  parallel_for((n + chunk - 1) / chunk, 1, threads, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t c = begin; c < end; ++c) body(c * chunk, std::min(chunk, n - c * chunk));
  });
}

}  // namespace nn

SPIQ_END_NAMESPACE
