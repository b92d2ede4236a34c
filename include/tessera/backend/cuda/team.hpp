/// Kernels on a GPU: a block of 128 threads is a lane, rows are dealt out to blocks.
#pragma once

#if defined(__CUDACC__)  // nothing here without a CUDA compiler

#include <tessera/core/error.hpp>
#include <tessera/core/setting.hpp>
#include <tessera/core/team.hpp>

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <string>

namespace tessera::inline TESSERA_SETTING {

/// One block, one row. Thread t holds partial t of a reduction, and they fold as SerialLane's do,
/// in the same order: the same bits. Each verb ends with a barrier, so the next one sees what it
/// wrote.
struct BlockLane {
  static constexpr bool is_lane = true;

#pragma nv_exec_check_disable
  template <class F>
  TESSERA_BOTH void each(std::int64_t n, F f) const {
    for (std::int64_t i = thread(); i < n; i += lane_partials) f(i);
    barrier();
  }

#pragma nv_exec_check_disable
  template <class F>
  TESSERA_BOTH auto sum(std::int64_t n, F f) const {
    auto partial = decltype(f(n))(0);
    for (std::int64_t i = thread(); i < n; i += lane_partials) partial = partial + f(i);
    return fold(partial, [](auto a, auto b) { return a + b; });
  }

#pragma nv_exec_check_disable
  template <class F>
  TESSERA_BOTH auto max(std::int64_t n, F f) const {
    auto const larger = [](auto a, auto b) { return a < b ? b : a; };
    auto partial = decltype(f(n))(-INFINITY);
    for (std::int64_t i = thread(); i < n; i += lane_partials) partial = larger(partial, f(i));
    return fold(partial, larger);
  }

#pragma nv_exec_check_disable
  template <class F>
  TESSERA_BOTH void once(F f) const {
    if (thread() == 0) f();
    barrier();
  }

 private:
  // A kernel's body is compiled for the host too, where a block has a single silent thread.
  TESSERA_BOTH static int thread() {
#ifdef __CUDA_ARCH__
    return int(threadIdx.x);
#else
    return 0;
#endif
  }
  TESSERA_BOTH static void barrier() {
#ifdef __CUDA_ARCH__
    __syncthreads();
#endif
  }

  template <class T, class Join>
  TESSERA_BOTH static T fold(T partial, [[maybe_unused]] Join join) {
#ifdef __CUDA_ARCH__
    __shared__ T partials[lane_partials];
    int const t = thread();
    partials[t] = partial;
    for (int half = lane_partials / 2; half > 0; half /= 2) {
      barrier();
      if (t < half) partials[t] = join(partials[t], partials[t + half]);
    }
    barrier();
    T const all = partials[0];
    barrier();  // or a fast thread would begin the next fold in partials[0]
    return all;
#else
    return partial;
#endif
  }
};

namespace detail {

template <class Kernel>
__global__ void __launch_bounds__(lane_partials) run_rows(__grid_constant__ Kernel const kernel) {
  std::int64_t const rows = kernel.rows();
  for (std::int64_t r = blockIdx.x; r < rows; r += gridDim.x) kernel(BlockLane{}, r);
}

template <class F>
__global__ void __launch_bounds__(lane_partials) run_each(std::int64_t n, F f) {
  std::int64_t const step = std::int64_t(gridDim.x) * lane_partials;
  for (std::int64_t i = std::int64_t(blockIdx.x) * lane_partials + threadIdx.x; i < n; i += step)
    f(i);
}

}  // namespace detail

/// One launch per verb, in the order of a stream.
struct CudaTeam {
  static constexpr bool is_team = true;
  static constexpr std::int64_t most_blocks = 1 << 16;

  cudaStream_t stream = nullptr;

  template <class F>
  void each(std::int64_t n, F f) const {
    if (n == 0) return;
    detail::run_each<<<blocks((n + lane_partials - 1) / lane_partials), lane_partials, 0, stream>>>(
        n, f);
    launched();
  }

  template <class Kernel>
  void run(Kernel const& kernel) const {
    if (kernel.rows() == 0) return;
    detail::run_rows<<<blocks(kernel.rows()), lane_partials, 0, stream>>>(kernel);
    launched();
  }

 private:
  static unsigned blocks(std::int64_t n) { return unsigned(n < most_blocks ? n : most_blocks); }
  static void launched() {
    if (cudaError_t const code = cudaGetLastError(); code != cudaSuccess)
      throw Error(std::string("a kernel did not launch: ") + cudaGetErrorString(code));
  }
};

static_assert(Lane<BlockLane> && Team<CudaTeam>);

}  // namespace tessera::inline TESSERA_SETTING

#endif
