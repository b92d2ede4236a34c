/// The CUDA backend as ops see it: which team their kernels run on, and what a matrix product is
/// and may use.
#pragma once

#include <tessera/backend/cuda/team.hpp>

#if defined(__CUDACC__) || defined(TESSERA_CUDA_DOUBLE)

#include <tessera/core/bytes.hpp>

#include <limits>

namespace tessera::inline TESSERA_SETTING {

template <class T>
class CudaGemm;        // backend/gemm.hpp, which most ops do without
struct CudaAttention;  // backend/attention.hpp
template <class T>
class CudaSort;  // backend/sort.hpp

struct Cuda {
  using team = CudaTeam;
  template <class T>
  using Gemm = CudaGemm<T>;
  using Attention = CudaAttention;
  template <class T>
  using Sort = CudaSort<T>;
  /// Scratch that one matrix product may use: what NVIDIA advises for its newest devices.
  static constexpr Bytes gemm_workspace = 32_MiB;
  /// One product covers all columns of B: a device fills better the larger it is.
  static constexpr std::int64_t low_gemm_columns = std::numeric_limits<std::int64_t>::max();
};

}  // namespace tessera::inline TESSERA_SETTING

#endif
