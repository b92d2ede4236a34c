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

/// to[r] (+)= x[0, r] + x[1, r] + ... from the left, so that nothing depends on where terms are cut
/// into calls. A term follows the one before it, at a GPU's latency of an addition.
///
/// Shapes  x [n, stride] · to [sums], sums <= stride
/// Moves   8 bytes per term
struct AddInOrder {
  static constexpr std::int64_t at_once = 1024;

  double* to;
  double const* x;
  std::int64_t n, stride, sums;
  bool accumulate = false;

  TESSERA_BOTH std::int64_t rows() const { return sums; }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    auto room = lane.template room<double, int(at_once), AddInOrder>();
    double* const terms = room.at();
    double sum = 0;
    lane.once([&] { sum = accumulate ? to[r] : 0; });
    for (std::int64_t first = 0; first < n; first += at_once) {
      std::int64_t const count = n - first < at_once ? n - first : at_once;
      double const* const from = x + first * stride + r;
      lane.each(count, [=, *this](std::int64_t i) { terms[i] = from[i * stride]; });
      lane.once([&] {
        for (std::int64_t i = 0; i < count; ++i) sum = sum + terms[i];
      });
    }
    lane.once([&] { to[r] = sum; });
  }
};

/// *sum = the sum of squares of x, pieces of 256 added in order. scratch: ceil(n / 256) doubles.
template <Team Threads, class T>
void squared_sum(Threads const& team, double* sum, T const* x, std::int64_t n, double* scratch) {
  SquaredSum<T> const pieces{.partial = scratch, .x = x, .n = n};
  team.run(pieces);
  team.run(AddInOrder{.to = sum, .x = scratch, .n = pieces.rows(), .stride = 1, .sums = 1});
}

}  // namespace tessera::inline TESSERA_SETTING::kernel
