/// NCCL for programs without a GPU: the same calls, carried by MPI, in the order of streams.
///
/// A collective is messages with a number of its own as tag, so that two streams may be at work on
/// one communicator as NCCL allows it. It waits like NCCL: for ever, until its communicator is
/// aborted. Beyond NCCL, ranks tell each other first what they call.
#include <cuda_double/api.hpp>
#include <cuda_double/nccl.hpp>

#include <tessera/core/dtype.hpp>

#include <mpi.h>

#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

/// What a rank calls.
struct Called {
  int kind = 0, type = 0, reduction = 0;
  std::int64_t count = 0;
  bool operator==(Called const&) const = default;
};
enum Kind { all_gather, reduce_scatter, all_reduce };
char const* const names[]{"ncclAllGather", "ncclReduceScatter", "ncclAllReduce"};

std::string text(Called const& c) {
  return std::string(names[c.kind]) + " of " + std::to_string(c.count) + " elements of type " +
         std::to_string(c.type);
}

}  // namespace

struct ncclComm {
  MPI_Comm ranks = MPI_COMM_NULL;
  MPI_Request start = MPI_REQUEST_NULL;  // of itself or of a split, and what is done behind it
  std::function<void()> started = [] {};
  int rank = 0, size = 1;
  bool blocking = true;
  std::atomic<ncclResult_t> state = ncclSuccess;
  std::atomic<bool> aborted = false;
  std::string last;
  std::mutex lock;
  int next = 0;                                  // tag of the next collective
  std::map<std::pair<int, int>, int> exchanged;  // messages so far, by sender and receiver
};

namespace {

using cuda_double::real;

constexpr int tags_of_messages = 1 << 14;

// The group that the host thread has open.
thread_local int depth = 0;
thread_local std::vector<std::pair<cudaStream_t, std::function<void()>>> grouped;

std::mutex injected_lock;
std::map<std::string, std::pair<int, ncclResult_t>> injected;  // calls to go, result

/// The result that a test has asked this call for.
ncclResult_t result_of(char const* call) {
  std::lock_guard const held(injected_lock);
  auto const at = injected.find(call);
  if (at == injected.end() || at->second.first-- > 0) return ncclSuccess;
  ncclResult_t const result = at->second.second;
  injected.erase(at);
  return result;
}

void fail(ncclComm& comm, ncclResult_t result, std::string const& why) {
  std::lock_guard const held(comm.lock);
  if (comm.state != ncclSuccess) return;
  comm.last = why;
  comm.state = result;
}

std::size_t size_of(ncclDataType_t type) {
  switch (type) {
    case ncclInt8:
    case ncclUint8: return 1;
    case ncclFloat16:
    case ncclBfloat16: return 2;
    case ncclInt32:
    case ncclUint32:
    case ncclFloat32: return 4;
    case ncclInt64:
    case ncclUint64:
    case ncclFloat64: return 8;
    default: return 0;
  }
}

/// Polls until all is done. False: the communicator was aborted first.
bool wait(ncclComm& comm, std::vector<MPI_Request>& requests) {
  for (;;) {
    int done = 0;
    MPI_Testall(int(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE);
    if (done) return true;
    if (comm.aborted) return false;
    std::this_thread::yield();
  }
}

/// The other ranks' values of `mine`, by rank. Empty: aborted.
std::vector<std::byte> exchange(ncclComm& comm, int tag, void const* mine, std::size_t bytes,
                                bool each_its_own) {
  // Both buffers outlive an abort, whose messages may still be on their way.
  auto* const out = new std::vector<std::byte>(bytes * (each_its_own ? std::size_t(comm.size) : 1));
  auto* const in = new std::vector<std::byte>(bytes * std::size_t(comm.size));
  std::memcpy(out->data(), mine, out->size());
  std::vector<MPI_Request> requests;
  for (int r = 0; r < comm.size; ++r) {
    std::byte* const from = in->data() + std::size_t(r) * bytes;
    std::byte* const to = out->data() + (each_its_own ? std::size_t(r) * bytes : 0);
    if (r == comm.rank) {
      std::memcpy(from, to, bytes);
      continue;
    }
    MPI_Irecv(from, int(bytes), MPI_BYTE, r, tag, comm.ranks, &requests.emplace_back());
    MPI_Issend(to, int(bytes), MPI_BYTE, r, tag, comm.ranks, &requests.emplace_back());
  }
  if (!wait(comm, requests)) return {};
  std::vector<std::byte> found = std::move(*in);
  delete in;
  delete out;
  return found;
}

/// Do all ranks call the same?
bool agree(ncclComm& comm, int tag, Called const& mine) {
  auto const all = exchange(comm, tag, &mine, sizeof mine, false);
  if (all.empty()) return false;
  for (int r = 0; r < comm.size; ++r) {
    Called theirs;
    std::memcpy(&theirs, all.data() + std::size_t(r) * sizeof theirs, sizeof theirs);
    if (theirs == mine) continue;
    fail(comm, ncclInvalidUsage,
         "rank " + std::to_string(comm.rank) + " calls " + text(mine) + ", rank " +
             std::to_string(r) + " " + text(theirs));
    return false;
  }
  return true;
}

/// out[i] = the sum over ranks of in[rank * n + i], in Sum, as a ring adds: what travels begins at
/// the rank behind `last`, where it ends.
template <class T, class Sum = T>
bool sum(std::byte const* in, std::byte* out, std::size_t n, int ranks, int last) {
  for (std::size_t i = 0; i < n; ++i) {
    Sum total{};
    for (int k = 0; k < ranks; ++k) {
      T x;
      std::size_t const r = std::size_t((last + 1 + k) % ranks);
      std::memcpy(&x, in + (r * n + i) * sizeof x, sizeof x);
      total = k == 0 ? Sum(x) : total + Sum(x);
    }
    T const stored = T(total);
    std::memcpy(out + i * sizeof stored, &stored, sizeof stored);
  }
  return true;
}
bool sum_of(ncclDataType_t type, std::byte const* in, std::byte* out, std::size_t n, int ranks,
            int last) {
  switch (type) {
    case ncclFloat32: return sum<float>(in, out, n, ranks, last);
    case ncclFloat64: return sum<double>(in, out, n, ranks, last);
    case ncclInt32: return sum<std::int32_t>(in, out, n, ranks, last);
    case ncclInt64: return sum<std::int64_t>(in, out, n, ranks, last);
    case ncclBfloat16: return sum<tessera::bf16, float>(in, out, n, ranks, last);
    case ncclFloat16: return sum<tessera::fp16, float>(in, out, n, ranks, last);
    default: return false;
  }
}

ncclResult_t issue(cudaStream_t stream, std::function<void()> work) {
  if (depth > 0) {
    grouped.emplace_back(stream, std::move(work));
    return ncclSuccess;
  }
  return cuda_double::enqueue(stream, std::move(work)) == cudaSuccess ? ncclSuccess
                                                                      : ncclUnhandledCudaError;
}

ncclResult_t usable(ncclComm_t comm, char const* call) {
  if (ncclResult_t const asked = result_of(call); asked != ncclSuccess) return asked;
  if (!comm || comm->ranks == MPI_COMM_NULL) return ncclInvalidArgument;
  return comm->state == ncclSuccess ? ncclSuccess : comm->state.load();
}

/// A collective: what each rank gives in `sent` bytes, and gets by `receive(values by rank)`.
template <class Receive>
ncclResult_t collective(char const* call, Called const& called, ncclComm_t comm,
                        cudaStream_t stream, void const* from, std::size_t sent, bool each_its_own,
                        Receive receive) {
  if (ncclResult_t const r = usable(comm, call); r != ncclSuccess) return r;
  int const tag = comm->next;
  comm->next = (tag + 2) % tags_of_messages;
  return issue(stream, [=] {
    if (!agree(*comm, tag, called)) return;
    std::size_t const all = sent * (each_its_own ? std::size_t(comm->size) : 1);
    cuda_double::read(from, all, call);
    auto const values = exchange(*comm, tag + 1, real(from), sent, each_its_own);
    if (!values.empty() || sent == 0) receive(values.data());
  });
}

void put(void* to, std::byte const* values, std::size_t bytes, char const* call) {
  cuda_double::write(to, bytes, call);
  std::memcpy(real(to), values, bytes);
}

/// Half of a Send and its Recv: the k-th from one rank to another meets the k-th expected there.
struct Message {
  ncclComm_t comm;
  cudaStream_t stream;
  int from, to, tag;
  void* at;
  std::size_t bytes;
  std::vector<std::byte>* copy;  // outlives an abort

  bool sends() const { return from == comm->rank; }
  char const* call() const { return sends() ? "ncclSend" : "ncclRecv"; }

  void post(MPI_Request* request) const {
    if (sends()) {
      cuda_double::read(at, bytes, call());
      std::memcpy(copy->data(), real(at), bytes);
      MPI_Issend(copy->data(), int(bytes), MPI_BYTE, to, tag, comm->ranks, request);
    } else {
      MPI_Irecv(copy->data(), int(bytes), MPI_BYTE, from, tag, comm->ranks, request);
    }
  }
  void end() const {
    if (!sends()) put(at, copy->data(), bytes, call());
    delete copy;
  }
};
thread_local std::vector<Message> messages;  // of the open group

ncclResult_t message(char const* call, ncclComm_t comm, cudaStream_t stream, int from, int to,
                     void* at, std::size_t bytes) {
  if (ncclResult_t const r = usable(comm, call); r != ncclSuccess) return r;
  if (depth == 0) return ncclInvalidUsage;  // a send alone waits for its receive
  if (from < 0 || from >= comm->size || to < 0 || to >= comm->size) return ncclInvalidArgument;
  int const tag = tags_of_messages + comm->exchanged[{from, to}]++ % tags_of_messages;
  messages.push_back({comm, stream, from, to, tag, at, bytes, new std::vector<std::byte>(bytes)});
  return ncclSuccess;
}

std::mutex living_lock;
std::vector<ncclComm_t> living;  // in the order they were made

void forget(ncclComm_t comm) {
  std::lock_guard const held(living_lock);
  std::erase(living, comm);
}

/// The work that `start` begins: in the background unless the communicator blocks.
ncclResult_t begin(ncclComm_t comm) {
  comm->state = ncclInProgress;
  if (!comm->blocking) return ncclInProgress;
  ncclResult_t state = ncclInProgress;
  while (state == ncclInProgress) ncclCommGetAsyncError(comm, &state);
  return state;
}
ncclComm_t made_of(int rank, int size, bool blocking) {
  auto* const made = new ncclComm;
  made->rank = rank, made->size = size, made->blocking = blocking;
  std::lock_guard const held(living_lock);
  living.push_back(made);
  return made;
}
bool blocks(ncclConfig_t const* config, bool otherwise) {
  return config ? config->blocking != 0 : otherwise;
}

/// All messages of a group travel at once.
ncclResult_t issue_messages() {
  auto const all = std::exchange(messages, {});
  if (all.empty()) return ncclSuccess;
  return issue(all.front().stream, [all] {
    std::vector<MPI_Request> requests(all.size());
    for (std::size_t i = 0; i < all.size(); ++i) all[i].post(&requests[i]);
    if (!wait(*all.front().comm, requests)) return;
    for (Message const& m : all) m.end();
  });
}

}  // namespace

void cuda_double::fail_next(char const* call, ncclResult_t result, int calls_before) {
  std::lock_guard const held(injected_lock);
  injected[call] = {calls_before, result};
}
std::vector<ncclComm_t> cuda_double::communicators() {
  std::lock_guard const held(living_lock);
  return living;
}
void cuda_double::fail_later(ncclComm_t comm, ncclResult_t result, char const* why) {
  fail(*comm, result, why);
}

extern "C" {

ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}
char const* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess: return "no error";
    case ncclUnhandledCudaError: return "unhandled cuda error";
    case ncclSystemError: return "unhandled system error";
    case ncclInternalError: return "internal error";
    case ncclInvalidArgument: return "invalid argument";
    case ncclInvalidUsage: return "invalid usage";
    case ncclRemoteError: return "remote process exited or there was a network error";
    case ncclInProgress: return "NCCL operation in progress";
    default: return "unknown result code";
  }
}
char const* ncclGetLastError(ncclComm_t comm) {
  if (!comm) return "";
  std::lock_guard const held(comm->lock);
  return comm->last.c_str();
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  std::random_device random;
  for (char& c : id->internal) c = char(random());
  return result_of("ncclGetUniqueId");
}
ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId, int rank,
                                    ncclConfig_t* config) {
  if (ncclResult_t const r = result_of("ncclCommInitRankConfig"); r != ncclSuccess) return r;
  int world = 0, me = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &world);
  MPI_Comm_rank(MPI_COMM_WORLD, &me);
  if (ranks != world || rank != me) return ncclInvalidArgument;
  *comm = made_of(rank, ranks, blocks(config, true));
  MPI_Comm_idup(MPI_COMM_WORLD, &(*comm)->ranks, &(*comm)->start);
  return begin(*comm);
}
/// Once all ranks have called, none keeps another one waiting.
ncclResult_t ncclCommSplit(ncclComm_t comm, int color, int key, ncclComm_t* made,
                           ncclConfig_t* config) {
  if (ncclResult_t const r = usable(comm, "ncclCommSplit"); r != ncclSuccess) return r;
  if (!made || (color < 0 && color != NCCL_SPLIT_NOCOLOR)) return ncclInvalidArgument;
  *made = nullptr;
  comm->started = [=, blocking = blocks(config, comm->blocking)] {
    MPI_Comm ranks = MPI_COMM_NULL;
    MPI_Comm_split(comm->ranks, color == NCCL_SPLIT_NOCOLOR ? MPI_UNDEFINED : color, key, &ranks);
    if (ranks == MPI_COMM_NULL) return;
    int rank = 0, size = 0;
    MPI_Comm_rank(ranks, &rank);
    MPI_Comm_size(ranks, &size);
    *made = made_of(rank, size, blocking);
    (*made)->ranks = ranks;
  };
  MPI_Ibarrier(comm->ranks, &comm->start);
  return begin(comm);
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  if (!comm) return ncclInvalidArgument;
  if (comm->state == ncclInProgress && comm->start != MPI_REQUEST_NULL) {
    int done = 0;
    MPI_Test(&comm->start, &done, MPI_STATUS_IGNORE);
    if (done) comm->started();
    if (done) comm->state = ncclSuccess;
  }
  *state = comm->state;
  return ncclSuccess;
}
ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  return comm ? ncclSuccess : ncclInvalidArgument;
}
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  if (!comm) return ncclInvalidArgument;
  if (comm->ranks != MPI_COMM_NULL) MPI_Comm_free(&comm->ranks);
  forget(comm);
  delete comm;
  return ncclSuccess;
}
/// What is on its way is left alone, and with it the communicator.
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  if (!comm) return ncclInvalidArgument;
  comm->aborted = true;
  forget(comm);
  return ncclSuccess;
}

ncclResult_t ncclGroupStart() {
  if (ncclResult_t const r = result_of("ncclGroupStart"); r != ncclSuccess) return r;
  ++depth;
  return ncclSuccess;
}
ncclResult_t ncclGroupEnd() {
  if (depth == 0) return ncclInvalidUsage;
  if (--depth > 0) return ncclSuccess;
  for (auto& [stream, work] : std::exchange(grouped, {}))
    if (ncclResult_t const r = issue(stream, std::move(work)); r != ncclSuccess) return r;
  if (ncclResult_t const r = result_of("ncclGroupEnd"); r != ncclSuccess) {
    messages.clear();
    return r;
  }
  return issue_messages();
}
ncclResult_t ncclSend(void const* from, std::size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
  return message("ncclSend", comm, stream, comm ? comm->rank : 0, peer, const_cast<void*>(from),
                 count * size_of(type));
}
ncclResult_t ncclRecv(void* to, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return message("ncclRecv", comm, stream, peer, comm ? comm->rank : 0, to, count * size_of(type));
}

ncclResult_t ncclAllGather(void const* from, void* to, std::size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
  std::size_t const bytes = count * size_of(type);
  return collective("ncclAllGather", {all_gather, type, 0, std::int64_t(count)}, comm, stream, from,
                    bytes, false, [=](std::byte const* values) {
                      put(to, values, bytes * std::size_t(comm->size), "ncclAllGather");
                    });
}
ncclResult_t ncclReduceScatter(void const* from, void* to, std::size_t count, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  if (op != ncclSum || size_of(type) == 0) return ncclInvalidArgument;
  std::size_t const bytes = count * size_of(type);
  return collective("ncclReduceScatter", {reduce_scatter, type, op, std::int64_t(count)}, comm,
                    stream, from, bytes, true, [=](std::byte const* values) {
                      std::vector<std::byte> total(bytes);
                      sum_of(type, values, total.data(), count, comm->size, comm->rank);
                      put(to, total.data(), bytes, "ncclReduceScatter");
                    });
}
ncclResult_t ncclAllReduce(void const* from, void* to, std::size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  if (op != ncclSum || size_of(type) == 0) return ncclInvalidArgument;
  std::size_t const bytes = count * size_of(type);
  return collective("ncclAllReduce", {all_reduce, type, op, std::int64_t(count)}, comm, stream,
                    from, bytes, false, [=](std::byte const* values) {
                      std::vector<std::byte> total(bytes);
                      sum_of(type, values, total.data(), count, comm->size, comm->size - 1);
                      put(to, total.data(), bytes, "ncclAllReduce");
                    });
}

}  // extern "C"
