/// Sums of squares in an order that no layout and no thread count changes.
#pragma once

#include <tessera/core/math.hpp>
#include <tessera/core/team.hpp>
#include <tessera/kernels/chunk.hpp>

namespace tessera::inline TESSERA_SETTING::kernel {

/// partial[k] = the sum of squares of elements [256 k, 256 k + 256), by a lane's fixed tree.
///
/// Shapes  x [n] · partial [ceil(n / 256)]
/// Types   x T, squares and tree in Wide<T>, partial double
/// Moves   sizeof(T) bytes per element
template <class T>
struct SquaredSum {
  static constexpr std::int64_t piece = 256;

  double* partial;
  T const* x;
  std::int64_t n;

  TESSERA_BOTH std::int64_t rows() const { return Piece<piece>::count(n); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    Piece<piece> const here = Piece<piece>::at(r, n);
    T const* const at = x + here.first;
    Wide<T> const sum = lane.sum(here.size, [=](std::int64_t i) {
      Wide<T> const value = Wide<T>(at[i]);
      return value * value;
    });
    double* const to = partial + r;
    lane.once([=] { *to = double(sum); });
  }
};

/// The sum of squares of x, pieces of 256 added in order. scratch: ceil(n / 256) doubles, which the
/// host must be able to read.
template <Team Threads, class T>
double squared_sum(Threads const& team, T const* x, std::int64_t n, double* scratch) {
  SquaredSum<T> const pieces{.partial = scratch, .x = x, .n = n};
  team.run(pieces);
  double sum = 0;
  for (std::int64_t k = 0; k < pieces.rows(); ++k) sum += scratch[k];
  return sum;
}

}  // namespace tessera::inline TESSERA_SETTING::kernel
