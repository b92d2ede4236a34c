/// Files that a run writes: a failure is an Error that names file, bytes and the way out.
#pragma once

#include <tessera/core/bytes.hpp>
#include <tessera/core/error.hpp>
#include <tessera/core/setting.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace tessera::inline TESSERA_SETTING {

/// Unbuffered: what append() returned from survives a crash of the program.
class OutputFile {
 public:
  enum class Mode { replace, extend };

  /// Makes the folders that the path names.
  explicit OutputFile(std::string path, Mode mode = Mode::replace) : path_(std::move(path)) {
    std::filesystem::path const folder = std::filesystem::path(path_).parent_path();
    std::error_code code;
    if (!folder.empty()) std::filesystem::create_directories(folder, code);
    int const start = mode == Mode::replace ? O_TRUNC : O_APPEND;
    file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | start, 0666);
    if (file_ < 0)
      throw Error("cannot open " + path_ + " for writing (" + std::strerror(errno) +
                  "); choose a place that is writable");
    struct stat s {};
    if (::fstat(file_, &s) == 0 && S_ISREG(s.st_mode)) size_ = s.st_size;
  }
  ~OutputFile() {
    if (file_ >= 0) ::close(file_);
  }
  OutputFile(OutputFile&& other) noexcept
      : path_(std::move(other.path_)),
        file_(std::exchange(other.file_, -1)),
        size_(std::exchange(other.size_, 0)) {}
  OutputFile& operator=(OutputFile&&) = delete;

  /// All of the text, or an Error and none of it.
  void append(std::string_view text) {
    Bytes written = 0;
    while (written < Bytes(text.size())) {
      ssize_t const n = ::write(file_, text.data() + written, text.size() - std::size_t(written));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) fail(n < 0 ? errno : EIO, Bytes(text.size()));
      written += n;
    }
    size_ += written;
  }

  std::string const& path() const { return path_; }
  Bytes size() const { return size_; }

 private:
  [[noreturn]] void fail(int code, Bytes wanted) {
    bool const cut = ::ftruncate(file_, size_) == 0;  // not for devices
    throw Error("cannot write " + std::to_string(wanted) + " bytes to " + path_ + " after " +
                std::to_string(size_) + " (" + std::strerror(code) + "); " +
                (cut ? "what was written before is whole; " : "") +
                (code == ENOSPC || code == EDQUOT ? "free space there, or choose another place"
                                                  : "choose another place"));
  }

  std::string path_;
  int file_ = -1;
  Bytes size_ = 0;
};

inline void write_file(std::string const& path, std::string_view text) {
  OutputFile(path).append(text);
}

}  // namespace tessera::inline TESSERA_SETTING
