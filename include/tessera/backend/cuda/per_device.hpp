/// What a library keeps for a GPU, shared by all that use it there.
#pragma once

#include <tessera/backend/cuda/launch.hpp>

#if defined(__CUDACC__) || defined(TESSERA_CUDA_DOUBLE)

#include <map>
#include <memory>
#include <mutex>

namespace tessera::inline TESSERA_SETTING::cuda {

/// The T of the current device: T(how...) by the first that asks, gone with the last. Such a
/// context costs memory and a while to make, and kernels are prepared without one to keep it in.
/// Only a weak pointer is static, so nothing is destroyed behind main, where CUDA may be gone.
template <class T, class... How>
std::shared_ptr<T const> of_current_device(How const&... how) {
  static std::mutex one_at_a_time;
  static std::map<int, std::weak_ptr<T const>> of_device;
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  std::lock_guard const lock(one_at_a_time);
  std::weak_ptr<T const>& known = of_device[device];
  std::shared_ptr<T const> context = known.lock();
  if (!context) known = context = std::make_shared<T const>(how...);
  return context;
}

}  // namespace tessera::inline TESSERA_SETTING::cuda

#endif
