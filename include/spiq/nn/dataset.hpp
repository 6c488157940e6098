/// @file
/// Where images and labels come from.
#pragma once

#include <spiq/core/tensor.hpp>
#include <spiq/simd/simd.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// Labelled images: `size()` of them; `fill` resizes `images` to [n, c, h, w], one image per index, writes values in
/// [0, 1], and writes one class number per index.
template <class D>
concept Dataset = requires(D& data, std::span<const std::uint32_t> indices, Tensor<float>& images, std::span<int> labels) {
  { data.size() } -> std::convertible_to<std::size_t>;
  data.fill(indices, images, labels);
};

namespace nn {

/// Reads the images `indices` of `data`: `images` becomes [n, c, h, w] in [0, 1], `labels` n class numbers, with n
/// the number of indices. Throws where the images do not fit `Net` or are not one per index: a data set may be the
/// user's own, and what follows reads as many images as it asked for.
template <class Net, class Data>
void fill_batch(Data& data, std::span<const std::uint32_t> indices, Tensor<float>& images, std::vector<int>& labels) {
  labels.assign(indices.size(), -1);  // no class: a label that `fill` forgets is refused, not the last batch's
  data.fill(indices, images, std::span<int>(labels));
  Net::check_images(images);
  if (images.extent(0) != indices.size())
    SPIQ_THROW("data set", std::to_string(indices.size()) + " images", std::to_string(images.extent(0)));
}

}  // namespace nn

/// Images [n, c, h, w] and labels that lie in memory elsewhere: float in [0, 1], or bytes, which count as byte / 255.
/// The arrays must outlive the data set.
template <class T>
class SpanDataset {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, std::uint8_t>,
                "spiq: SpanDataset reads float images in [0, 1] or std::uint8_t images in [0, 255]");

public:
  /// Throws unless there is one image of `shape` per label.
  SpanDataset(std::span<const T> images, std::span<const int> labels, Shape shape)
      : images_(images), labels_(labels), shape_(shape) {
    if (!shape.valid() || images.size() != labels.size() * shape.size())
      SPIQ_THROW("data set of images " + to_string(shape), std::to_string(labels.size() * shape.size()) + " values",
                 std::to_string(images.size()));
  }

  [[nodiscard]] std::size_t size() const { return labels_.size(); }
  [[nodiscard]] Shape shape() const { return shape_; }
  [[nodiscard]] std::span<const T> images() const { return images_; }
  [[nodiscard]] std::span<const int> labels() const { return labels_; }

  /// Images [n, c, h, w] in [0, 1] and labels of `indices`, in their order; throws where one is not below size().
  void fill(std::span<const std::uint32_t> indices, Tensor<float>& images, std::span<int> labels) const {
    const std::size_t n = shape_.size();
    images.resize({indices.size(), static_cast<std::size_t>(shape_.channels), static_cast<std::size_t>(shape_.height),
                   static_cast<std::size_t>(shape_.width)});
    for (const std::uint32_t i : indices)
      if (i >= size()) SPIQ_THROW("data set index", "below " + std::to_string(size()), std::to_string(i));
    for (std::size_t s = 0; s < indices.size(); ++s) {
      copy(images_.data() + indices[s] * n, images.data() + s * n, n);
      labels[s] = labels_[indices[s]];
    }
  }

private:
  static void copy(const float* from, float* to, std::size_t n) { std::copy_n(from, n, to); }
  static void copy(const std::uint8_t* from, float* to, std::size_t n) {
    using V = simd::traits<simd::best>::f32;
    const V scale = V::broadcast(255.0f);
    std::size_t i = 0;
    for (; i + V::width <= n; i += V::width) (V::load_u8(from + i) / scale).store(to + i);
    for (; i < n; ++i) to[i] = static_cast<float>(from[i]) / 255.0f;
  }

  std::span<const T> images_;
  std::span<const int> labels_;
  Shape shape_;
};

/// Some images of another data set, which must outlive this one.
template <Dataset Data>
class SubsetDataset {
public:
  /// Throws where an index lies beyond the data set.
  SubsetDataset(Data& data, std::vector<std::uint32_t> indices) : data_(&data), indices_(std::move(indices)) {
    for (const std::uint32_t i : indices_)
      if (i >= data.size()) SPIQ_THROW("subset index", "below " + std::to_string(data.size()), std::to_string(i));
  }

  [[nodiscard]] std::size_t size() const { return indices_.size(); }
  [[nodiscard]] std::span<const std::uint32_t> indices() const { return indices_; }
  /// What the whole data set gives for these of the subset's indices; throws where one is not below size().
  void fill(std::span<const std::uint32_t> indices, Tensor<float>& images, std::span<int> labels) {
    chosen_.clear();
    for (const std::uint32_t i : indices) {
      if (i >= size()) SPIQ_THROW("subset index", "below " + std::to_string(size()), std::to_string(i));
      chosen_.push_back(indices_[i]);
    }
    data_->fill(chosen_, images, labels);
  }

private:
  Data* data_;
  std::vector<std::uint32_t> indices_, chosen_;
};

SPIQ_END_NAMESPACE
