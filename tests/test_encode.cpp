// Encoders and read-outs.
#include "catch.hpp"

#include <spiq/neuron/encode.hpp>

#include <cmath>
#include <limits>
#include <vector>

using namespace spiq;

namespace {
using Floats = std::vector<float>;
}

TEST_CASE("Poisson spikes come at their rates, signed, and from the seed alone", "[encode]") {
  const Floats x{0.0f, 0.1f, -0.5f, 0.9f, 1.0f, 1.7f, std::numeric_limits<float>::quiet_NaN()};
  const std::size_t steps = 20000;
  Floats y(steps * x.size()), again(y.size()), other(y.size());
  encode::poisson(x, steps, Rng(3), y);
  encode::poisson(x, steps, Rng(3), again);
  encode::poisson(x, steps, Rng(4), other);
  CHECK(y == again);
  CHECK(y != other);
  for (std::size_t i = 0; i < x.size(); ++i) {
    double sum = 0;
    for (std::size_t t = 0; t < steps; ++t) sum += double{y[t * x.size() + i]};
    const double value = x[i] == x[i] ? double{x[i]} : 0;
    const double rate = std::min(1.0, std::abs(value)), n = static_cast<double>(steps);
    CHECK(std::abs(sum - std::copysign(rate, value) * n) <= 4 * std::sqrt(n * rate * (1 - rate)) + 1e-9);
  }
}

TEST_CASE("phases of a period sum to the number", "[encode]") {
  const Floats x{0, 0.5f, 0.8125f, 0.3f, 1, -1, 1e30f, std::numeric_limits<float>::quiet_NaN()};
  Floats y(16 * x.size());
  encode::phase(x, 16, 8, y);
  for (std::size_t i = 0; i < x.size(); ++i) {
    double first = 0, second = 0;
    for (std::size_t t = 0; t < 8; ++t) {
      first += double{y[t * x.size() + i]};
      second += double{y[(t + 8) * x.size() + i]};
    }
    CHECK(first == second);
    CHECK(std::abs(first - (x[i] > 0 ? std::min(double{x[i]}, 255.0 / 256) : 0)) <= 1.0 / 512);
  }
  CHECK(y[0 * x.size() + 1] == 0.5f);
}

TEST_CASE("latency: one spike each, the larger the earlier", "[encode]") {
  const Floats x{1, 0.75f, 0.5f, 0.25f, 0.02f, 0};
  Floats y(10 * x.size());
  for (const bool linear : {false, true}) {
    encode::latency(x, 10, {.linear = linear, .normalize = true}, y);
    std::size_t before = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      std::size_t count = 0, when = 0;
      for (std::size_t t = 0; t < 10; ++t)
        if (y[t * x.size() + i] != 0) {
          ++count;
          when = t;
        }
      CHECK(count == 1);
      CHECK(when >= before);
      before = when;
    }
    CHECK(before == 9);
  }
  encode::latency(x, 10, {.threshold = 0.1f, .linear = true, .normalize = true, .clip = true}, y);
  CHECK(y[9 * x.size() + 5] == 0);
  CHECK(y[0] == 1);
}

TEST_CASE("delta: changes of a threshold, up and down", "[encode]") {
  const Floats x{0.5f, 0.5f, 1.0f, 0.25f};
  Floats y(4);
  encode::delta(x, 4, 0.5f, true, y);
  CHECK(y == Floats{1, 0, 1, -1});
  encode::delta(x, 4, 0.5f, false, y);
  CHECK(y == Floats{1, 0, 1, 0});
}

TEST_CASE("population: the nearest centre answers most", "[encode]") {
  const Floats x{0, 2, 4};
  Floats y(15);
  encode::population(x, 5, y);
  CHECK(y[0] == 1);
  CHECK(y[5 + 2] == 1);
  CHECK(y[10 + 4] == 1);
  CHECK(y[5 + 1] == y[5 + 3]);
  CHECK(y[5] < y[5 + 1]);
}

TEST_CASE("direct coding repeats", "[encode]") {
  const Floats x{1, 2};
  Floats y(6);
  encode::direct(x, 3, y);
  CHECK(y == Floats{1, 2, 1, 2, 1, 2});
}

TEST_CASE("read-outs", "[encode]") {
  const Floats x{0, 1, -1, 0, 1, 2};  // three steps of two outputs
  Floats y(2);
  const auto read = [&](ReadOut kind) {
    read_out(kind, 3, x, y);
    return y;
  };
  CHECK(read(ReadOut::sum) == Floats{0, 3});
  CHECK(read(ReadOut::mean) == Floats{0, 1});
  CHECK(read(ReadOut::last) == Floats{1, 2});
  CHECK(read(ReadOut::max) == Floats{1, 2});
  CHECK(read(ReadOut::membrane) == Floats{0, 3});
  CHECK(read(ReadOut::first_spike) == Floats{1.0f / 3, 1});
  read_out(ReadOut::membrane, 3, x, y, 0.5f);
  CHECK(y == Floats{0.5f, 2.25f});
}

TEST_CASE("encoders refuse spans of other sizes and numbers that mean nothing", "[encode]") {
  Floats x(4, 0.5f), y(11), two(8);
  CHECK_THROWS_AS(encode::direct(x, 3, y), Error);
  // A product that wraps round to the size of the output.
  CHECK_THROWS_AS(encode::direct(std::span<const float>(x).first(2), std::size_t{1} << 63, {}), Error);
  const std::vector<float> large{1.5f, std::numeric_limits<float>::infinity()};
  std::vector<float> spikes(4);
  CHECK_THROWS_AS(encode::latency(std::span(large).first(1), 4, {.linear = true}, spikes), Error);
  CHECK_THROWS_AS(encode::latency(std::span(large).last(1), 4, {}, spikes), Error);
  CHECK_THROWS_AS(encode::poisson(x, 3, Rng(1), y), Error);
  CHECK_THROWS_AS(encode::latency(x, 3, {}, y), Error);
  CHECK_THROWS_AS(encode::population(x, 3, y), Error);
  CHECK_THROWS_AS(encode::phase(x, 3, 8, y), Error);
  CHECK_THROWS_AS(encode::phase(x, 2, 0, two), Error);
  CHECK_THROWS_AS(encode::phase(x, 2, 25, two), Error);
  CHECK_THROWS_AS(encode::delta(x, 3, 0.1f, true, x), Error);
  CHECK_THROWS_AS(encode::delta(x, 2, -0.1f, true, spikes), Error);
  CHECK_THROWS_AS(encode::delta(x, 2, std::numeric_limits<float>::quiet_NaN(), true, spikes), Error);
  CHECK_THROWS_AS(encode::latency(x, 2, {.tau = 0}, two), Error);
  CHECK_THROWS_AS(encode::latency(x, 2, {.tau = std::numeric_limits<float>::infinity()}, two), Error);
  CHECK_THROWS_AS(encode::latency(x, 2, {.threshold = 1}, two), Error);
  CHECK_THROWS_AS(read_out(ReadOut::sum, 3, x, two), Error);
  CHECK_THROWS_AS(read_out(ReadOut::membrane, 2, two, x, 1.5f), Error);
  x[2] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(encode::latency(x, 2, {}, two), Error);
  x[2] = -0.5f;
  CHECK_THROWS_AS(encode::latency(x, 2, {}, two), Error);
}
