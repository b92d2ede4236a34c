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
  TESSERA_BOTH std::int64_t cols() const { return y.cols(); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    std::int64_t const cols = y.cols();
    T* const out = y.row(r);
    T const *const gate = x.row(r), *const up = gate + cols;
    lane.each(
        cols,
        [](std::int64_t, T& yi, T const& gi, T const& ui) {
          yi = T(ActivationAt<Curve, W>::of(W(gi)).value() * W(ui));
        },
        out, gate, up);
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
  TESSERA_BOTH std::int64_t cols() const { return dy.cols(); }

  template <Lane L>
  TESSERA_BOTH void operator()(L const& lane, std::int64_t r) const {
    using W = Wide<T>;
    std::int64_t const cols = dy.cols();
    T *const dgate = dx.row(r), *const dup = dgate + cols;
    T const *const d = dy.row(r), *const gate = x.row(r), *const up = gate + cols;
    lane.each(
        cols,
        [](std::int64_t, T& to_gate, T& to_up, T const& dyi, T const& gi, T const& ui) {
          auto const f = ActivationAt<Curve, W>::of(W(gi));
          W const upstream = W(dyi), other = W(ui);
          to_gate = T(upstream * other * f.slope());
          to_up = T(upstream * f.value());
        },
        dgate, dup, d, gate, up);
  }
};

}  // namespace tessera::inline TESSERA_SETTING::kernel
