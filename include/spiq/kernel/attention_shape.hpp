/// @file
/// What an attention is asked for: extents, layouts, masks; and how its work is cut into blocks.
#pragma once

#include <spiq/core/bfloat16.hpp>
#include <spiq/core/checked.hpp>
#include <spiq/core/error.hpp>
#include <spiq/core/storage.hpp>
#include <spiq/simd/simd.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// Elements from a token to the next and from a head to the next; the values of one token and head are contiguous.
struct HeadStrides {
  std::size_t token = 0, head = 0;
  /// [heads][tokens][dim].
  static constexpr HeadStrides head_major(std::size_t tokens, std::size_t dim) { return {dim, tokens * dim}; }
  /// [tokens][heads * dim].
  static constexpr HeadStrides token_major(std::size_t heads, std::size_t dim) { return {heads * dim, dim}; }
  /// Elements from the first to one past the last; the largest size where that does not fit.
  [[nodiscard]] constexpr std::size_t extent(std::size_t tokens, std::size_t heads, std::size_t dim) const {
    return strided_extent(heads, head, strided_extent(tokens, token, dim));
  }
  /// No two tokens or heads share a value: whole heads lie one after the other, or whole tokens do.
  [[nodiscard]] constexpr bool disjoint(std::size_t tokens, std::size_t heads, std::size_t dim) const {
    if (tokens > 1 && token < dim) return false;
    return heads <= 1 || head >= strided_extent(tokens, token, dim) ||
           (head >= dim && (tokens <= 1 || token >= strided_extent(heads, head, dim)));
  }
};

/// Problem of one attention, all sizes given.
struct AttentionShape {
  std::size_t queries = 0, keys = 0, heads = 1, dim = 0;
  float scale = 1;              ///< of the scores, before the mask is added
  bool causal = false;          ///< query i sees keys j <= i + past only
  std::size_t past = 0;         ///< keys before that of query 0
  const float* mask = nullptr;  ///< [queries][keys], added to the scores of every head; may be absent
  HeadStrides q, k, v, out;
};

namespace detail {
/// How an attention is cut, and how much scratch one thread needs.
template <class Arch>
struct AttentionPlan {
  static constexpr std::size_t width = static_cast<std::size_t>(simd::traits<Arch>::width);
  static constexpr std::size_t max_vectors = 3;  ///< vectors of queries in a block
  static constexpr std::size_t lanes = max_vectors * width;
  static constexpr std::size_t padding = 8;          ///< rows of the largest tile
  static constexpr std::size_t largest_block = 128;  ///< keys of a block: their scores stay in the L1 cache

  std::size_t query_vectors, query_blocks, key_blocks, key_block, dim_rows, dim_pairs;

  explicit constexpr AttentionPlan(const AttentionShape& s)
      : query_vectors((s.queries + width - 1) / width),
        query_blocks((query_vectors + max_vectors - 1) / max_vectors),
        key_blocks(std::max<std::size_t>((s.keys + largest_block - 1) / largest_block, 1)),
        key_block(round_up((s.keys + key_blocks - 1) / key_blocks)),
        dim_rows(round_up(s.dim)),
        dim_pairs((s.dim + 1) / 2) {}

  static constexpr std::size_t round_up(std::size_t n, std::size_t to = padding) { return (n + to - 1) / to * to; }
  /// First vector of a block; blocks are as equal as possible.
  [[nodiscard]] constexpr std::size_t first_vector(std::size_t block) const {
    return query_vectors * block / std::max<std::size_t>(query_blocks, 1);
  }
  /// Floats of `rows` x `columns`, rounded up to whole cache lines.
  static constexpr std::size_t area(std::size_t rows, std::size_t columns) { return round_up(rows * columns, 16); }
};

/// A region of floats handed out piece by piece, each on a cache line.
class Scratch {
public:
  explicit Scratch(float* p) : at_(p) {}
  float* take(std::size_t floats) {
    float* const p = at_;
    at_ += (floats + 15) / 16 * 16;
    return p;
  }
  /// The first cache line at or after p; workspaces are measured with room for that.
  static float* align(float* p) {
    const auto address = reinterpret_cast<std::uintptr_t>(p);
    return p + (64 - address % 64) % 64 / sizeof(float);
  }

private:
  float* at_;
};
}  // namespace detail

}  // namespace kernel

namespace math {

/// Order of q, k, v and the output in memory.
enum class AttentionLayout {
  heads_tokens_dim,  ///< [heads][tokens][dim]
  tokens_heads_dim   ///< [tokens][heads * dim], as a linear layer gives them
};

/// Extents and options of `attention`.
struct AttentionOptions {
  std::size_t queries = 0, keys = 0, heads = 1, dim = 0;
  std::optional<float> scale{};  ///< of the scores; 1 / sqrt(dim) if not given
  bool causal = false;           ///< query i sees keys j <= i + past only
  std::size_t past = 0;          ///< keys before that of query 0
  std::span<const float> mask{};  ///< additive, [queries][keys], for all heads; -inf hides a key; empty: none
  AttentionLayout layout = AttentionLayout::heads_tokens_dim;
  /// Strides in place of those of the layout, e.g. for q, k and v side by side in one array. Token and head both zero:
  /// those of the layout. A head stride of zero beside a token stride: all heads share the one that is there, as k and
  /// v of multi-query attention do (arXiv 1911.02150); outputs and gradients must not overlap.
  kernel::HeadStrides q{}, k{}, v{}, out{};
  int threads = 1;

  /// The same with all sizes and strides filled in.
  [[nodiscard]] kernel::AttentionShape shape() const {
    const auto strides = [&](const kernel::HeadStrides& own, std::size_t tokens) {
      // The stride of a lone token leads nowhere, but the products count their steps by it.
      if (own.token != 0 || own.head != 0) return tokens == 1 ? kernel::HeadStrides{dim, own.head} : own;
      return layout == AttentionLayout::heads_tokens_dim ? kernel::HeadStrides::head_major(tokens, dim)
                                                         : kernel::HeadStrides::token_major(heads, dim);
    };
    kernel::AttentionShape s;
    s.queries = queries;
    s.keys = keys;
    s.heads = heads;
    s.dim = dim;
    s.scale = scale ? *scale : dim == 0 ? 1.0f : static_cast<float>(1.0 / std::sqrt(static_cast<double>(dim)));
    s.causal = causal;
    s.past = std::min(past, keys);  // beyond, every query sees every key, and sums with it could wrap round
    s.mask = mask.empty() ? nullptr : mask.data();
    s.q = strides(q, queries);
    s.k = strides(k, keys);
    s.v = strides(v, keys);
    s.out = strides(out, queries);
    return s;
  }
};

namespace detail {
/// Throws unless `found` values are enough.
inline void check_values(const char* name, std::size_t needed, std::size_t found) {
  if (found < needed)
    SPIQ_THROW(std::string("attention: ") + name, "at least " + std::to_string(needed) + " values",
               std::to_string(found));
}
/// Throws unless an array of `found` values holds all heads of `tokens`.
inline void check_heads(const char* name, const kernel::HeadStrides& s, std::size_t tokens, const AttentionOptions& o,
                        std::size_t found) {
  if (tokens > 1 && s.token < o.dim)
    SPIQ_THROW(std::string("attention: token stride of ") + name, "at least " + std::to_string(o.dim),
               std::to_string(s.token));
  check_values(name, s.extent(tokens, o.heads, o.dim), found);
}
/// The same for an array that is written.
inline void check_written_heads(const char* name, const kernel::HeadStrides& s, std::size_t tokens,
                                const AttentionOptions& o, std::size_t found) {
  check_heads(name, s, tokens, o, found);
  if (!s.disjoint(tokens, o.heads, o.dim))
    SPIQ_THROW(std::string("attention: strides of ") + name, "heads that do not overlap",
               "token stride " + std::to_string(s.token) + " and head stride " + std::to_string(s.head));
}
inline void check_mask(const AttentionOptions& o) {
  if (!o.mask.empty()) check_values("mask", saturating_product(o.queries, o.keys), o.mask.size());
}
/// The workspace of the caller, which must be large enough, or if there is none a new one in `own`.
inline std::span<float> workspace_of(std::size_t needed, std::span<float> given, AlignedVector<float>& own) {
  if (given.empty()) {
    own.resize(needed);
    return own;
  }
  check_values("workspace", needed, given.size());
  return given;
}
}  // namespace detail

}  // namespace math

SPIQ_END_NAMESPACE
