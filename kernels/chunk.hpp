/// How a kernel without rows of its own is cut into pieces that lanes take one at a time.
#pragma once

#include <tessera/core/setting.hpp>

#include <cstdint>

namespace tessera::inline TESSERA_SETTING::kernel {

/// Piece r of n elements, Most at a time: [first, first + size).
template <std::int64_t Most>
struct Piece {
  std::int64_t first, size;

  TESSERA_BOTH static constexpr std::int64_t count(std::int64_t n) { return (n + Most - 1) / Most; }
  TESSERA_BOTH static constexpr Piece at(std::int64_t r, std::int64_t n) {
    std::int64_t const first = r * Most, rest = n - first;
    return {first, rest < Most ? rest : Most};
  }
};

/// Elements of a flat buffer.
using Chunk = Piece<4096>;

/// Columns of a matrix whose rows are summed: one tile walks all rows in order, so a sum does not
/// depend on how many tiles run at once. One column per thread of a block.
using Columns = Piece<128>;

}  // namespace tessera::inline TESSERA_SETTING::kernel
