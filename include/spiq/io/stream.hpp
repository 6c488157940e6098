/// @file
/// A range of a file read from front to back, unpacked on the way where it is compressed.
///
/// Compression needs zlib: CMake defines `SPIQ_WITH_ZLIB=1` where it is found. Without it everything compiles and
/// stored data can be read; compressed data give an Error that says so.
#pragma once

#include <spiq/io/file.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#if defined(SPIQ_WITH_ZLIB) && SPIQ_WITH_ZLIB
#define SPIQ_HAS_ZLIB 1
#include <zlib.h>
#else
#define SPIQ_HAS_ZLIB 0
#endif

SPIQ_BEGIN_NAMESPACE

namespace io {

/// CRC-32 (IEEE 802.3, as in zip and gzip) of `bytes`, continued from `crc`.
inline std::uint32_t crc32_of(std::span<const std::byte> bytes, std::uint32_t crc = 0) {
  if (bytes.empty()) return crc;  // zlib takes a null pointer as "start anew"
#if SPIQ_HAS_ZLIB
  return static_cast<std::uint32_t>(::crc32_z(crc, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
#else
  static constexpr auto table = [] {
    std::array<std::uint32_t, 256> t{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t v = i;
      for (int bit = 0; bit < 8; ++bit) v = v >> 1 ^ (0xEDB88320u & (0u - (v & 1u)));
      t[i] = v;
    }
    return t;
  }();
  crc = ~crc;
  for (const std::byte b : bytes) crc = table[(crc ^ std::to_integer<std::uint32_t>(b)) & 255u] ^ crc >> 8;
  return ~crc;
#endif
}

/// How the bytes of a range are coded.
enum class Coding { stored, deflate, gzip };

/// The bytes [begin, begin + length) of a file, decoded, in order. Holds a reference to the file.
/// Memory: 64 KiB of input at a time; nothing is unpacked that is not asked for.
class ByteStream {
public:
  /// `name` is how messages call the range ("'x.npz' member 'w.npy'"); no more than `most` bytes may come out of it.
  ByteStream(const File& file, std::string name, std::uint64_t begin, std::uint64_t length, Coding coding,
             std::uint64_t most = std::numeric_limits<std::uint64_t>::max())
      : file_(file), name_(std::move(name)), begin_(begin), length_(length), coding_(coding), most_(most) {
    if (begin > file.size() || length > file.size() - begin)
      bad_file(name_, begin, std::to_string(length) + " bytes",
               std::to_string(begin > file.size() ? 0 : file.size() - begin) + " before the end of the file");
    if (coding_ == Coding::stored) return;
#if SPIQ_HAS_ZLIB
    input_.resize(std::size_t{1} << 16);
    // 15: the largest window; +16 expects a gzip header and checks its trailer; negative means no header at all.
    if (::inflateInit2(&z_, coding_ == Coding::gzip ? 15 + 16 : -15) != Z_OK) SPIQ_THROW("zlib could not start");
#else
    SPIQ_THROW(name_ + " is compressed, and this build has no zlib (SPIQ_WITH_ZLIB is not set)");
#endif
  }
  /// The whole file: gzip where it starts like one, else as it is.
  explicit ByteStream(const File& file) : ByteStream(file, file.name(), 0, file.size(), guess(file)) {}
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;
  ~ByteStream() {
#if SPIQ_HAS_ZLIB
    if (coding_ != Coding::stored) ::inflateEnd(&z_);
#endif
  }

  [[nodiscard]] const std::string& name() const { return name_; }
  /// Bytes handed out so far.
  [[nodiscard]] std::uint64_t position() const { return position_; }
  /// CRC-32 of the bytes handed out so far.
  [[nodiscard]] std::uint32_t crc() const { return crc_; }
  /// No more than this many bytes can still come: exact for stored data; deflate expands by less than 1033 to
  /// one, and never beyond what the archive promises.
  [[nodiscard]] std::uint64_t limit() const {
    if (coding_ == Coding::stored) return length_ - position_;
    const std::uint64_t expanded =
        length_ > std::numeric_limits<std::uint64_t>::max() / 1040 ? ~std::uint64_t{0} : 1033 * (length_ + 1);
    const std::uint64_t most = std::min(expanded, most_);
    return most - std::min(most, position_);
  }

  /// Throws, before anything is allocated for them, where `count` further bytes cannot come.
  void require(std::uint64_t count, std::string_view what) const {
    if (count > limit())
      fail(position_, std::to_string(count) + " bytes of " + std::string(what),
           std::string(coding_ == Coding::stored ? "" : "at most ") + std::to_string(limit()));
  }
  /// Fills `out` with the next bytes; throws where they end earlier.
  void read(std::span<std::byte> out, std::string_view what) {
    require(out.size(), what);
    if (coding_ == Coding::stored) {
      file_.read(begin_ + position_, out, what);
      position_ += out.size();
    } else {
      const std::size_t got = unpack(out);
      if (got != out.size())
        fail(position_, "more bytes (" + std::string(what) + ")", "the end of the compressed data");
    }
    crc_ = crc32_of(out, crc_);
  }
  /// Reads `count` bytes into a container that grows with them: a lying promise in front of compressed data costs no
  /// more memory than the bytes that really come. `resize(n)` makes it n bytes long, keeps those it has, returns all.
  /// Stored bytes are there when they are promised, so they come in one go. Too little memory for them is an Error.
  template <class Resize>
  void read_growing(std::uint64_t count, std::string_view what, const Resize& resize) {
    require(count, what);
    const auto total = static_cast<std::size_t>(count);
    for (std::size_t done = 0; done < total;) {
      const std::size_t next =
          coding_ == Coding::stored ? total : std::min(total, std::max(2 * done, std::size_t{1} << 22));
      const std::span<std::byte> all =
          in_memory(name_ + ", " + std::to_string(next) + " bytes of " + std::string(what), [&] { return resize(next); });
      read(all.subspan(done), what);
      done = next;
    }
  }
  /// Throws where bytes are left over.
  void expect_end() {
    if (coding_ == Coding::stored) {
      if (limit() != 0) fail(position_, "the end of the data", std::to_string(limit()) + " more bytes");
      return;
    }
    std::byte one{};
    if (unpack({&one, 1}) != 0) fail(position_ - 1, "the end of the data", "more bytes");
#if SPIQ_HAS_ZLIB
    if (z_.avail_in != 0 || consumed_ != length_)
      fail(position_, "the end of the data", std::to_string(length_ - consumed_ + z_.avail_in) + " bytes behind it");
#endif
  }
  /// Complains about the content at `offset` of the (unpacked) bytes.
  [[noreturn]] void fail(std::uint64_t offset, std::string_view expected, std::string_view found) const {
    bad_file(coding_ == Coding::stored ? name_ : name_ + " (unpacked)", offset, expected, found);
  }

private:
  static Coding guess(const File& file) {
    std::array<std::byte, 2> head{};
    if (file.size() >= 2) file.read(0, head, "the first two bytes");
    return head[0] == std::byte{0x1f} && head[1] == std::byte{0x8b} ? Coding::gzip : Coding::stored;
  }

  /// Unpacks until `out` is full or the data end; returns the bytes written.
  std::size_t unpack(std::span<std::byte> out) {
    std::size_t done = 0;
#if SPIQ_HAS_ZLIB
    while (done < out.size()) {
      if (z_.avail_in == 0 && consumed_ < length_) refill();
      if (ended_) {
        // A gzip file may hold several members, each with its own header and trailer.
        if (coding_ != Coding::gzip || z_.avail_in == 0 || *z_.next_in != 0x1f) break;
        if (::inflateReset(&z_) != Z_OK) SPIQ_THROW("zlib could not restart");
        ended_ = false;
      }
      const auto want = static_cast<uInt>(std::min<std::size_t>(out.size() - done, std::size_t{1} << 30));
      z_.next_out = reinterpret_cast<unsigned char*>(out.data() + done);
      z_.avail_out = want;
      const uInt had = z_.avail_in;
      const int status = ::inflate(&z_, Z_NO_FLUSH);
      done += want - z_.avail_out;
      if (status == Z_STREAM_END) {
        ended_ = true;
      } else if (status != Z_OK && status != Z_BUF_ERROR) {
        bad_file(name_, begin_ + consumed_ - z_.avail_in, "valid compressed data",
                 z_.msg != nullptr ? z_.msg : "an error (" + std::to_string(status) + ")");
      } else if (z_.avail_out == want && z_.avail_in == had && consumed_ == length_) {
        bad_file(name_, begin_ + length_, "more compressed data", "their end");
      }
    }
    position_ += done;
#else
    static_cast<void>(out);
#endif
    return done;
  }

  const File& file_;
  std::string name_;
  std::uint64_t begin_;
  std::uint64_t length_;
  Coding coding_;
  std::uint64_t most_;
  std::uint64_t position_ = 0;
  std::uint32_t crc_ = 0;
#if SPIQ_HAS_ZLIB
  void refill() {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(length_ - consumed_, input_.size()));
    file_.read(begin_ + consumed_, std::span(input_).first(count), "compressed data");
    consumed_ += count;
    z_.next_in = reinterpret_cast<unsigned char*>(input_.data());
    z_.avail_in = static_cast<uInt>(count);
  }

  z_stream z_{};
  std::vector<std::byte> input_;
  std::uint64_t consumed_ = 0;  // compressed bytes taken from the file
  bool ended_ = false;
#endif
};

}  // namespace io

SPIQ_END_NAMESPACE
