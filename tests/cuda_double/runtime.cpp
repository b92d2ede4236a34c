/// The CUDA runtime for programs without a GPU: vendor's declarations, streams as threads.
///
/// A stream's queue orders its own work and nothing else: the host publishes, the thread takes, and
/// no lock or counter of one stream is ever acquired by another, unless an event says so. A race
/// that CUDA would have is thus a race here, for ThreadSanitizer too.
#include <cuda_double/api.hpp>
#include <cuda_double/launch.hpp>
#include <cuda_double/memory.hpp>
#include <cuda_double/streams.hpp>

#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace {

using cuda_double::known;
using cuda_double::refuse;
using cuda_double::Work;

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
std::atomic<long> calls_made{0}, host_waits_made{0};
std::atomic<bool> issued{false};  // something, since the host has waited last

bool waits(std::string_view call) {
  return call == "cudaStreamQuery" || call.ends_with("Synchronize");
}
/// The host waits, or looks whether it must. Atomics that order nothing.
void stops_host() {
  if (issued.load(std::memory_order_relaxed)) {
    issued.store(false, std::memory_order_relaxed);
    host_waits_made.fetch_add(1, std::memory_order_relaxed);
  }
}
/// At the start of every entry point that can fail: what it returns at once.
cudaError_t entering(char const* call) {
  calls_made.fetch_add(1, std::memory_order_relaxed);
  if (waits(call)) stops_host();
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

void CUstream_st::serve() {
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

namespace {

std::mutex streams_lock;
std::vector<cudaStream_t> all_streams;
std::atomic<unsigned> streams_made{0};

/// Until every stream is idle, or an error is sticky.
cudaError_t wait_for_all() {
  stops_host();
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
  if (stream->capturing) {
    stream->capturing->add(stream, std::move(work));
  } else {
    issued.store(true, std::memory_order_relaxed);
    stream->push(std::move(work));
  }
  return cudaSuccess;
}

}  // namespace

namespace cuda_double {

cudaError_t enqueue(cudaStream_t stream, Work work) {
  if (!stream || !known(stream))
    return refuse(cudaErrorInvalidResourceHandle, "work on the default stream, or on none");
  return put(stream, std::move(work));
}
Work setting(Mark* mark) {
  return [mark] { mark->done.store(true, std::memory_order_release); };
}
Work waiting(Mark* mark) {
  return [mark] {
    for (int turns = 0; !mark->done.load(std::memory_order_relaxed); ++turns) {
      if (sticky.load(std::memory_order_relaxed) != cudaSuccess) return;
      turns > 64 ? void(usleep(20)) : std::this_thread::yield();
    }
    (void)mark->done.load(std::memory_order_acquire);
  };
}
bool known(cudaStream_t stream) {
  std::lock_guard const held(streams_lock);
  for (cudaStream_t const s : all_streams)
    if (s == stream) return true;
  return false;
}

std::unique_ptr<CUstream_st> make_stream() {
  char const* const seed = std::getenv("CUDA_DOUBLE_SEED");
  return std::make_unique<CUstream_st>(unsigned(seed ? std::atoi(seed) : 1) * 1000003 +
                                       ++streams_made);
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
long host_waits() {
  return host_waits_made;
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
    case cudaErrorStreamCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureUnjoined: return "cudaErrorStreamCaptureUnjoined";
    case cudaErrorStreamCaptureIsolation: return "cudaErrorStreamCaptureIsolation";
    case cudaErrorCapturedEvent: return "cudaErrorCapturedEvent";
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
  *stream = make_stream().release();
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
static bool can_wait_for(cudaStream_t stream) {
  if (!known(stream))
    refuse(cudaErrorInvalidResourceHandle, "the host waits for no stream");
  else if (stream->capturing)
    refuse(cudaErrorStreamCaptureUnsupported, "the host waits for a stream that is captured");
  else
    return true;
  return false;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  ENTER("cudaStreamQuery");
  if (!can_wait_for(stream)) return last;
  if (!stream->idle()) return cudaErrorNotReady;
  return last = cudaError_t(sticky.load());
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  ENTER("cudaStreamSynchronize");
  if (!can_wait_for(stream)) return last;
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
  event->capture = stream->capturing;
  if (event->capture) {
    event->number = event->capture->record(stream);
    return cudaSuccess;
  }
  event->mark = new Mark;
  return put(stream, setting(event->mark));
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  ENTER("cudaStreamWaitEvent");
  if (!known(stream)) return refuse(cudaErrorInvalidResourceHandle, "a wait on no stream");
  auto const& capture = event->capture;
  if (!capture) {
    if (!event->mark) return refuse(cudaErrorInvalidValue, "a wait for an event not yet recorded");
    if (stream->capturing)
      return refuse(cudaErrorStreamCaptureIsolation,
                    "a captured stream waits for what was recorded outside of its capture");
    return put(stream, waiting(event->mark));
  }
  if (!capture->open() || (stream->capturing && stream->capturing != capture))
    return refuse(cudaErrorCapturedEvent, "a wait for an event of another capture");
  stream->capturing = capture;  // from here on, if it was not
  capture->wait(stream, event->number);
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  ENTER("cudaEventSynchronize");
  if (event->capture) return refuse(cudaErrorCapturedEvent, "the host waits for a captured event");
  while (event->mark && !event->mark->done.load(std::memory_order_acquire)) {
    if (sticky.load() != cudaSuccess) return cudaError_t(sticky.load());
    std::this_thread::yield();
  }
  return cudaSuccess;
}

}  // extern "C"
