/// Attention of the enabled backends: what B::Attention names, complete.
#pragma once

#include <tessera/backend/cpu/attention.hpp>

#if defined(TESSERA_CUDA)
#include <tessera/backend/cuda/attention.hpp>
#endif
