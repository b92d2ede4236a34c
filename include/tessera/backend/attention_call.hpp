/// What a backend's attention is made for, and what it is called with.
#pragma once

#include <tessera/core/dtype.hpp>
#include <tessera/kernels/attention.hpp>

#include <string>
#include <string_view>

namespace tessera::inline TESSERA_SETTING {

/// Known before memory exists.
struct AttentionTask {
  AttentionShape shape;
  DType type = DType::real;  // of what operands point to
  bool backward = false;
  bool documents = false;  // each call has some, and what is seen depends on the tokens

  std::string text() const {
    return std::string(backward ? "the gradient of attention of " : "attention of ") +
           std::to_string(shape.batch) + " x " + std::to_string(shape.tokens) + " tokens, " +
           std::to_string(shape.heads) + " heads (" + std::to_string(shape.kv_heads) +
           " of keys) " + std::to_string(shape.width) + " wide";
  }
};

/// Pointers are to elements of the operands' type. The same bits for any number of threads.
struct AttentionOperands {
  void const* qkv;                // [batch, tokens, packed]
  std::int32_t const* documents;  // of kernel::Documents; null: a sequence is one
  void* y;                        // [batch, tokens, heads * width]
  Real* log_sum;                  // [batch, heads, tokens]
};

}  // namespace tessera::inline TESSERA_SETTING
