/// Sorting on a GPU, by CUB: which index stands where once they are in order.
#pragma once

#include <tessera/backend/cuda/cuda.hpp>

#if defined(__CUDACC__) || defined(TESSERA_CUDA_DOUBLE)

#include <tessera/core/bytes.hpp>
#include <tessera/kernels/elementwise.hpp>

#if defined(__CUDACC__)
#include <cub/device/device_radix_sort.cuh>
#else
#include <cuda_double/sort.hpp>
#endif

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

namespace tessera::inline TESSERA_SETTING {

namespace cuda {

/// CUB's stable sort of n pairs by the low bits of their keys, behind what the stream has to do
/// already. With null for scratch it only says how many bytes of it the current device needs.
template <class Key, class Value>
cudaError_t sort_pairs(void* scratch, std::size_t& bytes, Key const* keys, Key* sorted_keys,
                       Value const* values, Value* sorted_values, std::int64_t n, int bits,
                       cudaStream_t stream) {
#if defined(__CUDACC__)
  return cub::DeviceRadixSort::SortPairs(scratch, bytes, keys, sorted_keys, values, sorted_values,
                                         n, 0, bits, stream);
#else
  return cuda_double::sort_pairs(scratch, bytes, keys, sorted_keys, values, sorted_values, n, bits,
                                 stream);
#endif
}

}  // namespace cuda

/// Sorts n indices of type T, none negative, all below `end`; equal ones stay in their order. run()
/// allocates nothing and waits for nothing.
template <class T>
class CudaSort {
 public:
  struct Sorted {
    T const* indices;  // in ascending order
    T const* places;   // where each of them was
  };

  /// Bytes that run() is given. A plan counts them before there is a device to ask: CUB keeps a
  /// second copy of keys and values, a kilobyte for each of its tiles, which hold thousands of
  /// keys, and some histograms.
  static constexpr Bytes workspace(std::int64_t n) { return 3 * of(n) + scratch(n); }

  /// Throws Error if CUB needs more on the current device.
  CudaSort(std::int64_t n, std::int64_t end)
      : n_(n), bits_(int(std::bit_width(std::uint64_t(end > 2 ? end - 1 : 1)))) {
    Key* const keys = nullptr;
    T* const values = nullptr;
    cuda::check(cuda::sort_pairs(nullptr, bytes_, keys, keys, values, values, n_, bits_, nullptr),
                call);
    if (Bytes(bytes_) > scratch(n_))
      throw Error(std::string(call) + " wants " + std::to_string(bytes_) + " bytes to sort " +
                  std::to_string(n_) + " indices on this GPU, and the plan has " +
                  std::to_string(scratch(n_)) + "; raise CudaSort::scratch");
  }

  /// The result lies in the workspace.
  Sorted run(T const* indices, void* workspace, void* queue) const {
    auto* const at = static_cast<std::byte*>(workspace);
    auto* const before = reinterpret_cast<T*>(at);
    auto* const sorted = reinterpret_cast<T*>(at + of(n_));
    auto* const places = reinterpret_cast<T*>(at + 2 * of(n_));
    CudaTeam const team = CudaTeam::on(queue);
    team.run(kernel::Indices<T>{.y = {before, shape_of(n_)}});
    std::size_t bytes = bytes_;
    cuda::check(
        cuda::sort_pairs(at + 3 * of(n_), bytes, reinterpret_cast<Key const*>(indices),
                         reinterpret_cast<Key*>(sorted), before, places, n_, bits_, team.stream),
        call);
    return {sorted, places};
  }

 private:
  using Key = std::make_unsigned_t<T>;  // of the same bits, as no index is negative
  static constexpr char const* call = "cub::DeviceRadixSort::SortPairs";

  static constexpr Bytes of(std::int64_t n) { return aligned(n * Bytes(sizeof(T))); }
  static constexpr Bytes scratch(std::int64_t n) { return 2 * of(n) + aligned(n) + 64_KiB; }

  std::int64_t n_;
  int bits_;  // that differ among indices: CUB takes 8 at a time
  std::size_t bytes_ = 0;
};

}  // namespace tessera::inline TESSERA_SETTING

#endif
