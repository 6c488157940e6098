/// @file
/// Softmax of quantized scores with integers alone, for machines without a float unit.
#pragma once

#include <spiq/core/checked.hpp>
#include <spiq/core/error.hpp>
#include <spiq/core/parallel.hpp>
#include <spiq/kernel/accuracy.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// How many octaves (of powers of two) one unit of a score is: multiplier / 2^31 * 2^exponent, multiplier in
/// [2^30, 2^31). Scores of a scale s are s / ln 2 octaves each.
struct OctaveScale {
  std::int32_t multiplier = 1 << 30;
  int exponent = 1;

  /// From the real value of one unit of the scores; done once, off the machine without floats if need be.
  /// Throws `spiq::Error` unless it is finite and positive.
  static OctaveScale of(double scale) {
    if (!(scale > 0 && scale <= std::numeric_limits<double>::max()))
      SPIQ_THROW("OctaveScale", "a finite positive scale", std::to_string(scale));
    OctaveScale s;
    const double fraction = std::frexp(scale * 1.4426950408889634074, &s.exponent);
    s.multiplier = static_cast<std::int32_t>(std::min(std::floor(fraction * 2147483648.0 + 0.5), 2147483647.0));
    return s;
  }
};

namespace detail {
/// 2^-t for t in octaves with 15 bits of fraction, scaled so that t = 0 gives 2^25 (order 1) or 3 * 2^25 (order 2):
/// QuAKE with shifts. The factor cancels in the quotient.
template <int Order>
[[nodiscard]] SPIQ_INLINE std::uint32_t integer_exp2(std::uint32_t t) {
  static_assert(Order == 1 || Order == 2);
  const std::uint32_t u = (32u << 15) - std::min(t, 31u << 15);  // 2^-t = 2^(u - 32), u > 0
  const std::uint32_t m = 0x8000u | (u & 0x7fffu);               // mantissa in [1, 2), 15 bits
  const std::uint32_t down = 32u - (u >> 15);
  if constexpr (Order == 1) {
    return (m << 10) >> down;
  } else {
    return (((m * m) >> 5) + (2u << 25)) >> down;  // m^2 + 2
  }
}

/// Distances to the maximum in octaves.
class OctavesBelow {
public:
  SPIQ_INLINE OctavesBelow(std::int64_t top, OctaveScale scale)
      : top_(top),
        multiplier_(static_cast<std::uint32_t>(scale.multiplier)),
        right_(16 - std::clamp(scale.exponent, -47, 16)) {}
  [[nodiscard]] SPIQ_INLINE std::uint32_t operator()(std::int64_t score) const {
    // 15 bits of fraction: multiplier 2^-31 2^exponent 2^15; a distance has at most 32 bits, the product 63.
    const std::uint64_t distance = static_cast<std::uint64_t>(top_ - score);
    return static_cast<std::uint32_t>(std::min<std::uint64_t>((distance * multiplier_) >> right_, 31u << 15));
  }

private:
  std::int64_t top_;
  std::uint64_t multiplier_;
  int right_;
};

/// One row; only integers of 32 and 64 bits.
template <int Order, class Score, class Probability>
void integer_softmax_row(const Score* scores, Probability* probabilities, std::size_t n, OctaveScale scale) noexcept {
  static_assert(std::is_integral_v<Score> && std::is_integral_v<Probability>);
  if (n == 0) return;
  Score top = scores[0];
  for (std::size_t i = 1; i < n; ++i) top = std::max(top, scores[i]);
  const OctavesBelow below(top, scale);

  // Sums of 32 bits over blocks that cannot overflow them: an exponential is at most 6 * 2^25.
  constexpr std::size_t block = 16;
  std::uint64_t sum = 0;
  std::size_t i = 0;
  for (; i + block <= n; i += block) {
    std::uint32_t part = 0;
    for (std::size_t k = 0; k < block; ++k) part += integer_exp2<Order>(below(scores[i + k]));
    sum += part;
  }
  for (; i < n; ++i) sum += integer_exp2<Order>(below(scores[i]));

  // probability = e / sum: e times a reciprocal of 32 bits, shifted; one division for the row. sum has `width` bits,
  // and its upper 31 are divisor.
  const int width = static_cast<int>(std::bit_width(sum)), dropped = std::max(width - 31, 0);
  const std::uint64_t divisor = (sum + ((std::uint64_t{1} << dropped) >> 1)) >> dropped;
  constexpr int fraction = std::is_same_v<Probability, std::uint8_t> ? 8 : 15;
  constexpr std::uint64_t limit = std::is_same_v<Probability, std::uint8_t> ? 255 : 32767;
  const int digits = 30 + static_cast<int>(std::bit_width(divisor));
  const std::uint64_t reciprocal = (std::uint64_t{1} << digits) / divisor;  // at most 2^31: products have 59 bits
  const int shift = digits + dropped - fraction;
  const std::uint64_t half = shift < 64 ? std::uint64_t{1} << (shift - 1) : 0;
  const int down = std::min(shift, 63);
  for (std::size_t k = 0; k < n; ++k) {
    const std::uint64_t p = (integer_exp2<Order>(below(scores[k])) * reciprocal + half) >> down;
    probabilities[k] = static_cast<Probability>(std::min(p, limit));
  }
}
template <class Rung>
concept IntegerRung = std::is_same_v<Rung, accuracy::quake> || std::is_same_v<Rung, accuracy::quake2>;
}  // namespace detail

/// Softmax of each row of `cols` scores. Integer arithmetic only, at most 64 bits wide; results do not depend on the
/// machine. Probability: std::uint8_t in units of 1/256, at most 255, or std::int16_t in units of 2^-15, at most 32767.
template <detail::IntegerRung Rung, class Score, class Probability>
void softmax_integer(const Score* scores, Probability* probabilities, std::size_t rows, std::size_t cols,
                     OctaveScale scale, int threads = 1) noexcept {
  parallel_for(rows, 1 + 16384 / std::max<std::size_t>(cols, 1), threads, [=](std::size_t begin, std::size_t end, int) {
    for (std::size_t r = begin; r < end; ++r)
      detail::integer_softmax_row<Rung::order>(scores + r * cols, probabilities + r * cols, cols, scale);
  });
}

}  // namespace kernel

namespace math {

struct IntegerSoftmaxOptions {
  std::size_t rows = 1;
  std::size_t cols = 0;
  kernel::OctaveScale scale{};
  int threads = 1;
};

/// probabilities = softmax(scale * scores) of each of `rows` rows of `cols`, by integers alone: exponentials by the
/// integer form of `Rung` (`quake` or `quake2`), sums of integers, one integer reciprocal for a row.
/// Score: std::int8_t or std::int32_t. Probability: std::uint8_t (units of 1/256) or std::int16_t (Q0.15).
/// Errors: relative to the exact probability within 6.2 % (`quake`) or 0.54 % (`quake2`), and cols * 3e-8 more, which
/// is felt from a hundred thousand columns on; then half a unit of the result, and saturation at 1.
/// Throws `spiq::Error` if a span is not rows * cols long. Source: QuAKE, arXiv 2412.00408.
template <kernel::detail::IntegerRung Rung, class Score, class Probability>
  requires((std::is_same_v<Score, std::int8_t> || std::is_same_v<Score, std::int32_t>) &&
           (std::is_same_v<Probability, std::uint8_t> || std::is_same_v<Probability, std::int16_t>))
void softmax_integer(std::span<const Score> scores, std::span<Probability> probabilities,
                     IntegerSoftmaxOptions options) {
  const std::size_t wanted = saturating_product(options.rows, options.cols);
  const auto check = [&](const char* what, std::size_t found) {
    if (found != wanted)
      SPIQ_THROW(std::string("softmax_integer: ") + what, std::to_string(wanted) + " values", std::to_string(found));
  };
  check("scores", scores.size());
  check("probabilities", probabilities.size());
  kernel::softmax_integer<Rung>(scores.data(), probabilities.data(), options.rows, options.cols, options.scale,
                                options.threads);
}

}  // namespace math

SPIQ_END_NAMESPACE
