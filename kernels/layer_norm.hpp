/// Layer normalisation over the last dimension, its input's gradient and its parameters'.
#pragma once

#include <tessera/core/math.hpp>
#include <tessera/core/team.hpp>
#include <tessera/core/view.hpp>
#include <tessera/kernels/chunk.hpp>

namespace tessera::inline TESSERA_SETTING::kernel {

/// y[r, :] = (x[r, :] - mean) / sqrt(variance + epsilon) * gain + shift
///
/// Shapes  y, x [rows, cols] · gain, shift [cols] · statistics [rows, 2]: mean and inverse standard
///         deviation, kept for backward
/// Types   x T; y, gain, shift S; arithmetic and statistics in Wide<T>
/// Moves   cols * (sizeof(T) + sizeof(S)) + 2 * sizeof(Wide<T>) bytes per row; gain and shift stay
///         in cache
template <class T, class S = T>
struct LayerNorm {
  View<S> y;
  View<Wide<T>> statistics;
  View<T const> x;
  View<S const> gain, shift;
  Wide<T> epsilon;

  TESSERA_BOTH std::int64_t rows() const { return y.rows(); }
  TESSERA_BOTH std::int64_t cols() const { return y.cols(); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    std::int64_t const cols = y.cols();
    S* const yr = y.row(r);
    T const* const xr = x.row(r);
    S const *const g = gain.at, *const b = shift.at;
    W const mean = lane.sum(cols, [=](std::int64_t c) { return W(xr[c]); }) / W(cols);
    W const squares = lane.sum(cols, [=](std::int64_t c) {
      W const d = W(xr[c]) - mean;
      return d * d;
    });
    W const inverse = 1 / std::sqrt(squares / W(cols) + epsilon);
    lane.each(
        cols,
        [=](std::int64_t, S& yi, T const& xi, S const& wi, S const& bi) {
          yi = S((W(xi) - mean) * inverse * W(wi) + W(bi));
        },
        yr, xr, g, b);
    W* const kept = statistics.at + 2 * r;
    lane.once([=] { kept[0] = mean, kept[1] = inverse; });
  }
};

/// dx = inverse * (g - mean(g) - n * mean(g * n)) (+ add), with g = dy * gain and n the normalised
/// x
///
/// Shapes  dx, dy, x, add [rows, cols] · gain [cols] · statistics [rows, 2]; dx may be dy, x or
/// add;
///         add may be null
/// Types   dx, x, add T; dy, gain S; arithmetic and statistics in Wide<T>
/// Moves   cols * (2 * sizeof(T) + sizeof(S)) bytes per row, one cols * sizeof(T) more with add
template <class T, class S = T>
struct LayerNormInput {
  View<T> dx;
  View<S const> dy;
  View<T const> x;
  View<S const> gain;
  View<Wide<T> const> statistics;
  View<T const> add{};

  TESSERA_BOTH std::int64_t rows() const { return dx.rows(); }
  TESSERA_BOTH std::int64_t cols() const { return dx.cols(); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    std::int64_t const cols = dx.cols();
    W const mean = statistics.at[2 * r], inverse = statistics.at[2 * r + 1];
    T* const out = dx.row(r);
    T const* const xr = x.row(r);
    S const *const dyr = dy.row(r), *const w = gain.at;
    W const shared = lane.sum(cols, [=](std::int64_t c) { return W(dyr[c]) * W(w[c]); }) / W(cols);
    W const along = lane.sum(cols, [=](std::int64_t c) {
      return W(dyr[c]) * W(w[c]) * ((W(xr[c]) - mean) * inverse);
    }) / W(cols);
    if (add.at == nullptr) {
      lane.each(
          cols,
          [=](std::int64_t, T& dxi, S const& dyi, T const& xi, S const& wi) {
            W const n = (W(xi) - mean) * inverse;
            dxi = T((W(dyi) * W(wi) - shared - n * along) * inverse);
          },
          out, dyr, xr, w);
    } else {
      T const* const more = add.row(r);
      lane.each(
          cols,
          [=](std::int64_t, T& dxi, S const& dyi, T const& xi, S const& wi, T const& addi) {
            W const n = (W(xi) - mean) * inverse;
            dxi = T(W(addi) + (W(dyi) * W(wi) - shared - n * along) * inverse);
          },
          out, dyr, xr, w, more);
    }
  }
};

/// dgain[c] (+)= sum_r dy[r, c] * n[r, c], dshift[c] (+)= sum_r dy[r, c], with n the normalised x:
/// four rows at a time as a tree, the fours in order.
///
/// Shapes  dy, x [rows, cols] · statistics [rows, 2] · dgain, dshift [cols]; a row of the kernel is
///         a tile of columns
/// Types   x T, dy S; the rest Wide<T>
/// Moves   rows * cols * (sizeof(T) + sizeof(S)) bytes; dgain, dshift and statistics stay in cache
template <class T, class S = T>
struct LayerNormParameters {
  View<Wide<T>> dgain, dshift;
  View<S const> dy;
  View<T const> x;
  View<Wide<T> const> statistics;
  bool add_gain, add_shift;  // to what is there; else it is overwritten

  TESSERA_BOTH std::int64_t rows() const { return Columns::count(dy.cols()); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t tile) const {
    using W = Wide<T>;
    Columns const columns = Columns::at(tile, dy.cols());
    std::int64_t const height = dy.rows(), step = dy.cols();
    W *const gains = dgain.at + columns.first, *const shifts = dshift.at + columns.first;
    S const* d = dy.at + columns.first;
    T const* v = x.at + columns.first;
    W const* s = statistics.at;
    if (!add_gain) lane.each(columns.size, [=](std::int64_t c) { gains[c] = 0; });
    if (!add_shift) lane.each(columns.size, [=](std::int64_t c) { shifts[c] = 0; });
    std::int64_t r = 0;
    for (; r + 4 <= height; r += 4, d += 4 * step, v += 4 * step, s += 8) {
      W const mean0 = s[0], mean1 = s[2], mean2 = s[4], mean3 = s[6];
      W const inverse0 = s[1], inverse1 = s[3], inverse2 = s[5], inverse3 = s[7];
      for (std::int64_t ahead = 8; ahead < 12 && r + ahead < height; ++ahead) {
        lane.prefetch(d + ahead * step, columns.size);
        lane.prefetch(v + ahead * step, columns.size);
      }
      lane.each(columns.size, [=](std::int64_t c) {
        W const d0 = W(d[c]), d1 = W(d[c + step]);
        W const d2 = W(d[c + 2 * step]), d3 = W(d[c + 3 * step]);
        W const n0 = (W(v[c]) - mean0) * inverse0, n1 = (W(v[c + step]) - mean1) * inverse1;
        W const n2 = (W(v[c + 2 * step]) - mean2) * inverse2;
        W const n3 = (W(v[c + 3 * step]) - mean3) * inverse3;
        gains[c] += (d0 * n0 + d1 * n1) + (d2 * n2 + d3 * n3);
        shifts[c] += (d0 + d1) + (d2 + d3);
      });
    }
    for (; r < height; ++r, d += step, v += step, s += 2) {
      W const mean = s[0], inverse = s[1];
      lane.each(columns.size, [=](std::int64_t c) {
        gains[c] += W(d[c]) * ((W(v[c]) - mean) * inverse);
        shifts[c] += W(d[c]);
      });
    }
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
