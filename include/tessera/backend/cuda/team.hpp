/// Kernels on a GPU: a block of 128 threads is a lane, rows are dealt out to blocks.
#pragma once

#include <tessera/backend/cuda/launch.hpp>
#include <tessera/backend/cuda/pack.hpp>

#if defined(__CUDACC__) || defined(TESSERA_CUDA_DOUBLE)

#include <tessera/core/team.hpp>

#include <cmath>
#include <cstdint>

namespace tessera::inline TESSERA_SETTING {

/// One block, one row. Thread t holds partial t of a reduction, and they fold as SerialLane's do,
/// in the same order: the same bits. Each verb ends with a barrier, so the next one sees what it
/// wrote.
struct BlockLane {
  static constexpr bool is_lane = true;

  TESSERA_ANY_THREAD template <class F, class... T>
  TESSERA_BOTH void each(std::int64_t n, F f, T*... at) const {
    std::int64_t done = 0;
    if constexpr (sizeof...(T) > 0) {
      constexpr int width = cuda::pack_width<T...>;
      if (cuda::hold_packs(at...)) done = n / width * width;
      cuda::Packs<width, T...> packs(at...);
      for (std::int64_t i = width * cuda::thread(); i < done; i += width * lane_partials)
        packs.each(f, i);
    }
    for (std::int64_t i = done + cuda::thread(); i < n; i += lane_partials) f(i, at[i]...);
    cuda::barrier();
  }

  TESSERA_ANY_THREAD template <class F>
  TESSERA_BOTH auto sum(std::int64_t n, F f) const {
    auto partial = decltype(f(n))(0);
    for (std::int64_t i = cuda::thread(); i < n; i += lane_partials) partial = partial + f(i);
    return fold(partial, [](auto a, auto b) { return a + b; });
  }

  TESSERA_ANY_THREAD template <class F>
  TESSERA_BOTH auto max(std::int64_t n, F f) const {
    auto const larger = [](auto a, auto b) { return a < b ? b : a; };
    auto partial = decltype(f(n))(-INFINITY);
    for (std::int64_t i = cuda::thread(); i < n; i += lane_partials)
      partial = larger(partial, f(i));
    return fold(partial, larger);
  }

  TESSERA_ANY_THREAD template <class F>
  TESSERA_BOTH void once(F f) const {
    if (cuda::thread() == 0) f();
    cuda::barrier();
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
    return {cuda::shared<T, N, Tag>()};
  }

 private:
  template <class T, class Join>
  TESSERA_BOTH static T fold(T partial, Join join) {
    T* const partials = cuda::shared<T, lane_partials, BlockLane>();
    if (!partials) return partial;
    int const t = cuda::thread();
    partials[t] = partial;
    for (int half = lane_partials / 2; half > 0; half /= 2) {
      cuda::barrier();
      if (t < half) partials[t] = join(partials[t], partials[t + half]);
    }
    cuda::barrier();
    T const all = partials[0];
    cuda::barrier();  // or a fast thread would begin the next fold in partials[0]
    return all;
  }
};

namespace detail {

template <class Kernel>
struct Rows {
  Kernel kernel;
  TESSERA_BOTH void operator()() const {
    std::int64_t const rows = kernel.rows();
    for (std::int64_t r = cuda::block(); r < rows; r += cuda::blocks()) kernel(BlockLane{}, r);
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

  cudaStream_t stream = nullptr;
  static CudaTeam on(void* queue) { return {static_cast<cudaStream_t>(queue)}; }

  TESSERA_ANY_THREAD template <class F>
  TESSERA_BOTH void each(std::int64_t n, F f) const {
    if (n == 0) return;
    cuda::launch<lane_partials>(stream, blocks((n + lane_partials - 1) / lane_partials),
                                detail::Each<F>{n, f});
  }

  TESSERA_ANY_THREAD template <class Kernel>
  TESSERA_BOTH void run(Kernel const& kernel) const {
    if (kernel.rows() == 0) return;
    cuda::launch<lane_partials>(stream, blocks(kernel.rows()), detail::Rows<Kernel>{kernel});
  }

 private:
  TESSERA_BOTH static unsigned blocks(std::int64_t n) {
    return unsigned(n < most_blocks ? n : most_blocks);
  }
};

static_assert(Lane<BlockLane> && Team<CudaTeam>);

}  // namespace tessera::inline TESSERA_SETTING

#endif
