/// The enabled backends, complete: what an op's file includes to give its kernels.
#pragma once

#include <tessera/backend/cpu/cpu.hpp>

#if defined(TESSERA_CUDA)
#include <tessera/backend/cuda/cuda.hpp>
#endif
