/// The devices of the enabled backends: what a trainer includes to make one.
#pragma once

#include <tessera/device/cpu.hpp>

#if defined(TESSERA_CUDA)
#include <tessera/device/cuda.hpp>
#endif
