/// @file
/// Labelled images from `.npz` files.
#pragma once

#include <spiq/io/npz.hpp>
#include <spiq/nn/dataset.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <system_error>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// A data set in memory, from one `.npz` file or from all `.npz` files of a folder in the order of their names. Each
/// holds `images` [n, c, h, w] or [n, h, w] (one channel), as bytes (which count as byte / 255) or as floats in [0, 1],
/// and `labels` [n] of whole numbers in [0, 2^20).
class NpzDataset {
  /// Far above any real set. Networks have an output for every class: a damaged label must not ask for a billion.
  static constexpr int most_classes = 1 << 20;

public:
  /// Throws spiq::Error naming file, array, expected and found where a file is unreadable or does not fit the others.
  explicit NpzDataset(const io::Path& path) {
    for (const io::Path& file : files_of(path)) {
      const NpzFile arrays = read_npz(file);
      io::in_memory(arrays.source(), [&] { append(arrays); });
    }
  }

  [[nodiscard]] std::size_t size() const { return labels_.size(); }
  [[nodiscard]] Shape shape() const { return shape_; }
  [[nodiscard]] std::span<const int> labels() const { return labels_; }
  /// Largest label + 1.
  [[nodiscard]] int classes() const { return labels_.empty() ? 0 : *std::max_element(labels_.begin(), labels_.end()) + 1; }

  void fill(std::span<const std::uint32_t> indices, Tensor<float>& images, std::span<int> labels) const {
    if (!floats_.empty())
      SpanDataset<float>(floats_, labels_, shape_).fill(indices, images, labels);
    else
      SpanDataset<std::uint8_t>(bytes_, labels_, shape_).fill(indices, images, labels);
  }

private:
  /// `path` itself, or the archives of that folder, sorted.
  static std::vector<io::Path> files_of(const io::Path& path) {
    std::error_code failed;
    if (!std::filesystem::is_directory(path, failed)) return {path};
    std::vector<io::Path> files;
    std::filesystem::directory_iterator entry(path, failed);
    for (const std::filesystem::directory_iterator end; !failed && entry != end; entry.increment(failed))
      if (entry->path().extension() == ".npz") files.push_back(entry->path());
    if (failed) SPIQ_THROW("folder '" + path.string() + "'", "a readable folder", failed.message());
    if (files.empty()) SPIQ_THROW("folder '" + path.string() + "'", "at least one .npz file", "none");
    std::sort(files.begin(), files.end());
    return files;
  }

  void append(const NpzFile& file) {
    const NpyArray &images = file["images"], &labels = file["labels"];
    const Extents& e = images.shape;
    if (e.rank() != 3 && e.rank() != 4)
      SPIQ_THROW(file.source() + ", array \"images\"", "extents (n, c, h, w) or (n, h, w)", to_string(e));
    const bool grey = e.rank() == 3;
    for (std::size_t i = 1; i < e.rank(); ++i)
      if (e[i] == 0 || e[i] > 65536)
        SPIQ_THROW(file.source() + ", array \"images\"", "extents in [1, 65536]", to_string(e));
    const Shape shape{static_cast<int>(e[grey ? 1 : 2]), static_cast<int>(e[grey ? 2 : 3]), grey ? 1 : static_cast<int>(e[1])};
    if (shape_.valid() && !(shape == shape_))
      SPIQ_THROW(file.source() + ", array \"images\"", "images of " + to_string(shape_), to_string(shape));
    if (labels.shape.rank() != 1 || labels.shape[0] != e[0])
      SPIQ_THROW(file.source() + ", array \"labels\"", "extents (" + std::to_string(e[0]) + ")", to_string(labels.shape));
    const Tensor<int> values = file.as<int>("labels");
    for (const int v : values.span())
      if (v < 0 || v >= most_classes)
        SPIQ_THROW(file.source() + ", array \"labels\"", "numbers in [0, " + std::to_string(most_classes) + ")", std::to_string(v));
    const bool bytes = images.dtype == NpyType::u1;
    if (!labels_.empty() && bytes != floats_.empty())
      SPIQ_THROW(file.source() + ", array \"images\"", bytes ? "floats, as in the files before" : "bytes, as in the files before",
                 bytes ? "bytes" : "floats");
    if (bytes) {
      const Tensor<std::uint8_t> all = file.as<std::uint8_t>("images");
      bytes_.insert(bytes_.end(), all.span().begin(), all.span().end());
    } else {
      const Tensor<float> all = file.as<float>("images");
      for (const float v : all.span())
        if (!(v >= 0.0f && v <= 1.0f))
          SPIQ_THROW(file.source() + ", array \"images\"", "values in [0, 1]", std::to_string(v));
      floats_.insert(floats_.end(), all.span().begin(), all.span().end());
    }
    shape_ = shape;
    labels_.insert(labels_.end(), values.span().begin(), values.span().end());
  }

  Shape shape_{};
  std::vector<std::uint8_t> bytes_;
  std::vector<float> floats_;
  std::vector<int> labels_;
};

SPIQ_END_NAMESPACE
