/// The ranks that share memory: one region with the same bytes for all of them, and a barrier.
#pragma once

#include <tessera/backend/cpu/backoff.hpp>
#include <tessera/backend/cpu/watch.hpp>
#include <tessera/backend/cpu/window.hpp>
#include <tessera/core/setting.hpp>

#include <atomic>
#include <cstdint>
#include <new>
#include <optional>
#include <string>

namespace tessera::inline TESSERA_SETTING {

/// Ranks [k s, (k + 1) s) for domain size s. Construction and destruction are collective.
class Domain {
 public:
  Domain(World const& world, int ranks, Bytes bytes)
      : crowded_(world.crowded()),
        ranks_((refuse_shortage(world, ranks, bytes), ranks)),
        first_(world.rank() / ranks * ranks),
        bytes_(round_up(bytes, page_bytes)),
        watch_(world),
        comm_(split(world, ranks)),
        window_(world, comm_, bytes_ + ranks * Bytes(sizeof(Arrival))) {}

  /// Zeroed, on a page. One rank: private memory with huge pages.
  std::byte* base() const { return window_.base(); }
  int ranks() const { return ranks_; }
  int local() const { return comm_.rank(); }
  /// The world's rank of local rank 0.
  int first() const { return first_; }

  /// What a rank wrote before, every rank of the domain reads after. Throws an Error that names who
  /// has died or does not come.
  void barrier() {
    ++barriers_;
    std::int64_t const now = barriers_;
    arrival(local()).count.store(now, std::memory_order_release);
    Backoff backoff(crowded_);
    auto const late = [&](int rank) {
      int const l = rank - first_;
      return l >= 0 && l < ranks_ && arrival(l).count.load(std::memory_order_relaxed) < now;
    };
    for (int l = 0; l < ranks_; ++l)
      while (arrival(l).count.load(std::memory_order_acquire) < now)
        backoff.pause([&](double seconds) { watch_.look(seconds, late); });
  }
  std::int64_t barriers() const { return barriers_; }

  /// Where this rank is in the plan, for whoever waits for it.
  void doing(int row, int layer, int micro) { watch_.doing(row, layer, micro); }
  Watch& watch() { return watch_; }
  bool crowded() const { return crowded_; }

  /// Collective, the same answer on every rank: whether each machine has the shared memory.
  static bool fits(World const& world, int ranks, Bytes bytes) {
    int enough = !shortage(world, ranks, bytes);
    mpi::check(MPI_Allreduce(MPI_IN_PLACE, &enough, 1, MPI_INT, MPI_MIN, world.comm()),
               "MPI_Allreduce");
    return enough == 1;
  }

  /// Why this machine cannot give its domains their windows, in a sentence.
  static std::optional<std::string> shortage(World const& world, int ranks, Bytes bytes) {
    if (ranks == 1) return {};
    std::string const& folder = world.window_folder();
    Bytes const window = bytes + ranks * (Bytes(sizeof(Arrival)) + page_bytes) + 2 * page_bytes;
    Bytes const needed = world.node_size() / ranks * window + small_windows;
    Bytes const free = free_bytes(folder);
    if (needed <= free) return {};
    return "the shared windows of this machine need " + std::to_string(needed) + " bytes in " +
           folder + ", which has " + std::to_string(free) +
           " free; start the container with a larger --shm-size, or set TESSERA_DOMAIN=1 so that"
           " every rank keeps its own copy";
  }

 private:
  /// What MPI and Watch take beside the window.
  static constexpr Bytes small_windows = 1_MiB;

  /// How many barriers a rank has reached: a line each, which its rank alone writes.
  struct alignas(64) Arrival {
    std::atomic<std::int64_t> count;
  };
  Arrival& arrival(int l) const {
    return std::launder(reinterpret_cast<Arrival*>(window_.base() + bytes_))[l];
  }

  static void refuse_shortage(World const& world, int ranks, Bytes bytes) {
    if (!world.can_share(ranks))
      throw Error("domains of " + std::to_string(ranks) + " ranks do not divide the machines (" +
                      std::to_string(world.node_size()) + " ranks here); use " +
                      std::to_string(world.domain()) + " or 1",
                  true);
    world.agree(shortage(world, ranks, bytes));
  }
  static MPI_Comm split(World const& world, int ranks) {
    MPI_Comm comm = MPI_COMM_NULL;
    mpi::check(MPI_Comm_split(world.comm(), world.rank() / ranks, world.rank(), &comm),
               "MPI_Comm_split");
    return comm;
  }

  bool crowded_;
  int ranks_, first_;
  Bytes bytes_;
  Watch watch_;
  mpi::Comm comm_;
  Window window_;
  std::int64_t barriers_ = 0;
};

}  // namespace tessera::inline TESSERA_SETTING
