/// What a backend's attention is called with.
#pragma once

#include <tessera/core/dtype.hpp>
#include <tessera/kernels/attention.hpp>

namespace tessera::inline TESSERA_SETTING {

/// Pointers are to elements of the operands' type. The same bits for any number of threads.
struct AttentionOperands {
  void const* qkv;                // [batch, tokens, packed]
  std::int32_t const* documents;  // of kernel::Documents; null: a sequence is one
  void* y;                        // [batch, tokens, heads * width]
  Real* log_sum;                  // [batch, heads, tokens]
};

}  // namespace tessera::inline TESSERA_SETTING
