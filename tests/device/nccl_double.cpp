// cuda
// ranks: 2
/// The double of NCCL: what collectives and messages leave where, and what ranks that do not call
/// the same are told.
#include <tessera/backend/cuda/memory.hpp>
#include <tessera/core/dtype.hpp>
#include <tessera/core/math.hpp>
#include <tessera/device/cuda_streams.hpp>

#include <cuda_double/api.hpp>
#include <cuda_double/nccl.hpp>

#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "../ranks.hpp"

using namespace tessera;
using test::world;

namespace {

struct Comm {
  ncclComm_t comm = nullptr;
  bool aborted = false;

  Comm() {
    ncclUniqueId id{};
    REQUIRE(ncclGetUniqueId(&id) == ncclSuccess);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    REQUIRE(ncclCommInitRankConfig(&comm, world().size(), id, world().rank(), &config) ==
            ncclSuccess);
  }
  Comm(Comm const&) = delete;
  Comm& operator=(Comm const&) = delete;
  ~Comm() { aborted ? ncclSuccess : ncclCommDestroy(comm); }

  ncclResult_t state() const {
    ncclResult_t s = ncclSuccess;
    CHECK(ncclCommGetAsyncError(comm, &s) == ncclSuccess);
    return s;
  }
  void abort() {
    aborted = true;
    CHECK(ncclCommAbort(comm) == ncclSuccess);
  }
};

/// Numbers on a device, of a value per element; and back.
template <class T>
struct Numbers {
  cuda::OwnStream const& stream;
  std::size_t n;
  cuda::PinnedMemory pinned;
  cuda::DeviceMemory device;

  template <class F>
  Numbers(cuda::OwnStream const& on, std::size_t count, F const& value)
      : stream(on),
        n(count),
        pinned(Bytes(count * sizeof(T))),
        device(Bytes(count * sizeof(T)), on.get()) {
    for (std::size_t i = 0; i < n; ++i) host()[i] = T(double(value(i)));
    copy(device.get(), host(), cudaMemcpyHostToDevice);
  }
  Numbers(cuda::OwnStream const& on, std::size_t count)
      : Numbers(on, count, [](std::size_t) { return -1; }) {}

  T* host() { return reinterpret_cast<T*>(pinned.get()); }
  T* get() { return reinterpret_cast<T*>(device.get()); }
  void copy(void* to, void const* from, cudaMemcpyKind kind) {
    cuda::check(cudaMemcpyAsync(to, from, n * sizeof(T), kind, stream.get()), "cudaMemcpyAsync");
  }
  template <class F>
  bool holds(F const& value) {
    copy(host(), get(), cudaMemcpyDeviceToHost);
    cuda::check(cudaStreamSynchronize(stream.get()), "cudaStreamSynchronize");
    bool same = true;
    for (std::size_t i = 0; i < n; ++i) {
      T const expected = T(double(value(i)));
      same = same && std::memcmp(&host()[i], &expected, sizeof expected) == 0;
    }
    return same;
  }
};

template <class T>
constexpr ncclDataType_t type = ncclFloat32;
template <>
constexpr ncclDataType_t type<double> = ncclFloat64;
template <>
constexpr ncclDataType_t type<bf16> = ncclBfloat16;
template <>
constexpr ncclDataType_t type<fp16> = ncclFloat16;

/// Not a number that 8 bits hold, and its sum over ranks rounds.
double number(int rank, std::size_t i) {
  return (rank + 1) * 1.37 + double(i % 251) * 0.29;
}
template <class T>
Wide<T> summed(std::size_t i) {
  return Wide<T>(T(number(0, i))) + Wide<T>(T(number(1, i)));
}

/// Waits until the stream is idle; false after so many seconds.
bool idle(cuda::OwnStream const& stream, double seconds) {
  auto const end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (cudaStreamQuery(stream.get()) == cudaErrorNotReady) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace

TEST_CASE_TEMPLATE("collectives in every type, on two streams at once", T, float, double, bf16,
                   fp16) {
  REQUIRE(world().size() == 2);
  Comm c;
  cuda::OwnStream const one(0), two(-1);
  int const me = world().rank();
  for (std::size_t const n : {1u, 127u, 5000u}) {
    CAPTURE(n);
    Numbers<T> mine(one, n, [&](std::size_t i) { return number(me, i); });
    Numbers<T> whole(one, 2 * n, [&](std::size_t i) { return number(me, i); });
    Numbers<T> gathered(two, 2 * n), part(one, n), all(two, n);
    cuda::Event ready;
    ready.record(one.get());
    ready.hold(two.get());
    CHECK(ncclAllGather(mine.get(), gathered.get(), n, type<T>, c.comm, two.get()) == ncclSuccess);
    CHECK(ncclReduceScatter(whole.get(), part.get(), n, type<T>, ncclSum, c.comm, one.get()) ==
          ncclSuccess);
    CHECK(ncclAllReduce(mine.get(), all.get(), n, type<T>, ncclSum, c.comm, two.get()) ==
          ncclSuccess);
    CHECK(gathered.holds([&](std::size_t i) { return number(int(i / n), i % n); }));
    CHECK(part.holds([&](std::size_t i) { return summed<T>(std::size_t(me) * n + i); }));
    CHECK(all.holds([&](std::size_t i) { return summed<T>(i); }));
    CHECK(c.state() == ncclSuccess);
  }
}

TEST_CASE("messages of a group travel at once; in place, in order, and back") {
  Comm c;
  cuda::OwnStream const stream(0);
  int const me = world().rank(), other = 1 - me;
  std::size_t const n = 3000;
  Numbers<float> out(stream, 2 * n, [&](std::size_t i) { return number(me, i); });
  Numbers<float> in(stream, 2 * n);
  for (int turn = 0; turn < 50; ++turn) {
    CHECK(ncclGroupStart() == ncclSuccess);
    for (std::size_t first : {std::size_t(0), n}) {
      float *const from = out.get() + first, *const to = in.get() + first;
      CHECK(ncclSend(from, n, ncclFloat32, other, c.comm, stream.get()) == ncclSuccess);
      CHECK(ncclRecv(to, n, ncclFloat32, other, c.comm, stream.get()) == ncclSuccess);
    }
    CHECK(ncclGroupEnd() == ncclSuccess);
  }
  CHECK(in.holds([&](std::size_t i) { return number(other, i); }));
  CHECK(ncclSend(out.get(), n, ncclFloat32, other, c.comm, stream.get()) == ncclInvalidUsage);
}

TEST_CASE("ranks that do not call the same are told what both called") {
  int const me = world().rank();
  for (int const kind : {0, 1, 2}) {
    CAPTURE(kind);
    Comm c;
    cuda::OwnStream const stream(0);
    std::size_t const n = kind == 1 && me == 1 ? 127 : 128;
    ncclDataType_t const t = kind == 2 && me == 1 ? ncclInt32 : ncclFloat32;
    Numbers<float> mine(stream, 256), whole(stream, 256);
    if (kind == 0 && me == 0)
      CHECK(ncclReduceScatter(mine.get(), whole.get(), n, t, ncclSum, c.comm, stream.get()) ==
            ncclSuccess);
    else
      CHECK(ncclAllGather(mine.get(), whole.get(), n, t, c.comm, stream.get()) == ncclSuccess);
    CHECK(idle(stream, 20));
    CHECK(c.state() == ncclInvalidUsage);
    std::string const said = ncclGetLastError(c.comm);
    CAPTURE(said);
    auto const says = [&](std::string const& words) {
      return said.find(words) != std::string::npos;
    };
    CHECK(says("rank 0"));
    CHECK(says("rank 1"));
    CHECK(says("ncclAllGather of 128 elements"));
    if (kind == 0) CHECK(says("ncclReduceScatter of 128 elements"));
    if (kind == 1) CHECK(says("ncclAllGather of 127 elements"));
    if (kind == 2) CHECK(says("of type " + std::to_string(int(ncclInt32))));
    CHECK(ncclAllGather(mine.get(), whole.get(), n, t, c.comm, stream.get()) == ncclInvalidUsage);
    c.abort();
  }
}

TEST_CASE("a split: who has no color gets nothing, and keys turn ranks around") {
  Comm c;
  cuda::OwnStream const stream(0);
  int const me = world().rank();
  ncclComm_t alone = c.comm, turned = nullptr;
  CHECK(ncclCommSplit(c.comm, me == 0 ? 3 : NCCL_SPLIT_NOCOLOR, 0, &alone, nullptr) == ncclSuccess);
  CHECK((alone == nullptr) == (me == 1));
  Numbers<float> mine(stream, 64, [&](std::size_t i) { return number(me, i); });
  Numbers<float> one(stream, 64), both(stream, 128);
  if (alone) {
    CHECK(ncclAllGather(mine.get(), one.get(), 64, ncclFloat32, alone, stream.get()) ==
          ncclSuccess);
    CHECK(one.holds([&](std::size_t i) { return number(me, i); }));
    CHECK(ncclCommDestroy(alone) == ncclSuccess);
  }
  CHECK(ncclCommSplit(c.comm, 0, 1 - me, &turned, nullptr) == ncclSuccess);
  CHECK(ncclAllGather(mine.get(), both.get(), 64, ncclFloat32, turned, stream.get()) ==
        ncclSuccess);
  CHECK(both.holds([&](std::size_t i) { return number(1 - int(i / 64), i % 64); }));
  CHECK(ncclCommDestroy(turned) == ncclSuccess);
  CHECK(ncclCommSplit(c.comm, -7, 0, &turned, nullptr) == ncclInvalidArgument);
  cuda_double::fail_next("ncclCommSplit", ncclSystemError);
  CHECK(ncclCommSplit(c.comm, 0, me, &turned, nullptr) == ncclSystemError);
}

TEST_CASE("collectives and messages look at memory as kernels do") {
  Comm c;
  cuda::OwnStream const stream(0);
  int* unwritten = nullptr;
  REQUIRE(cudaMalloc(reinterpret_cast<void**>(&unwritten), 1024) == cudaSuccess);
  CHECK(ncclAllGather(unwritten, unwritten, 64, ncclInt32, c.comm, stream.get()) == ncclSuccess);
  CHECK(idle(stream, 20));
  CHECK(cudaStreamQuery(stream.get()) == cudaErrorIllegalAddress);
  CHECK(cuda_double::complaint().find("ncclAllGather: reads what was never written") == 0);
  cuda_double::reset();
  Numbers<int> mine(stream, 64);
  CHECK(ncclAllGather(mine.get(), mine.get(), 64, ncclInt32, c.comm, stream.get()) == ncclSuccess);
  CHECK(idle(stream, 20));
  CHECK(cudaStreamQuery(stream.get()) == cudaErrorIllegalAddress);
  CHECK(cuda_double::complaint() == "ncclAllGather: 512 bytes that are not allocated");
  cuda_double::reset();
  CHECK(cudaFree(unwritten) == cudaSuccess);
}

TEST_CASE("results that a test asks for, at once and later") {
  Comm c;
  cuda::OwnStream const stream(0);
  Numbers<float> mine(stream, 64), whole(stream, 128);
  auto const gather = [&] {
    return ncclAllGather(mine.get(), whole.get(), 64, ncclFloat32, c.comm, stream.get());
  };
  cuda_double::fail_next("ncclAllGather", ncclSystemError, 1);
  CHECK(gather() == ncclSuccess);
  CHECK(gather() == ncclSystemError);
  CHECK(gather() == ncclSuccess);
  CHECK(idle(stream, 20));
  cuda_double::fail_later(c.comm, ncclRemoteError, "its cable is out");
  CHECK(c.state() == ncclRemoteError);
  CHECK(std::string(ncclGetLastError(c.comm)) == "its cable is out");
  CHECK(gather() == ncclRemoteError);
  c.abort();
}

TEST_CASE("a peer that does not come leaves the other hanging until it aborts") {
  for (bool const message : {false, true}) {
    Comm c;
    cuda::OwnStream const stream(0);
    Numbers<float> mine(stream, 64), whole(stream, 128);
    CHECK(idle(stream, 20));
    if (world().rank() == 0) {
      if (message) {
        CHECK(ncclGroupStart() == ncclSuccess);
        CHECK(ncclSend(mine.get(), 64, ncclFloat32, 1, c.comm, stream.get()) == ncclSuccess);
        CHECK(ncclGroupEnd() == ncclSuccess);
      } else {
        CHECK(ncclAllGather(mine.get(), whole.get(), 64, ncclFloat32, c.comm, stream.get()) ==
              ncclSuccess);
      }
      CHECK(!idle(stream, 0.5));
      CHECK(c.state() == ncclSuccess);  // it knows no better
      c.abort();
      CHECK(idle(stream, 20));
    }
    c.aborted = true;
    MPI_Barrier(world().comm());
  }
}
