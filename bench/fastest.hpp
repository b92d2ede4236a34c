/// The fastest of several runs, in seconds: what the machine can do when nobody disturbs it.
#pragma once

#include <algorithm>
#include <chrono>

namespace tessera::bench {

/// Runs f for about this long, five times at least.
template <class F>
double fastest(double seconds, F const& f) {
  using Clock = std::chrono::steady_clock;
  using Seconds = std::chrono::duration<double>;
  f();
  double best = 1e30;
  auto const start = Clock::now();
  for (int turn = 0; turn < 5 || Seconds(Clock::now() - start).count() < seconds; ++turn) {
    auto const before = Clock::now();
    f();
    best = std::min(best, Seconds(Clock::now() - before).count());
  }
  return best;
}

}  // namespace tessera::bench
