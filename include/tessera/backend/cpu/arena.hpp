/// One block of zeroed private memory, reserved before step 0; offsets come from the plan.
#pragma once

#include <tessera/core/bytes.hpp>
#include <tessera/core/error.hpp>
#include <tessera/core/setting.hpp>

#include <sys/mman.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <utility>

namespace tessera::inline TESSERA_SETTING {

class PrivateArena {
 public:
  explicit PrivateArena(Bytes bytes) : bytes_(bytes) {
    if (bytes == 0) return;
    void* const p = ::mmap(nullptr, std::size_t(bytes + huge), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
      throw Error("the arena of " + std::to_string(bytes) +
                  " bytes cannot be mapped; raise the limit of virtual memory (ulimit -v) or shard "
                  "more (Zero<3>)");
    mapping_ = static_cast<std::byte*>(p);
    // Huge pages need an aligned start; the slack before it is never touched.
    auto const start = round_up(std::int64_t(reinterpret_cast<std::uintptr_t>(p)), huge);
    base_ = reinterpret_cast<std::byte*>(std::uintptr_t(start));
    ::madvise(base_, std::size_t(bytes), MADV_HUGEPAGE);
  }
  PrivateArena(PrivateArena&& other) noexcept
      : bytes_(std::exchange(other.bytes_, 0)),
        mapping_(std::exchange(other.mapping_, nullptr)),
        base_(std::exchange(other.base_, nullptr)) {}
  PrivateArena& operator=(PrivateArena&&) = delete;
  ~PrivateArena() {
    if (mapping_) ::munmap(mapping_, std::size_t(bytes_ + huge));
  }

  std::byte* base() const { return base_; }
  Bytes bytes() const { return bytes_; }

 private:
  static constexpr Bytes huge = 2_MiB;
  Bytes bytes_ = 0;
  std::byte* mapping_ = nullptr;
  std::byte* base_ = nullptr;
};

}  // namespace tessera::inline TESSERA_SETTING
