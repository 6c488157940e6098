// A build without zlib: stored data can be read and written, compressed data are refused with a reason.
#undef SPIQ_WITH_ZLIB
#include "catch.hpp"
#include "io_samples.hpp"

#include <spiq/io/cifar.hpp>
#include <spiq/io/idx.hpp>
#include <spiq/io/npz.hpp>

#include <string>
#include <vector>

using namespace spiq;
using spiq_test::has;
using spiq_test::message;
using spiq_test::TempFolder;

static_assert(SPIQ_HAS_ZLIB == 0);

TEST_CASE("without zlib: the checksum", "[io]") {
  const std::string text = "123456789";  // the check value of CRC-32
  CHECK(io::crc32_of(std::as_bytes(std::span(text))) == 0xCBF43926u);
  CHECK(io::crc32_of(std::as_bytes(std::span(text)).subspan(4),
                     io::crc32_of(std::as_bytes(std::span(text)).first(4))) == 0xCBF43926u);
  CHECK(io::crc32_of({}) == 0);
}

TEST_CASE("without zlib: stored archives work, deflated ones are refused", "[io]") {
  const TempFolder folder;
  NpzWriter out;
  out.add("w", std::vector<float>(500, 0.5f));
  out.save(folder / "a.npz", Compression::deflate);  // stored instead
  CHECK(std::filesystem::file_size(folder / "a.npz") > 2000);
  CHECK(read_npz(folder / "a.npz")["w"].as<float>()[499] == 0.5f);

  auto bytes = spiq_test::read_bytes(folder / "a.npz");
  const auto directory = static_cast<std::size_t>(io::little_endian(std::span(bytes).subspan(bytes.size() - 6, 4)));
  bytes[8] = bytes[directory + 10] = std::byte{8};
  const auto path = folder.write("b.npz", bytes);
  const std::string text = message([&] { static_cast<void>(read_npz(path)); });
  CHECK(has(text, path.string()));
  CHECK(has(text, "no zlib"));
}

TEST_CASE("without zlib: plain IDX works, gzip is refused", "[io]") {
  const TempFolder folder;
  CHECK(read_idx(folder.write("a", spiq_test::idx_file(0x801, {3}, "abc")), 1)[2] == 'c');
  CHECK(
      has(message([&] { static_cast<void>(read_idx(folder.write("b", std::string("\x1f\x8b\x08\0\0\0\0\0", 8)), 1)); }),
          "no zlib"));
  const auto path = folder.write("c.bin", spiq_test::cifar_file());
  CHECK(read_cifar10(std::span(&path, 1)).size() == 2);
}
