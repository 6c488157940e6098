/// @file
/// Weights of a convolution in the order in which register tiles read them.
#pragma once

#include <spiq/core/storage.hpp>
#include <spiq/kernel/depthwise.hpp>
#include <spiq/kernel/geometry.hpp>
#include <spiq/kernel/tile.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

/// Weights packed as [block of output channels][tap][input group][vector][lane].
///
/// A block spans the inputs of all groups that its channels belong to, absent weights being zero, so that any number
/// of groups runs on the same tiles. Float depthwise weights need no inputs: [block][tap][vector][lane]. Channels
/// beyond the last are zero weights.
template <class Arch, class Element>
class PackedWeights {
public:
  using Weight = typename Element::Weight;
  using Lane = typename Element::Lane;
  static constexpr int width = Element::template vec<Arch>::width;
  static constexpr int channel_block = TileShape<Arch>::vectors * width;

  struct Block {
    std::size_t weights = 0;  ///< where its lanes start
    int channel = 0;          ///< first output channel
    int channels = 0;         ///< real output channels
    int vectors = 0;          ///< 1, 2 or 4, as few as hold the channels
    int first_input = 0;      ///< first input channel, a multiple of Element::group
    int groups = 0;           ///< input groups per tap
  };

  PackedWeights() = default;

  /// Packs weights [out, in / groups, kernel_h, kernel_w]. Throws Error when sizes do not fit.
  PackedWeights(const ConvGeometry& g, std::span<const Weight> weights) {
    check(g, weights.size());
    for (int channel = 0; channel < g.out_channels;) {
      Block b;
      b.channel = channel;
      const int left = g.out_channels - channel;
      if (depthwise(g)) {
        b.vectors = left >= depthwise_vectors<Arch> * width ? depthwise_vectors<Arch> : 1;
        b.channels = std::min(b.vectors * width, left);
        b.first_input = channel;
        b.groups = 1;
      } else {
        b.channels = std::min(channel_block, left);
        b.vectors = 1;
        while (b.vectors * width < b.channels) b.vectors *= 2;
        const int first = channel / g.group_out() * g.group_in();
        const int last = ((channel + b.channels - 1) / g.group_out() + 1) * g.group_in();
        b.first_input = first / Element::group * Element::group;
        b.groups = (last - b.first_input + Element::group - 1) / Element::group;
      }
      b.weights = lanes_.size();
      lanes_.resize(lanes_.size() + static_cast<std::size_t>(g.kernel_h * g.kernel_w) *
                                        static_cast<std::size_t>(b.groups) *
                                        static_cast<std::size_t>(b.vectors * width));
      pack(g, b, weights);
      blocks_.push_back(b);
      channel += b.channels;
    }
  }

  /// True where each output channel reads one input channel of the same number, and `Element` has tiles for that.
  static bool depthwise(const ConvGeometry& g) {
    return std::is_same_v<Element, ElementF32> && g.groups > 1 && g.groups == g.in.channels &&
           g.groups == g.out_channels;
  }

  [[nodiscard]] const std::vector<Block>& blocks() const noexcept { return blocks_; }
  [[nodiscard]] const Lane* lanes(const Block& b) const noexcept { return lanes_.data() + b.weights; }
  [[nodiscard]] std::size_t bytes() const noexcept { return lanes_.size() * sizeof(Lane); }

private:
  void pack(const ConvGeometry& g, const Block& block, std::span<const Weight> weights) {
    Lane* lane = lanes_.data() + block.weights;
    for (int ky = 0; ky < g.kernel_h; ++ky)
      for (int kx = 0; kx < g.kernel_w; ++kx)
        for (int k = 0; k < block.groups; ++k)
          for (int l = 0; l < block.vectors * width; ++l) {
            Weight values[Element::group] = {};
            const int out = block.channel + l;
            for (int i = 0; l < block.channels && i < Element::group; ++i) {
              const int in =
                  depthwise(g) ? 0 : block.first_input + k * Element::group + i - out / g.group_out() * g.group_in();
              if (in < 0 || in >= g.group_in()) continue;
              const std::size_t from = static_cast<std::size_t>(out) * static_cast<std::size_t>(g.fan_in()) +
                                       static_cast<std::size_t>((in * g.kernel_h + ky) * g.kernel_w + kx);
              values[i] = weights[from];
            }
            *lane++ = Element::lane(values);
          }
  }

  std::vector<Block> blocks_;
  AlignedVector<Lane> lanes_;
};

}  // namespace kernel

SPIQ_END_NAMESPACE
