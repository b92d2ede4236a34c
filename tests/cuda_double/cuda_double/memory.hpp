/// Allocations of the double's device and pinned pages of the host.
#pragma once

#include <cstddef>

namespace cuda_double {

/// Poisoned; null: no room.
void* allocate(std::size_t bytes);
/// False: it is no allocation, or no longer.
bool release(void* at);
void* pin(std::size_t bytes);
bool unpin(void* at);
std::size_t allocated();

enum class Side { device, pinned, pageable };
Side side(void const* at, std::size_t bytes);
/// In the region of device addresses, or where their bytes are.
bool is_ours(void const* at);

}  // namespace cuda_double
