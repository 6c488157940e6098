// A session allocates when it is made and never again: transformer layers, residual joins, activations.
#include "catch.hpp"

#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

#include <algorithm>
#include <cmath>
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

namespace {
std::size_t allocations = 0;
}

#if SPIQ_TEST_OWN_NEW  // a sanitizer brings its own
namespace {
void* counted(std::size_t size, std::size_t alignment) {
  ++allocations;
  void* p = std::aligned_alloc(alignment, (std::max<std::size_t>(size, 1) + alignment - 1) / alignment * alignment);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}
}  // namespace

// Not inlined: the compiler would see free() beside its own idea of operator new, and warn.
#define SPIQ_TEST_NOINLINE __attribute__((noinline))
SPIQ_TEST_NOINLINE void* operator new(std::size_t size) { return counted(size, alignof(std::max_align_t)); }
SPIQ_TEST_NOINLINE void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
SPIQ_TEST_NOINLINE void operator delete(void* p) noexcept { std::free(p); }
SPIQ_TEST_NOINLINE void operator delete(void* p, std::size_t) noexcept { std::free(p); }
SPIQ_TEST_NOINLINE void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
SPIQ_TEST_NOINLINE void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
#endif

using namespace spiq;

TEST_CASE("a session of a transformer allocates nothing while it runs", "[exec]") {
  const Network<Input<12, 12, 1>, Conv2d<24, 4, Stride<4>, Padding<0>>, PositionEmbedding,
                Residual<Seq<LayerNorm, MultiHeadAttention<4, accuracy::quake>>>,
                Residual<Seq<LayerNorm, Conv2d<32, 1>, Gelu<>, Conv2d<24, 1>>>, LayerNorm, Sigmoid<>, GlobalAvgPool,
                Linear<10>, Softmax<>>
      net{Rng(1)};
  Tensor<float> images({5, 1, 12, 12});
  Rng rng(2);
  for (float& v : images.span()) v = rng.uniform();
  const auto lowered = lower(net, target::Float{});
  auto session = lowered.session(5, {.threads = 1, .tile = 2});
  const std::size_t before = allocations;
  const Tensor<float>& y = session.run(images);
  session.run(images.data(), 5, 144);
  CHECK(allocations == before);
  for (std::size_t i = 0; i < 5; ++i) {
    float sum = 0;
    for (std::size_t c = 0; c < 10; ++c) sum += y[i * 10 + c];
    CHECK(std::abs(sum - 1) < 1e-5f);
  }
}
