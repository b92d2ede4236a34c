/// What attention needs of cuDNN and of its frontend, owned and checked.
#pragma once

#if defined(TESSERA_CUDNN) && (defined(__CUDACC__) || defined(TESSERA_CUDA_DOUBLE))

#include <tessera/backend/cuda/launch.hpp>

#if defined(TESSERA_CUDA_DOUBLE)
#include <cuda_double/cudnn.hpp>
#else
#include <cstring>  // which the frontend uses and does not include

#include <cudnn_frontend.h>
#endif

#include <string>

namespace tessera::inline TESSERA_SETTING::cudnn {

namespace fe = cudnn_frontend;

static_assert(CUDNN_VERSION >= 91800,
              "TESSERA_CUDNN: attention needs cuDNN 9.18 or newer, whose gradients are summed in a "
              "fixed order on every GPU; update it, or build without TESSERA_CUDNN");

/// cuDNN does not do what it was asked, and says why.
struct Refusal {
  std::string why;
};

inline void asked(fe::error_t told) {
  if (told.is_bad()) throw Refusal{told.get_message()};
}

inline void check(cudnnStatus_t status, char const* call) {
  if (status != CUDNN_STATUS_SUCCESS)
    throw DeviceError(std::string(call) + ": " + cudnnGetErrorString(status) +
                      "; CUDNN_LOGLEVEL_DBG=2 shows what it was asked");
}

/// cuDNN on one device, for one thread at a time.
class Context {
 public:
  Context() {
    if (cudnnGetVersion() < 91800)
      throw Error("the cuDNN that is loaded is version " + std::to_string(cudnnGetVersion()) +
                  ", and attention needs 91800 (9.18.0) or newer; put a newer libcudnn.so.9 first "
                  "on LD_LIBRARY_PATH, or build without TESSERA_CUDNN");
    check(cudnnCreate(&handle_), "cudnnCreate");
  }
  Context(Context const&) = delete;
  Context& operator=(Context const&) = delete;
  ~Context() { cudnnDestroy(handle_); }

  cudnnHandle_t get() const { return handle_; }

 private:
  cudnnHandle_t handle_ = nullptr;
};

}  // namespace tessera::inline TESSERA_SETTING::cudnn

#endif
