/// A whole program of the CUDA backend: everything that its ops call, linked. resources.py builds
/// it; a run prints the versions of the libraries, or that there is no device.
#include <tessera/backend/cuda/cuda.hpp>

#include <tessera/op/cross_entropy.hpp>
#include <tessera/op/matmul.hpp>

#include <cuda_runtime_api.h>

#include <cstdio>

#if __has_include(<nccl.h>)
#include <nccl.h>
#endif

using namespace tessera;

int main() {
  int kernels = 0, devices = 0, nccl = 0;
  for (Op const* const op :
       {&table<Matmul>, &table<MatmulBias>, &table<MatmulInput>, &table<MatmulWeight>,
        &table<LinearCrossEntropy>, &table<LinearCrossEntropyInput>})
    for (auto const& stored : op->kernel) kernels += stored[backend_index<Cuda>] != nullptr;
  if (cudaGetDeviceCount(&devices) != cudaSuccess) devices = 0;
#if __has_include(<nccl.h>)
  ncclGetVersion(&nccl);
#endif
  std::printf("%d kernels, %d devices, cuBLASLt %zu, NCCL %d\n", kernels, devices,
              cublasLtGetVersion(), nccl);
  return kernels > 0 ? 0 : 1;
}
