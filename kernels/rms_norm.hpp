/// Root-mean-square normalisation over the last dimension, its input's gradient and its gain's.
/// Zhang, Sennrich, arXiv 1910.07467.
#pragma once

#include <tessera/core/math.hpp>
#include <tessera/core/team.hpp>
#include <tessera/core/view.hpp>
#include <tessera/kernels/chunk.hpp>

namespace tessera::inline TESSERA_SETTING::kernel {

/// y[r, :] = x[r, :] / sqrt(mean(x[r, :]^2) + epsilon) * gain
///
/// Shapes  y, x [rows, cols] · gain [cols] · inverse [rows]: 1 / sqrt(...), kept for backward
/// Types   x T; y, gain S; arithmetic and inverse in Wide<T>
/// Moves   cols * (sizeof(T) + sizeof(S)) + sizeof(Wide<T>) bytes per row; gain stays in cache
template <class T, class S = T>
struct RmsNorm {
  View<S> y;
  View<Wide<T>> inverse;
  View<T const> x;
  View<S const> gain;
  Wide<T> epsilon;

  TESSERA_BOTH std::int64_t rows() const { return y.rows(); }
  TESSERA_BOTH std::int64_t cols() const { return y.cols(); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    std::int64_t const cols = y.cols();
    S* const yr = y.row(r);
    T const* const xr = x.row(r);
    S const* const g = gain.at;
    W const squares = lane.sum(cols, [=](std::int64_t c) { return W(xr[c]) * W(xr[c]); });
    W const scale = 1 / std::sqrt(squares / W(cols) + epsilon);
    lane.each(
        cols, [=](std::int64_t, S& yi, T const& xi, S const& wi) { yi = S(W(xi) * scale * W(wi)); },
        yr, xr, g);
    W* const kept = inverse.at + r;
    lane.once([=] { *kept = scale; });
  }
};

/// dx = inverse * (g - n * mean(g * n)), with g = dy * gain and n = x * inverse
///
/// Shapes  dx, dy, x [rows, cols] · gain [cols] · inverse [rows]; dx may be dy or x
/// Types   dx, x T; dy, gain S; arithmetic and inverse in Wide<T>
/// Moves   cols * (2 * sizeof(T) + sizeof(S)) bytes per row; gain stays in cache
template <class T, class S = T>
struct RmsNormInput {
  View<T> dx;
  View<S const> dy;
  View<T const> x;
  View<S const> gain;
  View<Wide<T> const> inverse;

  TESSERA_BOTH std::int64_t rows() const { return dx.rows(); }
  TESSERA_BOTH std::int64_t cols() const { return dx.cols(); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    std::int64_t const cols = dx.cols();
    W const scale = inverse[r];
    T* const out = dx.row(r);
    T const* const xr = x.row(r);
    S const *const dyr = dy.row(r), *const w = gain.at;
    W const along = lane.sum(cols, [=](std::int64_t c) {
      return W(dyr[c]) * W(w[c]) * (W(xr[c]) * scale);
    }) / W(cols);
    lane.each(
        cols,
        [=](std::int64_t, T& dxi, S const& dyi, T const& xi, S const& wi) {
          dxi = T((W(dyi) * W(wi) - W(xi) * scale * along) * scale);
        },
        out, dyr, xr, w);
  }
};

/// dgain[c] (+)= sum_r dy[r, c] * x[r, c] * inverse[r]: four rows at a time as a tree, the fours in
/// order.
///
/// Shapes  dy, x [rows, cols] · inverse [rows] · dgain [cols]; a row of the kernel is a tile of
///         columns
/// Types   x T, dy S; the rest Wide<T>
/// Moves   rows * cols * (sizeof(T) + sizeof(S)) bytes; dgain and inverse stay in cache
template <class T, class S = T>
struct RmsNormGain {
  View<Wide<T>> dgain;
  View<S const> dy;
  View<T const> x;
  View<Wide<T> const> inverse;
  bool accumulate;

  TESSERA_BOTH std::int64_t rows() const { return Columns::count(dy.cols()); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t tile) const {
    using W = Wide<T>;
    Columns const columns = Columns::at(tile, dy.cols());
    std::int64_t const height = dy.rows(), step = dy.cols();
    W* const gains = dgain.at + columns.first;
    S const* d = dy.at + columns.first;
    T const* v = x.at + columns.first;
    W const* s = inverse.at;
    if (!accumulate) lane.each(columns.size, [=](std::int64_t c) { gains[c] = 0; });
    std::int64_t r = 0;
    for (; r + 4 <= height; r += 4, d += 4 * step, v += 4 * step, s += 4) {
      W const scale0 = s[0], scale1 = s[1], scale2 = s[2], scale3 = s[3];
      for (std::int64_t ahead = 8; ahead < 12 && r + ahead < height; ++ahead) {
        lane.prefetch(d + ahead * step, columns.size);
        lane.prefetch(v + ahead * step, columns.size);
      }
      lane.each(columns.size, [=](std::int64_t c) {
        W const g0 = W(d[c]) * (W(v[c]) * scale0);
        W const g1 = W(d[c + step]) * (W(v[c + step]) * scale1);
        W const g2 = W(d[c + 2 * step]) * (W(v[c + 2 * step]) * scale2);
        W const g3 = W(d[c + 3 * step]) * (W(v[c + 3 * step]) * scale3);
        gains[c] += (g0 + g1) + (g2 + g3);
      });
    }
    for (; r < height; ++r, d += step, v += step, ++s) {
      W const scale = *s;
      lane.each(columns.size, [=](std::int64_t c) { gains[c] += W(d[c]) * (W(v[c]) * scale); });
    }
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
