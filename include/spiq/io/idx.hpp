/// @file
/// IDX files, plain or gzip: the format of MNIST (LeCun, Cortes, Burges: "The MNIST database").
#pragma once

#include <spiq/core/tensor.hpp>
#include <spiq/io/file.hpp>
#include <spiq/io/images.hpp>
#include <spiq/io/stream.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>
#include <system_error>
#include <utility>

SPIQ_BEGIN_NAMESPACE

namespace io {

/// Reads an IDX file; `check(extents)` sees what the header says before anything is unpacked.
template <class Check>
Tensor<std::uint8_t> read_idx(const Path& path, std::size_t rank, const Check& check) {
  const File file(path);
  ByteStream stream(file);
  std::array<std::byte, 4> word{};
  stream.read(word, "the IDX magic number");
  const auto magic = static_cast<std::uint32_t>(big_endian(word));
  const auto wanted = static_cast<std::uint32_t>(0x0800u + rank);
  if (rank == 0 || rank > Extents::max_rank) SPIQ_THROW("read_idx", "1 to 6 extents", std::to_string(rank));
  if (magic != wanted) stream.fail(0, "IDX magic number " + hex32(wanted), hex32(magic));
  std::array<std::size_t, Extents::max_rank> extents{};
  std::size_t count = 1;
  for (std::size_t i = 0; i < rank; ++i) {
    stream.read(word, "an IDX extent");
    extents[i] = static_cast<std::size_t>(big_endian(word));
    if (extents[i] != 0 && count > std::numeric_limits<std::size_t>::max() / extents[i])
      stream.fail(4 + 4 * i, "extents whose product fits 64 bits", "larger ones");
    count *= extents[i];
  }
  check(Extents::from(std::span(extents).first(rank)));
  Tensor<std::uint8_t> out;
  stream.read_growing(count, "IDX data, as the header says", [&](std::size_t n) {
    out.resize(Extents{n});
    return std::as_writable_bytes(out.span());
  });
  stream.expect_end();
  out.reshape(Extents::from(std::span(extents).first(rank)));
  return out;
}

}  // namespace io

/// Reads an IDX file of unsigned bytes with `rank` extents (1 to 6); gzip is recognised by its first bytes.
/// Throws spiq::Error naming file, offset, expected and found on another magic number, a truncated or longer file, or
/// a header that promises more than the file can hold.
inline Tensor<std::uint8_t> read_idx(const io::Path& path, std::size_t rank) {
  return io::read_idx(path, rank, [](const Extents&) {});
}

/// Reads a pair of IDX files, images [N, H, W] and labels [N]. Labels are checked against `classes`.
inline ImageSet read_idx_images(const io::Path& images, const io::Path& labels, int classes = 10) {
  ImageSet set;
  set.classes = classes;
  // Headers are judged before the data are unpacked: a small file can hold gigabytes of images that do not fit.
  set.images = io::read_idx(images, 3, [&](const Extents& e) {
    if (e[0] == 0 || e[1] == 0 || e[2] == 0 || e[1] > 65536 || e[2] > 65536)
      io::bad_file("'" + images.string() + "'", 4, "at least one image of 1 to 65536 rows and columns", to_string(e));
  });
  const Extents e = set.images.extents();
  set.images.reshape(Extents{e[0], 1, e[1], e[2]});
  const Tensor<std::uint8_t> bytes = io::read_idx(labels, 1, [&](const Extents& found) {
    if (found[0] != e[0])
      io::bad_file("'" + labels.string() + "'", 4, std::to_string(e[0]) + " labels, one for each image",
                   std::to_string(found[0]));
  });
  set.labels.reserve(bytes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] >= classes)
      io::bad_file("'" + labels.string() + "'", 8 + i, "a label below " + std::to_string(classes),
                   std::to_string(bytes[i]));
    set.labels.push_back(bytes[i]);
  }
  return set;
}

/// Loads MNIST (or another set of the same layout, such as Fashion-MNIST) from a folder with
/// `{train,t10k}-images-idx3-ubyte` and `{train,t10k}-labels-idx1-ubyte`, each with or without `.gz`.
/// Counts and image sizes are those of the headers.
inline ImageData load_mnist(const io::Path& folder) {
  const auto find = [&](const std::string& name) {
    for (const char* ending : {"", ".gz"}) {
      io::Path path = folder / (name + ending);
      std::error_code failed;
      if (std::filesystem::is_regular_file(path, failed)) return path;
    }
    SPIQ_THROW("'" + folder.string() + "'", "a file " + name + " or " + name + ".gz", "none");
  };
  const auto load = [&](const std::string& part) {
    return read_idx_images(find(part + "-images-idx3-ubyte"), find(part + "-labels-idx1-ubyte"));
  };
  ImageData data{load("train"), load("t10k")};
  if (!(data.train.shape() == data.test.shape()))
    SPIQ_THROW("'" + folder.string() + "': test images", to_string(data.train.shape()), to_string(data.test.shape()));
  return data;
}

SPIQ_END_NAMESPACE
