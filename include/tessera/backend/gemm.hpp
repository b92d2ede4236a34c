/// The matrix products of the enabled backends, B::Gemm<T>.
#pragma once

#if defined(TESSERA_NO_ONEDNN)
#include <tessera/backend/cpu/no_gemm.hpp>
#else
#include <tessera/backend/cpu/gemm.hpp>
#endif

#if defined(TESSERA_CUDA)
#include <tessera/backend/cuda/gemm.hpp>
#endif
