/// Who of this machine's ranks is alive and what it is doing: so that a wait names its culprit.
#pragma once

#include <tessera/backend/cpu/window.hpp>
#include <tessera/core/function_ref.hpp>
#include <tessera/core/setting.hpp>

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>

namespace tessera::inline TESSERA_SETTING {

/// A process as the kernel knows it. The start time tells it from a later one with its number.
struct Process {
  int pid = 0;
  std::int64_t started = 0;  // clock ticks since boot; 0: cannot be read
  std::uint64_t space = 0;   // the namespace that numbers it
};

/// From /proc/PID/stat, whose second field may hold any characters in parentheses.
inline bool runs(int pid, std::int64_t& started) {
  std::string const path = "/proc/" + std::to_string(pid) + "/stat";
  char text[1024];
  std::FILE* const file = std::fopen(path.c_str(), "r");
  if (file == nullptr) return kill(pid, 0) == 0 || errno != ESRCH;
  std::size_t const length = std::fread(text, 1, sizeof text - 1, file);
  std::fclose(file);
  text[length] = '\0';
  char const* after = std::strrchr(text, ')');
  if (after == nullptr || after[1] == '\0') return length > 0;
  char const state = after[2];
  long long ticks = 0;
  // state ppid pgrp session tty tpgid flags 4×faults 4×times priority nice threads 0 start
  if (std::sscanf(
          after + 2,
          "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %lld",
          &ticks) == 1)
    started = ticks;
  return state != 'Z' && state != 'X';
}

inline Process this_process() {
  Process p{.pid = int(getpid())};
  runs(p.pid, p.started);
  struct stat about {};
  if (stat("/proc/self/ns/pid", &about) == 0) p.space = about.st_ino;
  return p;
}

inline bool dead(Process const& p, Process const& seen_from) {
  if (p.space != seen_from.space) return false;  // its number means another process here
  std::int64_t started = p.started;
  return !runs(p.pid, started) || started != p.started;
}

/// One table per machine. Construction and destruction are collective.
class Watch {
 public:
  explicit Watch(World const& world)
      : world_(world),
        node_(same_node(world)),
        table_(world, node_, Bytes(sizeof(Table)) + node_.size() * Bytes(sizeof(Pulse))),
        self_(this_process()) {
    if (char const* text = std::getenv("TESSERA_PATIENCE")) {
      char* end = nullptr;
      patience_ = std::strtod(text, &end);
      if (*end != '\0' || !(patience_ > 0))
        throw Error("TESSERA_PATIENCE=" + std::string(text) +
                        " is no time to wait; set seconds, or nothing for 600",
                    true);
    }
    Pulse& mine = pulse(node_.rank());
    mine.rank = world.rank();
    mine.process = self_;
    mine.row.store(-1, std::memory_order_relaxed);
    mpi::check(MPI_Barrier(node_.get()), "MPI_Barrier");
  }

  /// Publishes where this rank is in the plan: four stores.
  void doing(int row, int layer, int micro) {
    Pulse& mine = pulse(node_.rank());
    mine.row.store(row, std::memory_order_relaxed);
    mine.layer.store(layer, std::memory_order_relaxed);
    mine.micro.store(micro, std::memory_order_relaxed);
    mine.waiting.store(0, std::memory_order_relaxed);
  }

  using Ranks = FunctionRef<bool(int)>;

  /// For a rank that has waited so long: late(rank) are those it waits for. Throws if one of them
  /// has died, or when patience ends.
  void look(double seconds, Ranks late) {
    pulse(node_.rank()).waiting.store(1, std::memory_order_relaxed);
    for (int n = 0; n < node_.size(); ++n) {
      Pulse const& p = pulse(n);
      if (n != node_.rank() && late(p.rank) && dead(p.process, self_))
        refuse(name(p) + " has died " + place(p) +
               "; its own last line or the kernel's log (out of memory?) says why");
    }
    if (seconds < patience_) return;
    // Those who wait themselves hang because of others, unless all do.
    std::string names = list(late, [&](int rank) { return waits(rank); });
    if (names.empty()) names = list(late, [](int) { return false; });
    Pulse const& mine = pulse(node_.rank());
    refuse("waited " + std::to_string(int(seconds)) + " s (" + place(mine) + ") for " + names +
           "; set TESSERA_PATIENCE to more seconds if that is no hang");
  }

 private:
  static constexpr int most_named = 8;

  struct alignas(64) Table {
    std::atomic<int> told;  // a rank has taken it upon itself to tell
  };
  /// The writer's own line: nobody polls it.
  struct alignas(64) Pulse {
    int rank;
    Process process;
    std::atomic<int> row, layer, micro;
    std::atomic<int> waiting;  // for so long that it has looked; until its next row
  };

  static MPI_Comm same_node(World const& world) {
    MPI_Comm comm = MPI_COMM_NULL;
    mpi::check(MPI_Comm_dup(world.node(), &comm), "MPI_Comm_dup");
    return comm;
  }
  Table& table() const { return *std::launder(reinterpret_cast<Table*>(table_.base())); }
  Pulse& pulse(int node_rank) const {
    return std::launder(reinterpret_cast<Pulse*>(table_.base() + sizeof(Table)))[node_rank];
  }

  std::string list(Ranks late, Ranks but) const {
    std::string names;
    int count = 0;
    for (int r = 0; r < world_.size(); ++r)
      if (r != world_.rank() && late(r) && !but(r) && ++count <= most_named)
        names += (count > 1 ? "; " : "") + describe(r);
    return count > most_named ? names + "; and " + std::to_string(count - most_named) + " more"
                              : names;
  }
  /// Of a rank of this machine; nullptr: it is on another one.
  Pulse const* find(int rank) const {
    for (int n = 0; n < node_.size(); ++n)
      if (pulse(n).rank == rank) return &pulse(n);
    return nullptr;
  }
  bool waits(int rank) const {
    Pulse const* const p = find(rank);
    return p != nullptr && p->waiting.load(std::memory_order_relaxed) != 0;
  }
  std::string describe(int rank) const {
    Pulse const* const p = find(rank);
    return p != nullptr ? name(*p) + " " + place(*p)
                        : "rank " + std::to_string(rank) + " on another machine";
  }
  static std::string name(Pulse const& p) {
    return "rank " + std::to_string(p.rank) + " (pid " + std::to_string(p.process.pid) + ")";
  }
  static std::string place(Pulse const& p) {
    int const row = p.row.load(std::memory_order_relaxed);
    if (row < 0) return "before its first plan row";
    return "at plan row " + std::to_string(row) + ", layer " +
           std::to_string(p.layer.load(std::memory_order_relaxed)) + ", micro-batch " +
           std::to_string(p.micro.load(std::memory_order_relaxed));
  }

  /// The first rank of a machine to notice tells; the others give it time to end them.
  [[noreturn]] void refuse(std::string const& sentence) {
    if (table().told.exchange(1) != 0) ::sleep(seconds_to_be_ended);
    throw Error(sentence);
  }

  World const& world_;
  mpi::Comm node_;
  Window table_;
  Process self_;
  double patience_ = 600;
};

}  // namespace tessera::inline TESSERA_SETTING
