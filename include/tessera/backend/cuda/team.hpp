/// Kernels on a GPU: a row is a block's, 128 threads, or a warp's, 32, where rows are short.
#pragma once

#include <tessera/backend/cuda/launch.hpp>
#include <tessera/backend/cuda/pack.hpp>

#if defined(__CUDACC__) || defined(TESSERA_CUDA_DOUBLE)

#include <tessera/core/team.hpp>

#include <cmath>
#include <cstdint>

namespace tessera::inline TESSERA_SETTING {

namespace cuda {

/// Who shares a row: `count` threads, `rows` times in a block.
struct BlockThreads {
  static constexpr int count = lane_partials, rows = 1;
  TESSERA_BOTH static int thread() { return cuda::thread(); }
  TESSERA_BOTH static int row() { return 0; }
  TESSERA_BOTH static void barrier() { cuda::barrier(); }
};
struct WarpThreads {
  static constexpr int count = warp_threads, rows = lane_partials / warp_threads;
  TESSERA_BOTH static int thread() { return cuda::thread() % warp_threads; }
  TESSERA_BOTH static int row() { return cuda::thread() / warp_threads; }
  TESSERA_BOTH static void barrier() { warp_barrier(); }
};

/// The threads of a warp and as many partials as make a lane's: thread t holds t, t + 32, ... They
/// fold as SerialLane's do, in the same order: the same bits.
template <class T, class Join>
TESSERA_BOTH T fold_warp(T const (&partial)[lane_partials / warp_threads], Join join) {
  static_assert(lane_partials == 4 * warp_threads);
  T all = join(join(partial[0], partial[2]), join(partial[1], partial[3]));
  for (int half = warp_threads / 2; half > 0; half /= 2)
    all = join(all, warp_exchange(all, (WarpThreads::thread() + half) % warp_threads));
  return warp_exchange(all, 0);
}

}  // namespace cuda

/// One row by many threads. Each verb ends with their barrier, so the next one sees what it wrote.
template <class Threads>
struct ThreadsLane {
  static constexpr bool is_lane = true;
  static constexpr int threads = Threads::count;

  TESSERA_ANY_THREAD template <class F, class... T>
  TESSERA_BOTH void each(std::int64_t n, F f, T*... at) const {
    std::int64_t done = 0;
    if constexpr (sizeof...(T) > 0) {
      constexpr int width = cuda::pack_width<T...>;
      if (cuda::hold_packs(at...)) done = n / width * width;
      cuda::Packs<width, T...> packs(at...);
      for (std::int64_t i = width * Threads::thread(); i < done; i += width * threads)
        packs.each(f, i);
    }
    for (std::int64_t i = done + Threads::thread(); i < n; i += threads) f(i, at[i]...);
    Threads::barrier();
  }

  TESSERA_ANY_THREAD template <class F>
  TESSERA_BOTH auto sum(std::int64_t n, F f) const {
    return fold(decltype(f(n))(0), n, f, [](auto a, auto b) { return a + b; });
  }

  TESSERA_ANY_THREAD template <class F>
  TESSERA_BOTH auto max(std::int64_t n, F f) const {
    return fold(decltype(f(n))(-INFINITY), n, f, [](auto a, auto b) { return a < b ? b : a; });
  }

  TESSERA_ANY_THREAD template <class F>
  TESSERA_BOTH void once(F f) const {
    if (Threads::thread() == 0) f();
    Threads::barrier();
  }

  template <class T>
  TESSERA_BOTH void prefetch(T const*, std::int64_t) const {}

  template <class T>
  struct Room {
    T* elements;
    TESSERA_BOTH T* at() const { return elements; }
  };
  template <class T, int N, class Tag>
  TESSERA_BOTH Room<T> room() const {
    return {cuda::shared<T, N * Threads::rows, Tag>() + N * Threads::row()};
  }

 private:
  static constexpr int warp_partials = lane_partials / cuda::warp_threads;

  /// A thread reads one element at a time, a warp 32 neighbours: with 16 bytes each, a thread of a
  /// warp would hold neighbouring partials, and fold them by four times the exchanges.
  TESSERA_ANY_THREAD template <class T, class F, class Join>
  TESSERA_BOTH static T fold(T start, std::int64_t n, F const& f, Join join) {
    constexpr int mine = lane_partials / threads;
    T partial[mine];
    for (T& p : partial) p = start;
#if defined(__CUDA_ARCH__)
#pragma unroll(warp_partials / mine)  // four loads under way
#endif
    for (std::int64_t i = Threads::thread(); i < n; i += lane_partials) {
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
      for (int k = 0; k < mine; ++k)
        if (std::int64_t const at = i + k * threads; at < n) partial[k] = join(partial[k], f(at));
    }
    if constexpr (mine == warp_partials) {
      cuda::warp_barrier();
      return cuda::fold_warp(partial, join);
    } else {
      return fold_block(partial[0], join);
    }
  }

  /// Every warp folds all partials, so that no thread waits for one of them.
  template <class T, class Join>
  TESSERA_BOTH static T fold_block(T partial, Join join) {
    T* const partials = cuda::shared<T, lane_partials, ThreadsLane>();
    if (!partials) return partial;
    partials[cuda::thread()] = partial;
    cuda::barrier();
    T read[warp_partials];
    for (int k = 0; k < warp_partials; ++k)
      read[k] = partials[cuda::WarpThreads::thread() + k * cuda::warp_threads];
    cuda::barrier();  // or a fast warp would begin the next fold in partials
    return cuda::fold_warp(read, join);
  }
};

using BlockLane = ThreadsLane<cuda::BlockThreads>;
using WarpLane = ThreadsLane<cuda::WarpThreads>;

namespace detail {

template <class Kernel, class Threads>
struct Rows {
  Kernel kernel;
  TESSERA_BOTH void operator()() const {
    std::int64_t const rows = kernel.rows(), step = std::int64_t(cuda::blocks()) * Threads::rows;
    for (std::int64_t r = std::int64_t(cuda::block()) * Threads::rows + Threads::row(); r < rows;
         r += step)
      kernel(ThreadsLane<Threads>{}, r);
  }
};

template <class F>
struct Each {
  std::int64_t n;
  F f;
  TESSERA_ANY_THREAD TESSERA_BOTH void operator()() const {
    std::int64_t const step = std::int64_t(cuda::blocks()) * lane_partials;
    for (std::int64_t i = std::int64_t(cuda::block()) * lane_partials + cuda::thread(); i < n;
         i += step)
      f(i);
  }
};

}  // namespace detail

/// One launch per verb, in the order of a stream. An op's function is compiled for both sides, and
/// so must be what it calls; only the host calls either.
struct CudaTeam {
  static constexpr bool is_team = true;
  static constexpr std::int64_t most_blocks = 1 << 16;
  /// Rows of so many columns and fewer go to warps. With fewer, a block has threads without 16
  /// bytes of floats to move, which wait for the others at every verb. With more, a multiprocessor
  /// full of warps, 64, would have more than 128 KiB of rows under way, and its first cache (192
  /// KiB on sm_80) must keep them from verb to verb; as many threads in blocks have a fourth.
  static constexpr std::int64_t short_row = lane_partials * cuda::pack_width<float>;

  cudaStream_t stream = nullptr;
  static CudaTeam on(void* queue) { return {static_cast<cudaStream_t>(queue)}; }

  TESSERA_ANY_THREAD template <class F>
  TESSERA_BOTH void each(std::int64_t n, F f) const {
    if (n == 0) return;
    cuda::launch<lane_partials>(stream, blocks(n, lane_partials), detail::Each<F>{n, f});
  }

  TESSERA_ANY_THREAD template <class Kernel>
  TESSERA_BOTH void run(Kernel const& kernel) const {
    if constexpr (requires {
                    requires Kernel::cols()
                    <= short_row;
                  })
      run_on<cuda::WarpThreads>(kernel);
    else if constexpr (requires { kernel.cols(); })
      kernel.cols() <= short_row ? run_on<cuda::WarpThreads>(kernel)
                                 : run_on<cuda::BlockThreads>(kernel);
    else
      run_on<cuda::BlockThreads>(kernel);
  }

  /// Whatever its rows are: the same bits.
  TESSERA_ANY_THREAD template <class Threads, class Kernel>
  TESSERA_BOTH void run_on(Kernel const& kernel) const {
    if (kernel.rows() == 0) return;
    cuda::launch<lane_partials>(stream, blocks(kernel.rows(), Threads::rows),
                                detail::Rows<Kernel, Threads>{kernel});
  }

 private:
  TESSERA_BOTH static unsigned blocks(std::int64_t n, int in_each) {
    std::int64_t const all = (n + in_each - 1) / in_each;
    return unsigned(all < most_blocks ? all : most_blocks);
  }
};

static_assert(Lane<BlockLane> && Lane<WarpLane> && Team<CudaTeam>);

}  // namespace tessera::inline TESSERA_SETTING

#endif
