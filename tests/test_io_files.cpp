// Files as the library meets them: links, devices, pipes, labels and arrays that lie, memory that is not there.
#include "catch.hpp"
#include "io_samples.hpp"

#include <spiq/io/cifar.hpp>
#include <spiq/io/idx.hpp>
#include <spiq/io/npz_dataset.hpp>
#include <spiq/io/weights.hpp>
#include <spiq/nn/nn.hpp>

#include <cstdint>
#include <filesystem>
#include <iterator>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#if defined(__unix__)
#include <sys/stat.h>
#endif

using namespace spiq;
using spiq_test::bytes_of;
using spiq_test::has;
using spiq_test::message;
using spiq_test::read_bytes;
using spiq_test::TempFolder;
namespace fs = std::filesystem;

namespace {

std::size_t entries(const fs::path& folder) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

/// Two grey images of 2x2 with labels of any type.
template <class T>
void write_set(const fs::path& path, const std::vector<T>& labels) {
  NpzWriter out;
  out.add("images", Tensor<std::uint8_t>(Extents{labels.size(), 2, 2}));
  out.add("labels", labels);
  out.save(path);
}

}  // namespace

TEST_CASE("files: a symbolic link stays, its target is replaced", "[io]") {
  const TempFolder folder;
  fs::create_directory(folder / "deep");
  folder.write("deep/target", "old");
  fs::create_symlink("deep/target", folder / "link");
  fs::create_symlink(folder / "link", folder / "link2");
  fs::create_symlink("deep/new", folder / "dangling");
  const auto bytes = bytes_of("new text");
  for (const char* name : {"link2", "dangling"}) {
    io::expect_writable(folder / name);
    io::write_file(folder / name, bytes);
    CHECK(fs::is_symlink(folder / name));
  }
  CHECK(fs::is_symlink(folder / "link"));
  CHECK(read_bytes(folder / "deep/target") == bytes);
  CHECK(read_bytes(folder / "deep/new") == bytes);
  CHECK(fs::is_regular_file(fs::symlink_status(folder / "deep/new")));
  CHECK(entries(folder / "deep") == 2);  // no temporary file
}

TEST_CASE("files: what is not a file is not replaced by one", "[io]") {
  const TempFolder folder;
  fs::create_symlink("loop", folder / "loop");
  fs::create_directory(folder / "sub");
  std::vector<std::pair<fs::path, std::string>> refused{{folder / "loop", "a link that leads somewhere"},
                                                        {folder / "sub", "found a folder"},
                                                        {folder / "absent/file", "a folder that can be written to"},
                                                        {folder / std::string(300, 'x'), "'"}};
#if defined(__unix__)
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  fs::create_symlink("pipe", folder / "to_pipe");
  refused.emplace_back(folder / "pipe", "a device, a pipe");
  refused.emplace_back(folder / "to_pipe", "a device, a pipe");
  refused.emplace_back("/dev/null", "a device, a pipe");
#endif
  const std::size_t before = entries(folder.path());
  for (const auto& entry : refused) {  // clang 14 does not capture parts of a structured binding
    const fs::path& path = entry.first;
    const std::string& why = entry.second;
    CAPTURE(path.string());
    const std::string text = message([&] { io::expect_writable(path); });
    CHECK(has(text, path.string()));
    CHECK(has(text, why));
    if (path == "/dev/null") continue;  // without the fix a superuser would lose it
    CHECK(has(message([&] { io::write_file(path, bytes_of("x")); }), why));
  }
  CHECK(entries(folder.path()) == before);
#if defined(__unix__)
  CHECK(fs::is_fifo(folder / "pipe"));
#endif
}

TEST_CASE("files: a path that leads nowhere is an Error of the library", "[io]") {
  const TempFolder folder;
  fs::create_symlink("loop", folder / "loop");
  for (const fs::path& path : {folder / "loop", folder / std::string(300, 'x'), folder / "loop/inside"}) {
    CAPTURE(path.string());
    const std::string file = message([&] { io::File{path}; });
    CHECK(has(file, path.string()));
    CHECK(has(file, "leads nowhere"));
    CHECK(has(message([&] { NpzDataset{path}; }), path.string()));
  }
}

TEST_CASE("data sets: labels beyond any real set are refused", "[io]") {
  const TempFolder folder;
  write_set(folder / "good.npz", std::vector<int>{1, (1 << 20) - 1});
  CHECK(NpzDataset(folder / "good.npz").classes() == 1 << 20);
  for (const int label : {1 << 20, std::numeric_limits<int>::max(), -1}) {
    write_set(folder / "bad.npz", std::vector<int>{1, label});
    const std::string text = message([&] { NpzDataset{folder / "bad.npz"}; });
    CHECK(has(text, "bad.npz', array \"labels\": expected numbers in [0, 1048576), found " + std::to_string(label)));
  }
  write_set(folder / "bad.npz", std::vector<std::uint64_t>{1, ~std::uint64_t{0}});
  CHECK(has(message([&] { NpzDataset{folder / "bad.npz"}; }), "bad.npz', array \"labels\": "));
  write_set(folder / "bad.npz", std::vector<double>{1, 0.5});
  CHECK(has(message([&] { NpzDataset{folder / "bad.npz"}; }), "bad.npz', array \"labels\": "));
}

TEST_CASE("weights: arrays that the network does not know may hold anything", "[io]") {
  using Net = Network<Input<1, 1, 2>, Flatten, Linear<2>>;
  const TempFolder folder;
  const Net net{Rng{1}};
  const auto path = folder / "w.npz";
  NpzWriter out;
  for (const NamedArray& a : export_state(net))
    std::visit([&](const auto& v) { out.add(a.name, a.extents, std::span(v)); }, a.values);
  out.add("other", std::vector<std::uint64_t>{~std::uint64_t{0}});
  out.save(path);
  Net loaded{Rng{2}};
  load_weights(path, loaded);
  CHECK(loaded.layer<1>().weight[0] == net.layer<1>().weight[0]);
  CHECK(resume_from(path)().size() == export_state(net).size() + 1);

  // Known arrays are looked at, and named.
  io::write_arrays(path, {{"1.weight", Extents{}, std::vector<std::int64_t>{3}}});
  const std::string text = message([&] { load_weights(path, loaded); });
  CHECK(has(text, path.string()));
  CHECK(has(text, "array \""));
  NamedArrays twice(2, {"a", Extents{}, std::vector<float>{3}});
  CHECK(has(message([&] { io::write_arrays(path, twice); }), path.string()));
}

TEST_CASE("memory that is not there is an Error that names the file", "[io]") {
  const TempFolder folder;
  const io::File file(folder.write("a", std::string(100, 'x')));
  io::ByteStream stream(file);
  const auto none = [](std::size_t) -> std::span<std::byte> { throw std::bad_alloc(); };
  const auto beyond = [](std::size_t) -> std::span<std::byte> { throw std::length_error("vector"); };
  const std::string text = message([&] { stream.read_growing(100, "data", none); });
  CHECK(has(text, file.name() + ", 100 bytes of data: expected as much memory"));
  CHECK(has(message([&] { stream.read_growing(100, "data", beyond); }), "memory"));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // Sparse files, together larger than the address space, where the file system can hold them.
  const auto sparse = [&](const fs::path& path, std::uint64_t size) {
    std::error_code failed;
    fs::resize_file(path, size, failed);
    return !failed;
  };
  const auto cifar = folder.write("huge.bin", "");
  const std::vector<fs::path> batches(32, cifar);
  if (sparse(cifar, std::uint64_t{3073} << 31))
    CHECK(has(message([&] { static_cast<void>(read_cifar10(batches)); }), "memory"));
  const auto npy = folder.write("huge.npy", spiq_test::npy_file(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (281474976710656,)}", ""));
  if (sparse(npy, fs::file_size(npy) + (std::uint64_t{1} << 48)))
    CHECK(has(message([&] { static_cast<void>(read_npy(npy)); }), "memory"));
#endif
}

TEST_CASE("idx: pairs are judged by their headers, before the data are read", "[io]") {
  // The data of each file are missing, so that reading them would give another complaint.
  const TempFolder folder;
  const auto images = folder.write("images", spiq_test::idx_file(0x803, {2, 70000, 1}, ""));
  const auto labels = folder.write("labels", spiq_test::idx_file(0x801, {3}, ""));
  CHECK(has(message([&] { static_cast<void>(read_idx_images(images, labels)); }), "65536 rows"));
  const auto good = folder.write("good", spiq_test::idx_file(0x803, {2, 1, 1}, "ab"));
  CHECK(has(message([&] { static_cast<void>(read_idx_images(good, labels)); }), "expected 2 labels"));
}
