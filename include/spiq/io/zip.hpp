/// @file
/// Zip archives as `.npz` files use them: stored or deflated members, zip64 fields; no encryption, no volumes.
/// Format: PKWARE APPNOTE 6.3.
#pragma once

#include <spiq/io/file.hpp>
#include <spiq/io/stream.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

/// How members of an archive are written. Without zlib `deflate` stores them: a larger file of the same content.
enum class Compression { stored, deflate };

namespace io {

/// One member, as the central directory describes it.
struct ZipEntry {
  std::string name;
  std::uint16_t flags = 0;
  std::uint16_t method = 0;  ///< 0 stored, 8 deflated
  std::uint32_t crc = 0;
  std::uint64_t packed_size = 0;
  std::uint64_t size = 0;
  std::uint64_t header = 0;  ///< offset of the local header
};

/// Reads the directory of an archive and the local header of every member; their content is read one by one. Throws
/// spiq::Error on anything inconsistent: a local header that says other than the directory (other readers would see
/// another archive), members that overlap (a small file could hold the same bytes many times).
class ZipReader {
  static constexpr std::uint64_t streamed = 1u << 3;  ///< flag: CRC and sizes follow the data, the local header has none

public:
  explicit ZipReader(const Path& path) : file_(path) { read_directory(); }

  [[nodiscard]] const File& file() const { return file_; }
  [[nodiscard]] const std::vector<ZipEntry>& entries() const { return entries_; }

  /// Offset of the packed bytes of a member. Throws where its local header contradicts the directory.
  [[nodiscard]] std::uint64_t locate(const ZipEntry& e) const {
    std::array<std::byte, 30> h{};
    file_.read(e.header, h, "a local header");
    expect_signature(e.header, h, 0x04034b50u);
    const std::uint64_t name_size = little_endian(std::span(h).subspan(26, 2));
    const std::uint64_t extra_size = little_endian(std::span(h).subspan(28, 2));
    std::string name(name_size, '\0');
    file_.read(e.header + 30, std::as_writable_bytes(std::span(name)), "a member name");
    if (name != e.name) bad_file(file_.name(), e.header + 30, "member name \"" + e.name + "\"", "another one");
    check_local(e, h, static_cast<std::size_t>(extra_size));
    const std::uint64_t begin = e.header + 30 + name_size + extra_size;
    if (begin > directory_ || e.packed_size > directory_ - begin)
      bad_file(file_.name(), begin, std::to_string(e.packed_size) + " bytes of member \"" + e.name + "\"",
               "the directory at " + std::to_string(directory_));
    return begin;
  }

  /// Calls `use(stream)` on the unpacked member, then checks that it was read to its end and that its CRC is right.
  template <class Use>
  void read(const ZipEntry& e, Use&& use) const {
    const std::uint64_t begin = locate(e);
    ByteStream stream(file_, file_.name() + " member '" + e.name + "'", begin, e.packed_size,
                      e.method == 0 ? Coding::stored : Coding::deflate, e.size);
    stream.require(e.size, "content");
    use(stream);
    if (stream.position() != e.size)
      stream.fail(stream.position(), std::to_string(e.size) + " bytes in all, as the directory says",
                  std::to_string(stream.position()));
    stream.expect_end();
    if (stream.crc() != e.crc) stream.fail(e.size, "CRC-32 " + hex32(e.crc), hex32(stream.crc()));
  }

private:
  /// Flags that change what the bytes mean: encryption, sizes behind the data, patches, strong encryption, masking.
  static constexpr std::uint64_t meaning = 1u | streamed | 1u << 5 | 1u << 6 | 1u << 13;

  /// Holds the local header `h` of a member against the directory.
  void check_local(const ZipEntry& e, std::span<const std::byte> h, std::size_t extra_size) const {
    const auto same = [&](std::size_t offset, const std::string& what, std::uint64_t promised, std::uint64_t found) {
      const auto text = [&](std::uint64_t v) {
        return offset == 14 ? hex32(static_cast<std::uint32_t>(v)) : std::to_string(v);
      };
      if (promised != found)
        bad_file(file_.name(), e.header + offset,
                 what + " " + text(promised) + " of member \"" + e.name + "\", as the directory says", text(found));
    };
    same(6, "flags", e.flags & meaning, little_endian(h.subspan(6, 2)) & meaning);
    same(8, "method", e.method, little_endian(h.subspan(8, 2)));
    if ((e.flags & streamed) != 0) return;  // checksum and sizes stand behind the data
    same(14, "CRC-32", e.crc, little_endian(h.subspan(14, 4)));
    std::uint64_t packed = little_endian(h.subspan(18, 4)), size = little_endian(h.subspan(22, 4));
    if (packed == 0xffffffffu || size == 0xffffffffu) {
      std::vector<std::byte> extra(extra_size);
      file_.read(e.header + 30 + e.name.size(), extra, "an extra field");
      ZipEntry local;
      local.packed_size = packed;
      local.size = size;
      // Where one size is wide, a local header gives both, unlike a directory entry.
      read_zip64(local, extra, e.header + 30 + e.name.size(), true);
      packed = local.packed_size;
      size = local.size;
    }
    same(18, "packed size", e.packed_size, packed);
    same(22, "size", e.size, size);
  }

  /// Throws where the bytes of two members, headers included, overlap.
  void check_ranges() const {
    struct Range {
      std::uint64_t begin, end;
      const std::string* name;
    };
    std::vector<Range> ranges;
    ranges.reserve(entries_.size());
    for (const ZipEntry& e : entries_) ranges.push_back({e.header, locate(e) + e.packed_size, &e.name});
    std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
    for (std::size_t i = 1; i < ranges.size(); ++i)
      if (ranges[i].begin < ranges[i - 1].end)
        bad_file(file_.name(), ranges[i].begin, "members that lie beside each other",
                 "\"" + *ranges[i].name + "\" inside \"" + *ranges[i - 1].name + "\"");
  }

  void expect_signature(std::uint64_t offset, std::span<const std::byte> record, std::uint32_t signature) const {
    const auto found = static_cast<std::uint32_t>(little_endian(record.first(4)));
    if (found != signature) bad_file(file_.name(), offset, "zip signature " + hex32(signature), hex32(found));
  }

  /// Finds the end record: 22 bytes and a comment that reaches exactly to the end of the file.
  [[nodiscard]] std::uint64_t find_end() const {
    const std::uint64_t size = file_.size();
    const auto tail_size = static_cast<std::size_t>(std::min<std::uint64_t>(size, 22 + 65535));
    std::vector<std::byte> tail(tail_size);
    file_.read(size - tail_size, tail, "the end of the archive");
    for (std::size_t back = 22; back <= tail_size; ++back) {
      const std::span<const std::byte> record = std::span(tail).subspan(tail_size - back);
      if (little_endian(record.first(4)) == 0x06054b50u && little_endian(record.subspan(20, 2)) == back - 22)
        return size - back;
    }
    bad_file(file_.name(), size, "the end record of a zip archive", "none");
  }

  void read_directory() {
    const std::uint64_t end = find_end();
    std::array<std::byte, 22> record{};
    file_.read(end, record, "the end record");
    std::uint64_t count = little_endian(std::span(record).subspan(10, 2));
    std::uint64_t size = little_endian(std::span(record).subspan(12, 4));
    std::uint64_t limit = end;
    directory_ = little_endian(std::span(record).subspan(16, 4));
    if (count == 0xffff || size == 0xffffffffu || directory_ == 0xffffffffu) {
      std::array<std::byte, 20> locator{};
      if (end < 20) bad_file(file_.name(), end, "a zip64 locator before the end record", "the start of the file");
      file_.read(end - 20, locator, "the zip64 locator");
      expect_signature(end - 20, locator, 0x07064b50u);
      limit = little_endian(std::span(locator).subspan(8, 8));
      std::array<std::byte, 56> wide{};
      file_.read(limit, wide, "the zip64 end record");
      expect_signature(limit, wide, 0x06064b50u);
      count = little_endian(std::span(wide).subspan(32, 8));
      size = little_endian(std::span(wide).subspan(40, 8));
      directory_ = little_endian(std::span(wide).subspan(48, 8));
    }
    if (directory_ > limit || size != limit - directory_)
      bad_file(file_.name(), end, "a directory that ends where the end record starts",
               "one of " + std::to_string(size) + " bytes at " + std::to_string(directory_));
    std::uint64_t at = directory_;
    std::uint64_t claimed = 0;
    std::set<std::string> names;
    for (std::uint64_t i = 0; i < count; ++i) {
      ZipEntry e = read_entry(at, limit);
      if (!names.insert(e.name).second)
        bad_file(file_.name(), at, "members of different names", "\"" + e.name + "\" twice");
      claimed += 30 + e.packed_size;
      if (e.packed_size > file_.size() || claimed > file_.size())
        bad_file(file_.name(), at, "members that lie beside each other", "more bytes than the file has");
      entries_.push_back(std::move(e));
    }
    if (at != limit) bad_file(file_.name(), at, "the end of the directory", std::to_string(limit - at) + " more bytes");
    check_ranges();
  }

  ZipEntry read_entry(std::uint64_t& at, std::uint64_t limit) const {
    std::array<std::byte, 46> h{};
    if (limit - at < h.size()) bad_file(file_.name(), at, "a directory entry", "the end of the directory");
    file_.read(at, h, "a directory entry");
    expect_signature(at, h, 0x02014b50u);
    const auto field = [&](std::size_t offset, std::size_t bytes) {
      return little_endian(std::span<const std::byte>(h).subspan(offset, bytes));
    };
    ZipEntry e;
    e.flags = static_cast<std::uint16_t>(field(8, 2));
    e.method = static_cast<std::uint16_t>(field(10, 2));
    e.crc = static_cast<std::uint32_t>(field(16, 4));
    e.packed_size = field(20, 4);
    e.size = field(24, 4);
    e.header = field(42, 4);
    if ((e.flags & meaning & ~streamed) != 0)
      bad_file(file_.name(), at + 8, "a member without encryption or patches", "flags " + hex32(e.flags));
    if (e.method != 0 && e.method != 8)
      bad_file(file_.name(), at + 10, "method 0 (stored) or 8 (deflated)", std::to_string(e.method));
    const auto name_size = static_cast<std::size_t>(field(28, 2));
    const auto extra_size = static_cast<std::size_t>(field(30, 2));
    const auto comment_size = static_cast<std::size_t>(field(32, 2));
    if (limit - at - h.size() < name_size + extra_size + comment_size)
      bad_file(file_.name(), at + 28, "a directory entry", "one that passes the end of the directory");
    e.name.resize(name_size);
    file_.read(at + 46, std::as_writable_bytes(std::span(e.name)), "a member name");
    std::vector<std::byte> extra(extra_size);
    file_.read(at + 46 + name_size, extra, "an extra field");
    read_zip64(e, extra, at + 46 + name_size);
    if (e.method == 0 && e.size != e.packed_size)
      bad_file(file_.name(), at + 20, "equal sizes of a stored member",
               std::to_string(e.packed_size) + " and " + std::to_string(e.size));
    at += 46 + name_size + extra_size + comment_size;
    return e;
  }

  /// Extra field 1 holds, in this order, 64-bit values of those fields that read 0xffffffff; with `both` always the two
  /// sizes.
  void read_zip64(ZipEntry& e, std::span<const std::byte> extra, std::uint64_t offset, bool both = false) const {
    while (extra.size() >= 4) {
      const auto id = little_endian(extra.first(2));
      const auto length = static_cast<std::size_t>(little_endian(extra.subspan(2, 2)));
      extra = extra.subspan(4);
      if (length > extra.size()) bad_file(file_.name(), offset, "an extra field", "one that passes its end");
      if (id == 1) {
        std::span<const std::byte> values = extra.first(length);
        for (std::uint64_t* wide : {&e.size, &e.packed_size, &e.header}) {
          if (*wide != 0xffffffffu && !(both && wide != &e.header)) continue;
          if (values.size() < 8) bad_file(file_.name(), offset, "a 64-bit value in the zip64 field", "its end");
          *wide = little_endian(values.first(8));
          values = values.subspan(8);
        }
      }
      extra = extra.subspan(length);
    }
  }

  File file_;
  std::uint64_t directory_ = 0;
  std::vector<ZipEntry> entries_;
};

/// Builds an archive in memory and writes it in one go. Archives and members stay below 4 GiB.
class ZipWriter {
public:
  /// Adds a member; throws on a name that is taken.
  void add(const std::string& name, std::span<const std::byte> content, Compression compression) {
    if (name.empty() || name.size() > 65535 || !names_.insert(name).second)
      SPIQ_THROW("zip member \"" + name + "\"", "a new name", name.empty() ? "an empty one" : "one that is taken");
    std::vector<std::byte> packed;
    const bool deflated = compression == Compression::deflate && deflate(content, packed);
    const std::span<const std::byte> body = deflated ? std::span<const std::byte>(packed) : content;
    if (content.size() >= 0xffffffffu || bytes_.size() + body.size() + directory_.size() + 65536 >= 0xffffffffu)
      SPIQ_THROW("zip member \"" + name + "\"", "an archive below 4 GiB", "a larger one");
    const std::size_t header = bytes_.size();
    const auto common = [&](std::vector<std::byte>& out) {
      put(out, 20, 2);                // version needed: 2.0
      put(out, 0, 2);                 // flags
      put(out, deflated ? 8 : 0, 2);  // method
      put(out, 0, 2);                 // time and date are fixed: equal content gives equal bytes
      put(out, 0x21, 2);              // 1980-01-01
      put(out, crc32_of(content), 4);
      put(out, body.size(), 4);
      put(out, content.size(), 4);
      put(out, name.size(), 2);
      put(out, 0, 2);  // extra
    };
    put(bytes_, 0x04034b50u, 4);
    common(bytes_);
    append(bytes_, std::as_bytes(std::span(name)));
    append(bytes_, body);
    put(directory_, 0x02014b50u, 4);
    put(directory_, 20, 2);  // version made by
    common(directory_);
    put(directory_, 0, 2);  // comment
    put(directory_, 0, 2);  // volume
    put(directory_, 0, 2);  // internal attributes
    put(directory_, 0, 4);  // external attributes
    put(directory_, header, 4);
    append(directory_, std::as_bytes(std::span(name)));
  }

  /// The archive as bytes.
  [[nodiscard]] std::vector<std::byte> bytes() const {
    if (names_.size() >= 0xffff) SPIQ_THROW("zip archive", "fewer than 65535 members", std::to_string(names_.size()));
    std::vector<std::byte> all = bytes_;
    append(all, directory_);
    put(all, 0x06054b50u, 4);
    put(all, 0, 4);  // volumes
    put(all, names_.size(), 2);
    put(all, names_.size(), 2);
    put(all, directory_.size(), 4);
    put(all, bytes_.size(), 4);
    put(all, 0, 2);  // comment
    return all;
  }

private:
  static void put(std::vector<std::byte>& out, std::uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i, value >>= 8) out.push_back(static_cast<std::byte>(value & 0xff));
  }
  static void append(std::vector<std::byte>& out, std::span<const std::byte> more) {
    out.insert(out.end(), more.begin(), more.end());
  }
  /// False where there is no zlib or where packing does not pay.
  static bool deflate(std::span<const std::byte> content, std::vector<std::byte>& packed) {
#if SPIQ_HAS_ZLIB
    if (content.empty() || content.size() >= 0xffffffffu) return false;
    z_stream z{};
    if (::deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK) return false;
    packed.resize(::deflateBound(&z, static_cast<uLong>(content.size())));
    z.next_in = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(content.data()));  // zlib reads only
    z.avail_in = static_cast<uInt>(content.size());
    z.next_out = reinterpret_cast<unsigned char*>(packed.data());
    z.avail_out = static_cast<uInt>(packed.size());
    const int status = ::deflate(&z, Z_FINISH);
    packed.resize(z.total_out);
    ::deflateEnd(&z);
    return status == Z_STREAM_END && packed.size() < content.size();
#else
    static_cast<void>(content);
    static_cast<void>(packed);
    return false;
#endif
  }

  std::vector<std::byte> bytes_;
  std::vector<std::byte> directory_;
  std::set<std::string> names_;
};

}  // namespace io

SPIQ_END_NAMESPACE
