/// Which backends and storage types this translation unit enables. The inline namespace names them,
/// so op tables of different settings are different entities and never mix in one program.
#pragma once

#if defined(__CUDACC__)
#define TESSERA_BOTH __host__ __device__
#else
#define TESSERA_BOTH
#endif

#if defined(TESSERA_CUDA) && !defined(__CUDACC__) && !defined(TESSERA_CUDA_DOUBLE)
#error "TESSERA_CUDA: kernels for a GPU are compiled by nvcc, as nvcc -x cu"
#endif

#if defined(TESSERA_CUDA) && defined(TESSERA_DOUBLE)
#define TESSERA_SETTING cpu_cuda_double
#elif defined(TESSERA_CUDA) && defined(TESSERA_CUDNN)
#define TESSERA_SETTING cpu_cuda_cudnn
#elif defined(TESSERA_CUDA)
#define TESSERA_SETTING cpu_cuda
#elif defined(TESSERA_DOUBLE)
#define TESSERA_SETTING cpu_double
#else
#define TESSERA_SETTING cpu
#endif

namespace tessera::inline TESSERA_SETTING {

/// Storage type of weights and activations. double exists for finite-difference tests.
#ifdef TESSERA_DOUBLE
using Real = double;
#else
using Real = float;
#endif

struct Cpu;
struct Cuda;

template <class... B>
struct Backends {
  static constexpr int size = sizeof...(B);
};
#if defined(TESSERA_CUDA)
using Enabled = Backends<Cpu, Cuda>;
#else
using Enabled = Backends<Cpu>;
#endif
inline constexpr int backends = Enabled::size;

/// Where B stands among them; -1: nowhere.
template <class B, class Of = Enabled>
inline constexpr int backend_index = -1;
template <class B, class... Rest>
inline constexpr int backend_index<B, Backends<B, Rest...>> = 0;
template <class B, class First, class... Rest>
inline constexpr int backend_index<B, Backends<First, Rest...>> =
    backend_index<B, Backends<Rest...>> < 0 ? -1 : backend_index<B, Backends<Rest...>> + 1;
static_assert(backend_index<Cpu> == 0 && backend_index<void> == -1);

}  // namespace tessera::inline TESSERA_SETTING
