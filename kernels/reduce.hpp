/// Sums in an order that no layout and no thread count changes: of squares, and of sums of them.
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
  TESSERA_BOTH static constexpr std::int64_t cols() { return piece; }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    Piece<piece> const here = Piece<piece>::at(r, n);
    T const* const at = x + here.first;
    if (here.first + 5 * piece <= n) lane.prefetch(at + 4 * piece, piece);
    Wide<T> const sum = lane.sum(here.size, [=](std::int64_t i) {
      Wide<T> const value = Wide<T>(at[i]);
      return value * value;
    });
    double* const to = partial + r;
    lane.once([=] { *to = double(sum); });
  }
};

/// *sum = x[0] + x[1] + ..., by a lane's fixed tree.
///
/// Shapes  x [n] · sum [1]
/// Moves   8 bytes per term
struct AddPieces {
  double* sum;
  double const* x;
  std::int64_t n;

  TESSERA_BOTH std::int64_t rows() const { return 1; }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t) const {
    double const* const each = x;
    double const all = lane.sum(n, [=](std::int64_t i) { return each[i]; });
    double* const to = sum;
    lane.once([=] { *to = all; });
  }
};

/// to[i] = x[0, i] + x[1, i] + ..., in order.
///
/// Shapes  x [height, stride] · to [n], n <= stride
/// Moves   8 bytes per term
struct AddRows {
  double* to;
  double const* x;
  std::int64_t n, height, stride;

  TESSERA_BOTH std::int64_t rows() const { return Chunk::count(n); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    Chunk const chunk = Chunk::at(r, n);
    lane.each(chunk.size, [=, *this](std::int64_t i) {
      double const* const from = x + chunk.first + i;
      double sum = from[0];
      for (std::int64_t k = 1; k < height; ++k) sum = sum + from[k * stride];
      to[chunk.first + i] = sum;
    });
  }
};

/// *sum = the sum of squares of x, from pieces of 256. scratch: ceil(n / 256) doubles.
template <Team Threads, class T>
void squared_sum(Threads const& team, double* sum, T const* x, std::int64_t n, double* scratch) {
  SquaredSum<T> const pieces{.partial = scratch, .x = x, .n = n};
  team.run(pieces);
  team.run(AddPieces{.sum = sum, .x = scratch, .n = pieces.rows()});
}

}  // namespace tessera::inline TESSERA_SETTING::kernel
