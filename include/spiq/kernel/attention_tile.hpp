/// @file
/// The products of attention in register tiles, with one query per lane.
///
/// Scores are kept transposed, [key][query], and so is the output, [dim][query]. Then the maximum and the sum of a
/// softmax are plain operations on vectors, keys and dimensions need no padding, and both products have the form
/// C[row][lane] = sum over k of A[row][k] B[k][lane], where A is the array of keys or values as it lies in memory (its
/// elements are broadcast) and B is small and stays in the L1 cache. Only queries are transposed on the way in and
/// outputs on the way out.
#pragma once

#include <spiq/core/bfloat16.hpp>
#include <spiq/kernel/attention_shape.hpp>
#include <spiq/kernel/tile.hpp>
#include <spiq/simd/bf16.hpp>
#include <spiq/simd/transpose.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// Pairs of bfloat16 -> float; a packed lane holds the bits of a pair.
struct ElementBf16 {
  using Input = bfloat16;
  using Lane = float;
  static constexpr int group = 2;
  template <class Arch>
  using vec = typename simd::traits<Arch>::f32;

  template <class Arch>
  static SPIQ_INLINE vec<Arch> broadcast(const Input* p) {
    std::int32_t pair;
    std::memcpy(&pair, static_cast<const void*>(p), sizeof(pair));
    return from_bits(simd::traits<Arch>::i32::broadcast(pair));
  }
  template <class Arch>
  static SPIQ_INLINE vec<Arch> multiply_add(vec<Arch> acc, vec<Arch> input, vec<Arch> weight) {
    return simd::dot_bf16(acc, bits_of(input), bits_of(weight));
  }
};

namespace detail {
/// How values of type T enter the products: in pairs where the machine multiplies them, else as floats.
template <class T, class Arch>
using AttentionElement =
    std::conditional_t<std::is_same_v<T, bfloat16> && simd::has_bf16_dot<Arch>, ElementBf16, ElementF32>;

/// Rows of a tile of NV vectors: enough accumulators to hide the latency, no more than there are registers.
template <class Arch, int NV>
inline constexpr int attention_rows = simd::traits<Arch>::registers >= 32 || NV == 1 ? 8 : 4;

/// C[r][lane] for r < rows, NV vectors of lanes, in tiles: sum over k < groups of A(r, k) B(k, lane), A(r, k) at
/// a + r * row_step + k * step, B as [k][NV * width]. Each tile starts from `init(first row, tile)` and ends in
/// `done(first row, tile)`; rows from `rows` on repeat the last one.
template <class Arch, class Element, int NV, class Init, class Done>
SPIQ_INLINE void attention_product(const typename Element::Input* a, std::ptrdiff_t row_step, std::size_t rows,
                                   const float* b, std::ptrdiff_t groups, std::ptrdiff_t step, const Init& init,
                                   const Done& done) {
  using V = typename simd::traits<Arch>::f32;
  constexpr int MR = attention_rows<Arch, NV>;
  for (std::size_t r0 = 0; r0 < rows; r0 += MR) {
    const typename Element::Input* row[MR];
    SPIQ_UNROLL
    for (int r = 0; r < MR; ++r)
      row[r] = a + static_cast<std::ptrdiff_t>(std::min(r0 + static_cast<std::size_t>(r), rows - 1)) * row_step;
    V acc[MR][NV];
    init(r0, acc);
    accumulate<Arch, Element, (1u << MR) - 1u>(acc, row, 0, b, groups, step);
    done(r0, acc);
  }
}

/// The first n of a row, n <= width, as one vector of packed lanes: values, widened values, or pairs (then n counts
/// values, two to a lane).
template <class Arch, class Element, class T>
SPIQ_INLINE typename simd::traits<Arch>::f32 load_lanes(const T* p, int n) {
  using V = typename simd::traits<Arch>::f32;
  if constexpr (std::is_same_v<T, float>) {
    return V::load_first(p, n);
  } else if constexpr (std::is_same_v<Element, ElementF32>) {
    return simd::load_bf16<Arch>(p, n);
  } else {
    alignas(64) float lanes[static_cast<std::size_t>(V::width)] = {};
    if (n >= 2 * V::width)
      std::memcpy(static_cast<void*>(lanes), static_cast<const void*>(p), sizeof(lanes));
    else
      std::memcpy(static_cast<void*>(lanes), static_cast<const void*>(p), sizeof(T) * static_cast<std::size_t>(n));
    return V::load(lanes);
  }
}

template <class V, class T>
SPIQ_INLINE void store_lanes(V v, T* p, int n) {
  if constexpr (std::is_same_v<T, float>)
    v.store_first(p, n);
  else
    simd::store_bf16(v, p, n);
}
template <class Arch, class V, std::size_t W>
SPIQ_INLINE void transpose_lanes(V (&square)[W]) {
  if constexpr (W > 1) simd::transpose<Arch>(square);
}

/// Rows [0, rows) of `columns` values each to [column][NV * width], one row per lane; absent lanes are zero. Pairs of
/// columns make one where Element takes pairs.
template <class Arch, class Element, class T>
SPIQ_NOINLINE inline void pack_lanes(float* to, const T* from, std::size_t row_step, std::size_t rows,
                                     std::size_t columns, std::size_t vectors) noexcept {
  using V = typename simd::traits<Arch>::f32;
  constexpr std::size_t W = static_cast<std::size_t>(V::width), group = Element::group;
  const std::size_t packed = (columns + group - 1) / group;
  for (std::size_t v = 0; v < vectors; ++v)
    for (std::size_t c = 0; c < packed; c += W) {
      V square[W];
      const int n = static_cast<int>(std::min(columns - c * group, W * group));
      const T* const at = from + v * W * row_step + c * group;
      if (v * W + W <= rows && c + W <= packed) {
        SPIQ_UNROLL
        for (std::size_t i = 0; i < W; ++i) square[i] = load_lanes<Arch, Element>(at + i * row_step, n);
        transpose_lanes<Arch>(square);
        SPIQ_UNROLL
        for (std::size_t i = 0; i < W; ++i) square[i].store(to + ((c + i) * vectors + v) * W);
        continue;
      }
      for (std::size_t i = 0; i < W; ++i)
        square[i] = v * W + i < rows ? load_lanes<Arch, Element>(at + i * row_step, n) : V::zero();
      transpose_lanes<Arch>(square);
      for (std::size_t i = 0; i < std::min(W, packed - c); ++i) square[i].store(to + ((c + i) * vectors + v) * W);
    }
}

/// The reverse: [column][vectors * width] times a factor per lane, to rows of values.
template <class Arch, class T>
SPIQ_NOINLINE inline void unpack_lanes(T* to, std::size_t row_step, const float* from, const float* factor,
                                       std::size_t rows, std::size_t columns, std::size_t vectors) noexcept {
  using V = typename simd::traits<Arch>::f32;
  constexpr std::size_t W = static_cast<std::size_t>(V::width);
  for (std::size_t v = 0; v < vectors; ++v) {
    const V f = V::load(factor + v * W);
    for (std::size_t c = 0; c < columns; c += W) {
      V square[W];
      T* const at = to + v * W * row_step + c;
      if (v * W + W <= rows && c + W <= columns) {
        SPIQ_UNROLL
        for (std::size_t i = 0; i < W; ++i) square[i] = V::load(from + ((c + i) * vectors + v) * W) * f;
        transpose_lanes<Arch>(square);
        SPIQ_UNROLL
        for (std::size_t i = 0; i < W; ++i) store_lanes(square[i], at + i * row_step, V::width);
        continue;
      }
      for (std::size_t i = 0; i < W; ++i)
        square[i] = c + i < columns ? V::load(from + ((c + i) * vectors + v) * W) * f : V::zero();
      transpose_lanes<Arch>(square);
      const int n = static_cast<int>(std::min(columns - c, W));
      for (std::size_t i = 0; i < W && v * W + i < rows; ++i) store_lanes(square[i], at + i * row_step, n);
    }
  }
}

/// Rows as the products read them: where they lie in memory, or a copy in scratch.
template <class Element>
struct AttentionRows {
  const typename Element::Input* data;
  std::ptrdiff_t row;   ///< from a token to the next (to the next pair where values come in pairs)
  std::ptrdiff_t step;  ///< from a dimension to the next
};

/// Rows of one head, to be multiplied along the dimensions (keys). The copy has even rows where Element takes pairs.
template <class Arch, class Element, class T>
SPIQ_NOINLINE inline AttentionRows<Element> attention_keys(const T* from, std::size_t row_step, std::size_t rows,
                                                           std::size_t dim, float* scratch) noexcept {
  constexpr std::size_t W = static_cast<std::size_t>(simd::traits<Arch>::width);
  if constexpr (std::is_same_v<Element, ElementF32>) {
    if constexpr (std::is_same_v<T, float>) {
      // A stride of many cache lines would put all rows into a few sets of the L1 cache.
      if (row_step < 2 * dim) return {from, static_cast<std::ptrdiff_t>(row_step), 1};
    }
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < dim; c += W) {
        const int n = static_cast<int>(std::min(dim - c, W));
        load_lanes<Arch, Element>(from + r * row_step + c, n).store_first(scratch + r * dim + c, n);
      }
    return {scratch, static_cast<std::ptrdiff_t>(dim), 1};
  } else {
    if (dim % 2 == 0) return {from, static_cast<std::ptrdiff_t>(row_step), 2};
    auto* const to = reinterpret_cast<bfloat16*>(scratch);
    for (std::size_t r = 0; r < rows; ++r) {
      bfloat16* const row = to + r * (dim + 1);
      std::memcpy(static_cast<void*>(row), static_cast<const void*>(from + r * row_step), dim * sizeof(bfloat16));
      row[dim] = bfloat16{};
    }
    return {to, static_cast<std::ptrdiff_t>(dim + 1), 2};
  }
}

/// Rows of one head, to be multiplied along the tokens (values): [pair of tokens][dim][2] where Element takes pairs.
template <class Arch, class Element, class T>
SPIQ_NOINLINE inline AttentionRows<Element> attention_values(const T* from, std::size_t row_step, std::size_t rows,
                                                             std::size_t dim, float* scratch) noexcept {
  if constexpr (std::is_same_v<Element, ElementF32>) {
    return attention_keys<Arch, Element>(from, row_step, rows, dim, scratch);
  } else {
    using V = typename simd::traits<Arch>::f32;
    constexpr std::size_t W = static_cast<std::size_t>(V::width);
    for (std::size_t r = 0; r < rows; r += 2)
      for (std::size_t c = 0; c < dim; c += W) {
        const int n = static_cast<int>(std::min(dim - c, W));
        const V first = simd::load_bf16<Arch>(from + r * row_step + c, n);
        const V second = r + 1 < rows ? simd::load_bf16<Arch>(from + (r + 1) * row_step + c, n) : V::zero();
        from_bits(pair_bf16(first, second)).store_first(scratch + r / 2 * dim + c, n);
      }
    return {reinterpret_cast<const bfloat16*>(scratch), static_cast<std::ptrdiff_t>(2 * dim), 2};
  }
}

}  // namespace detail

}  // namespace kernel

SPIQ_END_NAMESPACE
