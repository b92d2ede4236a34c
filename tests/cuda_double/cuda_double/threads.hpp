/// A block's threads on fibers: what backend/cuda/threads.hpp calls in place of the hardware.
#pragma once

#include <cstddef>
#include <cstring>
#include <type_traits>

namespace cuda_double {

int thread();
unsigned block();
unsigned blocks();
void barrier();
void warp_barrier();
/// `bytes` of the running block for each key; undefined when the block begins.
void* shared_memory(void const* key, std::size_t bytes);

template <class T, int N, class Tag>
T* shared() {
  static char const key{};
  return static_cast<T*>(shared_memory(&key, sizeof(T) * N));
}

template <class T>
T warp_exchange(T value, int lane) {
  static_assert(std::is_trivially_copyable_v<T>);
  static char const key{};
  auto* const slots = static_cast<T*>(shared_memory(&key, sizeof(T) * 1024));
  slots[thread()] = value;
  warp_barrier();
  T const got = slots[thread() / 32 * 32 + lane];
  warp_barrier();
  return got;
}

}  // namespace cuda_double
