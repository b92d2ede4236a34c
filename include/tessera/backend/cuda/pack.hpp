/// Elements that one thread moves at once: a GPU's memory is read and written fastest in 16 bytes.
#pragma once

#include <tessera/core/setting.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace tessera::inline TESSERA_SETTING {

#if defined(__CUDACC__)
/// Before a verb: it runs wherever the function that it is given runs.
#define TESSERA_ANY_THREAD _Pragma("nv_exec_check_disable")
#else
#define TESSERA_ANY_THREAD
#endif

namespace cuda {

inline constexpr std::size_t pack_bytes = 16;

/// Elements of which the smallest type of these fills a pack.
template <class... T>
inline constexpr int pack_width = [] {
  std::size_t least = pack_bytes;
  ((least = sizeof(T) < least ? sizeof(T) : least), ...);
  return int(pack_bytes / least);
}();

/// Do all begin where a pack may?
template <class... T>
TESSERA_BOTH bool hold_packs(T*... at) {
  return ((reinterpret_cast<std::uintptr_t>(at) | ...) & (pack_bytes - 1)) == 0;
}

/// A thread's copies of Width elements of each array, in registers once loops over them are
/// unrolled. What is read for nothing, because f only writes it, the compiler does not read.
template <int Width, class... T>
struct Packs {
  TESSERA_BOTH void load(std::int64_t) {}
  TESSERA_BOTH void store(std::int64_t) const {}
  TESSERA_ANY_THREAD template <class F, class... X>
  TESSERA_BOTH void call(F const& f, std::int64_t i, int, X&... x) {
    f(i, x...);
  }
};
template <int Width, class T, class... Rest>
struct Packs<Width, T, Rest...> {
  T* at;
  Packs<Width, Rest...> rest;
  alignas(pack_bytes) std::remove_const_t<T> pack[Width];

  TESSERA_BOTH explicit Packs(T* first, Rest*... more) : at(first), rest{more...} {}

  TESSERA_BOTH void load(std::int64_t from) {
    void const* const there = at + from;
    __builtin_memcpy(pack, __builtin_assume_aligned(there, pack_bytes), sizeof pack);
    rest.load(from);
  }
  TESSERA_BOTH void store(std::int64_t to) const {
    if constexpr (!std::is_const_v<T>) {
      void* const there = at + to;
      __builtin_memcpy(__builtin_assume_aligned(there, pack_bytes), pack, sizeof pack);
    }
    rest.store(to);
  }
  /// f(i, x..., element k of each array)
  TESSERA_ANY_THREAD template <class F, class... X>
  TESSERA_BOTH void call(F const& f, std::int64_t i, int k, X&... x) {
    T& element = pack[k];
    rest.call(f, i, k, x..., element);
  }
  /// f(i, at[i]...) for Width elements from `first` on.
  TESSERA_ANY_THREAD template <class F>
  TESSERA_BOTH void each(F const& f, std::int64_t first) {
    load(first);
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
    for (int k = 0; k < Width; ++k) call(f, first + k, k);
    store(first);
  }
};

}  // namespace cuda
}  // namespace tessera::inline TESSERA_SETTING
