/// The CUDA runtime for programs without a GPU: vendor's declarations, streams as threads.
///
/// A stream's queue orders its own work and nothing else: the host publishes, the thread takes, and
/// no lock or counter of one stream is ever acquired by another, unless an event says so. A race
/// that CUDA would have is thus a race here, for ThreadSanitizer too.
#include <cuda_double/api.hpp>
#include <cuda_double/launch.hpp>
#include <cuda_double/memory.hpp>

#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

namespace {

using Work = std::function<void()>;

// --- errors -------------------------------------------------------------------------------------

std::atomic<int> sticky{cudaSuccess};
std::mutex texts_lock;
std::string complaint_text, failed_text;
thread_local cudaError_t last = cudaSuccess;

void break_device(cudaError_t code, std::string const& why) {
  std::lock_guard const held(texts_lock);
  if (sticky.load() != cudaSuccess) return;
  complaint_text = why;  // before the error: whoever sees that one finds its words
  sticky.store(int(code));
}

struct Failure {
  std::string call;
  cudaError_t error = cudaSuccess;
  long before = 0;
};
std::mutex failure_lock;
Failure failure;
std::atomic<long> calls_made{0};

bool waits(std::string_view call) {
  return call == "cudaStreamQuery" || call.ends_with("Synchronize");
}
/// At the start of every entry point that can fail: what it returns at once.
cudaError_t entering(char const* call) {
  calls_made.fetch_add(1, std::memory_order_relaxed);
  {
    std::lock_guard const held(failure_lock);
    // How often a program looks whether a stream is done is chance, and whether it waits at an end
    // is nobody's concern: those calls count by name only.
    bool const any = failure.call.empty() && !waits(call);
    if (failure.error != cudaSuccess && (any || failure.call == call) && failure.before-- == 0) {
      std::lock_guard const named(texts_lock);
      failed_text = call;
      return last = std::exchange(failure.error, cudaSuccess);
    }
  }
  return last = cudaError_t(sticky.load(std::memory_order_relaxed));
}

using cuda_double::refuse;

// --- streams ------------------------------------------------------------------------------------

std::atomic<int> most_delay{0};

thread_local sigjmp_buf* fault_handler = nullptr;

void on_fault(int number, siginfo_t* info, void*) {
  if (fault_handler && (cuda_double::in_kernel() || cuda_double::is_ours(info->si_addr)))
    siglongjmp(*fault_handler, 1);
  bool const device = cuda_double::is_ours(info->si_addr);
  char const text[] = "cuda_double: host code follows a pointer into device memory\n";
  if (device && ::write(2, text, sizeof text - 1) < 0) _exit(134);
  signal(number, SIG_DFL);
  raise(number);
}
/// Again and again: a test's framework catches signals, too, from the start of each test case.
void catch_faults() {
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
  sigaction(SIGSEGV, &action, nullptr);
  sigaction(SIGBUS, &action, nullptr);
}

/// One piece of work, with the device's errors as its own.
void perform(Work const& work) {
  if (sticky.load(std::memory_order_relaxed) != cudaSuccess) return;
  sigjmp_buf here;
  fault_handler = &here;
  if (sigsetjmp(here, 0) != 0) {
    fault_handler = nullptr;
    cuda_double::forget_threads();
    return break_device(cudaErrorIllegalAddress, "a kernel touches memory that is not allocated");
  }
  try {
    work();
  } catch (cuda_double::Fault const& fault) {
    cuda_double::forget_threads();
    break_device(fault.code, fault.why);
  }
  fault_handler = nullptr;
}

}  // namespace

/// What a stream had been asked when an event was recorded there. Never freed: whoever waits may
/// come late, and a counter of owners would order streams.
struct Mark {
  std::atomic<bool> done{false};
};
struct CUevent_st {
  Mark* mark = nullptr;
  CUstream_st* stream = nullptr;
};
/// What was captured, in an order that its streams allow.
struct CUgraph_st {
  std::vector<Work> work;
};
struct CUgraphExec_st {
  std::vector<Work> work;
};

struct CUstream_st {
  struct Node {
    Work work;
    std::atomic<Node*> next{nullptr};
  };

  explicit CUstream_st(unsigned seed) : random(seed), thread([this] { serve(); }) {}
  ~CUstream_st() {
    push({});
    thread.join();
    delete tail;
  }

  /// D. Vyukov's queue of many producers.
  void push(Work work) {
    auto* const node = new Node{std::move(work)};
    pushed.fetch_add(1, std::memory_order_relaxed);
    head.exchange(node, std::memory_order_acq_rel)->next.store(node, std::memory_order_release);
  }
  bool idle() const {
    if (done.load(std::memory_order_relaxed) != pushed.load(std::memory_order_relaxed))
      return false;
    return done.load(std::memory_order_acquire) == pushed.load(std::memory_order_relaxed);
  }

  cudaGraph_t capturing = nullptr;

 private:
  void serve() {
    for (int idle_turns = 0;;) {
      Node* const next = tail->next.load(std::memory_order_acquire);
      if (!next) {
        if (++idle_turns > 64)
          usleep(30);
        else
          std::this_thread::yield();
        continue;
      }
      idle_turns = 0;
      delete std::exchange(tail, next);
      Work const work = std::move(next->work);
      if (!work) break;
      if (int const most = most_delay.load(std::memory_order_relaxed); most > 0)
        if (int const us = int(random() % unsigned(2 * most)) - most; us > 0) usleep(unsigned(us));
      perform(work);
      done.fetch_add(1, std::memory_order_release);
    }
  }

  Node* tail = new Node;
  std::atomic<Node*> head{tail};
  std::atomic<long> pushed{0}, done{0};
  std::minstd_rand random;
  std::thread thread;
};

namespace {

std::mutex streams_lock;
std::vector<cudaStream_t> all_streams;
std::atomic<unsigned> streams_made{0};

bool known(cudaStream_t stream) {
  std::lock_guard const held(streams_lock);
  for (cudaStream_t const s : all_streams)
    if (s == stream) return true;
  return false;
}

/// Until every stream is idle, or an error is sticky.
cudaError_t wait_for_all() {
  std::vector<cudaStream_t> streams;
  {
    std::lock_guard const held(streams_lock);
    streams = all_streams;
  }
  for (cudaStream_t const s : streams)
    while (!s->idle() && sticky.load() == cudaSuccess) std::this_thread::yield();
  return cudaError_t(sticky.load());
}

cudaError_t put(cudaStream_t stream, Work work) {
  if (stream->capturing)
    stream->capturing->work.push_back(std::move(work));
  else
    stream->push(std::move(work));
  return cudaSuccess;
}

}  // namespace

namespace cuda_double {

cudaError_t enqueue(cudaStream_t stream, Work work) {
  if (!stream || !known(stream))
    return refuse(cudaErrorInvalidResourceHandle, "work on the default stream, or on none");
  return put(stream, std::move(work));
}
cudaError_t launching() {
  return entering("cudaLaunchKernel");
}
cudaError_t calling(char const* call) {
  return entering(call);
}
cudaError_t refuse(cudaError_t error, std::string const& why) {
  std::lock_guard const held(texts_lock);
  if (sticky.load() == cudaSuccess) complaint_text = why;
  return last = error;
}

void delay(int microseconds) {
  most_delay = microseconds;
}
long calls() {
  return calls_made;
}
void fail_next(std::string const& call, cudaError_t error, long calls_before) {
  std::lock_guard const held(failure_lock);
  failure = {call, error, calls_before};
}
std::string failed() {
  std::lock_guard const held(texts_lock);
  return failed_text;
}
std::string complaint() {
  std::lock_guard const held(texts_lock);
  return complaint_text;
}
Machine& machine() {
  static Machine one;
  return one;
}
void reset() {
  machine() = {};
  fail_next("", cudaSuccess);
  last = cudaSuccess;
  std::lock_guard const held(texts_lock);
  sticky = cudaSuccess;
  complaint_text.clear(), failed_text.clear();
}

}  // namespace cuda_double

using namespace cuda_double;

#define ENTER(call) \
  if (cudaError_t const error_here = entering(call); error_here != cudaSuccess) return error_here

extern "C" {

// --- devices ------------------------------------------------------------------------------------

cudaError_t cudaGetDeviceCount(int* count) {
  *count = machine().gpus;
  if (machine().driver == 0) return last = cudaErrorInsufficientDriver;
  return machine().gpus > 0 ? cudaSuccess : last = cudaErrorNoDevice;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = machine().driver;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
static int current_device = 0;
cudaError_t cudaSetDevice(int device) {
  ENTER("cudaSetDevice");
  if (device < 0 || device >= machine().gpus) return last = cudaErrorInvalidDevice;
  current_device = device;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  ENTER("cudaDeviceGetAttribute");
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor: *value = machine().major; return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor: *value = machine().minor; return cudaSuccess;
    case cudaDevAttrMultiProcessorCount: *value = 4; return cudaSuccess;
    default: return last = cudaErrorInvalidValue;
  }
}
cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total) {
  ENTER("cudaMemGetInfo");
  *total = machine().bytes;
  *free_bytes = machine().bytes - allocated();
  return cudaSuccess;
}

char const* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorNoDevice: return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice: return "cudaErrorInvalidDevice";
    case cudaErrorInsufficientDriver: return "cudaErrorInsufficientDriver";
    case cudaErrorInvalidResourceHandle: return "cudaErrorInvalidResourceHandle";
    case cudaErrorIllegalAddress: return "cudaErrorIllegalAddress";
    case cudaErrorLaunchFailure: return "cudaErrorLaunchFailure";
    case cudaErrorNotReady: return "cudaErrorNotReady";
    default: return "cudaErrorUnknown";
  }
}
char const* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorIllegalAddress: return "an illegal memory access was encountered";
    case cudaErrorLaunchFailure: return "unspecified launch failure";
    default: return cudaGetErrorName(error);
  }
}
cudaError_t cudaPeekAtLastError() {
  return last;
}
cudaError_t cudaGetLastError() {
  cudaError_t const was = last;
  last = cudaError_t(sticky.load());
  return was;
}

// --- memory -------------------------------------------------------------------------------------

cudaError_t cudaMalloc(void** at, std::size_t bytes) {
  ENTER("cudaMalloc");
  catch_faults();
  *at = bytes == 0 ? nullptr : allocate(bytes);
  return bytes == 0 || *at ? cudaSuccess : last = cudaErrorMemoryAllocation;
}
/// Waits for all work of the device, as CUDA's own does: who reads on the host, behind it, what a
/// stream has written reads the right thing there, too.
cudaError_t cudaFree(void* at) {
  if (!at) return cudaSuccess;
  wait_for_all();
  return release(at) ? cudaError_t(sticky.load())
                     : refuse(cudaErrorInvalidValue, "cudaFree of what was not allocated");
}
cudaError_t cudaMallocHost(void** at, std::size_t bytes) {
  ENTER("cudaMallocHost");
  *at = bytes == 0 ? nullptr : pin(bytes);
  return bytes == 0 || *at ? cudaSuccess : last = cudaErrorMemoryAllocation;
}
cudaError_t cudaFreeHost(void* at) {
  if (!at) return cudaSuccess;
  wait_for_all();
  return unpin(at) ? cudaError_t(sticky.load())
                   : refuse(cudaErrorInvalidValue, "cudaFreeHost of what was not pinned");
}

cudaError_t cudaMemcpyAsync(void* to, void const* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  ENTER("cudaMemcpyAsync");
  Side const there = side(to, bytes), here = side(from, bytes);
  bool const to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  bool const from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind == cudaMemcpyDefault || kind == cudaMemcpyHostToHost ||
      to_device != (there == Side::device) || from_device != (here == Side::device))
    return refuse(cudaErrorInvalidValue, "cudaMemcpyAsync: the kind is not that of the pointers");
  if (there == Side::pageable || here == Side::pageable)
    return refuse(cudaErrorInvalidValue, "cudaMemcpyAsync: host memory that is not pinned waits");
  return enqueue(stream, [=] {
    cuda_double::read(from, bytes, "cudaMemcpyAsync");
    cuda_double::write(to, bytes, "cudaMemcpyAsync");
    std::memmove(real(to), real(from), bytes);
  });
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  ENTER("cudaMemsetAsync");
  if (side(to, bytes) != Side::device)
    return refuse(cudaErrorInvalidValue, "cudaMemsetAsync of host memory");
  return enqueue(stream, [=] {
    cuda_double::write(to, bytes, "cudaMemsetAsync");
    std::memset(real(to), value, bytes);
  });
}

// --- streams and events -------------------------------------------------------------------------

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  ENTER("cudaStreamCreateWithPriority");
  catch_faults();
  if (flags != cudaStreamNonBlocking)
    return refuse(cudaErrorInvalidValue, "a stream that waits for the default stream");
  char const* const seed = std::getenv("CUDA_DOUBLE_SEED");
  *stream = new CUstream_st(unsigned(seed ? std::atoi(seed) : 1) * 1000003 + ++streams_made);
  std::lock_guard const held(streams_lock);
  all_streams.push_back(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return cudaStreamCreateWithPriority(stream, flags, 0);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (!known(stream)) return last = cudaErrorInvalidResourceHandle;
  {
    std::lock_guard const held(streams_lock);
    std::erase(all_streams, stream);
  }
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  ENTER("cudaStreamQuery");
  if (!known(stream)) return last = cudaErrorInvalidResourceHandle;
  if (!stream->idle()) return cudaErrorNotReady;
  return last = cudaError_t(sticky.load());
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  ENTER("cudaStreamSynchronize");
  if (!known(stream)) return last = cudaErrorInvalidResourceHandle;
  while (!stream->idle() && sticky.load() == cudaSuccess) std::this_thread::yield();
  return last = cudaError_t(sticky.load());
}
cudaError_t cudaDeviceSynchronize() {
  ENTER("cudaDeviceSynchronize");
  return wait_for_all();
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  ENTER("cudaEventCreateWithFlags");
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  ENTER("cudaEventRecord");
  if (!known(stream)) return refuse(cudaErrorInvalidResourceHandle, "an event of no stream");
  auto* const mark = new Mark;
  event->mark = mark, event->stream = stream;
  return put(stream, [mark] { mark->done.store(true, std::memory_order_release); });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  ENTER("cudaStreamWaitEvent");
  if (!event->mark) return refuse(cudaErrorInvalidValue, "a wait for an event not yet recorded");
  Mark* const mark = event->mark;
  // Captured streams are in one order already.
  if (event->stream->capturing) {
    if (!stream->capturing) stream->capturing = event->stream->capturing;
    return cudaSuccess;
  }
  return enqueue(stream, [mark] {
    for (int turns = 0; !mark->done.load(std::memory_order_relaxed); ++turns) {
      if (sticky.load(std::memory_order_relaxed) != cudaSuccess) return;
      turns > 64 ? void(usleep(20)) : std::this_thread::yield();
    }
    (void)mark->done.load(std::memory_order_acquire);
  });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  ENTER("cudaEventSynchronize");
  while (event->mark && !event->mark->done.load(std::memory_order_acquire)) {
    if (sticky.load() != cudaSuccess) return cudaError_t(sticky.load());
    std::this_thread::yield();
  }
  return cudaSuccess;
}

// --- graphs -------------------------------------------------------------------------------------

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  ENTER("cudaStreamBeginCapture");
  if (!known(stream) || stream->capturing) return last = cudaErrorInvalidValue;
  stream->capturing = new CUgraph_st;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  if (!stream->capturing) return last = cudaErrorInvalidValue;
  *graph = stream->capturing;
  {
    std::lock_guard const held(streams_lock);
    for (cudaStream_t const s : all_streams)
      if (s->capturing == *graph) s->capturing = nullptr;
  }
  ENTER("cudaStreamEndCapture");
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  ENTER("cudaGraphInstantiate");
  *exec = new CUgraphExec_st{graph->work};
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  ENTER("cudaGraphLaunch");
  if (!known(stream)) return last = cudaErrorInvalidResourceHandle;
  for (Work const& work : exec->work) put(stream, work);
  return cudaSuccess;
}

}  // extern "C"
