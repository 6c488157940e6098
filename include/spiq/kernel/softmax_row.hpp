/// @file
/// Softmax of single rows: held in registers, in three passes, or with a running maximum.
#pragma once

#include <spiq/kernel/exp_vector.hpp>
#include <spiq/kernel/softmax_passes.hpp>
#include <spiq/simd/simd.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <type_traits>
#include <utility>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// Softmax (or its logarithm) of rows of scale x, scale > 0, on one thread.
///
/// Three ways, by the length of the row:
/// - In registers while the row fits half of them: read once, written once, all else on chip. The maximum is subtracted
///   before the exponential, so that adding a constant that does not round changes nothing at all.
/// - In three passes (maximum; exponentials and their sum; division) while a few rows fit the first cache. The maximum
///   folds into the constants of the exponential while |scale maximum| < 64.
/// - Beyond, with a running maximum: a first pass takes blocks that fit the first cache and rescales its sum when the
///   maximum rises. The second pass multiplies the exponentials it left in y or, beyond the second cache, computes them
///   again: two reads and one write of memory instead of three and two.
template <class Rung, class Arch, bool Log, ExpInput Input>
class SoftmaxRow {
public:
  using V = typename simd::traits<Arch>::f32;
  static constexpr std::size_t width = V::width;
  /// Rows of at most this many vectors are held in registers (logarithms, which are of short rows, by fewer kernels).
  static constexpr std::size_t held = width == 1 ? 1 : Log ? 4 : simd::traits<Arch>::registers / 2;
  /// Rows of more bytes than this are taken in blocks, with a running maximum.
  static constexpr std::size_t three_pass_bytes = std::size_t{16} << 10;
  static constexpr std::size_t online_block = 2048;  ///< values; the next block arrives while one is worked on
  /// Rows of more bytes than this are computed twice rather than stored and loaded again.
  static constexpr std::size_t online_store_bytes = std::size_t{512} << 10;

  SPIQ_INLINE SoftmaxRow(float scale, EmptyRow empty) : exp_(make(scale)), scale_(scale), empty_(empty) {}

  /// `count` rows of n columns; y may be x.
  void rows(const float* x, std::size_t x_stride, float* y, std::size_t y_stride, std::size_t n,
            std::size_t count) const noexcept {
    if (n == 0) return;
    if (n <= held * width) {
      const auto vectors = (n + width - 1) / width;
      [&]<std::size_t... I>(std::index_sequence<I...>) {
        static_cast<void>(
            ((vectors == I + 1 && (rows_in_registers<static_cast<int>(I) + 1>(x, x_stride, y, y_stride, n, count), true)) ||
             ...));
      }(std::make_index_sequence<held>{});
    } else if (n * sizeof(float) <= three_pass_bytes) {
      rows_in_three_passes(x, x_stride, y, y_stride, n, count);
    } else {
      const bool stores = !Log && n * sizeof(float) <= online_store_bytes;
      for (std::size_t r = 0; r < count; ++r, x += x_stride, y += y_stride)
        stores ? row_online<!Log>(x, y, n) : row_online<false>(x, y, n);
    }
  }

private:
  // The exponential of what lies below the maximum, up to a constant factor (which a logarithm would show).
  using E = Exp<std::conditional_t<Log, Rung, detail::unnormalised<Rung>>, Arch, Input, ExpDomain::nonpositive>;
  static constexpr bool propagates = Rung::nan == accuracy::Nan::propagate;

  /// The maximum is folded into the constants of the exponential while products of this size are exact enough.
  static constexpr float folded_limit = 64;

  static SPIQ_INLINE E make(float scale) {
    if constexpr (Input == ExpInput::plain)
      return E();
    else
      return E(scale);
  }
  static SPIQ_INLINE bool finite(float x) { return x - x == 0; }

  /// What a row is multiplied by, or (logarithm) what is added to it.
  [[nodiscard]] static SPIQ_INLINE V finish(V lane_sums) {
    const V sum = simd::sum_all(lane_sums);
    if constexpr (Log)
      return V::broadcast(-std::log(simd::first_lane(sum)));
    else
      return V::broadcast(1.0f / simd::first_lane(sum));  // once a row: an estimate with a step costs the same
  }

  template <int N>
  SPIQ_NOINLINE void rows_in_registers(const float* x, std::size_t x_stride, float* y, std::size_t y_stride,
                                       std::size_t n, std::size_t count) const noexcept {
    const E exp = exp_;
    const V lowest = V::broadcast(detail::minus_infinity), scale = V::broadcast(scale_);
    const int rest = static_cast<int>(n - (N - 1) * width);
    for (std::size_t r = 0; r < count; ++r, x += x_stride, y += y_stride) {
      V value[N], part[4] = {lowest, lowest, lowest, lowest};
      SPIQ_UNROLL
      for (int i = 0; i < N; ++i) {
        const float* p = x + static_cast<std::size_t>(i) * width;
        value[i] = i < N - 1 ? V::load(p) : simd::load_first_or(p, rest, lowest);
        part[i % 4] = max(value[i], part[i % 4]);
      }
      const V top = simd::max_all(max(max(part[0], part[1]), max(part[2], part[3])));
      if (!finite(simd::first_lane(top))) {
        detail::special_row<Log>(x, y, n, empty_, propagates);
        continue;
      }
      for (V& p : part) p = V::zero();
      SPIQ_UNROLL
      for (int i = 0; i < N; ++i) {
        value[i] = value[i] - top;
        const V e = exp(value[i]);
        part[i % 4] = part[i % 4] + e;
        if constexpr (!Log) value[i] = e;
      }
      const V last = finish((part[0] + part[1]) + (part[2] + part[3]));
      SPIQ_UNROLL
      for (int i = 0; i < N; ++i) {
        if constexpr (Log)
          value[i] = Input == ExpInput::plain ? value[i] + last : fma(value[i], scale, last);
        else
          value[i] = value[i] * last;
        float* p = y + static_cast<std::size_t>(i) * width;
        if (i < N - 1)
          value[i].store(p);
        else
          value[i].store_first(p, rest);
      }
    }
  }

  /// Between the passes of one row stand sums and maxima over lanes and a division, which take as long as half a pass:
  /// the maximum of the next row is sought while they run.
  SPIQ_NOINLINE void rows_in_three_passes(const float* x, std::size_t x_stride, float* y, std::size_t y_stride,
                                          std::size_t n, std::size_t count) const noexcept {
    const E exp = exp_;
    V top = simd::max_all(detail::lane_maximum<V>(x, n));
    for (std::size_t r = 0; r < count; ++r, x += x_stride, y += y_stride) {
      const V here = top;
      const bool regular = finite(simd::first_lane(here));
      V sums = V::zero();
      if (regular) sums = exponentials<!Log>(x, y, n, exp, here);
      const bool fuse = !Log && regular && r + 1 < count;
      if (r + 1 < count && !fuse) top = simd::max_all(detail::lane_maximum<V>(x + x_stride, n));
      if (!regular) {
        detail::special_row<Log>(x, y, n, empty_, propagates);
        continue;
      }
      const V last = finish(sums);
      if constexpr (Log)
        write_log(x, y, n, here, last);
      else if (fuse)
        top = simd::max_all(detail::scale_and_maximum(y, last, x + x_stride, n));
      else
        detail::map_row<V>(y, y, n, [&](V v) SPIQ_LAMBDA_INLINE { return v * last; });
    }
  }
  /// Lane sums of exp(scale (x - top)), stored to y if wanted.
  template <bool Store, std::size_t Ahead = 0>
  [[nodiscard]] SPIQ_INLINE V exponentials(const float* x, float* y, std::size_t n, const E& exp, V top) const {
    if constexpr (Input == ExpInput::affine) {
      if (std::abs(simd::first_lane(top) * scale_) < folded_limit) {
        const E e = exp.relative_to(top);
        return detail::lane_sum<V, Store, Ahead>(x, y, n, [&](V v) SPIQ_LAMBDA_INLINE { return e(v); });
      }
    }
    return detail::lane_sum<V, Store, Ahead>(x, y, n, [&](V v) SPIQ_LAMBDA_INLINE { return exp(v - top); });
  }
  /// y = factor exp(scale (x - top)), bit for bit the terms of `exponentials` times the factor.
  SPIQ_INLINE void exponentials_times(const float* x, float* y, std::size_t n, const E& exp, V top, V factor) const {
    if constexpr (Input == ExpInput::affine) {
      if (std::abs(simd::first_lane(top) * scale_) < folded_limit) {
        const E e = exp.relative_to(top);
        detail::map_row<V>(x, y, n, [&](V v) SPIQ_LAMBDA_INLINE { return e(v) * factor; });
        return;
      }
    }
    detail::map_row<V>(x, y, n, [&](V v) SPIQ_LAMBDA_INLINE { return exp(v - top) * factor; });
  }
  SPIQ_INLINE void write_log(const float* x, float* y, std::size_t n, V top, V last) const {
    const V scale = V::broadcast(scale_);
    detail::map_row<V>(x, y, n, [&](V v) SPIQ_LAMBDA_INLINE {
      return Input == ExpInput::plain ? (v - top) + last : fma(v - top, scale, last);
    });
  }

  /// No less than the maximum, and multiples of ln 2 (after scaling) above the row's first: between such references the
  /// exponentials of every rung differ by a power of two alone, so that equal entries of different blocks stay equal.
  [[nodiscard]] float reference(float top, float first) const {
    const double octaves = (double{top} - double{first}) * double{scale_} * detail::log2_e;
    const double up = double{first} + std::ceil(octaves) / (detail::log2_e * double{scale_});
    // Floats that do not resolve the multiples are as far apart as it takes.
    return octaves < 1e6 && std::abs(up) < 3e38 ? std::max(top, static_cast<float>(up)) : top;
  }

  /// `Store`: the first pass leaves exponentials in y and the second multiplies them; else it computes them again.
  template <bool Store>
  SPIQ_NOINLINE void row_online(const float* x, float* y, std::size_t n) const noexcept {
    constexpr std::size_t limit = 1024;
    const std::size_t block = std::max(online_block, (n / limit / width + 1) * width);
    const E exp = exp_;
    float references[limit];
    float top = detail::minus_infinity, at = top, first = top;
    double sum = 0;
    const auto change = [&](float from, float to) { return std::exp(double{scale_} * (double{from} - double{to})); };
    for (std::size_t i = 0, b = 0; i < n; i += block, ++b) {
      const std::size_t count = std::min(block, n - i);
      const float here = simd::first_lane(simd::max_all(detail::lane_maximum<V>(x + i, count)));
      if (here > top) {
        top = here;
        const float next = finite(top) && finite(at) ? reference(top, first) : top;
        if (!finite(at)) first = next;
        if (next > at) {
          if (finite(at)) sum *= change(at, next);
          at = next;
        }
      }
      references[b] = at;
      if (!finite(at)) {  // nothing above -inf yet, or +inf
        if (top < 0) {
          if (propagates && std::any_of(x + i, x + i + count, [](float v) { return v != v; })) sum = NAN;
          continue;
        }
        break;
      }
      const V sums = exponentials<Store, online_block>(x + i, y + i, count, exp, V::broadcast(at));
      sum += double{simd::first_lane(simd::sum_all(sums))};
    }
    if (!finite(top)) {
      detail::special_row<Log>(x, y, n, empty_, propagates);
      return;
    }
    if constexpr (Log) {
      write_log(x, y, n, V::broadcast(at), V::broadcast(static_cast<float>(-std::log(sum))));
    } else {
      for (std::size_t i = 0, b = 0; i < n; i += block, ++b) {
        const std::size_t count = std::min(block, n - i);
        if (!finite(references[b])) {  // before the first value above -inf
          std::fill_n(y + i, count, static_cast<float>(0 / sum));
          continue;
        }
        const V factor = V::broadcast(static_cast<float>(change(references[b], at) / sum));
        if constexpr (Store) {
          detail::map_row<V>(y + i, y + i, count, [&](V v) SPIQ_LAMBDA_INLINE { return v * factor; });
        } else {
          exponentials_times(x + i, y + i, count, exp, V::broadcast(references[b]), factor);
        }
      }
    }
  }

  E exp_;
  float scale_;
  EmptyRow empty_;
};

}  // namespace kernel

SPIQ_END_NAMESPACE
