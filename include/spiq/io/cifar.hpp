/// @file
/// CIFAR-10 in its binary layout (Krizhevsky, "Learning multiple layers of features from tiny images", 2009):
/// per record a label byte, then 3072 bytes: 32x32 red, green, blue, row by row.
#pragma once

#include <spiq/core/tensor.hpp>
#include <spiq/io/file.hpp>
#include <spiq/io/images.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// Reads binary batches, one behind the other, into one set. The number of records follows from the file sizes.
/// Throws spiq::Error naming file, offset, expected and found where a file is empty, has a remainder, or holds a
/// label above 9.
inline ImageSet read_cifar10(std::span<const io::Path> batches) {
  constexpr std::size_t pixels = 3072, record = pixels + 1;
  std::vector<io::File> files;
  std::size_t total = 0;
  for (const io::Path& path : batches) {
    const io::File& file = files.emplace_back(path);
    if (file.size() == 0 || file.size() % record != 0)
      io::bad_file(file.name(), file.size() / record * record, "records of 3073 bytes, at least one",
                   std::to_string(file.size() % record) + " bytes at the end");
    total += static_cast<std::size_t>(file.size() / record);
  }
  ImageSet set;
  set.classes = 10;
  io::in_memory(files.empty() ? std::string("CIFAR-10") : files.front().name(), [&] {
    set.images = Tensor<std::uint8_t>(Extents{total, 3, 32, 32});
    set.labels.reserve(total);
  });
  std::uint8_t* to = set.images.data();
  std::vector<std::byte> block;
  for (const io::File& file : files) {
    constexpr std::uint64_t step = record * 512;
    for (std::uint64_t at = 0; at < file.size(); at += step) {
      block.resize(static_cast<std::size_t>(std::min(step, file.size() - at)));
      file.read(at, block, "CIFAR-10 records");
      for (std::size_t i = 0; i < block.size(); i += record) {
        const int label = std::to_integer<int>(block[i]);
        if (label > 9) io::bad_file(file.name(), at + i, "a label below 10", std::to_string(label));
        set.labels.push_back(label);
        to = std::transform(block.data() + i + 1, block.data() + i + record, to,
                            [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
      }
    }
  }
  return set;
}

/// Loads CIFAR-10 from a folder with `data_batch_1.bin` to `data_batch_5.bin`, those that exist (at least one), and
/// `test_batch.bin`.
inline ImageData load_cifar10(const io::Path& folder) {
  std::vector<io::Path> batches;
  for (int i = 1; i <= 5; ++i) {
    io::Path path = folder / ("data_batch_" + std::to_string(i) + ".bin");
    std::error_code failed;
    if (std::filesystem::exists(path, failed)) batches.push_back(std::move(path));
  }
  if (batches.empty())
    SPIQ_THROW("'" + folder.string() + "'", "at least one of data_batch_1.bin to data_batch_5.bin", "none");
  const io::Path test[] = {folder / "test_batch.bin"};
  return {read_cifar10(batches), read_cifar10(test)};
}

SPIQ_END_NAMESPACE
