/// What tests, and the doubles of other libraries, ask of the CUDA double beyond CUDA itself.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>
#include <string>

namespace cuda_double {

/// Runs on the stream's own thread, behind all that it has to do already; captured where the stream
/// is. What throws Fault, or touches memory that is not allocated, leaves a sticky error.
cudaError_t enqueue(cudaStream_t stream, std::function<void()> work);

struct Fault {
  cudaError_t code;
  std::string why;
};

/// Where the bytes of a device address are. The address itself belongs to nobody: host code that
/// follows it ends the program. Addresses of the host stay as they are.
void* real(void const* at);
/// In the words of `bytes` at `words`, device addresses become real ones. An error: one of them is
/// an address of host memory that is not pinned.
cudaError_t relocate(void* words, std::size_t bytes);
/// Throws Fault if these bytes are not all allocated, or are the host's and not pinned; read also
/// if one was never written.
void read(void const* at, std::size_t bytes, char const* who);
void write(void const* at, std::size_t bytes, char const* who);

/// Every stream sleeps up to so many microseconds before each thing it does.
void delay(int microseconds);
/// Calls of the library so far; and what has been launched.
long calls();
/// How often the host has stopped for what it had issued since it last did: by looking whether a
/// stream is done, by any call that waits, and by giving memory back. There is no copy that blocks.
long host_waits();
/// A call of this name begins: the error that fail_next() has for it, or a sticky one.
cudaError_t calling(char const* call);
/// An error that is not sticky, and its reason.
cudaError_t refuse(cudaError_t error, std::string const& why);
/// The call of this name, after so many others, returns the error and does nothing else. An empty
/// name is any call but those that look whether a stream is done, or wait for it.
void fail_next(std::string const& call, cudaError_t error, long calls_before = 0);
/// What the last injected failure hit; empty: nothing yet.
std::string failed();
/// The machine that programs see. Back to what a new process has: no error, no failure to come.
struct Machine {
  int gpus = 8, driver = 13000, major = 9, minor = 0;
  std::size_t bytes = std::size_t(4) << 30;  // of each
};
Machine& machine();
void reset();
/// The reason of a sticky error, or else of the last refusal, in words.
std::string complaint();

/// Runs a block's threads, for every block: launch.hpp.
void run_blocks(unsigned blocks, int threads, std::function<void()> const& body);
/// The calling thread runs a body.
bool in_kernel();
/// After a jump out of a body, whose threads are in its middle.
void forget_threads();

}  // namespace cuda_double
