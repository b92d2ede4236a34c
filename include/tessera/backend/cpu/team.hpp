/// Kernels on the cores of one rank: rows go to OpenMP threads, columns to vector units.
#pragma once

#include <tessera/core/setting.hpp>
#include <tessera/core/team.hpp>

#include <cmath>
#include <cstdint>

namespace tessera::inline TESSERA_SETTING {

#if defined(__CUDACC__)
/// Before a verb: it runs wherever the function that it is given runs.
#define TESSERA_ANY_SIDE _Pragma("nv_exec_check_disable")
#else
#define TESSERA_ANY_SIDE
#endif

/// One core, one row. Verbs inline the function they are given, or its loop would stay scalar.
struct SerialLane {
  static constexpr bool is_lane = true;

  TESSERA_ANY_SIDE template <class F, class... T>
  [[gnu::flatten]] TESSERA_BOTH void each(std::int64_t n, F f, T*... at) const {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) f(i, at[i]...);
  }

  TESSERA_ANY_SIDE template <class F>
  [[gnu::flatten]] TESSERA_BOTH auto sum(std::int64_t n, F f) const {
    return fold<Plus>(decltype(f(n))(0), n, f);
  }

  TESSERA_ANY_SIDE template <class F>
  [[gnu::flatten]] TESSERA_BOTH auto max(std::int64_t n, F f) const {
    return fold<Larger>(decltype(f(n))(-INFINITY), n, f);
  }

  TESSERA_ANY_SIDE template <class F>
  TESSERA_BOTH void once(F f) const {
    f();
  }

  template <class T>
  TESSERA_BOTH void prefetch([[maybe_unused]] T const* at, [[maybe_unused]] std::int64_t n) const {
#if !defined(__CUDA_ARCH__)
    constexpr std::int64_t line = 64 / std::int64_t(sizeof(T));
    for (std::int64_t i = 0; i < n; i += line) __builtin_prefetch(at + i);
#endif
  }

  template <class T, int N>
  struct Room {
    alignas(64) T elements[N];
    TESSERA_BOTH T* at() { return elements; }
  };
  template <class T, int N, class>
  TESSERA_BOTH Room<T, N> room() const {
    return {};
  }

 private:
  struct Plus {
    template <class T>
    TESSERA_BOTH static T join(T a, T b) {
      return a + b;
    }
  };
  struct Larger {
    template <class T>
    TESSERA_BOTH static T join(T a, T b) {
      return a < b ? b : a;
    }
  };

  TESSERA_ANY_SIDE template <class Op, class T, class F>
  TESSERA_BOTH static T fold(T start, std::int64_t n, F f) {
    constexpr int width = lane_partials;
    alignas(64) T partial[width];
#pragma omp simd
    for (int j = 0; j < width; ++j) partial[j] = start;
    std::int64_t at = 0;
    for (; at + 2 * width <= n;
         at += 2 * width) {  // two rounds for one load and store of a partial
#pragma omp simd
      for (int j = 0; j < width; ++j)
        partial[j] = Op::join(Op::join(partial[j], f(at + j)), f(at + width + j));
    }
    for (; at < n; at += width) {
      int const rest = int(n - at < width ? n - at : width);
#pragma omp simd
      for (int j = 0; j < rest; ++j) partial[j] = Op::join(partial[j], f(at + j));
    }
    return halves<width / 2, Op>(partial);
  }

  template <int Half, class Op, class T>
  TESSERA_BOTH static T halves(T* partial) {
    if constexpr (Half > 0) {
#pragma omp simd
      for (int j = 0; j < Half; ++j) partial[j] = Op::join(partial[j], partial[j + Half]);
      return halves<Half / 2, Op>(partial);
    } else {
      return partial[0];
    }
  }
};

/// The threads of one rank. Which thread does what never changes a result: a row belongs to one
/// thread, and each() is cut at the same places for any number of threads.
struct CpuTeam {
  static constexpr bool is_team = true;
  static CpuTeam on(void*) { return {}; }
  static constexpr std::int64_t piece =
      2048;  // below this, waking threads costs more than the work

  TESSERA_ANY_SIDE template <class F>
  TESSERA_BOTH void each(std::int64_t n, F f) const {
    std::int64_t const pieces = (n + piece - 1) / piece;
#pragma omp parallel for schedule(static) if (pieces > 1)
    for (std::int64_t p = 0; p < pieces; ++p) {
      std::int64_t const first = p * piece, rest = n - first;
      SerialLane{}.each(rest < piece ? rest : piece, Shifted<F>{f, first});
    }
  }

  TESSERA_ANY_SIDE template <class Kernel>
  TESSERA_BOTH void run(Kernel const& kernel) const {
    std::int64_t const rows = kernel.rows();
#pragma omp parallel for schedule(static) if (rows > 1)
    for (std::int64_t r = 0; r < rows; ++r) kernel(SerialLane{}, r);
  }

 private:
  template <class F>
  struct Shifted {
    F f;
    std::int64_t first;
    TESSERA_ANY_SIDE TESSERA_BOTH void operator()(std::int64_t i) const { f(first + i); }
  };
};

static_assert(Lane<SerialLane> && Team<CpuTeam>);

}  // namespace tessera::inline TESSERA_SETTING
