/// What tests ask of the double of cuBLASLt, beyond what the library has.
#pragma once

#include <cublasLt.h>

namespace cuda_double {

/// The next call of this name returns the status and does nothing else.
void fail_next(char const* call, cublasStatus_t status);
/// Contexts, descriptors, layouts and preferences that are not destroyed yet.
long cublaslt_objects();
/// Contexts made since the program began.
long cublaslt_contexts_made();

}  // namespace cuda_double
