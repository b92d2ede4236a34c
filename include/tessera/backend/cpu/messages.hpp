/// Messages to and from ranks outside the domain: posted together, awaited with patience.
#pragma once

#include <tessera/backend/cpu/backoff.hpp>
#include <tessera/backend/cpu/watch.hpp>
#include <tessera/core/bytes.hpp>
#include <tessera/core/setting.hpp>

#include <algorithm>
#include <cstddef>
#include <vector>

namespace tessera::inline TESSERA_SETTING {

/// At most `most` sends and receives at a time; allocates only here.
class Messages {
 public:
  Messages(World const& world, Watch& watch, int most)
      : comm_(world.comm()), crowded_(world.crowded()), watch_(watch) {
    requests_.reserve(std::size_t(most));
    ranks_.reserve(std::size_t(most));
  }

  /// The bytes of a message that one MPI call takes: its counts are ints.
  static constexpr Bytes largest = 1_GiB;

  void send(std::byte const* from, Bytes bytes, int to) {
    mpi::check(MPI_Isend(from, int(bytes), MPI_BYTE, to, tag, comm_, next(to)), "MPI_Isend");
  }
  void receive(std::byte* into, Bytes bytes, int from) {
    mpi::check(MPI_Irecv(into, int(bytes), MPI_BYTE, from, tag, comm_, next(from)), "MPI_Irecv");
  }
  /// In place: rank r's bytes lie at r * bytes.
  void all_gather(std::byte* table, Bytes bytes) {
    mpi::check(MPI_Iallgather(MPI_IN_PLACE, 0, MPI_BYTE, table, int(bytes), MPI_BYTE, comm_,
                              next(every_rank)),
               "MPI_Iallgather");
  }

  /// Until all that was posted has happened.
  void wait() {
    Backoff backoff(crowded_);
    auto const late = [&](int rank) {
      for (std::size_t i = 0; i < requests_.size(); ++i) {
        int done = 0;
        MPI_Request_get_status(requests_[i], &done, MPI_STATUS_IGNORE);
        if (!done && (ranks_[i] == rank || ranks_[i] == every_rank)) return true;
      }
      return false;
    };
    for (int done = 0;;) {
      mpi::check(MPI_Testall(int(requests_.size()), requests_.data(), &done, MPI_STATUSES_IGNORE),
                 "MPI_Testall");
      if (done) break;
      backoff.pause([&](double seconds) { watch_.look(seconds, late); });
    }
    requests_.clear();
    ranks_.clear();
  }

 private:
  static constexpr int tag = 1;
  static constexpr int every_rank = -1;

  MPI_Request* next(int rank) {
    ranks_.push_back(rank);
    return &requests_.emplace_back(MPI_REQUEST_NULL);
  }

  MPI_Comm comm_;
  bool crowded_;
  Watch& watch_;
  std::vector<MPI_Request> requests_;
  std::vector<int> ranks_;
};

}  // namespace tessera::inline TESSERA_SETTING
