/// Attention on a GPU: by cuDNN where the program is built with it, by the library's own kernels
/// otherwise.
#pragma once

#include <tessera/backend/cuda/cudnn_attention.hpp>
#include <tessera/backend/cuda/own_attention.hpp>

#if defined(__CUDACC__) || defined(TESSERA_CUDA_DOUBLE)

namespace tessera::inline TESSERA_SETTING {

#if defined(TESSERA_CUDNN)
struct CudaAttention : CudnnAttention {
  using CudnnAttention::CudnnAttention;
};
#else
struct CudaAttention : OwnAttention {
  explicit CudaAttention(AttentionTask const& t) : OwnAttention{t} {}
};
#endif

}  // namespace tessera::inline TESSERA_SETTING

#endif
