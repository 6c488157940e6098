// The PASCAL neuron alone: the worked traces of its specification, and its equality with QCFS.
#include "backends.hpp"
#include "catch.hpp"

#include <spiq/core/random.hpp>
#include <spiq/neuron/pascal.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

using namespace spiq;

namespace {

// Phases A and B of one neuron; `counts` after each step of A, then of B.
template <class V, class T>
struct Trace {
  std::vector<int> a, b;
  T membrane{}, emitted{};

  Trace(T theta, int levels, const std::vector<T>& x, int left_out = 0) {
    const auto first = [](V v) {
      T lanes[64];
      v.store(lanes);
      return lanes[0];
    };
    const V th = V::broadcast(theta);
    neuron::Pascal::State<V> state{V::broadcast(theta / 2), V::zero()};
    for (const T v : x) {
      neuron::Pascal::charge(state, V::broadcast(v), th);
      a.push_back(static_cast<int>(first(state.count)));
    }
    membrane = first(state.membrane);
    const int corrections = std::max(static_cast<int>(x.size()), levels) - 1 - left_out;
    for (int k = 0; k < corrections; ++k) {
      neuron::Pascal::correct(state, th);
      b.push_back(static_cast<int>(first(state.count)));
    }
    emitted = first(neuron::Pascal::emitted(state, V::broadcast(static_cast<T>(levels))));
  }
};

// clip(floor(z / theta + 1/2), 0, L) for whole numbers and even theta.
std::int32_t qcfs(std::int64_t z, std::int64_t theta, int levels) {
  const std::int64_t up = z + theta / 2;
  const std::int64_t level = up >= 0 ? up / theta : -((theta - 1 - up) / theta);
  return static_cast<std::int32_t>(std::clamp<std::int64_t>(level, 0, levels));
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("PASCAL neurons take the worked traces", "[neuron][pascal]", spiq_test::Backends) {
  using V = typename simd::traits<TestType>::f32;
  using F = Trace<V, float>;
  const F one(0.25F, 4, {1.5F, -1.25F, 0.25F, 0.125F});
  CHECK(one.a == std::vector<int>{1, 1, 2, 3});
  CHECK(one.membrane == 0);
  CHECK(one.b == std::vector<int>{3, 3, 3});
  CHECK(one.emitted == 3);
  const F two(0.25F, 4, {2, -3});
  CHECK(two.a == std::vector<int>{1, 1});
  CHECK(two.membrane == -9.0F / 8);
  CHECK(two.b == std::vector<int>{0, -1, -2});
  CHECK(two.emitted == 0);
  const F three(0.5F, 4, {-1, 2, 0.5F, 0.25F});
  CHECK(three.a == std::vector<int>{0, 1, 2, 3});
  CHECK(three.membrane == 0.5F);
  CHECK(three.b.front() == 4);
  CHECK(three.emitted == 4);  // the tie rounds up
  const F four(0.125F, 8, {9.0F / 8});
  CHECK(four.a == std::vector<int>{1});
  CHECK(four.b == std::vector<int>{2, 3, 4, 5, 6, 7, 8});
  CHECK(four.emitted == 8);
}

TEMPLATE_LIST_TEST_CASE("PASCAL neurons emit the level of QCFS, whatever the order of the slices", "[neuron][pascal]",
                        spiq_test::Backends) {
  using V = typename simd::traits<TestType>::i32;
  using I = Trace<V, std::int32_t>;
  Rng rng{11};
  int wrong = 0, closed = 0, moved = 0, one_less = 0;
  for (int trial = 0; trial < 4000; ++trial) {
    const int sizes[] = {1, 2, 3, 4, 8};
    const int inputs = sizes[rng.below(5)], levels = sizes[rng.below(5)];
    std::vector<std::int32_t> x(static_cast<std::size_t>(inputs));
    for (std::int32_t& v : x) v = static_cast<std::int32_t>(rng.below(41)) - 20;
    if (rng.below(2) == 0)
      x[rng.below(static_cast<std::uint32_t>(inputs))] += static_cast<std::int32_t>(rng.below(281)) - 140;
    const std::int32_t theta = rng.below(2) == 0 ? 2 : 8;
    const std::int32_t expected = qcfs(std::accumulate(x.begin(), x.end(), std::int64_t{0}), theta, levels);
    wrong += I(theta, levels, x).emitted != expected;
    std::int32_t lanes[64];
    neuron::Pascal::emitted_at_once(
        V::broadcast(theta / 2 + static_cast<std::int32_t>(std::accumulate(x.begin(), x.end(), 0))),
        V::broadcast(theta), levels)
        .store(lanes);
    closed += lanes[0] != expected;
    one_less += std::max(inputs, levels) > 1 && I(theta, levels, x, 1).emitted != expected;
    rng.shuffle(std::span(x));
    moved += I(theta, levels, x).emitted != expected;
  }
  CHECK(wrong == 0);
  CHECK(closed == 0);
  CHECK(moved == 0);
  CHECK(one_less > 100);  // the number of corrections is tight
}
