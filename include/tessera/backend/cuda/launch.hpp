/// The one place that launches a kernel, and what a failing call of CUDA becomes.
#pragma once

#if defined(__CUDACC__) || defined(TESSERA_CUDA_DOUBLE)  // nothing here without a CUDA compiler

#include <tessera/backend/cuda/threads.hpp>
#include <tessera/core/error.hpp>

#include <cuda_runtime_api.h>

#include <string>

#if defined(TESSERA_CUDA_DOUBLE)
#include <cuda_double/launch.hpp>
#endif

namespace tessera::inline TESSERA_SETTING::cuda {

/// What one can do about it.
inline char const* advice(cudaError_t code) {
  switch (code) {
    case cudaErrorMemoryAllocation: return "use a smaller micro-batch, more ranks or Zero<3>";
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure: return "compute-sanitizer names the kernel and the line";
    case cudaErrorNoKernelImageForDevice: return "build for this GPU, with nvcc -arch=native";
    default: return "nvidia-smi and the kernel's log tell whether the GPU is well";
  }
}

inline void check(cudaError_t code, char const* call) {
  if (code != cudaSuccess)
    throw DeviceError(std::string(call) + ": " + cudaGetErrorString(code) + " (" +
                      cudaGetErrorName(code) + "); " + advice(code));
}

#if defined(__CUDACC__)
namespace detail {
template <int Threads, class Body>
__global__ void __launch_bounds__(Threads) run(__grid_constant__ Body const body) {
  body();
}
}  // namespace detail
#endif

/// body() by every thread of every block, behind what the stream has to do already.
/// Body  copied; its pointers are of the device
template <int Threads, class Body>
void launch(cudaStream_t stream, unsigned blocks, Body const& body) {
#if defined(__CUDACC__)
  detail::run<Threads><<<blocks, Threads, 0, stream>>>(body);
  check(cudaGetLastError(), "a kernel's launch");
#else
  check(cuda_double::launch(stream, blocks, Threads, body), "a kernel's launch");
#endif
}

}  // namespace tessera::inline TESSERA_SETTING::cuda

#endif
