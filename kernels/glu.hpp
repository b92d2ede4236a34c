/// Gated linear units: one half of a row, through an activation, times the other half. Shazeer,
/// arXiv 2002.05202.
#pragma once

#include <tessera/kernels/activation.hpp>

namespace tessera::inline TESSERA_SETTING::kernel {

/// y[r, c] = f(gate[r, c]) * up[r, c], with f the curve's activation
///
/// Shapes  x [rows, 2 cols]: gate | up · y [rows, cols]
/// Types   T, arithmetic in Wide<T>
/// Moves   3 * cols * sizeof(T) bytes per row
template <class T, class Curve>
struct GatedUnit {
  View<T> y;
  View<T const> x;

  TESSERA_BOTH std::int64_t rows() const { return y.rows(); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    std::int64_t const cols = y.cols();
    T* const out = y.row(r);
    T const *const gate = x.row(r), *const up = gate + cols;
    lane.each(cols, [=](std::int64_t c) {
      out[c] = T(ActivationAt<Curve, W>::of(W(gate[c])).value() * W(up[c]));
    });
  }
};

/// dgate = dy * up * f'(gate), dup = dy * f(gate); the activation is computed again.
///
/// Shapes  dx, x [rows, 2 cols]: gate | up · dy [rows, cols]; dx may be x
/// Types   T, arithmetic in Wide<T>
/// Moves   5 * cols * sizeof(T) bytes per row
template <class T, class Curve>
struct GatedUnitInput {
  View<T> dx;
  View<T const> dy, x;

  TESSERA_BOTH std::int64_t rows() const { return dy.rows(); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    std::int64_t const cols = dy.cols();
    T *const dgate = dx.row(r), *const dup = dgate + cols;
    T const *const d = dy.row(r), *const gate = x.row(r), *const up = gate + cols;
    lane.each(cols, [=](std::int64_t c) {
      auto const f = ActivationAt<Curve, W>::of(W(gate[c]));
      W const upstream = W(d[c]), other = W(up[c]);
      dgate[c] = T(upstream * other * f.slope());
      dup[c] = T(upstream * f.value());
    });
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
