/// What tests ask of the double of NCCL, beyond what the library has.
#pragma once

#include <nccl.h>

#include <vector>

namespace cuda_double {

/// The call of this name, after so many others, returns the result and does nothing else.
void fail_next(char const* call, ncclResult_t result, int calls_before = 0);
/// Communicators that are neither destroyed nor aborted, in the order they were made.
std::vector<ncclComm_t> communicators();
/// The communicator's asynchronous error from now on.
void fail_later(ncclComm_t comm, ncclResult_t result, char const* why);

}  // namespace cuda_double
