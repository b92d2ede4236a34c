/// A shuffled order of [0, n) that is computed, never stored: keyed by (seed, epoch).
#pragma once

#include <tessera/core/random.hpp>
#include <tessera/core/setting.hpp>

#include <cstdint>

namespace tessera::inline TESSERA_SETTING {

/// i -> p(i), a bijection of [0, n), 1 <= n <= 2^48. A Feistel network permutes the smallest power
/// of four that holds n; whatever falls outside [0, n) is permuted again until it falls inside,
/// which takes less than four turns on average.
class Permutation {
 public:
  constexpr Permutation(std::int64_t n, std::uint64_t seed, std::uint64_t epoch) : n_(n) {
    while (half_ < 24 && (std::int64_t(1) << (2 * half_)) < n) ++half_;
    RandomKey const key = RandomKey(seed, "permutation").at(epoch);
    for (int r = 0; r < rounds; r += 4) {
      Words const w = words(key, r / 4);
      for (int k = 0; k < 4; ++k) key_[r + k] = w.at[k];
    }
  }

  constexpr std::int64_t operator()(std::int64_t i) const {
    do i = once(i);
    while (i >= n_);
    return i;
  }
  constexpr std::int64_t size() const { return n_; }

 private:
  static constexpr int rounds = 8;

  constexpr std::int64_t once(std::int64_t i) const {
    std::uint64_t const mask = (std::uint64_t(1) << half_) - 1;
    std::uint64_t left = static_cast<std::uint64_t>(i) >> half_;
    std::uint64_t right = static_cast<std::uint64_t>(i) & mask;
    for (int r = 0; r < rounds; ++r) {
      std::uint64_t const next =
          left ^ (mixed(right | (std::uint64_t(key_[r]) << 24) | std::uint64_t(r) << 56) & mask);
      left = right;
      right = next;
    }
    return static_cast<std::int64_t>((left << half_) | right);
  }

  std::int64_t n_;
  int half_ = 1;  // bits of each half
  std::uint32_t key_[rounds]{};
};

}  // namespace tessera::inline TESSERA_SETTING
