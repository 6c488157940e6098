/// @file
/// Sets of labelled images as bytes.
#pragma once

#include <spiq/core/tensor.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// Mean and standard deviation per channel of images scaled to [0, 1].
struct ChannelStatistics {
  std::vector<float> mean;
  std::vector<float> deviation;
};

/// Labelled images as bytes, [N, C, H, W], and one label in [0, classes) each.
struct ImageSet {
  Tensor<std::uint8_t> images{Extents{0, 0, 0, 0}};
  std::vector<int> labels;
  int classes = 0;

  /// Number of images.
  [[nodiscard]] std::size_t size() const { return labels.size(); }
  /// Shape of one image.
  [[nodiscard]] Shape shape() const {
    return {static_cast<int>(images.extent(2)), static_cast<int>(images.extent(3)), static_cast<int>(images.extent(1))};
  }
  /// Bytes of image i, [C, H, W].
  [[nodiscard]] std::span<const std::uint8_t> image(std::size_t i) const {
    return images.span().subspan(i * shape().size(), shape().size());
  }

  /// Copies the images of these indices as floats byte / 255 into `out` (resized to {n, C, H, W}) and their labels
  /// into `out_labels` (of n elements). Throws where an index or the number of labels is out of range.
  void fill(std::span<const std::uint32_t> indices, Tensor<float>& out, std::span<int> out_labels) const {
    check(indices);
    if (out_labels.size() != indices.size())
      SPIQ_THROW("image set: labels", std::to_string(indices.size()), std::to_string(out_labels.size()));
    out.resize(Extents{indices.size(), images.extent(1), images.extent(2), images.extent(3)});
    float* to = out.data();
    for (std::size_t i = 0; i < indices.size(); ++i) {
      // Divided, not multiplied by 1/255: every reader of the same file gets the same floats.
      for (const std::uint8_t byte : image(indices[i])) *to++ = static_cast<float>(byte) / 255.0f;
      out_labels[i] = labels[indices[i]];
    }
  }

  /// The first n images, all of them without n, as floats byte / 255, [n, C, H, W].
  [[nodiscard]] Tensor<float> floats(std::size_t n = SIZE_MAX) const {
    n = std::min(n, size());
    Tensor<float> out(Extents{n, images.extent(1), images.extent(2), images.extent(3)});
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(images[i]) / 255.0f;
    return out;
  }

  /// The images of these indices as a set of their own (a validation split, for instance).
  [[nodiscard]] ImageSet subset(std::span<const std::uint32_t> indices) const {
    check(indices);
    ImageSet out;
    out.images = Tensor<std::uint8_t>(Extents{indices.size(), images.extent(1), images.extent(2), images.extent(3)});
    out.labels.reserve(indices.size());
    out.classes = classes;
    std::uint8_t* to = out.images.data();
    for (const std::uint32_t i : indices) {
      for (const std::uint8_t byte : image(i)) *to++ = byte;
      out.labels.push_back(labels[i]);
    }
    return out;
  }

  /// Mean and (biased) standard deviation per channel of byte / 255, from exact integer sums; 0 and 1 of an empty
  /// set.
  [[nodiscard]] ChannelStatistics statistics() const {
    const std::size_t channels = images.extent(1), pixels = images.extent(2) * images.extent(3);
    ChannelStatistics s{std::vector<float>(channels, 0.0f), std::vector<float>(channels, 1.0f)};
    if (images.size() == 0) return s;
    const double count = static_cast<double>(size() * pixels);
    for (std::size_t c = 0; c < channels; ++c) {
      std::uint64_t sum = 0, squares = 0;
      for (std::size_t n = 0; n < size(); ++n)
        for (const std::uint8_t byte : image(n).subspan(c * pixels, pixels)) {
          sum += byte;
          squares += static_cast<std::uint64_t>(byte) * byte;
        }
      const double mean = static_cast<double>(sum) / count;
      s.mean[c] = static_cast<float>(mean / 255);
      s.deviation[c] =
          static_cast<float>(std::sqrt(std::fmax(static_cast<double>(squares) / count - mean * mean, 0.0)) / 255);
    }
    return s;
  }

  /// 64-bit FNV-1a over extents, bytes and labels: equal for equal data on every machine.
  [[nodiscard]] std::uint64_t checksum() const {
    std::uint64_t h = 0xcbf29ce484222325u;
    const auto mix = [&h](std::uint64_t byte) { h = (h ^ byte) * 0x100000001b3u; };
    for (const std::size_t e : images.extents().span())
      for (int shift = 0; shift < 64; shift += 8) mix(static_cast<std::uint64_t>(e) >> shift & 255);
    for (const std::uint8_t byte : images.span()) mix(byte);
    for (const int label : labels) mix(static_cast<std::uint64_t>(label) & 255);
    return h;
  }

private:
  void check(std::span<const std::uint32_t> indices) const {
    for (const std::uint32_t i : indices)
      if (i >= size()) SPIQ_THROW("image set: index", "below " + std::to_string(size()), std::to_string(i));
  }
};

/// Training and test images of one data set.
struct ImageData {
  ImageSet train;
  ImageSet test;
};

/// "1f3a5c0000000000": a checksum as 16 hexadecimal digits.
inline std::string checksum_text(std::uint64_t checksum) {
  char text[24];
  std::snprintf(text, sizeof text, "%08lx%08lx", static_cast<unsigned long>(checksum >> 32),
                static_cast<unsigned long>(checksum & 0xffffffffu));
  return text;
}

SPIQ_END_NAMESPACE
