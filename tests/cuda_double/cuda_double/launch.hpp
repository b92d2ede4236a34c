/// What backend/cuda/launch.hpp calls in place of <<<>>>.
#pragma once

#include <cuda_double/api.hpp>

#include <memory>
#include <type_traits>

namespace cuda_double {

/// Counts as a call of this name.
cudaError_t launching();

template <class Body>
cudaError_t launch(cudaStream_t stream, unsigned blocks, int threads, Body const& body) {
  static_assert(std::is_trivially_copyable_v<Body>);
  if (cudaError_t const error = launching(); error != cudaSuccess) return error;
  Body copy = body;
#if __has_builtin(__builtin_clear_padding)  // where an old address may lie
  __builtin_clear_padding(&copy);
#endif
  if (cudaError_t const error = relocate(&copy, sizeof copy); error != cudaSuccess) return error;
  return enqueue(stream, [=] { run_blocks(blocks, threads, [&copy] { copy(); }); });
}

}  // namespace cuda_double
