/// @file
/// Multi-head self-attention.
#pragma once

#include <spiq/core/bfloat16.hpp>
#include <spiq/kernel/attention_backward.hpp>
#include <spiq/kernel/convert_half.hpp>
#include <spiq/nn/conv2d.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <type_traits>

SPIQ_BEGIN_NAMESPACE

/// Option of attention: a position sees itself and those before it only, row by row.
struct Causal {};

namespace nn {

/// What the options of an attention add up to: a rung, `full` unless given, a mask, and the type of q, k and v.
template <class... Options>
struct AttentionOptions {
  using rung = accuracy::full;
  using number = float;
  static constexpr bool causal = false;
  static constexpr int rungs = 0, masks = 0, numbers = 0, others = 0;
};
template <class First, class... Rest>
struct AttentionOptions<First, Rest...> : AttentionOptions<Rest...> {
  static constexpr int others = AttentionOptions<Rest...>::others + 1;
};
template <accuracy::Rung Rung, class... Rest>
struct AttentionOptions<Rung, Rest...> : AttentionOptions<Rest...> {
  using rung = Rung;
  static constexpr int rungs = AttentionOptions<Rest...>::rungs + 1;
};
template <class... Rest>
struct AttentionOptions<Causal, Rest...> : AttentionOptions<Rest...> {
  static constexpr bool causal = true;
  static constexpr int masks = AttentionOptions<Rest...>::masks + 1;
};
template <class... Rest>
struct AttentionOptions<bfloat16, Rest...> : AttentionOptions<Rest...> {
  using number = bfloat16;
  static constexpr int numbers = AttentionOptions<Rest...>::numbers + 1;
};

/// Forward and backward of self-attention with any number of heads that divides the channels; q, k and v as Number.
template <class Rung, class Number = float>
struct SelfAttention {
  using rung = Rung;
  using number = Number;
  struct Cache {
    Convolution::Cache in, out;
    Workspace qkv, heads, lse;                  ///< [token][3 C], [token][C], [sample][head][token]
    WorkspaceOf<Number> rounded;                ///< one sample of each worker, where Number is not float
    Workspace qkv_gradient, heads_gradient;
    Workspace scratch;
  };

  Shape in;
  int heads = 1;
  bool causal = false;
  Convolution in_projection;   ///< [3 C, C]: rows of queries, keys, values
  Convolution out_projection;  ///< [C, C]

  SelfAttention(Shape input, int head_count, bool is_causal)
      : in(input), heads(head_count), causal(is_causal), in_projection(pointwise(input, 3 * input.channels), true),
        out_projection(pointwise(input, input.channels), true) {}

  /// Sizes, strides and scale of the attention of one sample: q, k and v lie side by side in the rows of `stride`
  /// floats that the in-projection gives, the result in rows of `out_stride`.
  [[nodiscard]] kernel::AttentionShape attention(std::size_t stride, std::size_t out_stride) const {
    kernel::AttentionShape s;
    s.queries = s.keys = in.pixels();
    s.heads = static_cast<std::size_t>(heads);
    s.dim = static_cast<std::size_t>(in.channels / heads);
    s.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(s.dim)));
    s.causal = causal;
    s.q = s.k = s.v = {stride, s.dim};
    s.out = {out_stride, s.dim};
    return s;
  }

  void forward(const float* x, float* y, std::size_t samples, Cache& cache, const Pass& pass) const {
    const std::size_t c = channels(), size = in.size(), lse = static_cast<std::size_t>(heads) * in.pixels();
    float* const qkv = cache.qkv.get(3 * samples * size);
    float* const merged = cache.heads.get(samples * size);
    float* const sums = cache.lse.get(samples * lse);
    in_projection.forward(x, qkv, samples, cache.in, inner(pass));
    const kernel::AttentionShape s = attention(3 * c, c);
    const std::size_t own = kernel::attention_workspace<Number>(s);
    float* const scratch = cache.scratch.get(workers(samples, pass) * own);
    constexpr bool rounds = !std::is_same_v<Number, float>;
    [[maybe_unused]] Number* const rounded = rounds ? cache.rounded.get(workers(samples, pass) * 3 * size) : nullptr;
    parallel_for(samples, 1, pass.threads, [&](std::size_t begin, std::size_t end, int worker) {
      const auto w = static_cast<std::size_t>(worker);
      for (std::size_t i = begin; i < end; ++i) {
        const Number* q = nullptr;
        if constexpr (rounds) {
          Number* const to = rounded + 3 * w * size;
          kernel::narrow(qkv + 3 * i * size, to, 3 * size);
          kernel::widen(to, qkv + 3 * i * size, 3 * size);  // what the backward pass sees
          q = to;
        } else {
          q = qkv + 3 * i * size;
        }
        kernel::attention<Rung>(s, q, q + c, q + 2 * c, merged + i * size, sums + i * lse, scratch + w * own);
      }
    });
    out_projection.forward(merged, y, samples, cache.out, pass);
  }
  void backward(const float* x, const float* y, const float* dy, float* dx, std::size_t samples, Cache& cache,
                const Pass& pass) {
    const std::size_t c = channels(), size = in.size(), lse = static_cast<std::size_t>(heads) * in.pixels();
    float* const dmerged = cache.heads_gradient.get(samples * size);
    float* const dqkv = cache.qkv_gradient.get(3 * samples * size);
    const float *const qkv = cache.qkv.data(), *const merged = cache.heads.data(), *const sums = cache.lse.data();
    out_projection.backward(merged, y, dy, dmerged, samples, cache.out, pass);
    const kernel::AttentionShape s = attention(3 * c, c);
    const std::size_t own = kernel::attention_backward_workspace<>(s);
    float* const scratch = cache.scratch.get(workers(samples, pass) * own);
    parallel_for(samples, 1, pass.threads, [&](std::size_t begin, std::size_t end, int worker) {
      for (std::size_t i = begin; i < end; ++i) {
        const float* const q = qkv + 3 * i * size;
        float* const dq = dqkv + 3 * i * size;
        kernel::attention_backward<accuracy::full>(
            s, {q, q + c, q + 2 * c, merged + i * size, sums + i * lse, dmerged + i * size}, {dq, dq + c, dq + 2 * c},
            scratch + static_cast<std::size_t>(worker) * own);
      }
    });
    in_projection.backward(x, qkv, dqkv, dx, samples, cache.in, inner(pass));
  }

  /// Xavier's deviation over the packed matrix, as PyTorch draws it; 1 / sqrt(C) behind; zero biases.
  void initialise(Rng rng) {
    in_projection.initialise(rng.split(0), std::sqrt(0.5f));
    out_projection.initialise(rng.split(1), 1.0f);
  }

  template <class Visitor>
  void parameters(const std::string& path, Visitor&& visit) {
    const auto both = [&](Convolution& layer, const std::string& prefix) {
      visit(Parameter{prefix + "weight", layer.weight.span(), layer.weight_gradient.span(), matrix(layer),
                      ParameterKind::weight});
      visit(Parameter{prefix + "bias", layer.bias.span(), layer.bias_gradient.span(), layer.bias.extents(),
                      ParameterKind::bias});
    };
    both(in_projection, path + "in_proj_");
    both(out_projection, path + "out_proj.");
  }
  template <class Self, class Visitor>
  static void state(Self& self, const std::string& path, Visitor&& visit) {
    const auto both = [&](auto& layer, const std::string& prefix) {
      visit(prefix + "weight", layer.weight.span(), matrix(layer));
      visit(prefix + "bias", layer.bias.span(), layer.bias.extents());
    };
    both(self.in_projection, path + "in_proj_");
    both(self.out_projection, path + "out_proj.");
  }

private:
  [[nodiscard]] std::size_t channels() const { return static_cast<std::size_t>(in.channels); }
  static kernel::ConvGeometry pointwise(Shape in, int outputs) {
    kernel::ConvGeometry g;
    g.in = in;
    g.out_channels = outputs;
    return g;
  }
  /// [out, in]: a 1x1 kernel as the field's linear layer.
  static Extents matrix(const Weighted& layer) { return {layer.weight.extent(0), layer.weight.extent(1)}; }
  /// The in-projection is followed by the attention, whatever comes behind this layer.
  static Pass inner(Pass pass) {
    pass.bias_cancels = false;
    return pass;
  }
  static std::size_t workers(std::size_t samples, const Pass& pass) {
    const auto wanted = static_cast<std::size_t>(pass.threads > 0 ? pass.threads : max_threads());
    return std::max<std::size_t>(std::min(wanted, samples), 1);
  }
};

}  // namespace nn

/// Multi-head self-attention (Vaswani et al., arXiv 1706.03762) between the height * width positions of a map, each a
/// token of its channels: q, k, v = in_proj x; per head softmax(q k^T / sqrt(channels / Heads)) v; out_proj of the
/// heads side by side. Parameters as PyTorch's nn.MultiheadAttention: in_proj_weight [3 C, C] (rows of q, k, v),
/// in_proj_bias, out_proj.weight [C, C], out_proj.bias. `Heads` must divide the channels. Options: a rung of
/// kernel/accuracy.hpp for the exponentials (default `full`), `Causal`, and `bfloat16`: q, k and v are rounded to that
/// type and so are the probabilities; sums are float (relative error of a probability: 2^-8).
///
/// The backward pass takes the probabilities again, with exact exponentials, from the sums that the forward pass
/// stored: they differ from those of the forward pass by the error of the rung, and so does the gradient. It takes the
/// rounding to bfloat16 as the identity.
template <int Heads, class... Options>
struct MultiHeadAttention : nn::SelfAttention<typename nn::AttentionOptions<Options...>::rung,
                                              typename nn::AttentionOptions<Options...>::number> {
  using options = nn::AttentionOptions<Options...>;
  static_assert(Heads >= 1, "spiq: MultiHeadAttention takes at least one head");
  static_assert(options::rungs <= 1 && options::masks <= 1 && options::numbers <= 1 && options::others == 0,
                "spiq: MultiHeadAttention takes as options an accuracy (a type of spiq::accuracy), Causal and bfloat16, "
                "each at most once");
  static constexpr const char* name = "MultiHeadAttention";
  static constexpr bool accepts(Shape in) { return in.channels % (Heads > 0 ? Heads : 1) == 0; }
  static constexpr Shape output_shape(Shape in) { return in; }

  explicit MultiHeadAttention(Shape input)
      : nn::SelfAttention<typename options::rung, typename options::number>(input, Heads, options::causal) {}
};

template <class Layer, int Height, int Width, int Channels>
struct misfit;  // nn/network.hpp
/// Says what does not fit.
template <int Heads, class... Options, int Height, int Width, int Channels>
struct misfit<MultiHeadAttention<Heads, Options...>, Height, Width, Channels> {
  static_assert(MultiHeadAttention<Heads, Options...>::accepts(Shape{Height, Width, Channels}),
                "spiq: MultiHeadAttention<Heads> needs channels that its heads divide; Heads and <height, width, "
                "channels> are the arguments of spiq::misfit<...>");
};

SPIQ_END_NAMESPACE
