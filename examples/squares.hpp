/// Data that the small examples learn: sample i is i, i + 1, i + 4, i + 9, ... modulo 64.
#pragma once

#include <tessera/run/data.hpp>

struct Squares {
  static constexpr int vocabulary = 64;
  std::int64_t count = 64;

  std::int64_t samples(int) const { return count; }
  void sample(std::int64_t i, std::span<std::int32_t> in, std::span<std::int32_t> target) const {
    auto const token = [&](std::size_t k) { return std::int32_t((i + k * k) % vocabulary); };
    for (std::size_t k = 0; k < in.size(); ++k) in[k] = token(k), target[k] = token(k + 1);
  }
};
static_assert(tessera::Data<Squares>);
