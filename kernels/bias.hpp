/// A bias added to every row, and its gradient: the sum over rows.
#pragma once

#include <tessera/core/math.hpp>
#include <tessera/core/team.hpp>
#include <tessera/core/view.hpp>
#include <tessera/kernels/chunk.hpp>

namespace tessera::inline TESSERA_SETTING::kernel {

/// y[r, :] = x[r, :] + b; y may be x.
///
/// Shapes  y, x [rows, cols] · b [cols]
/// Types   T, sums in Wide<T>
/// Moves   2 * cols * sizeof(T) bytes per row; b stays in cache
template <class T>
struct BiasAdd {
  View<T> y;
  View<T const> x, b;

  TESSERA_BOTH std::int64_t rows() const { return y.rows(); }
  TESSERA_BOTH std::int64_t cols() const { return y.cols(); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    T* const yr = y.row(r);
    T const *const xr = x.row(r), *const bias = b.at;
    lane.each(
        y.cols(),
        [](std::int64_t, T& yi, T const& xi, T const& bi) { yi = T(Wide<T>(xi) + Wide<T>(bi)); },
        yr, xr, bias);
  }
};

/// out[c] (+)= sum_r dy[r, c]: eight rows at a time as a tree, the eights in order.
///
/// Shapes  dy [rows, cols] · out [cols]; a row of the kernel is a tile of columns
/// Types   dy T, out and sums Wide<T>
/// Moves   rows * cols * sizeof(T) bytes; out stays in cache
template <class T>
struct SumRows {
  View<Wide<T>> out;
  View<T const> dy;
  bool accumulate;

  TESSERA_BOTH std::int64_t rows() const { return Columns::count(dy.cols()); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t tile) const {
    using W = Wide<T>;
    Columns const columns = Columns::at(tile, dy.cols());
    std::int64_t const height = dy.rows(), step = dy.cols();
    W* const sum = out.at + columns.first;
    T const* x = dy.at + columns.first;
    if (!accumulate) lane.each(columns.size, [=](std::int64_t c) { sum[c] = 0; });
    std::int64_t r = 0;
    for (; r + 8 <= height; r += 8, x += 8 * step)
      lane.each(columns.size, [=](std::int64_t c) {
        W const s01 = W(x[c]) + W(x[c + step]);
        W const s23 = W(x[c + 2 * step]) + W(x[c + 3 * step]);
        W const s45 = W(x[c + 4 * step]) + W(x[c + 5 * step]);
        W const s67 = W(x[c + 6 * step]) + W(x[c + 7 * step]);
        sum[c] += (s01 + s23) + (s45 + s67);
      });
    for (; r < height; ++r, x += step)
      lane.each(columns.size, [=](std::int64_t c) { sum[c] += W(x[c]); });
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
