/// The ranks of a run: who I am, who shares memory with me, how all of them refuse together.
#pragma once

#include <tessera/core/setting.hpp>
#include <tessera/run/mpi.hpp>
#include <tessera/run/uncaught.hpp>

#if defined(_OPENMP)
#include <omp.h>
#endif
#include <sched.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdlib>
#include <optional>
#include <string>

namespace tessera::inline TESSERA_SETTING {

/// One per program, first in main. It starts MPI and ends it, unless the program did.
class World {
 public:
  World(int& argc, char**& argv)
      : starts_mpi_{start(argc, argv)}, all_(copy(MPI_COMM_WORLD)), node_(neighbours(all_.get())) {
    find_nodes();
    find_domain();
    if (node_size() > 1) window_folder_ = mpi::window_folder();
  }
  World(World const&) = delete;
  World& operator=(World const&) = delete;

  int rank() const { return all_.rank(); }
  int size() const { return all_.size(); }
  bool root() const { return rank() == 0; }
  MPI_Comm comm() const { return all_.get(); }

  /// Ranks of this machine.
  MPI_Comm node() const { return node_.get(); }
  int node_rank() const { return node_.rank(); }
  int node_size() const { return node_.size(); }

  /// Where MPI keeps the windows of this machine's ranks; empty if there is one rank.
  std::string const& window_folder() const { return window_folder_; }

  /// Neighbours in rank that share one window: all of a node, or what TESSERA_DOMAIN says.
  int domain() const { return domain_; }
  bool can_share(int ranks) const {
    return ranks == 1 || (ranks > 1 && alike_ && node_size() % ranks == 0);
  }

  /// Collective. If any rank has a problem, all of them throw the one of the lowest such rank.
  void agree(std::optional<std::string> const& problem = {}) const;

  /// Divides this machine's processors between its ranks, unless OMP_NUM_THREADS decides.
  int set_threads() const;
  /// More ranks than processors: waiting must give way.
  bool crowded() const { return node_size() > processors(); }

 private:
  /// Destroyed last: the communicators go before MPI ends.
  struct Finalize {
    bool mine = false;
    ~Finalize() {
      // While an exception unwinds, the other ranks may be anywhere: waiting for them would hang.
      if (mine && std::uncaught_exceptions() == 0 && mpi::running()) MPI_Finalize();
    }
  };

  static bool start(int& argc, char**& argv);
  static MPI_Comm copy(MPI_Comm from);
  static MPI_Comm neighbours(MPI_Comm all);
  void find_nodes();
  void find_domain();
  int processors() const { return processors_; }

  Finalize starts_mpi_;
  mpi::Comm all_, node_;
  bool alike_ = false;  // nodes have equally many ranks, each node's contiguous in rank
  int domain_ = 1;
  std::string window_folder_;
  int processors_ = 1;  // that the ranks of this node may use together
};

inline bool World::start(int& argc, char**& argv) {
  std::set_terminate(end_every_rank);
  int started = 0, provided = 0;
  MPI_Initialized(&started);
  if (!started) {
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  } else {
    MPI_Query_thread(&provided);
  }
  if (provided < MPI_THREAD_FUNNELED)
    throw Error("this MPI was started without threads; call MPI_Init_thread with FUNNELED", true);
  return !started;
}

inline MPI_Comm World::copy(MPI_Comm from) {
  MPI_Comm to = MPI_COMM_NULL;
  mpi::check(MPI_Comm_dup(from, &to), "MPI_Comm_dup");
  return to;
}

inline MPI_Comm World::neighbours(MPI_Comm all) {
  MPI_Comm node = MPI_COMM_NULL;
  mpi::check(MPI_Comm_split_type(all, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node),
             "MPI_Comm_split_type");
  return node;
}

inline void World::find_nodes() {
  int first = rank();
  mpi::check(MPI_Bcast(&first, 1, MPI_INT, 0, node()), "MPI_Bcast");
  bool const in_order = rank() == first + node_rank() && first % node_size() == 0;
  std::array<int, 3> least{node_size(), -node_size(), in_order};
  mpi::check(MPI_Allreduce(MPI_IN_PLACE, least.data(), 3, MPI_INT, MPI_MIN, comm()),
             "MPI_Allreduce");
  alike_ = least[0] == -least[1] && least[2] == 1;

  // Bound ranks see only their own processors: the node's are the union.
  cpu_set_t mine;
  CPU_ZERO(&mine);
  sched_getaffinity(0, sizeof mine, &mine);
  cpu_set_t together = mine;
  mpi::check(MPI_Allreduce(&mine, &together, sizeof mine, MPI_BYTE, MPI_BOR, node()),
             "MPI_Allreduce");
  processors_ = std::max(1, CPU_COUNT(&together));
}

inline void World::find_domain() {
  domain_ = alike_ ? node_size() : 1;
  // Launchers do not always carry the environment to other machines: rank 0's counts.
  std::array<char, 32> text{};
  if (char const* forced = std::getenv("TESSERA_DOMAIN"); forced && root())
    std::string(forced).copy(text.data(), text.size() - 1);
  mpi::check(MPI_Bcast(text.data(), int(text.size()), MPI_CHAR, 0, comm()), "MPI_Bcast");
  if (text[0] == '\0') return;
  char* end = nullptr;
  long const ranks = std::strtol(text.data(), &end, 10);
  if (*end != '\0' || ranks < 1 || ranks > INT_MAX || !can_share(int(ranks)))
    throw Error("TESSERA_DOMAIN=" + std::string(text.data()) +
                    (alike_ ? " does not divide the " + std::to_string(node_size()) +
                                  " ranks of a machine; set a divisor of it, 1, or nothing"
                            : " needs equally many ranks on every machine, neighbours in rank;"
                              " set 1 or nothing"),
                true);
  domain_ = int(ranks);
}

inline void World::agree(std::optional<std::string> const& problem) const {
  std::array<int, 2> least{problem ? rank() : INT_MAX, problem.has_value()};
  mpi::check(MPI_Allreduce(MPI_IN_PLACE, least.data(), 2, MPI_INT, MPI_MIN, comm()),
             "MPI_Allreduce");
  auto const [lowest, all] = least;
  if (lowest == INT_MAX) return;
  std::string text = problem.value_or("");
  if (std::string const own = "tessera: "; text.starts_with(own)) text.erase(0, own.size());
  int length = int(text.size());
  mpi::check(MPI_Bcast(&length, 1, MPI_INT, lowest, comm()), "MPI_Bcast");
  text.resize(std::size_t(length));
  mpi::check(MPI_Bcast(text.data(), length, MPI_CHAR, lowest, comm()), "MPI_Bcast");
  throw Error((all == 1 ? "" : "rank " + std::to_string(lowest) + ": ") + text, true);
}

inline int World::set_threads() const {
#if defined(_OPENMP)
  if (std::getenv("OMP_NUM_THREADS") == nullptr)
    omp_set_num_threads(std::max(1, processors() / node_size()));
  return omp_get_max_threads();
#else
  return 1;
#endif
}

}  // namespace tessera::inline TESSERA_SETTING
