/// How a rank waits for another one: hot at first, then giving way, then asleep.
#pragma once

#include <tessera/core/setting.hpp>

#include <sched.h>
#include <time.h>

#include <chrono>

namespace tessera::inline TESSERA_SETTING {

/// One wait. `pause` returns after a moment; from time to time it calls look(seconds waited), which
/// may throw.
class Backoff {
 public:
  /// crowded: there are more ranks than processors, so the awaited one may need this one's.
  explicit Backoff(bool crowded) : hot_turns_(crowded ? 16 : 256) {}

  template <class Look>
  void pause(Look const& look) {
    if (turn_ < hot_turns_) {
      ++turn_;
      breathe();
      return;
    }
    auto const now = Clock::now();
    if (turn_ == hot_turns_) {
      ++turn_;
      begin_ = now;
    }
    double const waited = std::chrono::duration<double>(now - begin_).count();
    if (waited < yielding) {
      sched_yield();
      return;
    }
    timespec const nap{0, 50'000};
    nanosleep(&nap, nullptr);
    if (waited > next_look_) {
      next_look_ = waited + between_looks;
      look(waited);
    }
  }

  static constexpr double yielding = 2e-3;      // seconds
  static constexpr double between_looks = 0.5;  // seconds

 private:
  using Clock = std::chrono::steady_clock;

  static void breathe() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  int hot_turns_ = 0, turn_ = 0;
  Clock::time_point begin_{};
  double next_look_ = between_looks;
};

}  // namespace tessera::inline TESSERA_SETTING
