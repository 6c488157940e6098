// Reading and writing of .npy and .npz files.
#include "catch.hpp"
#include "io_samples.hpp"

#include <spiq/io/npz.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

using namespace spiq;
using spiq_test::has;
using spiq_test::message;
using spiq_test::npy_file;
using spiq_test::raw;
using spiq_test::TempFolder;

namespace {

std::string dict(const std::string& descr, const std::string& shape, bool fortran = false) {
  return "{'descr': '" + descr + "', 'fortran_order': " + (fortran ? "True" : "False") + ", 'shape': " + shape + ", }";
}

template <class T>
void reads_both_orders(const TempFolder& folder, const std::string& name, std::initializer_list<T> values) {
  const std::string shape = "(" + std::to_string(values.size()) + ",)";
  for (const bool big : {false, true}) {
    const auto path = folder.write("a.npy", npy_file(1, dict((big ? ">" : "<") + name, shape), raw(values, big)));
    const NpyArray a = read_npy(path);
    CAPTURE(name, big);
    CHECK(io::npy_name(a.dtype) == name);
    CHECK(a.shape == Extents{values.size()});
    const Tensor<T> back = a.as<T>();
    const std::vector<double> doubles = a.as_doubles();
    std::size_t i = 0;
    for (T v : values) {
      CHECK(back[i] == v);
      CHECK(doubles[i++] == static_cast<double>(v));
    }
  }
}

}  // namespace

TEST_CASE("npy: every element type in either byte order", "[io]") {
  const TempFolder folder;
  reads_both_orders<float>(folder, "f4", {0.0f, -1.5f, 3.25e30f});
  reads_both_orders<double>(folder, "f8", {0.0, -1.5, 1e300});
  reads_both_orders<std::int8_t>(folder, "i1", {-128, 0, 127});
  reads_both_orders<std::int16_t>(folder, "i2", {-32768, 258, 32767});
  reads_both_orders<std::int32_t>(folder, "i4", {-2147483647 - 1, 66051, 2147483647});
  reads_both_orders<std::int64_t>(folder, "i8", {std::numeric_limits<std::int64_t>::min(), 72623859790382856});
  reads_both_orders<std::uint8_t>(folder, "u1", {0, 7, 255});
  reads_both_orders<std::uint16_t>(folder, "u2", {0, 258, 65535});
  reads_both_orders<std::uint32_t>(folder, "u4", {0, 66051, 4294967295u});
  reads_both_orders<std::uint64_t>(folder, "u8", {0, std::numeric_limits<std::uint64_t>::max()});

  const NpyArray b = read_npy(folder.write("b.npy", npy_file(1, dict("|b1", "(3,)"), std::string("\0\1\1", 3))));
  CHECK(b.as<std::uint8_t>()[1] == 1);
  CHECK(b.as_doubles() == std::vector<double>{0, 1, 1});
  const NpyArray c =
      read_npy(folder.write("c.npy", npy_file(1, dict(">c8", "(2,)"), raw({1.5f, 9.0f, -2.0f, 7.0f}, true))));
  CHECK(c.as_doubles() == std::vector<double>{1.5, -2});  // the real parts
}

TEST_CASE("npy: half precision, all 65536 bit patterns", "[io]") {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const int sign = bits >> 15 != 0 ? -1 : 1, exponent = static_cast<int>(bits >> 10 & 31),
              fraction = static_cast<int>(bits & 1023);
    const float f = io::half_to_float(static_cast<std::uint16_t>(bits));
    if (exponent == 31 && fraction != 0) {
      REQUIRE(std::isnan(f));
    } else if (exponent == 31) {
      REQUIRE(f == static_cast<float>(sign) * std::numeric_limits<float>::infinity());
    } else {
      const double expected =
          sign * (exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25));
      REQUIRE(static_cast<double>(f) == expected);
      REQUIRE(std::signbit(f) == (sign < 0));
    }
  }
}

TEST_CASE("npy: versions, orders and extents", "[io]") {
  const TempFolder folder;
  const std::string six = raw<std::int32_t>({1, 2, 3, 4, 5, 6});
  for (int version : {1, 2, 3}) {
    const NpyArray a = read_npy(folder.write("v.npy", npy_file(version, dict("<i4", "(2, 3)"), six)));
    CHECK(a.shape == Extents{2, 3});
    CHECK(a.as_doubles() == std::vector<double>{1, 2, 3, 4, 5, 6});
  }
  const NpyArray f = read_npy(folder.write("f.npy", npy_file(1, dict("<i4", "(2, 3)", true), six)));
  CHECK(f.as_doubles() == std::vector<double>{1, 3, 5, 2, 4, 6});
  const NpyArray f3 = read_npy(folder.write("f.npy", npy_file(1, dict("<i4", "(1, 3, 2)", true), six)));
  CHECK(f3.as_doubles() == std::vector<double>{1, 4, 2, 5, 3, 6});
  CHECK(read_npy(folder.write("s.npy", npy_file(1, dict("<i4", "()"), raw<std::int32_t>({9})))).as_doubles() ==
        std::vector<double>{9});
  const NpyArray empty = read_npy(folder.write("e.npy", npy_file(1, dict("<f4", "(0, 5)"), "")));
  CHECK(empty.shape == Extents{0, 5});
  CHECK(empty.as<float>().size() == 0);
  CHECK(read_npy(folder.write("6.npy", npy_file(1, dict("<i4", "(1, 2, 1, 3, 1, 1)"), six))).shape.rank() == 6);
  // Other spellings that NumPy accepts.
  CHECK(read_npy(
            folder.write("q.npy", npy_file(1, "{\"shape\":(6L ,) ,\"descr\" : \"<i4\",\"fortran_order\":False}", six)))
            .shape == Extents{6});
}

TEST_CASE("npy: what is wrong is refused with file, offset, expected and found", "[io]") {
  const TempFolder folder;
  const std::string four = raw<float>({1, 2, 3, 4});
  const auto why = [&](const std::string& content) {
    const auto path = folder.write("bad.npy", content);
    const std::string text = message([&] { static_cast<void>(read_npy(path)); });
    CHECK(has(text, path.string()));
    CHECK(has(text, "offset"));
    CHECK(has(text, "expected"));
    CHECK(has(text, "found"));
    return text;
  };
  CHECK(has(why(""), "magic"));
  CHECK(has(why(npy_file(1, dict("<f4", "(4,)"), four.substr(1))), "16 bytes of array data, found 15"));
  CHECK(has(why(npy_file(1, dict("<f4", "(4,)"), four + "x")), "1 more bytes"));
  std::string magic = npy_file(1, dict("<f4", "(4,)"), four);
  magic[5] = 'X';
  CHECK(has(why(magic), "offset 5"));
  CHECK(has(why(npy_file(4, dict("<f4", "(4,)"), four)), "4.0"));
  CHECK(has(why(npy_file(1, dict("<f4", "(1,1,1,1,1,2,2)"), four)), "at most 6 extents"));
  CHECK(has(why(npy_file(1, dict("<f4", "(4611686018427387904, 4)"), four)), "60 bits"));
  CHECK(has(why(npy_file(1, dict("<f4", "(0, 4611686018427387904, 4611686018427387904)"), "")), "60 bits"));
  CHECK(has(why(npy_file(1, dict("<f4", "(99999999999999999999,)"), four)), "64 bits"));
  CHECK(has(why(npy_file(1, dict("<f4", "(1000000000,)"), four)), "4000000000 bytes"));
  CHECK(has(why(npy_file(1, dict("<f4", "(-4,)"), four)), "an extent"));
  CHECK(has(why(npy_file(1, dict("|O", "(4,)"), four)), "element type"));
  CHECK(has(why(npy_file(1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (4,)}", four)), "a string"));
  CHECK(has(why(npy_file(1, "{'descr': '<f4', 'shape': (4,)}", four)), "'fortran_order'"));
  CHECK(has(why(npy_file(1, "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (4,)}", four)), "once"));
  CHECK(has(why(npy_file(1, dict("<f4", "(4,)") + " 1", four)), "the end of the header"));
  std::string longer = npy_file(2, dict("<f4", "(4,)"), four);
  longer[11] = '\x7f';  // a header of two gigabytes
  CHECK(has(why(longer), "a header of at most"));
  CHECK(has(message([&] { static_cast<void>(read_npy(folder / "absent.npy")); }), "nothing of that name"));
  CHECK(has(message([&] { static_cast<void>(read_npy(folder.path())); }), "expected a file, found something else"));
}

TEST_CASE("npy: conversions to integers refuse what does not fit", "[io]") {
  const TempFolder folder;
  const auto doubles = [&](std::initializer_list<double> v) {
    return read_npy(folder.write("d.npy", npy_file(1, dict("<f8", "(" + std::to_string(v.size()) + ",)"), raw(v))));
  };
  CHECK(doubles({0, 255}).as<std::uint8_t>()[1] == 255);
  CHECK(doubles({-128, 127}).as<std::int8_t>()[0] == -128);
  CHECK(doubles({-0x1p63}).as<std::int64_t>()[0] == std::numeric_limits<std::int64_t>::min());
  CHECK_THROWS_AS(doubles({256}).as<std::uint8_t>(), Error);
  CHECK_THROWS_AS(doubles({-1}).as<std::uint8_t>(), Error);
  CHECK_THROWS_AS(doubles({0.5}).as<int>(), Error);
  CHECK_THROWS_AS(doubles({std::nan("")}).as<int>(), Error);
  CHECK_THROWS_AS(doubles({0x1p63}).as<std::int64_t>(), Error);
  CHECK_THROWS_AS(doubles({std::numeric_limits<double>::infinity()}).as<std::uint64_t>(), Error);
  const NpyArray wide = read_npy(folder.write("w.npy", npy_file(1, dict("<i4", "(1,)"), raw<std::int32_t>({-5}))));
  CHECK(wide.as<float>()[0] == -5.0f);
  CHECK_THROWS_AS(wide.as<std::uint32_t>(), Error);
}

TEST_CASE("npz: round trip, stored and deflated", "[io]") {
  const TempFolder folder;
  for (const Compression compression : {Compression::stored, Compression::deflate}) {
    Tensor<float> w(Extents{3, 50, 4});
    for (std::size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(i % 7) * 0.25f;
    NpzWriter out;
    out.add("layer0.weight", w);
    out.add("labels", std::vector<int>{3, -1, 4});
    out.add("epoch", 12.0);
    out.add("flag", true);
    out.add("big", std::vector<std::uint64_t>{~std::uint64_t{0}});
    out.add("empty", Tensor<float>(Extents{0, 3}));
    CHECK(has(message([&] { out.add("epoch", 1.0); }), "taken"));
    CHECK(has(message([&] { out.add("odd", Extents{2, 2}, std::span<const float>(w.data(), 3)); }), "4 values"));
    const auto path = folder / "a.npz";
    out.save(path, compression);

    const NpzFile file = read_npz(path);
    CHECK(file.names() == std::vector<std::string>{"big", "empty", "epoch", "flag", "labels", "layer0.weight"});
    CHECK(file.contains("epoch"));
    CHECK_FALSE(file.contains("odd"));
    const Tensor<float> back = file["layer0.weight"].as<float>();
    CHECK(back.extents() == w.extents());
    CHECK(std::equal(back.span().begin(), back.span().end(), w.span().begin()));
    CHECK(file["labels"].as<int>()[1] == -1);
    CHECK(file["epoch"].shape.rank() == 0);
    CHECK(file["epoch"].as_doubles() == std::vector<double>{12});
    CHECK(file["flag"].dtype == NpyType::b1);
    CHECK(file["big"].as<std::uint64_t>()[0] == ~std::uint64_t{0});
    CHECK(file["empty"].shape == Extents{0, 3});
    CHECK(has(message([&] { static_cast<void>(file["odd"]); }), "\"odd\", found big, empty"));

    // Equal content, equal bytes; only the file itself is left in the folder.
    const auto first = spiq_test::read_bytes(path);
    out.save(path, compression);
    CHECK(spiq_test::read_bytes(path) == first);
    CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
#if SPIQ_HAS_ZLIB
    CHECK((first.size() < 2000) == (compression == Compression::deflate));
#endif
  }
  CHECK_THROWS_AS(NpzWriter().save(folder / "no_such_folder/a.npz"), Error);
  NpzWriter().save(folder / "none.npz");
  CHECK(read_npz(folder / "none.npz").size() == 0);
}

TEST_CASE("npy: written files read back, with NumPy's alignment", "[io]") {
  const TempFolder folder;
  Tensor<std::int16_t> t(Extents{2, 3});
  for (std::size_t i = 0; i < 6; ++i) t[i] = static_cast<std::int16_t>(100 * i);
  write_npy(folder / "t.npy", t);
  CHECK(std::filesystem::file_size(folder / "t.npy") == 128 + 12);
  const NpyArray back = read_npy(folder / "t.npy");
  CHECK(back.dtype == NpyType::i2);
  CHECK(back.shape == t.extents());
  CHECK(back.as<int>()[5] == 500);
  const std::string text = io::npy_header_text(NpyType::f4, Extents{7});
  CHECK(text.size() == 128);
  CHECK(text.substr(10, 55) == "{'descr': '<f4', 'fortran_order': False, 'shape': (7,),");
}

TEST_CASE("npz: lying archives are refused", "[io]") {
  const TempFolder folder;
  NpzWriter out;
  out.add("a", std::vector<float>(64, 1.0f));
  out.add("b", std::vector<float>(64, 2.0f));
  out.save(folder / "good.npz");
  const auto good = spiq_test::read_bytes(folder / "good.npz");
  const auto set = [](spiq_test::Bytes& bytes, std::size_t at, std::uint64_t value, int count) {
    for (int i = 0; i < count; ++i)
      bytes[at + static_cast<std::size_t>(i)] = static_cast<std::byte>(value >> 8 * i & 0xff);
  };
  const auto why = [&](const spiq_test::Bytes& bytes) {
    const auto path = folder.write("bad.npz", bytes);
    const std::string text = message([&] { static_cast<void>(read_npz(path)); });
    CHECK(has(text, path.string()));
    CHECK(has(text, "offset"));
    return text;
  };
  const std::size_t end = good.size() - 22;
  const auto directory = static_cast<std::size_t>(io::little_endian(std::span(good).subspan(end + 16, 4)));
  const std::size_t second = directory + 46 + 5;  // "a.npy"

  auto bad = good;
  set(bad, second + 42, 0, 4);  // both entries point to the first member
  CHECK(has(why(bad), "member name"));
  bad = good;
  set(bad, directory + 20, 0xfffffff0u, 4);
  set(bad, directory + 24, 0xfffffff0u, 4);
  CHECK(has(why(bad), "more bytes than the file has"));
  bad = good;
  set(bad, directory + 16, 0x12345678, 4);
  CHECK(has(why(bad), "CRC-32 0x12345678 of member \"a.npy\", as the directory says"));
  set(bad, 14, 0x12345678, 4);  // the local header agrees, the content does not
  CHECK(has(why(bad), "CRC-32 0x12345678, found"));
  bad = good;
  set(bad, 200, 0x55, 1);  // a data byte
  CHECK(has(why(bad), "CRC-32"));
  bad = good;
  set(bad, directory + 8, 1, 2);
  CHECK(has(why(bad), "encrypt"));
  bad = good;
  set(bad, directory + 10, 12, 2);
  CHECK(has(why(bad), "method 0"));
  bad = good;
  set(bad, end + 10, 3, 2);  // three members claimed
  CHECK(has(why(bad), "a directory entry"));
  bad = good;
  set(bad, end + 10, 1, 2);
  CHECK(has(why(bad), "the end of the directory"));
  bad = good;
  set(bad, end + 16, 0xffffffffu, 4);  // zip64 promised, not there
  CHECK(has(why(bad), "zip signature 0x07064b50"));
  bad = good;
  bad.push_back(std::byte{0});
  CHECK(has(why(bad), "end record"));
  // Local headers that say other than the directory: another program would read another archive.
  const auto local = [&](std::size_t at, std::uint64_t value, int count, const std::string& complaint) {
    auto changed = good;
    set(changed, at, value, count);
    const std::string text = why(changed);
    CAPTURE(text);
    CHECK(has(text, "expected " + complaint));
    CHECK(has(text, " of member \"a.npy\", as the directory says"));
  };
  local(6, 1, 2, "flags 0");
  local(6, 8, 2, "flags 0");
  local(8, 8, 2, "method 0");
  local(14, 5, 4, "CRC-32 0x");
  local(18, 383, 4, "packed size 384");
  local(22, 385, 4, "size 384");
  local(22, 0xffffffffu, 4, "size 384");  // wide, but without the wide field
  bad = good;
  set(bad, directory + 8, 1u << 5, 2);
  CHECK(has(why(bad), "without encryption or patches"));
  CHECK(has(why(spiq_test::bytes_of("not a zip archive, but long enough to be looked at")), "end record"));
}

namespace {

/// A zip archive put together by hand: `place` adds a local header and its bytes, `enter` a directory entry.
struct HandZip {
  std::string body, directory;
  int count = 0;

  static void put(std::string& to, std::uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) to += static_cast<char>(i < 8 ? value >> 8 * i & 0xff : 0);
  }
  static void fields(std::string& to, int flags, std::uint32_t crc, std::size_t size, const std::string& name) {
    put(to, 20, 2), put(to, static_cast<std::uint64_t>(flags), 2), put(to, 0, 2), put(to, 0, 4), put(to, crc, 4);
    put(to, size, 4), put(to, size, 4), put(to, name.size(), 2), put(to, 0, 2);
  }
  static std::uint32_t crc(const std::string& content) { return io::crc32_of(std::as_bytes(std::span(content))); }

  static std::string member(const std::string& name, const std::string& content) {
    std::string out;
    put(out, 0x04034b50, 4), fields(out, 0, crc(content), content.size(), name);
    return out + name + content;
  }
  void enter(const std::string& name, const std::string& content, std::size_t header, int flags = 0) {
    put(directory, 0x02014b50, 4), put(directory, 20, 2), fields(directory, flags, crc(content), content.size(), name);
    put(directory, 0, 10), put(directory, header, 4);
    directory += name;
    ++count;
  }
  [[nodiscard]] std::string bytes() const {
    std::string out = body + directory;
    put(out, 0x06054b50, 4), put(out, 0, 4), put(out, static_cast<std::uint64_t>(count), 2);
    put(out, static_cast<std::uint64_t>(count), 2), put(out, directory.size(), 4), put(out, body.size(), 4), put(out, 0, 2);
    return out;
  }
};

}  // namespace

TEST_CASE("npz: members that overlap are refused, gaps between them are not", "[io]") {
  const TempFolder folder;
  const std::string small = npy_file(1, dict("<f4", "(2,)"), raw<float>({1.5f, -2.5f}));
  const std::string inner = HandZip::member("b.npy", small);
  const std::string outer = npy_file(1, dict("|u1", "(" + std::to_string(inner.size()) + ",)"), inner);
  for (const bool overlap : {true, false}) {
    HandZip zip;
    zip.body = HandZip::member("a.npy", outer);
    const std::size_t inside = zip.body.size() - inner.size();
    zip.body.append(400, '\0');  // so that the sizes together do not give it away
    const std::size_t behind = zip.body.size();
    zip.body += inner;
    zip.enter("a.npy", outer, 0);
    zip.enter("b.npy", small, overlap ? inside : behind);
    const auto path = folder.write("o.npz", zip.bytes());
    std::vector<double> found;
    const std::string text = message([&] { found = read_npz(path)["b"].as_doubles(); });
    CAPTURE(text);
    CHECK((found == std::vector<double>{1.5, -2.5}) == !overlap);
    CHECK(has(text, "\"b.npy\" inside \"a.npy\"") == overlap);
    CHECK(has(text, path.string() + "', offset " + std::to_string(inside)) == overlap);
  }
}

TEST_CASE("npz: streamed archives have CRC and sizes behind the data", "[io]") {
  const TempFolder folder;
  const std::string content = npy_file(1, dict("<f4", "(2,)"), raw<float>({1.5f, -2.5f}));
  HandZip zip;
  HandZip::put(zip.body, 0x04034b50, 4), HandZip::fields(zip.body, 8, 0, 0, "x.npy");
  zip.body += "x.npy" + content;
  HandZip::put(zip.body, 0x08074b50, 4), HandZip::put(zip.body, HandZip::crc(content), 4);
  HandZip::put(zip.body, content.size(), 4), HandZip::put(zip.body, content.size(), 4);
  zip.enter("x.npy", content, 0, 8);
  CHECK(read_npz(folder.write("s.npz", zip.bytes()))["x"].as_doubles() == std::vector<double>{1.5, -2.5});
}

TEST_CASE("npz: arrays that cannot be converted are named with their file", "[io]") {
  const TempFolder folder;
  NpzWriter out;
  out.add("big", std::vector<std::uint64_t>{~std::uint64_t{0}});
  out.save(folder / "big.npz");
  const NpzFile file = read_npz(folder / "big.npz");
  CHECK(file.as<std::uint64_t>("big")[0] == ~std::uint64_t{0});
  const std::string text = message([&] { static_cast<void>(file.as<int>("big")); });
  CHECK(has(text, (folder / "big.npz").string() + "', array \"big\": "));
}

TEST_CASE("npz: zip64 records are understood", "[io]") {
  // The archive of one member rewritten as some writers do it: sizes in extra fields, a zip64 end record.
  const TempFolder folder;
  const std::string content = npy_file(1, dict("<f4", "(2,)"), raw<float>({1.5f, -2.5f}));
  const std::uint32_t crc = io::crc32_of(std::as_bytes(std::span(content)));
  std::string zip;
  const auto put = [&zip](std::uint64_t value, int count) {
    for (int i = 0; i < count; ++i) zip += static_cast<char>(value >> 8 * i & 0xff);
  };
  const auto fields = [&](bool central) {
    put(45, 2), put(0, 2), put(0, 2), put(0, 4), put(crc, 4), put(0xffffffffu, 4), put(0xffffffffu, 4), put(5, 2);
    put(central ? 28 : 20, 2);
  };
  const auto extra = [&](bool central) {
    put(1, 2), put(central ? 24 : 16, 2), put(content.size(), 8), put(content.size(), 8);
    if (central) put(0, 8);
  };
  put(0x04034b50, 4), fields(false), zip += "x.npy", extra(false), zip += content;
  const std::size_t directory = zip.size();
  put(0x02014b50, 4), put(45, 2), fields(true), put(0, 2), put(0, 2), put(0, 2), put(0, 4), put(0xffffffffu, 4);
  zip += "x.npy", extra(true);
  const std::size_t wide = zip.size();
  put(0x06064b50, 4), put(44, 8), put(45, 2), put(45, 2), put(0, 4), put(0, 4), put(1, 8), put(1, 8);
  put(wide - directory, 8), put(directory, 8);
  put(0x07064b50, 4), put(0, 4), put(wide, 8), put(1, 4);
  put(0x06054b50, 4), put(0, 4), put(0xffff, 2), put(0xffff, 2), put(0xffffffffu, 4), put(0xffffffffu, 4), put(0, 2);
  const NpzFile file = read_npz(folder.write("wide.npz", zip));
  CHECK(file["x"].as_doubles() == std::vector<double>{1.5, -2.5});
  zip[30 + 5 + 4] = 'x';  // the wide size of the local header
  const auto path = folder.write("wide.npz", zip);
  CHECK(has(message([&] { static_cast<void>(read_npz(path)); }), "size " + std::to_string(content.size())));
}

#if SPIQ_HAS_ZLIB
TEST_CASE("npz: a deflated member that does not hold what is promised", "[io]") {
  const TempFolder folder;
  NpzWriter out;
  out.add("zeros", std::vector<float>(100000, 0.0f));
  out.save(folder / "z.npz", Compression::deflate);
  CHECK(read_npz(folder / "z.npz")["zeros"].size() == 100000);
  const auto good = spiq_test::read_bytes(folder / "z.npz");
  CHECK(good.size() < 2000);
  const std::size_t end = good.size() - 22;
  const auto directory = static_cast<std::size_t>(io::little_endian(std::span(good).subspan(end + 16, 4)));
  for (const std::uint32_t size : {0u, 128u, 400127u, 400129u, 0x10000000u, 0xfffffffeu}) {
    auto bad = good;
    for (std::size_t i = 0; i < 4; ++i) bad[directory + 24 + i] = static_cast<std::byte>(size >> 8 * i & 0xff);
    const auto path = folder.write("bad.npz", bad);
    CAPTURE(size);
    CHECK(has(message([&] { static_cast<void>(read_npz(path)); }), "offset"));
  }
}

TEST_CASE("npz: a member unpacks to no more than the directory promises", "[io]") {
  // The array header promises as much as really comes, but the archive says that the member is smaller.
  const TempFolder folder;
  NpzWriter out;
  out.add("zeros", std::vector<float>(100000, 0.0f));
  out.save(folder / "z.npz", Compression::deflate);
  auto bad = spiq_test::read_bytes(folder / "z.npz");
  const auto directory = static_cast<std::size_t>(io::little_endian(std::span(bad).subspan(bad.size() - 6, 4)));
  for (const std::size_t at : {std::size_t{22}, directory + 24})
    for (std::size_t i = 0; i < 4; ++i) bad[at + i] = static_cast<std::byte>(1128u >> 8 * i & 0xff);
  const auto path = folder.write("bad.npz", bad);
  CHECK(has(message([&] { static_cast<void>(read_npz(path)); }), "400000 bytes of array data, found at most 1000"));
}
#endif
