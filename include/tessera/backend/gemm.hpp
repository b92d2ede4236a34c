/// The matrix products of the enabled backends, B::Gemm<T>.
#pragma once

#include <tessera/backend/cpu/gemm.hpp>

#if defined(TESSERA_CUDA)
#include <tessera/backend/cuda/gemm.hpp>
#endif
