// IDX and CIFAR-10 readers, image sets.
#include "catch.hpp"
#include "io_samples.hpp"

#include <spiq/io/cifar.hpp>
#include <spiq/io/idx.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

using namespace spiq;
using spiq_test::cifar_file;
using spiq_test::has;
using spiq_test::idx_file;
using spiq_test::message;
using spiq_test::TempFolder;

namespace {

std::string ramp(std::size_t n) {
  std::string s;
  for (std::size_t i = 0; i < n; ++i) s += static_cast<char>(i * 3 & 0xff);
  return s;
}

/// An MNIST-like folder: 3 training and 2 test images of 4 rows and 5 columns.
void write_mnist(const TempFolder& folder) {
  folder.write("train-images-idx3-ubyte", idx_file(0x803, {3, 4, 5}, ramp(60)));
  folder.write("train-labels-idx1-ubyte", idx_file(0x801, {3}, std::string("\7\0\2", 3)));
  folder.write("t10k-images-idx3-ubyte", idx_file(0x803, {2, 4, 5}, ramp(40)));
  folder.write("t10k-labels-idx1-ubyte", idx_file(0x801, {2}, "\1\2"));
}

}  // namespace

TEST_CASE("idx: counts and sizes come from the headers", "[io]") {
  const TempFolder folder;
  write_mnist(folder);
  const ImageData data = load_mnist(folder.path());
  CHECK(data.train.size() == 3);
  CHECK(data.test.size() == 2);
  CHECK(data.train.images.extents() == Extents{3, 1, 4, 5});
  CHECK(data.train.shape() == Shape{4, 5, 1});
  CHECK(data.train.labels == std::vector<int>{7, 0, 2});
  CHECK(data.train.classes == 10);
  CHECK(data.train.image(1)[0] == 60);
  CHECK(data.train.image(2)[19] == (59 * 3) % 256);
}

TEST_CASE("idx: what is wrong is refused with file, offset, expected and found", "[io]") {
  const TempFolder folder;
  const auto why = [&](const std::string& content, std::size_t rank = 3) {
    const auto path = folder.write("bad", content);
    const std::string text = message([&] { static_cast<void>(read_idx(path, rank)); });
    CHECK(has(text, path.string()));
    CHECK(has(text, "offset"));
    CHECK(has(text, "expected"));
    CHECK(has(text, "found"));
    return text;
  };
  CHECK(has(why(""), "offset 0: expected 4 bytes"));
  CHECK(has(why(idx_file(0x801, {3}, "abc")), "magic number 0x00000803, found 0x00000801"));
  CHECK(has(why(idx_file(0xd03, {1, 1, 1}, "abcd")), "0x00000d03"));
  CHECK(has(why(idx_file(0x803, {3, 4}, "")), "an IDX extent"));
  CHECK(has(why(idx_file(0x803, {3, 4, 5}, ramp(59))), "offset 16: expected 60 bytes of IDX data"));
  CHECK(has(why(idx_file(0x803, {3, 4, 5}, ramp(61))), "offset 76: expected the end of the data, found 1 more bytes"));
  CHECK(has(why(idx_file(0x803, {0xffffffff, 28, 28}, ramp(784))), "found 784"));
  CHECK(has(why(idx_file(0x803, {0xffffffff, 0xffffffff, 0xffffffff}, ramp(784))), "64 bits"));

  write_mnist(folder);
  folder.write("t10k-labels-idx1-ubyte", idx_file(0x801, {3}, std::string("\1\2\3", 3)));
  CHECK(has(message([&] { static_cast<void>(load_mnist(folder.path())); }), "2 labels, one for each image, found 3"));
  folder.write("t10k-labels-idx1-ubyte", idx_file(0x801, {2}, "\1\12"));
  CHECK(has(message([&] { static_cast<void>(load_mnist(folder.path())); }),
            "offset 9: expected a label below 10, found 10"));
  std::filesystem::remove(folder / "t10k-labels-idx1-ubyte");
  CHECK(has(message([&] { static_cast<void>(load_mnist(folder.path())); }), "t10k-labels-idx1-ubyte.gz"));
  write_mnist(folder);
  folder.write("t10k-images-idx3-ubyte", idx_file(0x803, {2, 5, 4}, ramp(40)));
  CHECK(has(message([&] { static_cast<void>(load_mnist(folder.path())); }), "expected 4x5x1, found 5x4x1"));
  folder.write("t10k-images-idx3-ubyte", idx_file(0x803, {0, 4, 5}, ""));
  CHECK(has(message([&] { static_cast<void>(load_mnist(folder.path())); }), "at least one image"));
}

#if SPIQ_HAS_ZLIB
TEST_CASE("idx: gzip, several members included", "[io]") {
  const TempFolder folder;
  const std::string plain = idx_file(0x803, {3, 4, 5}, ramp(60));
  for (const std::string& packed :
       {spiq_test::gzip(plain), spiq_test::gzip(plain.substr(0, 30)) + spiq_test::gzip(plain.substr(30))}) {
    const auto path = folder.write("a.gz", packed);
    const Tensor<std::uint8_t> t = read_idx(path, 3);
    CHECK(t.extents() == Extents{3, 4, 5});
    CHECK(t[59] == (59 * 3) % 256);
  }
  const auto why = [&](const std::string& content) {
    const auto path = folder.write("bad.gz", content);
    const std::string text = message([&] { static_cast<void>(read_idx(path, 3)); });
    CHECK(has(text, path.string()));
    CHECK(has(text, "offset"));
    return text;
  };
  const std::string good = spiq_test::gzip(plain);
  CHECK(has(why(good.substr(0, good.size() - 3)), "more compressed data"));
  CHECK(has(why(good + "rubbish"), "7 bytes behind it"));
  std::string bad = good;
  bad[bad.size() - 6] = static_cast<char>(bad[bad.size() - 6] ^ 1);  // the checksum
  CHECK(has(why(bad), "incorrect data check"));
  CHECK(has(why(spiq_test::gzip(plain + "x")), "the end of the data"));
  CHECK(has(why(spiq_test::gzip(plain.substr(0, 70))), "end of the compressed data"));
  // A header that promises 3 GB in front of 60 bytes.
  CHECK(has(why(spiq_test::gzip(idx_file(0x803, {3000, 1000, 1000}, ramp(60)))), "expected 3000000000 bytes"));
  // A bomb: a megabyte of zeros behind a small image.
  CHECK(has(why(spiq_test::gzip(plain + std::string(1 << 20, '\0'))), "the end of the data, found more bytes"));

  write_mnist(folder);
  std::filesystem::remove(folder / "train-images-idx3-ubyte");
  folder.write("train-images-idx3-ubyte.gz", good);
  CHECK(load_mnist(folder.path()).train.image(1)[0] == 60);
}
#endif

TEST_CASE("cifar10: records from the file size, batches that exist", "[io]") {
  const TempFolder folder;
  folder.write("data_batch_2.bin", cifar_file());
  folder.write("data_batch_4.bin", cifar_file().substr(3073));
  folder.write("test_batch.bin", cifar_file().substr(0, 3073));
  const ImageData data = load_cifar10(folder.path());
  CHECK(data.train.images.extents() == Extents{3, 3, 32, 32});
  CHECK(data.train.labels == std::vector<int>{3, 4, 4});
  CHECK(data.test.labels == std::vector<int>{3});
  CHECK(data.train.image(0)[1024] == (1024 * 7 & 0xff));  // the first green byte
  CHECK(data.train.image(1)[3071] == ((3071 * 7 + 1) & 0xff));

  const auto why = [&] { return message([&] { static_cast<void>(load_cifar10(folder.path())); }); };
  folder.write("data_batch_1.bin", cifar_file() + "abc");
  CHECK(has(why(), "data_batch_1.bin', offset 6146: expected records of 3073 bytes, at least one, found 3 bytes"));
  folder.write("data_batch_1.bin", std::string());
  CHECK(has(why(), "offset 0"));
  std::string label = cifar_file();
  label[3073] = '\xff';
  folder.write("data_batch_1.bin", label);
  CHECK(has(why(), "offset 3073: expected a label below 10, found 255"));
  for (const char* batch : {"1", "2", "4"})
    std::filesystem::remove(folder / (std::string("data_batch_") + batch + ".bin"));
  CHECK(has(why(), "at least one of data_batch_1.bin"));
}

TEST_CASE("image set: fill, subset, statistics, checksum", "[io]") {
  ImageSet set;
  set.images = Tensor<std::uint8_t>(Extents{3, 2, 1, 2},
                                    std::vector<std::uint8_t>{0, 255, 10, 20, 51, 102, 30, 40, 255, 0, 50, 60});
  set.labels = {2, 0, 1};
  set.classes = 3;
  Tensor<float> images;
  std::array<int, 2> labels{};
  const std::array<std::uint32_t, 2> indices{2, 1};
  set.fill(indices, images, labels);
  CHECK(images.extents() == Extents{2, 2, 1, 2});
  CHECK(images[0] == 1.0f);
  CHECK(images[4] == 51.0f / 255.0f);
  CHECK(labels[0] == 1);
  CHECK(labels[1] == 0);
  for (int byte = 0; byte < 256; ++byte) {
    ImageSet one;
    one.images = Tensor<std::uint8_t>(Extents{1, 1, 1, 1}, std::vector<std::uint8_t>{static_cast<std::uint8_t>(byte)});
    one.labels = {0};
    one.fill(std::array<std::uint32_t, 1>{0}, images, std::span(labels).first(1));
    CHECK(images[0] == static_cast<float>(byte) / 255.0f);
  }
  CHECK(set.floats().extents() == set.images.extents());
  CHECK(set.floats(1).extent(0) == 1);
  CHECK(set.floats(1)[0] == static_cast<float>(set.images[0]) / 255.0f);
  CHECK(set.floats()[set.images.size() - 1] == static_cast<float>(set.images[set.images.size() - 1]) / 255.0f);
  set.fill({}, images, {});
  CHECK(images.extents() == Extents{0, 2, 1, 2});
  CHECK_THROWS_AS(set.fill(std::array<std::uint32_t, 1>{3}, images, std::span(labels).first(1)), Error);
  CHECK_THROWS_AS(set.fill(indices, images, std::span(labels).first(1)), Error);

  const ImageSet part = set.subset(indices);
  CHECK(part.labels == std::vector<int>{1, 0});
  CHECK(part.classes == 3);
  CHECK(part.image(1)[1] == 102);
  CHECK_THROWS_AS(set.subset(std::array<std::uint32_t, 1>{3}), Error);

  const ChannelStatistics s = set.statistics();
  double sum = 0, squares = 0;
  for (double v : {0, 255, 51, 102, 255, 0}) sum += v / 255, squares += v * v / 65025;
  CHECK_THAT(s.mean[0], Catch::Matchers::WithinAbs(sum / 6, 1e-6));
  CHECK_THAT(s.deviation[0], Catch::Matchers::WithinAbs(std::sqrt(squares / 6 - sum * sum / 36), 1e-6));
  CHECK_THAT(s.mean[1], Catch::Matchers::WithinAbs(35.0 / 255, 1e-6));
  CHECK(ImageSet{}.size() == 0);
  CHECK(ImageSet{}.statistics().mean.empty());

  CHECK(checksum_text(set.checksum()).size() == 16);
  CHECK(ImageSet{}.checksum() == ImageSet{}.checksum());
  ImageSet other = set;
  CHECK(other.checksum() == set.checksum());
  other.images[3] = 21;
  CHECK(other.checksum() != set.checksum());
  other = set;
  other.labels[0] = 1;
  CHECK(other.checksum() != set.checksum());
  other = set;
  other.images.reshape(Extents{3, 1, 2, 2});
  CHECK(other.checksum() != set.checksum());
  CHECK(checksum_text(0x123456789abcdefu) == "0123456789abcdef");
}

TEST_CASE("the real image sets", "[io]") {
#if defined(SPIQ_SHARED_DIR) && SPIQ_HAS_ZLIB
  const std::filesystem::path folder = std::string(SPIQ_SHARED_DIR) + "/data";
#else
  const std::filesystem::path folder;
#endif
  if (!std::filesystem::is_directory(folder / "mnist") || !std::filesystem::is_directory(folder / "cifar10")) {
    WARN("skipped: no folder with real images (or no zlib)");
    return;
  }
  const ImageData mnist = load_mnist(folder / "mnist");
  CHECK(mnist.train.images.extents() == Extents{60000, 1, 28, 28});
  CHECK(mnist.test.size() == 5000);
  CHECK(mnist.train.labels[0] == 5);  // as every MNIST user knows
  CHECK_THAT(mnist.train.statistics().mean[0], Catch::Matchers::WithinAbs(0.1307, 5e-5));
  CHECK_THAT(mnist.train.statistics().deviation[0], Catch::Matchers::WithinAbs(0.3081, 5e-5));
  const ImageData cifar = load_cifar10(folder / "cifar10");
  CHECK(cifar.train.images.extents() == Extents{30000, 3, 32, 32});
  CHECK(cifar.test.size() == 5000);
  const ChannelStatistics s = cifar.train.statistics();
  const double mean[] = {0.4914, 0.4822, 0.4465}, deviation[] = {0.2470, 0.2435, 0.2616};
  for (std::size_t c = 0; c < 3; ++c) {
    CHECK_THAT(s.mean[c], Catch::Matchers::WithinAbs(mean[c], 2e-3));
    CHECK_THAT(s.deviation[c], Catch::Matchers::WithinAbs(deviation[c], 2e-3));
  }
}
