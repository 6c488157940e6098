// Damaged files of every format: each byte changed, each truncation, bytes appended. Every reader must succeed or
// throw spiq::Error, and must not ask for memory beyond what the real file justifies.
#include "catch.hpp"
#include "io_samples.hpp"
#include "own_new.hpp"

#include <spiq/io/cifar.hpp>
#include <spiq/io/idx.hpp>
#include <spiq/io/npz.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

using namespace spiq;
using spiq_test::largest_allocation;
using spiq_test::Bytes;
using spiq_test::bytes_of;
using spiq_test::TempFolder;

namespace {

/// Runs `read(path)`, which returns the content as bytes, over damaged copies of `good`.
/// `guarded`: the format has checksums, so whatever still can be read must be the original content.
template <class Read>
void damage(const std::string& name, const Bytes& good, bool guarded, const Read& read) {
  const TempFolder folder;
  const std::string expected = read(folder.write(name, good));
  std::size_t refused = 0, accepted = 0;
  largest_allocation = 0;
  /// 1 where the file was read, 0 where it was refused with an Error that names it, -1 for a wrong result or message.
  const auto attempt = [&](const Bytes& bytes) {
    const auto path = folder.write(name, bytes);
    try {
      const std::string content = read(path);
      ++accepted;
      return guarded && content != expected ? -1 : 1;
    } catch (const Error& e) {
      ++refused;
      return spiq_test::has(e.what(), path.string()) ? 0 : -1;
    }
  };
  CAPTURE(name);
  for (std::size_t i = 0; i < good.size(); ++i) {
    // All of a small file, a part of what repeats in a large one.
    if (i > 600 && i + 600 < good.size() && i % 97 != 0) continue;
    CAPTURE(i);
    for (const int change : {0x01, 0x80, 0xff}) {
      Bytes bad = good;
      bad[i] ^= static_cast<std::byte>(change);
      REQUIRE(attempt(bad) >= 0);
    }
    for (const int value : {0x00, 0x7f, 0xff}) {
      Bytes bad = good;
      bad[i] = static_cast<std::byte>(value);
      REQUIRE(attempt(bad) >= 0);
    }
    Bytes bad = good;
    bad.resize(i);
    REQUIRE(attempt(bad) == 0);
  }
  for (const int extra : {0, 0x1f, 0xff}) {
    Bytes bad = good;
    bad.push_back(static_cast<std::byte>(extra));
    REQUIRE(attempt(bad) == 0);
  }
  CHECK(refused > good.size() / 8);
  CHECK(accepted > 0);
  CHECK(largest_allocation < (std::size_t{16} << 20));
  CHECK((largest_allocation > 0) == (SPIQ_TEST_OWN_NEW == 1));  // the measurement itself works
}

std::string text_of(const NpyArray& a) {
  std::string s = std::string(io::npy_name(a.dtype)) + to_string(a.shape);
  for (const double v : a.as_doubles()) s += " " + std::to_string(v);
  return s;
}
std::string read_npy_text(const std::filesystem::path& path) { return text_of(read_npy(path)); }
std::string read_npz_text(const std::filesystem::path& path) {
  const NpzFile file = read_npz(path);
  std::string s;
  for (const std::string& name : file.names()) s += name + "=" + text_of(file[name]) + ";";
  return s;
}
std::string read_idx_text(const std::filesystem::path& path) {
  const Tensor<std::uint8_t> t = read_idx(path, 3);
  return to_string(t.extents()) + std::string(t.span().begin(), t.span().end());
}
std::string read_cifar_text(const std::filesystem::path& path) {
  const ImageSet set = read_cifar10(std::span(&path, 1));
  return std::to_string(set.size()) + std::string(set.images.span().begin(), set.images.span().end());
}

const std::string npy_text = spiq_test::npy_file(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }",
                                                 spiq_test::raw<float>({1, 2, 3, 4, 5, 6}));
const std::string idx_text = spiq_test::idx_file(0x803, {2, 3, 4}, "abcdefghijklmnopqrstuvwx");

Bytes npz_bytes(Compression compression) {
  const TempFolder folder;
  NpzWriter out;
  out.add("w", std::vector<float>(200, 0.5f));
  out.add("n", std::vector<std::int64_t>{1, -2, 3});
  out.save(folder / "a.npz", compression);
  return spiq_test::read_bytes(folder / "a.npz");
}

}  // namespace

TEST_CASE("damaged npy files", "[io]") { damage("a.npy", bytes_of(npy_text), false, read_npy_text); }
TEST_CASE("damaged npy files of version 2", "[io]") {
  const std::string text =
      spiq_test::npy_file(2, "{'descr': '>i2', 'fortran_order': False, 'shape': (3,), }", "abcdef");
  damage("a.npy", bytes_of(text), false, read_npy_text);
}
TEST_CASE("damaged npz files, stored", "[io]") { damage("a.npz", npz_bytes(Compression::stored), true, read_npz_text); }
TEST_CASE("damaged npz files, deflated", "[io]") {
  damage("a.npz", npz_bytes(Compression::deflate), true, read_npz_text);
}
TEST_CASE("damaged idx files", "[io]") { damage("a", bytes_of(idx_text), false, read_idx_text); }
TEST_CASE("damaged cifar10 files", "[io]") {
  damage("a.bin", bytes_of(spiq_test::cifar_file()), false, read_cifar_text);
}

#if SPIQ_HAS_ZLIB
TEST_CASE("damaged gzip files", "[io]") { damage("a.gz", bytes_of(spiq_test::gzip(idx_text)), true, read_idx_text); }

TEST_CASE("a promise of gigabytes in front of megabytes costs megabytes", "[io]") {
  // 4 MB of gzip could expand to 4 GB, so the promise of 3 GB is not refused at once; the data end after 6 MB.
  const TempFolder folder;
  std::string noise;
  std::uint32_t state = 1;
  for (int i = 0; i < 6 << 20; ++i) noise += static_cast<char>((state = state * 1664525u + 1013904223u) >> 27);
  const auto path = folder.write("a.gz", spiq_test::gzip(spiq_test::idx_file(0x803, {3000, 1000, 1000}, noise)));
  REQUIRE(std::filesystem::file_size(path) > 3 << 20);
  largest_allocation = 0;
  CHECK_THROWS_AS(read_idx(path, 3), Error);
  CHECK(largest_allocation < (std::size_t{32} << 20));
}
#endif
