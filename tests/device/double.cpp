// cuda
// timeout: 120
/// What the double of CUDA is for: mistakes that a GPU would answer with a wrong number, some day,
/// are found here, by name.
#include <tessera/backend/cuda/gemm.hpp>
#include <tessera/backend/cuda/memory.hpp>
#include <tessera/core/dtype.hpp>
#include <tessera/device/cuda_streams.hpp>

#include <doctest/doctest.h>
#include <cuda_double/api.hpp>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

using namespace tessera;

namespace {

constexpr int threads = 128;

/// A stream, numbers on a device that nobody has written, and pinned ones.
struct Bench {
  static constexpr std::int64_t n = 1024;
  static constexpr std::size_t bytes = n * sizeof(int);

  cuda::OwnStream stream{0}, other{0};
  cuda::PinnedMemory pinned{bytes};
  int *device = nullptr, *host = reinterpret_cast<int*>(pinned.get());

  Bench() {
    cuda_double::reset();
    cuda::check(cudaMalloc(reinterpret_cast<void**>(&device), bytes), "cudaMalloc");
  }
  Bench(Bench const&) = delete;
  Bench& operator=(Bench const&) = delete;
  ~Bench() {
    cuda_double::reset();
    cudaFree(device);
  }

  cudaError_t up(void* to) { return copy(to, host, bytes, cudaMemcpyHostToDevice); }
  cudaError_t down(void const* from) { return copy(host, from, bytes, cudaMemcpyDeviceToHost); }
  cudaError_t copy(void* to, void const* from, std::size_t size, cudaMemcpyKind kind) {
    return cudaMemcpyAsync(to, from, size, kind, stream.get());
  }
  cudaError_t wait() { return cudaStreamSynchronize(stream.get()); }
};

bool complains(std::string const& of) {
  bool const does = cuda_double::complaint().find(of) != std::string::npos;
  if (!does) MESSAGE("it says: " << cuda_double::complaint());
  return does;
}

struct Fill {
  int* to;
  std::int64_t n;
  int value;
  void operator()() const {
    for (std::int64_t i = cuda::thread(); i < n; i += threads) to[i] = value;
  }
};
/// How many of n numbers are none.
template <class T>
struct CountNan {
  T const* x;
  std::int64_t n;
  int* to;
  void operator()() const {
    if (cuda::thread() != 0) return;
    *to = 0;
    for (std::int64_t i = 0; i < n; ++i) *to += std::isnan(double(Wide<T>(x[i])));
  }
};
struct Increase {
  int* at;
  void operator()() const {
    if (cuda::thread() == 0) ++*at;
  }
};

struct Copy {
  int* to;
  int const* from;
  void operator()() const {
    if (cuda::thread() == 0) *to = *from;
  }
};

/// What was asked of the bench's streams, captured.
struct Replay {
  cudaGraphExec_t exec = nullptr;

  template <class F>
  Replay(Bench& b, F const& work) {
    cuda::check(cudaStreamBeginCapture(b.stream.get(), cudaStreamCaptureModeThreadLocal), "begin");
    work();
    cudaGraph_t graph = nullptr;
    cuda::check(cudaStreamEndCapture(b.stream.get(), &graph), "end");
    cuda::check(cudaGraphInstantiate(&exec, graph, 0), "cudaGraphInstantiate");
    cudaGraphDestroy(graph);
  }
  Replay(Replay const&) = delete;
  Replay& operator=(Replay const&) = delete;
  ~Replay() { cudaGraphExecDestroy(exec); }
};

/// Adds one to the device's first number, then copies it to the second on another stream, which
/// waits for the addition or only for the beginning.
Replay add_and_copy(Bench& b, bool waits) {
  return {b, [&] {
            cuda::Event begun, added, copied;
            begun.record(b.stream.get());
            begun.hold(b.other.get());
            cuda::launch<threads>(b.stream.get(), 1, Increase{b.device});
            added.record(b.stream.get());
            if (waits) added.hold(b.other.get());
            cuda::launch<threads>(b.other.get(), 1, Copy{b.device + 1, b.device});
            copied.record(b.other.get());
            copied.hold(b.stream.get());
          }};
}

/// Every thread gives its number and takes that of a neighbour.
template <int Step, bool Barrier>
struct Shift {
  int* to;
  void operator()() const {
    int* const given = cuda::shared<int, threads, Shift>();
    int const t = cuda::thread();
    given[t] = t;
    if constexpr (Barrier) cuda::barrier();
    to[int(cuda::block()) * threads + t] = given[std::clamp(t + Step, 0, threads - 1)];
  }
};
/// Within warps of 32.
template <bool Barrier>
struct TurnWarps {
  int* to;
  void operator()() const {
    int* const given = cuda::shared<int, threads, TurnWarps>();
    int const t = cuda::thread();
    given[t] = t;
    if constexpr (Barrier) cuda::warp_barrier();
    to[int(cuda::block()) * threads + t] = given[t ^ 31];
  }
};
struct HalfMeets {
  void operator()() const {
    if (cuda::thread() < threads / 2) cuda::barrier();
  }
};
struct MeetsElsewhere {
  void operator()() const {
    if (cuda::thread() < threads / 2)
      cuda::barrier();
    else
      cuda::warp_barrier(), cuda::barrier();
    if (cuda::thread() == 0) cuda::warp_barrier();
  }
};

/// What f's process says before it dies, of which signal.
template <class F>
std::pair<int, std::string> last_words(F const& f) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  pid_t const child = fork();
  if (child == 0) {
    dup2(ends[1], 2);
    f();
    _exit(0);
  }
  close(ends[1]);
  std::string words;
  char letter;
  while (read(ends[0], &letter, 1) == 1) words += letter;
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return {WIFSIGNALED(status) ? WTERMSIG(status) : 0, words};
}

}  // namespace

TEST_CASE("a missing wait between streams shows within a few hundred runs, a right one never") {
  Bench b;
  cuda::Event written, read;
  auto const wrong = [&](bool waits) {
    int count = 0;
    for (int run = 1; run <= 200; ++run) {
      cuda::launch<threads>(b.other.get(), 1, Fill{b.device, b.n, run});
      written.record(b.other.get());
      if (waits) written.hold(b.stream.get());
      cuda::check(b.down(b.device), "a copy");
      read.record(b.stream.get());
      read.hold(b.other.get());
      cuda::check(b.wait(), "a wait");
      count += b.host[b.n - 1] != run;
    }
    return count;
  };
  CHECK(cudaMemsetAsync(b.device, 0, b.bytes, b.stream.get()) == cudaSuccess);
  CHECK(b.wait() == cudaSuccess);
  cuda_double::delay(100);
  CHECK(wrong(true) == 0);
  CHECK(wrong(false) > 0);
  cuda_double::delay(0);
}

TEST_CASE("host code that follows a device pointer dies and says so") {
  Bench b;
  for (bool const writes : {false, true}) {
    auto const [signal, words] =
        last_words([&] { writes ? void(*b.device = 1) : _exit(*b.device); });
    CHECK(signal == SIGSEGV);
    CHECK(words.find("host code follows a pointer into device memory") != std::string::npos);
  }
  auto const [signal, words] = last_words([] { *reinterpret_cast<int volatile*>(8) = 1; });
  CHECK(signal == SIGSEGV);
  CHECK(words.find("device") == std::string::npos);
}

TEST_CASE("memory that was never written") {
  Bench b;
  SUBCASE("by a copy") {
    CHECK(b.down(b.device) == cudaSuccess);
    CHECK(complains(b.wait() == cudaErrorIllegalAddress ? "cudaMemcpyAsync: reads what was never"
                                                        : "nothing"));
  }
  SUBCASE("by a copy of which a part was written") {
    cuda::launch<threads>(b.stream.get(), 1, Fill{b.device, b.n - 1, 1});
    CHECK(b.down(b.device) == cudaSuccess);
    CHECK(b.wait() == cudaErrorIllegalAddress);
    CHECK(complains("4092 bytes behind its start"));
  }
  SUBCASE("by a product") {
    CudaGemm<Real> const product({.m = 8, .n = 8, .k = 8}, 0);
    int *const c = b.device + 256, *const right = b.device + 512;
    cuda::launch<threads>(b.stream.get(), 1, Fill{b.device, 64, 0});
    product.run(b.device, right, c, nullptr, nullptr, nullptr, b.stream.get());
    CHECK(b.wait() == cudaErrorIllegalAddress);
    CHECK(complains("cublasLtMatmul: "));
    CHECK(complains("reads what was never written"));
  }
  CHECK(b.up(b.device) == cudaErrorIllegalAddress);  // an error of the device stays
}

TEST_CASE_TEMPLATE("a block begins as no number, in every type", T, double, float, bf16, fp16) {
  Bench b;
  std::int64_t const count = std::int64_t(b.bytes / sizeof(T));
  auto const* const fresh = reinterpret_cast<T const*>(b.device);
  cuda::launch<threads>(b.stream.get(), 1, CountNan<T>{fresh, count, b.host});
  CHECK(b.wait() == cudaSuccess);
  CHECK(*b.host == count);
}

TEST_CASE("memory that is not allocated, or no longer") {
  Bench b;
  int *neighbour = nullptr, *freed = nullptr;
  CHECK(cudaMalloc(reinterpret_cast<void**>(&neighbour), b.bytes) == cudaSuccess);
  CHECK(cudaMalloc(reinterpret_cast<void**>(&freed), b.bytes) == cudaSuccess);
  CHECK(cudaFree(freed) == cudaSuccess);
  SUBCASE("a copy behind a block") {
    CHECK(b.up(b.device + 1) == cudaSuccess);
    CHECK(b.wait() == cudaErrorIllegalAddress);
    CHECK(complains("cudaMemcpyAsync: 4096 bytes that are not allocated"));
  }
  SUBCASE("a kernel behind a block") {
    cuda::launch<threads>(b.stream.get(), 1, Fill{b.device, b.n + 1, 1});
    CHECK(b.wait() == cudaErrorIllegalAddress);
    CHECK(complains("a kernel touches memory that is not allocated"));
  }
  SUBCASE("a kernel near null, and where nothing ever was") {
    for (std::uintptr_t const at :
         {std::uintptr_t(0), std::uintptr_t(8), std::uintptr_t(1) << 45}) {
      CAPTURE(at);
      cuda_double::reset();
      cuda::launch<threads>(b.stream.get(), 1, Fill{reinterpret_cast<int*>(at), 1, 1});
      CHECK(b.wait() == cudaErrorIllegalAddress);
      CHECK(complains("a kernel touches memory that is not allocated"));
    }
  }
  SUBCASE("a copy after the end") {
    CHECK(b.up(freed) == cudaSuccess);
    CHECK(b.wait() == cudaErrorIllegalAddress);
    CHECK(complains("not allocated"));
  }
  SUBCASE("a kernel after the end") {
    cuda::launch<threads>(b.stream.get(), 1, Fill{freed, 1, 1});
    CHECK(b.wait() == cudaErrorIllegalAddress);
    CHECK(complains("a kernel touches memory that is not allocated"));
  }
  SUBCASE("freed twice") {
    CHECK(cudaFree(freed) == cudaErrorInvalidValue);
    CHECK(complains("cudaFree of what was not allocated"));
  }
  cuda_double::reset();
  CHECK(cudaFree(neighbour) == cudaSuccess);
}

TEST_CASE("a free waits for what every stream has to do") {
  Bench b;
  int* freed = nullptr;
  CHECK(cudaMalloc(reinterpret_cast<void**>(&freed), b.bytes) == cudaSuccess);
  cuda_double::delay(2000);
  for (int run = 1; run <= 5; ++run) {
    cuda::launch<threads>(b.stream.get(), 1, Fill{b.device, b.n, run});
    cuda::launch<threads>(b.other.get(), 1, Fill{freed, b.n, run});
    CHECK(b.down(b.device) == cudaSuccess);
    CHECK(cudaFree(freed) == cudaSuccess);
    CHECK(b.host[b.n - 1] == run);
    CHECK(cudaMalloc(reinterpret_cast<void**>(&freed), b.bytes) == cudaSuccess);
  }
  cuda_double::delay(0);
  CHECK(cudaFree(freed) == cudaSuccess);
}

TEST_CASE("calls that CUDA would take, or answer late") {
  Bench b;
  std::array<int, Bench::n> pageable{};
  SUBCASE("the kind of a copy is not that of its pointers") {
    CHECK(b.copy(b.device, b.host, b.bytes, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
    CHECK(complains("the kind is not that of the pointers"));
    CHECK(b.copy(b.device, b.host, b.bytes, cudaMemcpyDefault) == cudaErrorInvalidValue);
    CHECK(b.copy(b.device, b.host, b.bytes, cudaMemcpyDeviceToDevice) == cudaErrorInvalidValue);
  }
  SUBCASE("pageable memory in an asynchronous copy") {
    CHECK(b.copy(b.device, pageable.data(), b.bytes, cudaMemcpyHostToDevice) ==
          cudaErrorInvalidValue);
    CHECK(complains("host memory that is not pinned"));
    CHECK(b.copy(b.device, b.host + 1, b.bytes, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  }
  SUBCASE("pageable memory in a kernel") {
    CHECK_THROWS_AS(cuda::launch<threads>(b.stream.get(), 1, Fill{pageable.data(), 1, 1}), Error);
    CHECK(complains("a kernel is given host memory that is not pinned"));
    cuda::launch<threads>(b.stream.get(), 1, Fill{b.host, b.n, 7});
    CHECK(b.wait() == cudaSuccess);
    CHECK(b.host[b.n - 1] == 7);
  }
  SUBCASE("pageable memory in a product") {
    CudaGemm<Real> const product({.m = 8, .n = 8, .k = 8}, 0);
    CHECK(cudaMemsetAsync(b.device, 0, b.bytes, b.stream.get()) == cudaSuccess);
    product.run(b.device, b.device + 256, b.device + 512, nullptr, nullptr, nullptr,
                b.stream.get());
    CHECK(b.wait() == cudaSuccess);
    alignas(256) std::array<Real, 64> right{};
    product.run(b.device, right.data(), b.device + 512, nullptr, nullptr, nullptr, b.stream.get());
    CHECK(b.wait() == cudaErrorIllegalAddress);
    CHECK(complains("cublasLtMatmul: "));
    CHECK(complains("host memory that is not pinned"));
    cuda_double::reset();
  }
  SUBCASE("the default stream") {
    CHECK_THROWS_AS(cuda::launch<threads>(nullptr, 1, Increase{b.device}), Error);
    CHECK(complains("the default stream"));
    CHECK(cudaMemcpyAsync(b.device, b.host, b.bytes, cudaMemcpyHostToDevice, nullptr) !=
          cudaSuccess);
    CHECK(cudaMemsetAsync(b.device, 0, b.bytes, nullptr) != cudaSuccess);
  }
  SUBCASE("a stream that waits for the default stream") {
    cudaStream_t s = nullptr;
    CHECK(cudaStreamCreateWithPriority(&s, cudaStreamDefault, 0) == cudaErrorInvalidValue);
    CHECK(complains("waits for the default stream"));
  }
  SUBCASE("a wait for an event that nobody has recorded") {
    cuda::Event event;
    CHECK_THROWS_AS(event.hold(b.stream.get()), Error);
    CHECK(complains("not yet recorded"));
  }
  CHECK(b.up(b.device) == cudaSuccess);  // none of them is an error of the device
}

TEST_CASE("a kernel's missing barrier gives another result") {
  Bench b;
  auto const result = [&](auto const& kernel) {
    cuda::launch<threads>(b.stream.get(), 1, Fill{b.device, b.n, -1});
    cuda::launch<threads>(b.stream.get(), 2, kernel);
    cuda::check(b.down(b.device), "a copy");
    cuda::check(b.wait(), "a wait");
    return std::vector<int>(b.host, b.host + 2 * threads);
  };
  auto const expected = [](auto const& of) {
    std::vector<int> v;
    for (int i = 0; i < 2 * threads; ++i) v.push_back(of(i % threads));
    return v;
  };
  auto const below = expected([](int t) { return std::max(t - 1, 0); });
  auto const above = expected([](int t) { return std::min(t + 1, threads - 1); });
  auto const across = expected([](int t) { return t ^ 31; });
  CHECK(result(Shift<-1, true>{b.device}) == below);
  CHECK(result(Shift<-1, false>{b.device}) != below);
  CHECK(result(Shift<1, true>{b.device}) == above);
  CHECK(result(Shift<1, false>{b.device}) != above);
  CHECK(result(TurnWarps<true>{b.device}) == across);
  CHECK(result(TurnWarps<false>{b.device}) != across);
}

TEST_CASE("threads of a block that do not meet at one barrier") {
  Bench b;
  for (int const kind : {0, 1}) {
    cuda_double::reset();
    kind == 0 ? cuda::launch<threads>(b.stream.get(), 2, HalfMeets{})
              : cuda::launch<threads>(b.stream.get(), 2, MeetsElsewhere{});
    CHECK(b.wait() == cudaErrorLaunchFailure);
    CHECK(complains("do not meet at one barrier"));
  }
  cuda_double::reset();  // the next kernel begins with whole blocks
  cuda::launch<threads>(b.stream.get(), 1, Fill{b.device, b.n, 7});
  CHECK(b.down(b.device) == cudaSuccess);
  CHECK(b.wait() == cudaSuccess);
  CHECK(b.host[0] + b.host[b.n - 1] == 14);
}

TEST_CASE("a graph is captured without being run, and replays over two streams") {
  Bench b;
  CHECK(cudaMemsetAsync(b.device, 0, b.bytes, b.stream.get()) == cudaSuccess);
  Replay const replay = add_and_copy(b, true);
  auto const seen = [&] {
    CHECK(b.down(b.device) == cudaSuccess);
    CHECK(b.wait() == cudaSuccess);
    return std::pair(b.host[0], b.host[1]);
  };
  CHECK(seen() == std::pair(0, 0));
  for (int run = 1; run <= 3; ++run) {
    CHECK(cudaGraphLaunch(replay.exec, b.stream.get()) == cudaSuccess);
    CHECK(seen() == std::pair(run, run));
  }
}

TEST_CASE("a graph never runs beside itself, on whichever stream") {
  Bench b;
  Replay const replay(b, [&] {
    cuda::launch<threads>(b.stream.get(), 1, Copy{b.device + 1, b.device});
    cuda::launch<threads>(b.stream.get(), 1, Increase{b.device + 1});
    cuda::launch<threads>(b.stream.get(), 1, Copy{b.device, b.device + 1});
  });
  CHECK(cudaMemsetAsync(b.device, 0, b.bytes, b.stream.get()) == cudaSuccess);
  CHECK(b.wait() == cudaSuccess);
  cuda_double::delay(100);
  for (int run = 0; run < 100; ++run)
    for (auto const* stream : {&b.stream, &b.other})
      CHECK(cudaGraphLaunch(replay.exec, stream->get()) == cudaSuccess);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  cuda_double::delay(0);
  CHECK(b.down(b.device) == cudaSuccess);
  CHECK(b.wait() == cudaSuccess);
  CHECK(*b.host == 200);
}

TEST_CASE("a missing wait within a graph shows as one between streams does") {
  Bench b;
  auto const wrong = [&](bool waits) {
    Replay const replay = add_and_copy(b, waits);
    CHECK(cudaMemsetAsync(b.device, 0, b.bytes, b.stream.get()) == cudaSuccess);
    int count = 0;
    for (int run = 1; run <= 200; ++run) {
      cuda::check(cudaGraphLaunch(replay.exec, b.stream.get()), "cudaGraphLaunch");
      cuda::check(b.down(b.device), "a copy");
      cuda::check(b.wait(), "a wait");
      CHECK(b.host[0] == run);
      count += b.host[1] != run;
    }
    return count;
  };
  cuda_double::delay(100);
  CHECK(wrong(true) == 0);
  CHECK(wrong(false) > 0);
  cuda_double::delay(0);
}

TEST_CASE("captures that CUDA would not take") {
  Bench b;
  cuda::Event inside, outside;
  cudaGraph_t graph = nullptr;
  outside.record(b.other.get());
  CHECK(cudaStreamBeginCapture(b.stream.get(), cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  SUBCASE("a stream that is not joined") {
    inside.record(b.stream.get());
    inside.hold(b.other.get());
    cuda::launch<threads>(b.other.get(), 1, Increase{b.device});
    CHECK(cudaStreamEndCapture(b.stream.get(), &graph) == cudaErrorStreamCaptureUnjoined);
    CHECK(complains("does not wait for all that the others do"));
  }
  SUBCASE("a wait for what is outside, and one from there") {
    CHECK_THROWS_AS(outside.hold(b.stream.get()), Error);
    CHECK(complains("recorded outside"));
    inside.record(b.stream.get());
    CHECK(cudaStreamEndCapture(b.stream.get(), &graph) == cudaSuccess);
    CHECK_THROWS_AS(inside.hold(b.other.get()), Error);
    CHECK(complains("an event of another capture"));
  }
  SUBCASE("the host waits for a stream that is captured") {
    CHECK(b.wait() == cudaErrorStreamCaptureUnsupported);
    CHECK(complains("the host waits for a stream that is captured"));
    CHECK(cudaStreamEndCapture(b.stream.get(), &graph) == cudaSuccess);
  }
  SUBCASE("an end on another stream") {
    CHECK(cudaStreamEndCapture(b.other.get(), &graph) == cudaErrorInvalidValue);
    CHECK(cudaStreamEndCapture(b.stream.get(), &graph) == cudaSuccess);
  }
  CHECK(cudaGraphDestroy(graph) == cudaSuccess);
  CHECK(b.up(b.device) == cudaSuccess);
  CHECK(b.wait() == cudaSuccess);
}

TEST_CASE("the host's waits are counted, once for all that was issued before") {
  Bench b;
  void* spare = nullptr;
  cudaEvent_t event = nullptr;
  CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming) == cudaSuccess);
  CHECK(cudaMalloc(&spare, 1) == cudaSuccess);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  long waits = cuda_double::host_waits();
  auto const stops = [&](auto const& call) {
    CHECK(b.up(b.device) == cudaSuccess);
    CHECK(cuda_double::host_waits() == waits);
    call();
    CHECK(cuda_double::host_waits() == waits + 1);
    CHECK(b.wait() == cudaSuccess);
    CHECK(cudaDeviceSynchronize() == cudaSuccess);
    CHECK(cuda_double::host_waits() == ++waits);
  };
  stops([&] { CHECK(b.wait() == cudaSuccess); });
  stops([&] { CHECK(cudaStreamQuery(b.other.get()) == cudaSuccess); });
  stops([&] { CHECK(cudaDeviceSynchronize() == cudaSuccess); });
  stops([&] {
    CHECK(cudaEventRecord(event, b.stream.get()) == cudaSuccess);
    CHECK(cudaEventSynchronize(event) == cudaSuccess);
  });
  stops([&] { CHECK(cudaFree(spare) == cudaSuccess); });
  Replay const replay = add_and_copy(b, true);
  CHECK(cuda_double::host_waits() == waits);
  stops([&] {
    CHECK(cudaGraphLaunch(replay.exec, b.stream.get()) == cudaSuccess);
    CHECK(b.wait() == cudaSuccess);
  });
  CHECK(cudaEventDestroy(event) == cudaSuccess);
}

TEST_CASE("a failure hits the call it names, or the n-th of any name") {
  Bench b;
  CHECK(b.up(b.device) == cudaSuccess);
  cuda_double::fail_next("cudaMemcpyAsync", cudaErrorUnknown, 1);
  CHECK(cudaMemsetAsync(b.device, 0, b.bytes, b.stream.get()) == cudaSuccess);
  CHECK(b.up(b.device) == cudaSuccess);
  CHECK(cuda_double::failed().empty());
  CHECK(b.up(b.device) == cudaErrorUnknown);
  CHECK(cuda_double::failed() == "cudaMemcpyAsync");
  CHECK(cudaGetLastError() == cudaErrorUnknown);
  CHECK(b.up(b.device) == cudaSuccess);

  cuda_double::fail_next("cudaStreamSynchronize", cudaErrorUnknown, 1);
  CHECK(b.wait() == cudaSuccess);
  CHECK(b.wait() == cudaErrorUnknown);
  CHECK(cuda_double::failed() == "cudaStreamSynchronize");
  CHECK(b.wait() == cudaSuccess);

  cuda_double::fail_next("cudaLaunchKernel", cudaErrorLaunchFailure);
  CHECK_THROWS_AS(cuda::launch<threads>(b.stream.get(), 1, Increase{b.device}), Error);

  for (long before = 0; before < 3; ++before) {
    CAPTURE(before);
    cuda_double::fail_next("", cudaErrorMemoryAllocation, before);
    long const first = cuda_double::calls();
    CHECK((cudaMemsetAsync(b.device, 0, b.bytes, b.stream.get()) == cudaSuccess) == (before != 0));
    CHECK((b.up(b.device) == cudaSuccess) == (before != 1));
    CHECK((b.down(b.device) == cudaSuccess) == (before != 2));
    CHECK(cuda_double::calls() == first + 3);
    CHECK(cuda_double::failed() ==
          std::array{"cudaMemsetAsync", "cudaMemcpyAsync", "cudaMemcpyAsync"}[std::size_t(before)]);
  }
  cuda_double::machine().bytes = b.bytes;
  void* at = nullptr;
  CHECK(cudaMalloc(&at, b.bytes) == cudaErrorMemoryAllocation);
}
