/// Text or tokens in a file, memory-mapped: nothing is copied and files larger than RAM are fine.
///
///   .bin           little-endian uint16 tokens; a header as llm.c writes it is skipped
///   .bin32         little-endian uint32 tokens
///   anything else  bytes, a vocabulary of 256
///
/// A file must keep its size while it is open. A shrunk one is noticed at the next sample; what is
/// cut off, or fails to be read, in the middle of a sample ends the rank with SIGBUS.
#pragma once

#include <tessera/core/bytes.hpp>
#include <tessera/core/error.hpp>
#include <tessera/core/setting.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace tessera::inline TESSERA_SETTING {

enum class Encoding : unsigned char { guess, bytes, uint16, uint32 };

namespace detail {

/// A whole file in memory, read only.
class Mapping {
 public:
  explicit Mapping(std::string const& path) : path_(path) {
    struct stat s {};
    if (::stat(path.c_str(), &s) != 0)
      refuse(errno == ENOENT ? "does not exist; check the path" : because("cannot be opened"));
    if (S_ISDIR(s.st_mode)) refuse("is a directory; name one file of text or tokens");
    if (!S_ISREG(s.st_mode)) refuse("is not a regular file, so it cannot be mapped; save it first");
    file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file_ < 0) refuse(because("cannot be read") + "; check its permissions");
    size_ = s.st_size;
    if (size_ == 0) close_and_refuse("is empty; it must hold text or tokens");
    void* const p = ::mmap(nullptr, std::size_t(size_), PROT_READ, MAP_SHARED, file_, 0);
    if (p == MAP_FAILED) close_and_refuse(because("cannot be mapped"));
    ::madvise(p, std::size_t(size_), MADV_RANDOM);  // samples are read in shuffled order
    at_ = static_cast<unsigned char const*>(p);
  }
  ~Mapping() {
    ::munmap(const_cast<unsigned char*>(at_), std::size_t(size_));
    ::close(file_);
  }
  Mapping(Mapping const&) = delete;
  Mapping& operator=(Mapping const&) = delete;

  unsigned char const* at() const { return at_; }
  Bytes size() const { return size_; }
  std::string const& path() const { return path_; }

  void check_still_whole() const {
    struct stat s {};
    if (::fstat(file_, &s) == 0 && s.st_size >= size_) return;
    throw Error(path_ + " shrank from " + std::to_string(size_) + " to " +
                std::to_string(s.st_size) +
                " bytes while it was open; leave it alone during a run");
  }
  [[noreturn]] void refuse(std::string const& why) const { throw Error(path_ + " " + why, true); }

 private:
  static std::string because(char const* what) {
    return std::string(what) + " (" + std::strerror(errno) + ")";
  }
  [[noreturn]] void close_and_refuse(std::string const& why) {
    ::close(file_);
    refuse(why);
  }

  std::string path_;
  int file_ = -1;
  Bytes size_ = 0;
  unsigned char const* at_ = nullptr;
};

}  // namespace detail

/// A run of consecutive tokens in a file: the whole file, or the part before or after a split.
/// Sample i of T tokens is tokens iT .. iT + T with the next token of each as its target.
class Tokens {
 public:
  static Tokens open(std::string const& path, Encoding encoding = Encoding::guess) {
    static_assert(std::endian::native == std::endian::little, "token files are little-endian");
    Tokens t;
    t.file_ = std::make_shared<detail::Mapping const>(path);
    t.width_ = width(encoding, path);
    Bytes bytes = t.file_->size();
    if (t.width_ > 1 && has_header(*t.file_)) bytes -= t.header_ = 1024;
    if (bytes % t.width_ != 0)
      t.file_->refuse("holds " + std::to_string(bytes) + " bytes, which is no whole number of " +
                      std::to_string(t.width_) +
                      "-byte tokens; name another Encoding, or rename it if it is text");
    t.size_ = bytes / t.width_;
    return t;
  }

  /// The last `share` of the tokens (0.05: five percent) for validation, the rest for training.
  struct Split;
  Split split(double share) const;

  std::int64_t size() const { return size_; }
  std::string const& path() const { return file_->path(); }
  std::int64_t operator[](std::int64_t i) const { return raw(first_ + i); }

  std::int64_t samples(int tokens) const {
    if (size_ > tokens) return (size_ - 1) / tokens;
    file_->refuse("has " + std::to_string(size_) + " tokens" + part_ + ", one sample needs " +
                  std::to_string(tokens + 1LL) + "; use a longer file or shorter samples");
  }

  void sample(std::int64_t index, std::span<std::int32_t> input,
              std::span<std::int32_t> target) const {
    file_->check_still_whole();
    std::int64_t const n = std::int64_t(input.size()), start = first_ + index * n;
    switch (width_) {
      case 1: copy<std::uint8_t>(start, input, target); break;
      case 2: copy<std::uint16_t>(start, input, target); break;
      default: copy<std::uint32_t>(start, input, target); break;
    }
  }

  /// Where token k of a sample lies: for messages.
  std::string where(std::int64_t index, int tokens, std::int64_t k) const {
    return path() + ", token " + std::to_string(first_ + index * tokens + k);
  }

 private:
  static int width(Encoding encoding, std::string_view path) {
    switch (encoding) {
      case Encoding::bytes: return 1;
      case Encoding::uint16: return 2;
      case Encoding::uint32: return 4;
      case Encoding::guess: break;
    }
    return path.ends_with(".bin") ? 2 : path.ends_with(".bin32") ? 4 : 1;
  }
  /// llm.c puts 256 int32 before the tokens: a magic number, a version, a count.
  static bool has_header(detail::Mapping const& file) {
    std::int32_t magic = 0;
    if (file.size() >= 1024) std::memcpy(&magic, file.at(), sizeof magic);
    return magic == 20240520 || magic == 20240801;
  }

  template <class Word>
  std::int64_t word(std::int64_t i) const {
    Word w;
    std::memcpy(&w, file_->at() + header_ + i * std::int64_t(sizeof(Word)), sizeof w);
    return w;
  }
  std::int64_t raw(std::int64_t i) const {
    return width_ == 1   ? word<std::uint8_t>(i)
           : width_ == 2 ? word<std::uint16_t>(i)
                         : word<std::uint32_t>(i);
  }
  template <class Word>
  void copy(std::int64_t start, std::span<std::int32_t> input,
            std::span<std::int32_t> target) const {
    std::int64_t const n = std::int64_t(input.size());
    std::int64_t next = word<Word>(start), largest = next;
    for (std::int64_t i = 0; i < n; ++i) {
      input[std::size_t(i)] = std::int32_t(next);
      next = word<Word>(start + i + 1);
      target[std::size_t(i)] = std::int32_t(next);
      largest = next > largest ? next : largest;
    }
    if (largest > std::numeric_limits<std::int32_t>::max())  // would read as negative: ignored
      throw Error(path() + " holds token " + std::to_string(largest) + " near token " +
                  std::to_string(start) + ", more than any vocabulary; check its Encoding");
  }

  std::shared_ptr<detail::Mapping const> file_;
  int width_ = 1;
  Bytes header_ = 0;
  std::int64_t first_ = 0, size_ = 0;
  std::string part_;  // " in its validation part", for messages
};

struct Tokens::Split {
  Tokens train, validation;
};

inline Tokens::Split Tokens::split(double share) const {
  if (!(share >= 0 && share < 1))
    throw Error("the validation share is " + std::to_string(share) + "; use 0 <= share < 1", true);
  Split s{*this, *this};
  s.validation.size_ = std::int64_t(double(size_) * share);
  s.train.size_ = size_ - s.validation.size_;
  s.validation.first_ = first_ + s.train.size_;
  s.train.part_ = " in its training part";
  s.validation.part_ = " in its validation part";
  return s;
}

}  // namespace tessera::inline TESSERA_SETTING
