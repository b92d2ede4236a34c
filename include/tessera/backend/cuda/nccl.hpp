/// NCCL between ranks: started by MPI, split into axes, watched while it works, ended by abort.
#pragma once

#include <tessera/backend/cuda/launch.hpp>

#if defined(__CUDACC__) || defined(TESSERA_CUDA_DOUBLE)

#include <tessera/backend/cpu/backoff.hpp>
#include <tessera/backend/cpu/watch.hpp>
#include <tessera/core/bytes.hpp>

#if !defined(TESSERA_NO_MPI) && __has_include(<nccl.h>)  // one rank talks to nobody
#include <nccl.h>
#define TESSERA_NCCL 1
#endif

#include <exception>
#include <string>
#include <type_traits>

namespace tessera::inline TESSERA_SETTING::cuda {

/// A communicator: of all ranks, or of an axis; in a world of one rank nothing. Construction is
/// collective, and verbs are: each puts its work on a stream and returns.
class Nccl {
 public:
  /// Of all ranks. It only makes the axes, also one that has all ranks itself: so no axis is
  /// special, and every program goes the same way. NCCL connects ranks when they first talk (2.22
  /// on), so what never does costs little.
  Nccl(World const& world, Watch& watch) : Nccl(world.rank(), world.size(), world, watch) {
    if (ranks_ > 1) start(world);
  }
  /// Of the ranks of `all` that call with the same color: `ranks` of them, with keys from 0 on,
  /// which are their ranks here. Every rank of `all` calls; `all` lives longer.
  Nccl(Nccl& all, int color, int key, int ranks) : Nccl(key, ranks, all.world_, all.watch_) {
    if (all.ranks_ > 1) split(all, color);
  }
  Nccl(Nccl const&) = delete;
  Nccl& operator=(Nccl const&) = delete;

#if defined(TESSERA_NCCL)

  ~Nccl() {
    if (comm_ == nullptr) return;
    // While an exception unwinds, the others may never come: nothing is finished with them.
    if (std::uncaught_exceptions() > 0) {
      ncclCommAbort(comm_);
      return;
    }
    ncclCommFinalize(comm_);
    for (ncclResult_t state = ncclInProgress; state == ncclInProgress;)
      if (ncclCommGetAsyncError(comm_, &state) != ncclSuccess) break;
    ncclCommDestroy(comm_);
  }

  /// `bytes` of every rank, in rank order. mine may lie in its place in all.
  void all_gather(std::byte const* mine, std::byte* all, Bytes bytes, cudaStream_t stream) {
    issue(ncclAllGather(mine, all, std::size_t(bytes), ncclInt8, comm_, stream), "ncclAllGather");
  }

  /// to = the sum of part k of every rank's `whole`, in an order of NCCL's. It may be part k of the
  /// own one: k is the own rank.
  template <class T>
  void reduce_scatter(T const* whole, T* to, std::int64_t part, cudaStream_t stream) {
    constexpr ncclDataType_t type = std::is_same_v<T, double> ? ncclFloat64 : ncclFloat32;
    static_assert(std::is_same_v<T, double> || std::is_same_v<T, float>);
    issue(ncclReduceScatter(whole, to, std::size_t(part), type, ncclSum, comm_, stream),
          "ncclReduceScatter");
  }

  /// to(r) goes to every other rank r, and what r sends arrives in from(r).
  template <class To, class From>
  void exchange(To const& to, From const& from, Bytes bytes, cudaStream_t stream) {
    issue(ncclGroupStart(), "ncclGroupStart");
    for (int r = 0; r < ranks_; ++r) {
      if (r == rank_) continue;
      issue(ncclSend(to(r), std::size_t(bytes), ncclInt8, r, comm_, stream), "ncclSend");
      issue(ncclRecv(from(r), std::size_t(bytes), ncclInt8, r, comm_, stream), "ncclRecv");
    }
    issue(ncclGroupEnd(), "ncclGroupEnd");
  }

  /// Throws if something failed since.
  void check() {
    if (comm_ == nullptr) return;
    ncclResult_t state = ncclSuccess;
    ncclResult_t const code = ncclCommGetAsyncError(comm_, &state);
    if (code != ncclSuccess) fail(code, "ncclCommGetAsyncError");
    if (state != ncclSuccess && state != ncclInProgress) fail(state, "NCCL, while it worked");
  }

 private:
  void start(World const& world) {
    ncclUniqueId id{};
    std::optional<std::string> problem;
    if (world.root())
      if (ncclResult_t const code = ncclGetUniqueId(&id); code != ncclSuccess)
        problem = std::string("ncclGetUniqueId: ") + ncclGetErrorString(code) + advice;
    world.agree(problem);
    mpi::check(MPI_Bcast(&id, sizeof id, MPI_BYTE, 0, world.comm()), "MPI_Bcast");
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    issue(ncclCommInitRankConfig(&comm_, ranks_, id, rank_, &config), "ncclCommInitRankConfig");
  }
  /// With the settings of `all`, which knows how it goes on; comm_ is written when it is done.
  void split(Nccl& all, int color) {
    all.issue(ncclCommSplit(all.comm_, color, rank_, &comm_, nullptr), "ncclCommSplit");
  }

  /// A call may go on in the background; the next one must wait for it.
  void issue(ncclResult_t code, char const* call) {
    if (code == ncclSuccess) return;
    if (code != ncclInProgress) fail(code, call);
    Backoff backoff(world_.crowded());
    for (;;) {
      ncclResult_t state = ncclSuccess;
      if (ncclResult_t const asked = ncclCommGetAsyncError(comm_, &state); asked != ncclSuccess)
        fail(asked, call);
      if (state == ncclSuccess) return;
      if (state != ncclInProgress) fail(state, call);
      backoff.pause([&](double seconds) { watch_.look(seconds, [](int) { return true; }); });
    }
  }

  [[noreturn]] void fail(ncclResult_t code, char const* call) {
    char const* const last = comm_ ? ncclGetLastError(comm_) : nullptr;
    throw DeviceError(std::string(call) + ": " + ncclGetErrorString(code) +
                      (last && *last ? std::string(" (") + last + ")" : "") + advice);
  }

  static constexpr char const* advice = "; NCCL_DEBUG=WARN tells more";

  ncclComm_t comm_ = nullptr;

#else

  void all_gather(std::byte const*, std::byte*, Bytes, cudaStream_t) {}
  template <class T>
  void reduce_scatter(T const*, T*, std::int64_t, cudaStream_t) {}
  template <class To, class From>
  void exchange(To const&, From const&, Bytes, cudaStream_t) {}
  void check() {}

 private:
  void split(Nccl&, int) {}
  void start(World const&) {
    throw Error("this program was built without NCCL, so one rank can work on a GPU, not " +
                    std::to_string(ranks_) + "; build where nccl.h is found",
                true);
  }

#endif

  /// Made before anything can fail, so that what fails later ends the communicator.
  Nccl(int rank, int ranks, World const& world, Watch& watch)
      : rank_(rank), ranks_(ranks), world_(world), watch_(watch) {}

  int rank_, ranks_;
  World const& world_;
  Watch& watch_;
};

}  // namespace tessera::inline TESSERA_SETTING::cuda

#endif
