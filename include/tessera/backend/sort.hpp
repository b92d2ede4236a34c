/// Sorting on the enabled backends that do it, B::Sort<T>. Cores do not: an op that could use it
/// walks its operands in order there.
#pragma once

#include <tessera/backend/enabled.hpp>

#if defined(TESSERA_CUDA)
#include <tessera/backend/cuda/sort.hpp>
#endif

#include <cstdint>

namespace tessera::inline TESSERA_SETTING {

template <class B>
concept Sorts = requires {
  typename B::template Sort<std::int32_t>;
};

}  // namespace tessera::inline TESSERA_SETTING
