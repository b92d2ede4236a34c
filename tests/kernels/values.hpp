/// Input values of tests: the same on every machine.
#pragma once

#include <cstdint>
#include <vector>

namespace tessera::test {

/// n values in [-2, 2); another seed, other values.
template <class T>
std::vector<T> values(std::int64_t n, std::uint64_t seed) {
  std::vector<T> v(static_cast<std::size_t>(n));
  std::uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  for (T& x : v) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    x = T(double(state >> 40) / double(1 << 22) - 2);
  }
  return v;
}

}  // namespace tessera::test
