/// What the doubles tell the sanitizer that a program is built with; nothing in other programs.
#pragma once

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#elif defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#include <cstddef>

namespace cuda_double {

/// Whoever touches these bytes from now on is reported, or no longer.
inline void forbid([[maybe_unused]] void const* at, [[maybe_unused]] std::size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_POISON_MEMORY_REGION(at, bytes);
#endif
}
inline void allow([[maybe_unused]] void const* at, [[maybe_unused]] std::size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(at, bytes);
#endif
}

/// A fiber, as the sanitizer knows it.
struct FiberName {
#if defined(__SANITIZE_THREAD__)
  FiberName() : at(__tsan_create_fiber(0)) {}
  FiberName(FiberName const&) = delete;
  FiberName& operator=(FiberName const&) = delete;
  ~FiberName() {
    __tsan_destroy_fiber(at);
  }
#endif
  void* at = nullptr;
};

/// A thread's jumps from its own stack to a fiber's and home, told on both sides of each.
class Jumps {
 public:
  void leaves([[maybe_unused]] FiberName& to, [[maybe_unused]] void const* stack,
              [[maybe_unused]] std::size_t bytes) {
    away_ = true;
#if defined(__SANITIZE_THREAD__)
    home_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to.at, 0);
#elif defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&home_, stack, bytes);
#endif
  }
  void arrives([[maybe_unused]] FiberName& at) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(at.at, &stack_, &bytes_);
#endif
  }
  void returns([[maybe_unused]] FiberName& from) {
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(home_, 0);
#elif defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&from.at, stack_, bytes_);
#endif
  }
  void is_home() {
    away_ = false;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(home_, nullptr, nullptr);
#endif
  }
  /// On a fiber.
  bool away() const {
    return away_;
  }

 private:
  bool away_ = false;
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  void* home_ = nullptr;
#endif
#if defined(__SANITIZE_ADDRESS__)
  void const* stack_ = nullptr;
  std::size_t bytes_ = 0;
#endif
};

}  // namespace cuda_double
