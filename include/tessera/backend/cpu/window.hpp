/// Zeroed memory that the ranks of a communicator see as one contiguous region.
#pragma once

#include <tessera/core/bytes.hpp>
#include <tessera/core/setting.hpp>
#include <tessera/run/world.hpp>

#include <sys/mman.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string>

namespace tessera::inline TESSERA_SETTING {

inline constexpr Bytes page_bytes = 4096;
inline constexpr Bytes huge_page_bytes = Bytes(2) << 20;

/// Bytes that a file in `folder` may still take.
inline Bytes free_bytes(std::string const& folder) {
  struct statvfs fs {};
  if (statvfs(folder.c_str(), &fs) != 0) return 0;
  return Bytes(fs.f_bavail) * Bytes(fs.f_frsize);
}

/// One rank: private, with huge pages. More: an MPI-3 shared window, each rank an equal part.
/// Construction is collective over the world, destruction over the communicator.
class Window {
 public:
  Window(World const& world, mpi::Comm const& comm, Bytes bytes) : bytes_(bytes) {
    std::optional<std::string> problem;
    try {
      comm.size() == 1 ? map(bytes) : share(comm, bytes);
    } catch (Error const& error) {
      problem = error.what();
    }
    world.agree(problem);
    if (comm.size() > 1) mpi::check(MPI_Barrier(comm.get()), "MPI_Barrier");
  }
  Window(Window const&) = delete;
  Window& operator=(Window const&) = delete;
  ~Window() {
    if (map_ != nullptr) munmap(map_, std::size_t(bytes_ + huge_page_bytes));
    // Freeing is collective: not while an exception unwinds this rank alone.
    if (window_ != MPI_WIN_NULL && std::uncaught_exceptions() == 0 && mpi::running()) {
      MPI_Win_unlock_all(window_);
      MPI_Win_free(&window_);
    }
  }

  /// On a page; the same bytes on every rank of the communicator.
  std::byte* base() const { return base_; }

 private:
  void map(Bytes bytes) {
    void* const at = mmap(nullptr, std::size_t(bytes + huge_page_bytes), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
      throw Error("no address space for " + std::to_string(bytes) +
                  " bytes: " + std::strerror(errno) + "; use a smaller model or more ranks");
    map_ = at;
    auto const address = reinterpret_cast<std::uintptr_t>(at);
    base_ =
        static_cast<std::byte*>(at) + (round_up(Bytes(address), huge_page_bytes) - Bytes(address));
    madvise(base_, std::size_t(bytes), MADV_HUGEPAGE);
  }

  void share(mpi::Comm const& comm, Bytes bytes) {
    // A page of slack: MPI may put its own header before the first byte.
    Bytes const part = round_up((bytes + page_bytes + comm.size() - 1) / comm.size(), page_bytes);
    MPI_Info info = MPI_INFO_NULL;
    MPI_Info_create(&info);
    MPI_Info_set(info, "alloc_shared_noncontig", "false");
    std::byte* mine = nullptr;
    int const code = MPI_Win_allocate_shared(part, 1, info, comm.get(), &mine, &window_);
    MPI_Info_free(&info);
    mpi::check(code, "MPI_Win_allocate_shared");
    mpi::check(MPI_Win_lock_all(MPI_MODE_NOCHECK, window_), "MPI_Win_lock_all");
    MPI_Aint size = 0;
    int unit = 0;
    std::byte* first = nullptr;
    mpi::check(MPI_Win_shared_query(window_, 0, &size, &unit, &first), "MPI_Win_shared_query");
    if (mine != first + comm.rank() * part)
      throw Error("this MPI's shared window is not contiguous; set TESSERA_DOMAIN=1");
    auto const address = Bytes(reinterpret_cast<std::uintptr_t>(first));
    base_ = first + (round_up(address, page_bytes) - address);
    populate(mine, part);
  }

  /// Takes the pages now: a full file system refuses here, in words, and not by SIGBUS later.
  static void populate(std::byte* mine, Bytes part) {
#if defined(MADV_POPULATE_WRITE)
    auto const address = Bytes(reinterpret_cast<std::uintptr_t>(mine));
    Bytes const skip = round_up(address, page_bytes) - address;
    if (part <= skip) return;
    auto const whole = std::size_t((part - skip) / page_bytes * page_bytes);
    if (madvise(mine + skip, whole, MADV_POPULATE_WRITE) != 0 && errno != EINVAL)
      throw Error("the shared window's memory (" + std::to_string(part) + " bytes of this rank) " +
                  "cannot be had: " + std::strerror(errno) +
                  "; start the container with a larger --shm-size or set TESSERA_DOMAIN=1");
#else
    (void)mine, (void)part;
#endif
  }

  Bytes bytes_;
  std::byte* base_ = nullptr;
  void* map_ = nullptr;
  MPI_Win window_ = MPI_WIN_NULL;
};

}  // namespace tessera::inline TESSERA_SETTING
