/// What the threads of a block share: their numbers, barriers, exchanges, memory. On a GPU the
/// hardware's; where a program has none (TESSERA_CUDA_DOUBLE), tests/cuda_double runs the same
/// bodies on fibers.
#pragma once

#include <tessera/core/setting.hpp>

#if defined(TESSERA_CUDA_DOUBLE)
#include <cuda_double/threads.hpp>
#endif

namespace tessera::inline TESSERA_SETTING::cuda {

inline constexpr int warp_threads = 32;

// A body is compiled for the host, too, where a block has a single silent thread.

TESSERA_BOTH inline int thread() {
#if defined(__CUDA_ARCH__)
  return int(threadIdx.x);
#elif defined(TESSERA_CUDA_DOUBLE)
  return cuda_double::thread();
#else
  return 0;
#endif
}

TESSERA_BOTH inline unsigned block() {
#if defined(__CUDA_ARCH__)
  return blockIdx.x;
#elif defined(TESSERA_CUDA_DOUBLE)
  return cuda_double::block();
#else
  return 0;
#endif
}

TESSERA_BOTH inline unsigned blocks() {
#if defined(__CUDA_ARCH__)
  return gridDim.x;
#elif defined(TESSERA_CUDA_DOUBLE)
  return cuda_double::blocks();
#else
  return 1;
#endif
}

/// All threads of the block arrive; what they wrote before, all see after.
TESSERA_BOTH inline void barrier() {
#if defined(__CUDA_ARCH__)
  __syncthreads();
#elif defined(TESSERA_CUDA_DOUBLE)
  cuda_double::barrier();
#endif
}

/// The same among the 32 threads of a warp.
TESSERA_BOTH inline void warp_barrier() {
#if defined(__CUDA_ARCH__)
  __syncwarp();
#elif defined(TESSERA_CUDA_DOUBLE)
  cuda_double::warp_barrier();
#endif
}

/// The value that thread `lane` of the warp gives; all of them call it.
template <class T>
TESSERA_BOTH T warp_exchange(T value, [[maybe_unused]] int lane) {
#if defined(__CUDA_ARCH__)
  return __shfl_sync(0xffff'ffffu, value, lane);
#elif defined(TESSERA_CUDA_DOUBLE)
  return cuda_double::warp_exchange(value, lane);
#else
  return value;
#endif
}

/// Memory of the block, one array for each T, N and Tag.
template <class T, int N, class Tag>
TESSERA_BOTH T* shared() {
#if defined(__CUDA_ARCH__)
  __shared__ T array[N];
  return array;
#elif defined(TESSERA_CUDA_DOUBLE)
  return cuda_double::shared<T, N, Tag>();
#else
  return nullptr;
#endif
}

}  // namespace tessera::inline TESSERA_SETTING::cuda
