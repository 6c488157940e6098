// Softmax: special values, masks, logarithms, gradients, bounds of arrays, refusals.
#include "backends.hpp"
#include "catch.hpp"
#include "guarded.hpp"
#include "softmax_reference.hpp"

#include <spiq/kernel/softmax_backward.hpp>

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

using namespace spiq_test;

TEMPLATE_LIST_TEST_CASE("infinities, NaN and rows without a score", "[softmax]", spiq_test::Backends) {
  for (std::size_t n : {std::size_t{5}, std::size_t{70}, std::size_t{1000}, std::size_t{9001}, beyond_l2}) {
    for_rungs<TestType, false>([&](auto rung) {
      using Rung = decltype(rung);
      INFO(Rung::name << " on " << TestType::name << ", " << n << " columns");
      // -inf is exactly 0; the others are as if it were not there. The first block may hold nothing else.
      Floats x(n, -inf);
      x[n - 1] = 2;
      x[n - 2] = 2;
      Floats y = softmax_of<Rung, TestType>(x, n);
      CHECK(std::count(y.begin(), y.end(), 0.0f) == static_cast<std::ptrdiff_t>(n - 2));
      CHECK(std::abs(y[n - 1] - 0.5f) <= 1e-6f);
      CHECK(log_softmax_of<Rung, TestType>(x, n)[0] == -inf);
      // Far below: 0 as well, and no infinities on the way.
      x.assign(n, -3e38f);
      x[0] = 3e38f;
      y = softmax_of<Rung, TestType>(x, n);
      CHECK(std::abs(y[0] - 1) <= 1e-6f);
      CHECK(y[1] == 0);

      // Nothing but -inf.
      x.assign(n, -inf);
      CHECK(softmax_of<Rung, TestType>(x, n) == Floats(n, 0.0f));
      CHECK(log_softmax_of<Rung, TestType>(x, n) == Floats(n, -inf));
      CHECK(softmax_of<Rung, TestType>(x, n, {.empty = math::EmptyRow::uniform}) == Floats(n, 1 / static_cast<float>(n)));
      CHECK(std::abs(log_softmax_of<Rung, TestType>(x, n, {.empty = math::EmptyRow::uniform})[1] + std::log(static_cast<float>(n))) <= 1e-5f);

      // +inf takes all, two of them share; in place too.
      x = normal(n, 1, 3);
      x[n / 2] = inf;
      y = softmax_of<Rung, TestType>(x, n);
      CHECK(y[n / 2] == 1);
      CHECK(std::count(y.begin(), y.end(), 0.0f) == static_cast<std::ptrdiff_t>(n - 1));
      x[n - 1] = inf;
      math::softmax<Rung, TestType>(x, x, {.cols = n});
      CHECK(x[n / 2] == 0.5f);
      CHECK(x[n - 1] == 0.5f);
      CHECK(x[0] == 0);

      // NaN: the row, or nothing.
      for (std::size_t where : {std::size_t{0}, n / 2, n - 1}) {
        for (const float others : {1.0f, -inf, inf}) {
          x.assign(n, others);
          x[where] = nan_value;
          y = softmax_of<Rung, TestType>(x, n);
          Floats in_place(x);
          math::softmax<Rung, TestType>(in_place, in_place, {.cols = n});
          INFO("NaN at " << where << " among " << others);
          if constexpr (Rung::nan == accuracy::Nan::propagate) {
            CHECK(std::all_of(y.begin(), y.end(), [](float v) { return std::isnan(v); }));
            CHECK(std::all_of(in_place.begin(), in_place.end(), [](float v) { return std::isnan(v); }));
          } else {
            CHECK(y[where] == 0);
            CHECK(std::abs(sum_of(y.data(), n) - (others == -inf ? 0 : 1)) <= 1e-6);
            CHECK(in_place == y);
          }
          x[(where + 1) % n] = 3;
          if constexpr (std::is_same_v<Rung, accuracy::quake>) {
            y = softmax_of<accuracy::checked<Rung>, TestType>(x, n);
            CHECK(std::all_of(y.begin(), y.end(), [](float v) { return std::isnan(v); }));
          }
        }
      }
    });
  }
}

TEMPLATE_LIST_TEST_CASE("scale, masks and causal masks, with strides, in place, by threads", "[softmax]", spiq_test::Backends) {
  spiq::Rng rng(7);
  struct Shape {
    std::size_t rows, cols, masks, queries;
    bool causal;
    std::ptrdiff_t offset;
  };
  const Shape shapes[] = {{6, 5, 0, 0, true, 0},   {6, 40, 1, 0, false, 0},  {6, 40, 6, 0, true, 3},   {12, 33, 3, 3, true, 30},
                          {4, 300, 2, 2, true, 297}, {5, 70, 5, 0, true, -3}, {2, 9000, 1, 2, true, 8000}, {3, 17, 0, 0, false, 0}};
  for (const Shape& s : shapes) {
    for (const float scale : {1.0f, 0.125f, -0.5f, 0.0f}) {
      const std::size_t in = s.cols + 3, out = s.cols + 1;
      const Floats x = normal(s.rows * in, 4, s.cols);
      Floats mask = normal(s.masks * s.cols, 1, 9);
      for (float& v : mask) v = rng.uniform(0.0f, 1.0f) < 0.2f ? -inf : v;
      math::SoftmaxOptions o{.rows = s.rows, .cols = s.cols, .scale = scale, .mask = mask, .causal = s.causal,
                             .past = s.offset, .queries = s.queries, .input_stride = in, .output_stride = out};
      Floats y(s.rows * out, -7.0f), l(y), threaded(y);
      math::softmax<accuracy::full, TestType>(x, y, o);
      math::log_softmax<accuracy::full, TestType>(x, l, o);
      o.threads = 2;
      math::softmax<accuracy::full, TestType>(x, threaded, o);
      INFO(s.rows << " x " << s.cols << ", scale " << scale << " on " << TestType::name);
      CHECK(threaded == y);
      Worst worst, worst_log, worst_in_place;
      for (std::size_t r = 0; r < s.rows; ++r) {
        const auto query = static_cast<std::ptrdiff_t>(s.queries == 0 ? r : r % s.queries);
        std::vector<double> z(s.cols);
        bool any = false;
        for (std::size_t c = 0; c < s.cols; ++c) {
          z[c] = static_cast<double>(scale) * static_cast<double>(x[r * in + c]);
          if (s.masks != 0) z[c] += static_cast<double>(mask[r % s.masks * s.cols + c]);
          if (s.causal && static_cast<std::ptrdiff_t>(c) > query + s.offset) z[c] = -HUGE_VAL;
          any = any || z[c] > -HUGE_VAL;
        }
        const std::vector<double> p = any ? exact_row(z, false) : std::vector<double>(s.cols, 0.0);
        for (std::size_t c = 0; c < s.cols; ++c) {
          worst.add(std::abs(static_cast<double>(y[r * out + c]) - p[c]));
          if (p[c] == 0)
            worst_log.add(l[r * out + c] < -80 ? 0.0 : 1.0);
          else
            worst_log.add(std::abs(static_cast<double>(l[r * out + c]) - std::log(p[c])));
        }
        if (r + 1 < s.rows) CHECK(y[r * out + s.cols] == -7.0f);
      }
      CHECK(worst.value() <= 2e-6);
      CHECK(worst_log.value() <= 1e-5);

      Floats in_place(x);
      o.output_stride = in;
      math::softmax<accuracy::full, TestType>(in_place, in_place, o);
      for (std::size_t r = 0; r < s.rows; ++r)
        for (std::size_t c = 0; c < s.cols; ++c)
          worst_in_place.add(static_cast<double>(std::abs(in_place[r * in + c] - y[r * out + c])));
      CHECK(worst_in_place.value() <= 1e-6);
    }
  }
  // A row that sees nothing, uniform.
  const Floats y = softmax_of<accuracy::quake, TestType>({1, 2, 3, 4}, 2, {.causal = true, .past = -1, .empty = math::EmptyRow::uniform});
  CHECK(y[0] == 0.5f);
  CHECK(y[1] == 0.5f);
  CHECK(std::abs(y[2] - 1) <= 1e-6f);
  CHECK(y[3] == 0);
}

TEMPLATE_LIST_TEST_CASE("masks hide any score, and a scale of 0 keeps infinities", "[softmax]", spiq_test::Backends) {
  const auto check = [](auto rung) {
    using Rung = decltype(rung);
    for (const std::size_t n : {std::size_t{5}, std::size_t{70}, std::size_t{1000}, std::size_t{9001}}) {
      for (const float scale : {1.0f, 0.0f, -0.5f}) {
        INFO(Rung::name << " on " << TestType::name << ", " << n << " columns, scale " << scale);
        // One visible column in two; the hidden ones hold what would spoil the row.
        Floats x(n, 3.0f), mask(n, 0.0f);
        for (std::size_t i = 0; i < n; i += 2) {
          x[i] = i % 8 == 0 ? inf : i % 8 == 2 ? nan_value : i % 8 == 4 ? -inf : 3e38f;
          mask[i] = -inf;
        }
        const float share = 1 / static_cast<float>(n / 2);
        Worst worst, logs;
        const Floats y = softmax_of<Rung, TestType>(x, n, {.scale = scale, .mask = mask});
        const Floats l = log_softmax_of<Rung, TestType>(x, n, {.scale = scale, .mask = mask});
        Floats in_place(x);
        math::softmax<Rung, TestType>(in_place, in_place, {.cols = n, .scale = scale, .mask = mask});
        for (std::size_t i = 0; i < n; ++i) {
          const bool seen = i % 2 == 1;
          worst.add(seen ? static_cast<double>(std::abs(y[i] / share - 1)) : y[i] == 0 ? 0.0 : 1.0);
          worst.add(seen ? static_cast<double>(std::abs(in_place[i] / share - 1)) : in_place[i] == 0 ? 0.0 : 1.0);
          logs.add(seen ? static_cast<double>(std::abs(l[i] - std::log(share))) : l[i] == -inf ? 0.0 : 1.0);
        }
        CHECK(worst.value() <= 1e-6);
        CHECK(logs.value() <= (1 + std::abs(std::log(1 + Rung::lower))) * 1e-5 - std::log(1 + Rung::lower));
      }
      // Scale 0, no mask: -inf has no share, the others the same; +inf takes the row; with a finite mask likewise.
      const Floats finite_mask(n, -1.0f);
      for (const std::span<const float> mask : {std::span<const float>(), std::span<const float>(finite_mask)}) {
        INFO(Rung::name << " on " << TestType::name << ", " << n << " columns, mask of " << mask.size());
        Floats x = normal(n, 5, n);
        x[0] = x[n - 1] = -inf;
        const math::SoftmaxOptions o{.scale = 0, .mask = mask};
        Floats y = softmax_of<Rung, TestType>(x, n, o);
        CHECK(y[0] == 0);
        CHECK(y[n - 1] == 0);
        CHECK(std::count(y.begin(), y.end(), y[1]) == static_cast<std::ptrdiff_t>(n - 2));
        CHECK(std::abs(sum_of(y.data(), n) - 1) <= 1e-6);
        CHECK(softmax_of<Rung, TestType>(Floats(n, -inf), n, o) == Floats(n, 0.0f));
        x[n / 2] = inf;
        y = softmax_of<Rung, TestType>(x, n, o);
        CHECK(y[n / 2] == 1);
        CHECK(std::count(y.begin(), y.end(), 0.0f) == static_cast<std::ptrdiff_t>(n - 1));
      }
    }
  };
  check(accuracy::quake{});
  check(accuracy::full{});
}

TEMPLATE_LIST_TEST_CASE("log-softmax of every rung", "[softmax]", spiq_test::Backends) {
  for (std::size_t n : {std::size_t{1}, std::size_t{10}, std::size_t{197}, std::size_t{1000}, std::size_t{9001}}) {
    const Floats x = normal(2 * n, 3, n);
    for_rungs<TestType, false>([&](auto rung) {
      using Rung = decltype(rung);
      const Floats y = log_softmax_of<Rung, TestType>(x, n, {.scale = 1.5f});
      Worst worst;
      for (std::size_t r = 0; r < 2; ++r) {
        const std::vector<double> expected = exact_row(&x[r * n], n, 1.5, true);
        for (std::size_t i = 0; i < n; ++i) worst.add(std::abs(static_cast<double>(y[r * n + i]) - expected[i]));
      }
      INFO(Rung::name << " on " << TestType::name << ", " << n << " columns");
      CHECK(worst.value() <= std::max(-std::log(1 + Rung::lower), std::log(1 + Rung::upper)) + 8e-6);
    });
  }
}

TEMPLATE_LIST_TEST_CASE("gradients of softmax and log-softmax", "[softmax]", spiq_test::Backends) {
  for (std::size_t n : {std::size_t{1}, std::size_t{10}, std::size_t{65}, std::size_t{197}, std::size_t{5000}}) {
    const std::size_t rows = 3, stride = n + 2;
    const double scale = 0.7;
    const Floats x = normal(rows * n, 2, n), dy = normal(rows * stride, 1, n + 1);
    const Floats p = softmax_of<accuracy::full, TestType>(x, n, {.scale = 0.7f});
    const Floats l = log_softmax_of<accuracy::full, TestType>(x, n, {.scale = 0.7f});
    Floats dx(rows * n), dl(rows * n);
    const math::SoftmaxGradientOptions o{.rows = rows, .cols = n, .scale = 0.7f, .gradient_stride = stride, .threads = 2};
    math::softmax_backward<TestType>(p, dy, dx, o);
    math::log_softmax_backward<accuracy::full, TestType>(l, dy, dl, o);
    Worst worst;
    for (std::size_t r = 0; r < rows; ++r) {
      const std::vector<double> y = exact_row(&x[r * n], n, static_cast<double>(0.7f));
      double dot = 0, total = 0;
      for (std::size_t i = 0; i < n; ++i) {
        dot += y[i] * static_cast<double>(dy[r * stride + i]);
        total += static_cast<double>(dy[r * stride + i]);
      }
      for (std::size_t i = 0; i < n; ++i) {
        const double g = static_cast<double>(dy[r * stride + i]);
        worst.add(std::abs(static_cast<double>(dx[r * n + i]) - scale * y[i] * (g - dot)));
        worst.add(std::abs(static_cast<double>(dl[r * n + i]) - scale * (g - y[i] * total)));
      }
    }
    INFO(n << " columns on " << TestType::name);
    CHECK(worst.value() <= 5e-6);
    Floats in_place(p), dense(rows * n);
    for (std::size_t r = 0; r < rows; ++r) std::copy_n(&dy[r * stride], n, &dense[r * n]);
    math::softmax_backward<TestType>(in_place, dense, in_place, {.rows = rows, .cols = n, .scale = 0.7f});
    CHECK(in_place == dx);
    math::softmax_backward<TestType>(p, dense, dense, {.rows = rows, .cols = n, .scale = 0.7f});
    CHECK(dense == dx);
  }
}

TEMPLATE_LIST_TEST_CASE("softmax stays within its arrays", "[softmax]", spiq_test::Backends) {
  for (std::size_t n : {std::size_t{1}, std::size_t{13}, std::size_t{197}, std::size_t{261}, std::size_t{1003}, std::size_t{6001}, beyond_l2}) {
    spiq_test::Guarded<float> x(n), y(n), mask(n);
    for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<float>(i % 7), mask[i] = 0;
    spiq::kernel::softmax<accuracy::quake, TestType>(x.data(), y.data(), {.cols = n});
    CHECK(std::abs(sum_of(y.data(), n) - 1) <= 1e-6);
    spiq::kernel::softmax<accuracy::full, TestType>(x.data(), y.data(), {.cols = n, .mask = {mask.data(), n}});
    CHECK(std::abs(sum_of(y.data(), n) - 1) <= 1e-6);
    spiq::kernel::log_softmax<accuracy::full, TestType>(x.data(), y.data(), {.cols = n});
    spiq::kernel::log_softmax_backward<accuracy::full, TestType>(y.data(), x.data(), mask.data(), {.cols = n});
    spiq::kernel::softmax_backward<TestType>(y.data(), x.data(), mask.data(), {.cols = n});
  }
}

TEST_CASE("softmax refuses spans and masks that do not fit", "[softmax]") {
  Floats x(12), y(12), mask(5);
  CHECK_THROWS_WITH(math::softmax<accuracy::full>(x, y, {.rows = 4, .cols = 4}),
                    "softmax: scores: expected at least 16 values, found 12");
  CHECK_THROWS_WITH(math::softmax<accuracy::full>(x, y, {.rows = 3, .cols = 4, .mask = mask}),
                    "softmax: mask: expected rows of 4 values that divide 3 rows, found 5 values");
  CHECK_THROWS_WITH(math::softmax<accuracy::full>(x, y, {.rows = 3, .cols = 4, .output_stride = 3}),
                    "softmax: output: stride: expected at least 4, found 3");
  CHECK_THROWS_WITH(math::softmax_backward(x, x, std::span<float>(y).first(3), {.rows = 3, .cols = 4}),
                    "softmax gradient: output: expected at least 12 values, found 3");
  // 4 * rows is 4 in the arithmetic of std::size_t.
  const std::size_t huge = std::numeric_limits<std::size_t>::max() / 4 + 2;
  CHECK_THROWS_AS((math::softmax<accuracy::full>(x, y, {.rows = huge, .cols = 4})), spiq::Error);
  CHECK_THROWS_AS((math::softmax<accuracy::full>(x, y, {.rows = 5, .cols = 4, .input_stride = huge})), spiq::Error);
  CHECK_THROWS_AS((math::softmax_backward(x, x, y, {.rows = huge, .cols = 4})), spiq::Error);
  for (const float bad : {inf, -inf, nan_value, 3e31f, -3e31f}) {
    CHECK_THROWS_AS(math::softmax<accuracy::full>(x, y, {.rows = 3, .cols = 4, .scale = bad}), spiq::Error);
    CHECK_THROWS_AS(math::log_softmax<accuracy::full>(x, y, {.rows = 3, .cols = 4, .scale = bad}), spiq::Error);
  }
  CHECK_THROWS_WITH(math::softmax<accuracy::quake>(x, y, {.rows = 3, .cols = 4, .scale = 3e31f}),
                    "softmax: scale: expected a magnitude of at most 1e+30, found 3e+31");
  math::softmax<accuracy::full>(x, y, {.rows = 0, .cols = 4});
  math::softmax<accuracy::full>(x, y, {.rows = 4, .cols = 0});
}
