/// A double of CUB's sort: what backend/cuda/sort.hpp calls in its place, and what tests ask of it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace cuda_double {

/// As cub::DeviceRadixSort::SortPairs by bits [0, bits).
cudaError_t sort_pairs(void* scratch, std::size_t& bytes, std::uint32_t const* keys,
                       std::uint32_t* sorted_keys, std::int32_t const* values,
                       std::int32_t* sorted_values, std::int64_t n, int bits, cudaStream_t stream);

/// From now on a sort needs so many bytes more than CUB's does.
void want_scratch(std::size_t more);

}  // namespace cuda_double
